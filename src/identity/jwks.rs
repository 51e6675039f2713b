//! Key sets (RFC 7517), from files and URLs.

use std::time::Duration;

use super::jwt::PinnedKey;
use jsonwebtoken::Algorithm;

/// The usable keys of a set.
#[derive(Debug, Default)]
pub struct KeySet {
    /// Keys, each pinned to one algorithm.
    pub keys: Vec<PinnedKey>,
}

impl KeySet {
    /// Reads a JWKS document. A key without `alg` serves the one of `algorithms` that
    /// fits its type; keys of no use here are passed over; none left is an error.
    pub fn parse(json: &[u8], algorithms: &[Algorithm]) -> Result<Self, String> {
        todo!()
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

/// Key sets by URL, old ones served while the endpoint is down.
#[derive(Debug, Default)]
pub struct JwksCache {
    _todo: (),
}
