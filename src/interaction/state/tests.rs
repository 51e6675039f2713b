use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use serde_json::Map;

use super::*;
use crate::interaction::{Answer, HeldRequest};

const ALICE: Evidence = Evidence::Shown(OwnerHash([1; 32]));
const MALLORY: Evidence = Evidence::Shown(OwnerHash([2; 32]));
const TOKEN: TokenHash = TokenHash([3; 32]);
const NEWER: TokenHash = TokenHash([4; 32]);
const CONTINUE: TokenHash = TokenHash([5; 32]);

const CLOCKS: Clocks = Clocks {
    token_ttl: Some(Duration::from_secs(60)),
    authentication_timeout: Some(Duration::from_secs(100)),
    level_timeouts: Vec::new(),
    interaction_timeout: Some(Duration::from_secs(300)),
    absolute_timeout: Some(Duration::from_secs(1000)),
};

fn at(secs: u64) -> Time {
    Time::from_secs(1_000_000 + secs)
}

fn identity(subject: &str, level: u8) -> Arc<Identity> {
    Arc::new(Identity::new(subject, Level(level), &Map::new()))
}

fn request() -> Held {
    Held::Request(Box::new(HeldRequest {
        method: Method::POST,
        target: "/messages".into(),
        headers: HeaderMap::new(),
        body: Bytes::from_static(b"canary"),
    }))
}

fn answer() -> Held {
    let body = Bytes::from_static(b"canary");
    let answer = Answer {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        body,
    };
    Held::Answer(Level(2), Box::new(answer))
}

fn challenge(token: TokenHash, created: Time) -> Challenge {
    Challenge {
        token,
        level: Level(2),
        created,
        ttl: CLOCKS.token_ttl,
    }
}

/// An interaction of `ALICE`'s, logged in at zero.
fn logged_in() -> Interaction {
    let mut i = Interaction::new(at(0));
    i.touch(&CLOCKS, ALICE, at(0));
    i.log_in(identity("alice", 2), &CLOCKS, ALICE, at(0))
        .unwrap();
    i
}

/// An interaction of `ALICE`'s with a login URL from zero, and a request held behind it.
fn challenged() -> Interaction {
    let mut i = Interaction::new(at(0));
    i.challenge(challenge(TOKEN, at(0)), Some((CONTINUE, request())), ALICE)
        .unwrap();
    i
}

fn waiting(i: &Interaction, evidence: Evidence, now: Time) -> Result<&Held, Reason> {
    i.waiting(&CONTINUE, &CLOCKS, evidence, now)
}

#[test]
fn the_first_evidence_takes_it() {
    let mut i = Interaction::new(at(0));
    assert!(i.touch(&CLOCKS, Evidence::Missing, at(0)).foreign);
    assert!(!i.touch(&CLOCKS, ALICE, at(0)).foreign);
    assert!(i.touch(&CLOCKS, MALLORY, at(0)).foreign);
    assert!(i.touch(&CLOCKS, Evidence::Missing, at(0)).foreign);
    assert!(!i.touch(&CLOCKS, ALICE, at(0)).foreign);
}

#[test]
fn a_stranger_is_anonymous() {
    let i = logged_in();
    assert_eq!(i.standing(&CLOCKS, ALICE, at(1)).level(), Level(2));
    for stranger in [MALLORY, Evidence::Missing] {
        let standing = i.standing(&CLOCKS, stranger, at(1));
        assert!(standing.foreign && standing.identity.is_none());
        assert!(standing.login_time.is_none() && !standing.unannounced);
    }
}

#[test]
fn a_stranger_changes_nothing() {
    let mut i = challenged();
    for stranger in [MALLORY, Evidence::Missing] {
        let url = challenge(NEWER, at(1));
        assert_eq!(i.challenge(url, None, stranger), Err(Reason::NotOwner));
        let mallory = identity("mallory", 2);
        assert_eq!(
            i.log_in(mallory, &CLOCKS, stranger, at(1)),
            Err(Reason::NotOwner)
        );
        assert_eq!(
            waiting(&i, stranger, at(1)).err(),
            Some(Reason::NothingHeld)
        );
    }
    assert!(i.redeem(&TOKEN, at(1)).is_ok());
}

#[test]
fn a_channel_that_asks_for_no_evidence_trusts_the_id() {
    let mut i = logged_in();
    assert!(!i.touch(&CLOCKS, Evidence::Unasked, at(1)).foreign);
    assert_eq!(
        i.standing(&CLOCKS, Evidence::Unasked, at(1)).level(),
        Level(2)
    );
}

