//! A token as it came: read, not believed.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::PinnedKey;
use crate::message::Json;
use crate::reason::Reason;

/// A signed token in the compact form (RFC 7515, section 7.1), taken apart.
/// Nothing in it is true before [`Token::verify`]. Does not print.
pub struct Token {
    /// What is signed: header and payload as they came.
    signed: Box<str>,
    signature: Box<str>,
    algorithm: Algorithm,
    kid: Option<Box<str>>,
    claims: Map<String, Value>,
}

impl Token {
    /// The longest token that is read, in bytes.
    pub const MAX_LEN: usize = 8 * 1024;

    /// Reads a token. Members given twice, in header or payload, make it malformed,
    /// since two readers could read it differently; so does a `crit` header, since no
    /// extension is understood here. `alg` values that no key could have, `none` first
    /// of all, are [`Reason::ProofAlgorithm`]. All else is [`Reason::ProofMalformed`].
    pub fn parse(text: &str) -> Result<Self, Reason> {
        if text.len() > Self::MAX_LEN {
            return Err(Reason::ProofMalformed);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Reason::ProofMalformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Reason::ProofMalformed)?;
        let header = object(header)?;
        let claims = object(payload)?;
        if header.contains_key("crit") {
            return Err(Reason::ProofMalformed);
        }
        let kid = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) => Some(kid.as_str().into()),
            Some(_) => return Err(Reason::ProofMalformed),
        };
        let algorithm = match header.get("alg") {
            Some(Value::String(name)) => Algorithm::from_str(name),
            _ => return Err(Reason::ProofMalformed),
        };
        let algorithm = algorithm.map_err(|_| Reason::ProofAlgorithm)?;
        decode(signature)?;
        Ok(Self {
            signed: signed.into(),
            signature: signature.into(),
            algorithm,
            kid,
            claims,
        })
    }

    /// The algorithm that the header names.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key that the header names.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The `iss` that the payload names; good for choosing a verifier, for nothing else.
    pub fn unverified_issuer(&self) -> Option<&str> {
        self.claims.get("iss")?.as_str()
    }

    /// Verifies the signature with those of the keys that the token's `kid` admits
    /// and whose pinned algorithm is the token's. Errors: `ProofUnknownKey`,
    /// `ProofAlgorithm`, `ProofSignature`.
    pub fn verify<'k>(&self, keys: impl IntoIterator<Item = &'k PinnedKey>) -> Result<(), Reason> {
        let mut reason = Reason::ProofUnknownKey;
        let named = keys.into_iter().filter(|key| key.answers_to(self.kid()));
        for key in named {
            if key.algorithm != self.algorithm {
                if reason == Reason::ProofUnknownKey {
                    reason = Reason::ProofAlgorithm;
                }
                continue;
            }
            if key.verifies(self.signed.as_bytes(), &self.signature) {
                return Ok(());
            }
            reason = Reason::ProofSignature;
        }
        Err(reason)
    }

    /// The payload; true only after [`Token::verify`].
    pub fn into_unverified_claims(self) -> Map<String, Value> {
        self.claims
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[token]")
    }
}

fn decode(part: &str) -> Result<Vec<u8>, Reason> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| Reason::ProofMalformed)
}

/// A part that is a JSON object with one reading only.
fn object(part: &str) -> Result<Map<String, Value>, Reason> {
    let json = Json::parse(&decode(part)?).map_err(|_| Reason::ProofMalformed)?;
    match json.views() {
        [Value::Object(object)] => Ok(object.clone()),
        _ => Err(Reason::ProofMalformed),
    }
}
