use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, Method};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;
use std::time::Duration;

use super::assertion::Assertion;
use super::jwks::KeySet;
use super::jwt::{Jwt, Keys, PinnedKey};
use super::testing::{caches, run};
use super::*;
use crate::message::Selector;
use crate::message::select::Source;
use crate::outbound::tests::{Server, answer};

const NOW: Time = Time::from_secs(1_700_000_000);

fn header(name: &'static str, scheme: Option<&str>) -> Selector {
    Selector(vec![Source::Header {
        name: HeaderName::from_static(name),
        scheme: scheme.map(Into::into),
    }])
}

/// A verifier of tokens in `Authorization: Bearer`, with a secret made of one byte.
fn jwt(name: &str, secret: u8, issuers: &[&str]) -> Verifier {
    let key = PinnedKey::from_secret(None, Algorithm::HS256, &[secret; 32]).unwrap();
    Verifier {
        name: name.into(),
        level: Level(2),
        kind: Kind::Jwt(Jwt {
            from: header("authorization", Some("Bearer")),
            keys: vec![Keys::Fixed(vec![key])],
            issuers: issuers.iter().map(|issuer| (*issuer).into()).collect(),
            audiences: Vec::new(),
            leeway: Duration::ZERO,
            required: Vec::new(),
            subject: "sub".into(),
            single_use: false,
        }),
    }
}

fn widget() -> Verifier {
    Verifier {
        name: "widget".into(),
        level: Level(1),
        kind: Kind::Hmac(hmac::IdentifierHash {
            identifier: header("x-user", None),
            hash: header("x-hash", None),
            secrets: vec![Secret::new("Jefe")],
            digest: hmac::Digest::Sha256,
            encoding: hmac::Encoding::Hex,
        }),
    }
}

fn website(url: String) -> Verifier {
    Verifier {
        name: "website".into(),
        level: Level(2),
        kind: Kind::Session(session::Session {
            cookie: "sid".into(),
            url: url.into(),
            subject: "sub".into(),
            cache: Duration::ZERO,
            timeout: Duration::from_secs(10),
        }),
    }
}

fn bearer(secret: u8, issuer: &str) -> String {
    let claims = json!({ "iss": issuer, "sub": "alice", "exp": NOW.secs() + 60 });
    let key = EncodingKey::from_secret(&[secret; 32]);
    let token = jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap();
    format!("Bearer {token}")
}

/// Who a request with these headers is, and which verifier says so.
fn judge(
    verifiers: &[Verifier],
    headers: &[(&'static str, &str)],
) -> (Result<Option<String>, Reason>, Option<String>) {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, value.parse().unwrap());
    }
    let caches = caches();
    let proof = {
        let view = RequestView {
            method: &Method::POST,
            path: "/",
            query: None,
            headers: &map,
            params: &[],
            body: None,
        };
        // The future outlives the view.
        verify(verifiers, "web", &view, &caches, NOW)
    };
    let (proof, name) = run(proof);
    let outcome = match proof {
        Proof::Absent => Ok(None),
        Proof::Valid(identity) => Ok(Some(identity.subject.to_string())),
        Proof::Invalid(reason) => Err(reason),
    };
    (outcome, name.map(Into::into))
}

const QUESTION: &str = "what do ya want for nothing?";
const HASH: &str = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";

