//! What is taken off an answer that goes on: the flags, and what is not true of it any more.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderName};
use pingora::http::ResponseHeader;

use crate::channel::Channel;
use crate::decision;
use crate::message::elements::Elements;
use crate::message::stream::{Format, Piece};
use crate::message::{Body, JsonPath, edit};

/// Digests of a body that no longer is what they were made of.
const DIGESTS: &[&str] = &["content-md5", "digest", "content-digest", "repr-digest"];

/// The head of an answer that goes on, whether its body was read or not: without the
/// flags at these places in the channel, and kept from caches where a login was needed.
pub(super) fn release_head(
    channel: &Channel,
    head: &mut ResponseHeader,
    strip: &[usize],
    private: bool,
) -> pingora::Result<()> {
    for name in flag_headers(channel, strip) {
        head.remove_header(name);
    }
    if private {
        // Protected content belongs into no cache but the customer's own memory.
        head.insert_header(CACHE_CONTROL, "private, no-store")?;
    }
    Ok(())
}

/// Takes off what tells of a body that cannot be judged, because it was not sent:
/// its length, its validators, its digests.
pub(super) fn forget_body(head: &mut ResponseHeader) {
    for name in [CONTENT_LENGTH, ETAG, LAST_MODIFIED] {
        head.remove_header(&name);
    }
    for name in DIGESTS {
        head.remove_header(*name);
    }
}

/// Headers and body without the flags at these places in the channel.
pub(super) fn stripped(
    channel: &Channel,
    mut headers: HeaderMap,
    body: &Body,
    strip: &[usize],
) -> (HeaderMap, Bytes) {
    let (gone, body) = unflagged(channel, &headers, body, strip);
    for name in gone.iter().chain(flag_headers(channel, strip)) {
        headers.remove(name);
    }
    (headers, body)
}

/// The headers that flags at these places in the channel are seen by.
fn flag_headers<'c>(
    channel: &'c Channel,
    strip: &'c [usize],
) -> impl Iterator<Item = &'c HeaderName> {
    let flags = strip.iter().filter_map(|index| channel.flags.get(*index));
    flags.filter_map(|flag| flag.header.as_ref().map(|(name, _)| name))
}

/// The body without those flags, and the headers that are not true of it then. What has
/// no flag to take off goes on as it came.
pub(super) fn unflagged(
    channel: &Channel,
    headers: &HeaderMap,
    body: &Body,
    strip: &[usize],
) -> (Vec<HeaderName>, Bytes) {
    if strip.is_empty() {
        return (Vec::new(), body.bytes().clone());
    }
    let format = decision::format(headers);
    let mut gone = Vec::new();
    let mut left: Option<Vec<u8>> = None;
    for flag in strip.iter().filter_map(|index| channel.flags.get(*index)) {
        if let Some(condition) = &flag.json
            && let Ok(plain) = body.plain()
            && let Some(edited) = without(
                channel,
                left.as_deref().unwrap_or(plain),
                format,
                &condition.path,
            )
        {
            left = Some(edited);
        }
    }
    let Some(edited) = left.and_then(|left| body.edited(left)) else {
        return (gone, body.bytes().clone());
    };
    gone.push(ETAG);
    gone.extend(DIGESTS.iter().copied().map(HeaderName::from_static));
    if body.is_coded() {
        gone.push(CONTENT_ENCODING);
    }
    (gone, edited)
}

/// The body without what the query selects, in each of its messages; `None` where it
/// selects nothing.
fn without(
    channel: &Channel,
    body: &[u8],
    format: Option<Format>,
    path: &JsonPath,
) -> Option<Vec<u8>> {
    let remove = |body: &[u8]| edit::remove_selected(body, path).ok().flatten();
    let Some(format) = format else {
        let whole = remove(body);
        let items = channel.items.as_ref();
        let elements = items.and_then(|items| {
            let body = whole.as_deref().unwrap_or(body);
            let elements = Elements::find(body, &items.at).ok()??;
            let edited: Vec<_> = elements.of(body).map(remove).collect();
            let some = edited.iter().any(Option::is_some);
            let change = |index: usize| edited.get(index).cloned().flatten();
            some.then(|| elements.rewrite(body, &[b""; 0], change))
        });
        return elements.or(whole);
    };
    let mut changed = false;
    let pieces = format.pieces(body).map(|piece| match &piece {
        Piece::Event(event) => match remove(&event.data) {
            Some(data) => {
                changed = true;
                format.replace(event, &data)
            }
            None => event.raw.clone(),
        },
        piece => piece.raw().clone(),
    });
    let edited = pieces.collect::<Vec<_>>().concat();
    changed.then_some(edited)
}
