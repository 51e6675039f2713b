//! Security keys: what chatgate and a channel's login page share.
//!
//! One key signs four things, and none can be taken for another: a webhook's
//! message `id.timestamp.body` has at least two dots and no colon before the
//! first, a JWT's has exactly one dot and no colon, login URLs and labels begin
//! with a word and a colon.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::secret::{self, Secret};

/// What a written key begins with (Standard Webhooks).
const PREFIX: &str = "whsec_";

/// One or two keys. The first signs, all verify: so a key is rotated without a
/// moment in which returns are refused.
#[derive(Clone, Debug)]
pub struct SecurityKeys {
    signing: Secret,
    retiring: Option<Secret>,
}

impl SecurityKeys {
    /// Reads keys written as `whsec_` and base64 of 24 to 64 bytes (Standard Webhooks).
    /// The error never contains the key.
    pub fn parse<'k>(keys: impl IntoIterator<Item = &'k str>) -> Result<Self, String> {
        let mut keys = keys.into_iter();
        let Some(first) = keys.next() else {
            return Err("a security key is needed".into());
        };
        let read = Self {
            signing: read(first)?,
            retiring: keys.next().map(read).transpose()?,
        };
        if keys.next().is_some() {
            return Err("at most two security keys can be live at once".into());
        }
        Ok(read)
    }

    /// A new key in its written form, 32 random bytes.
    pub fn generate() -> String {
        let key = Zeroizing::new(secret::random::<32>());
        format!("{PREFIX}{}", STANDARD.encode(key.as_slice()))
    }

    /// HMAC-SHA256 with the signing key.
    pub fn sign(&self, message: &[u8]) -> [u8; 32] {
        mac(&self.signing, message).finalize().into_bytes().into()
    }

    /// Whether `mac` is the HMAC-SHA256 of `message` under any of the keys; constant time.
    pub fn verify(&self, message: &[u8], mac: &[u8]) -> bool {
        // No early end: the time tells nobody which key it was.
        self.iter().fold(false, |found, key| {
            found | self::mac(key, message).verify_slice(mac).is_ok()
        })
    }

    /// The raw keys, the signing one first.
    pub fn iter(&self) -> impl Iterator<Item = &Secret> {
        std::iter::once(&self.signing).chain(&self.retiring)
    }
}

fn read(text: &str) -> Result<Secret, String> {
    let Some(encoded) = text.trim_ascii().strip_prefix(PREFIX) else {
        return Err(format!("a security key starts with {PREFIX}"));
    };
    let Ok(bytes) = STANDARD.decode(encoded) else {
        return Err(format!(
            "what follows {PREFIX} in a security key is not padded base64"
        ));
    };
    let key = Secret::new(bytes);
    if !(24..=64).contains(&key.len()) {
        let bytes = key.len();
        return Err(format!(
            "a security key has 24 to 64 bytes, this one has {bytes}"
        ));
    }
    Ok(key)
}

#[expect(clippy::expect_used, reason = "no input reaches it")]
fn mac(key: &Secret, message: &[u8]) -> Hmac<Sha256> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key.expose()).expect("HMAC takes a key of any length");
    mac.update(message);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn the_first_signs_and_all_verify() {
        let new = SecurityKeys::generate();
        let before = SecurityKeys::parse([OLD]).unwrap();
        let during = SecurityKeys::parse([new.as_str(), OLD]).unwrap();
        let after = SecurityKeys::parse([new.as_str()]).unwrap();
        let (old_mac, new_mac) = (before.sign(b"m"), during.sign(b"m"));

        assert!(during.verify(b"m", &old_mac) && during.verify(b"m", &new_mac));
        assert!(after.verify(b"m", &new_mac) && !after.verify(b"m", &old_mac));
        assert!(!during.verify(b"n", &new_mac));
        assert!(!during.verify(b"m", &new_mac[..31]) && !during.verify(b"m", b""));
    }

    #[test]
    fn generated_keys_are_read_and_differ() {
        let (one, two) = (SecurityKeys::generate(), SecurityKeys::generate());
        assert_ne!(one, two);
        assert_eq!(
            SecurityKeys::parse([one.as_str()]).unwrap().signing.len(),
            32
        );
    }

    #[test]
    fn bad_keys_are_refused_without_being_shown() {
        let of = |bytes: usize| format!("{PREFIX}{}", STANDARD.encode(vec![7; bytes]));
        for key in [
            "canary".into(),
            "WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into(),
            "whsec_canary!".into(),
            of(23),
            of(65),
            // Not canonical: the last character has bits that say nothing.
            format!("{PREFIX}{}B=", "A".repeat(34)),
            // Not padded.
            of(32).trim_end_matches('=').to_owned(),
        ] {
            let error = SecurityKeys::parse([key.as_str()]).unwrap_err();
            assert!(!error.contains(key.trim_start_matches(PREFIX)), "{error}");
        }
        assert!(SecurityKeys::parse([of(24).as_str(), of(64).as_str()]).is_ok());
        assert!(SecurityKeys::parse([]).is_err());
        assert!(SecurityKeys::parse([OLD, OLD, OLD]).is_err());
    }

    #[test]
    fn keys_do_not_print() {
        let keys = SecurityKeys::parse([OLD]).unwrap();
        assert!(!format!("{keys:?}").contains("MfKQ"));
        assert!(format!("{keys:?}").contains("[redacted]"));
    }
}
