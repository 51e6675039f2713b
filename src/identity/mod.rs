//! Who is it: verifiers of the proof that a website hands over, and the signed
//! assertion that tells the backend.

pub mod assertion;
mod expiring;
pub mod hmac;
pub mod jwks;
pub mod jwt;
mod lookups;
pub mod records;
pub mod session;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::interaction::{Identity, Level};
use crate::message::RequestView;
use crate::outbound::Outbound;
use crate::reason::Reason;
use crate::secret::Secret;
use crate::time::Time;

/// One way to prove an identity.
#[derive(Debug)]
pub struct Verifier {
    /// The operator's name for it, for logs.
    pub name: Box<str>,
    /// The level that a proof of this kind establishes.
    pub level: Level,
    /// How it verifies.
    pub kind: Kind,
}

/// The kinds of verifiers.
#[derive(Debug)]
pub enum Kind {
    /// A signed token.
    Jwt(jwt::Jwt),
    /// A keyed hash beside an identifier.
    Hmac(hmac::IdentifierHash),
    /// A look-up of the website's own session.
    Session(session::Session),
}

/// What a request proves.
#[derive(Clone, Debug)]
pub enum Proof {
    /// It brings no proof.
    Absent,
    /// It brings a proof that holds.
    Valid(Arc<Identity>),
    /// It brings a proof that does not hold; never treated as absent.
    Invalid(Reason),
}

/// What verifiers need at run time. Lives as long as the process, so that a
/// reload of the configuration forgets neither keys nor used proofs.
#[derive(Debug)]
pub struct Caches {
    /// Key sets by URL.
    pub jwks: jwks::JwksCache,
    /// Session look-ups.
    pub sessions: session::SessionCache,
    /// Look-ups of the company's records.
    pub records: records::RecordCache,
    /// What counts once and was used: proofs, signatures, logouts, failed logins.
    pub replays: jwt::ReplayCache,
    /// The client.
    pub outbound: Arc<Outbound>,
}

impl Caches {
    /// Empty ones.
    pub fn new(outbound: Arc<Outbound>) -> Self {
        Self {
            jwks: jwks::JwksCache::default(),
            sessions: session::SessionCache::default(),
            records: records::RecordCache::default(),
            replays: jwt::ReplayCache::default(),
            outbound,
        }
    }

    /// The clock is set forward, and stands at `now` yet: used proofs are remembered as
    /// long as without that.
    pub fn set_forward(&self, by: Duration, now: Time) {
        self.replays.set_forward(by, now);
    }

    /// The clock was set back: nothing counts longer for that. Sessions and records are
    /// looked up again; used proofs are remembered until they run out by the clock.
    pub fn set_back(&self, by: Duration) {
        self.replays.set_back(by);
        self.jwks.set_back(by);
        self.sessions.0.forget();
        self.records.0.forget();
    }
}

/// Asks the verifiers in the order written. The first one that finds a proof of
/// its kind decides; the name tells which.
///
/// One exception lets several issuers share a header: a token of an issuer that a
/// verifier does not know is left to the verifiers after it. When none of them
/// finds a proof either, it is invalid ([`Reason::ProofIssuer`]), not absent.
///
/// The request is read before this returns; the future does not borrow it.
pub fn verify<'v>(
    verifiers: &'v [Verifier],
    channel: &'v str,
    request: &RequestView<'_>,
    caches: &'v Caches,
    now: Time,
) -> impl Future<Output = (Proof, Option<&'v str>)> + Send + use<'v> {
    let found = find(verifiers, request);
    async move {
        let Some((verifier, evidence)) = found else {
            return (Proof::Absent, None);
        };
        let verdict = match evidence {
            Ok(evidence) => verifier.judge(evidence, channel, caches, now).await,
            Err(reason) => Err(reason),
        };
        let proof = verdict.map_or_else(Proof::Invalid, Proof::Valid);
        (proof, Some(&*verifier.name))
    }
}

/// What a verifier found in a request; yet to be judged.
enum Evidence<'v> {
    Token(&'v jwt::Jwt, jwt::Token),
    Hash(&'v hmac::IdentifierHash, hmac::Claimed),
    Session(&'v session::Session, Secret),
}

type Found<'v> = (&'v Verifier, Result<Evidence<'v>, Reason>);

fn find<'v>(verifiers: &'v [Verifier], request: &RequestView<'_>) -> Option<Found<'v>> {
    let mut foreign = None;
    for verifier in verifiers {
        let Some(evidence) = verifier.find(request).transpose() else {
            continue;
        };
        match evidence {
            Ok(Evidence::Token(jwt, token)) if jwt.is_foreign(&token) => {
                foreign = foreign.or(Some((verifier, Err(Reason::ProofIssuer))));
            }
            evidence => return Some((verifier, evidence)),
        }
    }
    foreign
}

impl Verifier {
    /// Whether it looks for its proof in a request's body.
    pub fn needs_body(&self) -> bool {
        match &self.kind {
            Kind::Jwt(jwt) => jwt.from.needs_body(),
            Kind::Hmac(hmac) => hmac.identifier.needs_body() || hmac.hash.needs_body(),
            Kind::Session(_) => false,
        }
    }

    fn find(&self, request: &RequestView<'_>) -> Result<Option<Evidence<'_>>, Reason> {
        Ok(match &self.kind {
            Kind::Jwt(jwt) => match jwt.from.request(request)? {
                Some(text) => Some(Evidence::Token(jwt, jwt::Token::parse(&text)?)),
                None => None,
            },
            Kind::Hmac(hash) => hash
                .find(request)?
                .map(|claimed| Evidence::Hash(hash, claimed)),
            Kind::Session(session) => session
                .find(request)?
                .map(|cookie| Evidence::Session(session, cookie)),
        })
    }

    async fn judge(
        &self,
        evidence: Evidence<'_>,
        channel: &str,
        caches: &Caches,
        now: Time,
    ) -> Result<Arc<Identity>, Reason> {
        match evidence {
            Evidence::Token(jwt, token) => {
                let scope = [channel, &*self.name];
                let identity = jwt.verify(token, self.level, scope, caches, now).await?;
                Ok(Arc::new(identity))
            }
            Evidence::Hash(hash, claimed) => Ok(Arc::new(hash.verify(&claimed, self.level)?)),
            Evidence::Session(session, cookie) => {
                let sessions = &caches.sessions;
                sessions
                    .look_up(session, cookie, channel, self.level, &caches.outbound, now)
                    .await
            }
        }
    }
}

/// The subject among claims: a string that is not blank, or a whole number, as its
/// decimal text. Other numbers lose digits when read, and so could become another
/// customer's; they are [`Reason::ProofClaim`], as everything else is.
pub(crate) fn subject(claims: &Map<String, Value>, name: &str) -> Result<Box<str>, Reason> {
    match claims.get(name) {
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(text.as_str().into()),
        Some(Value::Number(number)) if !number.is_f64() => Ok(number.to_string().into()),
        _ => Err(Reason::ProofClaim),
    }
}

/// A hash of several texts; no two different lists have the same input.
fn digest(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
