//! What is withheld, and who gets it when.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use proptest::prelude::*;
use serde_json::Map;

use super::*;
use crate::interaction::state::{OwnerHash, Rare};
use crate::interaction::{Answer, Held, Identity, TokenHash};

const ALICE: Evidence = Evidence::Shown(OwnerHash([1; 32]));
const MALLORY: Evidence = Evidence::Shown(OwnerHash([2; 32]));
const TOKEN: TokenHash = TokenHash([3; 32]);
const CONTINUE: TokenHash = TokenHash([5; 32]);
const ROOMY: Bounds = Bounds {
    messages: 20,
    bytes: 1 << 20,
};
const CLOCKS: Clocks = Clocks {
    token_ttl: Some(Duration::from_secs(60)),
    authentication_timeout: Some(Duration::from_secs(100)),
    level_timeouts: Vec::new(),
    interaction_timeout: Some(Duration::from_secs(300)),
    absolute_timeout: None,
};

fn at(secs: u64) -> Time {
    Time::from_secs(1_000_000 + secs)
}

fn identity(subject: &str, level: u8) -> Arc<Identity> {
    Arc::new(Identity::new(subject, Level(level), &Map::new()))
}

fn webhook() -> Leg {
    Leg::Webhook {
        method: Method::POST,
        target: "/hook".into(),
    }
}

fn message(leg: Leg, level: u8, text: &str) -> Withheld {
    Withheld {
        leg,
        id: None,
        level: Level(level),
        headers: HeaderMap::new(),
        body: Bytes::copy_from_slice(text.as_bytes()),
    }
}

/// An interaction of Alice's that withholds these, in this order.
fn withholding(messages: &[(u8, &str)]) -> Interaction {
    let mut i = Interaction::new(at(0));
    i.touch(&CLOCKS, ALICE, at(0));
    for (level, text) in messages {
        i.withhold(
            message(Leg::Socket, *level, text),
            &ROOMY,
            Evidence::Unasked,
        )
        .unwrap();
    }
    i
}

fn log_in(i: &mut Interaction, level: u8, now: Time) {
    i.log_in(identity("alice", level), &CLOCKS, ALICE, now)
        .unwrap();
}

/// What is released to this evidence, as texts.
fn released(i: &mut Interaction, evidence: Evidence, now: Time) -> Vec<String> {
    let released = i.release(|_| true, &CLOCKS, evidence, now);
    let text = |message: Withheld| String::from_utf8(message.body.to_vec()).unwrap();
    released.messages.into_iter().map(text).collect()
}

#[test]
fn the_oldest_is_released_first_and_once() {
    let mut i = withholding(&[(1, "one"), (1, "two"), (1, "three")]);
    log_in(&mut i, 1, at(1));
    assert_eq!(released(&mut i, ALICE, at(1)), ["one", "two", "three"]);
    assert!(released(&mut i, ALICE, at(1)).is_empty());
}

#[test]
fn only_what_the_login_reaches_is_released() {
    let mut i = withholding(&[(1, "one"), (2, "two"), (1, "three")]);
    assert!(released(&mut i, ALICE, at(1)).is_empty(), "anonymous");
    log_in(&mut i, 1, at(1));
    assert_eq!(released(&mut i, ALICE, at(1)), ["one", "three"]);
    log_in(&mut i, 2, at(2));
    assert!(released(&mut i, ALICE, at(102)).is_empty(), "login run out");
    assert_eq!(released(&mut i, ALICE, at(101)), ["two"]);
}

#[test]
fn a_stranger_gets_and_adds_nothing() {
    let mut i = withholding(&[(1, "one")]);
    log_in(&mut i, 1, at(1));
    for stranger in [MALLORY, Evidence::Missing] {
        assert!(released(&mut i, stranger, at(1)).is_empty());
        let added = i.withhold(message(Leg::Socket, 1, "x"), &ROOMY, stranger);
        assert_eq!(added, Err(Reason::NotOwner));
    }
    assert_eq!(released(&mut i, ALICE, at(1)), ["one"]);
}

