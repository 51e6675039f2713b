//! Before the chat: proof → identity → what the backend is told of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use chatgate::identity::assertion::Assertion;
use hmac::{Hmac, Mac};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::setup::{self, CANARY, OWNER, channel};
use crate::support::{Answer, Browser, Gateway, Origin, Reply, Request, Seen};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// An origin that opens chats, answers messages, takes private data and knows one session.
fn backend() -> Origin {
    Origin::start(answer)
}

fn answer(seen: &Seen) -> Reply {
    match seen.target.split('?').next().unwrap_or_default() {
        "/conversations" => Reply::json(&json!({"conversationId": "conv-1", "token": "t"})),
        "/session" if seen.header("cookie") == Some("sid=alice-session") => {
            Reply::json(&json!({"sub": "alice", "email": "alice@example.com"}))
        }
        "/session" => Reply::new(401, ""),
        _ => setup::answer(seen),
    }
}

fn jwt(claims: Value) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap()
}

/// A proof for `subject`, as the website makes it.
fn proof(gateway: &Gateway, subject: &str) -> String {
    jwt(json!({
        "sub": subject,
        "exp": gateway.clock.now().secs() + 300,
        "email": format!("{subject}@example.com"),
    }))
}

const JWT: &str = r#"
[[channel.web.identity]]
name = "site"
kind = "jwt"
from = { header = "Authorization", scheme = "Bearer" }
keys = [{ algorithm = "HS256", secret = "0123456789abcdef0123456789abcdef" }]
level = "verified"
"#;

fn start(enforcement: &str) -> String {
    format!(
        r#"
[[channel.web.route]]
kind = "pre-chat"
path = "/start/{{id}}"
interaction = {{ path = "id" }}
enforcement = "{enforcement}"
"#
    )
}

fn with_proof(target: &str, proof: &str) -> Request {
    Request::post(target, &json!({"text": "hi"}))
        .header("Authorization", &format!("Bearer {proof}"))
}

#[test]
fn a_proven_customer_is_known_from_the_first_message_on() {
    let origin = backend();
    let gateway = Gateway::start(&channel(
        &origin,
        "",
        &format!("{OWNER}{JWT}{}", start("required")),
    ));
    let mut browser = gateway.browser();

    let opened = browser.send(with_proof("/start/c1", &proof(&gateway, "alice")));
    assert_eq!(opened.status, 200, "{}", opened.text());
    let seen = origin.last();
    assert_eq!(seen.header("x-customer-id"), Some("alice"));
    assert_eq!(seen.json()["metadata"]["customer"], "alice");
    assert_eq!(seen.json()["text"], "hi");

    // No login, no prompt: what is protected passes, and the agent sees who it is.
    assert!(setup::statement(&mut browser, "c1").contains(CANARY));
    assert_eq!(origin.last().header("x-customer-id"), Some("alice"));

    // Until the time is up.
    gateway.clock.advance(Duration::from_secs(30 * 60));
    let asked_again = setup::statement(&mut browser, "c1");
    assert!(setup::is_challenge(&asked_again) && !asked_again.contains(CANARY));
    assert_eq!(origin.last().header("x-customer-id"), None);
}

#[test]
fn enforcement_decides_what_a_missing_or_broken_proof_means() {
    let origin = backend();
    for (enforcement, without, broken) in [
        ("required", 401, 401),
        ("optional", 200, 401),
        ("observe", 200, 200),
        ("off", 200, 200),
    ] {
        let gateway = Gateway::start(&channel(
            &origin,
            "",
            // Another route asks for the proof: a verifier that nobody asks is a mistake.
            &format!(
                "{OWNER}{JWT}{}{}",
                start(enforcement),
                start("required").replace("/start/", "/other/")
            ),
        ));
        let mut browser = gateway.browser();
        let missing = browser.post("/start/a", &json!({}));
        assert_eq!(missing.status, without, "{enforcement}: {}", missing.text());
        let wrong = browser.send(with_proof("/start/b", "not.a.token"));
        assert_eq!(wrong.status, broken, "{enforcement}: {}", wrong.text());
        let valid = browser.send(with_proof("/start/c", &proof(&gateway, "alice")));
        assert_eq!(valid.status, 200, "{enforcement}");
        let counts = matches!(enforcement, "required" | "optional");
        assert_eq!(
            origin.last().header("x-customer-id"),
            counts.then_some("alice"),
            "{enforcement}"
        );
        if enforcement == "observe" {
            let observed = gateway
                .metrics()
                .sum("chatgate_observed_total", &[("channel", "web")]);
            assert!((observed - 2.0).abs() < f64::EPSILON, "{observed}");
        }
    }
}

