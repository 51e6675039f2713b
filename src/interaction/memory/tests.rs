use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll, Waker};
use std::thread;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Map;

use super::*;
use crate::interaction::{Challenge, Evidence, Held, HeldRequest, Identity, Level, OwnerHash};

const ROOMY: Limits = Limits {
    interactions: 1_000_000,
    bytes: usize::MAX,
};
const OWNER: Evidence = Evidence::Shown(OwnerHash([7; 32]));
static NEVER: Clocks = Clocks {
    token_ttl: None,
    authentication_timeout: None,
    level_timeouts: Vec::new(),
    interaction_timeout: None,
    absolute_timeout: None,
};
static HOUR: Clocks = Clocks {
    interaction_timeout: Some(Duration::from_secs(3600)),
    token_ttl: None,
    authentication_timeout: None,
    level_timeouts: Vec::new(),
    absolute_timeout: None,
};

fn at(secs: u64) -> Time {
    Time::from_secs(1_000_000 + secs)
}

fn key(id: usize) -> Key {
    Key::new("web", &id.to_string())
}

fn token(n: usize) -> TokenHash {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&n.to_le_bytes());
    TokenHash(hash)
}

fn challenge(token: TokenHash, ttl: Option<Duration>) -> Challenge {
    Challenge {
        token,
        level: Level(1),
        created: at(0),
        ttl,
    }
}

impl Memory {
    fn with(interactions: usize) -> Self {
        Self::new(Limits {
            interactions,
            ..ROOMY
        })
    }

    fn touch(&self, key: &Key, now: Time) -> Result<(), Reason> {
        self.update(key, &HOUR, now, |slot| {
            slot.get_or_insert_with(|| Interaction::new(now))
                .touch(&HOUR, OWNER, now);
        })
    }

    fn log_in(&self, key: &Key, now: Time) {
        let identity = Arc::new(Identity::new("alice", Level(1), &Map::new()));
        self.update(key, &HOUR, now, |slot| {
            slot.get_or_insert_with(|| Interaction::new(now)).log_in(
                identity.clone(),
                &HOUR,
                OWNER,
                now,
            )
        })
        .unwrap()
        .unwrap();
    }

    fn challenge(&self, key: &Key, token: TokenHash, held: Option<(TokenHash, Held)>) {
        self.update(key, &NEVER, at(0), |slot| {
            slot.get_or_insert_with(|| Interaction::new(at(0)))
                .challenge(challenge(token, None), held.clone(), OWNER)
        })
        .unwrap()
        .unwrap();
    }

    fn redeem(&self, key: &Key, token: &TokenHash, now: Time) -> bool {
        self.update(key, &NEVER, now, |slot| {
            slot.as_mut().is_some_and(|i| i.redeem(token, now).is_ok())
        })
        .unwrap()
    }

    fn holds(&self, key: &Key, now: Time) -> bool {
        self.read(key, &HOUR, now, |i| i.is_some())
    }

    /// The indices and sums agree with what is kept.
    fn check(&self) {
        let mut weight = 0;
        let mut outstanding = 0;
        let mut held = 0;
        for slot in &self.interactions {
            let trace = Trace::of(slot.key(), slot.value(), at(0));
            weight += trace.weight;
            for (token, _) in trace.tokens.into_iter().flatten() {
                assert_eq!(self.locate(&token).as_ref(), Ok(slot.key()));
                outstanding += 1;
            }
            if let Some(token) = trace.held {
                assert_eq!(self.locate_held(&token).as_ref(), Some(slot.key()));
                held += 1;
            }
        }
        assert_eq!(self.bytes(), weight);
        assert_eq!(self.len(), self.interactions.len());
        assert_eq!(self.held.len(), held);
        assert_eq!(self.tokens.len(), outstanding + lock(&self.graves).len());
        let ring: std::collections::HashSet<_> = lock(&self.ring)
            .iter()
            .map(|k| k.interaction().to_owned())
            .collect();
        assert!(
            self.interactions
                .iter()
                .all(|s| ring.contains(s.key().interaction()))
        );
    }
}

