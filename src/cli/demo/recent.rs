//! A map that forgets its oldest entries: the demo's memory is bounded.

use std::collections::{HashMap, VecDeque};

/// At most `N` values by name, the oldest names going first.
pub struct Recent<V, const N: usize> {
    values: HashMap<String, V>,
    order: VecDeque<String>,
}

impl<V, const N: usize> Recent<V, N> {
    /// The value under `name`.
    pub fn find(&self, name: &str) -> Option<&V> {
        self.values.get(name)
    }

    /// The value under `name`, made if there is none.
    pub fn entry(&mut self, name: &str) -> &mut V
    where
        V: Default,
    {
        if !self.values.contains_key(name) {
            self.insert(name.to_owned(), V::default());
        }
        self.values.entry(name.to_owned()).or_default()
    }

    /// Puts a value under `name`.
    pub fn insert(&mut self, name: String, value: V) {
        if self.values.insert(name.clone(), value).is_some() {
            return;
        }
        self.order.push_back(name);
        if self.order.len() > N
            && let Some(oldest) = self.order.pop_front()
        {
            self.values.remove(&oldest);
        }
    }

    /// Forgets `name`.
    pub fn remove(&mut self, name: &str) {
        if self.values.remove(name).is_some() {
            self.order.retain(|known| known != name);
        }
    }
}

impl<V, const N: usize> Default for Recent<V, N> {
    fn default() -> Self {
        Self {
            values: HashMap::new(),
            order: VecDeque::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_the_oldest() {
        let mut recent = Recent::<u8, 2>::default();
        *recent.entry("a") += 1;
        *recent.entry("a") += 1;
        recent.insert("b".into(), 5);
        recent.remove("b");
        recent.insert("c".into(), 6);
        assert_eq!((recent.find("a"), recent.find("c")), (Some(&2), Some(&6)));
        recent.insert("d".into(), 7);
        assert_eq!((recent.find("a"), recent.find("d")), (None, Some(&7)));
        assert_eq!(recent.values.len(), recent.order.len());
    }
}
