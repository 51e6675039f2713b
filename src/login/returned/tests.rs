use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use jsonwebtoken::{DecodingKey, EncodingKey};
use serde_json::json;

use super::*;

mod forged;

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const NOW: Time = Time::from_secs(1_614_265_330);
const TOLERANCE: Duration = Duration::from_secs(300);

fn keys() -> SecurityKeys {
    SecurityKeys::parse([KEY]).unwrap()
}

fn token() -> String {
    "A".repeat(43)
}

/// A return that is right in the form of a POST.
fn posted() -> Value {
    json!({
        "token": token(), "channel": "web", "outcome": "success", "subject": "alice",
        "claims": {"email": "alice@example.com", "age": 7}, "level": "verified",
    })
}

/// A return that is right in the form of a browser's.
fn carried() -> Value {
    json!({
        "token": token(), "channel": "web", "outcome": "success", "sub": "alice",
        "claims": {"email": "alice@example.com"}, "level": "verified",
        "iat": NOW.secs(), "exp": NOW.secs() + 120,
    })
}

fn without(mut value: Value, name: &str) -> Value {
    value.as_object_mut().unwrap().remove(name);
    value
}

fn with(mut value: Value, name: &str, member: Value) -> Value {
    value
        .as_object_mut()
        .unwrap()
        .insert(name.to_owned(), member);
    value
}

/// What the sender is told.
fn told(refused: Refused) -> Reason {
    refused.reason
}

fn post_text(query: &str, body: &[u8]) -> Result<Return, Reason> {
    let headers = webhook::sign(&keys(), "msg_1", NOW, body)
        .into_iter()
        .collect();
    from_post(&keys(), "web", query, &headers, body, NOW, TOLERANCE).map_err(told)
}

fn post(body: &Value) -> Result<Return, Reason> {
    post_text("", body.to_string().as_bytes())
}

fn encode(value: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(value)
}

fn jwt_text(keys: &SecurityKeys, header: &str, payload: &str) -> String {
    let message = format!("{}.{}", encode(header), encode(payload));
    let mac = encode(keys.sign(message.as_bytes()));
    format!("{message}.{mac}")
}

fn jwt(payload: &Value) -> String {
    jwt_text(
        &keys(),
        r#"{"alg":"HS256","typ":"JWT"}"#,
        &payload.to_string(),
    )
}

fn browse_with(site: &[PinnedKey], jwt: &str) -> Result<Return, Reason> {
    let query = format!("return={jwt}");
    from_browser(&keys(), site, "web", &query, NOW, TOLERANCE).map_err(told)
}

fn browse(payload: &Value) -> Result<Return, Reason> {
    browse_with(&[], &jwt(payload))
}

/// A site's P-256 key: the private one, and the public one pinned.
fn site(kid: Option<&str>) -> (EncodingKey, PinnedKey, String) {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let private = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
    let public = pair.public_key_pem();
    let pinned = PinnedKey {
        kid: kid.map(Into::into),
        algorithm: Algorithm::ES256,
        key: DecodingKey::from_ec_pem(public.as_bytes()).unwrap(),
    };
    (private, pinned, public)
}

fn site_jwt(key: &EncodingKey, kid: Option<&str>, payload: &Value) -> String {
    let mut header = jsonwebtoken::Header::new(Algorithm::ES256);
    header.kid = kid.map(Into::into);
    jsonwebtoken::encode(&header, payload, key).unwrap()
}

#[test]
fn a_success_says_who_it_is() {
    for got in [post(&posted()), browse(&carried())] {
        let got = got.unwrap();
        assert_eq!(got.outcome, Outcome::Success);
        assert_eq!(got.token.expose(), token());
        assert_eq!(got.subject.as_deref(), Some("alice"));
        assert_eq!(got.level.as_deref(), Some("verified"));
        assert_eq!(got.claims["email"], "alice@example.com");
        assert!(!format!("{got:?}").contains("alice"));
    }
}