#[test]
fn what_is_withheld_is_not_taken_over() {
    // It began without evidence, and already holds what is somebody's.
    let mut i = Interaction::new(at(0));
    i.withhold(message(Leg::Socket, 1, "one"), &ROOMY, Evidence::Unasked)
        .unwrap();
    assert!(i.touch(&CLOCKS, MALLORY, at(1)).foreign);
    let mallory = identity("mallory", 1);
    let refused = i.log_in(mallory, &CLOCKS, MALLORY, at(1));
    assert_eq!(refused, Err(Reason::NotOwner));
    assert!(released(&mut i, MALLORY, at(1)).is_empty());
}

#[test]
fn another_subject_releases_nothing() {
    let mut i = withholding(&[]);
    log_in(&mut i, 1, at(0));
    i.withhold(message(Leg::Socket, 2, "one"), &ROOMY, ALICE)
        .unwrap();
    let refused = i.log_in(identity("mallory", 2), &CLOCKS, Evidence::Unasked, at(1));
    assert_eq!(refused, Err(Reason::SubjectChanged));
    assert!(released(&mut i, Evidence::Unasked, at(1)).is_empty());
}

#[test]
fn a_logout_drops_it() {
    let mut i = withholding(&[(1, "one")]);
    log_in(&mut i, 1, at(1));
    i.log_out();
    log_in(&mut i, 1, at(2));
    assert!(released(&mut i, ALICE, at(2)).is_empty());
}

#[test]
fn the_end_drops_it() {
    let mut i = withholding(&[(1, "one")]);
    let unlimited = Clocks {
        authentication_timeout: None,
        ..CLOCKS
    };
    i.log_in(identity("alice", 1), &unlimited, ALICE, at(1))
        .unwrap();
    let released = i.release(|_| true, &unlimited, ALICE, at(300));
    assert!(released.messages.is_empty());
}

#[test]
fn a_newer_login_url_leaves_it() {
    let mut i = withholding(&[(1, "one")]);
    for n in 0..2 {
        let challenge = Challenge {
            token: TokenHash([n; 32]),
            level: Level(1),
            created: at(0),
            ttl: CLOCKS.token_ttl,
        };
        i.challenge(challenge, None, ALICE).unwrap();
    }
    assert!(i.redeem(&TokenHash([1; 32]), at(60)).is_err(), "expired");
    log_in(&mut i, 1, at(61));
    assert_eq!(released(&mut i, ALICE, at(61)), ["one"]);
}

#[test]
fn over_the_bounds_the_oldest_stay() {
    let few = Bounds {
        messages: 2,
        ..ROOMY
    };
    let mut i = withholding(&[(1, "one"), (1, "two")]);
    let full = i.withhold(message(Leg::Socket, 1, "three"), &few, ALICE);
    assert_eq!(full, Err(Reason::OutboxFull));
    let small = Bounds {
        bytes: 2 * message(Leg::Socket, 1, "one").weight() + 99,
        ..ROOMY
    };
    let full = i.withhold(message(Leg::Socket, 1, &"x".repeat(100)), &small, ALICE);
    assert_eq!(full, Err(Reason::OutboxFull));
    log_in(&mut i, 1, at(1));
    assert_eq!(released(&mut i, ALICE, at(1)), ["one", "two"]);
}

#[test]
fn what_does_not_fit_leaves_no_box_behind() {
    let nothing = Bounds {
        messages: 0,
        ..ROOMY
    };
    let mut i = Interaction::new(at(0));
    let blank = i.weight();
    assert!(
        i.withhold(message(Leg::Poll, 1, "x"), &nothing, ALICE)
            .is_err()
    );
    assert_eq!(i.weight(), blank);
    assert!(i.rare.is_none());
}

