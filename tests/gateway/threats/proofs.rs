//! Proofs that are forged, malformed, confused or used twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::setup::{OWNER, bot, channel, fresh};
use crate::support::login::jwt;
use crate::support::{Answer, Gateway, Origin, Reply, Request};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const RSA: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAxN3HIe8FAmJn5zquCKu+
NVDBddjx/q0DuhUcglWne1NH9yB246MaaqCms03F83xgLqK4F/IAx6Ajncm/+8VE
9MpWNrAPBIV7XOrP9FiU6pWuBjxERwQHpnXwgJqdcTfZWMSU482weZ+DMGuOXcHV
u033rEC8RhirG//4/+gElb0mbXpVlK1P276FX+wcXA+g+U2E5EtRa84zqFCecWBM
qlnH9EaFIvgT+DKY6TJX8nsbxv/rca6n3AOQ8MBJkNTzdO0IGJgyJO5k8DgrEJAw
ARY6VE5F3O3A3osIjJ6fs2eT4gqxg4xhDxWaimk18MGS+9wF6t3G8JPeNMhUY6XG
MwIDAQAB
-----END PUBLIC KEY-----
";

/// A gateway whose `/start/{id}` asks for a JWT that one of `keys` verifies, and
/// whose `/maybe/{id}` does without one.
fn gateway(origin: &Origin, keys: &str, more: &str) -> Gateway {
    let tables = format!(
        r#"{OWNER}
[[channel.web.identity]]
name = "site"
kind = "jwt"
from = {{ header = "Authorization", scheme = "Bearer" }}
keys = [{keys}]
issuer = "https://www.example.com"
audience = "chat"
leeway = "30s"
{more}
[[channel.web.route]]
kind = "pre-chat"
path = "/start/{{id}}"
interaction = {{ path = "id" }}
[[channel.web.route]]
kind = "pre-chat"
enforcement = "optional"
path = "/maybe/{{id}}"
interaction = {{ path = "id" }}
"#
    );
    Gateway::start(&channel(origin, "", &tables))
}

fn hs256(secret: &str) -> impl Fn(&[u8]) -> Vec<u8> {
    move |message| {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(message);
        mac.finalize().into_bytes().to_vec()
    }
}

fn claims(gateway: &Gateway) -> Value {
    let now = gateway.clock.now().secs();
    json!({
        "iss": "https://www.example.com", "aud": "chat", "sub": "alice",
        "iat": now, "exp": now + 300,
    })
}

fn start(gateway: &Gateway, path: &str, token: &str) -> Answer {
    let request =
        Request::post(path, &json!({})).header("Authorization", &format!("Bearer {token}"));
    gateway.wire().exchange(&request)
}

/// Never passes: neither where a proof is required nor where it is optional, for a
/// proof that does not hold is not an absent one.
fn refused(gateway: &Gateway, origin: &Origin, token: &str, shown: &str) {
    let before = origin.count();
    for path in ["/start/", "/maybe/"] {
        let answer = start(gateway, &format!("{path}{}", fresh()), token);
        assert_eq!(answer.status, 401, "{shown}: {}", answer.text());
    }
    assert_eq!(origin.count(), before, "{shown}");
}