#[test]
fn a_failure_and_a_cancel_need_no_subject() {
    for (text, outcome) in [("failure", Outcome::Failure), ("cancel", Outcome::Cancel)] {
        let of = |value, subject| {
            let value = with(value, "outcome", text.into());
            ["claims", "level", subject]
                .into_iter()
                .fold(value, without)
        };
        for got in [
            post(&of(posted(), "subject")),
            browse(&of(carried(), "sub")),
        ] {
            let got = got.unwrap();
            assert_eq!((got.outcome, got.subject, got.level), (outcome, None, None));
            assert!(got.claims.is_empty());
        }
    }
}

#[test]
fn every_member_is_there_and_of_its_type() {
    for name in ["token", "channel", "outcome", "subject"] {
        assert_eq!(
            post(&without(posted(), name)).unwrap_err(),
            Reason::ReturnMalformed,
            "{name}"
        );
    }
    for name in ["token", "channel", "outcome", "sub", "iat", "exp"] {
        assert_eq!(
            browse(&without(carried(), name)).unwrap_err(),
            Reason::ReturnMalformed,
            "{name}"
        );
    }
    let odd = [
        json!(null),
        json!(true),
        json!(1),
        json!([]),
        json!(["a"]),
        json!({"a": 1}),
        json!(""),
        json!("a\nb"),
        json!("a\u{0}"),
        json!("x".repeat(1025)),
    ];
    for value in &odd {
        for name in ["token", "channel", "outcome", "subject", "level"] {
            let got = post(&with(posted(), name, value.clone()));
            assert_eq!(got.unwrap_err(), Reason::ReturnMalformed, "{name} {value}");
        }
        for name in ["sub", "level"] {
            let got = browse(&with(carried(), name, value.clone()));
            assert_eq!(got.unwrap_err(), Reason::ReturnMalformed, "{name} {value}");
        }
        if !value.is_object() {
            let got = post(&with(posted(), "claims", value.clone()));
            assert_eq!(got.unwrap_err(), Reason::ReturnMalformed, "claims {value}");
        }
    }
    let got = post(&with(posted(), "outcome", "Success".into()));
    assert_eq!(got.unwrap_err(), Reason::ReturnMalformed);
}

#[test]
fn unknown_members_are_refused() {
    // The other form's names too: one spelling each.
    for name in ["Token", "extra", "sub", "exp"] {
        let got = post(&with(posted(), name, "x".into()));
        assert_eq!(got.unwrap_err(), Reason::ReturnMalformed, "{name}");
    }
    for name in ["subject", "aud", "nbf"] {
        let got = browse(&with(carried(), name, "x".into()));
        assert_eq!(got.unwrap_err(), Reason::ReturnMalformed, "{name}");
    }
}

#[test]
fn the_log_is_told_what_cannot_be_read() {
    let body = with(posted(), &"x".repeat(100), "x".into()).to_string();
    let headers = webhook::sign(&keys(), "msg_1", NOW, body.as_bytes())
        .into_iter()
        .collect();
    let got = from_post(
        &keys(),
        "web",
        "",
        &headers,
        body.as_bytes(),
        NOW,
        TOLERANCE,
    );
    let problem = got.unwrap_err().problem.unwrap();
    assert_eq!(problem.what, "unknown member");
    assert_eq!(*problem.name, "x".repeat(64));
    let got = from_browser(&keys(), &[], "web", "return=abc", NOW, TOLERANCE);
    let problem = got.unwrap_err().problem.unwrap();
    assert_eq!((problem.what, &*problem.name), ("not a JWT", RETURN));
}