#[test]
fn the_same_message_is_kept_once_on_its_leg() {
    let mut i = withholding(&[]);
    let named = |leg: Leg, text: &str| Withheld {
        id: Some("7".into()),
        ..message(leg, 1, text)
    };
    for leg in [Leg::Poll, Leg::Poll, Leg::Stream] {
        i.withhold(named(leg, "a"), &ROOMY, ALICE).unwrap();
    }
    assert!(i.withholds(&Leg::Poll, "7") && !i.withholds(&Leg::Socket, "7"));
    assert!(!i.withholds(&Leg::Poll, "8"));
    log_in(&mut i, 1, at(1));
    let polled = i.release(|leg| *leg == Leg::Poll, &CLOCKS, ALICE, at(1));
    assert_eq!(polled.messages.len(), 1);
    assert_eq!(released(&mut i, ALICE, at(1)).len(), 1, "the other leg's");
    assert!(!i.withholds(&Leg::Poll, "7"));
}

#[test]
fn a_message_that_comes_again_waits_for_its_higher_level() {
    let mut i = withholding(&[]);
    for level in [1, 2, 1] {
        let message = Withheld {
            id: Some("7".into()),
            ..message(Leg::Poll, level, "one")
        };
        i.withhold(message, &ROOMY, ALICE).unwrap();
    }
    log_in(&mut i, 1, at(1));
    assert!(released(&mut i, ALICE, at(1)).is_empty());
    log_in(&mut i, 2, at(2));
    assert_eq!(released(&mut i, ALICE, at(2)), ["one"]);
}

#[test]
fn its_weight_counts_and_goes() {
    let mut i = withholding(&[]);
    log_in(&mut i, 1, at(0));
    let before = i.weight();
    let mut heavy = message(webhook(), 1, &"x".repeat(1000));
    heavy.headers.insert("a", HeaderValue::from_static("b"));
    i.withhold(heavy, &ROOMY, Evidence::Unasked).unwrap();
    assert!(i.weight() > before + 1100);
    assert_eq!(released(&mut i, ALICE, at(1)).len(), 1);
    assert_eq!(i.weight(), before);
    assert!(i.rare.is_none());
}

#[test]
fn prints_no_content() {
    let i = withholding(&[(1, "canary")]);
    assert!(!format!("{i:?}").contains("canary"));
}

#[test]
fn the_latest_message_is_the_owners() {
    let request = |body: &'static str| HeldRequest {
        method: Method::POST,
        target: "/messages".into(),
        headers: HeaderMap::new(),
        body: Bytes::from_static(body.as_bytes()),
    };
    let mut i = withholding(&[]);
    let blank = i.weight();
    i.remember(request("one"), ALICE).unwrap();
    i.remember(request("two"), ALICE).unwrap();
    for stranger in [MALLORY, Evidence::Missing] {
        let refused = i.remember(request("canary"), stranger);
        assert_eq!(refused, Err(Reason::NotOwner));
    }
    assert_eq!(&i.latest().unwrap().body[..], b"two");
    assert!(i.weight() > blank && !format!("{i:?}").contains("two"));
    assert!(i.take_consumed().is_none() && i.latest().is_some());
    i.log_out();
    assert!(i.latest().is_none());
    assert_eq!(i.weight(), blank);
}

fn withheld_answer(level: u8) -> Interaction {
    let mut i = Interaction::new(at(0));
    let challenge = Challenge {
        token: TOKEN,
        level: Level(level),
        created: at(0),
        ttl: CLOCKS.token_ttl,
    };
    let answer = Answer {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        body: Bytes::from_static(b"canary"),
    };
    let held = Held::Withheld(Level(level), Box::new(answer));
    i.challenge(challenge, Some((CONTINUE, held)), ALICE)
        .unwrap();
    i
}

