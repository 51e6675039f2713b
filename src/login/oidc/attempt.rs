//! One attempt to log in at a provider: `state`, `nonce` and the PKCE verifier.
//!
//! The state is the login token's hash and 256 random bits, so that the interaction
//! is found by it and it is bound to the one login URL. What is kept is its hash, and
//! a seed that nonce and verifier are made of.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::interaction::{Attempt, TokenHash};
use crate::secret::{self, Secret};

/// An attempt that begins. Does not print.
pub struct Pending {
    state: String,
    seed: Secret,
}

impl Pending {
    /// A new one for the login URL with this token.
    pub fn new(token: &TokenHash) -> Self {
        let state = [token.0, secret::random::<32>()].concat();
        Self {
            state: URL_SAFE_NO_PAD.encode(state),
            seed: Secret::new(secret::random::<32>()),
        }
    }

    /// What the interaction keeps of it; `browser` is the value of the browser's cookie.
    pub fn attempt(&self, browser: &str) -> Attempt {
        Attempt {
            state: hash("state", &self.state),
            browser: browser_hash(browser),
            seed: self.seed.clone(),
        }
    }

    /// `state`.
    pub fn state(&self) -> &str {
        &self.state
    }

    /// `nonce`.
    pub fn nonce(&self) -> String {
        nonce(&self.seed)
    }

    /// `code_challenge` (RFC 7636, section 4.2; S256).
    pub fn code_challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(verifier(&self.seed)))
    }
}

/// A `state` that came back: 86 characters, in the one spelling that its bytes have.
/// Does not print.
pub struct State(String);

impl State {
    /// Takes it; `None` unless it has the form of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 64];
        if text.len() != 86 || URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).is_err() {
            return None;
        }
        Some(Self(text.to_owned()))
    }

    /// The login token's hash that it names.
    pub fn token(&self) -> TokenHash {
        let mut token = [0; 32];
        let bytes = URL_SAFE_NO_PAD.decode(&self.0).unwrap_or_default();
        for (place, byte) in token.iter_mut().zip(bytes) {
            *place = byte;
        }
        TokenHash(token)
    }

    /// What the interaction kept of it.
    pub fn hash(&self) -> [u8; 32] {
        hash("state", &self.0)
    }
}

/// What is kept of a browser's cookie.
pub fn browser_hash(cookie: &str) -> [u8; 32] {
    hash("browser", cookie)
}

/// Whether a `nonce` is the one of this seed; constant time.
pub fn is_nonce(seed: &Secret, text: &str) -> bool {
    nonce(seed).as_bytes().ct_eq(text.as_bytes()).into()
}

/// `code_verifier` (RFC 7636, section 4.1): 43 characters.
pub fn verifier(seed: &Secret) -> String {
    derived("verifier", seed)
}

fn nonce(seed: &Secret) -> String {
    derived("nonce", seed)
}

/// The seed has a fixed length, so no two purposes share an input.
fn derived(purpose: &str, seed: &Secret) -> String {
    let hash = Sha256::new()
        .chain_update("chatgate-oidc-")
        .chain_update(purpose)
        .chain_update([0])
        .chain_update(seed.expose());
    URL_SAFE_NO_PAD.encode(hash.finalize())
}

fn hash(purpose: &str, text: &str) -> [u8; 32] {
    let hash = Sha256::new()
        .chain_update("chatgate-oidc-")
        .chain_update(purpose)
        .chain_update([0])
        .chain_update(text);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_goes_out_comes_back() {
        let token = TokenHash([7; 32]);
        let (one, two) = (Pending::new(&token), Pending::new(&token));
        assert_ne!(one.state(), two.state());
        assert_ne!(one.nonce(), two.nonce());
        let state = State::parse(one.state()).unwrap();
        assert_eq!(state.token(), token);
        let kept = one.attempt("cookie");
        assert_eq!(kept.state, state.hash());
        assert_ne!(kept.state, State::parse(two.state()).unwrap().hash());
        assert_eq!(kept.browser, browser_hash("cookie"));
        assert_ne!(kept.browser, browser_hash("other"));
        assert!(is_nonce(&kept.seed, &one.nonce()));
        assert!(!is_nonce(&kept.seed, &two.nonce()) && !is_nonce(&kept.seed, ""));
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier(&kept.seed)));
        assert_eq!(challenge, one.code_challenge());
        assert_eq!(verifier(&kept.seed).len(), 43);
        // What travels in the open says nothing of what does not.
        assert_ne!(verifier(&kept.seed), one.nonce());
    }

    #[test]
    fn other_spellings_are_not_ours() {
        let zeros = "A".repeat(86);
        assert!(State::parse(&zeros).is_some());
        for text in [
            "",
            &"A".repeat(85),
            &"A".repeat(87),
            &format!("{}B", "A".repeat(85)),
            &format!("{}=", "A".repeat(85)),
            &format!("+{}", "A".repeat(85)),
            &"é".repeat(43),
        ] {
            assert!(State::parse(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_state_has_one_spelling(text in "[A-Za-z0-9_=+/-]{85,87}") {
            if State::parse(&text).is_some() {
                let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
                prop_assert_eq!(URL_SAFE_NO_PAD.encode(bytes), text);
            }
        }
    }
}
