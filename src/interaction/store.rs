//! Where interactions are kept. One operation changes them, [`Store::update`],
//! and it is atomic for an interaction: a shared store can implement it as
//! load, change, compare-and-swap. The in-memory store pays nothing for that.

use std::fmt;
use std::time::Duration;

use arcstr::ArcStr;
use tokio::sync::Notify;

use super::clocks::Clocks;
use super::held::TokenHash;
use super::identity::Identity;
use super::memory::Memory;
use super::state::Interaction;
use crate::reason::Reason;
use crate::time::Time;

/// Names an interaction: channel and interaction id.
///
/// Eight bytes where an `Arc<str>` has sixteen: a table of a million keys is half empty.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key(ArcStr);

impl Key {
    /// Joins the two; channel names have no `/`, so the key is unambiguous.
    pub fn new(channel: &str, interaction: &str) -> Self {
        let mut key = String::with_capacity(channel.len() + 1 + interaction.len());
        key.push_str(channel);
        key.push('/');
        key.push_str(interaction);
        Self(key.into())
    }

    /// The channel's name.
    pub fn channel(&self) -> &str {
        self.0.split_once('/').map_or("", |(channel, _)| channel)
    }

    /// The interaction id.
    pub fn interaction(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, id)| id)
    }

    /// Length of both, in bytes.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// How much a store may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Interactions.
    pub interactions: usize,
    /// Bytes, by [`Interaction::weight`] and what the store adds to it.
    pub bytes: usize,
}

/// Interactions by key, and login tokens by hash.
///
/// Only the in-memory store exists so far; a shared one becomes a second variant
/// behind the same methods.
#[derive(Debug)]
pub struct Store(Memory);

impl Store {
    /// An empty in-memory store.
    pub fn memory(limits: Limits) -> Self {
        Self(Memory::new(limits))
    }

    /// Runs one atomic transition on the interaction under `key` and keeps what
    /// it leaves. `change` gets `None` when there is none (or its clocks have run
    /// out, by `clocks`), and removes the interaction by leaving `None`. It may
    /// run more than once, so it must have no other effect; nor may it use the
    /// store. The index of login tokens follows the interaction's challenge by
    /// itself: a token that is replaced or dropped is remembered as revoked, one
    /// that [`Interaction::redeem`] consumed as used or expired.
    ///
    /// When the store is full, others are evicted: those that ended first, then
    /// anonymous ones, then those seen least recently. An evicted interaction is
    /// anonymous when its customer comes again. One that does not fit even so is
    /// not kept: [`Reason::StoreFull`], and `change`'s value is lost.
    pub async fn update<T>(
        &self,
        key: &Key,
        clocks: &Clocks,
        now: Time,
        change: impl FnMut(&mut Option<Interaction>) -> T + Send,
    ) -> Result<T, Reason> {
        self.0.update(key, clocks, now, change)
    }

    /// Reads without changing anything; `look` may not use the store.
    pub async fn read<T>(
        &self,
        key: &Key,
        clocks: &Clocks,
        now: Time,
        look: impl FnOnce(Option<&Interaction>) -> T + Send,
    ) -> Result<T, Reason> {
        Ok(self.0.read(key, clocks, now, look))
    }

    /// The interaction that a login token belongs to, or why there is none:
    /// `TokenUnknown`, `TokenUsed`, `TokenRevoked`, `TokenExpired`. It decides
    /// nothing: only [`Interaction::redeem`] does, under the interaction's lock.
    pub async fn locate(&self, token: &TokenHash) -> Result<Key, Reason> {
        self.0.locate(token)
    }

    /// The interaction that a `continue` URL's own token belongs to.
    pub async fn locate_held(&self, token: &TokenHash) -> Option<Key> {
        self.0.locate_held(token)
    }

    /// The interactions of a channel whose customer, logged in now or before, is the one
    /// looked for. There is no index of customers, since a million interactions would pay
    /// for it all the time: every interaction is looked at, a shard at a time. Not for a
    /// thread that serves others meanwhile.
    pub fn find(&self, channel: &str, wanted: impl Fn(&Identity) -> bool) -> Vec<Key> {
        self.0.find(channel, wanted)
    }

    /// Rings after every change of the interaction, and sometimes without one.
    /// To miss none: make the waiter (`notified()`), `enable` it, look, then wait.
    pub fn bell(&self, key: &Key) -> &Notify {
        self.0.bell(key)
    }

    /// Drops what has run out, and how many that were; called now and then.
    /// `clocks` gives a channel's clocks by name; the interactions of a channel
    /// that has none any more go too. What seems to begin after `now` begins now: it
    /// was written with a time from before the clock was set back.
    pub fn sweep<'c>(&self, now: Time, clocks: impl Fn(&str) -> Option<&'c Clocks>) -> usize {
        self.0.sweep(now, clocks)
    }

    /// The clock was set back: whatever is kept is as old as before.
    pub fn set_back(&self, by: Duration) {
        self.0.set_back(by);
    }

    /// At most so many interactions whose login URL's time is over, with nobody back.
    pub fn overdue(&self, most: usize, now: Time) -> Vec<Key> {
        self.0.overdue(most, now)
    }

    /// How many interactions it holds.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Approximate bytes held.
    pub fn bytes(&self) -> usize {
        self.0.bytes()
    }
}
