//! The provider logs a customer out.

use std::time::Duration;

use serde_json::{Value, json};

use super::{code, departed, gateway, outcome, tables};
use crate::setup::{CANARY, bot, is_challenge, statement};
use crate::support::browser::path_of;
use crate::support::provider::{mac_with_public_key, unsigned, with_key_of_another};
use crate::support::{Answer, Browser, Gateway, Provider, Request};

/// Logs a customer in, in a chat of their own.
fn logged_in(gateway: &Gateway, provider: &Provider, chat: &str, subject: &str) -> Browser {
    provider.plan().subject = subject.into();
    provider.plan().now = gateway.clock.now().secs();
    let (mut browser, _, there) = departed(gateway, chat);
    let back = provider.log_in(&there);
    assert_eq!(outcome(&mut browser, &back), "login-succeeded");
    assert!(statement(&mut browser, chat).contains(CANARY));
    browser
}

fn post(gateway: &Gateway, token: &str) -> Answer {
    let request = Request::new("POST", "/.chatgate/backchannel-logout/web")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(format!("logout_token={token}"));
    gateway.browser().send(request)
}

#[test]
fn a_logout_ends_every_login_of_the_customer_and_no_other() {
    let (gateway, provider) = gateway("");
    let mut one = logged_in(&gateway, &provider, "c1", "alice");
    let mut two = logged_in(&gateway, &provider, "c2", "alice");
    let mut bob = logged_in(&gateway, &provider, "c3", "bob");
    let answer = post(&gateway, &provider.logout_token(&json!({})));
    assert_eq!((answer.status, answer.text()), (200, String::new()));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(is_challenge(&statement(&mut one, "c1")));
    assert!(is_challenge(&statement(&mut two, "c2")));
    assert!(statement(&mut bob, "c3").contains(CANARY));
    assert_eq!(
        gateway
            .metrics()
            .sum("chatgate_revocations", &[("channel", "web")]),
        2.0
    );
    // The same token again ends nothing more.
    let mut back = logged_in(&gateway, &provider, "c4", "alice");
    assert_eq!(
        post(&gateway, &provider.logout_token(&json!({}))).status,
        400
    );
    assert!(statement(&mut back, "c4").contains(CANARY));
}

#[test]
fn a_logout_of_a_session_ends_that_session() {
    let (gateway, provider) = gateway("");
    provider.plan().claims = json!({"sid": "s1"});
    let mut one = logged_in(&gateway, &provider, "c1", "alice");
    provider.plan().claims = json!({"sid": "s2\"x"});
    let mut two = logged_in(&gateway, &provider, "c2", "alice");
    provider.plan().claims = json!({"sid": null});
    let mut three = logged_in(&gateway, &provider, "c3", "alice");
    let only = |sid: &str, jti: &str| json!({"sub": null, "sid": sid, "jti": jti});
    let send = |claims: &Value| post(&gateway, &provider.logout_token(claims)).status;
    assert_eq!(send(&only("s3", "1")), 200);
    assert_eq!(send(&json!({"sub": "bob", "sid": "s1", "jti": "2"})), 200);
    assert!(statement(&mut one, "c1").contains(CANARY));
    assert_eq!(send(&only("s1", "3")), 200);
    assert!(is_challenge(&statement(&mut one, "c1")));
    assert!(statement(&mut two, "c2").contains(CANARY));
    assert_eq!(send(&only("s2\"x", "4")), 200);
    assert!(is_challenge(&statement(&mut two, "c2")));
    // A login of which no session is known goes with its customer.
    assert!(statement(&mut three, "c3").contains(CANARY));
    assert_eq!(send(&json!({"sid": "s9", "jti": "5"})), 200);
    assert!(is_challenge(&statement(&mut three, "c3")));
}

#[test]
fn a_customer_who_is_known_by_another_claim_is_found() {
    let provider = Provider::start();
    provider.plan().claims = json!({"number": "n1", "sid": null});
    let oidc = "subject_claim = \"number\"\nclaims = []";
    let gateway = Gateway::start(&tables(&bot(), &provider, "", oidc));
    let mut alice = logged_in(&gateway, &provider, "c1", "alice");
    let other = provider.logout_token(&json!({"sub": "n1"}));
    assert_eq!(post(&gateway, &other).status, 200);
    assert!(statement(&mut alice, "c1").contains(CANARY));
    let right = provider.logout_token(&json!({"jti": "j2"}));
    assert_eq!(post(&gateway, &right).status, 200);
    assert!(is_challenge(&statement(&mut alice, "c1")));
}

