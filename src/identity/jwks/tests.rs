use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use jsonwebtoken::EncodingKey;
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use serde_json::json;

use super::*;
use crate::identity::jwt::Token;
use crate::identity::testing::{outbound, run};
use crate::outbound::tests::{Server, answer};
use crate::reason::Reason;
use crate::time::Time;

const NOW: Time = Time::from_secs(1_700_000_000);
const MINUTE: Duration = Duration::from_secs(60);
const ALL: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::PS256,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

macro_rules! pem {
    ($name:literal) => {
        include_bytes!(concat!("../../../tests/keys/", $name, ".pem"))
    };
}

fn p256(kid: &str) -> Value {
    let key = EncodingKey::from_ec_pem(pem!("p256-a")).unwrap();
    public(&key, Algorithm::ES256, kid)
}

fn rsa() -> Value {
    let key = EncodingKey::from_rsa_pem(pem!("rsa-a")).unwrap();
    public(&key, Algorithm::RS256, "rsa")
}

fn ed25519() -> Value {
    let key = EncodingKey::from_ed_pem(pem!("ed25519-a")).unwrap();
    public(&key, Algorithm::EdDSA, "ed")
}

fn public(key: &EncodingKey, algorithm: Algorithm, kid: &str) -> Value {
    let mut jwk = Jwk::from_encoding_key(key, algorithm).unwrap();
    jwk.common.key_id = Some(kid.into());
    serde_json::to_value(jwk).unwrap()
}

fn set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

fn parse(keys: &[Value], algorithms: &[Algorithm]) -> Result<KeySet, String> {
    KeySet::parse(set(keys).as_bytes(), algorithms)
}

fn with(mut key: Value, name: &str, value: Value) -> Value {
    key[name] = value;
    key
}

fn without(mut key: Value, name: &str) -> Value {
    key.as_object_mut().unwrap().remove(name);
    key
}

#[test]
fn keys_of_each_type_verify() {
    let set = parse(&[rsa(), p256("ec"), ed25519()], ALL).unwrap();
    for (kid, algorithm, key) in [
        (
            "rsa",
            Algorithm::RS256,
            EncodingKey::from_rsa_pem(pem!("rsa-a")),
        ),
        (
            "ec",
            Algorithm::ES256,
            EncodingKey::from_ec_pem(pem!("p256-a")),
        ),
        (
            "ed",
            Algorithm::EdDSA,
            EncodingKey::from_ed_pem(pem!("ed25519-a")),
        ),
    ] {
        let mut header = jsonwebtoken::Header::new(algorithm);
        header.kid = Some(kid.into());
        let token = jsonwebtoken::encode(&header, &json!({}), &key.unwrap()).unwrap();
        let token = Token::parse(&token).unwrap();
        assert_eq!(token.verify(&set.keys), Ok(()), "{kid}");
    }
}

#[test]
fn a_key_without_alg_serves_all_that_fit() {
    use Algorithm::*;
    let serves = |key, algorithms: &[Algorithm]| {
        let set = parse(&[without(key, "alg")], algorithms)?;
        let served: Vec<_> = set.keys.iter().map(|key| key.algorithm).collect();
        Ok::<_, String>(served)
    };
    assert_eq!(
        serves(rsa(), &[ES256, PS256, RS256, HS256]),
        Ok(vec![PS256, RS256])
    );
    assert_eq!(serves(p256("x"), &[RS256, ES384, ES256]), Ok(vec![ES256]));
    assert_eq!(serves(ed25519(), ALL), Ok(vec![EdDSA]));
    assert!(serves(p256("x"), &[ES384]).is_err());
    assert!(serves(rsa(), &[HS256]).is_err());
    assert!(serves(rsa(), &[]).is_err());
}

