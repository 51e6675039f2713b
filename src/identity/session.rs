//! Looks the website's own session up at the website.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::expiring::Expiring;
use crate::interaction::{Identity, Level};
use crate::message::header::cookies;
use crate::message::{Json, RequestView};
use crate::outbound::{Bounds, Outbound, Shared};
use crate::reason::Reason;
use crate::secret::Secret;
use crate::time::Time;

/// A verifier by session cookie.
#[derive(Clone, Debug)]
pub struct Session {
    /// The website's session cookie; sent on, alone, as `Cookie`.
    pub cookie: Box<str>,
    /// Asked with GET; a 2xx JSON object is the claims, 401/403/404 an unknown session.
    pub url: Box<str>,
    /// The claim with the subject.
    pub subject: Box<str>,
    /// How long an answer counts; also a refusal, but at most 5 s.
    pub cache: Duration,
    /// How long the website may take.
    pub timeout: Duration,
}

impl Session {
    /// Longest answer that is read, in bytes.
    const MAX_ANSWER: usize = 64 * 1024;

    /// The session cookie in a request: not empty. Two that differ are
    /// [`Reason::AmbiguousValue`].
    pub fn find(&self, request: &RequestView<'_>) -> Result<Option<Secret>, Reason> {
        let mut values = cookies(request.headers, &self.cookie).filter(|value| !value.is_empty());
        let Some(first) = values.next() else {
            return Ok(None);
        };
        match values.all(|value| value == first) {
            true => Ok(Some(Secret::new(first))),
            false => Err(Reason::AmbiguousValue),
        }
    }

    /// Asks the website.
    async fn ask(&self, cookie: &Secret, level: Level, outbound: &Outbound) -> Answer {
        let request = self.request(cookie).map_err(|_| Reason::ProofMalformed)?;
        let bounds = Bounds {
            timeout: self.timeout,
            max_body: Self::MAX_ANSWER,
        };
        match outbound.call(request, bounds).await {
            Ok(answer) => self.read(&answer, level),
            Err(error) => {
                tracing::warn!(url = &*self.url, %error, "no session look-up");
                Err(Reason::VerifierUnavailable)
            }
        }
    }

    fn request(&self, cookie: &Secret) -> Result<Request<Bytes>, http::Error> {
        let mut pair = self.cookie.as_bytes().to_vec();
        pair.push(b'=');
        pair.extend_from_slice(cookie.expose());
        let mut pair = HeaderValue::from_bytes(&pair)?;
        pair.set_sensitive(true);
        Request::get(&*self.url)
            .header(header::COOKIE, pair)
            .header(header::ACCEPT, "application/json")
            .body(Bytes::new())
    }

    /// A redirect is how many websites answer whom they do not know.
    fn read(&self, answer: &Response<Bytes>, level: Level) -> Answer {
        match answer.status() {
            status if status.is_success() => self.identity(answer.body(), level),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
                Err(Reason::SessionUnknown)
            }
            status if status.is_redirection() => Err(Reason::SessionUnknown),
            status => {
                tracing::warn!(url = &*self.url, %status, "no session look-up");
                Err(Reason::VerifierUnavailable)
            }
        }
    }

    fn identity(&self, body: &[u8], level: Level) -> Answer {
        let json = Json::parse(body).ok();
        let Some([Value::Object(claims)]) = json.as_ref().map(Json::views) else {
            tracing::warn!(
                url = &*self.url,
                "the session look-up brought no JSON object"
            );
            return Err(Reason::VerifierUnavailable);
        };
        let subject = super::subject(claims, &self.subject)?;
        Ok(Arc::new(Identity::new(&subject, level, claims)))
    }

    /// How long an answer counts. Nobody being there to ask is no answer.
    fn lifetime(&self, answer: &Answer) -> Duration {
        match answer {
            Ok(_) => self.cache,
            Err(Reason::VerifierUnavailable) => Duration::ZERO,
            Err(_) => self.cache.min(Duration::from_secs(5)),
        }
    }
}

