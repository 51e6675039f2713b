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

/// What a proof or a login says of a customer beside the subject.
///
/// Kept as compact JSON text: a million identities must fit into memory, and
/// most are never read again.
#[derive(Clone, PartialEq, Eq)]
pub struct Claims(Box<str>);

impl Claims {
    /// Takes a claims object.
    pub fn new(claims: &Map<String, Value>) -> Self {
        Self(
            serde_json::to_string(claims)
                .unwrap_or_else(|_| "{}".into())
                .into(),
        )
    }

    /// The claims as an object again.
    pub fn parse(&self) -> Map<String, Value> {
        serde_json::from_str(&self.0).unwrap_or_default()
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Claims {
    fn default() -> Self {
        Self("{}".into())
    }
}

impl fmt::Debug for Claims {
    /// Claims are personal data; they do not belong into logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[claims]")
    }
}

/// A verified customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The customer's stable name at whoever vouched for it.
    pub subject: Box<str>,
    /// How well it is established; never [`Level::ANONYMOUS`].
    pub level: Level,
    /// What else is known.
    pub claims: Claims,
}

impl Identity {
    /// Approximate heap size in bytes.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.subject.len() + self.claims.0.len()
    }

    /// The value of a dotted source name in an injection: `subject`, or
    /// `claims.email`, `claims.address.city`. `None` when there is no such claim.
    pub fn claim(&self, path: &[Box<str>]) -> Option<Value> {
        let claims = Value::Object(self.claims.parse());
        path.iter()
            .try_fold(&claims, |value, name| value.get(&**name))
            .cloned()
    }
}
