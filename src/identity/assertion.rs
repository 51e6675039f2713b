//! The signed assertion: a short-lived JWT that tells the backend who the
//! customer is, in a form it can check.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderName;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value, json};

use super::jwks::KeySet;
use super::jwt::{Expected, Token};
use crate::interaction::Identity;
use crate::reason::Reason;
use crate::secret;
use crate::time::Time;

/// Signs assertions.
#[derive(Clone)]
pub struct Assertion {
    /// The header it travels in.
    pub header: HeaderName,
    /// `iss`.
    pub issuer: Box<str>,
    /// `aud`.
    pub audience: Box<str>,
    /// From `iat` to `exp`.
    pub ttl: Duration,
    /// ES256 or EdDSA.
    pub algorithm: Algorithm,
    /// `kid`: the RFC 7638 thumbprint of the public key.
    pub kid: Box<str>,
    /// The private key.
    pub key: EncodingKey,
    /// The public key as a JWK, for the own JWKS endpoint.
    pub jwk: Value,
}

impl Assertion {
    /// Reads a PKCS #8 private key (P-256 or Ed25519) from PEM.
    ///
    /// # Errors
    /// When it is no such key.
    pub fn from_pem(
        pem: &[u8],
        header: HeaderName,
        issuer: &str,
        audience: &str,
        ttl: Duration,
    ) -> Result<Self, String> {
        let (algorithm, key, jwk) = private_key(pem)?;
        let kid = jwk.common.key_id.clone().unwrap_or_default();
        Ok(Self {
            header,
            issuer: issuer.into(),
            audience: audience.into(),
            ttl,
            algorithm,
            kid: kid.into(),
            key,
            jwk: serde_json::to_value(jwk).map_err(|error| error.to_string())?,
        })
    }

    /// The JWT: `iss aud sub iat exp jti`, `channel`, `interaction`, `level`, and the
    /// claims under `claims`. It lasts a second at least.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn sign(
        &self,
        identity: &Identity,
        level: &str,
        channel: &str,
        interaction: &str,
        now: Time,
    ) -> Result<String, String> {
        let payload = json!({
            "iss": self.issuer,
            "aud": self.audience,
            "sub": identity.subject(),
            "iat": now.secs(),
            "exp": now.secs().saturating_add(self.ttl.as_secs().max(1)),
            "jti": URL_SAFE_NO_PAD.encode(secret::random::<16>()),
            "channel": channel,
            "interaction": interaction,
            "level": level,
            "claims": identity.claims(),
        });
        let mut head = Header::new(self.algorithm);
        head.kid = Some(self.kid.to_string());
        jsonwebtoken::encode(&head, &payload, &self.key).map_err(|error| error.to_string())
    }

    /// The document at the own JWKS endpoint, for several assertions: their public
    /// keys, each once.
    pub fn jwks<'a>(assertions: impl IntoIterator<Item = &'a Self>) -> Value {
        let mut keys: Vec<&Value> = Vec::new();
        for assertion in assertions {
            if !keys.contains(&&assertion.jwk) {
                keys.push(&assertion.jwk);
            }
        }
        json!({ "keys": keys })
    }

    /// What a backend has to do with an assertion, here for tests and as the
    /// reference for other languages:
    ///
    /// 1. choose the key by `kid` from our key set; no such key: refuse;
    /// 2. refuse another algorithm than the key's (`alg` of the JWK), then verify the signature;
    /// 3. refuse unless `iss` is our issuer and `aud` is the backend itself;
    /// 4. refuse unless `exp` lies ahead;
    /// 5. take `sub` for the customer, and refuse an assertion whose `interaction` is
    ///    not the one the request is about.
    pub fn check(
        token: &str,
        keys: &KeySet,
        issuer: &str,
        audience: &str,
        interaction: &str,
        now: Time,
    ) -> Result<Map<String, Value>, Reason> {
        let token = Token::parse(token)?;
        if token.kid().is_none() {
            return Err(Reason::ProofUnknownKey);
        }
        token.verify(&keys.keys)?;
        let claims = token.into_unverified_claims();
        let expected = Expected {
            issuers: &[issuer.into()],
            audiences: &[audience.into()],
            ..Expected::default()
        };
        expected.check(&claims, now)?;
        super::subject(&claims, "sub")?;
        match claims.get("interaction") {
            Some(Value::String(named)) if named == interaction => Ok(claims),
            _ => Err(Reason::ProofClaim),
        }
    }
}

impl fmt::Debug for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Assertion({:?}, {})", self.header, self.kid)
    }
}

/// A private key, what it signs with, and its public half, named by its thumbprint.
fn private_key(pem: &[u8]) -> Result<(Algorithm, EncodingKey, Jwk), String> {
    const ADVICE: &str = "needed is a PKCS #8 private key, P-256 or Ed25519: \
                          openssl genpkey -algorithm ed25519";
    let text = String::from_utf8_lossy(pem);
    if text.contains("-----BEGIN EC PRIVATE KEY-----") {
        return Err("this key is not PKCS #8; convert it: openssl pkcs8 -topk8 -nocrypt".into());
    }
    let refused = |_| ADVICE.to_string();
    let (algorithm, key) = match EncodingKey::from_ec_pem(pem) {
        Ok(key) => (Algorithm::ES256, key),
        Err(_) => (
            Algorithm::EdDSA,
            EncodingKey::from_ed_pem(pem).map_err(refused)?,
        ),
    };
    let mut jwk = Jwk::from_encoding_key(&key, algorithm).map_err(refused)?;
    jwk.common.key_id = Some(jwk.thumbprint(ThumbprintHash::SHA256).map_err(refused)?);
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    Ok((algorithm, key, jwk))
}

#[cfg(test)]
mod tests;
