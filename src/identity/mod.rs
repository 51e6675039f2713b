//! Who is it: verifiers of the proof that a website hands over, and the signed
//! assertion that tells the backend.

pub mod assertion;
pub mod hmac;
pub mod jwks;
pub mod jwt;
pub mod session;

use std::sync::Arc;

use crate::interaction::{Identity, Level};
use crate::message::RequestView;
use crate::outbound::Outbound;
use crate::reason::Reason;
use crate::time::Time;

/// One way to prove an identity.
#[derive(Debug)]
pub struct Verifier {
    /// The operator's name for it, for logs.
    pub name: Box<str>,
    /// The level that a proof of this kind establishes.
    pub level: Level,
    /// How it verifies.
    pub kind: Kind,
}

/// The kinds of verifiers.
#[derive(Debug)]
pub enum Kind {
    /// A signed token.
    Jwt(jwt::Jwt),
    /// A keyed hash beside an identifier.
    Hmac(hmac::IdentifierHash),
    /// A look-up of the website's own session.
    Session(session::Session),
}

/// What a request proves.
#[derive(Clone, Debug)]
pub enum Proof {
    /// It brings no proof.
    Absent,
    /// It brings a proof that holds.
    Valid(Arc<Identity>),
    /// It brings a proof that does not hold; never treated as absent.
    Invalid(Reason),
}

/// What verifiers need at run time. Lives as long as the process, so that a
/// reload of the configuration forgets neither keys nor used proofs.
#[derive(Debug)]
pub struct Caches {
    /// Key sets by URL.
    pub jwks: jwks::JwksCache,
    /// Session look-ups.
    pub sessions: session::SessionCache,
    /// Used single-use proofs.
    pub replays: jwt::ReplayCache,
    /// The client.
    pub outbound: Arc<Outbound>,
}

/// Asks the verifiers in the order written. The first one that finds a proof of
/// its kind decides; the name tells which.
pub async fn verify<'v>(
    verifiers: &'v [Verifier],
    channel: &str,
    request: &RequestView<'_>,
    caches: &Caches,
    now: Time,
) -> (Proof, Option<&'v str>) {
    todo!()
}