#[test]
fn keys_of_no_use_are_passed_over_and_told_when_none_is_left() {
    let oct = json!({ "kty": "oct", "alg": "HS256", "k": "A".repeat(43) });
    let weak = with(rsa(), "n", json!("gQ".repeat(64)));
    let even = {
        let mut number = URL_SAFE_NO_PAD
            .decode(rsa()["n"].as_str().unwrap())
            .unwrap();
        *number.last_mut().unwrap() &= 0xfe;
        with(rsa(), "n", json!(URL_SAFE_NO_PAD.encode(number)))
    };
    let off_curve = with(p256("x"), "y", p256("x")["x"].clone());
    let useless = [
        (oct.clone(), "secret"),
        (without(oct, "alg"), "secret"),
        (with(p256("x"), "d", json!("AA")), "private"),
        (with(p256("x"), "use", json!("enc")), "use"),
        (with(p256("x"), "use", json!(null)), "use"),
        (with(p256("x"), "key_ops", json!(["sign"])), "key_ops"),
        (with(p256("x"), "key_ops", json!("verify")), "key_ops"),
        (with(p256("x"), "alg", json!("ES384")), "not a key for any"),
        (with(p256("x"), "alg", json!("RS256")), "not a key for any"),
        (with(p256("x"), "alg", json!("none")), "alg"),
        (with(p256("x"), "alg", json!("ES512")), "alg"),
        (with(p256("x"), "alg", json!(7)), "alg"),
        (with(p256("x"), "alg", json!("HS256")), "not a key for any"),
        (with(p256("x"), "crv", json!("P-521")), "not a key for any"),
        (with(p256("x"), "kty", json!("RSA")), "not a key for any"),
        (with(p256("x"), "kid", json!(7)), "kid"),
        (with(p256("x"), "x", json!("AAAA")), "not a public key"),
        (with(p256("x"), "x", json!("*")), "base64url"),
        (without(p256("x"), "y"), "no y"),
        (off_curve, "not a public key"),
        (with(rsa(), "alg", json!("RS512")), "not a key for any"),
        (with(rsa(), "e", json!("AQ")), "numbers"),
        (with(rsa(), "e", json!("")), "numbers"),
        (with(rsa(), "n", json!("")), "0"),
        (weak, "2048"),
        (even, "numbers"),
        (with(ed25519(), "x", json!("AAAA")), "not a public key"),
        (with(ed25519(), "crv", json!("X25519")), "not a key for any"),
        (json!("key"), "not an object"),
        (json!({}), "not a key for any"),
    ];
    for (key, says) in useless {
        let error = parse(std::slice::from_ref(&key), ALL).unwrap_err();
        assert!(error.contains(says), "{key}: {error}");
        let set = parse(&[key, p256("good")], ALL).unwrap();
        assert_eq!(set.keys.len(), 1);
        assert_eq!(set.keys[0].kid.as_deref(), Some("good"));
    }
}

#[test]
fn documents_that_are_no_key_sets() {
    for json in [
        "",
        "null",
        "[]",
        "{}",
        r#"{"keys":{}}"#,
        r#"{"keys":[]}"#,
        "<html>",
    ] {
        assert!(KeySet::parse(json.as_bytes(), ALL).is_err(), "{json}");
    }
    let many = vec![p256("x"); 101];
    assert!(parse(&many, ALL).unwrap_err().contains("100"));
    assert!(parse(&many[1..], ALL).is_ok());
}

