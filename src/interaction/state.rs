//! One interaction and its transitions.
//!
//! The rules, each held by a test:
//!
//! * An interaction belongs to whoever first shows owner evidence. Anybody else
//!   is served as anonymous, and neither keeps it alive nor changes it.
//! * A cookie that was given and never came back is not shown: a browser whose first
//!   requests to two chats crossed keeps one cookie for both.
//! * A clock has run out at exactly its timeout, not after it.
//! * Time alone never raises a level.
//! * The subject never changes: not after the login ran out, not after a logout.
//! * A login that has to be bound counts only once it is: see [`binding`].
//! * A login token is good once; a newer one, a logout and the end revoke it.
//! * A withheld message goes to nobody below the level that its flag demands; it
//!   outlives a newer login URL, but neither a logout nor the end.

mod binding;
mod outcome;

use std::sync::Arc;
use std::time::Duration;

use subtle::ConstantTimeEq;

use super::attempt::{Attempt, Attempts};
use super::held::{Challenge, Held, HeldRequest, MessageHash, Redeemed, TokenHash};
use super::identity::{Identity, Level};
use binding::Proven;
pub use binding::Unbound;

use super::outbox::{Bounds, Leg, Outbox, Withheld};
use crate::reason::Reason;
use crate::secret::Secret;
use crate::time::Time;

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

/// The clocks of a channel. `None` means that this clock never runs out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    /// Time to live of a login token.
    pub token_ttl: Option<Duration>,
    /// How long a login counts, from the login.
    pub authentication_timeout: Option<Duration>,
    /// How long it counts at a level, where that is another time.
    pub level_timeouts: Vec<(Level, Duration)>,
    /// How long an interaction lives without a request of its owner.
    pub interaction_timeout: Option<Duration>,
    /// How long an interaction lives at all.
    pub absolute_timeout: Option<Duration>,
}

impl Clocks {
    /// The level that a login counts at: the one it reached, as long as that level's
    /// time is not over, then the next lower one whose time is not, at last
    /// [`Level::ANONYMOUS`].
    pub fn counts(&self, reached: Level, login: Time, now: Time) -> Level {
        let levels = (1..=reached.0).rev().map(Level);
        let counts = |level: &Level| !over(self.level_timeout(*level), login, now);
        levels.into_iter().find(counts).unwrap_or_default()
    }

    /// How long a login counts at this level; `None` never ends.
    pub fn level_timeout(&self, level: Level) -> Option<Duration> {
        let own = self.level_timeouts.iter().find(|(own, _)| *own == level);
        own.map(|(_, timeout)| *timeout)
            .or(self.authentication_timeout)
    }
}

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
    /// Whether a request has shown the owner's evidence.
    shown: bool,
    rare: Option<Box<Rare>>,
}

/// How many messages are remembered in whose place a login URL stands; of older ones
/// a new one is made.
const MOST_CHALLENGED: usize = 256;

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
            shown: false,
            rare: None,
        }
    }

    /// Whether its inactivity or absolute clock has run out.
    pub fn ended(&self, clocks: &Clocks, now: Time) -> bool {
        over(clocks.interaction_timeout, self.seen, now)
            || over(clocks.absolute_timeout, self.started, now)
    }

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
    /// is kept on that leg already is not kept twice. [`Reason::OutboxFull`] when it does not fit:
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
    ) -> Vec<Withheld> {
        let level = self.standing(clocks, evidence, now).level();
        let Some(rare) = self.rare.as_mut().filter(|_| level > Level::ANONYMOUS) else {
            return Vec::new();
        };
        let withheld = Level(1)..=level;
        let reached = |message: &Withheld| withheld.contains(&message.level) && legs(&message.leg);
        let released = rare.outbox.take(reached);
        self.slim();
        released
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

    /// Uses one of the tries of the login URL with this token, which has so many at
    /// `most`: [`Reason::LoginFailures`] when there is none left, else errors as of
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

    /// Lets the owner in; a first one becomes the owner.
    fn admit(&mut self, evidence: Evidence) -> Result<(), Reason> {
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

/// Whether a clock that started at `start` has run out.
fn over(timeout: Option<Duration>, start: Time, now: Time) -> bool {
    timeout.is_some_and(|timeout| now.since(start) >= timeout)
}

#[cfg(test)]
mod level_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod withheld_tests;
