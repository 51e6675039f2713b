//! What the customer's browser brings back from the provider.

use std::fmt;

use super::attempt::State;
use super::{Provider, exchange};
use crate::message::target::pairs;
use crate::reason::Reason;
use crate::secret::Secret;

/// Longest query that is read, in bytes.
pub const MAX_LEN: usize = 16 << 10;

/// Errors of RFC 6749, section 4.1.2.1, and OpenID Connect Core 1.0, section 3.1.2.6,
/// that say that a request is wrong.
const STANDARD: &[&str] = &[
    "invalid_request",
    "unauthorized_client",
    "unsupported_response_type",
    "invalid_scope",
    "invalid_request_uri",
    "invalid_request_object",
    "request_not_supported",
    "request_uri_not_supported",
    "registration_not_supported",
];

/// The parameters of a callback. Nothing in it is true yet but its form.
pub struct Callback {
    /// Whose attempt it is.
    pub state: State,
    /// The issuer that the provider names (RFC 9207).
    pub issuer: Option<String>,
    /// How it went at the provider.
    pub outcome: Result<Secret, Denial>,
    /// The provider's word for what went wrong, for the log.
    pub error: Option<Box<str>>,
}

/// Why a provider gives no code (RFC 6749, section 4.1.2.1; OpenID Connect Core 1.0,
/// section 3.1.2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The customer, or the provider on their behalf, did not want to.
    Cancelled,
    /// The customer could not log in as it was asked for.
    Failed,
    /// Not now: another attempt may succeed.
    Later,
    /// The provider does not take our request: the configuration of one of us is wrong.
    Refused,
    /// A word that no specification has.
    Other,
}

impl Callback {
    /// Reads the query of a callback. Parameters that are not known are passed over
    /// (RFC 6749, section 4.1.2); of the known ones, none may come twice.
    ///
    /// # Errors
    /// [`Reason::ReturnMalformed`], [`Reason::ReturnDuplicate`]; [`Reason::LoginState`]
    /// for a state that cannot be one of ours.
    pub fn read(query: &str) -> Result<Self, Reason> {
        if query.len() > MAX_LEN {
            return Err(Reason::ReturnMalformed);
        }
        let pairs = pairs(query);
        let single = |name: &str| {
            let mut values = pairs.iter().filter(|(known, _)| known == name);
            match (values.next(), values.next()) {
                (None, _) => Ok(None),
                (Some((_, value)), None) => Ok(Some(value.as_str())),
                (Some(_), Some(_)) => Err(Reason::ReturnDuplicate),
            }
        };
        let state = single("state")?;
        let issuer = single("iss")?.map(str::to_owned);
        let (code, error) = (single("code")?, single("error")?);
        let named = error.map(|error| exchange::known(error).into());
        let outcome = match (code, error) {
            (Some(code), None) if !code.is_empty() => Ok(Secret::new(code)),
            (None, Some(error)) => Err(Denial::of(error)),
            _ => return Err(Reason::ReturnMalformed),
        };
        let state = state.and_then(State::parse).ok_or(Reason::LoginState)?;
        Ok(Self {
            state,
            issuer,
            outcome,
            error: named,
        })
    }
}

impl Denial {
    fn of(error: &str) -> Self {
        match error {
            "access_denied" => Self::Cancelled,
            "login_required"
            | "interaction_required"
            | "consent_required"
            | "account_selection_required"
            | "unmet_authentication_requirements" => Self::Failed,
            "server_error" | "temporarily_unavailable" => Self::Later,
            _ if STANDARD.contains(&error) => Self::Refused,
            _ => Self::Other,
        }
    }
}

impl Provider {
    /// The reason code of a denial. An OAuth server may have words of its own for a
    /// login that did not succeed; of an OpenID provider they say that something is wrong.
    pub fn denied(&self, denial: Denial) -> Reason {
        match denial {
            Denial::Cancelled => Reason::LoginCancelled,
            Denial::Failed => Reason::LoginFailed,
            Denial::Other if self.oauth.is_some() => Reason::LoginFailed,
            Denial::Later => Reason::ProviderUnavailable,
            Denial::Refused | Denial::Other => Reason::ProviderError,
        }
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callback")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(query: &str) -> Result<Callback, Reason> {
        Callback::read(&query.replace("STATE", &"A".repeat(86)))
    }

    #[test]
    fn a_code_or_an_error_comes_back() {
        let good = read("code=a%2Bb&state=STATE&iss=https%3A%2F%2Fop.example&x=1&x=2").unwrap();
        assert_eq!(good.outcome.unwrap().expose(), b"a+b");
        assert_eq!(good.issuer.as_deref(), Some("https://op.example"));
        for (error, denial) in [
            ("access_denied", Denial::Cancelled),
            ("login_required", Denial::Failed),
            ("unmet_authentication_requirements", Denial::Failed),
            ("temporarily_unavailable", Denial::Later),
            ("invalid_scope", Denial::Refused),
            ("user_suspended", Denial::Other),
            ("%0d%0a", Denial::Other),
            ("", Denial::Other),
        ] {
            let found = read(&format!("error={error}&error_description=x&state=STATE")).unwrap();
            assert_eq!(found.outcome.unwrap_err(), denial, "{error}");
        }
    }

    #[test]
    fn what_has_two_readings_is_refused() {
        for (query, reason) in [
            ("", Reason::ReturnMalformed),
            ("state=STATE", Reason::ReturnMalformed),
            ("code=&state=STATE", Reason::ReturnMalformed),
            ("code=a&error=b&state=STATE", Reason::ReturnMalformed),
            ("code=a&code=a&state=STATE", Reason::ReturnDuplicate),
            ("code=a&state=STATE&state=STATE", Reason::ReturnDuplicate),
            ("code=a&state=STATE&st%61te=STATE", Reason::ReturnDuplicate),
            ("code=a&state=STATE&iss=a&iss=a", Reason::ReturnDuplicate),
            ("error=a&error=a&state=STATE", Reason::ReturnDuplicate),
            ("code=a", Reason::LoginState),
            ("code=a&state=", Reason::LoginState),
            ("code=a&state=STATEx", Reason::LoginState),
        ] {
            assert_eq!(read(query).unwrap_err(), reason, "{query}");
        }
        let long = format!("code={}&state=STATE", "a".repeat(MAX_LEN));
        assert_eq!(read(&long).unwrap_err(), Reason::ReturnMalformed);
    }

    proptest! {
        #[test]
        fn nothing_panics(query in "[a-z=&%0-9A-F+é]{0,40}") {
            let _ = Callback::read(&query);
        }
    }
}
