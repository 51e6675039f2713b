//! The judgement on a held answer, carried out: release, challenge or block.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, LAST_MODIFIED, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorType};

use super::State;
use super::challenge::challenge;
use super::exchange::Exchange;
use super::hold::Held;
use super::interactions;
use super::items::{self, Sorted};
use super::link;
use super::respond;
use super::stream::at_once;
use crate::channel::{Channel, Kind, Unreadable};
use crate::decision::{self, Asker, ForAnswer};
use crate::interaction::{self, Level};
use crate::message::elements::Elements;
use crate::message::stream::{Format, Piece};
use crate::message::{AnswerView, Body, JsonPath, edit};
use crate::reason::Reason;

/// Digests of a body that no longer is what they were made of.
const DIGESTS: &[&str] = &["content-md5", "digest", "content-digest", "repr-digest"];

/// Who an answer is for, asked anew for each: a login may have run out, or been
/// revoked, while the backend worked.
pub(super) async fn asker(state: &State, exchange: &Exchange) -> Asker {
    let Some(route) = exchange.route() else {
        return Asker::ANONYMOUS;
    };
    let channel = &route.channel;
    let Some(key) = exchange.key.as_ref().filter(|_| channel.keeps_state()) else {
        // A proof on the request itself counts for its own answer.
        let forward = exchange.forward.as_ref();
        let identity = forward.and_then(|forward| forward.identity.as_ref());
        let level = identity.map_or(Level::ANONYMOUS, |identity| identity.level);
        return Asker {
            level,
            ..Asker::ANONYMOUS
        };
    };
    let now = state.clock.now();
    let standing = state
        .store
        .read(key, &channel.clocks, now, |interaction| {
            interaction
                .map(|interaction| interaction.standing(&channel.clocks, exchange.evidence, now))
        })
        .await;
    let standing = standing.ok().flatten().unwrap_or_default();
    Asker {
        level: standing.level(),
        named: true,
        foreign: standing.foreign,
    }
}

/// Judges a held answer and writes what the customer gets.
pub(super) async fn carry_out(
    state: &Arc<State>,
    session: &mut Session,
    exchange: &mut Exchange,
    held: Held,
) -> pingora::Result<()> {
    let Some(route) = exchange.route().cloned() else {
        return exchange.refuse(session, Reason::Internal).await;
    };
    let channel = &route.channel;
    let Held {
        head, body, over, ..
    } = held;
    let body = Body::of(&head.headers, body.freeze(), channel.inspection.max_body);
    let view = AnswerView {
        status: head.status,
        headers: &head.headers,
        body: (!over).then_some(&body),
    };

    if route.kind == Kind::PreChat
        && let Err(reason) = bind(state, exchange, &view).await
    {
        return exchange.refuse(session, reason).await;
    }
    let asker = asker(state, exchange).await;
    let sorted = items::sort_out(state, session, exchange, &view, asker).await;
    let sorted = match sorted {
        Ok(sorted) => sorted,
        Err(reason) => return exchange.refuse(session, reason).await,
    };
    if let Some(mut sorted) = sorted {
        let handover = sorted.handover.take();
        let written = release_sorted(session, exchange, channel, head, body, sorted).await;
        if let Some(handover) = handover {
            handover.settle(written.is_ok()).await;
        }
        return written;
    }
    let verdict = decision::answer(channel, &view, asker);
    match verdict {
        // What is left of it is no answer any more.
        ForAnswer::Release { .. } if over => exchange.refuse(session, Reason::AnswerTooLarge).await,
        ForAnswer::Release { reason, strip } => {
            exchange.reason = reason;
            let of_head = session.req_header().method == Method::HEAD;
            let (mut head, mut body) = released(channel, head, &body, &strip, reason, of_head)?;
            let headers = &head.headers;
            let linked = link::rewrite(
                state, session, exchange, channel, headers, &body, asker, None,
            );
            match linked.await {
                Ok(None) => {}
                Ok(Some(rewritten)) => {
                    body = rewritten;
                    forget_body(&mut head);
                    head.remove_header(&CONTENT_ENCODING);
                    head.insert_header(CONTENT_LENGTH, body.len())?;
                    // A login URL is for one customer.
                    head.insert_header(CACHE_CONTROL, "private, no-store")?;
                }
                Err(reason) => return exchange.refuse(session, reason).await,
            }
            exchange.add_cookie(&mut head)?;
            respond::write(session, head, body).await
        }
        ForAnswer::Block(reason) => exchange.refuse(session, reason).await,
        ForAnswer::Challenge { flag, level } => {
            match challenge(state, session, exchange, &view, level).await {
                Ok(reply) => {
                    exchange.reason = Reason::Flagged;
                    tracing::debug!(request_id = %exchange.id(), flag = %channel.flags[flag].name, "challenged");
                    let reply = exchange.dress(reply, &session.req_header().headers);
                    exchange.send(session, reply).await
                }
                Err(reason) => exchange.refuse(session, reason).await,
            }
        }
    }
}

