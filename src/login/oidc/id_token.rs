//! What an ID token has to say (OpenID Connect Core 1.0, section 3.1.3.7). Its
//! signature was verified before.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;

use super::{Provider, attempt};
use crate::identity::jwt::Expected;
use crate::identity::subject;
use crate::interaction::{Identity, Level};
use crate::reason::Reason;
use crate::secret::Secret;
use crate::time::Time;

/// What an ID token is held against.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The attempt's seed, from which the nonce is made.
    pub seed: &'a Secret,
    /// The level that the flag demanded.
    pub demanded: Level,
    /// The algorithm of the token's signature.
    pub algorithm: Algorithm,
    /// The access token that came beside it.
    pub access_token: Option<&'a Secret>,
}

impl Provider {
    /// Checks the claims of an ID token. Errors: those of [`Expected::check`];
    /// `LoginNonce`; `LoginStale` when the customer was asked for credentials too long
    /// ago; `LoginLevel` when the login does not reach what was demanded;
    /// `ProofSignature` for the hash of another access token.
    pub fn check(
        &self,
        claims: &Map<String, Value>,
        wanted: &Wanted<'_>,
        now: Time,
    ) -> Result<(), Reason> {
        self.check_origin(claims, &["sub".into(), "iat".into()], now)?;
        let nonce = claims.get("nonce").and_then(Value::as_str);
        if !nonce.is_some_and(|nonce| attempt::is_nonce(wanted.seed, nonce)) {
            return Err(Reason::LoginNonce);
        }
        if let Some(hash) = claims.get("at_hash") {
            let right = wanted
                .access_token
                .map(|token| half_hash(wanted.algorithm, token));
            let hash = hash.as_str().unwrap_or_default().as_bytes();
            let same = right.is_some_and(|right| right.as_bytes().ct_eq(hash).into());
            if !same {
                return Err(Reason::ProofSignature);
            }
        }
        self.check_age(claims, now)?;
        match self.levels.level(claims, wanted.demanded) >= wanted.demanded {
            true => Ok(()),
            false => Err(Reason::LoginLevel),
        }
    }

    /// Who issued a token, for whom, and when.
    pub(super) fn check_origin(
        &self,
        claims: &Map<String, Value>,
        required: &[Box<str>],
        now: Time,
    ) -> Result<Time, Reason> {
        let issuers = [self.issuer.clone()];
        let audiences = [self.client_id.clone()];
        let expected = Expected {
            issuers: &issuers,
            audiences: &audiences,
            leeway: self.leeway,
            required,
        };
        let expires = expected.check(claims, now)?;
        let several = claims
            .get("aud")
            .and_then(Value::as_array)
            .is_some_and(|audiences| audiences.len() > 1);
        match claims.get("azp") {
            None if !several => Ok(expires),
            Some(Value::String(party)) if **party == *self.client_id => Ok(expires),
            _ => Err(Reason::ProofAudience),
        }
    }

    fn check_age(&self, claims: &Map<String, Value>, now: Time) -> Result<(), Reason> {
        let Some(most) = self.max_age else {
            return Ok(());
        };
        let asked = auth_time(claims).ok_or(Reason::ProofClaim)?;
        if asked > now + self.leeway + Duration::from_secs(1) {
            return Err(Reason::ProofNotYetValid);
        }
        match now.since(asked) <= most + self.leeway {
            true => Ok(()),
            false => Err(Reason::LoginStale),
        }
    }

    /// The customer that an OAuth server speaks of. Errors: `ProofClaim` without a
    /// subject; `LoginLevel` when the login does not reach what was demanded.
    pub fn vouched(&self, claims: Map<String, Value>, demanded: Level) -> Result<Identity, Reason> {
        let identity = self.identity(claims, Map::new(), demanded)?;
        match identity.level >= demanded {
            true => Ok(identity),
            false => Err(Reason::LoginLevel),
        }
    }

    /// The customer that checked claims speak of. `more` are the claims of the
    /// userinfo endpoint; those of the ID token win.
    pub fn identity(
        &self,
        mut claims: Map<String, Value>,
        more: Map<String, Value>,
        demanded: Level,
    ) -> Result<Identity, Reason> {
        let level = self.levels.level(&claims, demanded);
        for (name, value) in more {
            claims.entry(name).or_insert(value);
        }
        let subject = subject(&claims, &self.subject)?;
        if subject.len() > 1024 || subject.chars().any(char::is_control) {
            return Err(Reason::ProofClaim);
        }
        Ok(Identity::new(&subject, level, &self.keep(&claims)))
    }
}

/// When the customer was asked for credentials. Some providers say it with a fraction of a
/// second (RFC 7519, section 2), on which no two readers come to differ by more.
fn auth_time(claims: &Map<String, Value>) -> Option<Time> {
    let secs = claims
        .get("auth_time")?
        .as_f64()
        .filter(|secs| *secs >= 0.0)?;
    Some(Time::from_millis((secs * 1000.0) as u64))
}

/// The left half of a token's hash, by the algorithm of the signature (section 3.1.3.6).
pub(super) fn half_hash(algorithm: Algorithm, token: &Secret) -> String {
    use Algorithm::*;
    let hash = match algorithm {
        RS256 | PS256 | ES256 | HS256 => Sha256::digest(token.expose()).to_vec(),
        RS384 | PS384 | ES384 | HS384 => Sha384::digest(token.expose()).to_vec(),
        _ => Sha512::digest(token.expose()).to_vec(),
    };
    let half = hash.len() / 2;
    URL_SAFE_NO_PAD.encode(hash.get(..half).unwrap_or_default())
}
