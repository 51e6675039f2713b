//! Login tokens: 256 random bits, base64url, kept only as their hash.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use zeroize::ZeroizeOnDrop;

use crate::interaction::TokenHash;
use crate::secret;

/// A login token, or the token of a `continue` URL. Does not print.
#[derive(ZeroizeOnDrop)]
pub struct LoginToken(String);

impl LoginToken {
    /// A new one.
    pub fn generate() -> Self {
        Self(URL_SAFE_NO_PAD.encode(secret::random::<32>()))
    }

    /// Takes one that came back; `None` unless it has the form of ours: 32 bytes
    /// in 43 characters, in the one spelling that these bytes have.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        // 43 characters cannot decode to anything but 32 bytes, and the decoder
        // refuses trailing bits.
        if text.len() != 43 || URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).is_err() {
            return None;
        }
        Some(Self(text.to_owned()))
    }

    /// What the store keeps.
    pub fn hash(&self) -> TokenHash {
        let hash = Sha256::new()
            .chain_update("chatgate-token:")
            .chain_update(&self.0);
        TokenHash(hash.finalize().into())
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_generated_is_read_and_never_the_same() {
        let (one, two) = (LoginToken::generate(), LoginToken::generate());
        assert_ne!(one.expose(), two.expose());
        assert_ne!(one.hash(), two.hash());
        let read = LoginToken::parse(one.expose()).unwrap();
        assert_eq!(read.hash(), one.hash());
        assert_eq!(format!("{one:?}"), "[redacted]");
    }

    #[test]
    fn other_spellings_are_not_ours() {
        let zeros = "A".repeat(43);
        assert!(LoginToken::parse(&zeros).is_some());
        for text in [
            "",
            &"A".repeat(42),
            &"A".repeat(44),
            &format!("{}=", "A".repeat(42)),
            &format!("{zeros}="),
            // The same 32 bytes with bits left over.
            &format!("{}B", "A".repeat(42)),
            // The standard alphabet.
            &format!("+{}", "A".repeat(42)),
            &format!(" {}", "A".repeat(42)),
            &"é".repeat(21),
        ] {
            assert!(LoginToken::parse(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_token_has_one_spelling(text in "[A-Za-z0-9_=+/-]{42,44}") {
            if let Some(token) = LoginToken::parse(&text) {
                let bytes = URL_SAFE_NO_PAD.decode(token.expose()).unwrap();
                prop_assert_eq!(URL_SAFE_NO_PAD.encode(bytes), text);
            }
        }
    }
}
