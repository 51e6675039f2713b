//! Looks the website's own session up at the website.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::lookups::{Answered, Key, Lookups};
use crate::interaction::{Identity, Level};
use crate::message::header::cookies;
use crate::message::{Json, RequestView};
use crate::outbound::{Bounds, Outbound};
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
#[derive(Debug, Default)]
pub struct SessionCache(pub(in crate::identity) Lookups<Answer>);

impl SessionCache {
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
        let ask = || {
            let (session, client) = (session.clone(), outbound.clone());
            async move {
                let answer = session.ask(&cookie, level, &client).await;
                Answered {
                    lifetime: session.lifetime(&answer),
                    weight: answer.as_ref().map_or(0, |identity| identity.weight()),
                    answer,
                }
            }
        };
        let answer = self.0.look_up(key, outbound, now, ask).await;
        answer.unwrap_or(Err(Reason::VerifierUnavailable))
    }
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
