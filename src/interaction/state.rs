//! One interaction and its transitions.
//!
//! The rules, each held by a test:
//!
//! * An interaction belongs to whoever first shows owner evidence. Anybody else
//!   is served as anonymous, and neither keeps it alive nor changes it.
//! * A clock has run out at exactly its timeout, not after it.
//! * Time alone never raises a level.
//! * The subject never changes: not after the login ran out, not after a logout.
//! * A login that has to be bound counts only once it is: see [`binding`].
//! * A login token is good once; a newer one, a logout and the end revoke it.
//! * A withheld message goes to nobody below the level that its flag demands; it
//!   outlives a newer login URL, but neither a logout nor the end.

mod binding;
mod login_url;
mod outcome;
mod owner;
mod returned;
mod withheld;

use std::sync::Arc;
use std::time::Duration;

use super::attempt::Attempts;
use super::clocks::{Clocks, over};
use super::held::{Challenge, Held, HeldRequest, MessageHash, TokenHash};
use super::identity::{Identity, Level};
use super::outbox::{Outbox, Withheld};
use crate::reason::Reason;
use crate::time::Time;
use binding::Proven;
pub use binding::Unbound;
pub use owner::{Evidence, OwnerHash};
pub use returned::Step;

/// How an interaction stands for one request: what the decision functions see of it.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// The identity that counts right now, at the level that it counts at, for this
    /// request's client.
    pub identity: Option<Arc<Identity>>,
    /// When that identity logged in.
    pub login_time: Option<Time>,
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

/// What is known of one conversation.
#[derive(Clone, Debug)]
pub struct Interaction {
    started: Time,
    /// Latest request of the owner.
    seen: Time,
    login: Option<Login>,
    /// Whether the channel's side call has told the backend of the login.
    announced: bool,
    owner: Option<OwnerHash>,
    rare: Option<Box<Rare>>,
}

/// A customer who logged in, and when. It may have run out.
#[derive(Clone, Debug)]
struct Login {
    identity: Arc<Identity>,
    at: Time,
}

impl Login {
    /// The customer at this level, which is no higher than the one that was reached.
    fn at_level(&self, level: Level) -> Arc<Identity> {
        match level == self.identity.level {
            true => Arc::clone(&self.identity),
            false => Arc::new(self.identity.at(level)),
        }
    }
}

/// What most interactions lack most of the time, in a box of its own: a million
/// of them must fit into memory.
#[derive(Clone, Debug, Default)]
struct Rare {
    /// The outstanding login URL.
    challenge: Option<Challenge>,
    /// Where that leads to an identity provider: who is on the way there and back.
    attempts: Attempts,
    /// How many of its tries are used: those that failed, and where it leads to our form
    /// those that have begun, for there many may be under way at once.
    tries: u32,
    /// A login that succeeded and waits to be bound; the challenge is its ticket then.
    proven: Option<Proven>,
    /// Where the browser that logs in goes afterwards, as the outstanding URL was opened.
    back: Option<Box<str>>,
    /// What waits behind the `continue` URL, and the hash of that URL's own token.
    held: Option<(TokenHash, Held)>,
    /// In whose place a login URL has stood since the latest login.
    challenged: Vec<MessageHash>,
    /// Messages that wait for a login.
    outbox: Outbox,
    /// The owner's latest message, where the answer to it comes on another way.
    latest: Option<Box<HeldRequest>>,
    /// The subject of a login that was taken away.
    former: Option<Box<str>>,
    /// Where the outcome of the outstanding login is told.
    envelope: Option<Box<Withheld>>,
    /// A token that was consumed, and how, until the store notes it.
    consumed: Option<(TokenHash, Reason)>,
}

impl Interaction {
    /// A conversation whose first request comes now.
    pub fn new(now: Time) -> Self {
        Self {
            started: now,
            seen: now,
            login: None,
            announced: false,
            owner: None,
            rare: None,
        }
    }

    /// The clock was set back: what began lasts no longer for that.
    pub(super) fn set_back(&mut self, by: Duration) {
        self.times().for_each(|time| *time = *time - by);
    }

    /// Nothing began later than now. Where it seems so, the clock was set back meanwhile,
    /// and it began just before.
    pub(super) fn began_by(&mut self, now: Time) {
        self.times().for_each(|time| *time = now.min(*time));
    }

