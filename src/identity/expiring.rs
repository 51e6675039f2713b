//! A bounded map whose entries expire.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use crate::time::Time;

/// Values by key until their time is over. Bounded in number and weight: what
/// would expire first makes room, so it is for what can be had again.
pub(super) struct Expiring<K, V> {
    max_len: usize,
    max_weight: usize,
    weight: usize,
    entries: HashMap<K, Entry<V>>,
    /// Keys by expiry; the number tells those of one instant apart.
    order: BTreeMap<(Time, u64), K>,
    inserted: u64,
}

struct Entry<V> {
    value: V,
    weight: usize,
    place: (Time, u64),
}

impl<K: Hash + Eq + Clone, V> Expiring<K, V> {
    pub(super) fn new(max_len: usize, max_weight: usize) -> Self {
        Self {
            max_len,
            max_weight,
            weight: 0,
            entries: HashMap::new(),
            order: BTreeMap::new(),
            inserted: 0,
        }
    }

    /// The value, if its time is not over.
    pub(super) fn get(&self, key: &K, now: Time) -> Option<&V> {
        let entry = self.entries.get(key)?;
        (entry.place.0 > now).then_some(&entry.value)
    }

    /// Keeps a value until `until`; one that is over at once, or too heavy for the
    /// whole map, is not kept.
    pub(super) fn insert(&mut self, key: K, value: V, weight: usize, until: Time, now: Time) {
        self.remove(&key);
        if until <= now || weight > self.max_weight || self.max_len == 0 {
            return;
        }
        self.inserted += 1;
        let place = (until, self.inserted);
        self.weight += weight;
        self.order.insert(place, key.clone());
        let entry = Entry {
            value,
            weight,
            place,
        };
        self.entries.insert(key, entry);
        self.make_room(now);
    }

    fn make_room(&mut self, now: Time) {
        while let Some((place, key)) = self.order.first_key_value() {
            let over = self.entries.len() > self.max_len || self.weight > self.max_weight;
            if place.0 > now && !over {
                return;
            }
            let key = key.clone();
            self.remove(&key);
        }
    }

    fn remove(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.weight -= entry.weight;
            self.order.remove(&entry.place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_secs(100);

    fn at(secs: u64) -> Time {
        Time::from_secs(100 + secs)
    }

    #[test]
    fn values_end_with_their_time() {
        let mut map = Expiring::new(10, 10);
        map.insert("a", 1, 1, at(5), NOW);
        assert_eq!(map.get(&"a", at(4)), Some(&1));
        assert_eq!(map.get(&"a", at(5)), None);
        map.insert("b", 2, 1, NOW, NOW);
        assert_eq!(map.get(&"b", NOW), None);
    }

    #[test]
    fn what_expires_first_makes_room() {
        let mut map = Expiring::new(2, 10);
        map.insert("late", 1, 1, at(9), NOW);
        map.insert("early", 2, 1, at(5), NOW);
        map.insert("middle", 3, 1, at(7), NOW);
        assert_eq!(map.get(&"early", NOW), None);
        assert!(map.get(&"late", NOW).is_some() && map.get(&"middle", NOW).is_some());
        map.insert("heavy", 4, 10, at(20), NOW);
        assert_eq!(map.get(&"heavy", NOW), Some(&4));
        assert_eq!((map.entries.len(), map.order.len(), map.weight), (1, 1, 10));
        map.insert("too heavy", 5, 11, at(20), NOW);
        assert_eq!(map.get(&"too heavy", NOW), None);
        assert_eq!(map.get(&"heavy", NOW), Some(&4));
    }

    #[test]
    fn a_value_replaces_the_one_before() {
        let mut map = Expiring::new(2, 10);
        for value in 0..100 {
            map.insert("a", value, 3, at(5), NOW);
        }
        assert_eq!(map.get(&"a", NOW), Some(&99));
        assert_eq!((map.entries.len(), map.order.len(), map.weight), (1, 1, 3));
        map.insert("b", 0, 1, at(50), at(10));
        assert_eq!((map.entries.len(), map.order.len(), map.weight), (1, 1, 1));
    }
}
