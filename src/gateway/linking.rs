//! A platform says by a signed request whose login it was. The request itself goes on
//! to the backend in any case: it may be more than a word about a login.

use std::sync::Arc;

use super::State;
use super::exchange::Exchange;
use super::{notice, resume};
use crate::channel::linking::Word;
use crate::channel::{Channel, Kind, Route};
use crate::interaction::{Interaction, Key};
use crate::login::LoginToken;
use crate::message::RequestView;
use crate::reason::Reason;
use crate::time::Time;

/// What a request says of a login. One that is not signed says nothing, and neither does
/// one that says two things.
pub(super) fn word(route: &Route, view: &RequestView<'_>) -> Option<Word> {
    let linking = route.channel.login.as_ref()?.linking.as_ref()?;
    if route.kind != Kind::Message || route.signatures.verify.is_empty() {
        return None;
    }
    linking.word(view).unwrap_or_else(|reason| {
        tracing::warn!(
            channel = %route.channel.name, reason = reason.code(),
            "what the platform says of a login has two readings"
        );
        None
    })
}

/// Does what the platform says: binds the login, or ends it.
pub(super) async fn hear(
    state: &Arc<State>,
    exchange: &Exchange,
    channel: &Arc<Channel>,
    word: Word,
    now: Time,
) {
    let Some(key) = &exchange.key else { return };
    let heard = match word {
        Word::Unlinked => unlink(state, exchange, channel, key, now).await,
        Word::Linked(ticket) => link(state, exchange, channel, key, &ticket, true, now).await,
        Word::Refused(ticket) => link(state, exchange, channel, key, &ticket, false, now).await,
    };
    let (Ok(reason) | Err(reason)) = heard;
    state.metrics.returned(&channel.name, reason);
    tracing::info!(
        request_id = %exchange.id(), channel = %channel.name, reason = reason.code(),
        "the platform speaks of a login"
    );
}

/// The login with this ticket counts for the chat that the request is from, if it was
/// made for that chat. Where it was made for another one, the login is over: somebody
/// logged in with a link that somebody else was sent.
async fn link(
    state: &Arc<State>,
    exchange: &Exchange,
    channel: &Arc<Channel>,
    key: &Key,
    ticket: &str,
    linked: bool,
    now: Time,
) -> Result<Reason, Reason> {
    let ticket = LoginToken::parse(ticket).ok_or(Reason::TokenUnknown)?;
    let ticket = ticket.hash();
    let place = state.store.locate(&ticket).await?;
    if place.channel() != key.channel() {
        return Err(Reason::LinkForeign);
    }
    let ends = match (&place == key, linked) {
        (false, _) => Some(Reason::LinkForeign),
        (true, false) => Some(Reason::LinkRefused),
        (true, true) => None,
    };
    let clocks = &channel.clocks;
    let bound = state
        .store
        .update(&place, clocks, now, |slot| {
            let interaction = slot.as_mut().ok_or(Reason::TokenRevoked)?;
            if let Some(reason) = ends {
                interaction.disown(&ticket, reason, now)?;
                return Err(reason);
            }
            if !interaction.owned_by(exchange.evidence) {
                return Err(Reason::NotOwner);
            }
            interaction.bind(&ticket, None, clocks, now)
        })
        .await?;
    let config = &exchange.config;
    notice::tell_bound(state, config, channel, &place, &bound).await;
    let (redeemed, identity) = bound?;
    resume::after_login(state, exchange, channel, key, identity, redeemed, now);
    Ok(Reason::LoginSucceeded)
}

/// The platform took the customer's link away: so the login ends.
async fn unlink(
    state: &State,
    exchange: &Exchange,
    channel: &Channel,
    key: &Key,
    now: Time,
) -> Result<Reason, Reason> {
    let end = |slot: &mut Option<Interaction>| match slot {
        Some(interaction) if !interaction.owned_by(exchange.evidence) => Err(Reason::NotOwner),
        Some(interaction) => {
            interaction.log_out();
            Ok(Reason::Unlinked)
        }
        None => Ok(Reason::Unlinked),
    };
    state.store.update(key, &channel.clocks, now, end).await?
}
