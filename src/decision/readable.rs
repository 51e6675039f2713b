//! What can be read of an answer's body, and has to be, by what its head says of it.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};

use crate::channel::Channel;
use crate::message::coding::{Charset, Coding};
use crate::message::stream::Format;

/// Whether the head says that the body cannot be read, decoded or not.
pub(super) fn is_unreadable(headers: &HeaderMap) -> bool {
    let charset = match Charset::of(headers) {
        Charset::Utf8 => false,
        Charset::SingleByte => said_to_stream(headers).is_some(),
        Charset::MultiByte | Charset::Odd => true,
    };
    charset || Coding::of(headers) == Coding::Unknown
}

/// How messages follow one another in a body that says that it is a stream. One that
/// cannot be read is none.
pub fn format(headers: &HeaderMap) -> Option<Format> {
    said_to_stream(headers).filter(|_| !is_unreadable(headers))
}

pub(super) fn said_to_stream(headers: &HeaderMap) -> Option<Format> {
    let value = content_type(headers)?.as_bytes();
    let kind = value.split(|byte| *byte == b';').next()?;
    Format::of(kind.trim_ascii())
}

/// Whether the body says that it is JSON, or several of it (`application/json-seq`,
/// a script around it, a multipart with it), or does not say what it is.
pub(super) fn is_json(channel: &Channel, headers: &HeaderMap) -> bool {
    media_type(headers).is_none_or(|kind| {
        let family = kind.get(.."multipart/".len());
        names_json(kind)
            || family.is_some_and(|family| family.eq_ignore_ascii_case("multipart/"))
            || channel.inspection.json_types.has(kind)
    })
}

/// Whether a media type says that it is JSON, or has it in a stream or a script.
pub(super) fn names_json(kind: &str) -> bool {
    ["json", "javascript", "event-stream"].iter().any(|word| {
        let mut parts = kind.as_bytes().windows(word.len());
        parts.any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
    })
}

/// Whether the body is of a type that is not judged. What calls itself JSON (`image/x+json`)
/// is not meant by a whole family of types.
pub(super) fn passes_by(channel: &Channel, headers: &HeaderMap) -> bool {
    let types = &channel.inspection.pass_types;
    let passes = |kind: &str| types.has(kind) && (types.lists(kind) || !names_json(kind));
    media_type(headers).is_some_and(passes)
}

/// The media type; `None` unless there is exactly one readable
/// `Content-Type`.
fn media_type(headers: &HeaderMap) -> Option<&str> {
    let value = content_type(headers)?.to_str().ok()?;
    let end = memchr::memchr(b';', value.as_bytes()).unwrap_or(value.len());
    let kind = value.get(..end).map(str::trim_ascii);
    kind.filter(|kind| !kind.is_empty())
}

/// The `Content-Type`, where there is exactly one, on one line or several.
fn content_type(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    (!is_list(value.as_bytes())).then_some(value)
}

/// Whether somebody may read several values in this one: it has a comma that is not,
/// for every reader, in quotes.
fn is_list(value: &[u8]) -> bool {
    if memchr::memchr(b',', value).is_none() {
        return false;
    }
    let outside = value.split(|byte| *byte == b'"').step_by(2);
    let open = memchr::memchr_iter(b'"', value).count() % 2 == 1;
    open || value.contains(&b'\\') || outside.into_iter().any(|part| part.contains(&b','))
}
