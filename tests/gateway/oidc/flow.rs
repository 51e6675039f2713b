//! There and back.

use std::time::Duration;

use serde_json::{Value, json};

use super::{code, denied, depart, departed, gateway, outcome, tables};
use crate::setup::{CANARY, bot, continue_url, login_url, statement};
use crate::support::browser::{parameter, path_of};
use crate::support::{Browser, Gateway, Metrics, Process, Provider, Reply, Request, eventually};

#[test]
fn a_customer_logs_in_and_the_chat_goes_on() {
    let origin = bot();
    let provider = Provider::start();
    let tables = tables(
        &origin,
        &provider,
        "resume = \"replay\"",
        "scopes = [\"email\"]\nclaims = [\"email\"]",
    );
    let gateway = Gateway::start(&tables);
    let mut browser = gateway.browser();
    let challenge = statement(&mut browser, "c1");
    let there = depart(&mut browser, &login_url(&challenge));
    assert_eq!(parameter(&there, "scope").as_deref(), Some("openid email"));
    let redirect = format!("http://{}/.chatgate/callback/web", gateway.at.plain);
    assert_eq!(parameter(&there, "redirect_uri"), Some(redirect));
    for absent in ["acr_values", "max_age", "prompt"] {
        assert_eq!(parameter(&there, absent), None);
    }
    let back = provider.log_in(&there);
    assert_eq!(outcome(&mut browser, &back), "login-succeeded");
    assert!(
        browser
            .get("/.chatgate/done/login-succeeded")
            .contains("logged in")
    );
    // The held request was sent again, with the identity.
    assert!(browser.get(&continue_url(&challenge)).contains(CANARY));
    assert_eq!(origin.last().header("x-customer-id"), Some("alice"));
    assert!(statement(&mut browser, "c1").contains(CANARY));
    // The backend sees neither of our cookies.
    assert_eq!(browser.cookies.len(), 2);
    assert!(
        origin
            .seen()
            .iter()
            .all(|seen| seen.header("cookie").is_none())
    );
    // What came back is worth nothing any more.
    assert_eq!(outcome(&mut browser, &back), "token-used");
    assert_eq!(code(&browser.get(&login_url(&challenge))), "token-used");
    let counted = gateway.metrics();
    let of = |reason| {
        counted.sum(
            "chatgate_login_returns",
            &[("channel", "web"), ("reason", reason)],
        )
    };
    assert_eq!((of("login-succeeded"), of("token-used")), (1.0, 1.0));
}

#[test]
fn a_channel_may_lead_back_to_the_chat() {
    let provider = Provider::start();
    let place = "https://www.example.com/chat#open";
    let tables = tables(&bot(), &provider, &format!("return_to = \"{place}\""), "");
    let gateway = Gateway::start(&tables);
    let (mut browser, _, there) = departed(&gateway, "c1");
    let answer = browser.get(path_of(&provider.log_in(&there)));
    assert_eq!(answer.header("location"), Some(place));
}

#[test]
fn a_link_counts_until_a_login_is_complete() {
    let (gateway, provider) = gateway("");
    let mut browser = gateway.browser();
    let url = login_url(&statement(&mut browser, "c1"));
    // A scanner is there first, again and again.
    for _ in 0..3 {
        let mut scanner = gateway.browser();
        depart(&mut scanner, &url);
        let looked = scanner.send(Request::new("HEAD", path_of(&url)));
        assert_eq!(looked.status, 204);
    }
    // Two tabs of the customer's, one cookie; both may come back.
    let (one, two) = (depart(&mut browser, &url), depart(&mut browser, &url));
    assert_eq!(browser.cookies.len(), 2);
    assert_ne!(parameter(&one, "state"), parameter(&two, "state"));
    assert_ne!(parameter(&one, "nonce"), parameter(&two, "nonce"));
    let (first, second) = (provider.log_in(&one), provider.log_in(&two));
    assert_eq!(outcome(&mut browser, &second), "login-succeeded");
    assert_eq!(outcome(&mut browser, &first), "token-used");
    assert!(statement(&mut browser, "c1").contains(CANARY));
}

#[test]
fn several_chats_of_one_browser_log_in_beside_each_other() {
    let (gateway, provider) = gateway("");
    let mut browser = gateway.browser();
    let urls: Vec<_> = (0..4)
        .map(|chat| login_url(&statement(&mut browser, &format!("c{chat}"))))
        .collect();
    let ways: Vec<_> = urls.iter().map(|url| depart(&mut browser, url)).collect();
    assert_eq!(browser.cookies.len(), 2);
    for (chat, there) in ways.iter().enumerate().rev() {
        let back = provider.log_in(there);
        assert_eq!(outcome(&mut browser, &back), "login-succeeded");
        assert!(statement(&mut browser, &format!("c{chat}")).contains(CANARY));
    }
}

