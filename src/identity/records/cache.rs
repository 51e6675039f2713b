//! Asks directories, keeps their answers for a while.

use std::sync::Arc;
use std::time::Duration;

use super::{Match, Verdict};
use crate::directory::{Fault, Record};
use crate::identity::digest;
use crate::identity::lookups::{Answered, Lookups};
use crate::interaction::Identity;
use crate::outbound::Outbound;
use crate::reason::Reason;
use crate::time::Time;

/// Answers of directories by channel, rule and the values asked for; concurrent
/// questions for the same become one.
#[derive(Debug, Default)]
pub struct RecordCache(pub(in crate::identity) Lookups<Answer>);

type Answer = Result<Option<Arc<Record>>, Fault>;

impl RecordCache {
    /// Longest record that is taken over, in bytes.
    const MAX_RECORD: usize = 64 << 10;

    /// Asks for the record and judges the customer by it. Nobody is asked where the
    /// customer lacks what the query looks for: [`Reason::RecordMissing`].
    pub async fn check(
        &self,
        rule: &Arc<Match>,
        channel: &str,
        identity: &Arc<Identity>,
        outbound: &Arc<Outbound>,
        now: Time,
    ) -> Verdict {
        let Some(values) = rule.values(identity) else {
            return Verdict::Refused(Reason::RecordMissing, None);
        };
        let id = hex::encode(rule.id);
        let mut parts = vec![channel, &*rule.name, &id];
        parts.extend(values.iter().map(String::as_str));
        let key = digest(&parts);
        let ask = || {
            let (rule, client) = (rule.clone(), outbound.clone());
            async move {
                let answer = ask(&rule, &values, &client, now).await;
                Answered {
                    lifetime: lifetime(&rule, &answer),
                    weight: answer.as_ref().map_or(0, weight),
                    answer,
                }
            }
        };
        let lost = || Err(Fault::Unavailable("too much is asked of it".into()));
        let answer = self.0.look_up(key, outbound, now, ask).await;
        rule.judge(identity, &answer.unwrap_or_else(lost))
    }
}

async fn ask(rule: &Match, values: &[String], outbound: &Outbound, now: Time) -> Answer {
    let fields = rule.fields();
    let directory = &rule.directory;
    let found = directory
        .find(&rule.query, values, &fields, outbound, now)
        .await;
    let found = found.map(|record| record.map(Arc::new)).and_then(|found| {
        match weight(&found) > RecordCache::MAX_RECORD {
            true => Err(Fault::Refused("the record is too long".into())),
            false => Ok(found),
        }
    });
    if let Err(error @ (Fault::Unavailable(_) | Fault::Refused(_))) = &found {
        tracing::warn!(directory = &*directory.name, rule = &*rule.name, %error, "no look into the records");
    }
    found
}

/// How long an answer counts. Nobody being there to ask is no answer, nor is a refusal.
fn lifetime(rule: &Match, answer: &Answer) -> Duration {
    match answer {
        Ok(Some(_)) => rule.cache,
        Ok(None) | Err(Fault::Ambiguous) => rule.cache.min(Duration::from_secs(5)),
        Err(Fault::Unavailable(_) | Fault::Refused(_)) => Duration::ZERO,
    }
}

/// Approximate heap size in bytes.
fn weight(found: &Option<Arc<Record>>) -> usize {
    let Some(record) = found else {
        return 0;
    };
    let fields = record.fields.iter();
    let fields = fields.map(|(name, value)| name.len() + value.to_string().len() + 64);
    size_of::<Record>() + record.name.len() + fields.sum::<usize>()
}