#[test]
fn a_login_that_nobody_has_confirmed_yet_is_ended_too() {
    let provider = Provider::start();
    let tables = tables(&bot(), &provider, "login_binding = \"confirm\"", "");
    let gateway = Gateway::start(&tables);
    let confirm = |browser: &mut Browser, place: &str| {
        let yes = Request::new("POST", path_of(place))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body("mine=yes");
        code(&browser.send(yes))
    };
    let arrived = |chat: &str| {
        let (mut browser, _, there) = departed(&gateway, chat);
        let answer = browser.get(path_of(&provider.log_in(&there)));
        assert_eq!(answer.status, 303);
        let place = answer.header("location").unwrap().to_owned();
        assert!(place.contains("/.chatgate/bind/"), "{place}");
        (browser, place)
    };
    let (mut alice, place) = arrived("c1");
    assert_eq!(confirm(&mut alice, &place), "login-succeeded");
    assert!(statement(&mut alice, "c1").contains(CANARY));
    let (mut late, place) = arrived("c2");
    assert_eq!(
        post(&gateway, &provider.logout_token(&json!({}))).status,
        200
    );
    assert_ne!(confirm(&mut late, &place), "login-succeeded");
    assert!(is_challenge(&statement(&mut late, "c2")));
    assert!(is_challenge(&statement(&mut alice, "c1")));
}

#[test]
fn a_forged_logout_ends_nothing() {
    let (gateway, provider) = gateway("");
    let mut alice = logged_in(&gateway, &provider, "c1", "alice");
    let now = gateway.clock.now().secs();
    let event = "http://schemas.openid.net/event/backchannel-logout";
    let refused = |token: &str, shown: &str| {
        let answer = post(&gateway, token);
        assert_eq!(answer.status, 400, "{shown}: {}", answer.text());
        assert_eq!(
            answer.json(),
            json!({"error": "invalid_request"}),
            "{shown}"
        );
    };
    for over in [
        json!({"iss": "https://evil.example"}),
        json!({"aud": "another"}),
        json!({"aud": null}),
        json!({"events": null}),
        json!({"events": {}}),
        json!({"events": [event]}),
        json!({"events": {event: true}}),
        json!({"nonce": "n"}),
        json!({"nonce": null, "sub": null}),
        json!({"sub": 7}),
        json!({"sub": ""}),
        json!({"sid": ["s"]}),
        json!({"jti": null}),
        json!({"jti": ""}),
        json!({"jti": 7}),
        json!({"iat": null}),
        json!({"iat": now - 3600}),
        json!({"iat": now + 3600, "exp": now + 7200}),
        json!({"exp": now - 60}),
        json!({"exp": null}),
    ] {
        refused(&provider.logout_token(&over), &over.to_string());
    }
    let claims = provider.logout_claims(&json!({}));
    for forge in [unsigned, mac_with_public_key, with_key_of_another] {
        refused(&forge(&claims), "forged");
    }
    // An ID token is no logout token.
    let id_token = json!({"events": null, "nonce": "n", "sub": "alice"});
    refused(&provider.logout_token(&id_token), "an ID token");
    let good = provider.logout_token(&json!({}));
    for token in ["", "x", &good[1..], &format!("{good}&logout_token={good}")] {
        refused(token, token);
    }
    for (path, kind) in [
        ("none", "application/x-www-form-urlencoded"),
        ("web", "application/json"),
    ] {
        let request = Request::new("POST", &format!("/.chatgate/backchannel-logout/{path}"))
            .header("Content-Type", kind)
            .body(format!("logout_token={good}"));
        assert_eq!(gateway.browser().send(request).status, 400, "{path} {kind}");
    }
    let long = "x".repeat(20_000);
    refused(&long, "too long");
    assert!(statement(&mut alice, "c1").contains(CANARY));
    assert_eq!(gateway.metrics().sum("chatgate_revocations", &[]), 0.0);
    // None of it used the right one up.
    assert_eq!(post(&gateway, &good).status, 200);
    assert!(is_challenge(&statement(&mut alice, "c1")));
    // It cannot be sent again when it has been forgotten: by then it is too old.
    for minutes in [1, 5, 20] {
        gateway.clock.advance(Duration::from_secs(minutes * 60));
        refused(&good, "again");
    }
}
