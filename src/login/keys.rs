//! Security keys: what chatgate and a channel's login page share.

use crate::secret::Secret;

/// One or two keys. The first signs, all verify: so a key is rotated without a
/// moment in which returns are refused.
#[derive(Clone, Debug)]
pub struct SecurityKeys(Vec<Secret>);

impl SecurityKeys {
    /// Reads keys written as `whsec_` and base64 of 24 to 64 bytes (Standard Webhooks).
    /// The error never contains the key.
    pub fn parse<'k>(keys: impl IntoIterator<Item = &'k str>) -> Result<Self, String> {
        todo!()
    }

    /// A new key in its written form, 32 random bytes.
    pub fn generate() -> String {
        todo!()
    }

    /// HMAC-SHA256 with the signing key.
    pub fn sign(&self, message: &[u8]) -> [u8; 32] {
        todo!()
    }

    /// Whether `mac` is the HMAC-SHA256 of `message` under any of the keys; constant time.
    pub fn verify(&self, message: &[u8], mac: &[u8]) -> bool {
        todo!()
    }

    /// The raw keys, for JWT verification.
    pub fn iter(&self) -> impl Iterator<Item = &Secret> {
        self.0.iter()
    }
}
