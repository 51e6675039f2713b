//! Proofs that count once.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::identity::digest;
use crate::reason::Reason;
use crate::time::Time;

/// How long a proof is remembered that bears no time, and how long a clock that was set
/// forward may turn out to have been right before.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// Single-use proofs that were used. Each use of a channel (a verifier, a signature,
/// logouts) has places of its own: a busy one takes them from no other.
pub struct ReplayCache {
    capacity: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    uses: HashMap<[u8; 32], Used>,
    leap: Leap,
}

/// How far the clock was set forward of late. It may have been wrong to: once that is
/// mended, proofs count again that had run out meanwhile.
#[derive(Clone, Copy, Default)]
struct Leap {
    by: Duration,
    /// When that was, by the clock as it was set.
    at: Time,
}

/// The proofs of one use of one channel.
#[derive(Default)]
struct Used {
    /// Hashes of what was used.
    proofs: HashSet<[u8; 32]>,
    /// The same by the time at which they expire, the next one on top.
    expiry: BinaryHeap<Reverse<(Time, [u8; 32])>>,
}

impl ReplayCache {
    /// The places of one use.
    pub const PLACES: usize = 1 << 18;
    /// What they take when all are taken, in bytes.
    pub const BYTES: usize = 28 << 20;

    /// A cache of at most `capacity` proofs (about 100 bytes each) for each use.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            inner: Mutex::default(),
        }
    }

    /// Notes the use of a proof that counts until `expires`; its name is channel, use and
    /// what makes it the same proof. Of several at once exactly one succeeds. Forgets
    /// nothing that could count again: [`Reason::ProofReplayed`], and
    /// [`Reason::StoreFull`] where no place is left.
    pub fn use_once(&self, name: [&str; 3], expires: Time, now: Time) -> Result<(), Reason> {
        self.note(name, expires, now, |_| Err(Reason::StoreFull))
    }

    /// The same for a proof that bears no time, and so would count for ever: it is
    /// remembered for a day. Where no place is left, the oldest one is forgotten, a
    /// little sooner than it would be anyway.
    pub fn use_once_untimed(&self, name: [&str; 3], now: Time) -> Result<(), Reason> {
        self.note(name, now + REMEMBERED, now, |used| {
            used.forget_next();
            Ok(())
        })
    }

    /// The clock is set forward, and stands at `now` yet: what ran out by that is
    /// remembered until it would have without, for a day at most.
    pub(in crate::identity) fn set_forward(&self, by: Duration, now: Time) {
        let leap = &mut self.lock().leap;
        *leap = Leap {
            by: leap.counted(now).saturating_add(by),
            at: now + by,
        };
    }

    /// The clock was set back: a leap before that was wrong, as far as it goes. What was
    /// used meanwhile counts until it runs out by the clock, and is remembered until then.
    pub(in crate::identity) fn set_back(&self, by: Duration) {
        let leap = &mut self.lock().leap;
        *leap = Leap {
            by: leap.by.saturating_sub(by),
            at: leap.at - by,
        };
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(
        &self,
        name: [&str; 3],
        expires: Time,
        now: Time,
        make_room: impl FnOnce(&mut Used) -> Result<(), Reason>,
    ) -> Result<(), Reason> {
        let [channel, what, _] = name;
        let (place, proof) = (digest(&[channel, what]), digest(&name));
        let Inner { uses, leap } = &mut *self.lock();
        let past = leap.past(now);
        if !uses.contains_key(&place) {
            // Uses come and go with the configuration.
            uses.retain(|_, used| !used.forget_expired(past).proofs.is_empty());
        }
        let used = uses.entry(place).or_default().forget_expired(past);
        if used.proofs.contains(&proof) {
            return Err(Reason::ProofReplayed);
        }
        if used.proofs.len() >= self.capacity {
            // Whether the clock was right counts for less than a customer of today.
            used.forget_expired(now);
        }
        if used.proofs.len() >= self.capacity {
            make_room(used)?;
        }
        used.proofs.insert(proof);
        used.expiry.push(Reverse((expires, proof)));
        Ok(())
    }
}

impl Default for ReplayCache {
    fn default() -> Self {
        Self::new(Self::PLACES)
    }
}

impl fmt::Debug for ReplayCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplayCache")
    }
}

impl Leap {
    /// How far ahead the clock may be.
    fn counted(self, now: Time) -> Duration {
        match now.since(self.at) < REMEMBERED {
            true => self.by,
            false => Duration::ZERO,
        }
    }

    /// What has run out by this time has done so whether the clock is right or not.
    fn past(self, now: Time) -> Time {
        now - self.counted(now)
    }
}

impl Used {
    fn forget_expired(&mut self, now: Time) -> &mut Self {
        while let Some(Reverse((expires, _))) = self.expiry.peek()
            && *expires <= now
        {
            self.forget_next();
        }
        self
    }

    /// Forgets the one that expires next.
    fn forget_next(&mut self) {
        if let Some(Reverse((_, proof))) = self.expiry.pop() {
            self.proofs.remove(&proof);
        }
    }
}
