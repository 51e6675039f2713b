//! Answers that somebody else gives: kept for a while, and asked for once at a time.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::expiring::Expiring;
use crate::outbound::{Outbound, Shared};
use crate::time::Time;

/// Hash of all that an answer depends on.
pub(super) type Key = [u8; 32];

/// Answers by key; those who ask for the same at one time wait for one answer.
/// Bounded; what makes room for others is asked for again.
pub(super) struct Lookups<A>(Arc<Mutex<Inner<A>>>);

struct Inner<A> {
    answers: Expiring<Key, A>,
    /// How often they were forgotten.
    forgotten: u64,
    under_way: HashMap<Key, Shared<A>>,
}

/// An answer, and what it costs to keep it.
pub(super) struct Answered<A> {
    pub(super) answer: A,
    /// How long it counts; zero for one that is not kept.
    pub(super) lifetime: Duration,
    /// Its weight in bytes.
    pub(super) weight: usize,
}

impl<A: Clone + Send + Sync + 'static> Lookups<A> {
    /// Most answers that are kept.
    const MAX_ANSWERS: usize = 100_000;
    /// Their weight in bytes.
    const MAX_WEIGHT: usize = 64 << 20;
    /// Most look-ups under way at one time; more are refused.
    const MAX_UNDER_WAY: usize = 4096;

    /// The answer that is kept, else the one that `ask` brings, on the runtime of
    /// `outbound`. `None` when too many are under way, or the look-up was lost.
    pub(super) async fn look_up<F>(
        &self,
        key: Key,
        outbound: &Outbound,
        now: Time,
        ask: impl FnOnce() -> F,
    ) -> Option<A>
    where
        F: Future<Output = Answered<A>> + Send + 'static,
    {
        let lookup = {
            let mut inner = lock(&self.0);
            if let Some(answer) = inner.answers.get(&key, now) {
                return Some(answer.clone());
            }
            let under_way = inner.under_way.get(&key);
            match under_way.filter(|lookup| !lookup.is_over()) {
                Some(lookup) => lookup.clone(),
                None if inner.under_way.len() >= Self::MAX_UNDER_WAY => return None,
                None => {
                    let lookup = self.begin(key, inner.forgotten, outbound, now, ask());
                    inner.under_way.insert(key, lookup.clone());
                    lookup
                }
            }
        };
        lookup.wait().await
    }

    /// Forgets the answers that are kept, and keeps none of those under way: since when
    /// they count is told by a clock that was set back.
    pub(super) fn forget(&self) {
        let mut inner = lock(&self.0);
        inner.answers = Expiring::new(Self::MAX_ANSWERS, Self::MAX_WEIGHT);
        inner.forgotten += 1;
    }

    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        lock(&self.0).under_way.is_empty()
    }

    /// Begins a look-up that notes its own answer and end. The caller holds the lock.
    fn begin(
        &self,
        key: Key,
        forgotten: u64,
        outbound: &Outbound,
        now: Time,
        ask: impl Future<Output = Answered<A>> + Send + 'static,
    ) -> Shared<A> {
        let inner = self.0.clone();
        outbound.share(async move {
            let Answered {
                answer,
                lifetime,
                weight,
            } = ask.await;
            let mut inner = lock(&inner);
            inner.under_way.remove(&key);
            if inner.forgotten == forgotten {
                let until = now + lifetime;
                inner
                    .answers
                    .insert(key, answer.clone(), weight, until, now);
            }
            answer
        })
    }
}

impl<A: Clone + Send + Sync + 'static> Default for Lookups<A> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Inner {
            answers: Expiring::new(Self::MAX_ANSWERS, Self::MAX_WEIGHT),
            forgotten: 0,
            under_way: HashMap::new(),
        })))
    }
}

impl<A> fmt::Debug for Lookups<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lookups")
    }
}

fn lock<A>(inner: &Mutex<Inner<A>>) -> MutexGuard<'_, Inner<A>> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}
