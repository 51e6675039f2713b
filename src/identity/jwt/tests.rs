use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::identity::testing::{caches, run};

macro_rules! pem {
    ($name:literal) => {
        include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/keys/",
            $name,
            ".pem"
        ))
    };
}

mod claims;
mod keys;
mod replay;
mod vectors;

const NOW: Time = Time::from_secs(1_700_000_000);
const SECRET: &[u8; 64] = &[7; 64];
const OTHER: &[u8; 64] = &[8; 64];

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
    assert_eq!(identity.subject(), "alice");
    assert_eq!(identity.level, Level(2));
    assert_eq!(
        Value::Object(identity.claims()),
        json!({ "sub": "alice", "email": "a@example.com", "iss": "https://www.example.com" })
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