#[test]
fn duplicate_members_are_refused_at_any_depth() {
    let text = posted().to_string();
    for (from, to) in [
        (r#"{"token""#, r#"{"subject":"mallory","token""#),
        (r#"{"token""#, r#"{"subject":"alice","token""#),
        (r#"{"token""#, r#"{"\u0073ubject":"mallory","token""#),
        (r#""age":7"#, r#""age":7,"age":8"#),
        (r#""age":7"#, r#""age":{"a":[{"b":1,"b":2}]}"#),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text);
        let got = post_text("", changed.as_bytes());
        assert_eq!(got.unwrap_err(), Reason::ReturnDuplicate, "{changed}");
    }
    let payload = carried()
        .to_string()
        .replacen('{', r#"{"sub":"mallory","#, 1);
    let twice = jwt_text(&keys(), r#"{"alg":"HS256"}"#, &payload);
    assert_eq!(
        browse_with(&[], &twice).unwrap_err(),
        Reason::ReturnDuplicate
    );
    let header = r#"{"alg":"HS256","alg":"none"}"#;
    let twice = jwt_text(&keys(), header, &carried().to_string());
    assert_eq!(
        browse_with(&[], &twice).unwrap_err(),
        Reason::ReturnDuplicate
    );
}

#[test]
fn what_is_no_object_is_refused() {
    for body in ["", "null", "[]", "7", "{", "{}x", "\"a\"", "{\"a\":}"] {
        let got = post_text("", body.as_bytes());
        assert_eq!(got.unwrap_err(), Reason::ReturnMalformed, "{body}");
    }
    assert_eq!(post_text("", b"\xff").unwrap_err(), Reason::ReturnMalformed);
    let deep = with(posted(), "claims", json!({"a": "["})).to_string();
    let deep = deep.replace(
        "\"[\"",
        &format!("{}{}", "[".repeat(4000), "]".repeat(4000)),
    );
    assert_eq!(
        post_text("", deep.as_bytes()).unwrap_err(),
        Reason::ReturnMalformed
    );
    let long = with(posted(), "claims", json!({"a": "x".repeat(MAX_LEN)}));
    assert_eq!(post(&long).unwrap_err(), Reason::ReturnMalformed);
    let long = with(carried(), "claims", json!({"a": "x".repeat(MAX_LEN)}));
    assert_eq!(browse(&long).unwrap_err(), Reason::ReturnMalformed);
}

#[test]
fn another_channel_is_refused() {
    for got in [
        post(&with(posted(), "channel", "app".into())),
        browse(&with(carried(), "channel", "app".into())),
    ] {
        assert_eq!(got.unwrap_err(), Reason::ReturnChannel);
    }
}

#[test]
fn a_text_that_is_no_token_of_ours_is_unknown() {
    for text in [
        "x".to_owned(),
        "A".repeat(44),
        format!("{}B", "A".repeat(42)),
    ] {
        let got = post(&with(posted(), "token", text.into()));
        assert_eq!(got.unwrap_err(), Reason::TokenUnknown);
    }
}

#[test]
fn the_token_of_the_url_has_to_be_the_same() {
    let body = posted().to_string();
    let same = format!("token={}", token());
    let other = format!("token={}E", "A".repeat(42));
    let carried = format!("return={}", jwt(&carried()));
    let get = |query: &str| from_browser(&keys(), &[], "web", query, NOW, TOLERANCE).map_err(told);

    assert!(post_text(&same, body.as_bytes()).is_ok());
    assert!(get(&format!("{same}&{carried}")).is_ok());
    assert!(get(&format!("{carried}&{same}")).is_ok());
    for other in [other.as_str(), "token=", "token", "token=x"] {
        let got = post_text(other, body.as_bytes());
        assert_eq!(got.unwrap_err(), Reason::ReturnMalformed);
        let got = get(&format!("{other}&{carried}"));
        assert_eq!(got.unwrap_err(), Reason::ReturnMalformed);
    }
}

#[test]
fn other_parameters_and_double_ones_are_refused() {
    let body = posted().to_string();
    let same = format!("token={}", token());
    let carried = format!("return={}", jwt(&carried()));
    for (query, reason) in [
        (format!("{same}&{same}"), Reason::ReturnDuplicate),
        (format!("{same}&next=/"), Reason::ReturnMalformed),
        (format!("{same}&"), Reason::ReturnMalformed),
        (format!("Token={}", token()), Reason::ReturnMalformed),
        (format!("%74oken={}", token()), Reason::ReturnMalformed),
        (carried.clone(), Reason::ReturnMalformed),
    ] {
        let got = post_text(&query, body.as_bytes());
        assert_eq!(got.unwrap_err(), reason, "{query}");
    }
    for (query, reason) in [
        (format!("{carried}&{carried}"), Reason::ReturnDuplicate),
        (format!("{carried}&{same}&{same}"), Reason::ReturnDuplicate),
        (format!("{carried}&next=/"), Reason::ReturnMalformed),
        (format!("{carried}&"), Reason::ReturnMalformed),
        (same, Reason::ReturnMalformed),
        (String::new(), Reason::ReturnMalformed),
        (
            format!("{carried}&x={}", "x".repeat(MAX_LEN)),
            Reason::ReturnMalformed,
        ),
    ] {
        let got = from_browser(&keys(), &[], "web", &query, NOW, TOLERANCE);
        assert_eq!(got.unwrap_err().reason, reason, "{query}");
    }
}

#[test]
fn a_key_that_retires_still_counts_and_a_foreign_one_does_not() {
    let body = posted().to_string();
    let headers = webhook::sign(&keys(), "msg_1", NOW, body.as_bytes())
        .into_iter()
        .collect();
    let post = |keys: &[&str]| {
        let keys = SecurityKeys::parse(keys.iter().copied()).unwrap();
        from_post(&keys, "web", "", &headers, body.as_bytes(), NOW, TOLERANCE)
    };
    let query = format!("return={}", jwt(&carried()));
    let browse = |keys: &[&str]| {
        let keys = SecurityKeys::parse(keys.iter().copied()).unwrap();
        from_browser(&keys, &[], "web", &query, NOW, TOLERANCE)
    };
    assert!(post(&[OTHER, KEY]).is_ok() && browse(&[OTHER, KEY]).is_ok());
    assert_eq!(post(&[OTHER]).unwrap_err(), Reason::ReturnSignature.into());
    assert_eq!(
        browse(&[OTHER]).unwrap_err(),
        Reason::ReturnSignature.into()
    );
}

#[test]
fn a_post_is_signed() {
    let body = posted().to_string();
    let got = from_post(
        &keys(),
        "web",
        "",
        &HeaderMap::new(),
        body.as_bytes(),
        NOW,
        TOLERANCE,
    );
    assert_eq!(got.unwrap_err(), malformed("missing header", "webhook-id"));
}

#[test]
fn the_sites_own_key_signs_a_browsers_return() {
    let (private, pinned, _) = site(Some("2026"));
    let (_, stranger, _) = site(None);
    let jwt = |kid| site_jwt(&private, kid, &carried());
    let site = [stranger, pinned];

    assert!(browse_with(&site, &jwt(Some("2026"))).is_ok());
    assert!(browse_with(&site, &jwt(None)).is_ok());
    for (site, kid) in [
        (&site[..], Some("2025")),
        (&site[..1], Some("2026")),
        (&[], None),
    ] {
        let got = browse_with(site, &jwt(kid));
        assert_eq!(got.unwrap_err(), Reason::ReturnSignature);
    }
}

#[test]
fn an_algorithm_is_the_keys_and_never_the_tokens() {
    let (private, pinned, public) = site(None);
    let payload = carried().to_string();
    // The public key's text as an HMAC secret.
    let hmac = jsonwebtoken::encode(
        &jsonwebtoken::Header::new(Algorithm::HS256),
        &carried(),
        &EncodingKey::from_secret(public.as_bytes()),
    );
    let wrong_way = SecurityKeys::parse([OTHER]).unwrap();
    let good = jwt(&carried());
    let (message, mac) = good.rsplit_once('.').unwrap();
    let relabelled = |alg: &str| {
        jwt_text(
            &keys(),
            &format!(r#"{{"alg":"{alg}","typ":"JWT"}}"#),
            &payload,
        )
    };
    for forged in [
        hmac.unwrap(),
        jwt_text(&wrong_way, r#"{"alg":"HS256"}"#, &payload),
        relabelled("none"),
        relabelled("None"),
        relabelled("HS384"),
        relabelled("hs256"),
        relabelled("ES256"),
        relabelled("RS256"),
        relabelled("EdDSA"),
        format!("{message}."),
        format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(&payload)),
        format!("{}.{}.{mac}", encode(r#"{"alg":"none"}"#), encode(&payload)),
        format!("{message}.{}", encode(&mac[..20])),
    ] {
        let got = browse_with(std::slice::from_ref(&pinned), &forged);
        assert_eq!(got.unwrap_err(), Reason::ReturnSignature, "{forged}");
    }
    // Signed as the key is pinned, but under another name.
    let message = format!("{}.{}", encode(r#"{"alg":"EdDSA"}"#), encode(&payload));
    let signature = crypto::sign(message.as_bytes(), &private, Algorithm::ES256).unwrap();
    let got = browse_with(
        std::slice::from_ref(&pinned),
        &format!("{message}.{signature}"),
    );
    assert_eq!(got.unwrap_err(), Reason::ReturnSignature);
    // The same key pinned to another algorithm.
    let pinned = PinnedKey {
        algorithm: Algorithm::ES384,
        ..pinned
    };
    let got = browse_with(&[pinned], &site_jwt(&private, None, &carried()));
    assert_eq!(got.unwrap_err(), Reason::ReturnSignature);
}

#[test]
fn what_is_no_jwt_is_malformed() {
    let good = jwt(&carried());
    let payload = encode(carried().to_string());
    let header = |text: &str| jwt_text(&keys(), text, &carried().to_string());
    for text in [
        String::new(),
        "a".into(),
        "a.b".into(),
        format!("{good}.{payload}"),
        format!("{good}="),
        format!("{good}%20"),
        format!("{good}+"),
        header("null"),
        header("{}"),
        header(r#"{"alg":1}"#),
        header(r#"{"alg":"HS256","crit":["b64"],"b64":false}"#),
        jwt_text(&keys(), r#"{"alg":"HS256"}"#, "[]"),
    ] {
        let got = browse_with(&[], &text);
        assert_eq!(got.unwrap_err(), Reason::ReturnMalformed, "{text}");
    }
}

#[test]
fn a_browsers_return_lives_shortly() {
    let now = NOW.secs();
    let timed =
        |iat: Value, exp: Value| browse(&with(with(carried(), "iat", iat), "exp", exp)).map(|_| ());
    let (stale, malformed) = (Err(Reason::ReturnStale), Err(Reason::ReturnMalformed));

    assert_eq!(timed(now.into(), (now + 300).into()), Ok(()));
    assert_eq!(timed((now - 299).into(), (now + 1).into()), Ok(()));
    assert_eq!(timed((now + 300).into(), (now + 301).into()), Ok(()));
    assert_eq!(timed((now - 60).into(), now.into()), stale);
    assert_eq!(timed((now + 301).into(), (now + 302).into()), stale);
    assert_eq!(timed(now.into(), (now + 301).into()), malformed);
    assert_eq!(timed((now + 9).into(), (now + 8).into()), malformed);
    assert_eq!(timed(now.into(), u64::MAX.into()), malformed);
    assert!(timed(u64::MAX.into(), u64::MAX.into()).is_err());
    for odd in [
        json!((now + 60).to_string()),
        json!(now as f64 + 60.5),
        json!(-1),
        json!(1e300),
        json!(null),
        json!(true),
        json!([now + 60]),
    ] {
        assert_eq!(timed(now.into(), odd.clone()), malformed, "{odd}");
        assert_eq!(timed(odd.clone(), (now + 60).into()), malformed, "{odd}");
    }
}