#[test]
fn what_began_without_an_owner_is_not_taken_over_later() {
    let mut i = Interaction::new(at(0));
    i.log_in(identity("alice", 2), &CLOCKS, Evidence::Unasked, at(0))
        .unwrap();
    let standing = i.touch(&CLOCKS, MALLORY, at(1));
    assert!(standing.foreign && standing.identity.is_none());
}

#[test]
fn a_login_counts_until_exactly_its_timeout() {
    let mut i = logged_in();
    // Requests do not prolong it.
    assert!(i.touch(&CLOCKS, ALICE, at(99)).identity.is_some());
    assert!(i.touch(&CLOCKS, ALICE, at(100)).identity.is_none());
    i.log_in(identity("alice", 2), &CLOCKS, ALICE, at(150))
        .unwrap();
    assert_eq!(
        i.standing(&CLOCKS, ALICE, at(249)).login_time,
        Some(at(150))
    );
    assert!(i.standing(&CLOCKS, ALICE, at(250)).identity.is_none());
}

#[test]
fn only_the_owner_keeps_it_alive() {
    let mut i = logged_in();
    i.touch(&CLOCKS, ALICE, at(50));
    for stranger in [MALLORY, Evidence::Missing] {
        i.touch(&CLOCKS, stranger, at(200));
    }
    assert!(!i.ended(&CLOCKS, at(349)));
    assert!(i.ended(&CLOCKS, at(350)));
}

#[test]
fn the_absolute_cap_counts_from_the_start() {
    let mut i = logged_in();
    for second in (0..1000).step_by(50) {
        i.touch(&CLOCKS, ALICE, at(second));
    }
    assert!(!i.ended(&CLOCKS, at(999)));
    assert!(i.ended(&CLOCKS, at(1000)));
}

#[test]
fn what_has_ended_stays_ended() {
    let unlimited = Clocks {
        authentication_timeout: None,
        ..CLOCKS
    };
    let mut i = logged_in();
    assert!(i.touch(&unlimited, ALICE, at(300)).identity.is_none());
    assert!(i.ended(&unlimited, at(300)));
}

#[test]
fn a_clock_that_is_not_set_never_runs_out() {
    let mut i = logged_in();
    let standing = i.touch(&Clocks::default(), ALICE, Time::from_millis(u64::MAX));
    assert!(standing.identity.is_some());
}

#[test]
fn a_clock_that_steps_back_moves_nothing_back() {
    let mut i = logged_in();
    i.touch(&CLOCKS, ALICE, at(200));
    i.touch(&CLOCKS, ALICE, at(10));
    assert!(!i.ended(&CLOCKS, at(499)) && i.ended(&CLOCKS, at(500)));
}

#[test]
fn the_subject_never_changes() {
    let mallory = || identity("mallory", 2);
    let refused = Err(Reason::SubjectChanged);
    let mut i = logged_in();
    assert_eq!(i.log_in(mallory(), &CLOCKS, ALICE, at(1)), refused);
    // Not after the login ran out, nor after a logout, be it repeated.
    assert_eq!(i.log_in(mallory(), &CLOCKS, ALICE, at(200)), refused);
    i.log_out();
    assert_eq!(i.log_in(mallory(), &CLOCKS, ALICE, at(201)), refused);
    i.log_out();
    assert_eq!(
        i.log_in(mallory(), &CLOCKS, Evidence::Unasked, at(202)),
        refused
    );
    assert_eq!(
        i.log_in(identity("alice", 1), &CLOCKS, ALICE, at(203)),
        Ok(())
    );
}

#[test]
fn a_weaker_proof_neither_lowers_nor_prolongs() {
    let mut i = logged_in();
    i.log_in(identity("alice", 1), &CLOCKS, ALICE, at(50))
        .unwrap();
    let standing = i.standing(&CLOCKS, ALICE, at(50));
    assert_eq!(
        (standing.level(), standing.login_time),
        (Level(2), Some(at(0)))
    );
    // After the stronger login ran out, it counts.
    i.log_in(identity("alice", 1), &CLOCKS, ALICE, at(100))
        .unwrap();
    assert_eq!(i.standing(&CLOCKS, ALICE, at(100)).level(), Level(1));
}

