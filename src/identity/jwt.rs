//! Signed tokens (RFC 7519). The algorithm is pinned per key; what a token's
//! header says about it is compared, never believed.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey};

use super::jwks::{JwksUrl, KeySet};
use crate::message::Selector;

/// A verification key and the one algorithm it is for.
#[derive(Clone)]
pub struct PinnedKey {
    /// Its name; a token that names another key is not verified with it.
    pub kid: Option<Box<str>>,
    /// The only algorithm it verifies.
    pub algorithm: Algorithm,
    /// The key.
    pub key: DecodingKey,
}

impl std::fmt::Debug for PinnedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PinnedKey({:?}, {:?})", self.kid, self.algorithm)
    }
}

impl PinnedKey {
    /// A shared secret, for HS256, HS384 or HS512; at least as long as the hash's output.
    pub fn from_secret(
        kid: Option<&str>,
        algorithm: Algorithm,
        secret: &[u8],
    ) -> Result<Self, String> {
        todo!()
    }

    /// A public key in PEM; RS*, PS*, ES*, EdDSA. Garbage, private keys and keys of another
    /// family are refused with a message that says which.
    pub fn from_pem(kid: Option<&str>, algorithm: Algorithm, pem: &[u8]) -> Result<Self, String> {
        todo!()
    }
}

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
    /// Accepted `iss`; empty accepts any.
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

/// Used single-use proofs until they expire by themselves; bounded, and when full
/// it refuses rather than forgets.
#[derive(Debug, Default)]
pub struct ReplayCache {
    _todo: (),
}
