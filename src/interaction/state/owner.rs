//! Whose an interaction is: what a request shows for being its owner's.

use subtle::{Choice, ConstantTimeEq};

use super::Interaction;
use crate::reason::Reason;

/// SHA-256 of whatever ties a request to the interaction's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OwnerHash(pub [u8; 32]);

impl OwnerHash {
    /// Whether they are the same, in constant time: by words, as it is asked thrice of
    /// every request.
    fn is(&self, other: &Self) -> bool {
        let ((ours, _), (theirs, _)) = (self.0.as_chunks(), other.0.as_chunks());
        let word = |bytes: &[u8; 8]| u64::from_ne_bytes(*bytes);
        let words = ours.iter().zip(theirs);
        let same = words.map(|(ours, theirs)| word(ours).ct_eq(&word(theirs)));
        same.fold(Choice::from(1), |all, one| all & one).into()
    }
}

/// What a request shows for being the owner's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Nothing was asked for: the channel names no owner and trusts the
    /// interaction id alone; or something stronger was shown, a login token.
    Unasked,
    /// The channel asks for evidence and the request brings none.
    Missing,
    /// The evidence that the request brings, or that its answer hands out.
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
    /// began on a channel that asked for no evidence then.
    pub fn owned_by(&self, evidence: Evidence) -> bool {
        match (evidence, &self.owner) {
            (Evidence::Unasked, _) => true,
            (Evidence::Missing, _) => false,
            (Evidence::Shown(shown), Some(owner)) => shown.is(owner),
            (Evidence::Shown(_), None) => self.login.is_none() && self.rare.is_none(),
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
        if let (None, Evidence::Shown(owner)) = (self.owner, evidence) {
            self.owner = Some(owner);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_that_differ_in_any_byte_are_not_the_same() {
        let hash = OwnerHash([7; 32]);
        assert!(hash.is(&OwnerHash([7; 32])));
        for at in 0..32 {
            let mut other = hash;
            other.0[at] ^= 1;
            assert!(!hash.is(&other), "{at}");
        }
    }
}
