//! The outstanding login URL, from the challenge to the answer that waits behind it.

use super::{Evidence, Interaction};
use crate::interaction::attempt::{Attempt, Attempts};
use crate::interaction::clocks::Clocks;
use crate::interaction::held::{Challenge, Held, Redeemed, TokenHash};
use crate::interaction::identity::Level;
use crate::reason::Reason;
use crate::secret::Secret;
use crate::time::Time;

impl Interaction {
    /// A new login URL; an older one is thereby revoked, and so is what it held. A login
    /// that waits to be bound goes on.
    /// With what is held ([`Held::Request`] or [`Held::Withheld`]) comes the hash of
    /// its `continue` URL's own token. Refused with [`Reason::NotOwner`] for anybody but the owner.
    pub fn challenge(
        &mut self,
        challenge: Challenge,
        held: Option<(TokenHash, Held)>,
        evidence: Evidence,
    ) -> Result<(), Reason> {
        self.admit(evidence)?;
        let rare = self.rare.get_or_insert_default();
        rare.challenge = Some(challenge);
        rare.attempts = Attempts::default();
        rare.tries = 0;
        rare.back = None;
        rare.held = held;
        rare.envelope = None;
        Ok(())
    }

    /// Notes that a browser goes to the identity provider by the login URL with this
    /// token; says what level the login is for. Consumes nothing: however often the
    /// URL is opened, it counts until a login is complete. [`Reason::TokenUnknown`],
    /// [`Reason::TokenExpired`].
    pub fn attempt(
        &mut self,
        token: &TokenHash,
        attempt: Attempt,
        now: Time,
    ) -> Result<Level, Reason> {
        let (level, attempts) = self.attempts(token, now)?;
        attempts.begin(attempt);
        Ok(level)
    }

    /// A browser is back from the identity provider: hands out the attempt's seed, and
    /// the level that was demanded. An attempt ends once, and in the browser in which it
    /// began: [`Reason::LoginState`], [`Reason::LoginBrowser`]; further as
    /// [`Interaction::attempt`].
    pub fn end_attempt(
        &mut self,
        token: &TokenHash,
        state: &[u8; 32],
        browser: &[u8; 32],
        now: Time,
    ) -> Result<(Level, Secret), Reason> {
        let (level, attempts) = self.attempts(token, now)?;
        Ok((level, attempts.end(state, browser)?))
    }

    /// Whether the login URL with this token counts; the level that it is for. Errors as
    /// of [`Interaction::attempt`].
    pub fn open(&self, token: &TokenHash, now: Time) -> Result<Level, Reason> {
        let rare = self.rare.as_ref().ok_or(Reason::TokenUnknown)?;
        let challenge = rare.outstanding(token);
        let challenge = challenge.ok_or(Reason::TokenUnknown)?;
        match challenge.expired(now) {
            true => Err(Reason::TokenExpired),
            false => Ok(challenge.level),
        }
    }

    /// Uses one of the tries of the login URL with this token; there are `most`.
    /// [`Reason::LoginFailures`] when there is none left, else errors as of
    /// [`Interaction::open`]. Says the level, and whether this was the last one. Our form
    /// asks before a password is tried; what a page returns was tried, and has failed.
    pub fn try_login(
        &mut self,
        token: &TokenHash,
        most: u32,
        now: Time,
    ) -> Result<(Level, bool), Reason> {
        let level = self.open(token, now)?;
        let rare = self.rare.as_mut().ok_or(Reason::TokenUnknown)?;
        if rare.tries >= most {
            return Err(Reason::LoginFailures);
        }
        rare.tries += 1;
        Ok((level, rare.tries == most))
    }

    /// Gives a try back that was nobody's fault.
    pub fn untry(&mut self, token: &TokenHash) {
        let rare = self.rare.as_mut();
        if let Some(rare) = rare.filter(|rare| rare.outstanding(token).is_some()) {
            rare.tries = rare.tries.saturating_sub(1);
        }
    }

    /// Consumes the outstanding login token: [`Reason::TokenExpired`] when its
    /// time is over, [`Reason::TokenUnknown`] when it is not this one. Single
    /// use: after `Ok` (and after `TokenExpired`) there is no challenge any more.
    /// A request that was held becomes [`Held::Replaying`] and is handed out.
    pub fn redeem(&mut self, token: &TokenHash, now: Time) -> Result<Redeemed, Reason> {
        let rare = self.rare.as_mut().ok_or(Reason::TokenUnknown)?;
        let challenge = rare
            .challenge
            .take_if(|challenge| challenge.token == *token)
            .ok_or(Reason::TokenUnknown)?;
        rare.attempts = Attempts::default();
        rare.back = None;
        if challenge.expired(now) {
            rare.consumed = Some((*token, Reason::TokenExpired));
            if let Some((_, held)) = &mut rare.held {
                *held = Held::Failed(Reason::TokenExpired);
            }
            return Err(Reason::TokenExpired);
        }
        rare.consumed = Some((*token, Reason::TokenUsed));
        rare.proven = None;
        let waiting = rare.held.as_ref().map(|(token, _)| *token);
        rare.challenged = Vec::new();
        let held = rare.held.as_mut().and_then(|(_, held)| held.replay());
        Ok(Redeemed {
            level: challenge.level,
            waiting,
            held,
        })
    }

    /// How a login or the replay after it ended: [`Held::Answer`] or
    /// [`Held::Failed`]. Goes nowhere when nobody waits for it any more, because of a newer challenge or a logout.
    pub fn resolve(&mut self, token: &TokenHash, outcome: Held) {
        let waiting = self.rare.as_mut().and_then(|rare| rare.held.as_mut());
        if let Some((_, held @ (Held::Replaying | Held::Withheld(..)))) =
            waiting.filter(|(known, _)| known == token)
        {
            *held = outcome;
        }
    }

    /// What waits behind a `continue` URL with this token: [`Reason::NothingHeld`]
    /// for anybody but the owner, and for an answer below the level that it is for.
    pub fn waiting(
        &self,
        token: &TokenHash,
        clocks: &Clocks,
        evidence: Evidence,
        now: Time,
    ) -> Result<&Held, Reason> {
        static EXPIRED: Held = Held::Failed(Reason::TokenExpired);
        let visible = self.owned_by(evidence) && !self.ended(clocks, now);
        let rare = self.rare.as_ref().filter(|_| visible);
        let held = rare.and_then(|rare| rare.held.as_ref());
        match held.filter(|(known, _)| known == token) {
            Some((_, Held::Request(_) | Held::Withheld(..)))
                if rare
                    .and_then(|rare| rare.pending())
                    .is_some_and(|c| c.expired(now)) =>
            {
                Ok(&EXPIRED)
            }
            Some((_, Held::Answer(level, _))) if self.level(clocks, now) < *level => {
                Err(Reason::NothingHeld)
            }
            Some((_, held)) => Ok(held),
            None => Err(Reason::NothingHeld),
        }
    }
}
