//! What the backend gets to see: managed headers and members off, those of the
//! verified customer on.

use std::net::IpAddr;

use bytes::{Bytes, BytesMut};
use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, COOKIE, IF_RANGE, RANGE,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use serde_json::Value;

use super::disguise::{form_names, is_form, odd_charset};
use super::endpoints::cookie_name;
use super::exchange::Exchange;
use crate::channel::inject::Facts;
use crate::channel::{Channel, Kind, Owner};
use crate::config::Config;
use crate::interaction::Identity;
use crate::message::edit::{self, MemberPath};
use crate::message::header::{HOP_BY_HOP, raw_cookies};
use crate::reason::Reason;
use crate::time::Time;

/// Longest JSON body that is held to take managed members out of it on a route
/// that otherwise streams.
const STREAMED_JSON_CAP: usize = 1 << 20;

/// Headers by which a client could speak for a proxy in front of us.
const FORWARDING: &[&str] = &[
    "forwarded",
    "x-real-ip",
    "x-client-ip",
    "true-client-ip",
    "x-original-url",
    "x-original-uri",
    "x-original-host",
    "x-original-method",
    "x-rewrite-url",
    "x-http-method-override",
    "x-method-override",
];

/// Removes from a request to the backend whatever only chatgate may say. Runs on
/// every route, before anything is injected.
pub(super) fn strip(head: &mut RequestHeader, config: &Config, keep_upgrade: bool) {
    let nominated: Vec<HeaderName> = nominated(&head.headers, keep_upgrade);
    let doomed: Vec<HeaderName> = head
        .headers
        .keys()
        .filter(|name| {
            let text = name.as_str();
            config.managed_headers.covers(text)
                || FORWARDING.contains(&text)
                || text.starts_with("x-forwarded-")
                || nominated.contains(name)
                || (HOP_BY_HOP.contains(&text) && !kept(name, keep_upgrade))
        })
        .cloned()
        .collect();
    for name in &doomed {
        head.remove_header(name);
    }
    if !keep_upgrade {
        head.remove_header(&UPGRADE);
    }
    without_own_cookie(head);
}

/// Removes from a request to the client what belongs to one connection, and what is
/// between a customer and us. All else goes on as the backend wrote it.
pub(super) fn strip_connection(head: &mut RequestHeader) {
    let nominated = nominated(&head.headers, false);
    let names = head.headers.keys();
    let doomed = names.filter(|name| {
        nominated.contains(name)
            || (HOP_BY_HOP.contains(&name.as_str()) && !kept(name, false))
            || **name == UPGRADE
    });
    let doomed: Vec<HeaderName> = doomed.cloned().collect();
    for name in &doomed {
        head.remove_header(name);
    }
    without_own_cookie(head);
}

/// The owner's cookie is between the customer and us: a backend that saw it could
/// speak for the customer.
fn without_own_cookie(head: &mut RequestHeader) {
    let ours = [
        Owner::cookie_name(true),
        Owner::cookie_name(false),
        cookie_name(true),
        cookie_name(false),
    ];
    if !ours
        .iter()
        .any(|name| raw_cookies(&head.headers, name).next().is_some())
    {
        return;
    }
    let foreign = |pair: &&[u8]| {
        let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
        !ours.iter().any(|ours| ours.as_bytes() == name.trim_ascii())
    };
    let lines = head.headers.get_all(COOKIE).iter();
    let pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    let left: Vec<&[u8]> = pairs.filter(foreign).map(<[u8]>::trim_ascii).collect();
    let left = HeaderValue::from_bytes(&left.join(&b"; "[..]));
    head.remove_header(&COOKIE);
    if let Ok(left) = left
        && !left.is_empty()
        && let Err(error) = head.insert_header(COOKIE, left)
    {
        tracing::warn!(%error, "the cookies could not be handed on");
    }
}

/// Hop-by-hop headers that pingora itself still needs to frame the request, or
/// that make an upgrade.
fn kept(name: &HeaderName, keep_upgrade: bool) -> bool {
    name == TRANSFER_ENCODING || (keep_upgrade && name == CONNECTION)
}

/// The headers that `Connection` declares to be of this connection only (RFC 9110, section 7.6.1).
fn nominated(headers: &HeaderMap, keep_upgrade: bool) -> Vec<HeaderName> {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .filter(|name: &HeaderName| {
            let framing = [CONTENT_LENGTH, http::header::HOST].contains(name);
            let upgrade = keep_upgrade && name == UPGRADE;
            !(kept(name, keep_upgrade) || upgrade || framing)
        })
        .collect()
}

