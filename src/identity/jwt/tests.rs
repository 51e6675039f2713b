use std::sync::Barrier;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::identity::testing::{caches, run};

const NOW: Time = Time::from_secs(1_700_000_000);
const SECRET: &[u8; 64] = &[7; 64];
const OTHER: &[u8; 64] = &[8; 64];

macro_rules! pem {
    ($name:literal) => {
        include_bytes!(concat!("../../../tests/keys/", $name, ".pem"))
    };
}

/// A kind of key: what signs, and what verifies, for every algorithm of its family.
struct Pair {
    name: &'static str,
    signs: EncodingKey,
    /// The bytes an attacker knows, if any.
    public: &'static [u8],
    algorithms: &'static [Algorithm],
}

fn pairs() -> Vec<Pair> {
    use Algorithm::*;
    let pair = |name, signs, public, algorithms| Pair {
        name,
        signs,
        public,
        algorithms,
    };
    let rsa = EncodingKey::from_rsa_pem(pem!("rsa-a")).unwrap();
    let p256 = EncodingKey::from_ec_pem(pem!("p256-a")).unwrap();
    let p384 = EncodingKey::from_ec_pem(pem!("p384-a")).unwrap();
    let ed = EncodingKey::from_ed_pem(pem!("ed25519-a")).unwrap();
    vec![
        pair(
            "secret",
            EncodingKey::from_secret(SECRET),
            b"",
            &[HS256, HS384, HS512],
        ),
        pair(
            "RSA",
            rsa,
            pem!("rsa-a.pub"),
            &[RS256, RS384, RS512, PS256, PS384, PS512],
        ),
        pair("P-256", p256, pem!("p256-a.pub"), &[ES256]),
        pair("P-384", p384, pem!("p384-a.pub"), &[ES384]),
        pair("Ed25519", ed, pem!("ed25519-a.pub"), &[EdDSA]),
    ]
}

impl Pair {
    fn verifies(&self, kid: Option<&str>, algorithm: Algorithm) -> PinnedKey {
        match self.public {
            b"" => PinnedKey::from_secret(kid, algorithm, SECRET),
            pem => PinnedKey::from_pem(kid, algorithm, pem),
        }
        .unwrap()
    }
}

fn hs256(kid: Option<&str>) -> PinnedKey {
    PinnedKey::from_secret(kid, Algorithm::HS256, SECRET).unwrap()
}

fn jwt(keys: Vec<PinnedKey>) -> Jwt {
    Jwt {
        from: Selector(Vec::new()),
        keys: vec![Keys::Fixed(keys)],
        issuers: Vec::new(),
        audiences: Vec::new(),
        leeway: Duration::from_secs(30),
        required: Vec::new(),
        subject: "sub".into(),
        single_use: false,
    }
}