#[test]
fn no_proof_is_absent() {
    let server = Server::answering(200, r#"{"sub":"alice"}"#);
    let verifiers = [jwt("site", 1, &[]), widget(), website(server.url("/"))];
    assert_eq!(judge(&[], &[]), (Ok(None), None));
    assert_eq!(judge(&verifiers, &[]), (Ok(None), None));
    let unrelated = [("authorization", "Basic eDp5"), ("cookie", "other=1")];
    assert_eq!(judge(&verifiers, &unrelated), (Ok(None), None));
    assert_eq!(server.count(), 0);
}

#[test]
fn the_first_verifier_that_finds_its_proof_decides() {
    let server = Server::answering(200, r#"{"sub":"carol"}"#);
    let verifiers = [jwt("site", 1, &[]), widget(), website(server.url("/"))];
    let (good, bad) = (bearer(1, "i"), bearer(2, "i"));
    let cookie = ("cookie", "sid=1");
    let user = ("x-user", QUESTION);
    let judge = |headers: &[_]| judge(&verifiers, headers);
    let by = |name: &str| Some(name.to_string());

    let all = [("authorization", &*good), user, ("x-hash", HASH), cookie];
    assert_eq!(judge(&all), (Ok(Some("alice".into())), by("site")));
    let spoilt = [("authorization", &*bad), user, ("x-hash", HASH), cookie];
    assert_eq!(judge(&spoilt), (Err(Reason::ProofSignature), by("site")));
    assert_eq!(
        judge(&[user, ("x-hash", HASH), cookie]),
        (Ok(Some(QUESTION.into())), by("widget"))
    );
    assert_eq!(judge(&[cookie]), (Ok(Some("carol".into())), by("website")));
}

/// Never a silent fallback: what is there and does not hold is not "absent".
#[test]
fn a_proof_that_does_not_hold_is_not_absent() {
    let server = Server::answering(401, "");
    let verifiers = [jwt("site", 1, &[]), widget(), website(server.url("/"))];
    let long = format!("Bearer {}", "x".repeat(9000));
    let cases: &[(&[(&'static str, &str)], Reason)] = &[
        (&[("authorization", "Bearer x")], Reason::ProofMalformed),
        (&[("authorization", &*long)], Reason::ProofMalformed),
        (&[("x-user", "alice")], Reason::ProofMalformed),
        (
            &[("x-user", "alice"), ("x-hash", "")],
            Reason::ProofMalformed,
        ),
        (
            &[("x-user", "alice"), ("x-hash", " ")],
            Reason::ProofMalformed,
        ),
        (
            &[("x-user", "alice"), ("x-hash", HASH)],
            Reason::ProofSignature,
        ),
        (&[("x-user", "a"), ("x-user", "b")], Reason::AmbiguousValue),
        (&[("cookie", "sid=1; sid=2")], Reason::AmbiguousValue),
        (&[("cookie", "sid=1")], Reason::SessionUnknown),
    ];
    for (headers, reason) in cases {
        assert_eq!(judge(&verifiers, headers).0, Err(*reason), "{headers:?}");
    }
}

#[test]
fn several_issuers_share_a_header() {
    let verifiers = [jwt("a", 1, &["A"]), jwt("b", 2, &["B", "C"])];
    let judge = |token: &str| judge(&verifiers, &[("authorization", token)]);
    let alice = Ok(Some("alice".to_string()));
    assert_eq!(judge(&bearer(1, "A")), (alice.clone(), Some("a".into())));
    assert_eq!(judge(&bearer(2, "C")), (alice, Some("b".into())));
    // The issuer chooses the verifier; it proves nothing.
    let refused = Err(Reason::ProofSignature);
    assert_eq!(judge(&bearer(2, "A")), (refused.clone(), Some("a".into())));
    assert_eq!(judge(&bearer(1, "B")), (refused, Some("b".into())));
    let nobody = (Err(Reason::ProofIssuer), Some("a".to_string()));
    assert_eq!(judge(&bearer(1, "X")), nobody);
}

#[test]
fn a_foreign_token_leaves_other_proofs_alone_but_is_not_absent() {
    let server = Server::answering(200, r#"{"sub":"carol"}"#);
    let verifiers = [jwt("site", 1, &["A"]), website(server.url("/"))];
    let token = bearer(9, "messaging-api");
    let foreign = ("authorization", &*token);
    assert_eq!(judge(&verifiers, &[foreign]).0, Err(Reason::ProofIssuer));
    let carol = judge(&verifiers, &[foreign, ("cookie", "sid=1")]).0;
    assert_eq!(carol, Ok(Some("carol".into())));
}

fn es256(kid: &str) -> (EncodingKey, serde_json::Value) {
    let key = EncodingKey::from_ec_pem(include_bytes!("../../tests/keys/p256-a.pem")).unwrap();
    let mut jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
    jwk.common.key_id = Some(kid.into());
    (key, serde_json::to_value(jwk).unwrap())
}

/// Tokens with the keys of an endpoint; which ones it is asked for.
#[test]
fn keys_behind_a_url() {
    let (key, jwk) = es256("2026");
    let set = json!({ "keys": [jwk] }).to_string();
    let server = Server::start(move |_| {
        let set = set.clone();
        async move { answer(200, set) }
    });
    let mut verifier = jwt("site", 1, &[]);
    if let Kind::Jwt(jwt) = &mut verifier.kind {
        jwt.keys = vec![Keys::Url(jwks::JwksUrl {
            url: server.url("/").into(),
            algorithms: vec![Algorithm::ES256],
            refresh: Duration::from_secs(600),
            cooldown: Duration::from_secs(30),
        })];
    }
    let verifiers = [verifier];
    let token = |kid: &str| {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(kid.into());
        let claims = json!({ "sub": "alice", "exp": NOW.secs() + 60 });
        let token = jsonwebtoken::encode(&header, &claims, &key).unwrap();
        format!("Bearer {token}")
    };
    let judge = |token: &str| judge(&verifiers, &[("authorization", token)]).0;
    // Another algorithm than those of the set: nothing is fetched for it.
    assert_eq!(judge(&bearer(1, "i")), Err(Reason::ProofAlgorithm));
    assert_eq!(server.count(), 0);
    assert_eq!(judge(&token("2026")), Ok(Some("alice".into())));
    assert_eq!(judge(&token("2025")), Err(Reason::ProofUnknownKey));
    assert_eq!(server.count(), 2); // each had caches of its own
}

#[test]
fn keys_that_cannot_be_had_are_no_verdict_on_the_token() {
    let (key, _) = es256("2026");
    let server = Server::answering(500, "");
    let mut verifier = jwt("site", 1, &[]);
    if let Kind::Jwt(jwt) = &mut verifier.kind {
        jwt.keys.push(Keys::Url(jwks::JwksUrl {
            url: server.url("/").into(),
            algorithms: vec![Algorithm::ES256],
            refresh: Duration::from_secs(600),
            cooldown: Duration::from_secs(30),
        }));
    }
    let claims = json!({ "sub": "alice", "exp": NOW.secs() + 60 });
    let token = jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &key).unwrap();
    let token = format!("Bearer {token}");
    let verifiers = [verifier];
    let judge = |token: &str| judge(&verifiers, &[("authorization", token)]).0;
    assert_eq!(judge(&token), Err(Reason::VerifierUnavailable));
    // A key at hand does not need the endpoint.
    assert_eq!(judge(&bearer(1, "i")), Ok(Some("alice".into())));
    assert_eq!(server.count(), 1);
}

#[test]
fn different_lists_have_different_digests() {
    assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
    assert_ne!(digest(&["a", ""]), digest(&["a"]));
    assert_ne!(digest(&["", "a"]), digest(&["a", ""]));
}

mod assertions {
    use super::*;
    use crate::interaction::Claims;

    const P256: &[u8] = include_bytes!("../../tests/keys/p256-a.pem");
    const ED25519: &[u8] = include_bytes!("../../tests/keys/ed25519-a.pem");

    fn assertion(pem: &[u8]) -> Assertion {
        let header = HeaderName::from_static("x-customer-assertion");
        let ttl = Duration::from_secs(60);
        Assertion::from_pem(pem, header, "https://chat", "bot", ttl).unwrap()
    }

    fn identity() -> Identity {
        let claims = json!({ "sub": "mallory", "iss": "x", "email": "a@example.com" });
        Identity {
            subject: "alice".into(),
            level: Level(2),
            claims: Claims::new(claims.as_object().unwrap()),
        }
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
        let p256_b = include_bytes!("../../tests/keys/p256-b.pem");
        for other in [assertion(ED25519), assertion(p256_b)] {
            let verdict =
                Assertion::check(&token, &keys(&other), "https://chat", "bot", "chat-1", NOW);
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
        let sec1 = include_bytes!("../../tests/keys/p256-a.sec1.pem");
        assert!(read(sec1).contains("pkcs8"));
        for pem in [
            &include_bytes!("../../tests/keys/p256-a.pub.pem")[..],
            include_bytes!("../../tests/keys/p384-a.pem"),
            include_bytes!("../../tests/keys/p256-a.cert.pem"),
            include_bytes!("../../tests/keys/rsa-a.pem"),
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
}