#[test]
fn the_interaction_may_be_named_by_the_answer() {
    let origin = backend();
    let tables = format!(
        r#"{OWNER}{JWT}
[[channel.web.route]]
kind = "pre-chat"
method = "POST"
path = "/conversations"
interaction = {{ answer_json = "$.conversationId" }}
"#
    );
    let gateway = Gateway::start(&channel(&origin, "", &tables));
    let mut browser = gateway.browser();
    let opened = browser.send(with_proof("/conversations", &proof(&gateway, "alice")));
    assert_eq!(opened.json()["conversationId"], "conv-1");
    assert!(setup::statement(&mut browser, "conv-1").contains(CANARY));
    // It is hers: a stranger who knows the id gets nothing.
    assert!(!setup::statement(&mut gateway.browser(), "conv-1").contains(CANARY));
}

#[test]
fn an_interaction_whose_name_is_too_long_is_none() {
    let origin = Origin::start(|seen: &Seen| match seen.target.strip_prefix("/open/") {
        Some(length) => {
            let id = "c".repeat(length.parse().unwrap());
            Reply::json(&json!({"conversationId": id, "token": CANARY}))
        }
        None => answer(seen),
    });
    let tables = format!(
        r#"{OWNER}{JWT}{}
[[channel.web.route]]
kind = "pre-chat"
path = "/open/{{length}}"
interaction = {{ answer_json = "$.conversationId" }}
"#,
        start("required")
    );
    let gateway = Gateway::start(&channel(&origin, "", &tables));
    let open = |target: &str| {
        let request = with_proof(target, &proof(&gateway, "alice"));
        gateway.browser().send(request)
    };
    let named = |length| format!("/start/{}", "c".repeat(length));
    assert_eq!(open(&named(511)).status, 200);
    assert_eq!(open("/open/512").status, 200);
    origin.clear();
    let refused = open(&named(513));
    assert_eq!((refused.status, &*refused.code()), (400, "no-interaction"));
    assert_eq!(origin.count(), 0);
    let refused = open("/open/513");
    assert_eq!((refused.status, &*refused.code()), (400, "no-interaction"));
    assert!(!refused.contains(CANARY));
    let kept = gateway.metrics().sum("chatgate_interactions", &[]);
    assert_eq!(kept, 2.0);
}

#[test]
fn a_hash_of_the_identifier_proves_it() {
    let origin = backend();
    let tables = format!(
        r#"{OWNER}
[[channel.web.identity]]
name = "widget"
kind = "hmac"
identifier = {{ json = "$.user.id" }}
hash = {{ json = "$.user.hash" }}
secret = "{SECRET}"
level = "claimed"
{}"#,
        start("required")
    );
    let gateway = Gateway::start(&channel(&origin, "", &tables));
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(b"alice");
    let hash = hex::encode(mac.finalize().into_bytes());

    let mut browser = gateway.browser();
    let open = |browser: &mut Browser, id: &str, hash: &str| {
        browser.post("/start/c1", &json!({"user": {"id": id, "hash": hash}}))
    };
    assert_eq!(open(&mut browser, "alice", &hash).status, 200);
    assert_eq!(origin.last().header("x-customer-level"), Some("claimed"));
    for (id, hash) in [("bob", &*hash), ("alice", ""), ("alice", "00")] {
        let refused = open(&mut gateway.browser(), id, hash);
        assert_eq!(refused.status, 401, "{id} {hash}: {}", refused.text());
    }
    // `claimed` is not `verified`: the flag asks for more.
    assert!(setup::is_challenge(&setup::statement(&mut browser, "c1")));
}

#[test]
fn the_websites_session_proves_it() {
    let origin = backend();
    let site = origin.upstream("bot");
    let url = site.split('"').nth(1).unwrap();
    let tables = format!(
        r#"{OWNER}
[[channel.web.identity]]
name = "website"
kind = "session"
cookie = "sid"
url = "{url}/session"
cache = "30s"
{}"#,
        start("optional")
    );
    let gateway = Gateway::start(&channel(&origin, "", &tables));
    let mut browser = gateway.browser();
    browser.cookies.insert("sid".into(), "alice-session".into());
    for _ in 0..3 {
        assert_eq!(browser.post("/start/c1", &json!({})).status, 200);
        assert_eq!(origin.last().header("x-customer-id"), Some("alice"));
    }
    assert_eq!(origin.seen_at("/session").len(), 1, "the look-up is cached");
    // Sent on alone: the website need not see the chat's own cookies.
    assert_eq!(
        origin.seen_at("/session")[0].header("cookie"),
        Some("sid=alice-session")
    );

    let mut stranger = gateway.browser();
    stranger.cookies.insert("sid".into(), "forged".into());
    assert_eq!(stranger.post("/start/c2", &json!({})).status, 401);
    assert_eq!(gateway.browser().post("/start/c3", &json!({})).status, 200);
}

