//! What a logout token has to say (OpenID Connect Back-Channel Logout 1.0, section
//! 2.6). Its signature was verified before.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use super::Provider;
use crate::interaction::Identity;
use crate::reason::Reason;
use crate::time::Time;

/// The member of `events` that makes a token a logout token.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// A logout token is of this moment.
const MAX_AGE: Duration = Duration::from_secs(10 * 60);

/// Who is logged out.
#[derive(Clone, PartialEq, Eq)]
pub struct Logout {
    /// The customer, as the provider names them.
    pub subject: Option<Box<str>>,
    /// The provider's session.
    pub session: Option<Box<str>>,
    /// What makes the token the same one.
    pub id: Box<str>,
    /// When the token stops counting.
    pub expires: Time,
}

impl Provider {
    /// Checks the claims of a logout token. Errors: those of an ID token, and
    /// `ProofClaim` for what is no logout token: no event, a `nonce`, neither `sub` nor `sid`.
    pub fn logout(&self, claims: &Map<String, Value>, now: Time) -> Result<Logout, Reason> {
        let expires = self.check_origin(claims, &["iat".into(), "jti".into()], now)?;
        let issued = claims.get("iat").and_then(Value::as_u64);
        let issued = Time::from_secs(issued.ok_or(Reason::ProofClaim)?);
        if now.since(issued) > MAX_AGE + self.leeway {
            return Err(Reason::ProofExpired);
        }
        let event = claims.get("events").and_then(|events| events.get(EVENT));
        if !event.is_some_and(Value::is_object) || claims.contains_key("nonce") {
            return Err(Reason::ProofClaim);
        }
        let text = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(Box::from(text.as_str()))),
            Some(_) => Err(Reason::ProofClaim),
        };
        let (subject, session) = (text("sub")?, text("sid")?);
        if subject.is_none() && session.is_none() {
            return Err(Reason::ProofClaim);
        }
        Ok(Logout {
            subject,
            session,
            id: text("jti")?.ok_or(Reason::ProofClaim)?,
            // Older than that it is refused by its `iat`.
            expires: expires.min(issued + (MAX_AGE + self.leeway + Duration::from_secs(1))),
        })
    }

    /// Whether an identity is one that is logged out. A session that both sides know
    /// decides; else the customer does.
    pub fn concerns(&self, logout: &Logout, identity: &Identity) -> bool {
        let named =
            |name: &Option<Box<str>>| name.as_ref().is_some_and(|name| identity.mentions(name));
        if !named(&logout.session) && !named(&logout.subject) {
            // Most are somebody else's, and their claims need not be read to see that.
            return false;
        }
        let claims = identity.claims();
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let own = match *self.subject == *"sub" {
            true => Some(identity.subject()),
            false => text("sub"),
        };
        let same_customer = logout
            .subject
            .as_deref()
            .map(|subject| own == Some(subject));
        match (logout.session.as_deref(), text("sid")) {
            (Some(session), Some(own)) => session == own && same_customer.unwrap_or(true),
            _ => same_customer.unwrap_or(false),
        }
    }
}

impl fmt::Debug for Logout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Logout")
    }
}
