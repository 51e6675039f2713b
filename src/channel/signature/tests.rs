use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::json;

use super::*;

const NOW: Time = Time::from_secs(1_614_265_330);
const OLD: &[u8; 32] = &[1; 32];
const NEW: &[u8; 32] = &[2; 32];
const BODY: &[u8] = br#"{"type":"text","text":["hello"]}"#;

fn signature(scheme: Scheme) -> Signature {
    Signature {
        name: "s".into(),
        scheme,
        single_use: false,
    }
}

fn token(secrets: &[&[u8]]) -> Signature {
    signature(Scheme::Jwt(TokenScheme {
        header: http::header::AUTHORIZATION,
        scheme: "Bearer".into(),
        algorithm: Algorithm::HS256,
        secrets: secrets.iter().map(|secret| Secret::new(*secret)).collect(),
        claims: json!({"iss": "connection-1"}).as_object().unwrap().clone(),
        max_age: Duration::from_secs(300),
    }))
}

fn hash(digest: Digest, encoding: Encoding, prefix: &str, secrets: &[&[u8]]) -> Signature {
    signature(Scheme::Hmac(HashScheme {
        header: HeaderName::from_static("x-signature"),
        prefix: prefix.into(),
        encoding,
        digest,
        secrets: secrets.iter().map(|secret| Secret::new(*secret)).collect(),
    }))
}

fn webhooks() -> Signature {
    let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    signature(Scheme::StandardWebhooks {
        keys: SecurityKeys::parse([key]).unwrap(),
        max_age: Duration::from_secs(300),
    })
}

fn signed(signature: &Signature) -> HeaderMap {
    let mut headers = HeaderMap::new();
    signature.sign(&mut headers, BODY, "msg_1", NOW).unwrap();
    headers
}

fn with(header: &str, value: &str) -> HeaderMap {
    let name = HeaderName::try_from(header).unwrap();
    let value = HeaderValue::try_from(value).unwrap();
    [(name, value)].into_iter().collect()
}

fn reason(signature: &Signature, headers: &HeaderMap, body: &[u8], now: Time) -> &'static str {
    match signature.verify(headers, body, now) {
        Ok(_) => "holds",
        Err(reason) => reason.code(),
    }
}

fn bearer(header: serde_json::Value, claims: serde_json::Value, secret: &[u8]) -> HeaderMap {
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let mac = Digest::Sha256.of(&Secret::new(secret), message.as_bytes());
    let mac = URL_SAFE_NO_PAD.encode(mac);
    with("authorization", &format!("Bearer {message}.{mac}"))
}

/// RFC 4231, test cases 1, 2 and 4.
#[test]
fn the_vectors_of_rfc_4231() {
    let key: Vec<u8> = (1..=25).collect();
    for (key, data, sha256, sha512) in [
        (
            &[0x0b; 20][..],
            &b"Hi There"[..],
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde\
             daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
        ),
        (
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554\
             9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ),
        (
            &key,
            &[0xcd; 50],
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
            "b0ba465637458c6990e5a8c5f61d4af7e576d97ff94b872de76f8050361ee3db\
             a91ca5c11aa25eb4d679275cc5788063a5f19741120c4f2de2adebeb10a298dd",
        ),
    ] {
        for (digest, expected) in [(Digest::Sha256, sha256), (Digest::Sha512, sha512)] {
            let signature = hash(digest, Encoding::Hex, "", &[key]);
            let headers = with("x-signature", expected);
            assert_eq!(reason(&signature, &headers, data, NOW), "holds");
            let mut made = HeaderMap::new();
            signature.sign(&mut made, data, "", NOW).unwrap();
            assert_eq!(made, headers);
        }
    }
}

/// RFC 2202, test cases 1 and 2 for SHA-1.
#[test]
fn the_vectors_of_rfc_2202() {
    for (key, data, expected) in [
        (
            &[0x0b; 20][..],
            &b"Hi There"[..],
            "b617318655057264e28bc0b6fb378c8ef146be00",
        ),
        (
            b"Jefe",
            b"what do ya want for nothing?",
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
        ),
    ] {
        let hex = hash(Digest::Sha1, Encoding::Hex, "sha1=", &[key]);
        let headers = with("x-signature", &format!("sha1={expected}"));
        assert_eq!(reason(&hex, &headers, data, NOW), "holds");
        let mut made = HeaderMap::new();
        hex.sign(&mut made, data, "", NOW).unwrap();
        assert_eq!(made, headers);
        // The same bytes as base64.
        let base64 = hash(Digest::Sha1, Encoding::Base64, "", &[key]);
        let text = Encoding::Base64.encode(&hex::decode(expected).unwrap());
        let headers = with("x-signature", &text);
        assert_eq!(reason(&base64, &headers, data, NOW), "holds");
        assert_eq!(reason(&base64, &headers, b"other", NOW), "signature-wrong");
        let other = hash(Digest::Sha256, Encoding::Base64, "", &[key]);
        assert_eq!(reason(&other, &headers, data, NOW), "signature-wrong");
    }
}