fn held(body: usize) -> Held {
    Held::Request(Box::new(HeldRequest {
        method: Method::POST,
        target: "/".into(),
        headers: HeaderMap::new(),
        body: Bytes::from(vec![b'x'; body]),
    }))
}

#[test]
fn keeps_what_a_change_leaves() {
    let store = Memory::new(ROOMY);
    assert!(!store.holds(&key(1), at(0)));
    store.touch(&key(1), at(0)).unwrap();
    assert!(store.holds(&key(1), at(0)) && !store.holds(&key(2), at(0)));
    assert_eq!(store.len(), 1);
    store
        .update(&key(1), &HOUR, at(0), |slot| *slot = None)
        .unwrap();
    assert!(!store.holds(&key(1), at(0)));
    assert_eq!((store.len(), store.bytes()), (0, 0));
}

#[test]
fn an_ended_interaction_is_not_there() {
    let store = Memory::new(ROOMY);
    store.touch(&key(1), at(0)).unwrap();
    store.challenge(&key(1), token(1), None);
    assert!(store.holds(&key(1), at(3599)) && !store.holds(&key(1), at(3600)));
    let none = store.update(&key(1), &HOUR, at(3600), |slot| slot.is_none());
    assert_eq!((none, store.len()), (Ok(true), 0));
    assert_eq!(store.locate(&token(1)), Err(Reason::TokenRevoked));
    store.check();
}

#[test]
fn tokens_are_remembered_by_how_they_went() {
    let store = Memory::new(ROOMY);
    assert_eq!(store.locate(&token(0)), Err(Reason::TokenUnknown));
    store.challenge(&key(1), token(1), None);
    assert_eq!(store.locate(&token(1)), Ok(key(1)));
    store.challenge(&key(1), token(2), None);
    assert_eq!(store.locate(&token(1)), Err(Reason::TokenRevoked));
    assert!(!store.redeem(&key(1), &token(1), at(0)), "revoked");
    assert!(store.redeem(&key(1), &token(2), at(0)));
    assert_eq!(store.locate(&token(2)), Err(Reason::TokenUsed));
    store.challenge(&key(1), token(3), None);
    store
        .update(&key(1), &NEVER, at(0), |slot| {
            slot.as_mut().map(Interaction::log_out)
        })
        .unwrap();
    assert_eq!(store.locate(&token(3)), Err(Reason::TokenRevoked));
    store.challenge(&key(1), token(4), None);
    store
        .update(&key(1), &NEVER, at(0), |slot| *slot = None)
        .unwrap();
    assert_eq!(store.locate(&token(4)), Err(Reason::TokenRevoked));
    store.check();
}

#[test]
fn an_expired_token_is_remembered_as_expired() {
    let store = Memory::new(ROOMY);
    for (id, ends) in [(1, false), (2, true)] {
        let short = challenge(token(id), Some(Duration::from_secs(60)));
        store
            .update(&key(id), &NEVER, at(0), |slot| {
                let mut i = Interaction::new(at(0));
                i.challenge(short.clone(), None, OWNER).unwrap();
                *slot = Some(i);
            })
            .unwrap();
        if ends {
            store
                .update(&key(id), &NEVER, at(60), |slot| *slot = None)
                .unwrap();
        } else {
            assert!(!store.redeem(&key(id), &token(id), at(60)));
        }
        assert_eq!(store.locate(&token(id)), Err(Reason::TokenExpired));
    }
    store.check();
}

#[test]
fn a_token_made_and_used_in_one_change_is_remembered() {
    let store = Memory::new(ROOMY);
    store.challenge(&key(1), token(1), None);
    store
        .update(&key(1), &NEVER, at(0), |slot| {
            let i = slot.as_mut().unwrap();
            i.redeem(&token(1), at(0)).unwrap();
            i.challenge(challenge(token(2), None), None, OWNER).unwrap();
        })
        .unwrap();
    assert_eq!(store.locate(&token(1)), Err(Reason::TokenUsed));
    assert_eq!(store.locate(&token(2)), Ok(key(1)));
    store.check();
}

