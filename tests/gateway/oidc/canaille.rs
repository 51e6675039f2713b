//! Against Canaille, an OpenID provider whose customers are in an LDAP server.

use super::{code, depart, outcome, two_channels};
use crate::setup::{CANARY, bot, is_challenge, login_url, statement};
use crate::support::browser::parameter;
use crate::support::canaille::SECRET;
use crate::support::slapd::PASSWORD;
use crate::support::{Browser, Canaille, Origin, Process, eventually};

const ALICE: (&str, &str) = ("alice", PASSWORD);
const BOB: (&str, &str) = ("bob@example.com", "bob-password");

/// A gateway with two channels whose customers log in there: `web` proves itself by a
/// secret, `app` by a key.
fn start() -> Option<(Process, Canaille, Origin)> {
    let address = Canaille::address()?;
    let origin = bot();
    let key = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/p256-b.pem");
    let channels = two_channels(&origin);
    let tables = format!(
        r#"{channels}
[channel.web.oidc]
issuer = "http://{address}"
client_id = "chatgate-web"
client_secret = "{SECRET}"
scopes = ["email"]
claims = ["email"]
amr_values = {{ verified = ["pwd"] }}
max_age = "5m"
[channel.app.oidc]
issuer = "http://{address}"
client_id = "chatgate-app"
private_key = {{ algorithm = "ES256", pem = {{ file = "{key}" }}, kid = "p256-b", audience = "token_endpoint" }}
scopes = ["profile"]
userinfo = true
"#
    );
    let process = Process::start(&tables);
    let endpoints = format!("http://{}/.chatgate", process.at.plain);
    Some((process, Canaille::start(address, &endpoints), origin))
}

#[test]
fn a_customer_in_ldap_logs_in_at_a_real_provider() {
    let Some((gateway, mut provider, origin)) = start() else {
        return;
    };
    let mut browser = gateway.at.browser();
    let mut customer = Browser::new(provider.address);
    let url = login_url(&statement(&mut browser, "c1"));
    let there = depart(&mut browser, &url);
    let back = provider.walk(&mut customer, &there, ALICE, "accept");
    assert_eq!(
        parameter(&back, "iss"),
        Some(format!("http://{}", provider.address))
    );
    let ended = outcome(&mut browser, &back);
    let told = || format!("{}\n{}", provider.output(), gateway.log());
    assert_eq!(ended, "login-succeeded", "{}", told());
    assert!(statement(&mut browser, "c1").contains(CANARY));
    let seen = origin.last();
    assert_eq!(seen.header("x-customer-id"), Some("alice"));
    assert_eq!(seen.header("x-mail"), Some("alice@example.com"));
    assert_eq!(seen.header("x-customer-level"), Some("verified"));
    assert_eq!(outcome(&mut browser, &back), "token-used");

    // The other channel, the other way to prove who asks; the session is there already.
    let url = login_url(&browser.get("/app/chat/c1/statement"));
    let there = depart(&mut browser, &url);
    let back = provider.walk(&mut customer, &there, ALICE, "accept");
    assert_eq!(
        outcome(&mut browser, &back),
        "login-succeeded",
        "{}",
        told()
    );
    assert!(browser.get("/app/chat/c1/statement").contains(CANARY));

    // A code that was used is taken from nobody.
    let mut other = gateway.at.browser();
    let url = login_url(&statement(&mut other, "c2"));
    let there = depart(&mut other, &url);
    let state = |url: &str| parameter(url, "state").unwrap();
    let swapped = back
        .replace(&state(&back), &state(&there))
        .replace("/callback/app", "/callback/web");
    assert_eq!(outcome(&mut other, &swapped), "login-code");

    // The provider comes back with other keys, which are fetched. That is not done
    // without end: the login URL stays good until it is.
    provider.restart();
    let mut customer = Browser::new(provider.address);
    eventually("new keys", || {
        let there = depart(&mut other, &url);
        let back = provider.walk(&mut customer, &there, BOB, "accept");
        match &*outcome(&mut other, &back) {
            "login-succeeded" => Some(()),
            again => {
                assert_eq!(again, "proof-unknown-key");
                None
            }
        }
    });
    assert!(statement(&mut other, "c2").contains(CANARY));
    assert_eq!(origin.last().header("x-customer-id"), Some("bob"));
}

#[test]
fn a_customer_in_ldap_may_refuse_what_a_real_provider_asks() {
    let Some((gateway, provider, _)) = start() else {
        return;
    };
    let mut browser = gateway.at.browser();
    let mut customer = Browser::new(provider.address);
    let url = login_url(&statement(&mut browser, "c1"));
    let there = depart(&mut browser, &url);
    let back = provider.walk(&mut customer, &there, ALICE, "deny");
    assert_eq!(parameter(&back, "error").as_deref(), Some("access_denied"));
    assert_eq!(outcome(&mut browser, &back), "login-cancelled");
    assert_eq!(code(&browser.get(&url)), "token-used");
    assert!(is_challenge(&statement(&mut browser, "c1")));
}
