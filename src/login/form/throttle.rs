//! How often somebody may try to log in.
//!
//! Tries grow back evenly over time. What is kept has a fixed size: several rows of
//! places, and who tries has one place in each row, by a hash that nobody outside can
//! work out. Two who share a place in every row count together: that makes it stricter,
//! never weaker, and a flood of names drives nobody's tries out of memory.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::interaction::TokenHash;
use crate::time::Time;

const ROWS: usize = 4;
const PLACES: usize = 1 << 14;

/// How many tries, and how soon they grow back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// So many at once.
    pub tries: u32,
    /// After so long all of them have grown back.
    pub per: Duration,
}

impl Limit {
    /// In milliseconds, at least one.
    fn interval(&self) -> u64 {
        let per = u64::try_from(self.per.as_millis()).unwrap_or(u64::MAX);
        (per / u64::from(self.tries.max(1))).max(1)
    }

    fn burst(&self) -> u64 {
        self.interval().saturating_mul(u64::from(self.tries.max(1)))
    }
}

/// Who tries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// The customer of this name on this channel, however it is written.
    Name(Box<str>, String),
    /// The customer with this entry in the directory, by whatever name.
    Entry(Box<str>, Box<str>),
    /// A client at this address: of an IPv6 one its network, which one client has whole.
    Address(IpAddr),
    /// The browser that holds a ticket.
    Ticket(TokenHash),
}

impl Who {
    /// A name as the directory compares it, or nearly so: without regard to case and to
    /// the number of blanks.
    pub fn name(channel: &str, name: &str) -> Self {
        let words: Vec<_> = name.split_whitespace().map(str::to_lowercase).collect();
        Self::Name(channel.into(), words.join(" "))
    }

    /// A client's address.
    pub fn address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(six) => {
                let network = six.to_bits() >> 64 << 64;
                Self::Address(std::net::Ipv6Addr::from_bits(network).into())
            }
            four => Self::Address(four),
        }
    }
}

/// Who tried how often. Memory is taken with the first try.
#[derive(Default)]
pub struct Throttle {
    keys: RandomState,
    /// When all tries will have grown back, in milliseconds since the epoch.
    rows: Mutex<Vec<u64>>,
}

impl Throttle {
    /// Takes a try; how long to wait when there is none.
    pub fn take(&self, who: &Who, limit: Limit, now: Time) -> Result<(), Duration> {
        let mut rows = self.rows();
        let places = self.places(who);
        let full = lowest(&rows, &places).max(now.millis());
        let next = full.saturating_add(limit.interval());
        let most = now.millis().saturating_add(limit.burst());
        if next > most {
            return Err(Duration::from_millis(next - most));
        }
        for place in places {
            if let Some(value) = rows.get_mut(place) {
                *value = (*value).max(next);
            }
        }
        Ok(())
    }

    /// Gives a try back that came to nothing, or was a success.
    pub fn give_back(&self, who: &Who, limit: Limit) {
        self.lower(who, |value| value.saturating_sub(limit.interval()));
    }

    /// Gives all tries back.
    pub fn forget(&self, who: &Who) {
        self.lower(who, |_| 0);
    }

    /// The clock was set back: nobody waits longer for that.
    pub fn set_back(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        for row in rows.iter_mut() {
            *row = row.saturating_sub(by);
        }
    }

    /// Lowers the places that say no more than what is known of this one.
    fn lower(&self, who: &Who, lower: impl Fn(u64) -> u64) {
        let mut rows = self.rows();
        let places = self.places(who);
        let known = lowest(&rows, &places);
        for place in places {
            if let Some(value) = rows.get_mut(place).filter(|value| **value == known) {
                *value = lower(*value);
            }
        }
    }

