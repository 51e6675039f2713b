//! Proofs that count once.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::fmt;
use std::sync::{Mutex, PoisonError};

use crate::identity::digest;
use crate::reason::Reason;
use crate::time::Time;

/// Used single-use proofs until they expire by themselves; bounded, and when full
/// it refuses rather than forgets.
pub struct ReplayCache {
    capacity: usize,
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    /// Hashes of what was used.
    proofs: HashSet<[u8; 32]>,
    /// The same by the time at which they expire, the next one on top.
    expiry: BinaryHeap<Reverse<(Time, [u8; 32])>>,
}

impl ReplayCache {
    /// A cache of at most `capacity` proofs (about 100 bytes each).
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            used: Mutex::default(),
        }
    }

    /// Notes the use of a proof that counts until `expires`; `name` is what makes it
    /// the same proof. Of several at once exactly one succeeds.
    pub fn use_once(&self, name: [&str; 3], expires: Time, now: Time) -> Result<(), Reason> {
        let proof = digest(&name);
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.forget_expired(now);
        if used.proofs.contains(&proof) {
            return Err(Reason::ProofReplayed);
        }
        if used.proofs.len() >= self.capacity {
            return Err(Reason::StoreFull);
        }
        used.proofs.insert(proof);
        used.expiry.push(Reverse((expires, proof)));
        Ok(())
    }
}

impl Default for ReplayCache {
    fn default() -> Self {
        Self::new(1 << 18)
    }
}

impl fmt::Debug for ReplayCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplayCache")
    }
}

impl Used {
    fn forget_expired(&mut self, now: Time) {
        while let Some(Reverse((expires, proof))) = self.expiry.peek() {
            if *expires > now {
                return;
            }
            self.proofs.remove(proof);
            self.expiry.pop();
        }
    }
}
