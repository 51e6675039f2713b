//! A keyed hash beside an identifier, as chat widgets hand it over.

use crate::message::Selector;
use crate::secret::Secret;

/// The hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// HMAC-SHA256.
    Sha256,
    /// HMAC-SHA512.
    Sha512,
}

/// How the hash is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Hexadecimal, either case.
    Hex,
    /// Base64, standard or URL-safe, padded or not.
    Base64,
}

/// A verifier of identifier and hash. An identifier without a hash, and a blank
/// hash, are invalid; a request without an identifier brings no proof.
#[derive(Debug)]
pub struct IdentifierHash {
    /// Where the identifier is; it becomes the subject.
    pub identifier: Selector,
    /// Where the hash is.
    pub hash: Selector,
    /// One or two secrets.
    pub secrets: Vec<Secret>,
    /// The hash function.
    pub digest: Digest,
    /// How the hash is written.
    pub encoding: Encoding,
}
