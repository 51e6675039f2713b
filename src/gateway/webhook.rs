//! A request of the backend's to the client: it is judged as an answer over HTTP
//! is, and what is withheld never goes on; the challenge goes in its place.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, USER_AGENT,
};
use http::{HeaderMap, HeaderName};
use pingora::http::RequestHeader;
use pingora::proxy::Session;

use super::State;
use super::challenge::challenge;
use super::exchange::Exchange;
use super::{facts, link, unflag, verdict};
use crate::channel::{Login, Route};
use crate::decision::{self, Asker, ForAnswer, Forward};
use crate::interaction::{Evidence, Key};
use crate::message::{AnswerView, Body, RequestView};
use crate::reason::Reason;

/// What of a withheld request's head goes on with the challenge: where it is to,
/// and who sends it. Everything else may tell of what was withheld.
const ADDRESS: &[HeaderName] = &[HOST, AUTHORIZATION, USER_AGENT, ACCEPT];

/// Judges the request, and puts what goes on in its place.
pub(super) async fn judge(
    state: &Arc<State>,
    session: &Session,
    exchange: &mut Exchange,
    route: &Arc<Route>,
) -> Result<(), Reason> {
    let channel = &route.channel;
    let headers = &session.req_header().headers;
    exchange.forward = Some(Forward::anonymous(route.kind));
    let most = channel.inspection.max_body;
    let bytes = exchange.body.as_ref().map(|body| body.bytes().clone());
    let body = bytes.map(|bytes| Body::of(headers, bytes, most));
    let view = AnswerView::message(headers, body.as_ref());

    if !state.releases.is_empty() {
        wait_for_turn(state, exchange, route, headers).await;
    }
    let mut verdict = decision::answer(channel, &view, Asker::ANONYMOUS);
    if !matches!(verdict, ForAnswer::Release { .. }) {
        let request = exchange.view(headers).ok_or(Reason::Internal)?;
        let interaction = interaction(route, &request, &verdict)?;
        exchange.key = interaction.map(|id| Key::new(&channel.name, &id));
        exchange.evidence = Evidence::Unasked;
        let asker = asker(state, exchange, route).await;
        verdict = decision::answer(channel, &view, asker);
    }
    match verdict {
        ForAnswer::Release { reason, strip } => {
            exchange.reason = reason;
            let Some(body) = body.filter(|_| !strip.is_empty() || channel.link.is_some()) else {
                if !strip.is_empty() {
                    let unread = Body::new(Bytes::new());
                    let (headers, _) = unflag::stripped(channel, headers.clone(), &unread, &strip);
                    exchange.outgoing = Some(headers);
                }
                return Ok(());
            };
            let (mut headers, body) = unflag::stripped(channel, headers.clone(), &body, &strip);
            let linked = linked(state, session, exchange, route, &headers, &body).await?;
            if linked.is_some() || !strip.is_empty() {
                if linked.is_some() {
                    headers.remove(CONTENT_ENCODING);
                }
                exchange.edited = Some(linked.unwrap_or(body));
                exchange.outgoing = Some(headers);
            }
            Ok(())
        }
        ForAnswer::Block(reason) => Err(reason),
        ForAnswer::Challenge { flag, level } => {
            if body.as_ref().is_none_or(|body| body.bytes().is_empty()) {
                // A request without a body cannot gain one.
                return Err(Reason::ChallengeImpossible);
            }
            let reply = challenge(state, session, exchange, &view, level).await?;
            let name = channel.flags.get(flag).map_or("", |flag| &*flag.name);
            tracing::debug!(request_id = %exchange.id(), flag = name, "challenged");
            exchange.reason = Reason::Flagged;
            exchange.outgoing = Some(addressed(reply.headers, headers));
            exchange.edited = Some(reply.body);
            Ok(())
        }
    }
}

/// The head of what goes in a withheld request's place.
pub(super) fn addressed(mut ours: HeaderMap, came: &HeaderMap) -> HeaderMap {
    for name in ADDRESS {
        for value in came.get_all(name) {
            ours.append(name.clone(), value.clone());
        }
    }
    ours
}

/// Waits for messages to the same customer that are being released, as long as one
/// attempt at that may take.
async fn wait_for_turn(state: &State, exchange: &Exchange, route: &Route, headers: &HeaderMap) {
    let channel = &route.channel;
    let release = channel.login.as_ref().and_then(Login::release);
    let (Some(release), Some(request)) = (release, exchange.view(headers)) else {
        return;
    };
    if let Ok(Some(id)) = facts::interaction(route, &request) {
        let key = Key::new(&channel.name, &id);
        state.releases.over(&key, release.timeout).await;
    }
}

/// The body with a login URL of ours in place of the backend's own.
async fn linked(
    state: &Arc<State>,
    session: &Session,
    exchange: &mut Exchange,
    route: &Arc<Route>,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Option<Bytes>, Reason> {
    let channel = &route.channel;
    let read = Body::of(headers, body.clone(), channel.inspection.max_body);
    if channel.link_in(headers, &read).is_none() {
        return Ok(None);
    }
    if exchange.key.is_none() {
        let request = exchange.view(&session.req_header().headers);
        let interaction = facts::interaction(route, &request.ok_or(Reason::Internal)?)?;
        exchange.key = interaction.map(|id| Key::new(&channel.name, &id));
        exchange.evidence = Evidence::Unasked;
    }
    let asker = asker(state, exchange, route).await;
    link::rewrite(
        state, session, exchange, channel, headers, body, asker, None,
    )
    .await
}

/// Whom a request is for that not everybody may see. One that cannot be read at all
/// is refused for that.
pub(super) fn interaction(
    route: &Route,
    request: &RequestView<'_>,
    verdict: &ForAnswer,
) -> Result<Option<String>, Reason> {
    facts::interaction(route, request).map_err(|reason| match verdict {
        ForAnswer::Block(unreadable) if *unreadable != Reason::ChallengeImpossible => *unreadable,
        _ => reason,
    })
}

/// Who the request is for. Where the channel knows its customers by evidence, an
/// interaction that nobody owns yet cannot be logged in to: whoever came next would
/// be taken for a stranger.
async fn asker(state: &State, exchange: &Exchange, route: &Route) -> Asker {
    let mut asker = verdict::asker(state, exchange).await;
    if let (Some(_), Some(key)) = (&route.channel.owner, &exchange.key) {
        let clocks = &route.channel.clocks;
        let owned = state
            .store
            .read(key, clocks, state.clock.now(), |interaction| {
                interaction.is_some_and(crate::interaction::Interaction::has_owner)
            })
            .await;
        asker.named = asker.named && owned.unwrap_or(false);
    }
    asker
}

/// Puts the head that goes on in place of the one that came.
pub(super) fn readdress(head: &mut RequestHeader, outgoing: &HeaderMap) -> pingora::Result<()> {
    let framing = [HOST, CONTENT_LENGTH, TRANSFER_ENCODING];
    let doomed = head.headers.keys().filter(|name| !framing.contains(name));
    let doomed: Vec<HeaderName> = doomed.cloned().collect();
    for name in &doomed {
        head.remove_header(name);
    }
    for (name, value) in outgoing.iter().filter(|(name, _)| !framing.contains(name)) {
        head.append_header(name.clone(), value.clone())?;
    }
    Ok(())
}
