//! Key sets by URL.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use jsonwebtoken::Algorithm;

use super::{JwksUrl, KeySet};
use crate::outbound::{Bounds, Outbound, Shared};
use crate::reason::Reason;
use crate::time::Time;

/// Key sets by URL, old ones served while the endpoint is down.
///
/// Nothing runs by itself: a set is fetched when a token names a key that is not
/// there, or asks for a set that is older than its refresh time. The token waits
/// for it, and so do all others that ask meanwhile. Between two fetches of one URL
/// lies at least its cooldown, whatever tokens name and however the first ended.
///
/// A fetch that fails, or brings no usable key, leaves the old set in service,
/// however old. From then on, until one succeeds, no token whose key is in the old
/// set waits for a fetch.
#[derive(Debug, Default)]
pub struct JwksCache {
    sets: Mutex<HashMap<Id, Entry>>,
}

/// The same URL read for other algorithms is another set.
type Id = (Box<str>, Vec<Algorithm>);

/// What a fetch brought; `None` when it failed.
type Fetched = Option<Arc<KeySet>>;

#[derive(Debug, Default)]
struct Entry {
    set: Option<Arc<KeySet>>,
    /// When the set was asked for.
    since: Time,
    /// Whether the last fetch that ended failed.
    failing: bool,
    /// The last fetch, and when it was begun.
    fetch: Option<(Time, Shared<Fetched>)>,
}

impl JwksCache {
    /// What a fetch may take.
    const BOUNDS: Bounds = Bounds {
        timeout: Duration::from_secs(5),
        max_body: 256 * 1024,
    };

    /// The keys for a token that names `kid`: an up-to-date set if it can be had,
    /// else the last one, though the named key may not be in it. Error:
    /// `VerifierUnavailable` when no set was ever had.
    pub async fn keys(
        &self,
        source: &JwksUrl,
        kid: Option<&str>,
        outbound: &Arc<Outbound>,
        now: Time,
    ) -> Result<Arc<KeySet>, Reason> {
        let fetch = self.with_entry(source, |entry| entry.ask(source, kid, outbound, now));
        if let Some(fetch) = fetch {
            fetch.wait().await;
        }
        self.with_entry(source, |entry| entry.set.clone())
            .ok_or(Reason::VerifierUnavailable)
    }

    /// The clock was set back: a set is as old as before.
    pub(crate) fn set_back(&self, by: Duration) {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in sets.values_mut() {
            entry.since = entry.since - by;
            if let Some((begun, _)) = &mut entry.fetch {
                *begun = *begun - by;
            }
        }
    }

    fn with_entry<T>(&self, source: &JwksUrl, work: impl FnOnce(&mut Entry) -> T) -> T {
        let id = (source.url.clone(), source.algorithms.clone());
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = sets.entry(id).or_default();
        entry.settle();
        work(entry)
    }
}

impl Entry {
    /// Takes in what the last fetch brought.
    fn settle(&mut self) {
        let Some((begun, fetch)) = self.fetch.as_ref().filter(|(_, fetch)| fetch.is_over()) else {
            return;
        };
        match fetch.outcome().flatten() {
            Some(set) => {
                self.set = Some(set);
                self.since = *begun;
                self.failing = false;
            }
            None => self.failing = true,
        }
    }

    /// The fetch that a token has to wait for, begun if it is time for one.
    fn ask(
        &mut self,
        source: &JwksUrl,
        kid: Option<&str>,
        outbound: &Arc<Outbound>,
        now: Time,
    ) -> Option<Shared<Fetched>> {
        let knows = self.set.as_ref().is_some_and(|set| set.answers_to(kid));
        if knows && now.apart(self.since) < source.refresh {
            return None;
        }
        let fetch = match &self.fetch {
            Some((_, fetch)) if !fetch.is_over() => fetch.clone(),
            Some((begun, _)) if now.apart(*begun) < source.cooldown => return None,
            _ => {
                let fetch = outbound.share(fetch(source.clone(), outbound.clone()));
                self.fetch = Some((now, fetch.clone()));
                fetch
            }
        };
        (!(knows && self.failing)).then_some(fetch)
    }
}

async fn fetch(source: JwksUrl, outbound: Arc<Outbound>) -> Fetched {
    match try_fetch(&source, &outbound).await {
        Ok(set) => Some(Arc::new(set)),
        Err(error) => {
            tracing::warn!(url = &*source.url, error, "no key set");
            None
        }
    }
}

async fn try_fetch(source: &JwksUrl, outbound: &Outbound) -> Result<KeySet, String> {
    let request = Request::get(&*source.url)
        .header(header::ACCEPT, "application/jwk-set+json, application/json")
        .body(Bytes::new())
        .map_err(|error| error.to_string())?;
    let answer = outbound
        .call(request, JwksCache::BOUNDS)
        .await
        .map_err(|error| error.to_string())?;
    match answer.status() {
        StatusCode::OK => KeySet::parse(answer.body(), &source.algorithms),
        status => Err(format!("the answer is {status}")),
    }
}
