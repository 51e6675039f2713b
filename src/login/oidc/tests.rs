use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::identity::subject;
use crate::interaction::TokenHash;
use crate::message::target::pairs;
use crate::reason::Reason;
use crate::time::Time;
use id_token::{Wanted, half_hash};

const NOW: Time = Time::from_secs(1_800_000_000);
const ISSUER: &str = "https://op.example";
/// Demanded in these tests: levels are 1 to 3.
const TWO: Level = Level(2);

fn provider() -> Provider {
    Provider {
        issuer: ISSUER.into(),
        oauth: None,
        client_id: "us".into(),
        authentication: ClientAuthentication::Basic(Secret::new("secret-canary")),
        scopes: "openid email".into(),
        subject: "sub".into(),
        claims: None,
        userinfo: false,
        levels: Reached::default(),
        max_age: None,
        prompt: None,
        leeway: Duration::from_secs(30),
        algorithms: vec![Algorithm::ES256, Algorithm::RS256],
        timeout: Duration::from_secs(5),
    }
}

fn metadata() -> Metadata {
    Metadata {
        issuer: Some(ISSUER.into()),
        authorization_endpoint: "https://op.example/auth".into(),
        token_endpoint: "https://op.example/token".into(),
        jwks_uri: Some("https://op.example/jwks".into()),
        userinfo_endpoint: None,
        algorithms: None,
        names_itself: false,
    }
}

