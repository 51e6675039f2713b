//! A keyed hash beside an identifier, as chat widgets hand it over.

use ::hmac::{Hmac, Mac};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde_json::Map;
use sha2::{Sha256, Sha512};

use crate::interaction::{Identity, Level};
use crate::message::{RequestView, Selector};
use crate::reason::Reason;
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

/// Who a request claims to come from, and the hash it brings.
#[derive(Debug)]
pub struct Claimed {
    identifier: String,
    hash: String,
}

impl IdentifierHash {
    /// Identifier and hash in a request; `None` without an identifier.
    pub fn find(&self, request: &RequestView<'_>) -> Result<Option<Claimed>, Reason> {
        let Some(identifier) = self.identifier.request(request)? else {
            return Ok(None);
        };
        let hash = self.hash.request(request)?.ok_or(Reason::ProofMalformed)?;
        Ok(Some(Claimed { identifier, hash }))
    }

    /// Verifies the hash, with any of the secrets and in constant time. Errors:
    /// `ProofMalformed` for a hash that is not written as it should be,
    /// `ProofSignature` for a wrong one.
    pub fn verify(&self, claimed: &Claimed, level: Level) -> Result<Identity, Reason> {
        let hash = self
            .encoding
            .decode(&claimed.hash)
            .filter(|hash| !hash.is_empty())
            .ok_or(Reason::ProofMalformed)?;
        if claimed.identifier.trim().is_empty() {
            return Err(Reason::ProofMalformed);
        }
        let message = claimed.identifier.as_bytes();
        // Every secret is tried, so that the time does not tell which one it was.
        let holds = self.secrets.iter().fold(false, |holds, secret| {
            self.digest.verifies(secret, message, &hash) | holds
        });
        match holds {
            true => Ok(Identity::new(&claimed.identifier, level, &Map::new())),
            false => Err(Reason::ProofSignature),
        }
    }
}

impl Digest {
    /// Whether `hash`, whole, is the HMAC of `message`. An empty secret vouches for nothing.
    fn verifies(self, secret: &Secret, message: &[u8], hash: &[u8]) -> bool {
        fn check<M: Mac + ::hmac::digest::KeyInit>(
            key: &[u8],
            message: &[u8],
            hash: &[u8],
        ) -> bool {
            let mac = <M as Mac>::new_from_slice(key);
            mac.is_ok_and(|mac| mac.chain_update(message).verify_slice(hash).is_ok())
        }
        let key = secret.expose();
        !key.is_empty()
            && match self {
                Self::Sha256 => check::<Hmac<Sha256>>(key, message, hash),
                Self::Sha512 => check::<Hmac<Sha512>>(key, message, hash),
            }
    }
}

impl Encoding {
    /// The hash as it is written: hexadecimal in lower case, base64 standard and padded.
    pub fn encode(self, hash: &[u8]) -> String {
        match self {
            Self::Hex => hex::encode(hash),
            Self::Base64 => STANDARD.encode(hash),
        }
    }

