//! How a login ended, told in the chat: a socket says it at once, the client of a
//! webhook is sent it, a stream or a polled answer brings it with its next message, and
//! the `continue` URL answers with it.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;

use super::side_call::call_values;
use super::{State, release};
use crate::channel::outcome::{Ended, Outcomes};
use crate::channel::{Channel, Login};
use crate::config::Config;
use crate::interaction::{Evidence, HandedOut, Identity, Interaction, Key, Leg, Redeemed};
use crate::reason::Reason;

/// Tells the chat.
pub(super) async fn tell(
    state: &Arc<State>,
    config: &Arc<Config>,
    channel: &Arc<Channel>,
    key: &Key,
    ended: Ended,
    identity: Option<&Identity>,
) {
    if outcomes(channel).is_none() {
        return;
    }
    let (body, kind) = text(state, config, channel, key, ended, identity).unzip();
    // A socket has a word of its own for a success.
    let socket = channel.socket.as_ref();
    let greets = ended == Ended::Success && socket.is_some_and(|s| s.on_login.is_some());
    let now = state.clock.now();
    let sent = state.store.update(key, &channel.clocks, now, |slot| {
        let interaction = slot.as_mut()?;
        let greeted = greets && interaction.is_addressed(&Leg::Socket);
        interaction.tell(body.clone().filter(|_| !greeted))
    });
    let Ok(Some(mut message)) = sent.await else {
        return;
    };
    if let Some(kind) = kind {
        message.headers.insert(CONTENT_TYPE, kind);
    }
    release::send(state, config, channel, key, message);
}

/// Tells the chat whether a login is its own.
pub(super) async fn tell_bound(
    state: &Arc<State>,
    config: &Arc<Config>,
    channel: &Arc<Channel>,
    key: &Key,
    bound: &Result<(Redeemed, Arc<Identity>), Reason>,
) {
    let ended = match bound {
        Ok(_) => Some(Ended::Success),
        // There may be a newer login URL, whose time is not over.
        Err(Reason::TokenExpired) => return give_up(state, config, channel, key).await,
        Err(reason) => Ended::of(*reason),
    };
    let identity = bound.as_ref().ok().map(|(_, identity)| &**identity);
    if let Some(ended) = ended {
        tell(state, config, channel, key, ended, identity).await;
    }
}

/// What the chat is told, and its type; `None` where nothing is.
pub(super) fn text(
    state: &State,
    config: &Config,
    channel: &Channel,
    key: &Key,
    ended: Ended,
    identity: Option<&Identity>,
) -> Option<(Bytes, HeaderValue)> {
    let notice = outcomes(channel)?.notice(ended)?;
    let now = state.clock.now();
    let values = call_values(config, channel, key, identity, now, ended.name());
    match notice.body.render(&values) {
        Ok(body) => Some((body.into(), notice.content_type.clone())),
        Err(error) => {
            tracing::error!(channel = %channel.name, outcome = ended.name(), %error, "the outcome could not be written");
            None
        }
    }
}

/// What a leg has to tell now, to whoever shows this evidence.
pub(super) async fn due(
    state: &Arc<State>,
    config: &Arc<Config>,
    channel: &Arc<Channel>,
    key: &Key,
    evidence: Evidence,
    leg: &Leg,
) -> HandedOut {
    if outcomes(channel).is_none() {
        return HandedOut::default();
    }
    lapse(state, config, channel, key, leg).await;
    let (clocks, now) = (&channel.clocks, state.clock.now());
    let look = |interaction: Option<&Interaction>| interaction.is_some_and(|i| i.tells(leg));
    let waits = state.store.read(key, clocks, now, look).await;
    if !waits.unwrap_or_default() {
        return HandedOut::default();
    }
    let told = state.store.update(key, clocks, now, |slot| match slot {
        Some(interaction) => interaction.told(leg, evidence),
        None => HandedOut::default(),
    });
    told.await.unwrap_or_default()
}

/// Gives up a login URL whose time is over, where that is told on this leg.
pub(super) async fn lapse(
    state: &Arc<State>,
    config: &Arc<Config>,
    channel: &Arc<Channel>,
    key: &Key,
    leg: &Leg,
) {
    if outcomes(channel).is_none() {
        return;
    }
    let (clocks, now) = (&channel.clocks, state.clock.now());
    let late = |interaction: Option<&Interaction>| {
        interaction.is_some_and(|i| i.is_overdue(now) && i.is_addressed(leg))
    };
    let late = state.store.read(key, clocks, now, late).await;
    if late.unwrap_or_default() {
        give_up(state, config, channel, key).await;
    }
}

/// Gives up a login URL that nobody came back by in time.
pub(super) async fn give_up(
    state: &Arc<State>,
    config: &Arc<Config>,
    channel: &Arc<Channel>,
    key: &Key,
) {
    let now = state.clock.now();
    let expired = state.store.update(key, &channel.clocks, now, |slot| {
        slot.as_mut().is_some_and(|i| i.expire(now))
    });
    if expired.await.unwrap_or(false) {
        tell(state, config, channel, key, Ended::Timeout, None).await;
    }
}

/// What the channel tells of logins.
pub(super) fn outcomes(channel: &Channel) -> Option<&Outcomes> {
    let login: &Login = channel.login.as_ref()?;
    login.outcomes.as_ref()
}