fn map(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[test]
fn a_level_is_what_acr_and_amr_say() {
    let word = |word: &str| vec![Box::from(word)];
    let reached = Reached {
        acr: vec![(Level(1), word("low")), (Level(3), word("high"))],
        amr: vec![(TWO, vec!["otp".into(), "hwk".into()])],
        otherwise: Some(Level(1)),
    };
    let level = |claims: Value| reached.level(&map(claims), Level(3));
    assert_eq!(level(json!({})), Level(1));
    assert_eq!(level(json!({"acr": "high"})), Level(3));
    assert_eq!(level(json!({"acr": "low", "amr": ["pwd", "otp"]})), TWO);
    assert_eq!(level(json!({"acr": "high", "amr": ["otp"]})), Level(3));
    for odd in [
        json!({"acr": ["high"]}),
        json!({"acr": "HIGH"}),
        json!({"acr": "high low"}),
        json!({"amr": "otp"}),
        json!({"amr": {"otp": 1}}),
    ] {
        assert_eq!(level(odd.clone()), Level(1), "{odd}");
    }
    let wanted = |level| reached.wanted(level).collect::<Vec<_>>().join(" ");
    assert_eq!(wanted(Level(1)), "low high");
    assert_eq!(wanted(TWO), "high");
    assert_eq!(reached.highest(), Some(Level(3)));
    // Where nothing tells logins apart, each is the one that was asked for.
    assert_eq!(
        Reached::default().level(&map(json!({"acr": "x"})), TWO),
        TWO
    );
    assert_eq!(Reached::default().highest(), None);
}

#[test]
fn keys_are_read_for_what_both_sides_take() {
    let provider = provider();
    let algorithms = |announced: Option<Vec<Algorithm>>| {
        let metadata = Metadata {
            algorithms: announced,
            ..metadata()
        };
        provider.keys(&metadata).map(|keys| keys.algorithms)
    };
    assert_eq!(algorithms(None), Some(provider.algorithms.clone()));
    let some = vec![Algorithm::HS256, Algorithm::RS256];
    assert_eq!(algorithms(Some(some)), Some(vec![Algorithm::RS256]));
    assert_eq!(algorithms(Some(vec![Algorithm::HS256])), None);
    assert_eq!(algorithms(Some(vec![])), None);
}

#[test]
fn claims_are_kept_as_they_are_wanted() {
    let claims = map(json!({
        "iss": "i", "aud": "a", "exp": 1, "nonce": "n", "at_hash": "h",
        "sub": "s", "sid": "x", "email": "e", "city": "c",
    }));
    let kept = |provider: &Provider| {
        let identity = provider.identity(claims.clone(), Map::new(), TWO).unwrap();
        let kept = identity.claims();
        let names: Vec<String> = kept.keys().cloned().collect();
        (identity.subject().to_owned(), names.join(" "))
    };
    let all = provider();
    assert_eq!(kept(&all), ("s".into(), "sid email city".into()));
    let few = Provider {
        claims: Some(vec!["email".into()]),
        subject: "city".into(),
        ..provider()
    };
    assert_eq!(kept(&few), ("c".into(), "sub sid email".into()));
    let more = map(json!({"email": "other", "phone": "p"}));
    let identity = all.identity(claims.clone(), more, TWO).unwrap();
    assert_eq!(identity.claims()["email"], "e");
    assert_eq!(identity.claims()["phone"], "p");
    assert_eq!(subject(&claims, "none"), Err(Reason::ProofClaim));
}

/// An OAuth server: no keys, no name.
fn server() -> Provider {
    let metadata = Metadata {
        issuer: None,
        jwks_uri: None,
        ..metadata()
    };
    Provider {
        oauth: Some(metadata.into()),
        scopes: "".into(),
        ..provider()
    }
}

#[test]
fn an_oauth_server_is_asked_for_nothing_that_it_would_sign() {
    let server = server();
    let metadata = server.oauth.as_deref().unwrap();
    let pending = Pending::new(&TokenHash([1; 32]));
    let url = server.authorization_url(metadata, &pending, "https://us.example/back", TWO);
    let found = pairs(url.split_once('?').unwrap().1);
    let names: Vec<_> = found.iter().map(|(name, _)| &**name).collect();
    let wanted = "response_type client_id redirect_uri state code_challenge code_challenge_method";
    assert_eq!(names.join(" "), wanted);
    assert!(server.keys(metadata).is_none());
    assert!(metadata.is_of(None) && metadata.is_of(Some("https://any.example")));
}

#[test]
fn an_oauth_server_vouches_for_a_customer() {
    let mut server = server();
    let claims = || map(json!({"sub": "s", "id": 7, "sid": "x", "email": "e"}));
    let alice = server.vouched(claims(), TWO).unwrap();
    assert_eq!((alice.subject(), alice.level), ("s", TWO));
    server.subject = "id".into();
    server.claims = Some(vec!["email".into()]);
    let alice = server.vouched(claims(), TWO).unwrap();
    assert_eq!(alice.subject(), "7");
    let kept: Vec<String> = alice.claims().keys().cloned().collect();
    assert_eq!(kept, ["email"]);
    assert_eq!(
        server.vouched(Map::new(), TWO).unwrap_err(),
        Reason::ProofClaim
    );
    server.levels.otherwise = Some(Level(1));
    assert_eq!(
        server.vouched(claims(), TWO).unwrap_err(),
        Reason::LoginLevel
    );
}

#[test]
fn the_name_in_a_callback_is_the_providers() {
    let quiet = metadata();
    assert!(quiet.is_of(None) && quiet.is_of(Some(ISSUER)));
    assert!(!quiet.is_of(Some("https://op.example/")) && !quiet.is_of(Some("")));
    let loud = Metadata {
        names_itself: true,
        ..metadata()
    };
    assert!(!loud.is_of(None) && loud.is_of(Some(ISSUER)));
}

#[test]
fn the_hash_of_an_access_token_is_the_one_of_the_specification() {
    // OpenID Connect Core 1.0, appendix A.3.
    let token = Secret::new("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y");
    assert_eq!(
        half_hash(Algorithm::RS256, &token),
        "77QmUPtjPfzWtF2AnpK9RQ"
    );
    assert_eq!(half_hash(Algorithm::PS384, &token).len(), 32);
    assert_eq!(half_hash(Algorithm::EdDSA, &token).len(), 43);
}

#[test]
fn the_time_of_a_login_may_have_a_fraction() {
    let mut provider = provider();
    provider.max_age = Some(Duration::from_secs(300));
    let pending = Pending::new(&TokenHash([1; 32]));
    let seed = pending.attempt("b").seed;
    let wanted = Wanted {
        seed: &seed,
        demanded: TWO,
        algorithm: Algorithm::ES256,
        access_token: None,
    };
    let check = |auth_time: Value| {
        let mut claims = right(&pending);
        claims.insert("auth_time".into(), auth_time);
        provider.check(&claims, &wanted, NOW)
    };
    let (now, leeway) = (NOW.secs(), provider.leeway.as_secs());
    assert_eq!(check(json!(now)), Ok(()));
    assert_eq!(check(json!(now as f64 - 0.775344)), Ok(()));
    assert_eq!(check(json!(now - 300 - leeway)), Ok(()));
    let stale = (now - 300 - leeway) as f64 - 0.5;
    assert_eq!(check(json!(stale)), Err(Reason::LoginStale));
    for time in [json!(now as f64 + 1e3), json!(u64::MAX), json!(1e300)] {
        assert_eq!(check(time), Err(Reason::ProofNotYetValid));
    }
    for time in [
        json!(-1),
        json!(-0.5),
        json!("1"),
        json!(null),
        json!([now]),
    ] {
        assert_eq!(check(time), Err(Reason::ProofClaim));
    }
}

#[test]
fn secrets_do_not_print() {
    assert!(!format!("{:?}", provider()).contains("canary"));
    let pending = Pending::new(&TokenHash([1; 32]));
    let attempt = format!("{:?}", pending.attempt("cookie"));
    assert!(attempt.contains("[redacted]"), "{attempt}");
}

/// Right claims for the attempt with this seed.
fn right(pending: &Pending) -> Map<String, Value> {
    map(json!({
        "iss": ISSUER, "aud": "us", "sub": "alice", "nonce": pending.nonce(),
        "iat": NOW.secs(), "exp": NOW.secs() + 60,
    }))
}

fn odd() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z:/.]{0,12}".prop_map(Value::from),
        Just(json!(["us"])),
        Just(json!(["us", "them"])),
        Just(json!({})),
    ]
}