/// The vector of the Standard Webhooks specification.
#[test]
fn the_vector_of_standard_webhooks() {
    let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    let body = br#"{"test": 2432232314}"#;
    let mut headers = HeaderMap::new();
    webhooks().sign(&mut headers, body, id, NOW).unwrap();
    assert_eq!(headers["webhook-id"], id);
    assert_eq!(
        headers["webhook-signature"],
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    );
    assert_eq!(reason(&webhooks(), &headers, body, NOW), "holds");
    assert_eq!(reason(&webhooks(), &headers, b"x", NOW), "signature-wrong");
    let later = NOW + Duration::from_secs(301);
    assert_eq!(
        reason(&webhooks(), &headers, body, later),
        "signature-stale"
    );
    headers.remove("webhook-id");
    assert_eq!(
        reason(&webhooks(), &headers, body, NOW),
        "signature-missing"
    );
}

#[test]
fn what_one_signs_the_other_takes() {
    for signature in [
        token(&[OLD]),
        hash(Digest::Sha256, Encoding::Hex, "sha256=", &[OLD]),
        hash(Digest::Sha512, Encoding::Base64, "", &[OLD]),
        webhooks(),
    ] {
        let headers = signed(&signature);
        assert_eq!(reason(&signature, &headers, BODY, NOW), "holds");
        let empty = HeaderMap::new();
        assert_eq!(reason(&signature, &empty, BODY, NOW), "signature-missing");
        let mut twice = headers.clone();
        twice.extend(
            headers
                .clone()
                .into_iter()
                .map(|(name, value)| (name.unwrap(), value))
                .collect::<Vec<_>>(),
        );
        let mut doubled = headers.clone();
        for (name, value) in &headers {
            doubled.append(name.clone(), value.clone());
        }
        assert_eq!(reason(&signature, &doubled, BODY, NOW), "duplicate-header");
        assert!(
            headers
                .keys()
                .all(|name| signature.headers().contains(&name.as_str()))
        );
    }
}

#[test]
fn two_keys_are_live_at_once() {
    type Make = fn(&[&[u8]]) -> Signature;
    let hash: Make = |keys| hash(Digest::Sha256, Encoding::Hex, "", keys);
    for make in [token, hash] {
        let (before, during, after) = (make(&[OLD]), make(&[NEW, OLD]), make(&[NEW]));
        assert_eq!(reason(&during, &signed(&before), BODY, NOW), "holds");
        assert_eq!(reason(&after, &signed(&during), BODY, NOW), "holds");
        assert_eq!(
            reason(&after, &signed(&before), BODY, NOW),
            "signature-wrong"
        );
    }
}

#[test]
fn a_hash_covers_the_body_and_has_its_prefix() {
    let github = hash(Digest::Sha256, Encoding::Hex, "sha256=", &[OLD]);
    let headers = signed(&github);
    assert_eq!(reason(&github, &headers, b"{}", NOW), "signature-wrong");
    let text = headers["x-signature"].to_str().unwrap().to_owned();
    for (value, expected) in [
        (text.to_uppercase(), "signature-malformed"),
        (text.replace("sha256=", ""), "signature-malformed"),
        (text.replace("sha256=", "sha1="), "signature-malformed"),
        (text.replace("sha256=", "sha256=="), "signature-malformed"),
        (format!("sha256={}", text[7..].to_uppercase()), "holds"),
        ("sha256=".into(), "signature-malformed"),
        (text[..text.len() - 2].to_owned(), "signature-wrong"),
        (format!("{text}00"), "signature-wrong"),
    ] {
        let headers = with("x-signature", &value);
        assert_eq!(reason(&github, &headers, BODY, NOW), expected, "{value}");
    }
    let empty = hash(Digest::Sha256, Encoding::Hex, "", &[b""]);
    assert_eq!(
        reason(&empty, &signed(&empty), BODY, NOW),
        "signature-wrong"
    );
}