#[test]
fn a_withheld_answer_waits_for_its_level() {
    let mut i = withheld_answer(2);
    assert!(!format!("{i:?}").contains("canary"));
    let look = |i: &Interaction, now| match i.waiting(&CONTINUE, &CLOCKS, ALICE, now) {
        Ok(Held::Withheld(..)) => "withheld",
        Ok(Held::Answer(..)) => "answer",
        Ok(_) => "other",
        Err(reason) => reason.code(),
    };
    assert_eq!(look(&i, at(1)), "withheld");
    let redeemed = i.redeem(&TOKEN, at(1)).unwrap();
    assert_eq!(redeemed.waiting, Some(CONTINUE));
    assert!(redeemed.held.is_none(), "there is nothing to send again");
    log_in(&mut i, 1, at(1));
    assert_eq!(look(&i, at(1)), "withheld");
    log_in(&mut i, 2, at(2));
    assert_eq!(look(&i, at(2)), "answer");
    assert_eq!(look(&i, at(102)), "nothing-held");
    i.log_out();
    assert_eq!(look(&i, at(2)), "nothing-held");
}

#[test]
fn a_login_that_failed_fails_a_withheld_answer() {
    let mut i = withheld_answer(1);
    i.redeem(&TOKEN, at(1)).unwrap();
    i.resolve(&CONTINUE, Held::Failed(Reason::LoginCancelled));
    log_in(&mut i, 1, at(2));
    let waiting = i.waiting(&CONTINUE, &CLOCKS, ALICE, at(2));
    assert!(matches!(waiting, Ok(Held::Failed(Reason::LoginCancelled))));
}

proptest! {
    /// Whatever comes and goes: nothing is released below its level, twice or out
    /// of order, and never more than the bounds is kept.
    #[test]
    fn levels_order_and_bounds_hold(
        steps in prop::collection::vec((0..4u8, 0..4u8, 0..200usize), 0..60),
        messages in 0..6usize,
    ) {
        let bounds = Bounds { messages, bytes: 2000 };
        let mut i = Interaction::new(at(0));
        let blank = i.weight() + size_of::<Rare>() + 1000;
        let mut expected: Vec<(u8, String)> = Vec::new();
        for (n, (what, level, size)) in steps.into_iter().enumerate() {
            match what {
                0 => log_in(&mut i, level, at(0)),
                1 => {
                    i.log_out();
                    expected.clear();
                }
                _ => {
                    // What asks for no login is not withheld.
                    let level = level.max(1);
                    let text = format!("{n}:{}", "x".repeat(size));
                    let message = message(Leg::Socket, level, &text);
                    if i.withhold(message, &bounds, ALICE).is_ok() {
                        expected.push((level, text));
                    }
                }
            }
            prop_assert!(expected.len() <= messages);
            prop_assert!(i.weight() <= blank + bounds.bytes);
            if what == 0 {
                let level = i.standing(&CLOCKS, ALICE, at(0)).level();
                let reached = |wants: u8| level > Level::ANONYMOUS && Level(wants) <= level;
                let due: Vec<_> = expected.extract_if(.., |(wants, _)| reached(*wants)).collect();
                let texts: Vec<_> = due.into_iter().map(|(_, text)| text).collect();
                prop_assert_eq!(released(&mut i, ALICE, at(0)), texts);
            }
        }
    }
}

#[test]
fn a_login_url_stands_for_messages_until_it_is_used_or_too_old() {
    let [one, two] = [MessageHash([1; 16]), MessageHash([2; 16])];
    let mut i = withholding(&[]);
    let ask = |i: &mut Interaction, level, now| {
        let challenge = Challenge {
            token: TOKEN,
            level: Level(level),
            created: now,
            ttl: CLOCKS.token_ttl,
        };
        i.challenge(challenge, None, ALICE).unwrap();
    };
    i.stands_for([one]);
    assert!(!i.is_challenged(&one, Level(1), at(0)));
    ask(&mut i, 1, at(0));
    i.stands_for([one, one]);
    assert!(i.is_challenged(&one, Level(1), at(59)));
    assert!(!i.is_challenged(&two, Level(1), at(0)) && !i.is_challenged(&one, Level(2), at(0)));
    assert!(!i.is_challenged(&one, Level(1), at(60)));
    // A newer URL stands for the older messages, too; a login ends that.
    ask(&mut i, 1, at(60));
    assert!(i.is_challenged(&one, Level(1), at(61)));
    i.redeem(&TOKEN, at(61)).unwrap();
    ask(&mut i, 1, at(62));
    assert!(!i.is_challenged(&one, Level(1), at(62)));
    // What is remembered is bounded, and counted.
    let before = i.weight();
    i.stands_for((0..1000u64).map(|n| MessageHash(u128::from(n).to_be_bytes())));
    assert_eq!(i.weight() - before, MOST_CHALLENGED * 16);
}