    /// When what has a clock began.
    fn times(&mut self) -> impl Iterator<Item = &mut Time> {
        let rare = self.rare.as_deref_mut();
        let (challenge, proven) = rare.map_or((None, None), |rare| {
            (rare.challenge.as_mut(), rare.proven.as_mut())
        });
        let times = [
            Some(&mut self.started),
            Some(&mut self.seen),
            self.login.as_mut().map(|login| &mut login.at),
            challenge.map(|challenge| &mut challenge.created),
            proven.map(Proven::created),
        ];
        times.into_iter().flatten()
    }

    /// Whether its inactivity or absolute clock has run out.
    pub fn ended(&self, clocks: &Clocks, now: Time) -> bool {
        over(clocks.interaction_timeout, self.seen, now)
            || over(clocks.absolute_timeout, self.started, now)
    }

    /// Notes a request: takes the owner if there is none yet, moves the
    /// inactivity clock if the request is the owner's, and says how the
    /// interaction stands for it. An interaction that has ended stays ended.
    pub fn touch(&mut self, clocks: &Clocks, evidence: Evidence, now: Time) -> Standing {
        if !self.ended(clocks, now) && self.admit(evidence).is_ok() {
            self.seen = self.seen.max(now);
        }
        self.standing(clocks, evidence, now)
    }

    /// How it stands, without noting a request: see [`Clocks::counts`].
    pub fn standing(&self, clocks: &Clocks, evidence: Evidence, now: Time) -> Standing {
        let foreign = !self.owned_by(evidence);
        let login = self.login(clocks, now).filter(|_| !foreign);
        Standing {
            identity: login.map(|(login, level)| login.at_level(level)),
            login_time: login.map(|(login, _)| login.at),
            unannounced: login.is_some() && !self.announced,
            foreign,
        }
    }

    /// The customer logged in. A login with another subject than the one that
    /// the interaction ever had is refused with [`Reason::SubjectChanged`], one
    /// on somebody else's interaction with [`Reason::NotOwner`]. After
    /// [`Interaction::redeem`] the evidence is [`Evidence::Unasked`]: the token
    /// speaks for the owner.
    ///
    /// A weaker proof than what still counts changes nothing: it
    /// neither takes the level away nor prolongs it. The same identity again
    /// moves the clock and need not be announced anew.
    pub fn log_in(
        &mut self,
        identity: Arc<Identity>,
        clocks: &Clocks,
        evidence: Evidence,
        now: Time,
    ) -> Result<(), Reason> {
        self.admit(evidence)?;
        if self
            .subject()
            .is_some_and(|known| known != identity.subject())
        {
            return Err(Reason::SubjectChanged);
        }
        let mut announced = false;
        if let Some((current, counts)) = self.login(clocks, now) {
            if identity.level < counts {
                return Ok(());
            }
            announced = self.announced && *identity == *current.at_level(counts);
        }
        let level = identity.level;
        self.announced = announced;
        self.login = Some(Login { identity, at: now });
        if let Some((_, held)) = self.rare.as_mut().and_then(|rare| rare.held.as_mut()) {
            held.let_go(level);
        }
        Ok(())
    }

    /// The channel's side call told the backend of this identity. That a level is over
    /// is no news for a side call: what is injected says so with every request.
    pub fn announced(&mut self, identity: &Identity, clocks: &Clocks, now: Time) {
        let login = self.login(clocks, now);
        if login.is_some_and(|(login, level)| *login.at_level(level) == *identity) {
            self.announced = true;
        }
    }

    /// Takes the identity away: logout, revocation. Outstanding challenges go
    /// too, and what they held; only the subject's name stays, so that nobody
    /// else takes the interaction over.
    pub fn log_out(&mut self) {
        let former = self.subject().map(Box::from);
        self.login = None;
        self.announced = false;
        let consumed = self.rare.take().and_then(|rare| rare.consumed);
        self.rare = (former.is_some() || consumed.is_some()).then(|| {
            Box::new(Rare {
                former,
                consumed,
                ..Rare::default()
            })
        });
    }