/// RFC 7638, section 3.1: the key and its thumbprint.
#[test]
fn rfc_7638_thumbprint() {
    let key: Jwk = serde_json::from_value(json!({
        "kty": "RSA",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        "e": "AQAB",
        "alg": "RS256",
        "kid": "2011-04-29",
    }))
    .unwrap();
    let thumbprint = key.thumbprint(ThumbprintHash::SHA256).unwrap();
    assert_eq!(thumbprint, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    assert!(parse(&[serde_json::to_value(key).unwrap()], ALL).is_ok());
}

/// An endpoint whose answer can be changed.
struct Endpoint {
    server: Server,
    up: Arc<AtomicBool>,
    generation: Arc<AtomicUsize>,
}

impl Endpoint {
    fn start() -> Self {
        let up = Arc::new(AtomicBool::new(true));
        let generation = Arc::new(AtomicUsize::new(0));
        let state = (up.clone(), generation.clone());
        let server = Server::start(move |_| {
            let (up, generation) = state.clone();
            async move {
                match up.load(Ordering::SeqCst) {
                    true => keys(generation.load(Ordering::SeqCst)),
                    false => answer(503, "{}"),
                }
            }
        });
        Self {
            server,
            up,
            generation,
        }
    }

    fn source(&self) -> JwksUrl {
        JwksUrl {
            url: self.server.url("/jwks.json").into(),
            algorithms: ALL.to_vec(),
            refresh: 10 * MINUTE,
            cooldown: MINUTE,
        }
    }
}

fn keys(generation: usize) -> Response<Full<Bytes>> {
    answer(200, set(&[p256(&format!("key-{generation}"))]))
}

fn kids(
    cache: &JwksCache,
    source: &JwksUrl,
    kid: Option<&str>,
    now: Time,
) -> Result<Vec<String>, Reason> {
    let set = run(cache.keys(source, kid, &outbound(), now))?;
    let kids = set
        .keys
        .iter()
        .map(|key| key.kid.as_deref().unwrap_or("").to_string());
    Ok(kids.collect())
}

#[test]
fn a_set_is_fetched_once_and_again_when_it_is_old() {
    let endpoint = Endpoint::start();
    let (cache, source) = (JwksCache::default(), endpoint.source());
    let ask = |kid, now| kids(&cache, &source, kid, now).unwrap();
    assert_eq!(ask(Some("key-0"), NOW), ["key-0"]);
    assert_eq!(ask(Some("key-0"), NOW + 9 * MINUTE), ["key-0"]);
    assert_eq!(ask(None, NOW + 9 * MINUTE), ["key-0"]);
    assert_eq!(endpoint.server.count(), 1);
    endpoint.generation.store(1, Ordering::SeqCst);
    assert_eq!(ask(Some("key-0"), NOW + 10 * MINUTE), ["key-1"]);
    assert_eq!(endpoint.server.count(), 2);
}

#[test]
fn a_new_kid_brings_the_new_set() {
    let endpoint = Endpoint::start();
    let (cache, source) = (JwksCache::default(), endpoint.source());
    let ask = |kid, now| kids(&cache, &source, Some(kid), now).unwrap();
    assert_eq!(ask("key-0", NOW), ["key-0"]);
    endpoint.generation.store(1, Ordering::SeqCst);
    assert_eq!(ask("key-1", NOW + MINUTE / 2), ["key-0"]);
    assert_eq!(ask("key-1", NOW + MINUTE), ["key-1"]);
    assert_eq!(endpoint.server.count(), 2);
}

/// A fetch that was begun by a clock that was set back since.
#[test]
fn a_time_ahead_keeps_no_set_and_delays_no_fetch() {
    let endpoint = Endpoint::start();
    let (cache, source) = (JwksCache::default(), endpoint.source());
    let ask = |kid, now| kids(&cache, &source, Some(kid), now).unwrap();
    assert_eq!(ask("key-0", NOW + 60 * MINUTE), ["key-0"]);
    endpoint.generation.store(1, Ordering::SeqCst);
    assert_eq!(ask("key-0", NOW), ["key-1"]);
    endpoint.generation.store(2, Ordering::SeqCst);
    assert_eq!(ask("key-2", NOW - 2 * MINUTE), ["key-2"]);
    assert_eq!(endpoint.server.count(), 3);
}

/// One fetch at the start, then one per cooldown, whatever the tokens name.
#[test]
fn random_kids_do_not_drive_fetches() {
    let endpoint = Endpoint::start();
    let (cache, source) = (JwksCache::default(), endpoint.source());
    for second in 0..100 {
        let now = NOW + Duration::from_secs(second);
        run(async {
            for number in 0..100 {
                let kid = format!("{second}-{number}");
                let set = cache.keys(&source, Some(&kid), &outbound(), now).await;
                assert!(!set.unwrap().answers_to(Some(&kid)));
            }
        });
    }
    assert_eq!(endpoint.server.count(), 2);
}

#[test]
fn random_kids_at_once_wait_for_one_fetch() {
    let endpoint = Endpoint::start();
    let (cache, source) = (Arc::new(JwksCache::default()), endpoint.source());
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (cache, source) = (cache.clone(), source.clone());
            scope.spawn(move || {
                run(async {
                    for number in 0..100 {
                        let kid = format!("{thread}-{number}");
                        let set = cache.keys(&source, Some(&kid), &outbound(), NOW).await;
                        assert!(set.is_ok());
                    }
                });
            });
        }
    });
    assert_eq!(endpoint.server.count(), 1);
}