#[test]
fn the_assertion_is_for_one_backend_and_checks_against_our_keys() {
    let origin = backend();
    let pem = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/p256-a.pem");
    let assertion = format!(
        r#"
[channel.web.inject.assertion]
header = "X-Customer-Assertion"
issuer = "https://chat.example.com"
audience = "bot"
ttl = "60s"
key = {{ file = "{pem}" }}
"#
    );
    let tables = channel(&origin, "", &format!("{OWNER}{JWT}{}", start("required")));
    let gateway = Gateway::start(&format!("{tables}{assertion}"));
    let mut browser = gateway.browser();
    let forged =
        with_proof("/start/c1", &proof(&gateway, "alice")).header("x_customer_assertion", "forged");
    assert_eq!(browser.send(forged).status, 200);
    let seen = origin.last();
    let tokens: Vec<_> = seen
        .all("x-customer-assertion")
        .chain(seen.all("x_customer_assertion"))
        .collect();
    assert_eq!(tokens.len(), 1);

    let keys = gateway.browser().get("/.chatgate/jwks.json").json();
    let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(keys["keys"][0].clone()).unwrap();
    assert!(keys["keys"][0].get("d").is_none(), "no private part");
    let header = jsonwebtoken::decode_header(tokens[0]).unwrap();
    assert_eq!(header.kid, jwk.common.key_id);
    let key = DecodingKey::from_jwk(&jwk).unwrap();
    let check = |audience: &str| {
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_audience(&[audience]);
        validation.set_issuer(&["https://chat.example.com"]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        // The gateway's clock is a manual one.
        validation.validate_exp = false;
        jsonwebtoken::decode::<Value>(tokens[0], &key, &validation)
    };
    let claims = check("bot").unwrap().claims;
    assert_eq!(claims["sub"], "alice");
    assert_eq!(claims["claims"]["email"], "alice@example.com");
    assert_eq!(
        claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(),
        60
    );
    assert!(check("another backend").is_err());
    let _ = std::any::type_name::<Assertion>();
}

/// The side call has answered before the message passes; else the message does not.
#[test]
fn the_side_call_comes_first() {
    let told = Arc::new(AtomicUsize::new(0));
    let status = Arc::new(AtomicU16::new(200));
    let (counted, answered) = (told.clone(), status.clone());
    let origin = Origin::start(move |seen| match &*seen.target {
        "/private-data" => {
            counted.fetch_add(1, Ordering::SeqCst);
            Reply::new(answered.load(Ordering::SeqCst), "{}")
        }
        _ => answer(seen),
    });
    let address = origin.upstream("bot");
    let url = address.split('"').nth(1).unwrap();
    let tables = format!(
        r#"{OWNER}{JWT}{}
[channel.web.side_call]
method = "POST"
url = "{url}/private-data"
json = '{{"authenticated": true, "CustomerId": "{{{{ subject }}}}"}}'
sign = {{ kind = "jwt", algorithm = "HS256", secret = "{SECRET}", claims = '{{"iss": "{{{{ interaction }}}}"}}' }}
"#,
        start("required")
    );
    let gateway = Gateway::start(&channel(&origin, "", &tables));
    let mut browser = gateway.browser();

    status.store(500, Ordering::SeqCst);
    let refused = browser.send(with_proof("/start/c1", &proof(&gateway, "alice")));
    assert_eq!(
        (refused.status, &*refused.code()),
        (502, "side-call-failed")
    );
    assert!(
        origin.seen_at("/start/c1").is_empty(),
        "nothing passes before it"
    );

    status.store(200, Ordering::SeqCst);
    assert_eq!(
        browser
            .send(with_proof("/start/c1", &proof(&gateway, "alice")))
            .status,
        200
    );
    let call = origin.seen_at("/private-data").pop().unwrap();
    assert_eq!(
        call.json(),
        json!({"authenticated": true, "CustomerId": "alice"})
    );
    let bearer = call
        .header("authorization")
        .unwrap()
        .strip_prefix("Bearer ")
        .unwrap()
        .to_owned();
    let mut validation = Validation::new(Algorithm::HS256);
    validation.validate_exp = false;
    validation.required_spec_claims.clear();
    let claims: Value = jsonwebtoken::decode(
        &bearer,
        &DecodingKey::from_secret(SECRET.as_bytes()),
        &validation,
    )
    .unwrap()
    .claims;
    assert_eq!(claims["iss"], "c1");
    assert_eq!(claims["iat"], gateway.clock.now().secs());

    // Once for a login, not for each message.
    let before = told.load(Ordering::SeqCst);
    for _ in 0..3 {
        setup::statement(&mut browser, "c1");
    }
    assert_eq!(told.load(Ordering::SeqCst), before);
}

#[test]
fn a_chat_keeps_its_subject() {
    let origin = backend();
    let gateway = Gateway::start(&channel(
        &origin,
        "",
        &format!("{OWNER}{JWT}{}", start("required")),
    ));
    let mut browser = gateway.browser();
    let open = |browser: &mut Browser, subject: &str| -> Answer {
        browser.send(with_proof("/start/c1", &proof(&gateway, subject)))
    };
    assert_eq!(open(&mut browser, "alice").status, 200);
    let changed = open(&mut browser, "bob");
    assert_eq!((changed.status, &*changed.code()), (403, "subject-changed"));
    let stolen = open(&mut gateway.browser(), "bob");
    assert_eq!((stolen.status, &*stolen.code()), (403, "not-owner"));
    // The end frees it.
    assert_eq!(browser.post("/end/c1", &json!({})).status, 200);
    assert_eq!(open(&mut browser, "bob").status, 200);
}

#[test]
fn a_refusal_can_be_read_from_another_origin() {
    let origin = backend();
    let tables = format!(
        r#"{OWNER}{JWT}{}
[channel.web.cors]
origins = ["https://www.example.com"]
credentials = true
"#,
        start("required")
    );
    let gateway = Gateway::start(&channel(&origin, "", &tables));
    let ask = |origin: &str| {
        gateway
            .browser()
            .send(Request::post("/start/c1", &json!({})).header("Origin", origin))
    };
    let refused = ask("https://www.example.com");
    assert_eq!(refused.status, 401);
    assert_eq!(
        refused.header("access-control-allow-origin"),
        Some("https://www.example.com")
    );
    assert_eq!(
        refused.header("access-control-allow-credentials"),
        Some("true")
    );
    assert_eq!(
        ask("https://evil.example").header("access-control-allow-origin"),
        None
    );

    let preflight = |origin: &str| {
        let asks = Request::new("OPTIONS", "/start/c1")
            .header("Origin", origin)
            .header("Access-Control-Request-Method", "POST")
            .header("Access-Control-Request-Headers", "authorization");
        gateway.browser().send(asks)
    };
    let allowed = preflight("https://www.example.com");
    assert_eq!(allowed.status, 204);
    assert_eq!(
        allowed.header("access-control-allow-headers"),
        Some("authorization")
    );
    assert_eq!(preflight("https://evil.example").status, 403);
}

#[test]
fn a_refusal_says_of_a_proof_that_it_is_invalid_only_where_one_came() {
    let origin = backend();
    let tables = format!("{OWNER}{JWT}{}", start("required"));
    let gateway = Gateway::start(&channel(&origin, "", &tables));
    let none = gateway
        .browser()
        .send(Request::post("/start/c1", &json!({})));
    assert_eq!(none.code(), "proof-missing");
    assert_eq!(none.header("www-authenticate"), Some("Bearer"));
    let bad = gateway.browser().send(with_proof("/start/c1", "x.y.z"));
    let said = bad.header("www-authenticate");
    assert_eq!(said, Some("Bearer error=\"invalid_token\""));
}

#[test]
fn a_key_of_several_channels_is_published_once() {
    let origin = backend();
    let assertion = |channel: &str, key: &str| {
        let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys");
        format!(
            "[channel.{channel}.inject.assertion]\nheader = \"X-Customer\"\nissuer = \"us\"\n\
             audience = \"bot\"\nkey = {{ file = \"{keys}/{key}.pem\" }}\n"
        )
    };
    let web = channel(&origin, "", OWNER);
    let of = |name: &str, key: &str| {
        let (_, channel) = web.split_once("[channel.web]").unwrap();
        let channel = format!("[channel.web]{channel}")
            .replace("channel.web", &format!("channel.{name}"))
            .replace("path = \"/", &format!("path = \"/{name}/"));
        channel + &assertion(name, key)
    };
    let (upstream, _) = web.split_once("[channel.web]").unwrap();
    let channels = [("a", "p256-a"), ("b", "ed25519-a"), ("c", "p256-a")];
    let channels = channels.map(|(name, key)| of(name, key)).concat();
    let gateway = Gateway::start(&format!("{upstream}{channels}"));
    let keys = gateway.browser().get("/.chatgate/jwks.json").json();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2, "{keys}");
}
