//! The side call: the backend is told of a login before the first message passes
//! with it.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::State;
use crate::channel::Channel;
use crate::config::Config;
use crate::interaction::{Identity, Key};
use crate::outbound::Bounds;
use crate::reason::Reason;
use crate::telemetry::Id;
use crate::time::Time;

/// Longest answer of a side call that is read.
const MAX_ANSWER: usize = 64 << 10;

/// Makes the side call, for the request that the log names, and notes that it was made.
pub(super) async fn announce(
    state: &State,
    request_id: Id,
    config: &Config,
    channel: &Channel,
    key: &Key,
    identity: &Arc<Identity>,
    login_time: Time,
) -> Result<(), Reason> {
    let Some(call) = &channel.side_call else {
        return Ok(());
    };
    let values = call_values(config, channel, key, Some(identity), login_time, "success");
    let id = crate::secret::id("side-");
    let request = call.request(&values, &id, state.clock.now()).map_err(|error| {
        tracing::error!(%request_id, channel = %channel.name, %error, "the side call could not be made");
        Reason::SideCallFailed
    })?;
    let bounds = Bounds {
        timeout: call.timeout,
        max_body: MAX_ANSWER,
    };
    match state.outbound.call(request, bounds).await {
        Ok(answer) if answer.status().is_success() => {}
        Ok(answer) => {
            tracing::warn!(%request_id, channel = %channel.name, status = answer.status().as_u16(), "the side call was refused");
            return Err(Reason::SideCallFailed);
        }
        Err(error) => {
            tracing::warn!(%request_id, channel = %channel.name, ?error, "the side call did not complete");
            return Err(Reason::SideCallFailed);
        }
    }
    let now = state.clock.now();
    state
        .store
        .update(key, &channel.clocks, now, |slot| {
            if let Some(interaction) = slot {
                interaction.announced(identity, &channel.clocks, now);
            }
        })
        .await
}

/// The variables of call templates.
pub(super) fn call_values(
    config: &Config,
    channel: &Channel,
    key: &Key,
    identity: Option<&Identity>,
    login_time: Time,
    outcome: &str,
) -> Map<String, Value> {
    let mut values = Map::new();
    values.insert("channel".into(), (*channel.name).into());
    values.insert("interaction".into(), key.interaction().into());
    values.insert(
        "subject".into(),
        identity.map_or("", Identity::subject).into(),
    );
    let level = identity.map_or("anonymous", |identity| config.level_name(identity.level));
    values.insert("level".into(), level.into());
    values.insert(
        "claims".into(),
        identity.map(Identity::claims).unwrap_or_default().into(),
    );
    values.insert("login_time".into(), login_time.secs().into());
    values.insert("outcome".into(), outcome.into());
    values
}