#[test]
fn what_is_set_back_with_the_clock_ends_when_it_would_have() {
    let store = Memory::with(10);
    store.touch(&key(1), at(7200)).unwrap();
    store.set_back(Duration::from_secs(3600));
    assert_eq!(store.sweep(at(7199), |_| Some(&HOUR)), 0);
    assert_eq!(store.sweep(at(7200), |_| Some(&HOUR)), 1);
}

/// Begun before the clock was set back, written after it.
#[test]
fn what_is_written_with_a_time_ahead_lasts_no_longer_for_that() {
    let store = Memory::with(10);
    let counts = |now| {
        store.read(&key(1), &HOUR, now, |interaction| {
            interaction.is_some_and(|i| i.authenticated(&HOUR, now))
        })
    };
    store.set_back(Duration::from_secs(7200));
    store.log_in(&key(1), at(7200));
    assert_eq!(store.sweep(at(10), |_| Some(&HOUR)), 0);
    assert!(counts(at(10 + 3599)));
    assert!(!counts(at(10 + 3600)));
    assert_eq!(store.sweep(at(10 + 3600), |_| Some(&HOUR)), 1);
}

#[test]
fn spent_tokens_are_forgotten_after_a_day_and_never_too_many() {
    let store = Memory::new(ROOMY);
    store.challenge(&key(1), token(1), None);
    assert!(store.redeem(&key(1), &token(1), at(0)));
    let day = GRAVE_TIME.as_secs();
    store.sweep(at(day - 1), |_| Some(&NEVER));
    assert_eq!(store.locate(&token(1)), Err(Reason::TokenUsed));
    store.sweep(at(day), |_| Some(&NEVER));
    assert_eq!(store.locate(&token(1)), Err(Reason::TokenUnknown));

    for n in 0..GRAVES + 10 {
        store.challenge(&key(1), token(n + 2), None);
    }
    assert_eq!(store.tokens.len(), GRAVES + 1);
    assert_eq!(store.locate(&token(2)), Err(Reason::TokenUnknown));
    store.check();
}

#[test]
fn the_continue_token_leads_to_what_is_held() {
    let store = Memory::new(ROOMY);
    store.challenge(&key(1), token(1), Some((token(2), held(10))));
    assert_eq!(store.locate_held(&token(2)), Some(key(1)));
    assert_eq!(
        store.locate(&token(2)),
        Err(Reason::TokenUnknown),
        "not a login token"
    );
    store.challenge(&key(1), token(3), None);
    assert_eq!(store.locate_held(&token(2)), None);
    store.check();
}

#[test]
fn login_urls_that_ran_out_are_found() {
    let store = Memory::new(ROOMY);
    for id in 1..=3 {
        let ttl = Duration::from_secs(60 * id as u64);
        let made = store.update(&key(id), &NEVER, at(0), |slot| {
            slot.get_or_insert_with(|| Interaction::new(at(0)))
                .challenge(challenge(token(id), Some(ttl)), None, OWNER)
        });
        made.unwrap().unwrap();
    }
    assert!(store.overdue(10, at(59)).is_empty());
    assert_eq!(store.overdue(10, at(120)).len(), 2);
    assert_eq!(store.overdue(1, at(180)).len(), 1);
    for late in store.overdue(10, at(120)) {
        let given_up = |slot: &mut Option<Interaction>| slot.as_mut().unwrap().expire(at(120));
        assert!(store.update(&late, &NEVER, at(120), given_up).unwrap());
    }
    assert!(store.overdue(10, at(120)).is_empty());
    assert_eq!(store.locate(&token(1)), Err(Reason::TokenExpired));
    store.check();
}

#[test]
fn a_sweep_drops_what_has_ended() {
    let store = Memory::new(ROOMY);
    store.challenge(&key(1), token(1), Some((token(2), held(10))));
    store.touch(&key(2), at(1800)).unwrap();
    store.touch(&Key::new("gone", "1"), at(1800)).unwrap();
    let clocks = |channel: &str| (channel == "web").then_some(&HOUR);
    assert_eq!(store.sweep(at(3600), clocks), 2);
    assert!(store.holds(&key(2), at(3600)));
    assert_eq!(store.locate(&token(1)), Err(Reason::TokenRevoked));
    store.check();
}

