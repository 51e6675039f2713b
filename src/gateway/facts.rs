//! What a request says by itself: which interaction it belongs to, whose that is, and
//! who its customer is.

use crate::channel::{Enforcement, Kind, Owner, Route};
use crate::identity::{self, Caches, Proof};
use crate::interaction::Evidence;
use crate::login::LoginToken;
use crate::message::RequestView;
use crate::reason::Reason;
use crate::time::Time;

/// Longest interaction id in bytes: it is kept for every conversation.
pub(super) const MAX_INTERACTION_ID: usize = 512;

/// What the verifiers say.
pub(super) struct Proven {
    pub proof: Proof,
    pub verifier: Option<String>,
}

impl Default for Proven {
    fn default() -> Self {
        Self {
            proof: Proof::Absent,
            verifier: None,
        }
    }
}

/// Asks the verifiers.
pub(super) async fn prove(
    caches: &Caches,
    route: &Route,
    view: &RequestView<'_>,
    now: Time,
) -> Proven {
    let channel = &route.channel;
    if route.enforcement == Enforcement::Off {
        return Proven::default();
    }
    let (proof, verifier) =
        identity::verify(&channel.verifiers, &channel.name, view, caches, now).await;
    Proven {
        proof,
        verifier: verifier.map(str::to_owned),
    }
}

/// What a request says of interaction and owner.
pub(super) struct Facts {
    pub interaction: Option<String>,
    pub evidence: Evidence,
    pub new_cookie: Option<String>,
}

/// Asks selectors and the owner's evidence.
pub(super) fn gather(
    route: &Route,
    view: &RequestView<'_>,
    proof: &Proof,
) -> Result<Facts, Reason> {
    let channel = &route.channel;
    let interaction = interaction(route, view)?;
    let proven = match proof {
        Proof::Valid(identity) => Some(&**identity),
        _ => None,
    };
    let (evidence, new_cookie) = match &channel.owner {
        None => (Evidence::Unasked, None),
        // Nothing is asked of an interaction here.
        Some(_) if route.kind == Kind::Pass && interaction.is_none() => (Evidence::Missing, None),
        Some(owner) => match (owner.evidence(view, proven)?, owner) {
            (Some(hash), _) => (Evidence::Shown(hash), None),
            (None, Owner::Cookie { .. }) if route.kind != Kind::Pass => {
                // 256 random bits, in the form of a login token.
                let value = LoginToken::generate().expose().to_owned();
                (Evidence::Shown(Owner::of_cookie(&value)), Some(value))
            }
            (None, _) => (Evidence::Missing, None),
        },
    };
    Ok(Facts {
        interaction,
        evidence,
        new_cookie,
    })
}

/// The interaction that a request names.
pub(super) fn interaction(route: &Route, view: &RequestView<'_>) -> Result<Option<String>, Reason> {
    let found = match &route.interaction {
        Some(selector) => selector.request(view)?,
        None => None,
    };
    match found {
        Some(id) if id.len() > MAX_INTERACTION_ID => Err(Reason::NoInteraction),
        found => Ok(found),
    }
}