    fn rows(&self) -> std::sync::MutexGuard<'_, Vec<u64>> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if rows.is_empty() {
            rows.resize(ROWS * PLACES, 0);
        }
        rows
    }

    fn places(&self, who: &Who) -> [usize; ROWS] {
        std::array::from_fn(|row| {
            let hash = self.keys.hash_one((row, who));
            row * PLACES + usize::try_from(hash % PLACES as u64).unwrap_or_default()
        })
    }
}

fn lowest(rows: &[u64], places: &[usize; ROWS]) -> u64 {
    let values = places.iter().filter_map(|place| rows.get(*place));
    values.copied().min().unwrap_or_default()
}

impl fmt::Debug for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Throttle")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit {
        tries: 3,
        per: Duration::from_secs(60),
    };

    fn at(secs: u64) -> Time {
        Time::from_secs(1_800_000_000 + secs)
    }

    #[test]
    fn tries_are_taken_and_grow_back() {
        let throttle = Throttle::default();
        let alice = Who::name("web", "alice");
        for _ in 0..3 {
            assert_eq!(throttle.take(&alice, LIMIT, at(0)), Ok(()));
        }
        assert_eq!(
            throttle.take(&alice, LIMIT, at(0)),
            Err(Duration::from_secs(20))
        );
        assert!(throttle.take(&alice, LIMIT, at(19)).is_err());
        assert!(throttle.take(&alice, LIMIT, at(20)).is_ok());
        assert!(throttle.take(&alice, LIMIT, at(20)).is_err());
        // All of them, and no more than all.
        for _ in 0..3 {
            assert!(throttle.take(&alice, LIMIT, at(1000)).is_ok());
        }
        assert!(throttle.take(&alice, LIMIT, at(1000)).is_err());
    }

    #[test]
    fn everybody_has_their_own() {
        let throttle = Throttle::default();
        let alice = Who::name("web", "alice");
        while throttle.take(&alice, LIMIT, at(0)).is_ok() {}
        for other in [
            Who::name("web", "bob"),
            Who::name("app", "alice"),
            Who::address([127, 0, 0, 1].into()),
        ] {
            assert!(throttle.take(&other, LIMIT, at(0)).is_ok(), "{other:?}");
        }
        for same in [" ALICE", "alice ", "Alice"] {
            assert!(
                throttle
                    .take(&Who::name("web", same), LIMIT, at(0))
                    .is_err()
            );
        }
    }

    #[test]
    fn an_ipv6_client_has_a_whole_network() {
        let who = |text: &str| Who::address(text.parse().unwrap());
        assert_eq!(who("2001:db8::1"), who("2001:db8::ffff:ffff:ffff:ffff"));
        assert_ne!(who("2001:db8::1"), who("2001:db8:0:1::1"));
        assert_eq!(who("::ffff:10.0.0.1"), who("10.0.0.1"));
        assert_ne!(who("10.0.0.2"), who("10.0.0.1"));
    }

    #[test]
    fn tries_are_given_back() {
        let throttle = Throttle::default();
        let alice = Who::name("web", "alice");
        while throttle.take(&alice, LIMIT, at(0)).is_ok() {}
        throttle.give_back(&alice, LIMIT);
        assert!(throttle.take(&alice, LIMIT, at(0)).is_ok());
        assert!(throttle.take(&alice, LIMIT, at(0)).is_err());
        throttle.forget(&alice);
        for _ in 0..3 {
            assert!(throttle.take(&alice, LIMIT, at(0)).is_ok());
        }
    }

    #[test]
    fn a_flood_of_names_frees_nobody() {
        let throttle = Throttle::default();
        let alice = Who::name("web", "alice");
        while throttle.take(&alice, LIMIT, at(0)).is_ok() {}
        for n in 0..100_000 {
            let _ = throttle.take(&Who::name("web", &n.to_string()), LIMIT, at(0));
        }
        assert!(throttle.take(&alice, LIMIT, at(0)).is_err());
        assert_eq!(throttle.rows().len(), ROWS * PLACES);
    }
}