#[test]
fn eviction_takes_what_matters_least() {
    let store = Memory::with(4);
    store.log_in(&key(1), at(0));
    store.challenge(&key(2), token(2), None);
    store.touch(&key(3), at(3000)).unwrap();
    store.touch(&key(4), at(5000)).unwrap();
    // Of these, 1 and 2 ended at 3600. They go before the anonymous 3 and 4.
    store.touch(&key(5), at(5000)).unwrap();
    store.log_in(&key(6), at(5000));
    assert!([1, 2].iter().all(|id| !store.holds(&key(*id), at(0))));
    assert_eq!(store.locate(&token(2)), Err(Reason::TokenRevoked));
    // Then the anonymous one seen least recently, then the other ones.
    store.log_in(&key(7), at(5001));
    assert!(!store.holds(&key(3), at(5001)) && store.holds(&key(4), at(5001)));
    store.log_in(&key(8), at(5002));
    store.log_in(&key(9), at(5003));
    assert!([4, 5].iter().all(|id| !store.holds(&key(*id), at(5003))));
    // Then whoever was seen least recently: now 7.
    store.touch(&key(6), at(5004)).unwrap();
    store.touch(&key(10), at(5004)).unwrap();
    assert!(!store.holds(&key(7), at(5004)));
    assert!(
        [6, 8, 9, 10]
            .iter()
            .all(|id| store.holds(&key(*id), at(5004)))
    );
    store.check();
}

#[test]
fn a_login_under_way_outlives_idle_strangers() {
    let store = Memory::with(8);
    store.challenge(&key(0), token(0), None);
    for id in 1..1000 {
        store.touch(&key(id), at(id as u64)).unwrap();
    }
    assert!(store.holds(&key(0), at(1000)));
    store.check();
}

#[test]
fn never_more_than_the_limits() {
    let store = Memory::new(Limits {
        interactions: 100,
        bytes: 20_000,
    });
    for id in 0..2000 {
        store.touch(&key(id), at(0)).unwrap();
        assert!(store.len() <= 100 && store.bytes() <= 20_000);
    }
    assert!(store.len() > 50);
    store.challenge(&key(1999), token(1), Some((token(2), held(15_000))));
    assert!(store.bytes() <= 20_000 && store.holds(&key(1999), at(0)));
    store.check();
}

#[test]
fn what_does_not_fit_alone_is_not_kept() {
    let none = Memory::with(0);
    assert_eq!(none.touch(&key(1), at(0)), Err(Reason::StoreFull));
    assert_eq!((none.len(), none.bytes()), (0, 0));

    let store = Memory::new(Limits {
        interactions: 10,
        bytes: 2_000,
    });
    store.touch(&key(1), at(0)).unwrap();
    let full = store.update(&key(1), &HOUR, at(0), |slot| {
        let held = Some((token(2), held(3_000)));
        slot.as_mut()
            .unwrap()
            .challenge(challenge(token(1), None), held, OWNER)
    });
    assert_eq!(full, Err(Reason::StoreFull));
    assert!(!store.holds(&key(1), at(0)));
    assert_eq!(store.locate(&token(1)), Err(Reason::TokenRevoked));
    store.check();
}

#[test]
fn coming_and_going_does_not_fill_the_ring() {
    let store = Memory::new(ROOMY);
    for id in 0..10_000 {
        store.touch(&key(id % 7), at(0)).unwrap();
        store
            .update(&key(id % 7), &HOUR, at(0), |slot| *slot = None)
            .unwrap();
    }
    assert!(lock(&store.ring).len() < 2_000);
}

#[test]
fn a_change_rings_the_bell() {
    let store = Memory::new(ROOMY);
    let mut waiter = pin!(store.bell(&key(1)).notified());
    waiter.as_mut().enable();
    let mut context = Context::from_waker(Waker::noop());
    assert_eq!(waiter.as_mut().poll(&mut context), Poll::Pending);
    store.touch(&key(1), at(0)).unwrap();
    assert_eq!(waiter.as_mut().poll(&mut context), Poll::Ready(()));

    for drop in [
        Box::new(|store: &Memory| store.sweep(at(9000), |_| Some(&HOUR)))
            as Box<dyn Fn(&Memory) -> usize>,
        Box::new(|store: &Memory| {
            store.remove(&key(1), at(0));
            1
        }),
    ] {
        store.touch(&key(1), at(0)).unwrap();
        let mut waiter = pin!(store.bell(&key(1)).notified());
        waiter.as_mut().enable();
        assert_eq!(drop(&store), 1);
        assert_eq!(waiter.as_mut().poll(&mut context), Poll::Ready(()));
    }
}

