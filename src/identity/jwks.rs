//! Key sets (RFC 7517), from files and URLs.

mod cache;

use std::str::FromStr;
use std::time::Duration;

use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde_json::{Map, Value};

use super::jwt::PinnedKey;
pub use cache::JwksCache;

/// The usable keys of a set.
#[derive(Debug, Default)]
pub struct KeySet {
    /// Keys, each pinned to one algorithm; one that serves several stands here for each.
    pub keys: Vec<PinnedKey>,
}

impl KeySet {
    /// A set with more keys than this is refused: a token without `kid` may have
    /// to be tried with each.
    const MAX_KEYS: usize = 100;

    /// Reads a JWKS document. A key without `alg` serves all of `algorithms` that fit its
    /// type, as it does for whoever signs; keys of no use here are passed over; none left
    /// is an error, which says what was wrong with each.
    ///
    /// Of no use are keys for encryption (`use`, `key_ops`), of other algorithms, of
    /// unknown types or too weak; and keys that are no public ones, symmetric or
    /// private: what is published verifies nothing.
    pub fn parse(json: &[u8], algorithms: &[Algorithm]) -> Result<Self, String> {
        let document: Value =
            serde_json::from_slice(json).map_err(|error| format!("this is not JSON: {error}"))?;
        let Some(Value::Array(entries)) = document.get("keys") else {
            return Err("there is no array \"keys\" in it".into());
        };
        if entries.len() > Self::MAX_KEYS {
            let most = Self::MAX_KEYS;
            return Err(format!("there are more than {most} keys in it"));
        }
        let mut keys = Vec::new();
        let mut faults = Vec::new();
        for (place, entry) in entries.iter().enumerate() {
            match read_key(entry, algorithms) {
                Ok(pinned) => keys.extend(pinned),
                Err(fault) => faults.push(format!("key {}: {fault}", place + 1)),
            }
        }
        match (keys.is_empty(), faults.is_empty()) {
            (false, _) => Ok(Self { keys }),
            (true, true) => Err("there is no key in it".into()),
            (true, false) => Err(format!("no usable key: {}", faults.join("; "))),
        }
    }

    /// Whether a token that names `kid` may be verified with any of the keys.
    pub fn answers_to(&self, kid: Option<&str>) -> bool {
        self.keys.iter().any(|key| key.answers_to(kid))
    }
}

/// A key set behind a URL.
#[derive(Clone, Debug)]
pub struct JwksUrl {
    /// Absolute URL.
    pub url: Box<str>,
    /// Accepted algorithms.
    pub algorithms: Vec<Algorithm>,
    /// Fetched again after this long.
    pub refresh: Duration,
    /// At most one fetch per this long, however many unknown `kid`s come.
    pub cooldown: Duration,
}

fn read_key(entry: &Value, accepted: &[Algorithm]) -> Result<Vec<PinnedKey>, String> {
    let entry = entry.as_object().ok_or("not an object")?;
    if entry.contains_key("k") || entry.contains_key("d") {
        return Err("a secret or private key, which no longer vouches for anyone".into());
    }
    if entry.get("use").is_some_and(|usage| usage != "sig") {
        return Err("not for signatures (use)".into());
    }
    let verifies = |ops: &Value| {
        ops.as_array()
            .is_some_and(|ops| ops.contains(&"verify".into()))
    };
    if entry.get("key_ops").is_some_and(|ops| !verifies(ops)) {
        return Err("not for verification (key_ops)".into());
    }
    let kid = match entry.get("kid") {
        None => None,
        Some(Value::String(kid)) => Some(kid.as_str()),
        Some(_) => return Err("its kid is not a string".into()),
    };
    algorithms(entry, accepted)?
        .into_iter()
        .map(|algorithm| PinnedKey::new(kid, algorithm, public_key(entry, algorithm)?))
        .collect()
}

/// The algorithms that a key is for, one at least: its own `alg`, where it is accepted,
/// else the accepted ones of its type.
fn algorithms(
    entry: &Map<String, Value>,
    accepted: &[Algorithm],
) -> Result<Vec<Algorithm>, String> {
    let fits = |algorithm: &Algorithm| {
        let (kty, crv) = kind(*algorithm);
        let crv_fits = crv.is_none_or(|crv| entry.get("crv").is_some_and(|own| own == crv));
        entry.get("kty").is_some_and(|own| own == kty) && crv_fits
    };
    let named = match entry.get("alg") {
        None => None,
        Some(alg) => {
            let alg = alg.as_str().and_then(|alg| Algorithm::from_str(alg).ok());
            Some(alg.ok_or("its alg is not one that is known here")?)
        }
    };
    let ours =
        |algorithm: &Algorithm| fits(algorithm) && named.is_none_or(|named| named == *algorithm);
    let algorithms: Vec<_> = accepted.iter().copied().filter(ours).collect();
    match algorithms.is_empty() {
        true => Err(format!("not a key for any of {accepted:?}")),
        false => Ok(algorithms),
    }
}

/// `kty` and, where there are several, `crv` of an algorithm's keys.
fn kind(algorithm: Algorithm) -> (&'static str, Option<&'static str>) {
    match algorithm {
        Algorithm::ES256 => ("EC", Some("P-256")),
        Algorithm::ES384 => ("EC", Some("P-384")),
        Algorithm::EdDSA => ("OKP", Some("Ed25519")),
        other if other.family() == AlgorithmFamily::Rsa => ("RSA", None),
        _ => ("oct", None),
    }
}

fn public_key(entry: &Map<String, Value>, algorithm: Algorithm) -> Result<DecodingKey, String> {
    let part = |name: &str| {
        let part = entry.get(name).and_then(Value::as_str);
        part.ok_or_else(|| format!("it has no {name}"))
    };
    let key = match algorithm.family() {
        AlgorithmFamily::Rsa => DecodingKey::from_rsa_components(part("n")?, part("e")?),
        AlgorithmFamily::Ec => DecodingKey::from_ec_components(part("x")?, part("y")?),
        AlgorithmFamily::Ed => DecodingKey::from_ed_components(part("x")?),
        AlgorithmFamily::Hmac => return Err("a secret has no place in a public set".into()),
    };
    key.map_err(|_| "its numbers are not base64url".into())
}

#[cfg(test)]
mod tests;
