//! The in-memory store.
//!
//! Locks are taken in this order and never the other way round: `ring`, a shard
//! of `interactions`, `graves`, a shard of `tokens` or of `held`. No lock is held
//! across an await: nothing here awaits.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use tokio::sync::Notify;

use super::clocks::Clocks;
use super::held::{Challenge, TokenHash};
use super::identity::Identity;
use super::state::Interaction;
use super::store::{Key, Limits};
use crate::reason::Reason;
use crate::time::Time;

/// So many that few wait for each other, or for a sweep: of a million interactions
/// a shard has 16,000, a millisecond's work. More would waste memory: the allocator
/// rounds up each shard's table.
const SHARDS: usize = 64;
/// Waiters on one bell wake for each other's interactions; more bells, fewer wake-ups.
const BELLS: usize = 256;
/// How many interactions are looked at to find the one that matters least.
const SAMPLE: usize = 16;
/// How many spent tokens are remembered, and for how long. A forgotten one is
/// refused as well, but as unknown.
const GRAVES: usize = 1 << 16;
const GRAVE_TIME: Duration = Duration::from_secs(24 * 60 * 60);
/// What the store itself needs: per interaction its key's header and its slots
/// in the table and the ring, per indexed token its slot and key.
const ENTRY_OVERHEAD: usize = 16 + 40 + 12;
const TOKEN_OVERHEAD: usize = 128;

/// See [`super::Store`].
pub(super) struct Memory {
    limits: Limits,
    /// Boxed, since a table is half empty after it grew.
    interactions: DashMap<Key, Box<Option<Interaction>>>,
    tokens: DashMap<TokenHash, Token>,
    held: DashMap<TokenHash, Key>,
    /// Spent tokens, oldest first.
    graves: Mutex<VecDeque<(Time, TokenHash)>>,
    /// Every kept key at least once, and some that are gone: where eviction samples.
    ring: Mutex<VecDeque<Key>>,
    count: AtomicUsize,
    bytes: AtomicUsize,
    bells: Box<[Notify]>,
    hasher: RandomState,
}

/// What is known of a login token.
enum Token {
    Outstanding(Key),
    Spent(Reason),
}

/// What the sums and indices know of an interaction.
#[derive(Default)]
struct Trace {
    weight: usize,
    /// The outstanding tokens, and what each is remembered as when it goes.
    tokens: [Option<(TokenHash, Reason)>; 2],
    held: Option<TokenHash>,
}

/// How little an interaction matters: the least is evicted first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    Ended,
    Anonymous,
    /// Anonymous, but the customer may be logging in just now.
    Challenged,
    Authenticated,
}

