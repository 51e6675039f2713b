//! Who the customer is, as far as it was verified.

use std::fmt;

use serde_json::{Map, Value};

/// How well an identity is established: a place in the operator's ordered list
/// of level names. [`Level::ANONYMOUS`] is below every configured one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Level(pub u8);

impl Level {
    /// Nothing is known of the customer.
    pub const ANONYMOUS: Level = Level(0);
}

/// A verified customer.
///
/// Subject and claims are kept as one compact text: a million identities must fit
/// into memory, and the claims of most are never read again.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// How well it is established; never [`Level::ANONYMOUS`].
    pub level: Level,
    /// The subject, and after it the claims as JSON.
    text: Box<str>,
    /// Where the subject ends.
    split: usize,
}

impl Identity {
    /// A customer by the stable name that whoever vouched for it knows it by, and
    /// what else is known.
    pub fn new(subject: &str, level: Level, claims: &Map<String, Value>) -> Self {
        let json = serde_json::to_string(claims).unwrap_or_default();
        Self {
            level,
            text: [subject, &json].concat().into(),
            split: subject.len(),
        }
    }

    /// The same customer at another level.
    pub fn at(&self, level: Level) -> Self {
        Self {
            level,
            ..self.clone()
        }
    }

    /// The customer's stable name.
    pub fn subject(&self) -> &str {
        self.text.get(..self.split).unwrap_or_default()
    }

    /// What else is known of the customer.
    pub fn claims(&self) -> Map<String, Value> {
        let json = self.text.get(self.split..).unwrap_or_default();
        serde_json::from_str(json).unwrap_or_default()
    }

    /// The value of a dotted source name in an injection: of `claims.email`, of
    /// `claims.address.city`. `None` when there is no such claim.
    pub fn claim(&self, path: &[Box<str>]) -> Option<Value> {
        let claims = Value::Object(self.claims());
        path.iter()
            .try_fold(&claims, |value, name| value.get(&**name))
            .cloned()
    }

    /// Whether this text is its subject, or can be the text of a claim: a quick look.
    pub fn mentions(&self, text: &str) -> bool {
        let escaped = |c: char| c.is_control() || c == '"' || c == '\\';
        self.text.contains(text) || text.contains(escaped)
    }

    /// Approximate heap size in bytes.
    pub fn weight(&self) -> usize {
        // The two counters of an `Arc` lie beside it.
        size_of::<Self>() + 16 + self.text.len()
    }
}

impl fmt::Debug for Identity {
    /// Claims are personal data; they do not belong in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({:?}, {:?})", self.subject(), self.level)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keeps_subject_and_claims_apart() {
        let claims = json!({ "address": { "city": "Ede" }, "n": 1 });
        for subject in ["", "alice", "{\"n\":2}", "é"] {
            let identity = Identity::new(subject, Level(1), claims.as_object().unwrap());
            assert_eq!(identity.subject(), subject);
            assert_eq!(Value::Object(identity.claims()), claims);
            let city = identity.claim(&["address".into(), "city".into()]);
            assert_eq!(city, Some("Ede".into()));
            assert_eq!(identity.claim(&["city".into()]), None);
        }
        let shifted = Identity::new("alice{}", Level(1), &Map::new());
        assert_ne!(shifted, Identity::new("alice", Level(1), &Map::new()));
    }

    #[test]
    fn prints_no_claims() {
        let claims = json!({ "secret": "canary" });
        let identity = Identity::new("alice", Level(1), claims.as_object().unwrap());
        assert!(!format!("{identity:?}").contains("canary"));
    }
}
