//! What requests leave on their interaction: that they came, a login, a message.

use std::sync::Arc;

use pingora::proxy::Session;

use super::State;
use super::exchange::Exchange;
use super::kept;
use crate::channel::{Channel, Kind, Route};
use crate::interaction::{Evidence, Identity, Interaction, Key, Standing};
use crate::reason::Reason;
use crate::time::Time;

/// Notes the request on its interaction. A store that is full leaves the customer
/// anonymous; it never refuses the message.
pub(super) async fn touch(
    state: &State,
    channel: &Channel,
    key: &Key,
    evidence: Evidence,
    now: Time,
) -> Standing {
    let noted = state
        .store
        .update(key, &channel.clocks, now, |slot| {
            slot.get_or_insert_with(|| Interaction::new(now))
                .touch(&channel.clocks, evidence, now)
        })
        .await;
    noted.unwrap_or_else(|reason| {
        tracing::warn!(channel = %channel.name, reason = reason.code(), "the interaction could not be noted");
        Default::default()
    })
}

/// Binds a proven identity to its interaction.
pub(super) async fn log_in(
    state: &State,
    channel: &Channel,
    key: &Key,
    evidence: Evidence,
    identity: &Arc<Identity>,
    now: Time,
) -> Result<(), Reason> {
    if !channel.keeps_state() {
        return Ok(());
    }
    state
        .store
        .update(key, &channel.clocks, now, |slot| {
            let interaction = slot.get_or_insert_with(|| Interaction::new(now));
            interaction.log_in(identity.clone(), &channel.clocks, evidence, now)
        })
        .await?
}

/// Keeps a customer's message where the answer to it comes by a webhook, which does
/// not say what it answers.
pub(super) async fn remember(
    state: &State,
    session: &Session,
    exchange: &Exchange,
    route: &Route,
    now: Time,
) {
    let channel = &route.channel;
    let Some(key) = exchange
        .key
        .as_ref()
        .filter(|_| route.kind == Kind::Message && exchange.config.routes.has_webhooks(channel))
    else {
        return;
    };
    let Some(message) = kept::request(session, exchange) else {
        return;
    };
    let kept = state
        .store
        .update(key, &channel.clocks, now, |slot| match slot {
            Some(interaction) => interaction.remember(message.clone(), exchange.evidence),
            None => Ok(()),
        })
        .await;
    if let Err(reason) = kept {
        tracing::warn!(channel = %channel.name, reason = reason.code(), "the message could not be kept");
    }
}
