//! What an interaction waits for: an outstanding login URL, and what waits
//! behind its `continue` URL.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

use super::identity::Level;
use crate::reason::Reason;
use crate::time::Time;

/// SHA-256 of a login token; the token itself is never kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    /// Six digits by which a customer tells this login from another's. They are no
    /// secret: chat and login show them both.
    pub fn code(&self) -> String {
        let [a, b, c, d, ..] = self.0;
        format!("{:06}", u32::from_be_bytes([a, b, c, d]) % 1_000_000)
    }
}

/// Names a message that comes again and again, such as an element of a polled answer:
/// part of the SHA-256 of what it is told by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MessageHash(pub [u8; 16]);

/// An outstanding login URL.
#[derive(Clone, Debug)]
pub struct Challenge {
    /// The login token in it.
    pub token: TokenHash,
    /// The level that the flag demanded.
    pub level: Level,
    /// When the URL was made.
    pub created: Time,
    /// The channel's token time to live; `None` never expires.
    pub ttl: Option<Duration>,
}

impl Challenge {
    /// Whether its time is over: the last instant of the time to live is too late.
    pub fn expired(&self, now: Time) -> bool {
        self.ttl.is_some_and(|ttl| now.since(self.created) >= ttl)
    }
}

/// A customer's request kept until the login, to be sent again.
#[derive(Clone)]
pub struct HeldRequest {
    /// Its method.
    pub method: Method,
    /// Path and query, byte for byte.
    pub target: Box<str>,
    /// Its headers as they came: managed and hop-by-hop ones are taken off when it is sent
    /// again.
    pub headers: HeaderMap,
    /// Its body before anything was injected.
    pub body: Bytes,
}

impl HeldRequest {
    /// Approximate heap size in bytes.
    pub(super) fn weight(&self) -> usize {
        size_of::<Self>() + self.target.len() + headers_weight(&self.headers) + self.body.len()
    }
}

impl fmt::Debug for HeldRequest {
    /// What a customer writes does not belong in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeldRequest({}, {} bytes)", self.method, self.body.len())
    }
}

/// What the backend said: to a replayed request, or before the login.
#[derive(Clone)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, hop-by-hop ones removed.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl fmt::Debug for Answer {
    /// What a verified customer gets to read does not belong in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({}, {} bytes)", self.status, self.body.len())
    }
}

/// What waits behind a `continue` URL.
#[derive(Clone, Debug)]
pub enum Held {
    /// The login is outstanding; this request will be sent again after it.
    Request(Box<HeldRequest>),
    /// The login is outstanding; this answer was withheld and becomes
    /// [`Held::Answer`] with a login of at least this level.
    Withheld(Level, Box<Answer>),
    /// The login succeeded, the request is on its way to the backend.
    Replaying,
    /// The answer, and the level below which nobody gets it. It stays, so that a
    /// customer whose connection broke can fetch it again, until a newer challenge, a
    /// logout or the end of the interaction.
    Answer(Level, Box<Answer>),
    /// There will be no answer, and why.
    Failed(Reason),
}

impl From<HeldRequest> for Held {
    fn from(request: HeldRequest) -> Self {
        Self::Request(Box::new(request))
    }
}

impl Held {
    /// Hands out a request that is sent again now.
    pub(super) fn replay(&mut self) -> Option<HeldRequest> {
        if !matches!(self, Self::Request(_)) {
            return None;
        }
        match std::mem::replace(self, Self::Replaying) {
            Self::Request(request) => Some(*request),
            _ => None,
        }
    }

    /// A login of this level: a withheld answer that asks for no more can be fetched.
    pub(super) fn let_go(&mut self, level: Level) {
        if !matches!(self, Self::Withheld(wants, _) if *wants <= level) {
            return;
        }
        if let Self::Withheld(wants, answer) = std::mem::replace(self, Self::Replaying) {
            *self = Self::Answer(wants, answer);
        }
    }

    /// Approximate heap size in bytes.
    pub fn weight(&self) -> usize {
        match self {
            Self::Request(r) => {
                size_of::<HeldRequest>()
                    + r.target.len()
                    + headers_weight(&r.headers)
                    + r.body.len()
            }
            Self::Answer(_, a) | Self::Withheld(_, a) => {
                size_of::<Answer>() + headers_weight(&a.headers) + a.body.len()
            }
            Self::Replaying | Self::Failed(_) => 0,
        }
    }
}

/// What redeeming a login token yields.
#[derive(Clone, Debug)]
pub struct Redeemed {
    /// The level that the flag demanded.
    pub level: Level,
    /// The hash of the `continue` URL's own token, where something waits there.
    pub waiting: Option<TokenHash>,
    /// The request to send again, if one was held; the outcome goes to
    /// [`super::Interaction::resolve`].
    pub held: Option<HeldRequest>,
}

/// Approximate heap size of a header map: per entry its name, value and slot.
pub(super) fn headers_weight(map: &HeaderMap) -> usize {
    map.iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 100)
        .sum()
}