#[test]
fn a_token_is_good_once_however_many_try() {
    let store = Memory::new(ROOMY);
    for round in 0..200 {
        store.challenge(&key(1), token(round), None);
        let start = std::sync::Barrier::new(8);
        let wins: usize = thread::scope(|scope| {
            let tries: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        usize::from(store.redeem(&key(1), &token(round), at(0)))
                    })
                })
                .collect();
            tries.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!(wins, 1);
    }
    store.check();
}

#[test]
fn everything_at_once_neither_hangs_nor_miscounts() {
    let store = Memory::new(Limits {
        interactions: 50,
        bytes: 40_000,
    });
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..4_usize)
            .map(|worker| {
                let store = &store;
                scope.spawn(move || {
                    for n in 0..5_000_usize {
                        let id = key((n * 31 + worker) % 80);
                        let token = token(worker * 1_000_000 + n);
                        match n % 5 {
                            0 => store.challenge(&id, token, Some((token, held(n % 300)))),
                            1 => drop(store.redeem(&id, &token, at(0))),
                            2 => drop(store.update(&id, &NEVER, at(0), |slot| *slot = None)),
                            3 => drop(store.locate(&token)),
                            _ => drop(store.touch(&id, at(0))),
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                store.sweep(at(0), |_| Some(&HOUR));
            }
        });
        for worker in workers {
            worker.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(store.len() <= 50 && store.bytes() <= 40_000);
    store.check();
}

#[test]
fn a_customer_is_found_wherever_they_logged_in() {
    let memory = Memory::with(1000);
    let found = |channel: &str, name: &str| {
        let mut keys = memory.find(channel, |identity| identity.subject() == name);
        keys.sort_by_key(|key| key.interaction().parse::<usize>().unwrap());
        keys
    };
    for id in 0..200 {
        memory.touch(&key(id), at(0)).unwrap();
    }
    assert_eq!(found("web", "alice"), []);
    for id in [3, 77, 150] {
        memory.log_in(&key(id), at(1));
    }
    memory.log_in(&Key::new("app", "3"), at(1));
    assert_eq!(found("web", "alice"), [key(3), key(77), key(150)]);
    assert_eq!(found("app", "alice"), [Key::new("app", "3")]);
    assert_eq!(found("web", "bob"), []);
    assert_eq!(found("we", "alice"), []);
    let logged_out = memory.update(&key(77), &HOUR, at(2), |slot| {
        slot.as_mut().map(Interaction::log_out)
    });
    assert_eq!(logged_out, Ok(Some(())));
    assert_eq!(found("web", "alice"), [key(3), key(150)]);
}

#[test]
fn a_login_that_waits_to_be_bound_is_found_too() {
    let memory = Memory::with(10);
    let identity = Arc::new(Identity::new("alice", Level(1), &Map::new()));
    memory
        .update(&key(1), &HOUR, at(0), |slot| {
            let interaction = slot.get_or_insert_with(|| Interaction::new(at(0)));
            let outstanding = challenge(token(1), None);
            interaction.challenge(outstanding, None, OWNER).unwrap();
            interaction.prove(&token(1), identity.clone(), token(2), at(1))
        })
        .unwrap()
        .unwrap();
    let alice = |identity: &Identity| identity.subject() == "alice";
    assert_eq!(memory.find("web", alice), [key(1)]);
    let bound = memory.update(&key(1), &HOUR, at(2), |slot| {
        let interaction = slot.as_mut().unwrap();
        interaction.log_out();
        interaction.bind(&token(2), None, &HOUR, at(2)).is_ok()
    });
    assert_eq!(bound, Ok(false));
}