#[test]
fn the_algorithm_is_the_keys_and_not_the_tokens() {
    let origin = bot();
    let pair = rcgen::KeyPair::generate().unwrap();
    let public = pair.public_key_pem();
    let keys = format!(
        "{{ algorithm = \"HS256\", kid = \"s\", secret = \"{SECRET}\" }}, \
         {{ algorithm = \"ES256\", kid = \"e\", pem = '''{public}''' }}, \
         {{ algorithm = \"RS256\", kid = \"r\", pem = '''{RSA}''' }}"
    );
    let gateway = gateway(&origin, &keys, "");
    let claims = claims(&gateway);
    let signed = |header: Value| jwt(&header, &claims, hs256(SECRET));
    let answer = start(
        &gateway,
        "/start/ok1",
        &signed(json!({"alg": "HS256", "kid": "s"})),
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(origin.last().header("x-customer-id"), Some("alice"));
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some("e".into());
    let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
    let by_pair = jsonwebtoken::encode(&header, &claims, &key).unwrap();
    assert_eq!(start(&gateway, "/start/ok2", &by_pair).status, 200);

    for alg in [
        "none", "None", "NONE", "", "HS384", "HS512", "RS256", "PS256", "ES256", "EdDSA", "hs256",
    ] {
        for kid in [json!(null), json!("s"), json!("e"), json!("r")] {
            let mut header = json!({"alg": alg, "kid": kid});
            if kid.is_null() {
                header.as_object_mut().unwrap().remove("kid");
            }
            refused(
                &gateway,
                &origin,
                &signed(header.clone()),
                &header.to_string(),
            );
            let unsigned = jwt(&header, &claims, |_| Vec::new());
            refused(&gateway, &origin, &unsigned, &format!("unsigned {header}"));
            refused(
                &gateway,
                &origin,
                unsigned.trim_end_matches('.'),
                &format!("bare {header}"),
            );
        }
    }
    // The public key as a shared secret.
    for secret in [public.as_str(), public.trim_end(), RSA, RSA.trim_end(), ""] {
        for kid in [json!("s"), json!("e"), json!("r"), json!(null)] {
            let token = jwt(&json!({"alg": "HS256", "kid": kid}), &claims, hs256(secret));
            refused(&gateway, &origin, &token, "signed with a public key");
        }
    }
    for header in [
        json!({"alg": "HS256", "kid": "unknown"}),
        json!({"alg": "HS256", "kid": "../../dev/null"}),
        json!({"alg": "HS256", "kid": "e"}),
        json!({"alg": "HS256", "kid": 1}),
        json!({"alg": ["HS256"]}),
        json!({"alg": "HS256", "kid": "s", "crit": ["exp"]}),
        json!({"kid": "s"}),
        json!([]),
    ] {
        refused(
            &gateway,
            &origin,
            &signed(header.clone()),
            &header.to_string(),
        );
    }
}

#[test]
fn a_claim_of_another_type_or_time_is_refused() {
    let origin = bot();
    let key = format!("{{ algorithm = \"HS256\", secret = \"{SECRET}\" }}");
    let gateway = gateway(&origin, &key, "required_claims = [\"email\"]");
    let mut good = claims(&gateway);
    good["email"] = json!("alice@example.com");
    let token = |claims: &Value| jwt(&json!({"alg": "HS256"}), claims, hs256(SECRET));
    assert_eq!(start(&gateway, "/start/ok", &token(&good)).status, 200);
    let now = gateway.clock.now().secs();
    for (name, odds) in [
        (
            "exp",
            vec![
                json!(now - 31),
                json!((now + 60).to_string()),
                json!(null),
                json!("never"),
                json!(-1),
                json!([now + 60]),
                json!({}),
            ],
        ),
        (
            "nbf",
            vec![json!(now + 31), json!("0"), json!(1e300), json!([])],
        ),
        (
            "iss",
            vec![
                json!("https://evil.example"),
                json!(["x"]),
                json!(1),
                json!(null),
                json!("https://www.example.com/"),
                json!(""),
            ],
        ),
        (
            "aud",
            vec![
                json!("other"),
                json!(["other"]),
                json!(1),
                json!([]),
                json!(null),
                json!({"chat": 1}),
                json!("Chat"),
                json!(""),
            ],
        ),
        (
            "sub",
            vec![
                json!(""),
                json!(1.5),
                json!(null),
                json!(["alice"]),
                json!("a\r\nb"),
            ],
        ),
        ("email", vec![json!(null)]),
    ] {
        for odd in odds {
            let mut other = good.clone();
            other[name] = odd;
            refused(
                &gateway,
                &origin,
                &token(&other),
                &format!("{name}: {}", other[name]),
            );
        }
        if name != "nbf" {
            let mut less = good.clone();
            less.as_object_mut().unwrap().remove(name);
            refused(&gateway, &origin, &token(&less), &format!("without {name}"));
        }
    }
    // Neither wraps around nor lasts for ever by accident.
    for huge in [
        json!(1e300),
        json!(u64::MAX),
        json!(i64::MAX),
        json!(-1e300),
    ] {
        let mut other = good.clone();
        other["exp"] = huge;
        let answer = start(&gateway, "/maybe/h1", &token(&other));
        assert!(matches!(answer.status, 200 | 401), "{}", answer.text());
    }
    let twice = |name: &str| {
        let text = good.to_string();
        let payload = format!("{{\"{name}\":\"x\",{}", &text[1..]);
        let message = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#),
            URL_SAFE_NO_PAD.encode(payload)
        );
        let mac = hs256(SECRET)(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac))
    };
    refused(&gateway, &origin, &twice("sub"), "two subjects");
    refused(&gateway, &origin, &twice("aud"), "two audiences");
}

#[test]
fn a_single_use_proof_is_used_once() {
    let origin = bot();
    let key = format!("{{ algorithm = \"HS256\", secret = \"{SECRET}\" }}");
    let gateway = gateway(&origin, &key, "single_use = true");
    let mut claims = claims(&gateway);
    let token = |claims: &Value| jwt(&json!({"alg": "HS256"}), claims, hs256(SECRET));
    refused(&gateway, &origin, &token(&claims), "without a jti");
    claims["jti"] = json!("one");
    assert_eq!(start(&gateway, "/start/a", &token(&claims)).status, 200);
    refused(&gateway, &origin, &token(&claims), "twice");
    gateway.clock.advance(Duration::from_secs(60));
    refused(&gateway, &origin, &token(&claims), "twice, later");
    claims["jti"] = json!("two");
    assert_eq!(start(&gateway, "/start/b", &token(&claims)).status, 200);
}

