//! What to do with a request.

use std::sync::Arc;

use crate::channel::{Enforcement, Kind, Route};
use crate::identity::Proof;
use crate::interaction::{Identity, Level, Standing};
use crate::reason::Reason;

/// What is known of a request when it is decided on.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The route it matched.
    pub route: &'a Route,
    /// What it proves.
    pub proof: &'a Proof,
    /// How its interaction stands, for this client.
    pub standing: &'a Standing,
    /// Whether it names its interaction.
    pub named: bool,
    /// Whether its answer can be a challenge: not that to the handshake of a socket,
    /// nor to a message on one.
    pub challengeable: bool,
}

/// The verdict on a request.
#[derive(Clone, Debug)]
pub enum ForRequest {
    /// It goes to the backend.
    Forward(Forward),
    /// The route demands more: the customer gets a challenge, and the backend does not
    /// see the request.
    Challenge {
        /// What the route demands.
        level: Level,
        /// An identity below that, newly proven, that has to be bound to the
        /// interaction first: nobody else may log in to it then.
        proven: Option<Arc<Identity>>,
    },
    /// It is answered by chatgate itself.
    Refuse(Reason),
}

/// How a request goes to the backend. Client-supplied copies of what is managed
/// are removed in any case.
#[derive(Clone, Debug)]
pub struct Forward {
    /// The identity to inject; `None` injects nothing.
    pub identity: Option<Arc<Identity>>,
    /// Whether that identity is newly proven and has to be bound to the interaction.
    pub log_in: bool,
    /// Whether the side call has to complete first.
    pub announce: bool,
    /// Whether the answer is judged.
    pub judge: bool,
    /// Whether the interaction ends with this request.
    pub end: bool,
    /// Whether the login is taken away with this request.
    pub log_out: bool,
    /// Why.
    pub reason: Reason,
    /// What an observed route would have refused with.
    pub observed: Option<Reason>,
}

impl Forward {
    /// Forwards a request that is nobody's.
    pub fn anonymous(kind: Kind) -> Self {
        Self {
            identity: None,
            log_in: false,
            announce: false,
            judge: judged(kind),
            end: false,
            log_out: false,
            reason: Reason::Passed,
            observed: None,
        }
    }
}

/// Whether answers on a route of this kind are judged.
fn judged(kind: Kind) -> bool {
    matches!(kind, Kind::Message | Kind::PreChat)
}

/// Decides on a request.
pub fn request(request: Known<'_>) -> ForRequest {
    let Known {
        route,
        proof,
        standing,
        ..
    } = request;
    if route.kind == Kind::Deny {
        return ForRequest::Refuse(Reason::Denied);
    }

    let (proven, observed) = match enforce(route, proof, standing) {
        Ok(proven) => proven,
        Err(reason) => return ForRequest::Refuse(reason),
    };
    if let Some(identity) = &proven {
        if standing.foreign {
            return ForRequest::Refuse(Reason::NotOwner);
        }
        if standing
            .identity
            .as_ref()
            .is_some_and(|known| known.subject() != identity.subject())
        {
            return ForRequest::Refuse(Reason::SubjectChanged);
        }
    }

    let known = standing.identity.as_ref();
    // A weaker proof beside a login that counts takes nothing away from it.
    let proven = proven.filter(|proven| standing.level() <= proven.level);
    let reached = proven
        .as_ref()
        .map_or(standing.level(), |proven| proven.level);
    if reached < route.level {
        return demand(request, proven);
    }
    // Who logs out does not log in.
    let log_in = proven.is_some() && route.kind != Kind::Logout;
    let news = proven.as_ref().is_some_and(|proven| known != Some(proven));
    // A pass-through route carries no conversation, so nothing of one is injected.
    let counts = known.filter(|_| route.kind != Kind::Pass).cloned();
    let identity = proven.or(counts);
    let announce = identity.is_some()
        && route.channel.side_call.is_some()
        && !matches!(route.kind, Kind::End | Kind::Logout)
        && (news || standing.unannounced);
    let reason = if identity.is_some() {
        Reason::Authenticated
    } else {
        Reason::Passed
    };
    ForRequest::Forward(Forward {
        announce,
        log_in,
        judge: judged(route.kind),
        end: route.kind == Kind::End && !standing.foreign,
        log_out: route.kind == Kind::Logout && !standing.foreign,
        reason,
        observed,
        identity,
    })
}

/// The route demands more than the customer has shown.
fn demand(request: Known<'_>, proven: Option<Arc<Identity>>) -> ForRequest {
    let Known { route, .. } = request;
    if route.channel.login.is_none() || !request.challengeable {
        return ForRequest::Refuse(Reason::LevelTooLow);
    }
    if !request.named || request.standing.foreign {
        return ForRequest::Refuse(Reason::ChallengeImpossible);
    }
    ForRequest::Challenge {
        level: route.level,
        proven,
    }
}

type Proven = (Option<Arc<Identity>>, Option<Reason>);

/// The identity that counts, and what an observing route would have refused with.
fn enforce(route: &Route, proof: &Proof, standing: &Standing) -> Result<Proven, Reason> {
    let missing = standing.identity.is_none().then_some(Reason::ProofMissing);
    match (route.enforcement, proof) {
        (Enforcement::Off, _) => Ok((None, None)),
        (Enforcement::Observe, Proof::Invalid(reason)) => Ok((None, Some(*reason))),
        (Enforcement::Observe, Proof::Absent) => Ok((None, missing)),
        (Enforcement::Observe, Proof::Valid(_)) => Ok((None, None)),
        (_, Proof::Invalid(reason)) => Err(*reason),
        (_, Proof::Valid(identity)) => Ok((Some(identity.clone()), None)),
        (Enforcement::Required, Proof::Absent) => match missing {
            Some(reason) => Err(reason),
            None => Ok((None, None)),
        },
        (Enforcement::Optional, Proof::Absent) => Ok((None, None)),
    }
}
