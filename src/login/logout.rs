//! The operator's own logout: a signed message that says whose logins end.

use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;

use super::returned::{Members, Refused, malformed};
use super::{SecurityKeys, webhook};
use crate::interaction::Identity;
use crate::reason::Reason;
use crate::time::Time;

/// Longest message that is read, in bytes.
pub const MAX_LEN: usize = 16 << 10;

/// Whose logins end.
#[derive(Clone, PartialEq, Eq)]
pub enum Whom {
    /// That of the interaction with this id.
    Interaction(Box<str>),
    /// Those of the customer with this stable name.
    Subject(Box<str>),
    /// Those whose claim `sid` is this.
    Session(Box<str>),
}

/// A logout whose signature, time and channel hold.
pub struct Logout {
    /// Whose logins end.
    pub whom: Whom,
    /// What makes the message the same one.
    pub id: Box<str>,
}

/// `{"channel":"web","subject":"alice"}`, Standard Webhooks signature in the headers:
/// the channel, and exactly one of `interaction`, `subject` and `session`.
///
/// # Errors
/// Those of a login page's return ([`super::returned::from_post`]), and
/// [`Reason::ReturnMalformed`] for none or several of the three.
pub fn read(
    keys: &SecurityKeys,
    channel: &str,
    headers: &HeaderMap,
    body: &[u8],
    now: Time,
    tolerance: Duration,
) -> Result<Logout, Refused> {
    if body.len() > MAX_LEN {
        return Err(malformed("too long", "body"));
    }
    webhook::verify(keys, headers, body, now, tolerance)?;
    let mut members = Members::read(body)?;
    let named = members.need("channel")?;
    let whom = [
        members.text("interaction")?.map(Whom::Interaction),
        members.text("subject")?.map(Whom::Subject),
        members.text("session")?.map(Whom::Session),
    ];
    members.end()?;
    if *named != *channel {
        return Err(Reason::ReturnChannel.into());
    }
    let mut whom = whom.into_iter().flatten();
    match (whom.next(), whom.next()) {
        (Some(whom), None) => Ok(Logout {
            whom,
            id: webhook::id(headers)?.into(),
        }),
        _ => Err(malformed(
            "not exactly one of",
            "interaction, subject, session",
        )),
    }
}

impl Whom {
    /// Whether this customer's login is one that ends. An interaction is told by its
    /// id, not by its customer.
    pub fn concerns(&self, identity: &Identity) -> bool {
        match self {
            Self::Interaction(_) => false,
            Self::Subject(subject) => identity.subject() == &**subject,
            Self::Session(session) => {
                // Most are somebody else's, and their claims need not be read to see that.
                identity.mentions(session)
                    && identity.claims().get("sid").and_then(Value::as_str) == Some(session)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::interaction::Level;

    const NOW: Time = Time::from_secs(1_800_000_000);

    fn keys() -> SecurityKeys {
        SecurityKeys::parse(["whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="]).unwrap()
    }

    fn sent(body: &str) -> Result<Logout, Reason> {
        let headers = webhook::sign(&keys(), "msg_1", NOW, body.as_bytes());
        let headers = HeaderMap::from_iter(headers);
        let tolerance = Duration::from_secs(300);
        let read = read(&keys(), "web", &headers, body.as_bytes(), NOW, tolerance);
        read.map_err(|refused| refused.reason)
    }

    #[test]
    fn says_exactly_one_thing() {
        let read = sent(r#"{"channel":"web","subject":"alice"}"#).unwrap();
        assert!(read.whom == Whom::Subject("alice".into()) && *read.id == *"msg_1");
        for (body, reason) in [
            (r#"{"channel":"web"}"#, Reason::ReturnMalformed),
            (r#"{"subject":"alice"}"#, Reason::ReturnMalformed),
            (
                r#"{"channel":"app","subject":"alice"}"#,
                Reason::ReturnChannel,
            ),
            (
                r#"{"channel":"web","subject":"alice","session":"s"}"#,
                Reason::ReturnMalformed,
            ),
            (
                r#"{"channel":"web","subject":"alice","subject":"bob"}"#,
                Reason::ReturnDuplicate,
            ),
            (
                r#"{"channel":"web","subject":"alice","outcome":"success"}"#,
                Reason::ReturnMalformed,
            ),
            (r#"{"channel":"web","subject":""}"#, Reason::ReturnMalformed),
            (
                r#"{"channel":"web","subject":["alice"]}"#,
                Reason::ReturnMalformed,
            ),
            ("all", Reason::ReturnMalformed),
        ] {
            assert_eq!(sent(body).err(), Some(reason), "{body}");
        }
    }

    #[test]
    fn concerns_those_it_names() {
        let claims = json!({"sid": "s1", "note": "s2 bob"});
        let alice = Identity::new("alice", Level(1), claims.as_object().unwrap());
        assert!(Whom::Subject("alice".into()).concerns(&alice));
        assert!(Whom::Session("s1".into()).concerns(&alice));
        for other in ["bob", "alic", "s2", ""] {
            assert!(!Whom::Subject(other.into()).concerns(&alice));
            assert!(!Whom::Session(other.into()).concerns(&alice));
        }
    }
}
