//! Signed tokens (RFC 7519). The algorithm is pinned per key; what a token's
//! header says about it is compared, never believed.

mod claims;
mod key;
mod replay;
mod token;

use std::sync::Arc;
use std::time::Duration;

pub use claims::Expected;
pub use key::PinnedKey;
pub use replay::ReplayCache;
pub use token::Token;

use super::Caches;
use super::jwks::{JwksUrl, KeySet};
use crate::interaction::{Identity, Level};
use crate::message::Selector;
use crate::reason::Reason;
use crate::time::Time;
use serde_json::{Map, Value};

/// Where keys come from.
#[derive(Clone, Debug)]
pub enum Keys {
    /// Secrets, PEM files.
    Fixed(Vec<PinnedKey>),
    /// A JWKS file, read with the configuration.
    Set(Arc<KeySet>),
    /// A JWKS URL, fetched when needed.
    Url(JwksUrl),
}

/// A verifier of tokens.
#[derive(Debug)]
pub struct Jwt {
    /// Where the token is.
    pub from: Selector,
    /// The keys, asked in order.
    pub keys: Vec<Keys>,
    /// Accepted `iss`; empty accepts any. Where it is not empty, a token of another
    /// issuer is left to the verifiers after this one.
    pub issuers: Vec<Box<str>>,
    /// Accepted `aud`; empty accepts only tokens without `aud` — see [`Jwt::verify`].
    pub audiences: Vec<Box<str>>,
    /// Tolerance for `exp` and `nbf`.
    pub leeway: Duration,
    /// Claims that must be there, beside `exp`.
    pub required: Vec<Box<str>>,
    /// The claim with the subject, `sub` unless configured.
    pub subject: Box<str>,
    /// Whether a token counts once, by its `jti`.
    pub single_use: bool,
}

impl Jwt {
    /// Whether a token, as it says itself, comes from an issuer that this verifier
    /// does not know. Nothing is verified yet.
    pub fn is_foreign(&self, token: &Token) -> bool {
        let known = |issuer: &str| self.issuers.iter().any(|known| **known == *issuer);
        !self.issuers.is_empty() && token.unverified_issuer().is_some_and(|iss| !known(iss))
    }

    /// Verifies a token: its signature, then its claims (see [`Expected::check`]),
    /// then, where it counts once, that it is new. `scope` names the channel and
    /// the verifier in which it counts once.
    ///
    /// A token that says whom it is meant for (`aud`) is refused where no audience
    /// is configured: it may be meant for somebody else (RFC 7519, section 4.1.3).
    ///
    /// The identity has all claims but those about the token itself: `aud`, `exp`,
    /// `iat`, `jti`, `nbf`.
    pub async fn verify(
        &self,
        token: Token,
        level: Level,
        scope: [&str; 2],
        caches: &Caches,
        now: Time,
    ) -> Result<Identity, Reason> {
        self.verify_signature(&token, caches, now).await?;
        let mut claims = token.into_unverified_claims();
        let expires = self.expected().check(&claims, now)?;
        let subject = super::subject(&claims, &self.subject)?;
        if self.single_use {
            let jti = jti(&claims)?;
            let [channel, verifier] = scope;
            caches
                .replays
                .use_once([channel, verifier, jti], expires, now)?;
        }
        for name in ["aud", "exp", "iat", "jti", "nbf"] {
            claims.remove(name);
        }
        Ok(Identity::new(&subject, level, &claims))
    }

    /// Asks the sources of keys in order. Where none verifies, the most telling
    /// reason: keys that cannot be had, then a bad signature, then a wrong
    /// algorithm, then a name that no key has.
    async fn verify_signature(
        &self,
        token: &Token,
        caches: &Caches,
        now: Time,
    ) -> Result<(), Reason> {
        let mut worst = Reason::ProofUnknownKey;
        for keys in &self.keys {
            let verdict = match keys {
                Keys::Fixed(keys) => token.verify(keys),
                Keys::Set(set) => token.verify(&set.keys),
                // No token of another algorithm makes us fetch anything.
                Keys::Url(url) if !url.algorithms.contains(&token.algorithm()) => {
                    Err(Reason::ProofAlgorithm)
                }
                Keys::Url(url) => {
                    let keys = caches
                        .jwks
                        .keys(url, token.kid(), &caches.outbound, now)
                        .await;
                    keys.and_then(|set| token.verify(&set.keys))
                }
            };
            let Err(reason) = verdict else { return Ok(()) };
            if rank(reason) > rank(worst) {
                worst = reason;
            }
        }
        Err(worst)
    }

    fn expected(&self) -> Expected<'_> {
        Expected {
            issuers: &self.issuers,
            audiences: &self.audiences,
            leeway: self.leeway,
            required: &self.required,
        }
    }
}

fn rank(reason: Reason) -> u8 {
    match reason {
        Reason::VerifierUnavailable => 3,
        Reason::ProofSignature => 2,
        Reason::ProofAlgorithm => 1,
        _ => 0,
    }
}

fn jti(claims: &Map<String, Value>) -> Result<&str, Reason> {
    claims
        .get("jti")
        .and_then(Value::as_str)
        .filter(|jti| !jti.is_empty())
        .ok_or(Reason::ProofClaim)
}

#[cfg(test)]
mod tests;
