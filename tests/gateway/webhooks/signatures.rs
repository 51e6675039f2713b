//! Signed legs: what is forged, old or repeated is refused, what leaves is signed.

use std::time::Duration;

use chatgate::channel::Signature;
use chatgate::channel::signature::{Digest, HashScheme, Scheme, TokenScheme};
use chatgate::identity::hmac::Encoding;
use chatgate::login::SecurityKeys;
use chatgate::secret::Secret;
use chatgate::time::Time;
use http::{HeaderMap, HeaderName};
use serde_json::json;

use super::{Chat, hook, protected};
use crate::setup::CANARY;
use crate::support::{KEY, Request, Seen, eventually};

const OLD: &str = "0123456789abcdef0123456789abcdef";
const NEW: &str = "fedcba9876543210fedcba9876543210";

/// A table for every kind.
const TABLES: &str = r#"
[channel.web.signature.token]
kind = "jwt"
secret = ["fedcba9876543210fedcba9876543210", "0123456789abcdef0123456789abcdef"]
claims = { iss = "connection-1" }
[channel.web.signature.once]
kind = "jwt"
secret = "0123456789abcdef0123456789abcdef"
claims = { iss = "connection-1" }
single_use = true
[channel.web.signature.hub]
kind = "hmac"
header = "X-Hub-Signature-256"
prefix = "sha256="
secret = ["fedcba9876543210fedcba9876543210", "0123456789abcdef0123456789abcdef"]
[channel.web.signature.old]
kind = "hmac"
header = "X-Hub-Signature"
prefix = "sha1="
digest = "sha1"
secret = "0123456789abcdef0123456789abcdef"
[channel.web.signature.line]
kind = "hmac"
header = "X-Line-Signature"
encoding = "base64"
secret = "0123456789abcdef0123456789abcdef"
[channel.web.signature.standard]
kind = "standard-webhooks"
key = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
single_use = true
[[channel.web.route]]
kind = "message"
path = "/signed"
interaction = { json = "$.customer_id" }
verify = "hub"
sign = "token"
[[channel.web.route]]
kind = "pass"
path = "/pass"
verify = ["line", "old"]
sign = "hub"
"#;

pub fn token(secret: &str) -> Signature {
    named(Scheme::Jwt(TokenScheme {
        header: http::header::AUTHORIZATION,
        scheme: "Bearer".into(),
        algorithm: jsonwebtoken::Algorithm::HS256,
        secrets: vec![Secret::new(secret)],
        claims: json!({"iss": "connection-1"}).as_object().unwrap().clone(),
        max_age: Duration::from_secs(300),
    }))
}

pub fn hash(
    header: &'static str,
    prefix: &str,
    digest: Digest,
    encoding: Encoding,
    secret: &str,
) -> Signature {
    named(Scheme::Hmac(HashScheme {
        header: HeaderName::from_static(header),
        prefix: prefix.into(),
        encoding,
        digest,
        secrets: vec![Secret::new(secret)],
    }))
}

fn hub(secret: &str) -> Signature {
    hash(
        "x-hub-signature-256",
        "sha256=",
        Digest::Sha256,
        Encoding::Hex,
        secret,
    )
}

/// The hexadecimal HMAC-SHA256 of a message.
pub fn raw(secret: Secret, message: &[u8]) -> String {
    let signature = named(Scheme::Hmac(HashScheme {
        header: HeaderName::from_static("x-raw"),
        prefix: "".into(),
        encoding: Encoding::Hex,
        digest: Digest::Sha256,
        secrets: vec![secret],
    }));
    let mut headers = HeaderMap::new();
    let now = Time::from_secs(0);
    signature.sign(&mut headers, message, "", now).unwrap();
    headers["x-raw"].to_str().unwrap().to_owned()
}

fn standard() -> Signature {
    named(Scheme::StandardWebhooks {
        keys: SecurityKeys::parse([KEY]).unwrap(),
        max_age: Duration::from_secs(300),
    })
}

fn named(scheme: Scheme) -> Signature {
    Signature {
        name: "test".into(),
        scheme,
        single_use: false,
    }
}

pub fn signed(request: Request, signature: &Signature, id: &str, at: Time) -> Request {
    let mut headers = HeaderMap::new();
    signature.sign(&mut headers, &request.body, id, at).unwrap();
    headers.iter().fold(request, |request, (name, value)| {
        request.header(name.as_str(), value.to_str().unwrap())
    })
}

/// Whether what arrived holds a signature.
pub fn holds(seen: &Seen, signature: &Signature, at: Time) -> bool {
    let mut headers = HeaderMap::new();
    for (name, value) in &seen.headers {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, value.parse().unwrap());
    }
    signature.verify(&headers, &seen.body, at).is_ok()
}