#[test]
fn old_keys_serve_while_the_endpoint_is_down() {
    let endpoint = Endpoint::start();
    let (cache, source) = (JwksCache::default(), endpoint.source());
    let ask = |kid, now| kids(&cache, &source, Some(kid), now).unwrap();
    assert_eq!(ask("key-0", NOW), ["key-0"]);
    endpoint.up.store(false, Ordering::SeqCst);
    for minutes in [20, 40, 60 * 24] {
        assert_eq!(ask("key-0", NOW + minutes * MINUTE), ["key-0"]);
        assert_eq!(ask("key-9", NOW + minutes * MINUTE), ["key-0"]);
    }
    // An unknown key waits for the fetch, so none is under way now.
    assert_eq!(ask("key-9", NOW + 60 * 25 * MINUTE), ["key-0"]);
    endpoint.up.store(true, Ordering::SeqCst);
    endpoint.generation.store(1, Ordering::SeqCst);
    assert_eq!(ask("key-1", NOW + 60 * 26 * MINUTE), ["key-1"]);
}

/// Whose key is known does not wait for an endpoint that is known to be down.
#[test]
fn a_failing_endpoint_delays_one_token_only() {
    let server = Server::start(|count| async move {
        match count {
            1 => keys(0),
            2 => answer(500, ""),
            _ => std::future::pending().await,
        }
    });
    let source = JwksUrl {
        url: server.url("/").into(),
        algorithms: ALL.to_vec(),
        refresh: 10 * MINUTE,
        cooldown: MINUTE,
    };
    let cache = JwksCache::default();
    for minutes in [0, 20] {
        let kids = kids(&cache, &source, Some("key-0"), NOW + minutes * MINUTE);
        assert_eq!(kids.unwrap(), ["key-0"]);
    }
    // From here on the endpoint hangs: the first poll has to bring the keys.
    run(async {
        let outbound = outbound();
        for minutes in [40, 60] {
            let now = NOW + minutes * MINUTE;
            let keys = cache.keys(&source, Some("key-0"), &outbound, now);
            let mut keys = std::pin::pin!(keys);
            let first = std::future::poll_fn(|context| Poll::Ready(keys.as_mut().poll(context)));
            assert!(first.await.is_ready());
        }
    });
}

#[test]
fn without_any_set_nothing_can_be_verified() {
    let endpoint = Endpoint::start();
    endpoint.up.store(false, Ordering::SeqCst);
    let (cache, source) = (JwksCache::default(), endpoint.source());
    let ask = |now| kids(&cache, &source, Some("key-0"), now);
    for _ in 0..10 {
        assert_eq!(ask(NOW), Err(Reason::VerifierUnavailable));
    }
    assert_eq!(endpoint.server.count(), 1);
    endpoint.up.store(true, Ordering::SeqCst);
    assert_eq!(ask(NOW + MINUTE).unwrap(), ["key-0"]);
}

#[test]
fn what_is_no_usable_set_does_not_replace_one() {
    let long = format!("{}{}", " ".repeat(256 * 1024), set(&[p256("long")]));
    let moved = set(&[p256("moved")]);
    for (status, body) in [
        (200, "{}".to_string()),
        (200, "garbage".into()),
        (200, set(&[])),
        (200, long),
        (203, moved.clone()),
        (302, moved.clone()),
        (404, moved),
    ] {
        let server = Server::start(move |count| {
            let body = body.clone();
            async move {
                match count {
                    1 => keys(0),
                    _ => answer(status, body),
                }
            }
        });
        let source = JwksUrl {
            url: server.url("/").into(),
            algorithms: ALL.to_vec(),
            refresh: MINUTE,
            cooldown: MINUTE,
        };
        let cache = JwksCache::default();
        for now in [NOW, NOW + MINUTE] {
            let kids = kids(&cache, &source, Some("key-0"), now);
            assert_eq!(kids.unwrap(), ["key-0"], "{status}");
        }
        assert_eq!(server.count(), 2);
    }
}