#[test]
fn a_token_counts_for_its_time() {
    let token = token(&[OLD]);
    let headers = signed(&token);
    for (secs, expected) in [(0, "holds"), (299, "holds"), (300, "signature-stale")] {
        let now = NOW + Duration::from_secs(secs);
        assert_eq!(reason(&token, &headers, BODY, now), expected, "{secs}");
    }
    // From a clock that is ahead of ours.
    for (behind, expected) in [(30, "holds"), (31, "signature-stale")] {
        let now = Time::from_secs(NOW.secs() - behind);
        assert_eq!(reason(&token, &headers, BODY, now), expected, "{behind}");
    }
}

#[test]
fn a_token_says_what_it_has_to_say() {
    let now = NOW.secs();
    let header = || json!({"alg": "HS256", "typ": "JWT"});
    for (claims, expected) in [
        (json!({"iss": "connection-1", "iat": now}), "holds"),
        (json!({"iss": "connection-1", "iat": now, "x": 1}), "holds"),
        (
            json!({"iss": "connection-2", "iat": now}),
            "signature-claim",
        ),
        (
            json!({"iss": ["connection-1"], "iat": now}),
            "signature-claim",
        ),
        (json!({"iat": now}), "signature-claim"),
        (json!({"iss": "connection-1"}), "signature-claim"),
        (
            json!({"iss": "connection-1", "iat": now.to_string()}),
            "signature-claim",
        ),
        (
            json!({"iss": "connection-1", "iat": now as f64}),
            "signature-claim",
        ),
        (
            json!({"iss": "connection-1", "iat": u64::MAX}),
            "signature-claim",
        ),
        (json!({"iss": "connection-1", "iat": -1}), "signature-claim"),
        (
            json!({"iss": "connection-1", "iat": null}),
            "signature-claim",
        ),
        (
            json!({"iss": "connection-1", "iat": now, "aud": "x"}),
            "signature-claim",
        ),
        (
            json!({"iss": "connection-1", "iat": now, "exp": now}),
            "signature-stale",
        ),
        (
            json!({"iss": "connection-1", "iat": now, "exp": now + 1}),
            "holds",
        ),
        (
            json!({"iss": "connection-1", "iat": now, "exp": "x"}),
            "signature-claim",
        ),
        (
            json!({"iss": "connection-1", "iat": now, "nbf": now + 99}),
            "signature-stale",
        ),
        (
            json!({"iss": "connection-1", "iat": now, "exp": 99_999_999_999u64}),
            "holds",
        ),
    ] {
        let headers = bearer(header(), claims.clone(), OLD);
        assert_eq!(
            reason(&token(&[OLD]), &headers, BODY, NOW),
            expected,
            "{claims}"
        );
    }
    // A huge `exp` does not prolong it.
    let headers = bearer(
        header(),
        json!({"iss": "connection-1", "iat": now, "exp": 99_999_999_999u64}),
        OLD,
    );
    let later = NOW + Duration::from_secs(300);
    assert_eq!(
        reason(&token(&[OLD]), &headers, BODY, later),
        "signature-stale"
    );
}

#[test]
fn a_token_is_of_its_algorithm_and_scheme() {
    let claims = || json!({"iss": "connection-1", "iat": NOW.secs()});
    for (alg, expected) in [
        ("none", "signature-wrong"),
        ("HS512", "signature-wrong"),
        ("RS256", "signature-wrong"),
    ] {
        let headers = bearer(json!({"alg": alg}), claims(), OLD);
        assert_eq!(
            reason(&token(&[OLD]), &headers, BODY, NOW),
            expected,
            "{alg}"
        );
    }
    let right = bearer(json!({"alg": "HS256"}), claims(), OLD);
    let text = right["authorization"].to_str().unwrap();
    for (value, expected) in [
        (text.replace("Bearer", "bearer"), "holds"),
        (text.replace("Bearer ", ""), "signature-malformed"),
        (text.replace("Bearer", "Basic"), "signature-malformed"),
        ("Bearer".into(), "signature-malformed"),
        ("Bearer a.b".into(), "signature-malformed"),
    ] {
        let headers = with("authorization", &value);
        assert_eq!(
            reason(&token(&[OLD]), &headers, BODY, NOW),
            expected,
            "{value}"
        );
    }
}