/// Who a session belongs to, or why it proves nothing.
type Answer = Result<Arc<Identity>, Reason>;

/// Look-ups by channel, URL and SHA-256 of the cookie; concurrent ones become one.
/// Bounded; what makes room for others is asked for again.
pub struct SessionCache {
    lookups: Arc<Mutex<Lookups>>,
}

struct Lookups {
    answers: Expiring<Key, Answer>,
    under_way: HashMap<Key, Shared<Answer>>,
}

/// Hash of all that an answer depends on, the cookie among it.
type Key = [u8; 32];

impl SessionCache {
    /// Most answers that are kept.
    const MAX_ANSWERS: usize = 100_000;
    /// Their weight in bytes.
    const MAX_WEIGHT: usize = 64 << 20;
    /// Most look-ups under way at one time; more are refused.
    const MAX_UNDER_WAY: usize = 4096;

    /// Who a session belongs to. Errors: `SessionUnknown`, `ProofClaim` for an answer
    /// that names no subject, `VerifierUnavailable` when the website cannot be asked
    /// or answers anything else; that one is never kept.
    pub async fn look_up(
        &self,
        session: &Session,
        cookie: Secret,
        channel: &str,
        level: Level,
        outbound: &Arc<Outbound>,
        now: Time,
    ) -> Result<Arc<Identity>, Reason> {
        let key = key(session, &cookie, channel, level);
        let lookup = {
            let mut lookups = lock(&self.lookups);
            if let Some(answer) = lookups.answers.get(&key, now) {
                return answer.clone();
            }
            let under_way = lookups.under_way.get(&key);
            match under_way.filter(|lookup| !lookup.is_over()) {
                Some(lookup) => lookup.clone(),
                None if lookups.under_way.len() >= Self::MAX_UNDER_WAY => {
                    return Err(Reason::VerifierUnavailable);
                }
                None => {
                    let lookup = self.begin(key, session, cookie, level, outbound, now);
                    lookups.under_way.insert(key, lookup.clone());
                    lookup
                }
            }
        };
        let answer = lookup.wait().await;
        answer.unwrap_or(Err(Reason::VerifierUnavailable))
    }

    /// Begins a look-up that notes its own answer and end. The caller holds the lock.
    fn begin(
        &self,
        key: Key,
        session: &Session,
        cookie: Secret,
        level: Level,
        outbound: &Arc<Outbound>,
        now: Time,
    ) -> Shared<Answer> {
        let lookups = self.lookups.clone();
        let session = session.clone();
        let client = outbound.clone();
        outbound.share(async move {
            let answer = session.ask(&cookie, level, &client).await;
            let until = now + session.lifetime(&answer);
            let weight = answer.as_ref().map_or(0, |identity| identity.weight());
            let mut lookups = lock(&lookups);
            lookups.under_way.remove(&key);
            lookups
                .answers
                .insert(key, answer.clone(), weight, until, now);
            answer
        })
    }
}

impl Default for SessionCache {
    fn default() -> Self {
        let lookups = Lookups {
            answers: Expiring::new(Self::MAX_ANSWERS, Self::MAX_WEIGHT),
            under_way: HashMap::new(),
        };
        Self {
            lookups: Arc::new(Mutex::new(lookups)),
        }
    }
}

impl fmt::Debug for SessionCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionCache")
    }
}

fn lock(lookups: &Mutex<Lookups>) -> MutexGuard<'_, Lookups> {
    lookups.lock().unwrap_or_else(PoisonError::into_inner)
}

fn key(session: &Session, cookie: &Secret, channel: &str, level: Level) -> Key {
    let cookie = hex::encode(Sha256::digest(cookie.expose()));
    let level = level.0.to_string();
    super::digest(&[
        channel,
        &session.url,
        &session.subject,
        &level,
        &session.cookie,
        &cookie,
    ])
}

#[cfg(test)]
mod tests;