/// Tells the backend who the client in front of us is: the address that the
/// connection came from, nothing that the client says of itself.
pub(super) fn forwarded(head: &mut RequestHeader, session: &Session) -> pingora::Result<()> {
    const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
    const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
    if let Some(client) = session.client_addr().and_then(|address| address.as_inet()) {
        let text = match client.ip() {
            // What `to_string` says, for a tenth of what it costs.
            IpAddr::V4(ip) => ip.octets().map(|octet| octet.to_string()).join("."),
            IpAddr::V6(ip) => ip.to_string(),
        };
        head.insert_header(FOR, text)?;
    }
    let tls = session
        .digest()
        .is_some_and(|digest| digest.ssl_digest.is_some());
    let scheme = HeaderValue::from_static(if tls { "https" } else { "http" });
    head.insert_header(PROTO, scheme)
}

/// On judged routes: an answer that can be read, whole.
pub(super) fn ask_for_readable(head: &mut RequestHeader) -> pingora::Result<()> {
    head.insert_header(ACCEPT_ENCODING, HeaderValue::from_static("identity"))?;
    head.remove_header(&RANGE);
    head.remove_header(&IF_RANGE);
    Ok(())
}

/// What is known of the customer when something is injected.
pub(super) struct Injected<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The channel.
    pub channel: &'a Channel,
    /// The interaction id, empty where it is not known yet.
    pub interaction: &'a str,
    /// Who it is.
    pub identity: &'a Identity,
    /// When the login was.
    pub login_time: Time,
    /// Now.
    pub now: Time,
}

impl Injected<'_> {
    /// The headers, assertion included.
    pub(super) fn headers(&self) -> Result<Vec<(HeaderName, HeaderValue)>, Reason> {
        let facts = self.facts();
        let mut headers = Vec::new();
        for (name, fact) in &self.channel.inject.headers {
            if let Some(value) = fact.header(&facts)? {
                headers.push((name.clone(), value));
            }
        }
        if let Some(assertion) = &self.channel.inject.assertion {
            let level = self.config.level_name(self.identity.level);
            let token = assertion
                .sign(self.identity, level, &self.channel.name, self.interaction, self.now)
                .map_err(|error| {
                    tracing::error!(channel = %self.channel.name, %error, "the assertion could not be signed");
                    Reason::Internal
                })?;
            let value = HeaderValue::from_str(&token).map_err(|_| Reason::Internal)?;
            headers.push((assertion.header.clone(), value));
        }
        Ok(headers)
    }

    /// The members, as [`edit_body`] takes them.
    pub(super) fn members(&self) -> Vec<(&MemberPath, Value)> {
        let facts = self.facts();
        let members = &self.channel.inject.members;
        members
            .iter()
            .filter_map(|(path, fact)| Some((path, fact.value(&facts)?)))
            .collect()
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            identity: self.identity,
            level: self.config.level_name(self.identity.level),
            interaction: self.interaction,
            channel: &self.channel.name,
            login_time: Some(self.login_time),
        }
    }
}

/// Takes the managed members out of a body and puts `members` in. `None` when the
/// body goes on as it is.
pub(super) fn edit_body(
    config: &Config,
    headers: &HeaderMap,
    body: &[u8],
    members: &[(&MemberPath, Value)],
) -> Result<Option<Bytes>, Reason> {
    if config.managed_members.is_empty() || body.is_empty() {
        return Ok(None);
    }
    if headers.contains_key(CONTENT_ENCODING) {
        // Encoded, a managed member could pass unseen.
        return Err(Reason::BadBody);
    }
    if odd_charset(headers) {
        return Err(Reason::BadBody);
    }
    let paths = config.managed_members.paths();
    if !looks_like_object(body) {
        if is_form(headers) && form_names(body, paths) {
            return Err(Reason::BadBody);
        }
        // An array or a bare value has no members to take out or to set.
        return Ok(None);
    }
    if members.is_empty() && !config.managed_members.may_be_in(body) {
        return Ok(None);
    }
    let managed: Vec<(&MemberPath, Option<&Value>)> = paths
        .iter()
        .map(|path| {
            let value = members
                .iter()
                .find(|(member, _)| *member == path)
                .map(|(_, value)| value);
            (path, value)
        })
        .collect();
    match edit::set_members(body, &managed) {
        Ok(edited) => Ok(edited.map(Bytes::from)),
        Err(_) => Err(Reason::BadBody),
    }
}

