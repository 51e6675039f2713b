//! A login page of our own: what it looks like, what it says, who tries too often.
//!
//! | module | what |
//! |---|---|
//! | [`look`] | title, logo and colour, and the page around everything |
//! | [`texts`] | what pages say, in the customer's language |
//! | [`throttle`] | how often somebody may try |

pub mod look;
pub mod texts;
pub mod throttle;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::LoginToken;
use crate::directory::ldap::MAX_PASSWORD;
use crate::interaction::TokenHash;
use crate::message::target::pairs;
use crate::secret::Secret;

/// Longest form that is read, in bytes.
pub const MAX_FORM: usize = 16 << 10;
/// Longest name, in bytes.
pub const MAX_NAME: usize = 256;
/// What a customer sent.
#[derive(Debug)]
pub enum Sent {
    /// A name and a password.
    Credentials {
        /// The name, without blanks around it.
        name: String,
        /// The password, as it is.
        password: Secret,
        /// What the page was made with: see [`seal`].
        seal: String,
    },
    /// They turn back.
    Cancelled {
        /// What the page was made with.
        seal: String,
    },
}

impl Sent {
    /// Reads a form (`application/x-www-form-urlencoded`). `None` for one that is not of
    /// our making: a field is missing, doubled, or too long.
    pub fn read(body: &[u8]) -> Option<Self> {
        let body = std::str::from_utf8(body).ok()?;
        let (mut name, mut password, mut seal, mut cancel) = (None, None, None, false);
        for (key, value) in pairs(body) {
            let doubled = match &*key {
                "username" => name.replace(value.trim().to_owned()).is_some(),
                "password" => password.replace(Secret::new(value)).is_some(),
                "seal" => seal.replace(value).is_some(),
                "cancel" => std::mem::replace(&mut cancel, true),
                _ => return None,
            };
            if doubled {
                return None;
            }
        }
        let seal = seal?;
        if cancel {
            return Some(Self::Cancelled { seal });
        }
        let (name, password) = (name?, password?);
        let fits = name.len() <= MAX_NAME && password.len() <= MAX_PASSWORD;
        fits.then_some(Self::Credentials {
            name,
            password,
            seal,
        })
    }

    /// What the page was made with.
    pub fn seal(&self) -> &str {
        match self {
            Self::Credentials { seal, .. } | Self::Cancelled { seal } => seal,
        }
    }
}

/// Ties a page to the browser that it was made for and to one login URL: no other
/// website can know it, since it is made with the browser's cookie.
pub fn seal(browser: &LoginToken, token: &TokenHash) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(browser.expose().as_bytes());
    let Ok(mut mac) = mac else {
        return String::new();
    };
    mac.update(b"chatgate-login-form\0");
    mac.update(&token.0);
    URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
}

/// Whether this is the seal; constant time.
pub fn is_sealed(browser: &LoginToken, token: &TokenHash, shown: &str) -> bool {
    let seal = seal(browser, token);
    !seal.is_empty() && bool::from(seal.as_bytes().ct_eq(shown.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_as_it_was_written() {
        let Some(Sent::Credentials {
            name,
            password,
            seal,
        }) = Sent::read(b"seal=s&username=+al%C3%AFce+&password=+a%26b+%2B")
        else {
            panic!("not read");
        };
        assert_eq!((&*name, &*seal), ("alïce", "s"));
        assert!(password.matches(b" a&b +"));
        let cancelled = Sent::read(b"seal=s&username=&password=&cancel=yes").unwrap();
        assert!(matches!(&cancelled, Sent::Cancelled { .. }) && cancelled.seal() == "s");
    }

    #[test]
    fn a_form_that_is_not_ours_is_none() {
        let long = format!("seal=s&username={}&password=p", "a".repeat(257));
        for body in [
            &b""[..],
            b"username=a&password=b",
            b"seal=s&username=a",
            b"seal=s&password=b",
            b"seal=s&seal=s&username=a&password=b",
            b"seal=s&username=a&username=a&password=b",
            b"seal=s&username=a&password=b&password=b",
            b"seal=s&username=a&password=b&more=1",
            b"seal=\xff&username=a&password=b",
            long.as_bytes(),
        ] {
            assert!(Sent::read(body).is_none(), "{body:?}");
        }
        let shown = format!("{:?}", Sent::read(b"seal=s&username=a&password=canary"));
        assert!(!shown.contains("canary"));
    }

    #[test]
    fn a_seal_is_for_one_browser_and_one_login() {
        let (one, two) = (LoginToken::generate(), LoginToken::generate());
        let (first, second) = (TokenHash([1; 32]), TokenHash([2; 32]));
        let sealed = seal(&one, &first);
        assert!(is_sealed(&one, &first, &sealed));
        assert!(!is_sealed(&two, &first, &sealed) && !is_sealed(&one, &second, &sealed));
        assert!(!is_sealed(&one, &first, "") && !is_sealed(&one, &first, &sealed[1..]));
    }
}
