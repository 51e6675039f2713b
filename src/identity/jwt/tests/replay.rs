//! Tokens that count once.

use std::sync::Barrier;

use super::*;

#[test]
fn a_single_use_token_counts_once() {
    let verifier = Jwt {
        single_use: true,
        ..jwt(vec![hs256(None)])
    };
    let key = EncodingKey::from_secret(SECRET);
    let caches = caches();
    let verdict = |scope, claims: &Value, now| {
        let token = Token::parse(&sign(Algorithm::HS256, None, &key, claims)).unwrap();
        run(verifier.verify(token, Level(1), scope, &caches, now)).map(drop)
    };
    let scope = ["web", "site"];
    let first = with("jti", json!("1"));
    // A token that is refused for another reason is not used up by that.
    let mut foreign = first.clone();
    foreign["aud"] = json!("other");
    assert_eq!(verdict(scope, &foreign, NOW), Err(Reason::ProofAudience));
    assert_eq!(verdict(scope, &first, NOW), Ok(()));
    assert_eq!(verdict(scope, &first, NOW), Err(Reason::ProofReplayed));
    // The leeway is part of its life.
    let late = NOW + Duration::from_secs(89);
    assert_eq!(verdict(scope, &first, late), Err(Reason::ProofReplayed));
    let over = NOW + Duration::from_secs(90);
    assert_eq!(verdict(scope, &first, over), Err(Reason::ProofExpired));
    // Elsewhere it is another one.
    assert_eq!(verdict(["web", "other"], &first, NOW), Ok(()));
    assert_eq!(verdict(["app", "site"], &first, NOW), Ok(()));
    assert_eq!(verdict(["webs", "ite"], &first, NOW), Ok(()));
    assert_eq!(verdict(scope, &with("jti", json!("2")), NOW), Ok(()));
    for jti in [json!(""), json!(1), json!(null)] {
        let verdict = verdict(scope, &with("jti", jti), NOW);
        assert_eq!(verdict, Err(Reason::ProofClaim));
    }
    assert_eq!(verdict(scope, &claims(), NOW), Err(Reason::ProofClaim));
}

#[test]
fn a_full_replay_cache_refuses_and_forgets_nothing() {
    let cache = ReplayCache::new(2);
    let until = |secs| NOW + Duration::from_secs(secs);
    let use_once = |jti, expires, now| cache.use_once(["web", "site", jti], expires, now);
    assert_eq!(use_once("a", until(10), NOW), Ok(()));
    assert_eq!(use_once("b", until(20), NOW), Ok(()));
    assert_eq!(use_once("c", until(20), NOW), Err(Reason::StoreFull));
    assert_eq!(use_once("a", until(10), NOW), Err(Reason::ProofReplayed));
    assert_eq!(use_once("c", until(20), until(10)), Ok(()));
    assert_eq!(
        use_once("b", until(20), until(10)),
        Err(Reason::ProofReplayed)
    );
}

#[test]
fn a_replay_cache_is_full_for_one_use_of_one_channel() {
    let cache = ReplayCache::new(2);
    let expires = NOW + Duration::from_secs(10);
    let use_once = |channel, what, id| cache.use_once([channel, what, id], expires, NOW);
    assert_eq!(use_once("web", "signature a", "1"), Ok(()));
    assert_eq!(use_once("web", "signature a", "2"), Ok(()));
    let full = use_once("web", "signature a", "3");
    assert_eq!(full, Err(Reason::StoreFull));
    assert_eq!(use_once("web", "site", "3"), Ok(()));
    assert_eq!(use_once("web", "signature b", "3"), Ok(()));
    assert_eq!(use_once("app", "signature a", "3"), Ok(()));
}

#[test]
fn what_bears_no_time_is_remembered_for_a_day_and_makes_room_for_what_is_newer() {
    let cache = ReplayCache::new(2);
    let at = |secs| NOW + Duration::from_secs(secs);
    let day = 24 * 60 * 60;
    let untimed = |id, secs| cache.use_once_untimed(["web", "signature a", id], at(secs));
    assert_eq!(untimed("1", 0), Ok(()));
    assert_eq!(untimed("2", 1), Ok(()));
    assert_eq!(untimed("1", day - 1), Err(Reason::ProofReplayed));
    assert_eq!(untimed("3", day - 1), Ok(()), "more than one has room for");
    assert_eq!(untimed("2", day - 1), Err(Reason::ProofReplayed));
    assert_eq!(untimed("3", day - 1), Err(Reason::ProofReplayed));
    assert_eq!(untimed("2", day + 1), Ok(()), "a day is over");
}

#[test]
fn of_several_uses_at_once_one_succeeds() {
    let cache = ReplayCache::default();
    let start = Barrier::new(8);
    let successes = std::thread::scope(|scope| {
        let uses: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    (0..1000)
                        .filter(|jti| {
                            let name = ["web", "site", &*jti.to_string()];
                            cache
                                .use_once(name, NOW + Duration::from_secs(9), NOW)
                                .is_ok()
                        })
                        .count()
                })
            })
            .collect();
        uses.into_iter()
            .map(|uses| uses.join().unwrap())
            .sum::<usize>()
    });
    assert_eq!(successes, 1000);
}

#[test]
fn a_proof_counts_once_though_the_clock_goes_forward_and_back() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let cache = ReplayCache::new(3);
    let at = |secs| NOW + Duration::from_secs(secs);
    let use_once = |jti, expires, now| cache.use_once(["web", "site", jti], at(expires), now);
    assert_eq!(use_once("a", 60, at(0)), Ok(()));
    cache.set_forward(30 * DAY, at(1));
    // Whatever comes meanwhile, on this use or a new one, forgets nothing.
    assert_eq!(use_once("b", 60 * 86400, at(2) + 30 * DAY), Ok(()));
    let other = cache.use_once_untimed(["web", "signature", "x"], at(3) + 30 * DAY);
    assert_eq!(other, Ok(()));
    cache.set_back(30 * DAY);
    for second in [4, 59] {
        let again = use_once("a", 60, at(second));
        assert_eq!(again, Err(Reason::ProofReplayed), "{second}");
    }
    // What was used meanwhile counts by the clock, and so is remembered by it.
    let again = use_once("b", 60 * 86400, at(0) + 59 * DAY);
    assert_eq!(again, Err(Reason::ProofReplayed));
    assert_eq!(use_once("a", 60, at(60)), Ok(()), "it has run out");
}

#[test]
fn what_ran_out_while_the_clock_leapt_takes_no_place_for_long() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let cache = ReplayCache::new(2);
    let at = |secs| NOW + Duration::from_secs(secs);
    let use_once = |jti, expires, now| cache.use_once(["web", "site", jti], expires, now);
    assert_eq!(use_once("a", at(60), at(0)), Ok(()));
    cache.set_forward(DAY, at(1));
    let later = at(2) + DAY;
    assert_eq!(use_once("b", later + DAY, later), Ok(()));
    assert_eq!(use_once("a", at(60), later), Err(Reason::ProofReplayed));
    // Nobody is refused for its sake.
    assert_eq!(use_once("c", later + DAY, later), Ok(()));
    assert_eq!(use_once("d", later + DAY, later), Err(Reason::StoreFull));
    // A clock that was right for a day is right.
    cache.set_forward(DAY, later);
    let after = later + DAY + DAY;
    assert_eq!(use_once("b", after + DAY, after), Ok(()));
}