impl Memory {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            interactions: DashMap::with_shard_amount(SHARDS),
            tokens: DashMap::new(),
            held: DashMap::new(),
            graves: Mutex::default(),
            ring: Mutex::default(),
            count: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            bells: (0..BELLS).map(|_| Notify::new()).collect(),
            hasher: RandomState::new(),
        }
    }

    pub(super) fn update<T>(
        &self,
        key: &Key,
        clocks: &Clocks,
        now: Time,
        change: impl FnMut(&mut Option<Interaction>) -> T,
    ) -> Result<T, Reason> {
        let (value, born) = self.transition(key, clocks, now, change);
        if born {
            self.remember(key);
        }
        let fits = !self.over() || self.evict(key, clocks, now);
        if !fits {
            self.remove(key, now);
        }
        self.bell(key).notify_waiters();
        if fits {
            Ok(value)
        } else {
            Err(Reason::StoreFull)
        }
    }

    pub(super) fn read<T>(
        &self,
        key: &Key,
        clocks: &Clocks,
        now: Time,
        look: impl FnOnce(Option<&Interaction>) -> T,
    ) -> T {
        let slot = self.interactions.get(key);
        let interaction = slot.as_ref().and_then(|slot| slot.as_ref().as_ref());
        look(interaction.filter(|i| !i.ended(clocks, now)))
    }

    pub(super) fn locate(&self, token: &TokenHash) -> Result<Key, Reason> {
        match self.tokens.get(token).as_deref() {
            Some(Token::Outstanding(key)) => Ok(key.clone()),
            Some(Token::Spent(reason)) => Err(*reason),
            None => Err(Reason::TokenUnknown),
        }
    }

    pub(super) fn locate_held(&self, token: &TokenHash) -> Option<Key> {
        self.held.get(token).map(|key| key.clone())
    }

    pub(super) fn find(&self, channel: &str, wanted: impl Fn(&Identity) -> bool) -> Vec<Key> {
        self.interactions
            .iter()
            .filter(|slot| slot.key().channel() == channel)
            .filter(|slot| slot.as_ref().as_ref().is_some_and(|i| i.is_of(&wanted)))
            .map(|slot| slot.key().clone())
            .collect()
    }

    pub(super) fn bell(&self, key: &Key) -> &Notify {
        let place = self.hasher.hash_one(key) % self.bells.len() as u64;
        &self.bells[place as usize]
    }

    pub(super) fn sweep<'c>(
        &self,
        now: Time,
        clocks: impl Fn(&str) -> Option<&'c Clocks>,
    ) -> usize {
        let mut dropped = 0;
        self.interactions.retain(|key, slot| {
            let clocks = clocks(key.channel());
            if let (Some(interaction), Some(clocks)) = (slot.as_mut(), clocks)
                && !interaction.ended(clocks, now)
            {
                interaction.began_by(now);
                return true;
            }
            let before = Trace::of(key, slot, now);
            **slot = None;
            self.follow(key, before, slot, now);
            self.bell(key).notify_waiters();
            dropped += 1;
            false
        });
        self.count.fetch_sub(dropped, Ordering::Relaxed);
        let mut graves = lock(&self.graves);
        let forgotten = graves.partition_point(|(at, _)| now.since(*at) >= GRAVE_TIME);
        for (_, token) in graves.drain(..forgotten) {
            self.tokens.remove(&token);
        }
        dropped
    }

    pub(super) fn set_back(&self, by: Duration) {
        for mut slot in self.interactions.iter_mut() {
            if let Some(interaction) = slot.as_mut() {
                interaction.set_back(by);
            }
        }
        for (at, _) in lock(&self.graves).iter_mut() {
            *at = *at - by;
        }
    }

    pub(super) fn overdue(&self, most: usize, now: Time) -> Vec<Key> {
        let late = |slot: &Option<Interaction>| slot.as_ref().is_some_and(|i| i.is_overdue(now));
        self.interactions
            .iter()
            .filter(|slot| late(slot))
            .map(|slot| slot.key().clone())
            .take(most)
            .collect()
    }

    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Applies a change under the interaction's lock; says whether it is a new one.
    fn transition<T>(
        &self,
        key: &Key,
        clocks: &Clocks,
        now: Time,
        mut change: impl FnMut(&mut Option<Interaction>) -> T,
    ) -> (T, bool) {
        match self.interactions.entry(key.clone()) {
            Entry::Occupied(mut entry) => {
                let slot = entry.get_mut().as_mut();
                let before = Trace::of(key, slot, now);
                slot.take_if(|interaction| interaction.ended(clocks, now));
                let value = change(slot);
                self.follow(key, before, slot, now);
                if slot.is_none() {
                    entry.remove();
                    self.count.fetch_sub(1, Ordering::Relaxed);
                }
                (value, false)
            }
            Entry::Vacant(entry) => {
                let mut slot = None;
                let value = change(&mut slot);
                self.follow(key, Trace::default(), &mut slot, now);
                let born = slot.is_some();
                if born {
                    entry.insert(Box::new(slot));
                    self.count.fetch_add(1, Ordering::Relaxed);
                }
                (value, born)
            }
        }
    }

    /// Lets sums and indices follow what became of an interaction.
    fn follow(&self, key: &Key, before: Trace, slot: &mut Option<Interaction>, now: Time) {
        let consumed = slot.as_mut().and_then(Interaction::take_consumed);
        let after = Trace::of(key, slot, now);
        // Wraps where it shrank, and so subtracts.
        let grown = after.weight.wrapping_sub(before.weight);
        self.bytes.fetch_add(grown, Ordering::Relaxed);

        if let Some((token, how)) = consumed {
            self.bury(token, how, now);
        }
        for (token, how) in before.tokens.into_iter().flatten() {
            let spent = consumed.is_some_and(|(consumed, _)| consumed == token);
            if !after.has(token) && !spent {
                self.bury(token, how, now);
            }
        }
        for (token, _) in after.tokens.into_iter().flatten() {
            if !before.has(token) {
                self.tokens.insert(token, Token::Outstanding(key.clone()));
            }
        }
        if before.held != after.held {
            before.held.map(|token| self.held.remove(&token));
            after.held.map(|token| self.held.insert(token, key.clone()));
        }
    }

    /// Remembers a spent token; the oldest make room.
    fn bury(&self, token: TokenHash, how: Reason, now: Time) {
        let mut graves = lock(&self.graves);
        self.tokens.insert(token, Token::Spent(how));
        graves.push_back((now, token));
        if graves.len() > GRAVES
            && let Some((_, oldest)) = graves.pop_front()
        {
            self.tokens.remove(&oldest);
        }
    }

    fn over(&self) -> bool {
        self.len() > self.limits.interactions || self.bytes() > self.limits.bytes
    }

    /// Evicts others than `keep` until the store is within its limits; `false`
    /// when there are no others left.
    fn evict(&self, keep: &Key, clocks: &Clocks, now: Time) -> bool {
        let mut ring = lock(&self.ring);
        let mut kept = false;
        let fits = loop {
            if !self.over() {
                break true;
            }
            if ring.is_empty() {
                break false;
            }
            let mut least: Option<((Worth, Time), Key)> = None;
            for _ in 0..SAMPLE {
                let Some(key) = ring.pop_front() else { break };
                if key == *keep {
                    kept = true;
                    continue;
                }
                let Some(rank) = self.rank(&key, keep.channel(), clocks, now) else {
                    continue;
                };
                match &mut least {
                    Some(least) if least.0 <= rank => ring.push_back(key),
                    _ => ring.extend(least.replace((rank, key)).map(|(_, key)| key)),
                }
            }
            if let Some((_, key)) = least {
                self.remove(&key, now);
            }
        };
        if kept {
            ring.push_back(keep.clone());
        }
        fits
    }

    /// What an interaction is worth keeping for, and since when; `None` when it is gone.
    /// Only the clocks of `channel` are known here; elsewhere a login counts until a sweep.
    fn rank(&self, key: &Key, channel: &str, clocks: &Clocks, now: Time) -> Option<(Worth, Time)> {
        let slot = self.interactions.get(key)?;
        let interaction = slot.as_ref().as_ref()?;
        let unknown = Clocks::default();
        let clocks = match key.channel() == channel {
            true => clocks,
            false => &unknown,
        };
        let worth = if interaction.ended(clocks, now) {
            Worth::Ended
        } else if interaction.authenticated(clocks, now) {
            Worth::Authenticated
        } else if interaction
            .tokens()
            .into_iter()
            .flatten()
            .any(|challenge| !challenge.expired(now))
        {
            Worth::Challenged
        } else {
            Worth::Anonymous
        };
        Some((worth, interaction.seen()))
    }

    fn remove(&self, key: &Key, now: Time) {
        self.transition(key, &Clocks::default(), now, |slot| *slot = None);
        self.bell(key).notify_waiters();
    }

    /// Puts a new key where eviction finds it; throws out those that are gone
    /// when they are the most.
    fn remember(&self, key: &Key) {
        let mut ring = lock(&self.ring);
        ring.push_back(key.clone());
        if ring.len() > 2 * self.len() + 1024 {
            ring.clear();
            ring.extend(self.interactions.iter().map(|slot| slot.key().clone()));
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Memory({} interactions, {} bytes)",
            self.len(),
            self.bytes()
        )
    }
}

impl Trace {
    fn of(key: &Key, slot: &Option<Interaction>, now: Time) -> Self {
        let Some(interaction) = slot else {
            return Self::default();
        };
        let remembered = |challenge: &Challenge| match challenge.expired(now) {
            true => (challenge.token, Reason::TokenExpired),
            false => (challenge.token, Reason::TokenRevoked),
        };
        let known = interaction.tokens();
        let tokens = known.map(|challenge| challenge.map(remembered));
        let held = interaction.held_token();
        let count = tokens.iter().flatten().count() + usize::from(held.is_some());
        Self {
            weight: interaction.weight() + key.len() + ENTRY_OVERHEAD + count * TOKEN_OVERHEAD,
            tokens,
            held,
        }
    }

    fn has(&self, token: TokenHash) -> bool {
        let known = &mut self.tokens.iter().flatten();
        known.any(|(known, _)| *known == token)
    }
}

/// A panic elsewhere leaves these queues usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
