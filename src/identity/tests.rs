use std::time::Duration;

use http::{HeaderMap, HeaderName, Method};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

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
        Proof::Valid(identity) => Ok(Some(identity.subject().to_owned())),
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
