//! The judgement on a held answer, carried out: release, challenge or block.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderValue, Method, Version};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorType};

use super::State;
use super::challenge::challenge;
use super::exchange::Exchange;
use super::facts::MAX_INTERACTION_ID;
use super::hold::Held;
use super::interactions;
use super::items::{self, Sorted};
use super::link;
use super::respond;
use super::stream::at_once;
use super::unflag::{forget_body, release_head, unflagged};
use crate::channel::{Channel, Kind, Unreadable};
use crate::decision::{self, Asker, ForAnswer};
use crate::interaction::{self, Level};
use crate::message::{AnswerView, Body, is_bodiless};
use crate::reason::Reason;

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
        let mut handovers = std::mem::take(&mut sorted.handovers);
        let written = release_sorted(session, exchange, channel, head, body, sorted).await;
        handovers.settle(written.is_ok()).await;
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
    if id.len() > MAX_INTERACTION_ID {
        return Err(Reason::NoInteraction);
    }
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
    let (gone, body) = unflagged(channel, &head.headers, body, strip);
    for name in &gone {
        head.remove_header(name);
    }
    release_head(channel, &mut head, strip, reason == Reason::Authenticated)?;
    head.set_version(Version::HTTP_11);
    head.remove_header(&TRANSFER_ENCODING);
    if !is_bodiless(head.status) && !of_head {
        let length = HeaderValue::from(body.len());
        let mut said = head.headers.get_all(CONTENT_LENGTH).iter();
        // Putting in what is there already costs as much as something new.
        if said.next() != Some(&length) || said.next().is_some() {
            head.insert_header(CONTENT_LENGTH, length)?;
        }
    }
    Ok((head, body))
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
    // To an HTTP/1 client no head of HTTP/2 can be written.
    head.set_version(Version::HTTP_11);
    if !head.headers.contains_key(CONTENT_LENGTH) {
        respond::unsized_head(session, &mut head)?;
    }
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
