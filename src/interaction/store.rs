//! Where interactions are kept. One operation changes them, [`Store::update`],
//! and it is atomic for an interaction: a shared store can implement it as
//! load, change, compare-and-swap. The in-memory store pays nothing for that.

use std::fmt;
use std::sync::Arc;

/// Names an interaction: channel and interaction id.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key(Arc<str>);

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
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

use super::state::{Clocks, Interaction, TokenHash};
use crate::reason::Reason;
use crate::time::Time;

/// How much a store may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Interactions.
    pub interactions: usize,
    /// Bytes, by [`Interaction::weight`].
    pub bytes: usize,
}

/// Interactions by key, and login tokens by hash.
///
/// Only the in-memory store exists so far; a shared one becomes a second variant
/// behind the same methods.
pub struct Store {
    _todo: (),
}

impl Store {
    /// An empty in-memory store.
    pub fn memory(limits: Limits) -> Self {
        todo!()
    }

    /// Runs one atomic transition on the interaction under `key` and keeps what
    /// it leaves. `change` gets `None` when there is none (or its clocks have run
    /// out, by `clocks`), and removes the interaction by leaving `None`. It may
    /// run more than once, so it must have no other effect. The index of login
    /// tokens follows the interaction's challenge by itself: a token that is
    /// replaced or dropped is remembered as revoked, one that
    /// [`Interaction::redeem`] consumed as used or expired.
    ///
    /// When the store is full and nothing can be evicted, a new interaction is
    /// not kept: [`Reason::StoreFull`], and `change`'s value is lost.
    pub async fn update<T>(
        &self,
        key: &Key,
        clocks: &Clocks,
        now: Time,
        change: impl FnMut(&mut Option<Interaction>) -> T + Send,
    ) -> Result<T, Reason> {
        todo!()
    }

    /// Reads without changing anything.
    pub async fn read<T>(
        &self,
        key: &Key,
        clocks: &Clocks,
        now: Time,
        look: impl FnOnce(Option<&Interaction>) -> T + Send,
    ) -> Result<T, Reason> {
        todo!()
    }

    /// The interaction that a login token belongs to, or why there is none:
    /// `TokenUnknown`, `TokenUsed`, `TokenRevoked`, `TokenExpired`.
    pub async fn locate(&self, token: &TokenHash) -> Result<Key, Reason> {
        todo!()
    }

    /// The interaction that a `continue` URL's own token belongs to.
    pub async fn locate_held(&self, token: &TokenHash) -> Option<Key> {
        todo!()
    }

    /// Returns once the interaction may have changed since `waiter` was made.
    pub fn bell(&self, key: &Key) -> &tokio::sync::Notify {
        todo!()
    }

    /// Drops what has run out; called now and then. `clocks` gives a channel's clocks by name.
    pub fn sweep(&self, now: Time, clocks: impl Fn(&str) -> Option<Clocks>) -> usize {
        todo!()
    }

    /// How many interactions it holds.
    pub fn len(&self) -> usize {
        todo!()
    }

    /// Approximate bytes held.
    pub fn bytes(&self) -> usize {
        todo!()
    }
}