fn claims() -> Value {
    json!({ "sub": "alice", "exp": NOW.secs() + 60, "email": "a@example.com" })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn sign(algorithm: Algorithm, kid: Option<&str>, key: &EncodingKey, claims: &Value) -> String {
    let mut header = Header::new(algorithm);
    header.kid = kid.map(str::to_owned);
    jsonwebtoken::encode(&header, claims, key).unwrap()
}

/// Any header, any payload, signed right with HS256.
fn raw(header: &str, payload: &str) -> String {
    let encode = |part: &str| URL_SAFE_NO_PAD.encode(part);
    let signed = format!("{}.{}", encode(header), encode(payload));
    let key = EncodingKey::from_secret(SECRET);
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{signed}.{signature}")
}

fn verify_at(jwt: &Jwt, token: &str, now: Time) -> Result<Identity, Reason> {
    let token = Token::parse(token)?;
    run(jwt.verify(token, Level(2), ["web", "site"], &caches(), now))
}

fn verify(jwt: &Jwt, token: &str) -> Result<Identity, Reason> {
    verify_at(jwt, token, NOW)
}

/// What becomes of these claims, signed right.
fn judge(jwt: &Jwt, claims: &Value) -> Result<Identity, Reason> {
    let key = EncodingKey::from_secret(SECRET);
    verify(jwt, &sign(Algorithm::HS256, None, &key, claims))
}

#[test]
fn a_valid_token_gives_subject_level_and_claims() {
    let mut all = with("iss", json!("https://www.example.com"));
    for (name, value) in [
        ("iat", json!(NOW.secs())),
        ("nbf", json!(NOW.secs())),
        ("jti", json!("1")),
    ] {
        all[name] = value;
    }
    let identity = judge(&jwt(vec![hs256(None)]), &all).unwrap();
    assert_eq!(&*identity.subject, "alice");
    assert_eq!(identity.level, Level(2));
    assert_eq!(
        Value::Object(identity.claims.parse()),
        json!({ "sub": "alice", "email": "a@example.com", "iss": "https://www.example.com" })
    );
}

/// Every algorithm of the header against every pinned algorithm of every key: of
/// all tokens signed by the right private key only the pinned algorithm verifies.
#[test]
fn the_algorithm_is_pinned_per_key() {
    for signer in pairs() {
        for algorithm in signer.algorithms {
            let token = sign(*algorithm, None, &signer.signs, &claims());
            for verifier in pairs() {
                for pinned in verifier.algorithms {
                    let verdict = verify(&jwt(vec![verifier.verifies(None, *pinned)]), &token);
                    let case = format!(
                        "{} {algorithm:?} for {} {pinned:?}",
                        signer.name, verifier.name
                    );
                    match algorithm == pinned {
                        true => assert!(verdict.is_ok(), "{case}: {verdict:?}"),
                        false => assert_eq!(verdict, Err(Reason::ProofAlgorithm), "{case}"),
                    }
                }
            }
        }
    }
}

/// An attacker knows the public key, and signs with it as if it were a secret.
#[test]
fn a_public_key_is_no_secret() {
    use Algorithm::*;
    for pair in pairs().into_iter().filter(|pair| !pair.public.is_empty()) {
        let pem = pair.public.to_vec();
        let der = rustls::pki_types::pem::PemObject::from_pem_slice(&pem).unwrap();
        let der: rustls::pki_types::SubjectPublicKeyInfoDer<'_> = der;
        let text = String::from_utf8(pem.clone()).unwrap();
        let secrets = [&*pem, &*der, text.trim().as_bytes()];
        for secret in secrets {
            for algorithm in [HS256, HS384, HS512] {
                let key = EncodingKey::from_secret(secret);
                let token = sign(algorithm, None, &key, &claims());
                for pinned in pair.algorithms {
                    let keys = vec![pair.verifies(None, *pinned)];
                    let verdict = verify(&jwt(keys), &token);
                    assert_eq!(verdict, Err(Reason::ProofAlgorithm), "{}", pair.name);
                }
            }
        }
    }
}

#[test]
fn none_is_refused_in_every_spelling() {
    let encode = |part: &str| URL_SAFE_NO_PAD.encode(part);
    for alg in [
        "none", "None", "NONE", "nOnE", "", "HS1", "ES512", "RSA1_5", "hs256", "HS256 ",
    ] {
        let header = json!({ "alg": alg, "typ": "JWT" }).to_string();
        let signed = format!("{}.{}", encode(&header), encode(&claims().to_string()));
        for token in [format!("{signed}."), raw(&header, &claims().to_string())] {
            for pair in pairs() {
                let keys = vec![pair.verifies(None, pair.algorithms[0])];
                let verdict = verify(&jwt(keys), &token);
                assert_eq!(verdict, Err(Reason::ProofAlgorithm), "{alg:?}");
            }
        }
    }
    for header in [
        "{}",
        r#"{"alg":null}"#,
        r#"{"alg":0}"#,
        r#"{"alg":["HS256"]}"#,
    ] {
        let verdict = verify(&jwt(vec![hs256(None)]), &raw(header, &claims().to_string()));
        assert_eq!(verdict, Err(Reason::ProofMalformed), "{header}");
    }
}

#[test]
fn a_cut_signature_is_refused() {
    for pair in pairs() {
        let algorithm = pair.algorithms[0];
        let verifier = jwt(vec![pair.verifies(None, algorithm)]);
        let token = sign(algorithm, None, &pair.signs, &claims());
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let whole = URL_SAFE_NO_PAD.decode(signature).unwrap();
        for len in [0, 1, whole.len() - 1] {
            let cut = URL_SAFE_NO_PAD.encode(&whole[..len]);
            let verdict = verify(&verifier, &format!("{signed}.{cut}"));
            assert_eq!(verdict, Err(Reason::ProofSignature), "{}", pair.name);
        }
    }
}

#[test]
fn another_key_of_the_same_kind_is_refused() {
    let keys = [
        (Algorithm::HS256, EncodingKey::from_secret(OTHER)),
        (
            Algorithm::RS256,
            EncodingKey::from_rsa_pem(pem!("rsa-b")).unwrap(),
        ),
        (
            Algorithm::PS256,
            EncodingKey::from_rsa_pem(pem!("rsa-b")).unwrap(),
        ),
        (
            Algorithm::ES256,
            EncodingKey::from_ec_pem(pem!("p256-b")).unwrap(),
        ),
        (
            Algorithm::EdDSA,
            EncodingKey::from_ed_pem(pem!("ed25519-b")).unwrap(),
        ),
    ];
    for (algorithm, key) in keys {
        let token = sign(algorithm, None, &key, &claims());
        let pairs = pairs();
        let ours = pairs
            .iter()
            .find(|pair| pair.algorithms.contains(&algorithm))
            .unwrap();
        let verdict = verify(&jwt(vec![ours.verifies(None, algorithm)]), &token);
        assert_eq!(verdict, Err(Reason::ProofSignature), "{algorithm:?}");
    }
}

#[test]
fn a_kid_is_verified_by_keys_of_that_kid_or_none() {
    let ours = EncodingKey::from_secret(SECRET);
    let token = |kid| sign(Algorithm::HS256, kid, &ours, &claims());
    let other = |kid| PinnedKey::from_secret(kid, Algorithm::HS256, OTHER).unwrap();
    let cases = [
        (Some("a"), vec![hs256(Some("a"))], Ok(())),
        (Some("a"), vec![hs256(None)], Ok(())),
        (None, vec![hs256(Some("a"))], Ok(())),
        (None, vec![other(Some("b")), hs256(Some("a"))], Ok(())),
        (Some("a"), vec![other(Some("a")), hs256(Some("a"))], Ok(())),
        (
            Some("b"),
            vec![hs256(Some("a"))],
            Err(Reason::ProofUnknownKey),
        ),
        (
            Some("A"),
            vec![hs256(Some("a"))],
            Err(Reason::ProofUnknownKey),
        ),
        (
            Some(""),
            vec![hs256(Some("a"))],
            Err(Reason::ProofUnknownKey),
        ),
        (
            Some("b"),
            vec![hs256(Some("a")), other(Some("b"))],
            Err(Reason::ProofSignature),
        ),
        (Some("a"), vec![], Err(Reason::ProofUnknownKey)),
        (None, vec![], Err(Reason::ProofUnknownKey)),
    ];
    for (kid, keys, expected) in cases {
        let verdict = verify(&jwt(keys), &token(kid)).map(drop);
        assert_eq!(verdict, expected, "{kid:?}");
    }
    for kid in ["null", "1", "{}"] {
        let header = format!(r#"{{"alg":"HS256","kid":{kid}}}"#);
        let verdict = verify(
            &jwt(vec![hs256(None)]),
            &raw(&header, &claims().to_string()),
        );
        assert_eq!(verdict, Err(Reason::ProofMalformed), "{kid}");
    }
}

#[test]
fn what_the_header_offers_as_a_key_is_not_looked_at() {
    let stranger = EncodingKey::from_ec_pem(pem!("p256-b")).unwrap();
    let mut header = Header::new(Algorithm::ES256);
    let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&stranger, Algorithm::ES256).unwrap();
    header.jwk = Some(jwk);
    header.jku = Some("http://127.0.0.1:1/jwks.json".into());
    let token = jsonwebtoken::encode(&header, &claims(), &stranger).unwrap();
    let ours = PinnedKey::from_pem(None, Algorithm::ES256, pem!("p256-a.pub")).unwrap();
    assert_eq!(
        verify(&jwt(vec![ours]), &token),
        Err(Reason::ProofSignature)
    );
}

#[test]
fn a_header_that_must_be_understood_is_refused() {
    for crit in [r#"["b64"]"#, r#"["exp"]"#, "[]", "null"] {
        let header = format!(r#"{{"alg":"HS256","b64":false,"crit":{crit}}}"#);
        let verdict = verify(
            &jwt(vec![hs256(None)]),
            &raw(&header, &claims().to_string()),
        );
        assert_eq!(verdict, Err(Reason::ProofMalformed), "{crit}");
    }
}

#[test]
fn malformed_tokens_are_refused() {
    let good = raw(r#"{"alg":"HS256"}"#, &claims().to_string());
    let verifier = jwt(vec![hs256(None)]);
    assert!(verify(&verifier, &good).is_ok());
    let parts: Vec<_> = good.split('.').collect();
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    let cases = [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        format!("{header}.{payload}"),
        format!("{good}."),
        format!(".{good}"),
        format!("{good}.{signature}"),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{good}="),
        format!("{header}.{payload}.{signature}é"),
        format!("{header}..{signature}"),
        format!("{header}.{}.{signature}", "A".repeat(Token::MAX_LEN)),
    ];
    for token in cases {
        let verdict = verify(&verifier, &token);
        assert_eq!(verdict, Err(Reason::ProofMalformed), "{token:?}");
    }
    let header = r#"{"alg":"HS256"}"#;
    let filled = |len| raw(header, &with("x", json!("x".repeat(len))).to_string());
    assert!(verify(&verifier, &filled(5900)).is_ok());
    assert!(filled(6100).len() > Token::MAX_LEN);
    assert_eq!(
        verify(&verifier, &filled(6100)),
        Err(Reason::ProofMalformed)
    );
    let sub = r#""sub":"alice","exp":1800000000"#;
    for payload in [
        "null",
        "[]",
        "1",
        "",
        "{",
        &*format!("{{{sub}}}x"),
        &*format!("{{{sub},\"sub\":\"bob\"}}"),
        &*format!("{{{sub},\"\\u0073ub\":\"bob\"}}"),
        &*format!("{{{sub},\"exp\":1900000000}}"),
        &*format!("{{{sub},\"a\":{{\"b\":1,\"b\":2}}}}"),
        &*format!("{{{sub},\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200)),
    ] {
        let verdict = verify(&verifier, &raw(r#"{"alg":"HS256"}"#, payload));
        assert_eq!(verdict, Err(Reason::ProofMalformed), "{payload}");
    }
    let twice = raw(r#"{"alg":"HS256","alg":"none"}"#, &claims().to_string());
    assert_eq!(verify(&verifier, &twice), Err(Reason::ProofMalformed));
}

#[test]
fn expiry_is_a_whole_number_of_seconds_and_has_to_be_there() {
    let verifier = jwt(vec![hs256(None)]);
    let now = NOW.secs();
    // Signed right, so only the claim decides. The text is put into the payload as it is.
    let exp = |text: &str| {
        let payload = format!(r#"{{"sub":"alice","exp":{text}}}"#);
        verify(&verifier, &raw(r#"{"alg":"HS256"}"#, &payload)).map(drop)
    };
    assert_eq!(exp(&(now + 1).to_string()), Ok(()));
    assert_eq!(exp("253402300799"), Ok(()));
    assert_eq!(exp("0"), Err(Reason::ProofExpired));
    let refused = [
        "null",
        "true",
        "[]",
        "{}",
        "\"\"",
        &*format!("\"{}\"", now + 60),
        "\"never\"",
        &*format!("{}.0", now + 60),
        &*format!("{}.5", now + 60),
        "1.8e9",
        "18e8",
        "-1",
        "-0.0",
        "253402300800",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999999999999999",
        "1e18",
        "1e308",
    ];
    for text in refused {
        assert_eq!(exp(text), Err(Reason::ProofClaim), "{text}");
    }
    assert!(exp("1e999").is_err() && exp("NaN").is_err() && exp("Infinity").is_err());
    assert_eq!(judge(&verifier, &without("exp")), Err(Reason::ProofClaim));
}

#[test]
fn clocks_have_the_leeway_and_no_more() {
    let verifier = jwt(vec![hs256(None)]);
    let now = NOW.secs();
    let verdict = |name: &str, secs: u64| judge(&verifier, &with(name, json!(secs))).map(drop);
    assert_eq!(verdict("exp", now - 29), Ok(()));
    assert_eq!(verdict("exp", now - 30), Err(Reason::ProofExpired));
    assert_eq!(verdict("nbf", now + 30), Ok(()));
    assert_eq!(verdict("nbf", now + 31), Err(Reason::ProofNotYetValid));
    assert_eq!(verdict("iat", now + 330), Ok(()));
    assert_eq!(verdict("iat", now + 331), Err(Reason::ProofNotYetValid));
    for name in ["nbf", "iat"] {
        for value in [json!("0"), json!(0.5), json!(-1), json!(1e18), json!(null)] {
            let verdict = judge(&verifier, &with(name, value));
            assert_eq!(verdict, Err(Reason::ProofClaim), "{name}");
        }
    }
}

#[test]
fn issuers() {
    let verifier = Jwt {
        issuers: vec!["https://a".into(), "https://b".into()],
        ..jwt(vec![hs256(None)])
    };
    let verdict = |value| judge(&verifier, &with("iss", value)).map(drop);
    assert_eq!(verdict(json!("https://a")), Ok(()));
    assert_eq!(verdict(json!("https://b")), Ok(()));
    for wrong in [
        json!("https://c"),
        json!("https://a/"),
        json!(""),
        json!(null),
        json!(["https://a"]),
        json!({}),
    ] {
        assert_eq!(verdict(wrong), Err(Reason::ProofIssuer));
    }
    assert_eq!(judge(&verifier, &claims()), Err(Reason::ProofIssuer));
    assert!(judge(&jwt(vec![hs256(None)]), &claims()).is_ok());
}

#[test]
fn audiences() {
    let verifier = Jwt {
        audiences: vec!["chat".into(), "web".into()],
        ..jwt(vec![hs256(None)])
    };
    let verdict = |value| judge(&verifier, &with("aud", value)).map(drop);
    for right in [json!("chat"), json!(["web"]), json!(["x", "chat"])] {
        assert_eq!(verdict(right), Ok(()));
    }
    for wrong in [
        json!("other"),
        json!("chat "),
        json!(""),
        json!([]),
        json!(["x"]),
        json!(["chat", 1]),
        json!([["chat"]]),
        json!({ "chat": true }),
        json!(null),
        json!(1),
    ] {
        assert_eq!(
            verdict(wrong.clone()),
            Err(Reason::ProofAudience),
            "{wrong}"
        );
    }
    assert_eq!(judge(&verifier, &claims()), Err(Reason::ProofAudience));
}

#[test]
fn a_token_meant_for_somebody_is_refused_where_nobody_is_configured() {
    let verifier = jwt(vec![hs256(None)]);
    for aud in [
        json!("chat"),
        json!(["chat"]),
        json!([]),
        json!(""),
        json!(null),
    ] {
        let verdict = judge(&verifier, &with("aud", aud));
        assert_eq!(verdict, Err(Reason::ProofAudience));
    }
}

#[test]
fn required_claims_are_there() {
    let verifier = Jwt {
        required: vec!["email".into(), "tenant".into()],
        ..jwt(vec![hs256(None)])
    };
    assert!(judge(&verifier, &with("tenant", json!("t"))).is_ok());
    assert_eq!(judge(&verifier, &claims()), Err(Reason::ProofClaim));
    let null = judge(&verifier, &with("tenant", json!(null)));
    assert_eq!(null, Err(Reason::ProofClaim));
}

#[test]
fn subjects_are_texts_or_whole_numbers() {
    let verifier = jwt(vec![hs256(None)]);
    let subject = |value| judge(&verifier, &with("sub", value)).map(|id| id.subject.to_string());
    assert_eq!(subject(json!("alice")), Ok("alice".into()));
    assert_eq!(subject(json!(42)), Ok("42".into()));
    assert_eq!(subject(json!(-1)), Ok("-1".into()));
    assert_eq!(subject(json!(u64::MAX)), Ok(u64::MAX.to_string()));
    for wrong in [
        json!(""),
        json!("  "),
        json!(null),
        json!(true),
        json!(1.5),
        json!(1e30),
        json!(["alice"]),
        json!({}),
    ] {
        assert_eq!(subject(wrong), Err(Reason::ProofClaim));
    }
    assert_eq!(judge(&verifier, &without("sub")), Err(Reason::ProofClaim));

    let by_user_id = Jwt {
        subject: "user_id".into(),
        ..jwt(vec![hs256(None)])
    };
    let identity = judge(&by_user_id, &with("user_id", json!(7))).unwrap();
    assert_eq!(&*identity.subject, "7");
    assert_eq!(judge(&by_user_id, &claims()), Err(Reason::ProofClaim));
}

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

#[test]
fn keys_of_the_wrong_kind_or_strength_are_refused() {
    use Algorithm::*;
    let message = |algorithm, pem: &[u8]| PinnedKey::from_pem(None, algorithm, pem).unwrap_err();
    for (algorithm, pem, says) in [
        (RS256, &pem!("p256-a.pub")[..], "not a public key for RS256"),
        (PS256, pem!("ed25519-a.pub"), "not a public key for PS256"),
        (ES256, pem!("rsa-a.pub"), "not a public key for ES256"),
        (ES256, pem!("p384-a.pub"), "not a public key for ES256"),
        (ES384, pem!("p256-a.pub"), "not a public key for ES384"),
        (EdDSA, pem!("p256-a.pub"), "not a public key for EdDSA"),
        (HS256, pem!("rsa-a.pub"), "needs a secret"),
        (RS256, pem!("rsa-a"), "private key"),
        (ES256, pem!("p256-a"), "private key"),
        (ES256, pem!("p256-a.sec1"), "private key"),
        (EdDSA, pem!("ed25519-a"), "private key"),
        (ES256, pem!("p256-a.cert"), "certificate"),
        (RS256, pem!("rsa-weak.pub"), "1024"),
        (RS256, b"", "no PEM"),
        (RS256, b"garbage", "no PEM"),
        (
            RS256,
            b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
            "not a public key for RS256",
        ),
    ] {
        let message = message(algorithm, pem);
        assert!(message.contains(says), "{says}: {message}");
    }
    let two = [&pem!("p256-a.pub")[..], pem!("p256-b.pub")].concat();
    assert!(message(ES256, &two).contains("more than one"));
    let mixed = [&pem!("p256-a.pub")[..], pem!("p256-a")].concat();
    assert!(message(ES256, &mixed).contains("private key"));
    for (algorithm, least) in [(HS256, 32), (HS384, 48), (HS512, 64)] {
        let read = |len| PinnedKey::from_secret(None, algorithm, &SECRET[..len]);
        assert!(read(least).is_ok());
        assert!(read(least - 1).unwrap_err().contains(&least.to_string()));
    }
    assert!(PinnedKey::from_secret(None, RS256, SECRET).is_err());
}

/// RFC 7515, appendices A.1 to A.3: one payload under three algorithms. The
/// tokens expired long ago, and name no subject: the signature is what counts.
#[test]
fn rfc_7515_appendix_a() {
    const PAYLOAD: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let secret = URL_SAFE_NO_PAD
        .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
        .unwrap();
    let rsa = DecodingKey::from_rsa_components(
        "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
        "AQAB",
    );
    let ec = DecodingKey::from_ec_components(
        "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    );
    let vectors = [
        (
            PinnedKey::from_secret(None, Algorithm::HS256, &secret),
            "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9",
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        ),
        (
            PinnedKey::new(None, Algorithm::RS256, rsa.unwrap()),
            "eyJhbGciOiJSUzI1NiJ9",
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        ),
        (
            PinnedKey::new(None, Algorithm::ES256, ec.unwrap()),
            "eyJhbGciOiJFUzI1NiJ9",
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ),
    ];
    for (key, header, signature) in vectors {
        let key = key.unwrap();
        let token = Token::parse(&format!("{header}.{PAYLOAD}.{signature}")).unwrap();
        assert_eq!(token.unverified_issuer(), Some("joe"));
        assert_eq!(token.verify([&key]), Ok(()), "{key:?}");
        let expired = verify(&jwt(vec![key]), &format!("{header}.{PAYLOAD}.{signature}"));
        assert_eq!(expired, Err(Reason::ProofExpired));
    }
    // A.5: the unsecured one.
    let unsecured = Token::parse(&format!("eyJhbGciOiJub25lIn0.{PAYLOAD}."));
    assert_eq!(unsecured.unwrap_err(), Reason::ProofAlgorithm);
}

/// RFC 8037, appendix A.4. Its payload is no JSON, so the key is asked alone.
#[test]
fn rfc_8037_appendix_a() {
    let x = DecodingKey::from_ed_components("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    let key = PinnedKey::new(None, Algorithm::EdDSA, x.unwrap()).unwrap();
    let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature =
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    assert!(key.verifies(message, signature));
    assert!(!key.verifies(&message[1..], signature));
}

#[test]
fn nothing_prints_the_token() {
    let text = raw(r#"{"alg":"HS256"}"#, &claims().to_string());
    let token = Token::parse(&text).unwrap();
    assert_eq!(format!("{token:?}"), "[token]");
}

fn every_key() -> Vec<PinnedKey> {
    let pairs = pairs();
    pairs
        .iter()
        .flat_map(|pair| pair.algorithms.iter().map(|alg| pair.verifies(None, *alg)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_text_never_verifies(text in "\\PC{0,200}") {
        prop_assert!(verify(&jwt(every_key()), &text).is_err());
    }

    #[test]
    fn random_signatures_never_verify(
        alg in prop::sample::select(vec!["HS256", "HS512", "RS256", "PS256", "ES256", "ES384", "EdDSA"]),
        signature in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let header = URL_SAFE_NO_PAD.encode(json!({ "alg": alg }).to_string());
        let payload = URL_SAFE_NO_PAD.encode(claims().to_string());
        let token = format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode(signature));
        prop_assert_eq!(verify(&jwt(every_key()), &token), Err(Reason::ProofSignature));
    }

    /// One changed character anywhere, and the token is no token of ours.
    #[test]
    fn a_changed_token_never_verifies(place in 0usize..1000, to in "[A-Za-z0-9_.-]", pair in 0usize..5) {
        let pair = &pairs()[pair];
        let algorithm = pair.algorithms[0];
        let mut token = sign(algorithm, None, &pair.signs, &claims());
        let place = place % token.len();
        prop_assume!(token[place..=place] != to);
        token.replace_range(place..=place, &to);
        prop_assert!(verify(&jwt(vec![pair.verifies(None, algorithm)]), &token).is_err());
    }
}