    /// Reads a written hash; `None` for what is none.
    pub fn decode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Hex => hex::decode(text).ok(),
            Self::Base64 => {
                let text = text.trim_end_matches('=');
                let standard = text.replace('-', "+").replace('_', "/");
                STANDARD_NO_PAD.decode(standard).ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn verifier(digest: Digest, encoding: Encoding, secrets: &[&[u8]]) -> IdentifierHash {
        IdentifierHash {
            identifier: Selector(Vec::new()),
            hash: Selector(Vec::new()),
            secrets: secrets.iter().map(|secret| Secret::new(*secret)).collect(),
            digest,
            encoding,
        }
    }

    fn claimed(identifier: &str, hash: &str) -> Claimed {
        Claimed {
            identifier: identifier.into(),
            hash: hash.into(),
        }
    }

    fn verify(by: &IdentifierHash, identifier: &str, hash: &str) -> Result<(), Reason> {
        by.verify(&claimed(identifier, hash), Level(1)).map(drop)
    }

    /// RFC 4231, test case 2.
    const JEFE: &[u8] = b"Jefe";
    const QUESTION: &str = "what do ya want for nothing?";
    const SHA256: &str = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    const SHA512: &str = "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554\
                          9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737";

    #[test]
    fn rfc_4231_case_2() {
        let sha256 = verifier(Digest::Sha256, Encoding::Hex, &[JEFE]);
        let sha512 = verifier(Digest::Sha512, Encoding::Hex, &[JEFE]);
        assert_eq!(verify(&sha256, QUESTION, SHA256), Ok(()));
        assert_eq!(verify(&sha512, QUESTION, SHA512), Ok(()));
        let crossed = Err(Reason::ProofSignature);
        assert_eq!(verify(&sha256, QUESTION, SHA512), crossed);
        assert_eq!(verify(&sha512, QUESTION, SHA256), crossed);
    }

    #[test]
    fn rfc_4231_case_6_a_key_longer_than_a_block() {
        let key = [0xaa; 131];
        let by = verifier(Digest::Sha256, Encoding::Hex, &[&key]);
        let text = "Test Using Larger Than Block-Size Key - Hash Key First";
        let hash = "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54";
        assert_eq!(verify(&by, text, hash), Ok(()));
    }

    #[test]
    fn spellings_of_one_hash() {
        let hex = verifier(Digest::Sha256, Encoding::Hex, &[JEFE]);
        assert_eq!(verify(&hex, QUESTION, &SHA256.to_uppercase()), Ok(()));

        let base64 = verifier(Digest::Sha256, Encoding::Base64, &[JEFE]);
        let padded = "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=";
        for hash in [padded, padded.trim_end_matches('=')] {
            assert_eq!(verify(&base64, QUESTION, hash), Ok(()));
        }
        // Another message, whose hash has both letters that differ between the alphabets.
        let (message, hash) = ("customer-13", {
            let mut mac = Hmac::<Sha256>::new_from_slice(JEFE).unwrap();
            mac.update(b"customer-13");
            STANDARD_NO_PAD.encode(mac.finalize().into_bytes())
        });
        let url_safe = hash.replace('+', "-").replace('/', "_");
        assert_eq!(verify(&base64, message, &hash), Ok(()));
        assert_eq!(verify(&base64, message, &url_safe), Ok(()));
    }

    #[test]
    fn a_blank_or_cut_hash_is_invalid() {
        for encoding in [Encoding::Hex, Encoding::Base64] {
            let by = verifier(Digest::Sha256, encoding, &[JEFE]);
            for hash in ["", " ", "=", "==", "é", "0"] {
                let verdict = verify(&by, QUESTION, hash);
                assert_eq!(verdict, Err(Reason::ProofMalformed), "{hash:?}");
            }
        }
        let by = verifier(Digest::Sha256, Encoding::Hex, &[JEFE]);
        let cut = Err(Reason::ProofSignature);
        assert_eq!(verify(&by, QUESTION, &SHA256[..32]), cut);
        assert_eq!(verify(&by, QUESTION, &format!("{SHA256}00")), cut);
    }

    #[test]
    fn two_secrets_live_at_once_and_none_means_nobody() {
        let both = verifier(Digest::Sha256, Encoding::Hex, &[b"new", JEFE]);
        assert_eq!(verify(&both, QUESTION, SHA256), Ok(()));
        let refused = Err(Reason::ProofSignature);
        let new = verifier(Digest::Sha256, Encoding::Hex, &[b"new"]);
        assert_eq!(verify(&new, QUESTION, SHA256), refused);
        let none = verifier(Digest::Sha256, Encoding::Hex, &[]);
        assert_eq!(verify(&none, QUESTION, SHA256), refused);
    }

    #[test]
    fn an_empty_secret_vouches_for_nothing() {
        let empty = verifier(Digest::Sha256, Encoding::Hex, &[b""]);
        let mac = Hmac::<Sha256>::new_from_slice(b"").unwrap();
        let hash = hex::encode(mac.chain_update("alice").finalize().into_bytes());
        let verdict = verify(&empty, "alice", &hash);
        assert_eq!(verdict, Err(Reason::ProofSignature));
    }

    proptest! {
        #[test]
        fn another_identifier_never_verifies(identifier in ".{0,40}") {
            prop_assume!(identifier != QUESTION);
            let by = verifier(Digest::Sha256, Encoding::Hex, &[JEFE]);
            prop_assert!(verify(&by, &identifier, SHA256).is_err());
        }

        #[test]
        fn random_hashes_never_verify(bytes in prop::collection::vec(any::<u8>(), 0..80), text in ".{0,80}") {
            for encoding in [Encoding::Hex, Encoding::Base64] {
                let by = verifier(Digest::Sha256, encoding, &[JEFE]);
                prop_assert!(verify(&by, QUESTION, &hex::encode(&bytes)).is_err());
                prop_assert!(verify(&by, QUESTION, &STANDARD_NO_PAD.encode(&bytes)).is_err());
                prop_assert!(verify(&by, QUESTION, &text).is_err());
            }
        }
    }
}
