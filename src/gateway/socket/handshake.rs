//! The handshake (RFC 6455, section 4), with both ends.

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, SET_COOKIE,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;

use crate::channel::{Kind, Route, Socket};
use crate::gateway::exchange::Exchange;
use crate::gateway::{inject, signed};
use crate::reason::Reason;
use crate::time::Time;

/// Interim answers of a backend that are passed over.
pub(super) const MOST_INTERIM: usize = 8;

/// The sockets of the route, where a request asks for one.
pub(in crate::gateway) fn asked<'r>(head: &RequestHeader, route: &'r Route) -> Option<&'r Socket> {
    let socket = route.channel.socket.as_ref()?;
    let upgrades = route.kind == Kind::Message
        && head.method == Method::GET
        && head.version == Version::HTTP_11
        && has(&head.headers, &UPGRADE, "websocket");
    upgrades.then_some(socket)
}

/// Whether a socket may be opened in this way, and from there.
pub(in crate::gateway) fn check(session: &mut Session, socket: &Socket) -> Result<(), Reason> {
    let bodiless = session.as_downstream_mut().is_body_empty();
    check_head(&session.req_header().headers, bodiless, socket)
}

/// The same by the request's headers and whether it has no body.
pub(in crate::gateway) fn check_head(
    headers: &HeaderMap,
    bodiless: bool,
    socket: &Socket,
) -> Result<(), Reason> {
    if !socket.admits(headers) {
        return Err(Reason::ForeignOrigin);
    }
    let version = HeaderValue::from_static("13");
    let understood = bodiless
        && has(headers, &CONNECTION, "upgrade")
        && only(headers, &SEC_WEBSOCKET_VERSION) == Some(&version)
        && only(headers, &SEC_WEBSOCKET_KEY).is_some();
    match understood {
        true => Ok(()),
        false => Err(Reason::BadHandshake),
    }
}

/// What the backend is asked: the customer's own handshake, managed headers off and
/// those of the verified customer on, and no extension that only the two would
/// understand.
pub(super) fn request(
    session: &Session,
    exchange: &Exchange,
    now: Time,
) -> Result<RequestHeader, Reason> {
    let mut head = session.req_header().clone();
    inject::strip(&mut head, &exchange.config, true);
    for name in [
        SEC_WEBSOCKET_EXTENSIONS,
        TRANSFER_ENCODING,
        CONTENT_LENGTH,
        EXPECT,
    ] {
        head.remove_header(&name);
    }
    let internal = |_| Reason::Internal;
    head.insert_header(CONNECTION, "Upgrade")
        .map_err(internal)?;
    head.insert_header(UPGRADE, "websocket").map_err(internal)?;
    inject::forwarded(&mut head, session).map_err(internal)?;
    if let Some(injected) = exchange.injected(now) {
        for (name, value) in injected.headers()? {
            head.insert_header(name, value).map_err(internal)?;
        }
    }
    signed::sign(&mut head, session, exchange, now)?;
    Ok(head)
}

/// What the customer is answered when the backend opened the socket. Of the
/// backend's headers only those pass that belong to the handshake, and cookies.
pub(super) fn answer(
    exchange: &Exchange,
    theirs: &ResponseHeader,
) -> Result<ResponseHeader, Reason> {
    let opened = theirs.status == StatusCode::SWITCHING_PROTOCOLS
        && has(&theirs.headers, &UPGRADE, "websocket")
        && only(&theirs.headers, &SEC_WEBSOCKET_ACCEPT).is_some()
        // Nobody offered one.
        && !theirs.headers.contains_key(SEC_WEBSOCKET_EXTENSIONS);
    if !opened {
        return Err(Reason::UpgradeRefused);
    }
    let internal = |_| Reason::Internal;
    let mut head =
        ResponseHeader::build(StatusCode::SWITCHING_PROTOCOLS, Some(6)).map_err(internal)?;
    head.insert_header(CONNECTION, "Upgrade")
        .map_err(internal)?;
    head.insert_header(UPGRADE, "websocket").map_err(internal)?;
    for name in [SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, SET_COOKIE] {
        for value in theirs.headers.get_all(&name) {
            head.append_header(name.clone(), value.clone())
                .map_err(internal)?;
        }
    }
    if let Some(cookie) = exchange.cookie_header() {
        head.append_header(SET_COOKIE, cookie).map_err(internal)?;
    }
    Ok(head)
}

/// Whether a list header has this word.
fn has(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|token| token.trim().eq_ignore_ascii_case(word))
}

/// The value of a header that came once.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}