#[test]
fn an_identity_is_announced_once() {
    let mut i = logged_in();
    let alice = identity("alice", 2);
    assert!(i.standing(&CLOCKS, ALICE, at(1)).unannounced);
    i.announced(&identity("alice", 1), &CLOCKS, at(1));
    assert!(
        i.standing(&CLOCKS, ALICE, at(1)).unannounced,
        "another identity"
    );
    i.announced(&alice, &CLOCKS, at(1));
    assert!(!i.standing(&CLOCKS, ALICE, at(1)).unannounced);
    i.log_in(alice.clone(), &CLOCKS, ALICE, at(2)).unwrap();
    assert!(
        !i.standing(&CLOCKS, ALICE, at(2)).unannounced,
        "the same again"
    );
    i.log_in(identity("alice", 3), &CLOCKS, ALICE, at(3))
        .unwrap();
    assert!(
        i.standing(&CLOCKS, ALICE, at(3)).unannounced,
        "a higher level"
    );
}

#[test]
fn a_token_is_good_once() {
    let mut i = challenged();
    let redeemed = i.redeem(&TOKEN, at(59)).unwrap();
    assert_eq!(redeemed.level, Level(2));
    assert_eq!(redeemed.waiting, Some(CONTINUE));
    assert_eq!(&redeemed.held.unwrap().body[..], b"canary");
    assert_eq!(i.redeem(&TOKEN, at(59)).unwrap_err(), Reason::TokenUnknown);
    assert_eq!(i.take_consumed(), Some((TOKEN, Reason::TokenUsed)));
}

#[test]
fn a_token_expires_at_exactly_its_time_to_live() {
    let mut i = challenged();
    assert_eq!(i.redeem(&TOKEN, at(60)).unwrap_err(), Reason::TokenExpired);
    assert_eq!(i.redeem(&TOKEN, at(0)).unwrap_err(), Reason::TokenUnknown);
    assert_eq!(i.take_consumed(), Some((TOKEN, Reason::TokenExpired)));
    let held = waiting(&i, ALICE, at(60));
    assert!(matches!(held, Ok(Held::Failed(Reason::TokenExpired))));
}

#[test]
fn a_token_without_time_to_live_never_expires() {
    let mut i = Interaction::new(at(0));
    let forever = Challenge {
        ttl: None,
        ..challenge(TOKEN, at(0))
    };
    i.challenge(forever, None, ALICE).unwrap();
    assert!(i.redeem(&TOKEN, Time::from_millis(u64::MAX)).is_ok());
}

#[test]
fn another_token_consumes_nothing() {
    let mut i = challenged();
    assert_eq!(i.redeem(&NEWER, at(1)).unwrap_err(), Reason::TokenUnknown);
    assert!(i.redeem(&TOKEN, at(1)).is_ok());
}

#[test]
fn a_newer_challenge_revokes_the_older_and_what_it_held() {
    let mut i = challenged();
    i.challenge(challenge(NEWER, at(1)), None, ALICE).unwrap();
    assert_eq!(i.redeem(&TOKEN, at(1)).unwrap_err(), Reason::TokenUnknown);
    assert_eq!(waiting(&i, ALICE, at(1)).err(), Some(Reason::NothingHeld));
    assert!(i.redeem(&NEWER, at(1)).unwrap().held.is_none());
}

#[test]
fn the_answer_waits_for_the_owner_while_the_login_counts() {
    let mut i = challenged();
    assert!(matches!(waiting(&i, ALICE, at(1)), Ok(Held::Request(_))));
    assert!(matches!(
        waiting(&i, ALICE, at(60)),
        Ok(Held::Failed(Reason::TokenExpired))
    ));
    i.redeem(&TOKEN, at(1)).unwrap();
    i.log_in(identity("alice", 2), &CLOCKS, Evidence::Unasked, at(1))
        .unwrap();
    assert!(matches!(waiting(&i, ALICE, at(1)), Ok(Held::Replaying)));
    i.resolve(&CONTINUE, answer());
    for _ in 0..2 {
        assert!(matches!(waiting(&i, ALICE, at(100)), Ok(Held::Answer(..))));
    }
    let nothing = Some(Reason::NothingHeld);
    assert_eq!(waiting(&i, MALLORY, at(100)).err(), nothing);
    assert_eq!(waiting(&i, Evidence::Missing, at(100)).err(), nothing);
    let other = i.waiting(&TOKEN, &CLOCKS, ALICE, at(100));
    assert_eq!(other.err(), nothing, "another token");
    assert_eq!(waiting(&i, ALICE, at(101)).err(), nothing, "login run out");
    assert_eq!(waiting(&i, ALICE, at(300)).err(), nothing, "ended");
    i.log_out();
    assert_eq!(waiting(&i, ALICE, at(1)).err(), nothing, "logged out");
}