/// A wrong answer of a time server, and its mending.
#[test]
fn a_single_use_proof_is_used_once_though_the_clock_is_set() {
    let origin = bot();
    let key = format!("{{ algorithm = \"HS256\", secret = \"{SECRET}\" }}");
    let gateway = gateway(&origin, &key, "single_use = true");
    let token = |jti: &str, exp: u64| {
        let mut claims = claims(&gateway);
        (claims["jti"], claims["exp"]) = (json!(jti), json!(exp));
        jwt(&json!({"alg": "HS256"}), &claims, hs256(SECRET))
    };
    let right = gateway.clock.now();
    let first = token("one", right.secs() + 300);
    assert_eq!(start(&gateway, "/start/a", &first).status, 200);
    let wrong = right + Duration::from_secs(30 * 24 * 60 * 60);
    crate::clock::set(&gateway, wrong);
    let meanwhile = token("two", wrong.secs() + 300);
    assert_eq!(start(&gateway, "/start/b", &meanwhile).status, 200);
    crate::clock::set(&gateway, right);
    refused(&gateway, &origin, &first, "twice, with the clock set");
    refused(&gateway, &origin, &meanwhile, "a time that is yet to come");
}

#[test]
fn unknown_key_names_do_not_drive_fetches() {
    let pair = rcgen::KeyPair::generate().unwrap();
    let point = pair.public_key_raw().to_vec();
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let set = json!({"keys": [{
        "kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "known", "use": "sig",
        "x": part(&point[1..33]), "y": part(&point[33..]),
    }]});
    let down = Arc::new(AtomicBool::new(false));
    let broken = Arc::clone(&down);
    let site = Origin::start(move |_| match broken.load(Ordering::SeqCst) {
        true => Reply::new(500, "garbage"),
        false => Reply::json(&set),
    });
    let origin = bot();
    let keys = format!(
        "{{ algorithms = [\"ES256\"], jwks_url = \"http://{}/jwks\", refresh = \"10m\", cooldown = \"30s\" }}",
        site.address
    );
    let gateway = gateway(&origin, &keys, "");
    let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
    let token = |kid: &str| {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(kid.into());
        jsonwebtoken::encode(&header, &claims(&gateway), &key).unwrap()
    };
    assert_eq!(start(&gateway, "/start/a", &token("known")).status, 200);
    assert_eq!(site.count(), 1);
    gateway.clock.advance(Duration::from_secs(31));
    let mut wire = gateway.wire();
    for number in 0..10_000 {
        let request = Request::post("/start/f", &json!({})).header(
            "Authorization",
            &format!("Bearer {}", token_with_kid(&format!("k{number}"))),
        );
        assert_eq!(wire.exchange(&request).status, 401);
    }
    assert!(site.count() <= 2, "{} fetches", site.count());
    // Old keys serve while the endpoint is down.
    down.store(true, Ordering::SeqCst);
    for _ in 0..5 {
        gateway.clock.advance(Duration::from_secs(11 * 60));
        let path = format!("/start/{}", fresh());
        assert_eq!(start(&gateway, &path, &token("known")).status, 200);
    }
    assert!(site.count() <= 7, "{} fetches", site.count());
}

/// A token whose signature nobody has to make: its key is not known anyway.
fn token_with_kid(kid: &str) -> String {
    jwt(
        &json!({"alg": "ES256", "kid": kid}),
        &json!({"sub": "x", "exp": 4_000_000_000_u64}),
        |_| vec![7; 64],
    )
}

#[test]
fn a_damaged_proof_never_authenticates() {
    let origin = bot();
    let key = format!("{{ algorithm = \"HS256\", secret = \"{SECRET}\" }}");
    let gateway = gateway(&origin, &key, "");
    let token = jwt(
        &json!({"alg": "HS256", "typ": "JWT"}),
        &claims(&gateway),
        hs256(SECRET),
    );
    assert_eq!(start(&gateway, "/maybe/ok", &token).status, 200);
    let mut wire = gateway.wire();
    let mut attempt = |token: &str, number: usize| {
        origin.clear();
        let request = Request::post(&format!("/maybe/d{number}"), &json!({}))
            .header("Authorization", &format!("Bearer {token}"));
        let answer = wire.exchange(&request);
        assert!(
            matches!(answer.status, 200 | 401),
            "{token}: {}",
            answer.status
        );
        for seen in origin.seen() {
            assert_eq!(seen.header("x-customer-id"), None, "{token}");
        }
    };
    // Every byte changed, every cut.
    for at in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        attempt(&String::from_utf8(bytes).unwrap(), at);
        attempt(&token[..at], at);
    }
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let words = prop_oneof![
        "[ -~]{0,80}",
        "[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}",
        "eyJ[A-Za-z0-9_-]{0,40}\\.{1,4}",
    ];
    for number in 0..300 {
        let word = words.new_tree(&mut runner).unwrap().current();
        attempt(&word, token.len() + number);
    }
}
