//! Whose an interaction is: what a request shows for being its owner's.

use subtle::ConstantTimeEq;

use super::Interaction;
use crate::reason::Reason;

/// SHA-256 of whatever ties a request to the interaction's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OwnerHash(pub [u8; 32]);

/// What a request shows for being the owner's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Nothing was asked for: the channel names no owner and trusts the
    /// interaction id alone; or something stronger was shown, a login token.
    Unasked,
    /// The channel asks for evidence and the request brings none.
    Missing,
    /// The channel's own cookie, which goes out with the answer to this request.
    Given(OwnerHash),
    /// The evidence that the request brings.
    Shown(OwnerHash),
}

impl From<Option<OwnerHash>> for Evidence {
    /// The evidence of a request on a channel that asks for it.
    fn from(shown: Option<OwnerHash>) -> Self {
        shown.map_or(Self::Missing, Self::Shown)
    }
}

impl Interaction {
    /// Whether a request with this evidence comes from the owner. An interaction
    /// without an owner takes the first evidence that comes (see
    /// [`Interaction::touch`]), unless it already holds what is somebody's: it
    /// began on a channel that asked for no evidence then. So does one whose owner was
    /// given a cookie that has not come back yet.
    pub fn owned_by(&self, evidence: Evidence) -> bool {
        let is = |owner: &OwnerHash, hash: OwnerHash| bool::from(hash.0.ct_eq(&owner.0));
        let holds_nothing = || self.login.is_none() && self.rare.is_none();
        match (evidence, &self.owner) {
            (Evidence::Unasked, _) => true,
            (Evidence::Missing, _) => false,
            (Evidence::Given(given), Some(owner)) => is(owner, given),
            (Evidence::Shown(shown), Some(owner)) => {
                is(owner, shown) || !self.shown && holds_nothing()
            }
            (Evidence::Given(_) | Evidence::Shown(_), None) => holds_nothing(),
        }
    }

    /// Whether somebody has shown evidence of being its owner.
    pub fn has_owner(&self) -> bool {
        self.owner.is_some()
    }

    /// Lets the owner in; a first one becomes the owner.
    pub(super) fn admit(&mut self, evidence: Evidence) -> Result<(), Reason> {
        if !self.owned_by(evidence) {
            return Err(Reason::NotOwner);
        }
        match evidence {
            Evidence::Shown(owner) => {
                self.owner = Some(owner);
                self.shown = true;
            }
            Evidence::Given(owner) => self.owner = Some(owner),
            Evidence::Unasked | Evidence::Missing => {}
        }
        Ok(())
    }
}