/// Whether the first character that is not blank opens an object, in whatever
/// encoding: some backends recognise UTF-16 and UTF-32 and would read members
/// there that the editor does not see. The editor refuses what is not UTF-8.
fn looks_like_object(body: &[u8]) -> bool {
    opening(body) == Some(b'{')
}

/// The first character of a text that is not blank, in whatever encoding.
pub(super) fn opening(body: &[u8]) -> Option<u8> {
    body.iter().find(|byte| !leads(byte)).copied()
}

/// A byte that may stand before the first character: a blank, one of a byte order
/// mark, the NUL of a wide encoding.
fn leads(byte: &u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, 0 | 0xef | 0xbb | 0xbf | 0xfe | 0xff)
}

/// The edit of a request body that streams by on a route that does not read it:
/// managed members are taken out of a JSON object, a form that has some is refused,
/// anything else passes.
#[derive(Default)]
pub(super) struct BodyEdit {
    armed: bool,
    held: BytesMut,
    passing: bool,
}

impl BodyEdit {
    /// Holds the body from its first byte on.
    pub(super) fn arm(&mut self) {
        self.armed = true;
    }

    /// Begins anew: a retry sends the body again, from its first byte on.
    pub(super) fn rewind(&mut self) {
        self.held.clear();
        self.passing = false;
    }

    /// Whether the body's length may change.
    pub(super) fn is_armed(&self) -> bool {
        self.armed
    }

    /// Takes a chunk, or hands on what was held.
    pub(super) fn chunk(
        &mut self,
        config: &Config,
        headers: &HeaderMap,
        chunk: &mut Option<Bytes>,
        end: bool,
    ) -> Result<(), Reason> {
        if !self.armed || self.passing {
            return Ok(());
        }
        // Before trailers pingora says that there is no more, but not that it is the end.
        let end = end || chunk.is_none();
        if let Some(bytes) = chunk.take() {
            self.held.extend_from_slice(&bytes);
        }
        if odd_charset(headers) {
            return Err(Reason::BadBody);
        }
        let undecided = self.held.iter().all(leads) || is_form(headers);
        if !end && (undecided || looks_like_object(&self.held)) {
            if self.held.len() > STREAMED_JSON_CAP {
                return Err(Reason::BodyTooLarge);
            }
            // Empty, not absent: an absent chunk would end the request.
            *chunk = Some(Bytes::new());
            return Ok(());
        }
        let held = self.held.split().freeze();
        self.passing = true;
        let edited = match end {
            true => edit_body(config, headers, &held, &[])?,
            false => None,
        };
        let bytes = edited.unwrap_or(held);
        *chunk = (!bytes.is_empty() || !end).then_some(bytes);
        Ok(())
    }
}