    /// Approximate size in bytes, heap included; the store bounds the sum.
    pub fn weight(&self) -> usize {
        let login = self.login.as_ref().map_or(0, |l| l.identity.weight());
        let rare = self.rare.as_ref().map_or(0, |rare| {
            let held = rare.held.as_ref().map_or(0, |(_, held)| held.weight());
            let former = rare.former.as_ref().map_or(0, |name| name.len());
            let latest = rare.latest.as_ref().map_or(0, |latest| latest.weight());
            let attempts = rare.attempts.weight();
            let challenged = size_of_val(&rare.challenged[..]);
            let proven = rare.proven.as_ref().map_or(0, Proven::weight);
            let back = rare.back.as_ref().map_or(0, |back| back.len());
            let envelope = rare.envelope.as_ref().map_or(0, |one| one.weight());
            size_of::<Rare>()
                + proven
                + back
                + envelope
                + held
                + former
                + latest
                + attempts
                + challenged
                + rare.outbox.weight()
        });
        size_of::<Self>() + login + rare
    }

    /// The latest request of the owner.
    pub(super) fn seen(&self) -> Time {
        self.seen
    }

    /// Whether a login counts right now.
    pub(super) fn authenticated(&self, clocks: &Clocks, now: Time) -> bool {
        self.login(clocks, now).is_some()
    }

    /// The level that its login counts at right now.
    fn level(&self, clocks: &Clocks, now: Time) -> Level {
        self.login(clocks, now)
            .map_or(Level::ANONYMOUS, |(_, level)| level)
    }

    /// Whether its login is one that is looked for: one that counts, has run out, or
    /// waits to be bound.
    pub(super) fn is_of(&self, wanted: impl Fn(&Identity) -> bool) -> bool {
        let proven = self.rare.as_ref().and_then(|rare| rare.proven.as_ref());
        let login = self.login.as_ref();
        login.is_some_and(|login| wanted(&login.identity))
            || proven.is_some_and(|proven| wanted(proven.identity()))
    }

    /// The attempts of the login URL with this token, as long as it counts.
    fn attempts(&mut self, token: &TokenHash, now: Time) -> Result<(Level, &mut Attempts), Reason> {
        let level = self.open(token, now)?;
        let rare = self.rare.as_mut().ok_or(Reason::TokenUnknown)?;
        Ok((level, &mut rare.attempts))
    }

    /// The outstanding login URL.
    pub fn outstanding(&self) -> Option<&Challenge> {
        self.rare.as_ref()?.challenge.as_ref()
    }

    /// What the tokens of the interaction are for: the login URL, the ticket of a login
    /// that waits to be bound.
    pub(super) fn tokens(&self) -> [Option<&Challenge>; 2] {
        let rare = self.rare.as_ref();
        let ticket = rare.and_then(|rare| rare.proven.as_ref());
        [self.outstanding(), ticket.map(Proven::ticket)]
    }

    /// The hash of the `continue` URL's own token.
    pub(super) fn held_token(&self) -> Option<TokenHash> {
        self.rare.as_ref()?.held.as_ref().map(|(token, _)| *token)
    }

    /// The token that [`Interaction::redeem`] consumed since the last call, and how.
    pub(super) fn take_consumed(&mut self) -> Option<(TokenHash, Reason)> {
        let consumed = self.rare.as_mut()?.consumed.take();
        self.slim();
        consumed
    }

    /// Gives the box back when nothing is in it.
    fn slim(&mut self) {
        self.rare.take_if(|rare| {
            rare.challenge.is_none()
                && rare.proven.is_none()
                && rare.held.is_none()
                && rare.outbox.is_empty()
                && rare.latest.is_none()
                && rare.envelope.is_none()
                && rare.former.is_none()
                && rare.consumed.is_none()
        });
    }

    /// The login, if it counts right now, and the level that it counts at.
    fn login(&self, clocks: &Clocks, now: Time) -> Option<(&Login, Level)> {
        let login = self.login.as_ref().filter(|_| !self.ended(clocks, now))?;
        let level = clocks.counts(login.identity.level, login.at, now);
        (level > Level::ANONYMOUS).then_some((login, level))
    }

    /// The only subject that this interaction can have, if it ever had one.
    fn subject(&self) -> Option<&str> {
        let former = || self.rare.as_ref().and_then(|rare| rare.former.as_deref());
        self.login
            .as_ref()
            .map(|login| login.identity.subject())
            .or_else(former)
    }
}

#[cfg(test)]
mod level_tests;
#[cfg(test)]
mod tests;
