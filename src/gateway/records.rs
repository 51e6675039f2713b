//! The match with the company's records: after every proof and every login, before
//! the customer counts as authenticated.

use std::sync::Arc;

use super::State;
use super::exchange::Exchange;
use crate::channel::Channel;
use crate::identity::records::Verdict;
use crate::interaction::Identity;
use crate::reason::Reason;
use crate::time::Time;

/// Who the customer is by the records of the channel, one match after the other: each
/// sees what those before it have fetched.
pub(super) async fn check(
    state: &State,
    exchange: &Exchange,
    channel: &Channel,
    mut identity: Arc<Identity>,
    now: Time,
) -> Result<Arc<Identity>, Reason> {
    for rule in &channel.matches {
        let verdict = state
            .caches
            .records
            .check(rule, &channel.name, &identity, &state.outbound, now)
            .await;
        let outcome = match &verdict {
            Verdict::Matched(_) => "matched",
            Verdict::Passed => "passed",
            Verdict::Refused(reason, _) => reason.code(),
        };
        state.metrics.matched(&channel.name, outcome);
        match verdict {
            Verdict::Matched(richer) => identity = richer,
            Verdict::Passed => tracing::warn!(
                request_id = %exchange.id(), channel = %channel.name, rule = &*rule.name,
                "the records could not be asked: the customer counts without"
            ),
            Verdict::Refused(reason, claim) => {
                tracing::info!(
                    request_id = %exchange.id(), channel = %channel.name, rule = &*rule.name,
                    reason = reason.code(), claim = claim.as_deref(), "refused by the records"
                );
                return Err(reason);
            }
        }
    }
    Ok(identity)
}
