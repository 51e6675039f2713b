//! What is kept from the customer until a login: messages, and in whose place a login
//! URL stands.

use super::{Evidence, Interaction};
use crate::interaction::clocks::Clocks;
use crate::interaction::held::{Challenge, HeldRequest, MessageHash};
use crate::interaction::identity::Level;
use crate::interaction::outbox::{Bounds, HandedOut, Leg, Outbox, Withheld};
use crate::reason::Reason;
use crate::time::Time;

/// How many messages are remembered in whose place a login URL stands; of older ones
/// a new one is made.
const MOST_CHALLENGED: usize = 256;

impl Interaction {
    /// Notes in whose place the outstanding login URL stands, or would stand again.
    pub fn stands_for(&mut self, messages: impl IntoIterator<Item = MessageHash>) {
        let Some(rare) = self.rare.as_mut().filter(|rare| rare.challenge.is_some()) else {
            return;
        };
        for message in messages {
            rare.challenged.retain(|known| *known != message);
            rare.challenged.push(message);
        }
        let many = rare.challenged.len().saturating_sub(MOST_CHALLENGED);
        rare.challenged.drain(..many);
    }

    /// Whether a login URL that is good for this level stands in a message's place.
    pub fn is_challenged(&self, message: &MessageHash, level: Level, now: Time) -> bool {
        let good = |challenge: &Challenge| challenge.level >= level && !challenge.expired(now);
        let rare = self.rare.as_ref();
        rare.is_some_and(|rare| {
            rare.pending().is_some_and(good) && rare.challenged.contains(message)
        })
    }

    /// Whether any message is withheld on this leg.
    pub fn withholds_any(&self, leg: &Leg) -> bool {
        let rare = self.rare.as_ref();
        rare.is_some_and(|rare| rare.outbox.has_any(leg))
    }

    /// Keeps a message from the customer until [`Interaction::release`]. One whose id
    /// is kept on that leg already is not kept twice, but for the higher level of the two.
    /// [`Reason::OutboxFull`] when it does not fit:
    /// then it is lost, and those before it stay. [`Reason::NotOwner`] for anybody
    /// but the owner; a message of the backend's own comes [`Evidence::Unasked`].
    pub fn withhold(
        &mut self,
        message: Withheld,
        bounds: &Bounds,
        evidence: Evidence,
    ) -> Result<(), Reason> {
        self.admit(evidence)?;
        let mut outbox = match &mut self.rare {
            Some(rare) => std::mem::take(&mut rare.outbox),
            None => Outbox::default(),
        };
        let kept = outbox.put(message, bounds);
        if !outbox.is_empty() {
            self.rare.get_or_insert_default().outbox = outbox;
        }
        kept
    }

    /// Keeps the owner's latest message, in place of the one before.
    /// [`Reason::NotOwner`] for anybody else.
    pub fn remember(&mut self, request: HeldRequest, evidence: Evidence) -> Result<(), Reason> {
        self.admit(evidence)?;
        self.rare.get_or_insert_default().latest = Some(Box::new(request));
        Ok(())
    }

    /// The owner's latest message.
    pub fn latest(&self) -> Option<&HeldRequest> {
        self.rare.as_ref()?.latest.as_deref()
    }

    /// Whether a message with this id is withheld on this leg.
    pub fn withholds(&self, leg: &Leg, id: &str) -> bool {
        self.rare
            .as_ref()
            .is_some_and(|rare| rare.outbox.has(leg, id))
    }

    /// Hands out the withheld messages of the legs that are asked for, oldest
    /// first, as far as the login that counts right now reaches their level. Each
    /// is handed out once; nothing for anybody but the owner.
    pub fn release(
        &mut self,
        legs: impl Fn(&Leg) -> bool,
        clocks: &Clocks,
        evidence: Evidence,
        now: Time,
    ) -> HandedOut {
        let level = self.standing(clocks, evidence, now).level();
        self.hand_out(|message| {
            !message.is_notice() && message.level <= level && legs(&message.leg)
        })
    }

    /// Takes back what was handed out and has not reached the customer: it comes before
    /// what is withheld since. Returns what it cannot keep: anything that is another
    /// interaction's (that one may have ended meanwhile, and this one have its key) or
    /// comes from anybody but the owner, what the login that counts right now does not
    /// reach, and what does not fit.
    pub fn put_back(
        &mut self,
        handed: HandedOut,
        bounds: &Bounds,
        clocks: &Clocks,
        evidence: Evidence,
        now: Time,
    ) -> Vec<Withheld> {
        let HandedOut { began, messages } = handed;
        if began != self.started || !self.owned_by(evidence) {
            return messages;
        }
        let level = self.level(clocks, now);
        let reached = |message: &Withheld| message.level <= level;
        let (messages, mut lost): (Vec<_>, Vec<_>) = messages.into_iter().partition(reached);
        let rare = self.rare.get_or_insert_default();
        lost.extend(rare.outbox.put_back(messages, bounds));
        self.slim();
        lost
    }

    /// Hands out what is asked for.
    pub(super) fn hand_out(&mut self, wanted: impl Fn(&Withheld) -> bool) -> HandedOut {
        let Some(rare) = &mut self.rare else {
            return HandedOut::default();
        };
        let messages = rare.outbox.take(wanted);
        self.slim();
        HandedOut {
            began: self.started,
            messages,
        }
    }
}

#[cfg(test)]
mod tests;
