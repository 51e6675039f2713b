//! One interaction and its transitions.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

use super::identity::{Identity, Level};
use crate::reason::Reason;
use crate::time::Time;

/// SHA-256 of whatever ties a request to the interaction's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OwnerHash(pub [u8; 32]);

/// SHA-256 of a login token; the token itself is never kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

/// The clocks of a channel. `None` means that this clock never runs out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    /// Time to live of a login token.
    pub token_ttl: Option<Duration>,
    /// How long a login counts, from the login.
    pub authentication_timeout: Option<Duration>,
    /// How long an interaction lives without a request.
    pub interaction_timeout: Option<Duration>,
    /// How long an interaction lives at all.
    pub absolute_timeout: Option<Duration>,
}

/// A customer who logged in, and when.
#[derive(Clone, Debug)]
pub struct Login {
    /// Who it is.
    pub identity: Arc<Identity>,
    /// When the login was.
    pub at: Time,
    /// Whether the channel's side call has told the backend.
    pub announced: bool,
}

/// A customer's request kept until the login, to be sent again.
#[derive(Clone, Debug)]
pub struct HeldRequest {
    /// Its method.
    pub method: Method,
    /// Path and query, byte for byte.
    pub target: Box<str>,
    /// Its headers, managed and hop-by-hop ones removed.
    pub headers: HeaderMap,
    /// Its body before anything was injected.
    pub body: Bytes,
}

/// What the backend said to a replayed request.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, hop-by-hop ones removed.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// What waits behind a `continue` URL.
#[derive(Clone, Debug)]
pub enum Held {
    /// The login is outstanding; this request will be sent again after it.
    Request(Box<HeldRequest>),
    /// The login succeeded, the request is on its way to the backend.
    Replaying,
    /// The answer, until the customer fetches it.
    Answer(Box<Answer>),
    /// There will be no answer, and why.
    Failed(Reason),
}

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

/// What is known of one conversation.
#[derive(Clone, Debug)]
pub struct Interaction {
    /// First request.
    pub started: Time,
    /// Latest request.
    pub seen: Time,
    /// Whoever made the first request that could be tied to an owner.
    pub owner: Option<OwnerHash>,
    /// The login that counts, if any; it may have run out.
    pub login: Option<Login>,
    /// The outstanding login URL, if any.
    pub challenge: Option<Box<Challenge>>,
    /// What waits behind the `continue` URL, and the hash of that URL's own token.
    pub held: Option<Box<(TokenHash, Held)>>,
}

/// How an interaction stands for one request: what the decision functions see of it.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// The identity that counts right now, for this request's client.
    pub identity: Option<Arc<Identity>>,
    /// Whether the channel's side call still has to tell the backend of it.
    pub unannounced: bool,
    /// Whether the interaction is someone else's: it is served as anonymous.
    pub foreign: bool,
}

impl Standing {
    /// The level that counts right now.
    pub fn level(&self) -> Level {
        self.identity.as_ref().map_or(Level::ANONYMOUS, |i| i.level)
    }
}

/// What redeeming a login token yields.
#[derive(Clone, Debug)]
pub struct Redeemed {
    /// The level that the flag demanded.
    pub level: Level,
    /// The request to send again, if one was held.
    pub held: Option<HeldRequest>,
}

impl Interaction {
    /// A conversation whose first request comes now.
    pub fn new(now: Time) -> Self {
        Self {
            started: now,
            seen: now,
            owner: None,
            login: None,
            challenge: None,
            held: None,
        }
    }

    /// Whether its inactivity or absolute clock has run out.
    pub fn ended(&self, clocks: &Clocks, now: Time) -> bool {
        todo!()
    }

    /// Whether a request with this evidence comes from the owner. An interaction
    /// without an owner takes the first evidence that comes (see [`Interaction::touch`]).
    pub fn owned_by(&self, owner: Option<&OwnerHash>) -> bool {
        todo!()
    }

    /// Notes a request: takes the owner if there is none yet, moves the
    /// inactivity clock if the request is the owner's, and says how the
    /// interaction stands for it.
    pub fn touch(&mut self, clocks: &Clocks, owner: Option<&OwnerHash>, now: Time) -> Standing {
        todo!()
    }

    /// How it stands, without noting a request. `now` past the authentication
    /// timeout yields anonymous.
    pub fn standing(&self, clocks: &Clocks, owner: Option<&OwnerHash>, now: Time) -> Standing {
        todo!()
    }

    /// The customer logged in. A login with another subject than the one that
    /// the interaction ever had is refused with [`Reason::SubjectChanged`].
    pub fn log_in(&mut self, identity: Arc<Identity>, now: Time) -> Result<(), Reason> {
        todo!()
    }

    /// A new login URL; an older one is thereby revoked, and so is what it held.
    pub fn challenge(&mut self, challenge: Challenge, held: Option<(TokenHash, HeldRequest)>) {
        todo!()
    }

    /// Consumes the outstanding login token: [`Reason::TokenExpired`] when its
    /// time is over, [`Reason::TokenUnknown`] when it is not this one. Single
    /// use: after `Ok` (and after `TokenExpired`) there is no challenge any more.
    /// What was held becomes [`Held::Replaying`] and is handed out.
    pub fn redeem(&mut self, token: &TokenHash, now: Time) -> Result<Redeemed, Reason> {
        todo!()
    }

    /// Takes the identity away: logout, revocation. Outstanding challenges go too.
    pub fn log_out(&mut self) {
        todo!()
    }

    /// Approximate size in bytes, heap included; the store bounds the sum.
    pub fn weight(&self) -> usize {
        todo!()
    }
}
