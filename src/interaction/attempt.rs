//! Logins under way at an identity provider: what has to come back with the browser.

use subtle::ConstantTimeEq;

use crate::reason::Reason;
use crate::secret::Secret;

/// One attempt to log in by an outstanding login URL.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Hash of the `state` that was sent along.
    pub state: [u8; 32],
    /// Hash of the cookie of the browser that it was sent with.
    pub browser: [u8; 32],
    /// What nonce and PKCE verifier are made of.
    pub seed: Secret,
}

/// The attempts of one login URL, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Attempts(Vec<Attempt>);

impl Attempts {
    /// As many tabs and scanners may have a login URL open; then the oldest gives way.
    const MOST: usize = 8;

    pub(super) fn begin(&mut self, attempt: Attempt) {
        if self.0.len() >= Self::MOST {
            self.0.remove(0);
        }
        self.0.push(attempt);
    }

    /// Takes the attempt with this state out, for the browser that began it.
    /// Whoever else comes with it leaves it where it is.
    pub(super) fn end(&mut self, state: &[u8; 32], browser: &[u8; 32]) -> Result<Secret, Reason> {
        let same = |attempt: &Attempt| attempt.state.ct_eq(state).into();
        let place = self.0.iter().position(same).ok_or(Reason::LoginState)?;
        let begun = self.0.get(place).ok_or(Reason::LoginState)?;
        if !bool::from(begun.browser.ct_eq(browser)) {
            return Err(Reason::LoginBrowser);
        }
        Ok(self.0.remove(place).seed)
    }

    pub(super) fn weight(&self) -> usize {
        self.0.capacity() * (size_of::<Attempt>() + 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(number: u8) -> Attempt {
        Attempt {
            state: [number; 32],
            browser: [number % 2; 32],
            seed: Secret::new([number]),
        }
    }

    #[test]
    fn an_attempt_ends_once_and_in_its_own_browser() {
        let mut attempts = Attempts::default();
        for number in 0..3 {
            attempts.begin(attempt(number));
        }
        assert_eq!(
            attempts.end(&[1; 32], &[0; 32]).unwrap_err(),
            Reason::LoginBrowser
        );
        assert!(attempts.end(&[1; 32], &[1; 32]).unwrap().matches(&[1]));
        assert_eq!(
            attempts.end(&[1; 32], &[1; 32]).unwrap_err(),
            Reason::LoginState
        );
        assert_eq!(
            attempts.end(&[9; 32], &[1; 32]).unwrap_err(),
            Reason::LoginState
        );
        assert!(attempts.end(&[2; 32], &[0; 32]).is_ok());
    }

    #[test]
    fn there_is_an_end_to_them() {
        let mut attempts = Attempts::default();
        for number in 0..100 {
            attempts.begin(attempt(number));
        }
        assert!(attempts.weight() < 2048);
        assert!(attempts.end(&[91; 32], &[1; 32]).is_err());
        assert!(attempts.end(&[92; 32], &[0; 32]).is_ok());
    }
}