/// Writes what passes of an answer with many messages.
async fn release_sorted(
    session: &mut Session,
    exchange: &mut Exchange,
    channel: &Channel,
    mut head: ResponseHeader,
    mut body: Body,
    sorted: Sorted,
) -> pingora::Result<()> {
    let reason = sorted.reason;
    exchange.reason = reason;
    if let Some(left) = sorted.body {
        forget_body(&mut head);
        head.remove_header(&CONTENT_ENCODING);
        head.insert_header(CACHE_CONTROL, "private, no-store")?;
        body = Body::of(&head.headers, left, channel.inspection.max_body);
    }
    let (mut head, body) = released(channel, head, &body, &sorted.strip, reason, false)?;
    exchange.add_cookie(&mut head)?;
    respond::write(session, head, body).await
}

/// Binds a proven identity to an interaction that only the answer names.
async fn bind(
    state: &State,
    exchange: &mut Exchange,
    answer: &AnswerView<'_>,
) -> Result<(), Reason> {
    let Some(route) = exchange.route().cloned() else {
        return Ok(());
    };
    let (None, Some(selector), true) = (
        &exchange.key,
        &route.interaction,
        answer.status.is_success(),
    ) else {
        return Ok(());
    };
    let Some(id) = selector.answer(answer)? else {
        return Ok(());
    };
    let key = interaction::Key::new(&route.channel.name, &id);
    let now = state.clock.now();
    let proven = exchange.forward.as_ref().filter(|forward| forward.log_in);
    match proven.and_then(|forward| forward.identity.clone()) {
        Some(identity) => {
            interactions::log_in(
                state,
                &route.channel,
                &key,
                exchange.evidence,
                &identity,
                now,
            )
            .await?;
        }
        None => {
            interactions::touch(state, &route.channel, &key, exchange.evidence, now).await;
        }
    }
    exchange.key = Some(key);
    Ok(())
}

/// The released answer: whole, with its own length, the flags taken off.
fn released(
    channel: &Channel,
    mut head: ResponseHeader,
    body: &Body,
    strip: &[usize],
    reason: Reason,
    of_head: bool,
) -> pingora::Result<(ResponseHeader, Bytes)> {
    let (gone, body) = unflagged(channel, body, decision::format(&head.headers), strip);
    for name in &gone {
        head.remove_header(name);
    }
    release_head(channel, &mut head, strip, reason == Reason::Authenticated)?;
    head.set_version(Version::HTTP_11);
    head.remove_header(&TRANSFER_ENCODING);
    let bodiless = head.status == StatusCode::NO_CONTENT || head.status == StatusCode::NOT_MODIFIED;
    if !bodiless && !of_head {
        let length = HeaderValue::from(body.len());
        let mut said = head.headers.get_all(CONTENT_LENGTH).iter();
        // Putting in what is there already costs as much as something new.
        if said.next() != Some(&length) || said.next().is_some() {
            head.insert_header(CONTENT_LENGTH, length)?;
        }
    }
    Ok((head, body))
}

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

/// Headers and body without the flags at these places in the channel.
pub(super) fn stripped(
    channel: &Channel,
    mut headers: HeaderMap,
    body: &Body,
    strip: &[usize],
) -> (HeaderMap, Bytes) {
    let (gone, body) = unflagged(channel, body, decision::format(&headers), strip);
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
fn unflagged(
    channel: &Channel,
    body: &Body,
    format: Option<Format>,
    strip: &[usize],
) -> (Vec<HeaderName>, Bytes) {
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

/// Releases what is held of an answer that went over the cap with its `last` chunk, and
/// lets the rest stream. `None` when the verdict withholds it all the same, or when an interaction
/// that only the rest names could not be bound. The hook that calls
/// this cannot wait: who has to be waited for is nobody, and a head that cannot be
/// written at once gives the connection up.
pub(super) fn release_oversize(
    state: &State,
    session: &mut Session,
    exchange: &mut Exchange,
    last: &[u8],
) -> pingora::Result<Option<Bytes>> {
    let Some(route) = exchange.route().cloned() else {
        return Ok(None);
    };
    let Some(held) = exchange.hold.peek() else {
        return Ok(None);
    };
    let blocks = route.channel.inspection.oversize == Unreadable::Block;
    if blocks && exchange.binds_from_answer() {
        return Ok(None);
    }
    let view = AnswerView {
        status: held.head.status,
        headers: &held.head.headers,
        body: None,
    };
    let asker = at_once(asker(state, exchange)).unwrap_or(Asker::ANONYMOUS);
    let ForAnswer::Release { reason, strip } = decision::answer(&route.channel, &view, asker)
    else {
        return Ok(None);
    };
    let private = decision::needed_login(&route.channel, &view, asker.level);
    let Some(held) = exchange.hold.end() else {
        return Ok(None);
    };
    exchange.reason = reason;
    let Held {
        mut head, mut body, ..
    } = *held;
    release_head(&route.channel, &mut head, &strip, private)?;
    exchange.add_cookie(&mut head)?;
    match at_once(session.write_response_header(Box::new(head), false)) {
        Some(Ok(())) => {
            body.extend_from_slice(last);
            Ok(Some(body.freeze()))
        }
        Some(Err(error)) => Err(error),
        None => {
            exchange.broken = true;
            Error::e_explain(ErrorType::WriteError, "the customer does not read")
                .map_err(|e: Box<Error>| e.into_down())
        }
    }
}