#[test]
fn what_makes_it_the_same_one() {
    let now = NOW.secs();
    let verify = |signature: &Signature, headers: &HeaderMap, body: &[u8]| {
        signature.verify(headers, body, NOW).unwrap()
    };
    // Two messages of one second have the same token, but not the same body.
    let plain = signed(&token(&[OLD]));
    let one = verify(&token(&[OLD]), &plain, b"one");
    assert_eq!(one, verify(&token(&[OLD]), &plain, b"one"));
    assert_ne!(one.id, verify(&token(&[OLD]), &plain, b"two").id);
    // One that has a name of its own is the same with any body.
    let named = json!({"iss": "connection-1", "iat": now, "jti": "7"});
    let named = bearer(json!({"alg": "HS256"}), named, OLD);
    let one = verify(&token(&[OLD]), &named, b"one");
    assert_eq!(one, verify(&token(&[OLD]), &named, b"two"));
    assert_eq!(one.until, Some(NOW + Duration::from_secs(300)));
    // A hash is the same however it is written.
    let hash = hash(Digest::Sha256, Encoding::Hex, "", &[OLD]);
    let lower = signed(&hash);
    let upper = with(
        "x-signature",
        &lower["x-signature"].to_str().unwrap().to_uppercase(),
    );
    assert_eq!(verify(&hash, &lower, BODY), verify(&hash, &upper, BODY));
}

#[test]
fn one_of_several_is_enough() {
    let one = Arc::new(hash(Digest::Sha256, Encoding::Hex, "", &[OLD]));
    let two = Arc::new(token(&[OLD]));
    let both = Signatures::new(vec![one.clone(), two.clone()], Some(Arc::new(webhooks())));
    for (headers, expected) in [
        (signed(&one), Ok(Some("x-signature"))),
        (signed(&two), Ok(Some("authorization"))),
        (HeaderMap::new(), Err(Reason::SignatureMissing)),
        (
            with("authorization", "Bearer x"),
            Err(Reason::SignatureMalformed),
        ),
    ] {
        let verdict = both.check(&headers, BODY, NOW);
        let verdict = verdict.map(|held| held.map(|(signature, _)| signature.headers()[0]));
        assert_eq!(verdict, expected);
    }
    for name in [
        "X_Signature",
        "authorization",
        "webhook-id",
        "Webhook.Signature",
    ] {
        assert!(both.headers.covers(name), "{name}");
    }
    let none = Signatures::default();
    assert!(none.check(&HeaderMap::new(), BODY, NOW).unwrap().is_none());
    assert!(!none.need_body() && both.need_body());
}

#[test]
fn prints_no_secret() {
    for signature in [
        token(&[b"canary"]),
        hash(Digest::Sha1, Encoding::Hex, "", &[b"canary"]),
        webhooks(),
    ] {
        let shown = format!("{signature:?}");
        assert!(
            !shown.contains("canary") && !shown.contains("MfKQ"),
            "{shown}"
        );
        assert!(
            signature.headers().len() == 3 || {
                let headers = signed(&signature);
                headers.values().all(HeaderValue::is_sensitive)
            }
        );
    }
}

proptest! {
    #[test]
    fn a_changed_message_is_refused(which in 0..3usize, at: prop::sample::Index, byte in 0x21..0x7fu8) {
        let signature = [
            token(&[OLD]),
            hash(Digest::Sha1, Encoding::Hex, "sha1=", &[OLD]),
            hash(Digest::Sha256, Encoding::Base64, "", &[OLD]),
        ];
        let signature = &signature[which];
        let mut headers = signed(signature);
        let name = headers.keys().next().unwrap().clone();
        let mut text = headers[&name].as_bytes().to_vec();
        let at = at.index(text.len());
        prop_assume!(!text[at].eq_ignore_ascii_case(&byte));
        let before = std::mem::replace(&mut text[at], byte);
        headers.insert(name, HeaderValue::from_bytes(&text).unwrap());
        let verdict = signature.verify(&headers, BODY, NOW);
        // Base64 has characters of which only some bits count, and two alphabets.
        let other_alphabet = matches!((before, byte), (b'+', b'-') | (b'/', b'_'));
        let bits = which == 2 && (at >= text.len() - 2 || other_alphabet);
        prop_assert!(verdict.is_err() || bits);
    }
}