#[test]
fn what_the_provider_denies_is_an_outcome() {
    let (gateway, provider) = gateway("prompt = \"none\"");
    let (_, _, there) = departed(&gateway, "c");
    assert_eq!(parameter(&there, "prompt").as_deref(), Some("none"));
    let cases = [
        ("access_denied", "login-cancelled", false),
        ("login_required", "login-failed", false),
        ("interaction_required", "login-failed", false),
        ("temporarily_unavailable", "503 provider-unavailable", true),
        ("server_error", "503 provider-unavailable", true),
        ("invalid_scope", "502 provider-error", true),
        ("<script>", "502 provider-error", true),
    ];
    let issuer = provider.issuer();
    denied(&gateway, &provider, &[("iss", &issuer)], &cases);
}

#[test]
fn a_provider_that_is_away_loses_nothing() {
    let (gateway, provider) = gateway("timeout = \"300ms\"");
    let away = || Reply::new(503, "");
    let set = |path, reply: Option<Reply>| match reply {
        Some(reply) => drop(provider.plan().instead.insert(path, reply)),
        None => drop(provider.plan().instead.remove(path)),
    };
    let discovery = "/.well-known/openid-configuration";
    set(discovery, Some(away()));
    let mut browser = gateway.browser();
    let url = login_url(&statement(&mut browser, "c1"));
    let answer = browser.get(&url);
    assert_eq!(code(&answer), "503 provider-unavailable");
    assert!(answer.contains("Nothing is lost"), "{}", answer.text());
    // It is not asked for every customer who tries.
    for _ in 0..5 {
        assert_eq!(code(&browser.get(&url)), "503 provider-unavailable");
    }
    assert_eq!(provider.origin.seen_at(discovery).len(), 1);
    set(discovery, None);
    gateway.clock.advance(Duration::from_secs(3));
    for (path, reply, wanted) in [
        ("/token", away(), "503 provider-unavailable"),
        (
            "/token",
            Reply::new(200, "x").pause(Duration::from_secs(2)),
            "503 provider-unavailable",
        ),
        (
            "/token",
            Reply::new(200, "").cut(),
            "503 provider-unavailable",
        ),
        ("/token", Reply::new(200, "<html>"), "502 provider-error"),
        (
            "/token",
            Reply::json(&json!({"id_token": 7})),
            "502 provider-error",
        ),
        (
            "/token",
            Reply::new(200, vec![b' '; 70_000]),
            "502 provider-error",
        ),
        (
            "/token",
            Reply::new(302, "").header("Location", "http://127.0.0.1:1/"),
            "502 provider-error",
        ),
        (
            "/token",
            Reply::json(&json!({"error": "invalid_client"})).status(401),
            "502 provider-error",
        ),
        ("/jwks", away(), "503 provider-unavailable"),
    ] {
        let there = depart(&mut browser, &url);
        set(path, Some(reply));
        let back = provider.log_in(&there);
        assert_eq!(outcome(&mut browser, &back), wanted, "{path}");
        // The attempt is over, the login URL is not.
        assert_eq!(outcome(&mut browser, &back), "login-state", "{path}");
        set(path, None);
    }
    gateway.clock.advance(Duration::from_secs(11));
    let back = provider.log_in(&depart(&mut browser, &url));
    assert_eq!(outcome(&mut browser, &back), "login-succeeded");
    assert!(statement(&mut browser, "c1").contains(CANARY));
}

#[test]
fn a_new_key_is_fetched_once_and_the_old_one_is_gone() {
    let (gateway, provider) = gateway("");
    let (mut browser, _, there) = departed(&gateway, "c1");
    assert_eq!(
        outcome(&mut browser, &provider.log_in(&there)),
        "login-succeeded"
    );
    assert_eq!(provider.origin.seen_at("/jwks").len(), 1);
    gateway.clock.advance(Duration::from_secs(60));
    {
        let mut plan = provider.plan();
        plan.now += 60;
        plan.key = "rsa-a";
        plan.published = vec!["rsa-a"];
    }
    let (mut browser, _, there) = departed(&gateway, "c2");
    assert_eq!(
        outcome(&mut browser, &provider.log_in(&there)),
        "login-succeeded"
    );
    assert_eq!(provider.origin.seen_at("/jwks").len(), 2);
    // Names that nobody knows fetch nothing more for a while.
    provider.plan().key = "p256-a";
    for chat in ["c3", "c4", "c5"] {
        let (mut browser, _, there) = departed(&gateway, chat);
        assert_eq!(
            outcome(&mut browser, &provider.log_in(&there)),
            "proof-unknown-key"
        );
    }
    assert_eq!(provider.origin.seen_at("/jwks").len(), 2);
}