#[test]
fn nothing_waits_in_an_interaction_that_has_ended() {
    let unlimited = Clocks {
        token_ttl: None,
        authentication_timeout: None,
        ..CLOCKS
    };
    let mut i = Interaction::new(at(0));
    let forever = Challenge {
        ttl: None,
        ..challenge(TOKEN, at(0))
    };
    i.challenge(forever, Some((CONTINUE, request())), ALICE)
        .unwrap();
    assert!(i.waiting(&CONTINUE, &unlimited, ALICE, at(299)).is_ok());
    let waiting = i.waiting(&CONTINUE, &unlimited, ALICE, at(300));
    assert_eq!(waiting.err(), Some(Reason::NothingHeld));
}

#[test]
fn a_late_answer_goes_nowhere() {
    let mut i = challenged();
    i.resolve(&CONTINUE, answer());
    assert!(matches!(waiting(&i, ALICE, at(1)), Ok(Held::Request(_))));
    i.redeem(&TOKEN, at(1)).unwrap();
    i.log_out();
    i.resolve(&CONTINUE, answer());
    assert_eq!(waiting(&i, ALICE, at(1)).err(), Some(Reason::NothingHeld));
    i.challenge(challenge(NEWER, at(1)), Some((NEWER, request())), ALICE)
        .unwrap();
    i.redeem(&NEWER, at(1)).unwrap();
    i.resolve(&CONTINUE, answer());
    let held = i.waiting(&NEWER, &CLOCKS, ALICE, at(1));
    assert!(matches!(held, Ok(Held::Replaying)));
}

#[test]
fn a_logout_ends_access_at_once() {
    let mut i = logged_in();
    i.challenge(challenge(TOKEN, at(1)), None, ALICE).unwrap();
    i.log_out();
    assert!(i.standing(&CLOCKS, ALICE, at(1)).identity.is_none());
    assert_eq!(i.redeem(&TOKEN, at(1)).unwrap_err(), Reason::TokenUnknown);
    assert!(i.touch(&CLOCKS, MALLORY, at(1)).foreign, "the owner stays");
}

#[test]
fn prints_no_content() {
    let mut i = challenged();
    assert!(!format!("{i:?}").contains("canary"));
    i.redeem(&TOKEN, at(1)).unwrap();
    i.resolve(&CONTINUE, answer());
    assert!(!format!("{i:?}").contains("canary"));
}

#[test]
fn the_weight_follows_what_it_holds() {
    let blank = Interaction::new(at(0)).weight();
    assert!(logged_in().weight() > blank);
    let mut i = challenged();
    let held = i.weight();
    assert!(held > blank);
    i.redeem(&TOKEN, at(1)).unwrap();
    assert!(i.weight() < held);
    i.log_out();
    i.take_consumed();
    assert_eq!(i.weight(), blank);
}

#[test]
fn a_login_url_has_so_many_tries() {
    let mut interaction = Interaction::new(at(0));
    let challenge = |token| Challenge {
        token,
        level: Level(2),
        created: at(0),
        ttl: CLOCKS.token_ttl,
    };
    interaction
        .challenge(challenge(TOKEN), None, ALICE)
        .unwrap();
    assert_eq!(
        interaction.try_login(&NEWER, 2, at(1)),
        Err(Reason::TokenUnknown)
    );
    assert_eq!(
        interaction.try_login(&TOKEN, 2, at(1)),
        Ok((Level(2), false))
    );
    assert_eq!(
        interaction.try_login(&TOKEN, 2, at(1)),
        Ok((Level(2), true))
    );
    let none = Err(Reason::LoginFailures);
    assert_eq!(interaction.try_login(&TOKEN, 2, at(1)), none);
    // One that came to nothing is taken back, of this login URL alone.
    interaction.untry(&NEWER);
    assert_eq!(interaction.try_login(&TOKEN, 2, at(1)), none);
    interaction.untry(&TOKEN);
    assert_eq!(
        interaction.try_login(&TOKEN, 2, at(1)),
        Ok((Level(2), true))
    );
    assert_eq!(
        interaction.try_login(&TOKEN, 2, at(60)),
        Err(Reason::TokenExpired)
    );
    assert_eq!(interaction.open(&TOKEN, at(59)), Ok(Level(2)));
    // A newer one has its own.
    interaction
        .challenge(challenge(NEWER), None, ALICE)
        .unwrap();
    assert_eq!(
        interaction.try_login(&NEWER, 1, at(1)),
        Ok((Level(2), true))
    );
}
