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