#[test]
fn a_level_is_asked_for_and_has_to_be_reached() {
    let oidc = "level = \"claimed\"\nacr_values = { claimed = [\"urn:one\"], verified = [\"urn:two\", \"urn:three\"] }\n\
                amr_values = { verified = [\"hwk\"] }\nmax_age = \"5m\"";
    let (gateway, provider) = gateway(oidc);
    let (mut browser, url, there) = departed(&gateway, "c1");
    assert_eq!(
        parameter(&there, "acr_values").as_deref(),
        Some("urn:two urn:three")
    );
    assert_eq!(parameter(&there, "max_age").as_deref(), Some("300"));
    let mut attempt = |claims| {
        provider.plan().claims = claims;
        let back = provider.log_in(&depart(&mut browser, &url));
        outcome(&mut browser, &back)
    };
    assert_eq!(attempt(json!({"acr": "urn:one"})), "login-level");
    assert_eq!(attempt(json!({"acr": "urn:four"})), "login-level");
    assert_eq!(attempt(json!({"acr": ["urn:two"]})), "login-level");
    assert_eq!(attempt(json!({"amr": "hwk"})), "login-level");
    let now = gateway.clock.now().secs();
    assert_eq!(
        attempt(json!({"acr": "urn:two", "auth_time": null})),
        "proof-claim"
    );
    assert_eq!(
        attempt(json!({"acr": "urn:two", "auth_time": now - 331})),
        "login-stale"
    );
    assert_eq!(
        attempt(json!({"acr": "urn:two", "auth_time": now + 600})),
        "proof-not-yet-valid"
    );
    assert_eq!(
        attempt(json!({"acr": "urn:two", "auth_time": now - 299})),
        "login-succeeded"
    );
    let (mut browser, _, there) = departed(&gateway, "c2");
    provider.plan().claims = json!({"amr": ["pwd", "hwk"]});
    assert_eq!(
        outcome(&mut browser, &provider.log_in(&there)),
        "login-succeeded"
    );
}