impl Exchange {
    /// What is to be injected into this request, if anything is.
    pub(super) fn injected(&self, now: Time) -> Option<Injected<'_>> {
        let identity = self.forward.as_ref()?.identity.as_ref()?;
        let route = self.route()?;
        Some(Injected {
            config: &self.config,
            channel: &route.channel,
            interaction: self.key.as_ref().map_or("", |key| key.interaction()),
            identity,
            login_time: self.login_time.or(self.standing.login_time).unwrap_or(now),
            now,
        })
    }

    /// Whether the request goes from the backend to the client.
    pub(super) fn to_client(&self) -> bool {
        self.route()
            .is_some_and(|route| route.kind == Kind::Webhook)
    }

    /// Whether an upgrade may pass: only where no answer would be judged.
    pub(super) fn may_upgrade(&self) -> bool {
        self.route().is_some_and(|route| route.kind == Kind::Pass)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A channel that manages `X-Customer-Id` and `metadata.customer`.
    fn config() -> Config {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("chatgate.toml");
        let text = r#"
            [server]
            public_url = "http://127.0.0.1:8080"
            [[listener]]
            address = "127.0.0.1:8080"
            [upstream.bot]
            url = "http://127.0.0.1:5005"
            [channel.web]
            upstream = "bot"
            [[channel.web.identity]]
            name = "site"
            kind = "jwt"
            from = { header = "Authorization", scheme = "Bearer" }
            keys = [{ algorithm = "HS256", secret = "0123456789abcdef0123456789abcdef" }]
            [channel.web.inject]
            headers = { "X-Customer-Id" = "subject" }
            members = { "metadata.customer" = "subject" }
            [[channel.web.route]]
            kind = "pass"
            path = "/{*rest}"
            enforcement = "optional"
        "#;
        std::fs::write(&file, text).unwrap();
        crate::config::load(&file).unwrap().0
    }

    fn kind(value: &str) -> HeaderMap {
        let value = HeaderValue::from_str(value).unwrap();
        [(http::header::CONTENT_TYPE, value)].into_iter().collect()
    }

    const FORGED: &[u8] = br#"{"metadata":{"customer":"alice"}}"#;

    #[test]
    fn a_body_that_streams_is_edited_on_every_attempt() {
        let config = config();
        let mut edit = BodyEdit::default();
        edit.arm();
        for _ in 0..2 {
            edit.rewind();
            let (one, two) = FORGED.split_at(12);
            let mut first = Some(Bytes::from_static(one));
            edit.chunk(&config, &HeaderMap::new(), &mut first, false)
                .unwrap();
            assert_eq!(first.as_deref(), Some(&b""[..]));
            let mut last = Some(Bytes::from_static(two));
            edit.chunk(&config, &HeaderMap::new(), &mut last, true)
                .unwrap();
            assert_eq!(last.as_deref(), Some(&br#"{"metadata":{}}"#[..]));
        }
        // Given up in the middle, what was held belongs to that attempt alone.
        edit.rewind();
        let mut part = Some(Bytes::from_static(b"{\"metadata\":"));
        edit.chunk(&config, &HeaderMap::new(), &mut part, false)
            .unwrap();
        edit.rewind();
        let mut whole = Some(Bytes::from_static(FORGED));
        edit.chunk(&config, &HeaderMap::new(), &mut whole, true)
            .unwrap();
        assert_eq!(whole.as_deref(), Some(&br#"{"metadata":{}}"#[..]));
    }

    #[test]
    fn a_member_that_only_the_backend_would_see_is_refused() {
        let config = config();
        let text = std::str::from_utf8(FORGED).unwrap();
        let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let json = "application/json";
        for (kind, body) in [
            (kind(json), wide.clone()),
            (kind("text/plain"), wide),
            (
                kind("application/json; charset=utf-7"),
                br#"{"metad+AGE-ta":{"customer":"alice"}}"#.to_vec(),
            ),
            (kind("text/plain; charset=cp037"), vec![0xC0, 0x7F, 0xD0]),
            (
                kind("application/x-www-form-urlencoded"),
                b"text=x&metadata[customer]=alice".to_vec(),
            ),
        ] {
            let refused = Err(Reason::BadBody);
            assert_eq!(edit_body(&config, &kind, &body, &[]), refused, "{kind:?}");
            let mut edit = BodyEdit::default();
            edit.arm();
            let verdict = body
                .chunks(3)
                .map(|part| (Bytes::copy_from_slice(part), false))
                .chain([(Bytes::new(), true)])
                .try_for_each(|(part, end)| {
                    let mut chunk = (!end).then_some(part);
                    edit.chunk(&config, &kind, &mut chunk, end)?;
                    let on = chunk.is_some_and(|chunk| !chunk.is_empty());
                    assert!(!on, "{kind:?}: something went on");
                    Ok(())
                });
            assert_eq!(verdict, Err(Reason::BadBody), "{kind:?}");
        }
        let form = kind("application/x-www-form-urlencoded");
        assert_eq!(
            edit_body(&config, &form, b"text=x&metadata[lang]=en", &[]),
            Ok(None)
        );
    }

    #[test]
    fn an_object_is_one_in_every_encoding() {
        let text = " \n{\"a\":1}";
        let wide = |mark: &[u8], unit: fn(u8) -> Vec<u8>| {
            let bytes = text.bytes().flat_map(unit);
            mark.iter().copied().chain(bytes).collect::<Vec<u8>>()
        };
        for body in [
            wide(&[], |b| vec![b]),
            wide(&[0xef, 0xbb, 0xbf], |b| vec![b]),
            wide(&[], |b| vec![b, 0]),
            wide(&[], |b| vec![0, b]),
            wide(&[0xff, 0xfe], |b| vec![b, 0]),
            wide(&[0xfe, 0xff], |b| vec![0, b]),
            wide(&[], |b| vec![0, 0, 0, b]),
            wide(&[0, 0, 0xfe, 0xff], |b| vec![0, 0, 0, b]),
            wide(&[0xff, 0xfe, 0, 0], |b| vec![b, 0, 0, 0]),
        ] {
            assert!(looks_like_object(&body), "{body:?}");
        }
        for body in [&b"[{}]"[..], b"", b"a={", b"\x89PNG{", b"\0\0[{"] {
            assert!(!looks_like_object(body), "{body:?}");
        }
    }
}