proptest! {
    /// Whatever one of the members that matter becomes, no other login comes out of it.
    #[test]
    fn a_changed_claim_is_no_login(
        name in prop::sample::select(vec!["iss", "aud", "sub", "nonce", "iat", "exp"]),
        value in odd(),
    ) {
        let provider = provider();
        let pending = Pending::new(&TokenHash([1; 32]));
        let seed = pending.attempt("b").seed;
        let wanted = Wanted { seed: &seed, demanded: TWO, algorithm: Algorithm::ES256, access_token: None };
        let mut claims = right(&pending);
        prop_assert_eq!(provider.check(&claims, &wanted, NOW), Ok(()));
        let before = claims.insert(name.into(), value.clone());
        let passes = provider.check(&claims, &wanted, NOW).is_ok()
            && provider.identity(claims, Map::new(), TWO).is_ok();
        if passes && before != Some(value.clone()) {
            let harmless = match name {
                // A list with us alone says the same.
                "aud" => value == json!(["us"]),
                // Somebody else logged in, and that is what their provider says.
                "sub" => value.is_string() || value.is_u64(),
                "iat" => value.as_u64().is_some_and(|at| at <= NOW.secs() + 330),
                "exp" => value.as_u64().is_some_and(|at| at > NOW.secs() - 30),
                _ => false,
            };
            prop_assert!(harmless, "{name} = {value}");
        }
    }

    /// A customer is sent with exactly our parameters, whatever the operator wrote.
    #[test]
    fn an_authorization_url_has_each_parameter_once(
        client in "[ -~é]{1,12}",
        acr in prop::collection::vec("[!-~]{1,8}", 0..3),
        query in prop::option::of("[a-z]{1,4}=[a-z]{0,4}"),
    ) {
        let mut provider = provider();
        provider.client_id = client.as_str().into();
        provider.max_age = Some(Duration::from_secs(300));
        provider.prompt = Some("login consent".into());
        let values: Vec<Box<str>> = acr.iter().map(|acr| acr.as_str().into()).collect();
        provider.levels.acr = vec![(TWO, values)];
        let mut metadata = metadata();
        if let Some(query) = &query {
            metadata.authorization_endpoint = format!("https://op.example/auth?{query}").into();
        }
        let pending = Pending::new(&TokenHash([1; 32]));
        let back = "https://chat.example/.chatgate/callback/web";
        let url = provider.authorization_url(&metadata, &pending, back, TWO);
        let found = pairs(url.split_once('?').unwrap().1);
        let of = |name: &str| {
            let found: Vec<_> = found.iter().filter(|(known, _)| known == name).collect();
            (found.len() == 1).then(|| found[0].1.clone())
        };
        prop_assert_eq!(of("client_id"), Some(client));
        prop_assert_eq!(of("redirect_uri"), Some(back.into()));
        prop_assert_eq!(of("state"), Some(pending.state().into()));
        prop_assert_eq!(of("nonce"), Some(pending.nonce()));
        prop_assert_eq!(of("code_challenge"), Some(pending.code_challenge()));
        prop_assert_eq!(of("scope"), Some("openid email".into()));
        prop_assert_eq!(of("prompt"), Some("login consent".into()));
        prop_assert_eq!(of("acr_values"), (!acr.is_empty()).then(|| acr.join(" ")));
        let own = usize::from(query.is_some());
        prop_assert_eq!(found.len(), 10 + usize::from(!acr.is_empty()) + own);
    }
}