#[test]
fn a_webhook_without_a_right_signature_is_refused() {
    let chat = Chat::start("", TABLES, "verify = [\"token\", \"hub\", \"standard\"]\n");
    let now = chat.gateway.clock.now();
    let ago = |secs: u64| Time::from_secs(now.secs() - secs);
    let message = || hook(&json!({"customer_id": "c", "text": ["hi"]}));
    let other = || hook(&json!({"customer_id": "c", "text": ["other"]}));
    let moved = |from: &Request, to: Request| Request {
        body: to.body,
        ..from.clone()
    };
    let hubbed = signed(message(), &hub(OLD), "", now);
    let standing = signed(message(), &standard(), "msg_1", now);
    for (request, code) in [
        (message(), "signature-missing"),
        (
            signed(
                message(),
                &token("another secret of 32 characters."),
                "",
                now,
            ),
            "signature-wrong",
        ),
        (
            signed(message(), &token(OLD), "", ago(300)),
            "signature-stale",
        ),
        (
            message().header("Authorization", "Bearer x"),
            "signature-malformed",
        ),
        (
            message().header("X-Hub-Signature-256", "sha256=00"),
            "signature-wrong",
        ),
        (moved(&hubbed, other()), "signature-wrong"),
        (moved(&standing, other()), "signature-wrong"),
        (
            signed(message(), &standard(), "msg_2", ago(301)),
            "signature-stale",
        ),
        (
            signed(signed(message(), &hub(OLD), "", now), &hub(OLD), "", now),
            "duplicate-header",
        ),
    ] {
        let answer = chat.post(request);
        assert_eq!(answer.code(), code);
        let status = if code == "duplicate-header" { 400 } else { 401 };
        assert_eq!(answer.status, status, "{code}");
    }
    assert_eq!(chat.client.count(), 0);
    for request in [
        hubbed,
        standing.clone(),
        signed(message(), &token(NEW), "", now),
        signed(message(), &token(OLD), "", ago(299)),
        signed(message(), &hub(NEW), "", now),
    ] {
        assert_eq!(chat.post(request).status, 200);
        let seen = chat.client.last();
        for name in [
            "authorization",
            "x-hub-signature-256",
            "webhook-signature",
            "webhook-id",
        ] {
            assert_eq!(
                seen.header(name),
                None,
                "{name} is between the backend and us"
            );
        }
    }
    let answer = chat.post(standing);
    assert_eq!(
        (answer.status, &*answer.code()),
        (401, "signature-replayed")
    );
}

#[test]
fn a_token_that_counts_once_counts_once_for_its_body() {
    let chat = Chat::start("", TABLES, "verify = \"once\"\n");
    let now = chat.gateway.clock.now();
    let message = |text: &str| hook(&json!({"customer_id": "c", "text": [text]}));
    let send = |text: &str| chat.post(signed(message(text), &token(OLD), "", now));
    assert_eq!(send("one").status, 200);
    // Two messages of one second have the same token.
    assert_eq!(send("two").status, 200);
    assert_eq!(send("one").code(), "signature-replayed");
    assert_eq!(chat.client.count(), 2);
}

#[test]
fn every_kind_of_route_verifies_and_signs() {
    let chat = Chat::start("", TABLES, "");
    let now = chat.gateway.clock.now();
    let unsigned = || {
        Request::post(
            "/signed",
            &json!({"customer_id": "c", "customer": "mallory"}),
        )
    };
    assert_eq!(chat.post(unsigned()).code(), "signature-missing");
    assert_eq!(
        chat.post(Request::post("/pass", &json!({}))).code(),
        "signature-missing"
    );
    assert_eq!(chat.api.count(), 0);

    let request = signed(unsigned(), &hub(OLD), "", now).header("Authorization", "Bearer client");
    assert_eq!(chat.post(request).status, 202);
    let seen = chat.api.last();
    assert!(
        holds(&seen, &token(NEW), now),
        "signed anew, by the first key"
    );
    assert_eq!(seen.all("authorization").count(), 1);
    assert_eq!(seen.header("x-hub-signature-256"), None);
    assert!(!seen.contains("mallory"), "the managed member is taken out");

    let line = hash(
        "x-line-signature",
        "",
        Digest::Sha256,
        Encoding::Base64,
        OLD,
    );
    let sha1 = hash("x-hub-signature", "sha1=", Digest::Sha1, Encoding::Hex, OLD);
    for signature in [line, sha1] {
        let body = json!({"a": 1, "customer": "mallory"});
        let request = signed(Request::post("/pass", &body), &signature, "", now)
            .header("X_Hub_Signature_256", "sha256=forged");
        assert_eq!(chat.post(request).status, 202);
        let seen = chat.api.last();
        assert_eq!(seen.json(), json!({"a": 1}));
        assert!(holds(&seen, &hub(NEW), now), "over the bytes that leave");
        assert_eq!(seen.header("x_hub_signature_256"), None);
    }
}

#[test]
fn challenge_and_released_message_leave_signed() {
    let settings = "resume = \"release\"";
    let chat = Chat::start(settings, TABLES, "verify = \"hub\"\nsign = \"standard\"\n");
    let now = chat.gateway.clock.now();
    let request = signed(hook(&protected("c", "one")), &hub(OLD), "", now);
    assert_eq!(chat.post(request.header("X-Own", "1")).status, 200);
    let challenge = chat.client.last();
    assert!(holds(&challenge, &standard(), now));
    let url = super::login_url(&challenge);

    chat.gateway.clock.advance(Duration::from_secs(599));
    let later = chat.gateway.clock.now();
    chat.log_in(&url);
    eventually("it is released", || {
        (chat.client.count() >= 2).then_some(())
    });
    let seen = chat.client.last();
    assert!(seen.contains(CANARY) && seen.header("x-own") == Some("1"));
    assert!(holds(&seen, &standard(), later), "signed when it left");
    assert_eq!(seen.header("x-hub-signature-256"), None);
}