#[test]
fn a_route_asks_for_its_own_level() {
    let (origin, provider) = (bot(), Provider::start());
    let oidc =
        "level = \"claimed\"\nacr_values = { claimed = \"urn:one\", verified = \"urn:two\" }";
    let routes = ["claimed", "verified"].map(|level| {
        format!(
            "[[channel.web.route]]\nkind = \"message\"\npath = \"/{level}/{{id}}\"\n\
             interaction = {{ path = \"id\" }}\nlevel = \"{level}\"\n"
        )
    });
    let tables = tables(&origin, &provider, "", oidc);
    let gateway = Gateway::start(&format!("{tables}\n{}", routes.concat()));
    for (path, acr) in [
        ("/claimed/c1", "urn:one urn:two"),
        ("/verified/c2", "urn:two"),
    ] {
        let mut browser = gateway.browser();
        let there = {
            let url = login_url(&browser.get(path));
            depart(&mut browser, &url)
        };
        assert_eq!(parameter(&there, "acr_values").as_deref(), Some(acr));
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn userinfo_adds_claims_of_the_same_customer_only() {
    let origin = bot();
    let provider = Provider::start();
    let oidc = "userinfo = true\nsubject_claim = \"customer_number\"";
    let tables = tables(&origin, &provider, "", oidc).replace(
        "\"X-Customer-Id\" = \"subject\"",
        "\"X-Customer-Id\" = \"subject\", \"X-Mail\" = \"claims.email\", \"X-City\" = \"claims.city\"",
    );
    let gateway = Gateway::start(&tables);
    let (mut browser, url, _) = departed(&gateway, "c1");
    let mut attempt = |userinfo| {
        provider.plan().userinfo = userinfo;
        let back = provider.log_in(&depart(&mut browser, &url));
        outcome(&mut browser, &back)
    };
    assert_eq!(
        attempt(json!({"sub": "mallory", "customer_number": 7})),
        "proof-claim"
    );
    assert_eq!(attempt(json!({"customer_number": 7})), "proof-claim");
    assert_eq!(attempt(json!({"sub": "alice"})), "proof-claim");
    assert_eq!(attempt(json!([])), "502 provider-error");
    let good =
        json!({"sub": "alice", "customer_number": 7, "city": "Ede", "email": "x@example.com"});
    assert_eq!(attempt(good), "login-succeeded");
    assert!(statement(&mut browser, "c1").contains(CANARY));
    let seen = origin.last();
    assert_eq!(seen.header("x-customer-id"), Some("7"));
    assert_eq!(seen.header("x-city"), Some("Ede"));
    assert_eq!(seen.header("x-mail"), Some("alice@example.com"));
}

#[test]
fn a_client_proves_itself_in_three_ways() {
    let key = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/p256-b.pem");
    let private =
        format!("private_key = {{ algorithm = \"ES256\", pem = {{ file = \"{key}\" }} }}");
    for oidc in [
        "client_authentication = \"basic\"",
        "client_authentication = \"post\"",
        &private,
    ] {
        let (gateway, provider) = gateway(oidc);
        let (mut browser, _, there) = departed(&gateway, "c1");
        let back = provider.log_in(&there);
        assert_eq!(outcome(&mut browser, &back), "login-succeeded", "{oidc}");
    }
}

#[test]
fn nothing_of_a_login_is_in_log_or_metrics() {
    let provider = Provider::start();
    let process = Process::start(&tables(&bot(), &provider, "", "userinfo = true"));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    provider.plan().now = now.unwrap().as_secs();
    let mut browser = process.at.browser();
    let url = login_url(&statement(&mut browser, "c1"));
    let there = depart(&mut browser, &url);
    let back = provider.log_in(&there);
    assert_eq!(outcome(&mut browser, &back), "login-succeeded");
    assert_eq!(outcome(&mut browser, &back), "token-used");
    provider.plan().claims = json!({"nonce": "nonce-canary"});
    let second = login_url(&statement(&mut browser, "c2"));
    let bad = provider.log_in(&depart(&mut browser, &second));
    assert_eq!(outcome(&mut browser, &bad), "login-nonce");
    let token = provider.logout_token(&json!({}));
    let form = format!("logout_token={token}");
    let request = Request::new("POST", "/.chatgate/backchannel-logout/web")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(form);
    assert_eq!(browser.send(request).status, 200);
    eventually("the log has the logout", || {
        process.log().contains("logged-out").then_some(())
    });
    let metrics = Metrics::read(process.at.admin).text();
    let log = process.end();
    let of = |url: &str, name: &str| parameter(url, name).unwrap();
    let secrets = [
        of(&there, "state"),
        of(&there, "nonce"),
        of(&there, "code_challenge"),
        of(&back, "code"),
        path_of(&url).rsplit('/').next().unwrap().to_owned(),
        browser.cookies["chatgate-login"].clone(),
        token.split('.').nth(1).unwrap().to_owned(),
        "access-canary".into(),
        "oidc-secret".into(),
        "nonce-canary".into(),
        "alice@example.com".into(),
    ];
    for secret in secrets {
        assert!(!log.contains(&secret), "{secret} in {log}");
        assert!(!metrics.contains(&secret), "{secret}");
    }
    assert!(
        log.contains("login-nonce") && log.contains("\"callback\""),
        "{log}"
    );
}

/// What went wrong is found by the request that it went wrong for.
#[test]
fn the_log_tells_which_request_a_provider_failed() {
    let provider = Provider::start();
    let process = Process::start(&tables(&bot(), &provider, "", "userinfo = true"));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    provider.plan().now = now.unwrap().as_secs();
    let mut browser = process.at.browser();
    let fails = |chat: &str, browser: &mut Browser, path: Option<&'static str>| {
        let url = login_url(&statement(browser, chat));
        let there = depart(browser, &url);
        let Some(path) = path else {
            let said = [("error", "invalid_scope"), ("iss", &*provider.issuer())];
            let back = provider.back(&there, &said);
            let code = outcome(browser, &back);
            return assert!(code.ends_with("provider-error"), "{code}");
        };
        provider.plan().instead.insert(path, Reply::new(500, ""));
        let back = provider.log_in(&there);
        assert!(outcome(browser, &back).ends_with("provider-unavailable"));
        provider.plan().instead.clear();
    };
    for (chat, path) in [
        ("c1", Some("/token")),
        ("c2", Some("/userinfo")),
        ("c3", None),
    ] {
        fails(chat, &mut browser, path);
    }
    let lines = |member: &str, begins: &str| -> Vec<Value> {
        let log = process.log();
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let told = |line: &Value| line[member].as_str().is_some_and(|t| t.starts_with(begins));
        let lines = lines.filter(told);
        lines
            .map(|line: Value| line["request_id"].clone())
            .collect()
    };
    let failed = eventually("the log has all three", || {
        let failed = lines("verdict", "provider-");
        (failed.len() == 3).then_some(failed)
    });
    assert_eq!(lines("message", "the provider "), failed);
}