/// What is taken out and put back at once, with what is withheld in between.
fn put_back(i: &mut Interaction, evidence: Evidence, bounds: &Bounds, now: Time) -> Vec<String> {
    let taken = i.release(|_| true, &CLOCKS, ALICE, at(2));
    let since = message(Leg::Socket, 1, "since");
    i.withhold(since, &ROOMY, Evidence::Unasked).unwrap();
    let lost = i.put_back(taken, bounds, &CLOCKS, evidence, now);
    let text = |message: Withheld| String::from_utf8(message.body.to_vec()).unwrap();
    lost.into_iter().map(text).collect()
}

#[test]
fn what_did_not_arrive_comes_before_what_is_withheld_since() {
    let mut i = withholding(&[(1, "one"), (2, "two"), (1, "three")]);
    log_in(&mut i, 2, at(1));
    assert!(put_back(&mut i, ALICE, &ROOMY, at(3)).is_empty());
    let all = ["one", "two", "three", "since"];
    assert_eq!(released(&mut i, ALICE, at(3)), all);
}

#[test]
fn only_what_the_customer_may_read_is_put_back() {
    let usual = || {
        let mut i = withholding(&[(1, "one"), (1, "two")]);
        log_in(&mut i, 1, at(1));
        i
    };
    let both = ["one", "two"];
    let mut i = usual();
    assert_eq!(put_back(&mut i, MALLORY, &ROOMY, at(3)), both);
    let mut i = usual();
    assert_eq!(put_back(&mut i, Evidence::Missing, &ROOMY, at(3)), both);
    // The login has run out.
    let mut i = usual();
    assert_eq!(put_back(&mut i, ALICE, &ROOMY, at(101)), both);
    // There is room for one beside the one that came since.
    let bounds = Bounds {
        messages: 2,
        ..ROOMY
    };
    let mut i = usual();
    assert_eq!(put_back(&mut i, ALICE, &bounds, at(3)), ["two"]);
    assert_eq!(released(&mut i, ALICE, at(3)), ["one", "since"]);
}

#[test]
fn a_logout_leaves_no_way_back() {
    let mut i = withholding(&[(1, "one")]);
    log_in(&mut i, 1, at(1));
    let taken = i.release(|_| true, &CLOCKS, ALICE, at(2));
    i.log_out();
    assert_eq!(i.put_back(taken, &ROOMY, &CLOCKS, ALICE, at(3)).len(), 1);
    log_in(&mut i, 1, at(4));
    assert!(released(&mut i, ALICE, at(4)).is_empty());
}

#[test]
fn another_chat_of_that_name_takes_nothing_back() {
    // The same browser, or a channel that knows its customers by the chat's name alone.
    for evidence in [ALICE, Evidence::Unasked] {
        let chat = |began, subject| {
            let mut i = Interaction::new(at(began));
            i.touch(&CLOCKS, evidence, at(began));
            i.log_in(identity(subject, 1), &CLOCKS, evidence, at(began))
                .unwrap();
            i
        };
        let mut ended = chat(0, "alice");
        ended
            .withhold(message(Leg::Socket, 1, "one"), &ROOMY, evidence)
            .unwrap();
        let taken = ended.release(|_| true, &CLOCKS, evidence, at(2));
        let mut next = chat(400, "bob");
        let lost = next.put_back(taken.clone(), &ROOMY, &CLOCKS, evidence, at(401));
        assert_eq!(lost.len(), 1);
        assert!(released(&mut next, evidence, at(401)).is_empty());
        assert!(
            ended
                .put_back(taken, &ROOMY, &CLOCKS, evidence, at(3))
                .is_empty()
        );
        assert_eq!(released(&mut ended, evidence, at(3)), ["one"]);
    }
}
