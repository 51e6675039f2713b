//! How high a login counts as time goes by.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use proptest::prelude::*;
use serde_json::Map;

use super::*;
use crate::interaction::{Answer, Bounds, Leg};

const OWNER: Evidence = Evidence::Shown(OwnerHash([1; 32]));

fn at(secs: u64) -> Time {
    Time::from_secs(1_000_000 + secs)
}

fn alice(level: u8) -> Arc<Identity> {
    Arc::new(Identity::new("alice", Level(level), &Map::new()))
}

/// Level 2 counts for 100 s, level 1 for 300 s.
fn clocks() -> Clocks {
    Clocks {
        authentication_timeout: Some(Duration::from_secs(300)),
        level_timeouts: vec![(Level(2), Duration::from_secs(100))],
        ..Clocks::default()
    }
}

fn logged_in(level: u8) -> Interaction {
    let mut i = Interaction::new(at(0));
    i.log_in(alice(level), &clocks(), OWNER, at(0)).unwrap();
    i
}

fn level(i: &Interaction, secs: u64) -> Level {
    i.standing(&clocks(), OWNER, at(secs)).level()
}

#[test]
fn a_login_falls_back_level_by_level() {
    let i = logged_in(2);
    let levels = [99, 100, 299, 300].map(|secs| level(&i, secs).0);
    assert_eq!(levels, [2, 1, 1, 0]);
    let lowered = i.standing(&clocks(), OWNER, at(100));
    assert_eq!(lowered.identity, Some(alice(1)), "the customer is the same");
    assert_eq!(lowered.login_time, Some(at(0)), "and the login, too");
}

#[test]
fn what_is_lowered_is_not_announced_again() {
    let mut i = logged_in(2);
    i.announced(&alice(2), &clocks(), at(1));
    assert!(!i.standing(&clocks(), OWNER, at(100)).unannounced);
    // A login that raises it is.
    i.log_in(alice(2), &clocks(), OWNER, at(150)).unwrap();
    assert!(i.standing(&clocks(), OWNER, at(150)).unannounced);
    // The call was made with what counted when it was made.
    i.announced(&alice(1), &clocks(), at(150));
    assert!(i.standing(&clocks(), OWNER, at(150)).unannounced);
    i.announced(&alice(1), &clocks(), at(250));
    assert!(!i.standing(&clocks(), OWNER, at(250)).unannounced);
}

#[test]
fn a_proof_counts_where_the_login_counts_for_no_more() {
    let mut i = logged_in(2);
    i.log_in(alice(1), &clocks(), OWNER, at(99)).unwrap();
    assert_eq!(level(&i, 299), Level(1));
    assert_eq!(level(&i, 300), Level(0), "the weaker proof prolonged it");
    i.log_in(alice(1), &clocks(), OWNER, at(100)).unwrap();
    assert_eq!([level(&i, 399), level(&i, 400)], [Level(1), Level(0)]);
}

#[test]
fn an_answer_is_for_the_level_that_it_was_fetched_with() {
    let token = TokenHash([2; 32]);
    let mut i = logged_in(2);
    let challenge = Challenge {
        token,
        level: Level(2),
        created: at(0),
        ttl: None,
    };
    let answer = Answer {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        body: Bytes::new(),
    };
    let held = Held::Answer(Level(2), Box::new(answer));
    i.challenge(challenge, Some((token, held)), OWNER).unwrap();
    let fetched = |i: &mut Interaction, secs| {
        let waiting = i.waiting(&token, &clocks(), OWNER, at(secs));
        waiting.map(drop)
    };
    assert_eq!(fetched(&mut i, 99), Ok(()));
    assert_eq!(fetched(&mut i, 100), Err(Reason::NothingHeld));
    // A weaker login after that does not fetch it.
    i.log_in(alice(1), &clocks(), OWNER, at(400)).unwrap();
    assert_eq!(fetched(&mut i, 400), Err(Reason::NothingHeld));
}

#[test]
fn what_is_withheld_needs_the_level_that_counts_now() {
    let mut i = logged_in(2);
    let message = Withheld {
        leg: Leg::Socket,
        id: None,
        level: Level(2),
        headers: HeaderMap::new(),
        body: Bytes::new(),
    };
    let bounds = Bounds {
        messages: 1,
        bytes: 1 << 10,
    };
    i.withhold(message, &bounds, OWNER).unwrap();
    let released = |i: &mut Interaction, secs| {
        let released = i.release(|_| true, &clocks(), OWNER, at(secs));
        released.messages.len()
    };
    assert_eq!(released(&mut i, 100), 0);
    i.log_in(alice(2), &clocks(), OWNER, at(150)).unwrap();
    assert_eq!(released(&mut i, 249), 1);
}

proptest! {
    /// Whatever the timeouts are: the highest of the levels up to the one reached
    /// whose time is not over; and time alone never raises it.
    #[test]
    fn the_level_is_what_the_rule_says(
        reached in 1u8..6,
        usual in prop::option::of(1u64..50),
        own in prop::collection::btree_map(1u8..6, 1u64..50, 0..6),
        mut moments in prop::collection::vec(0u64..60, 1..12),
    ) {
        let clocks = Clocks {
            authentication_timeout: usual.map(Duration::from_secs),
            level_timeouts: own
                .iter()
                .map(|(level, secs)| (Level(*level), Duration::from_secs(*secs)))
                .collect(),
            ..Clocks::default()
        };
        let mut i = Interaction::new(at(0));
        i.log_in(alice(reached), &clocks, OWNER, at(0)).unwrap();
        moments.sort_unstable();
        let mut before = reached;
        for moment in moments {
            let standing = i.standing(&clocks, OWNER, at(moment));
            let mut expected = 0;
            for level in 1..=reached {
                let ends = own.get(&level).copied().or(usual);
                if ends.is_none_or(|ends| moment < ends) {
                    expected = level;
                }
            }
            prop_assert_eq!(standing.level().0, expected);
            prop_assert_eq!(standing.identity.is_some(), expected > 0);
            prop_assert!(expected <= before);
            before = expected;
        }
    }
}
