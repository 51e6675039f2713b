//! The registered claims of a token (RFC 7519, section 4.1).

use std::time::Duration;

use serde_json::{Map, Value};

use crate::reason::Reason;
use crate::time::Time;

/// What a verified payload must say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected<'a> {
    /// Accepted `iss`; empty accepts any.
    pub issuers: &'a [Box<str>],
    /// Accepted `aud`; empty accepts only payloads without `aud`.
    pub audiences: &'a [Box<str>],
    /// Tolerance for `exp`, `nbf` and `iat`.
    pub leeway: Duration,
    /// Claims that must be there and not `null`, beside `exp`.
    pub required: &'a [Box<str>],
}

impl Expected<'_> {
    /// How far ahead of us the issuer's clock may be in `iat`, beside the leeway:
    /// `iat` limits nothing by itself, but one from the far future is a fault.
    const IAT_TOLERANCE: Duration = Duration::from_secs(300);

    /// Checks a payload whose signature holds. Returns when it stops counting:
    /// `exp` and the leeway.
    ///
    /// Times are whole, non-negative numbers of seconds up to the end of the year
    /// 9999; strings, fractions and anything beyond are [`Reason::ProofClaim`], for
    /// readers disagree on them. Further: `ProofIssuer`, `ProofAudience`,
    /// `ProofExpired`, `ProofNotYetValid`.
    pub fn check(&self, claims: &Map<String, Value>, now: Time) -> Result<Time, Reason> {
        self.check_issuer(claims)?;
        self.check_audience(claims)?;
        let exp = time(claims, "exp")?.ok_or(Reason::ProofClaim)?;
        let expires = exp + self.leeway;
        if now >= expires {
            return Err(Reason::ProofExpired);
        }
        let starts = time(claims, "nbf")?;
        if starts.is_some_and(|nbf| nbf > now + self.leeway) {
            return Err(Reason::ProofNotYetValid);
        }
        let issued = time(claims, "iat")?;
        if issued.is_some_and(|iat| iat > now + self.leeway + Self::IAT_TOLERANCE) {
            return Err(Reason::ProofNotYetValid);
        }
        let is_there = |name: &str| claims.get(name).is_some_and(|value| !value.is_null());
        match self.required.iter().all(|name| is_there(name)) {
            true => Ok(expires),
            false => Err(Reason::ProofClaim),
        }
    }

    fn check_issuer(&self, claims: &Map<String, Value>) -> Result<(), Reason> {
        let issuer = match claims.get("iss") {
            None => None,
            Some(Value::String(issuer)) => Some(issuer.as_str()),
            Some(_) => return Err(Reason::ProofIssuer),
        };
        match self.issuers.is_empty() || issuer.is_some_and(|iss| contains(self.issuers, iss)) {
            true => Ok(()),
            false => Err(Reason::ProofIssuer),
        }
    }

    fn check_audience(&self, claims: &Map<String, Value>) -> Result<(), Reason> {
        let is_ours = |value: &Value| {
            value
                .as_str()
                .is_some_and(|audience| contains(self.audiences, audience))
        };
        let holds = match claims.get("aud") {
            None => self.audiences.is_empty(),
            Some(Value::Array(several)) => {
                several.iter().all(Value::is_string) && several.iter().any(is_ours)
            }
            Some(one) => is_ours(one),
        };
        match holds {
            true => Ok(()),
            false => Err(Reason::ProofAudience),
        }
    }
}

/// The end of the year 9999, in seconds since the Unix epoch.
const LAST_SECOND: u64 = 253_402_300_799;

/// A NumericDate; `None` when there is none.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<Time>, Reason> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let secs = value.as_u64().filter(|secs| *secs <= LAST_SECOND);
    secs.map(|secs| Some(Time::from_secs(secs)))
        .ok_or(Reason::ProofClaim)
}

fn contains(known: &[Box<str>], text: &str) -> bool {
    known.iter().any(|known| **known == *text)
}
