//! A request body that is read as a whole before anything is decided: on routes where
//! something depends on it, and at our own addresses.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING};
use pingora::proxy::Session;
use pingora::{Error, ErrorType};

use super::exchange::Exchange;
use super::respond;
use crate::channel::{Kind, Route, Unreadable};
use crate::config::Config;
use crate::message::{Body, form};
use crate::reason::Reason;

/// Longest body in bytes that pingora keeps to send it on, and that comes in one piece.
const BUFFER: usize = 64 << 10;

/// Longest body in bytes that is read on a route on which nothing but the managed
/// members in it concerns us: cheaper than sending it on in chunks because its length may
/// change.
const SHORT_BODY: usize = 16 << 10;

/// How a request's body goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// As it comes: nothing depends on it.
    Passes,
    /// As it comes, managed members taken out chunk by chunk.
    Streams,
    /// Once it is here as a whole, at most so many bytes.
    Whole(usize),
}

impl Reading {
    /// How the body of a request with these headers goes on, of which it is known whether
    /// it is empty and perhaps how long it says that it is.
    ///
    /// # Errors
    /// [`Reason::BadBody`] where it has to be read and comes in a coding.
    pub(super) fn of(
        config: &Config,
        route: &Route,
        headers: &HeaderMap,
        empty: bool,
        length: Option<usize>,
    ) -> Result<Self, Reason> {
        let reads = route.reads_body();
        let webhook = route.kind == Kind::Webhook;
        if !reads && (empty || config.managed_members.is_empty()) {
            return Ok(Self::Passes);
        }
        if empty {
            return Ok(Self::Whole(0));
        }
        if headers.contains_key(CONTENT_ENCODING) && !webhook {
            return Err(Reason::BadBody);
        }
        if webhook && passes_unread(route, length) {
            return Ok(Self::Passes);
        }
        Ok(match reads {
            true => Self::Whole(route.longest_body()),
            false if length.is_some_and(|length| length <= SHORT_BODY) => Self::Whole(SHORT_BODY),
            false => Self::Streams,
        })
    }
}

/// Reads the body where something on this route depends on it, and arms the edit
/// of a body that streams by.
pub(super) async fn read_body(
    session: &mut Session,
    exchange: &mut Exchange,
    route: &Route,
) -> pingora::Result<Result<(), Reason>> {
    let empty = session.as_downstream_mut().is_body_empty();
    let headers = &session.req_header().headers;
    let length = content_length(headers);
    let most = match Reading::of(&exchange.config, route, headers, empty, length) {
        Err(reason) => return Ok(Err(reason)),
        Ok(Reading::Passes) => return Ok(Ok(())),
        Ok(Reading::Streams) => {
            exchange.edit.arm();
            return Ok(Ok(()));
        }
        Ok(Reading::Whole(_)) if empty => {
            exchange.body = Some(Body::new(Bytes::new()));
            return Ok(Ok(()));
        }
        Ok(Reading::Whole(most)) => most,
    };
    let limit = exchange.config.timeouts.body;
    let whole = async {
        respond::go_on(session).await?;
        whole_body(session, most).await
    };
    let whole = tokio::time::timeout(limit, whole).await;
    let whole = whole.unwrap_or(Ok(Err(Reason::BodyTimeout)));
    Ok(match whole.map_err(|error| gave_out(error, exchange))? {
        Ok(body) => {
            let headers = &session.req_header().headers;
            exchange.body = Some(route.body(headers, body));
            Ok(())
        }
        Err(reason) => Err(reason),
    })
}

/// The body of a request to one of our own addresses; `None` when it is longer than
/// `most` bytes, or longer in coming than clients are waited for.
pub(super) async fn own_body(
    session: &mut Session,
    exchange: &mut Exchange,
    most: usize,
) -> pingora::Result<Option<Bytes>> {
    let whole = async {
        respond::go_on(session).await?;
        let mut body = BytesMut::new();
        while let Some(chunk) = session.read_request_body().await? {
            if body.len() + chunk.len() > most {
                return Ok(None);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Some(body.freeze()))
    };
    let limit = exchange.config.timeouts.body;
    let whole = tokio::time::timeout(limit, whole).await;
    whole
        .unwrap_or(Ok(None))
        .map_err(|error| gave_out(error, exchange))
}

/// The client hung up in the middle of its body, or framed it wrong: its own fault, which
/// is noted here because who has hung up is not answered.
fn gave_out(error: Box<Error>, exchange: &mut Exchange) -> Box<Error> {
    exchange.reason = match error.etype() {
        ErrorType::ReadTimedout => Reason::BodyTimeout,
        _ => Reason::BadBody,
    };
    error.into_down()
}

/// The body as a whole, at most `most` bytes of it.
///
/// pingora sends on what its own buffer holds, and nothing where that ran over. Of a
/// body whose length is known the buffer gets the end alone, in the place of which
/// [`Exchange::whole`] puts everything.
async fn whole_body(session: &mut Session, most: usize) -> pingora::Result<Result<Bytes, Reason>> {
    let headers = &session.req_header().headers;
    let chunked = headers.contains_key(TRANSFER_ENCODING);
    let length = content_length(headers).filter(|_| !chunked);
    let mut body = BytesMut::with_capacity(length.unwrap_or_default().min(most).min(BUFFER));
    loop {
        let left = length.map(|length| length.saturating_sub(body.len()));
        // It takes no piece longer than this, so there is something left for it.
        if left.is_none_or(|left| left <= BUFFER) {
            session.enable_retry_buffering();
        }
        let Some(chunk) = session.read_request_body().await? else {
            break;
        };
        if body.len() + chunk.len() > most || session.retry_buffer_truncated() {
            return Ok(Err(Reason::BodyTooLarge));
        }
        body.extend_from_slice(&chunk);
    }
    match body.is_empty() || session.get_retry_buffer().is_some() {
        true => Ok(Ok(body.freeze())),
        false => Ok(Err(Reason::BodyTooLarge)),
    }
}

/// Whether a request of the backend's says that it is longer than what is read, and
/// the channel lets such go on without a look at them.
fn passes_unread(route: &Route, length: Option<usize>) -> bool {
    let inspection = &route.channel.inspection;
    let most = route.longest_body();
    inspection.oversize == Unreadable::Release
        && !route.signatures.need_body()
        && length.is_some_and(|length| length > most)
}

/// Whether a body is the form of a browser, as its head says.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    matches!(form::Kind::of(headers), Ok(form::Kind::Urlencoded))
}

/// The length that a head announces, in bytes.
pub(super) fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

impl Exchange {
    /// The request's body as it goes on, where it was read.
    pub(super) fn whole(&self) -> Option<&Bytes> {
        let read = self.body.as_ref().map(Body::bytes);
        self.edited.as_ref().or(read)
    }
}
