//! Login tokens: 256 random bits, base64url, kept only as their hash.

use std::fmt;

use crate::interaction::TokenHash;

/// A login token, or the token of a `continue` URL. Does not print.
pub struct LoginToken(String);

impl LoginToken {
    /// A new one.
    pub fn generate() -> Self {
        todo!()
    }

    /// Takes one that came back; `None` unless it has the form of ours.
    pub fn parse(text: &str) -> Option<Self> {
        todo!()
    }

    /// What the store keeps.
    pub fn hash(&self) -> TokenHash {
        todo!()
    }

    /// The text, for the one URL it goes into.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for LoginToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
