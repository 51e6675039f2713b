//! The signed assertion: a short-lived JWT that tells the backend who the
//! customer is, in a form it can check.

use std::time::Duration;

use crate::interaction::Identity;
use crate::time::Time;
use http::HeaderName;
use jsonwebtoken::{Algorithm, EncodingKey};

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
    pub jwk: serde_json::Value,
}

impl std::fmt::Debug for Assertion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Assertion({:?}, {})", self.header, self.kid)
    }
}

impl Assertion {
    /// Reads a PKCS #8 private key (P-256 or Ed25519) from PEM.
    pub fn from_pem(
        pem: &[u8],
        header: HeaderName,
        issuer: &str,
        audience: &str,
        ttl: Duration,
    ) -> Result<Self, String> {
        todo!()
    }

    /// The JWT: `iss aud sub iat exp`, `channel`, `interaction`, `level`, and the claims under `claims`.
    pub fn sign(
        &self,
        identity: &Identity,
        level: &str,
        channel: &str,
        interaction: &str,
        now: Time,
    ) -> Result<String, String> {
        todo!()
    }
}
