use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::interaction::Level;

const NOW: Time = Time::from_secs(1_700_000_000);
const P256: &[u8] = include_bytes!("../../../tests/keys/p256-a.pem");
const ED25519: &[u8] = include_bytes!("../../../tests/keys/ed25519-a.pem");

fn assertion(pem: &[u8]) -> Assertion {
    let header = HeaderName::from_static("x-customer-assertion");
    let ttl = Duration::from_secs(60);
    Assertion::from_pem(pem, header, "https://chat", "bot", ttl).unwrap()
}

fn identity() -> Identity {
    let claims = json!({ "sub": "mallory", "iss": "x", "email": "a@example.com" });
    Identity::new("alice", Level(2), claims.as_object().unwrap())
}

fn sign(by: &Assertion) -> String {
    by.sign(&identity(), "verified", "web", "chat-1", NOW)
        .unwrap()
}

fn keys(of: &Assertion) -> KeySet {
    let document = Assertion::jwks([of]).to_string();
    KeySet::parse(document.as_bytes(), &[Algorithm::ES256, Algorithm::EdDSA]).unwrap()
}

#[test]
fn the_backend_can_check_it() {
    for pem in [P256, ED25519] {
        let ours = assertion(pem);
        let token = sign(&ours);
        let check = |issuer, audience, chat, now| {
            Assertion::check(&token, &keys(&ours), issuer, audience, chat, now)
        };
        let claims = check("https://chat", "bot", "chat-1", NOW).unwrap();
        let expected = json!({
            "iss": "https://chat",
            "aud": "bot",
            "sub": "alice",
            "iat": NOW.secs(),
            "exp": NOW.secs() + 60,
            "jti": claims["jti"],
            "channel": "web",
            "interaction": "chat-1",
            "level": "verified",
            "claims": { "sub": "mallory", "iss": "x", "email": "a@example.com" },
        });
        assert_eq!(serde_json::Value::Object(claims), expected);
        for (issuer, audience, chat, secs, reason) in [
            ("https://other", "bot", "chat-1", 0, Reason::ProofIssuer),
            ("https://chat", "other", "chat-1", 0, Reason::ProofAudience),
            ("https://chat", "bot", "chat-2", 0, Reason::ProofClaim),
            ("https://chat", "bot", "chat-1", 60, Reason::ProofExpired),
        ] {
            let now = NOW + Duration::from_secs(secs);
            assert_eq!(check(issuer, audience, chat, now), Err(reason));
        }
    }
}

#[test]
fn anothers_keys_do_not_check_it() {
    let token = sign(&assertion(P256));
    let p256_b = include_bytes!("../../../tests/keys/p256-b.pem");
    for other in [assertion(ED25519), assertion(p256_b)] {
        let verdict = Assertion::check(&token, &keys(&other), "https://chat", "bot", "chat-1", NOW);
        assert_eq!(verdict, Err(Reason::ProofUnknownKey));
    }
    // Nor does the right key for a token that names none.
    let claims = json!({ "iss": "https://chat", "aud": "bot", "sub": "alice",
        "exp": NOW.secs() + 60, "interaction": "chat-1" });
    let ours = assertion(P256);
    let nameless = jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &ours.key);
    let nameless = nameless.unwrap();
    let verdict = Assertion::check(
        &nameless,
        &keys(&ours),
        "https://chat",
        "bot",
        "chat-1",
        NOW,
    );
    assert_eq!(verdict, Err(Reason::ProofUnknownKey));
}

#[test]
fn each_is_another_one() {
    for pem in [P256, ED25519] {
        assert_ne!(sign(&assertion(pem)), sign(&assertion(pem)));
    }
}

#[test]
fn it_lasts_a_second_at_least() {
    let mut brief = assertion(ED25519);
    brief.ttl = Duration::from_millis(1);
    let check = |now| {
        let keys = keys(&brief);
        Assertion::check(&sign(&brief), &keys, "https://chat", "bot", "chat-1", now)
    };
    assert!(check(NOW).is_ok());
    assert!(check(NOW + Duration::from_secs(1)).is_err());
}

/// RFC 8037, appendix A: the key, its public half and its thumbprint.
#[test]
fn rfc_8037_key() {
    let mut der = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
    let private = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
    der.extend(URL_SAFE_NO_PAD.decode(private).unwrap());
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(der)
    );
    let ours = assertion(pem.as_bytes());
    let kid = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
    assert_eq!(&*ours.kid, kid);
    let jwk = json!({
        "kty": "OKP",
        "crv": "Ed25519",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "alg": "EdDSA",
        "use": "sig",
        "kid": kid,
    });
    assert_eq!(ours.jwk, jwk);
}

#[test]
fn the_public_document_has_nothing_private_and_no_key_twice() {
    let (a, b) = (assertion(P256), assertion(ED25519));
    let document = Assertion::jwks([&a, &b, &a.clone()]);
    assert_eq!(document["keys"].as_array().unwrap().len(), 2);
    for key in document["keys"].as_array().unwrap() {
        let known = ["kty", "crv", "x", "y", "alg", "use", "kid"];
        assert!(
            key.as_object()
                .unwrap()
                .keys()
                .all(|name| known.contains(&&**name))
        );
    }
}

#[test]
fn other_keys_are_refused_with_advice() {
    let read = |pem: &[u8]| {
        let header = HeaderName::from_static("x");
        Assertion::from_pem(pem, header, "i", "a", Duration::ZERO).unwrap_err()
    };
    let sec1 = include_bytes!("../../../tests/keys/p256-a.sec1.pem");
    assert!(read(sec1).contains("pkcs8"));
    for pem in [
        &include_bytes!("../../../tests/keys/p256-a.pub.pem")[..],
        include_bytes!("../../../tests/keys/p384-a.pem"),
        include_bytes!("../../../tests/keys/p256-a.cert.pem"),
        include_bytes!("../../../tests/keys/rsa-a.pem"),
        b"garbage",
        b"",
    ] {
        assert!(read(pem).contains("openssl genpkey"));
    }
}

#[test]
fn it_does_not_print_the_key() {
    let ours = assertion(ED25519);
    let text = format!("{ours:?}");
    assert_eq!(
        text,
        format!("Assertion(\"x-customer-assertion\", {})", ours.kid)
    );
}
