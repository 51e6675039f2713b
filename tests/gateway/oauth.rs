//! The login at an OAuth server without OpenID.

use std::time::Duration;

use serde_json::{Value, json};

use crate::oidc::{code, denied, depart, departed, outcome};
use crate::setup::{self, CANARY, OWNER, bot, continue_url, is_challenge, login_url, statement};
use crate::support::browser::{parameter, path_of};
use crate::support::provider::SECRET;
use crate::support::{Browser, Gateway, Origin, Process, Provider, Reply, Request, login};

fn tables(origin: &Origin, server: &Provider, settings: &str, oauth: &str) -> String {
    let channel = setup::channel(origin, settings, OWNER).replace(login::LOGIN, "");
    format!("{channel}\n{}", server.oauth("web", oauth))
}

fn gateway(oauth: &str) -> (Gateway, Provider) {
    let server = Provider::start();
    let tables = tables(&bot(), &server, "resume = \"replay\"", oauth);
    (Gateway::start(&tables), server)
}

#[test]
fn a_customer_logs_in_and_the_chat_goes_on() {
    for method in ["basic", "post"] {
        let origin = bot();
        let server = Provider::start();
        let oauth = format!(
            "subject_claim = \"id\"\nclaims = [\"email\"]\nscopes = [\"profile\"]\n\
             client_authentication = \"{method}\""
        );
        let tables = tables(&origin, &server, "resume = \"replay\"", &oauth).replace(
            "\"X-Customer-Id\" = \"subject\"",
            "\"X-Customer-Id\" = \"subject\", \"X-Mail\" = \"claims.email\", \"X-Sub\" = \"claims.sub\"",
        );
        let gateway = Gateway::start(&tables);
        server.plan().userinfo = json!({"id": 7, "sub": "s", "email": "a@example.com", "x": 1});
        let mut browser = gateway.browser();
        let challenge = statement(&mut browser, "c1");
        let there = depart(&mut browser, &login_url(&challenge));
        assert_eq!(parameter(&there, "scope").as_deref(), Some("profile"));
        assert_eq!(
            parameter(&there, "code_challenge_method").as_deref(),
            Some("S256")
        );
        for absent in ["nonce", "acr_values", "max_age", "prompt"] {
            assert_eq!(parameter(&there, absent), None);
        }
        let back = server.log_in(&there);
        assert_eq!(outcome(&mut browser, &back), "login-succeeded");
        assert!(browser.get(&continue_url(&challenge)).contains(CANARY));
        let seen = origin.last();
        assert_eq!(seen.header("x-customer-id"), Some("7"));
        assert_eq!(seen.header("x-mail"), Some("a@example.com"));
        assert_eq!(seen.header("x-sub"), None);
        assert_eq!(outcome(&mut browser, &back), "token-used");
        // Nothing is discovered.
        assert_eq!(server.origin.count(), 2);
    }
}

#[test]
fn a_login_is_bound_like_any_other() {
    let server = Provider::start();
    let tables = tables(&bot(), &server, "login_binding = \"confirm\"", "");
    let gateway = Gateway::start(&tables);
    let (mut browser, _, there) = departed(&gateway, "c1");
    assert_eq!(parameter(&there, "scope"), None);
    let answer = browser.get(path_of(&server.log_in(&there)));
    let place = answer.header("location").unwrap().to_owned();
    assert!(place.contains("/.chatgate/bind/"), "{place}");
    assert!(is_challenge(&statement(&mut browser, "c1")));
    let yes = Request::new("POST", path_of(&place))
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body("mine=yes");
    assert_eq!(code(&browser.send(yes)), "login-succeeded");
    assert!(statement(&mut browser, "c1").contains(CANARY));
}

#[test]
fn what_the_server_denies_is_an_outcome() {
    let (gateway, server) = gateway("");
    let cases = [
        ("access_denied", "login-cancelled", false),
        ("login_required", "login-failed", false),
        ("user_suspended", "login-failed", false),
        ("<script>", "login-failed", false),
        ("temporarily_unavailable", "503 provider-unavailable", true),
        ("server_error", "503 provider-unavailable", true),
        ("invalid_scope", "502 provider-error", true),
        ("unauthorized_client", "502 provider-error", true),
    ];
    denied(&gateway, &server, &[], &cases);
}

#[test]
fn a_server_that_is_away_or_talks_nonsense_loses_nothing() {
    let (gateway, server) = gateway("timeout = \"300ms\"");
    let mut browser = gateway.browser();
    let url = login_url(&statement(&mut browser, "c1"));
    let html = |body: &str| Reply::new(200, body).header("Content-Type", "text/html");
    let away = "503 provider-unavailable";
    let wrong = "502 provider-error";
    let bearer = |kind: &str| Reply::json(&json!({"access_token": "x", "token_type": kind}));
    for (path, reply, wanted) in [
        ("/token", Reply::new(503, ""), away),
        ("/token", Reply::new(429, ""), away),
        (
            "/token",
            Reply::new(200, "x").pause(Duration::from_secs(2)),
            away,
        ),
        ("/token", Reply::new(200, "").cut(), away),
        (
            "/token",
            Reply::new(200, "access_token=x&token_type=bearer"),
            wrong,
        ),
        ("/token", Reply::json(&json!({"access_token": "x"})), wrong),
        (
            "/token",
            Reply::json(&json!({"access_token": 7, "token_type": "Bearer"})),
            wrong,
        ),
        (
            "/token",
            Reply::json(&json!({"error": "bad_verification_code"})),
            wrong,
        ),
        ("/token", bearer("DPoP"), wrong),
        // It is asked with this one, and does not know it.
        ("/token", bearer("bearer"), wrong),
        (
            "/token",
            Reply::new(302, "").header("Location", "http://127.0.0.1:1/"),
            wrong,
        ),
        ("/userinfo", Reply::new(503, ""), away),
        ("/userinfo", Reply::new(200, "").cut(), away),
        ("/userinfo", Reply::new(403, ""), wrong),
        ("/userinfo", html(r#"{"sub": "alice"}"#), wrong),
        ("/userinfo", html("<html>"), wrong),
        ("/userinfo", Reply::new(200, r#"{"sub": "alice"}"#), wrong),
        ("/userinfo", Reply::json(&json!(["alice"])), wrong),
        ("/userinfo", Reply::json(&json!("alice")), wrong),
        (
            "/userinfo",
            Reply::new(200, r#"{"sub": "alice", "sub": "bob"}"#)
                .header("Content-Type", "application/json"),
            wrong,
        ),
        (
            "/userinfo",
            Reply::json(&json!({"sub": "a".repeat(70_000)})),
            wrong,
        ),
    ] {
        let there = depart(&mut browser, &url);
        let shown = format!("{path}: {reply:?}");
        server.plan().instead.insert(path, reply);
        let back = server.log_in(&there);
        assert_eq!(outcome(&mut browser, &back), wanted, "{shown}");
        // The attempt is over, the login URL is not.
        assert_eq!(outcome(&mut browser, &back), "login-state", "{shown}");
        server.plan().instead.remove(path);
    }
    let back = server.log_in(&depart(&mut browser, &url));
    assert_eq!(outcome(&mut browser, &back), "login-succeeded");
    assert!(statement(&mut browser, "c1").contains(CANARY));
}

#[test]
fn userinfo_without_a_subject_is_nobody() {
    let (gateway, server) = gateway("");
    let (mut browser, url, _) = departed(&gateway, "c1");
    let mut attempt = |userinfo: Value| {
        server.plan().userinfo = userinfo;
        let back = server.log_in(&depart(&mut browser, &url));
        outcome(&mut browser, &back)
    };
    for userinfo in [
        json!({}),
        json!({"id": "alice"}),
        json!({"sub": null}),
        json!({"sub": ""}),
        json!({"sub": ["alice"]}),
        json!({"sub": true}),
        json!({"sub": 1.5}),
        json!({"sub": "a\r\nb"}),
        json!({"sub": "a".repeat(1025)}),
    ] {
        assert_eq!(attempt(userinfo.clone()), "proof-claim", "{userinfo}");
    }
    assert_eq!(attempt(json!({"sub": "alice"})), "login-succeeded");
}

#[test]
fn a_login_reaches_the_level_that_is_written_and_no_other() {
    let (gateway, server) = gateway("level = \"claimed\"");
    let (mut browser, url, there) = departed(&gateway, "c1");
    server.plan().userinfo = json!({"sub": "alice", "acr": "verified", "level": "verified"});
    assert_eq!(outcome(&mut browser, &server.log_in(&there)), "login-level");
    depart(&mut browser, &url);
    assert!(is_challenge(&statement(&mut browser, "c1")));
}

#[test]
fn a_state_counts_once_in_its_own_browser_chat_and_channel() {
    let (server, second) = (Provider::start(), Provider::start());
    let origin = bot();
    let web = tables(&origin, &server, "", "");
    let app = setup::channel(&origin, "", OWNER)
        .replace(login::LOGIN, "")
        .replace("channel.web", "channel.app")
        .replace("path = \"/", "path = \"/app/")
        .replace(&origin.upstream("bot"), "");
    let gateway = Gateway::start(&format!("{web}\n{app}\n{}", second.oauth("app", "")));
    let (mut browser, url, there) = departed(&gateway, "c1");
    let back = server.log_in(&there);
    // Another browser, without a cookie and with its own; another channel.
    assert_eq!(outcome(&mut gateway.browser(), &back), "login-browser");
    let (mut other, _, elsewhere) = departed(&gateway, "c2");
    assert_eq!(outcome(&mut other, &back), "login-browser");
    let crossed = back.replace("/callback/web", "/callback/app");
    assert_eq!(outcome(&mut browser, &crossed), "return-channel");
    // A code of somebody else's login: its verifier is another.
    let stolen = server.code(&elsewhere);
    let swapped = server.back(&there, &[("code", stolen.as_str())]);
    assert_eq!(outcome(&mut browser, &swapped), "login-code");
    assert_eq!(outcome(&mut browser, &back), "login-state");
    // States that nobody gave out, and none.
    let there = depart(&mut browser, &url);
    let own = parameter(&there, "state").unwrap();
    let right = server.log_in(&there);
    for (state, wanted) in [
        (format!("{}{}", &own[..43], "A".repeat(43)), "login-state"),
        ("A".repeat(86), "token-unknown"),
        ("x".into(), "login-state"),
        (String::new(), "login-state"),
    ] {
        let forged = right.replace(&own, &state);
        assert_eq!(outcome(&mut browser, &forged), wanted, "{state}");
    }
    let twice = format!("{right}&state={own}");
    assert_eq!(outcome(&mut browser, &twice), "return-duplicate");
    assert_eq!(outcome(&mut browser, &right), "login-succeeded");
    assert!(statement(&mut browser, "c1").contains(CANARY));
    // A code that was used, with the state of a new chat.
    let used = parameter(&right, "code").unwrap();
    let mut third = gateway.browser();
    let way = login_url(&statement(&mut third, "c3"));
    let there = depart(&mut third, &way);
    let replayed = server.back(&there, &[("code", used.as_str())]);
    assert_eq!(outcome(&mut third, &replayed), "login-code");
    // The second channel has its own server.
    let mut fourth = gateway.browser();
    let challenge = fourth.get("/app/chat/c4/statement");
    let there = depart(&mut fourth, &login_url(&challenge));
    assert!(there.starts_with(&second.issuer()), "{there}");
    assert_eq!(
        outcome(&mut fourth, &second.log_in(&there)),
        "login-succeeded"
    );
    assert!(fourth.get("/app/chat/c4/statement").contains(CANARY));
    assert!(is_challenge(&statement(&mut third, "c3")));
}

#[test]
fn a_server_names_itself_if_it_is_known_to() {
    // Without `issuer` its name says nothing to us.
    let (plain, server) = gateway("");
    let (mut browser, _, there) = departed(&plain, "c1");
    let back = server.log_in(&there) + "&iss=https%3A%2F%2Fevil.example";
    assert_eq!(outcome(&mut browser, &back), "login-succeeded");
    let (named, server) = gateway("issuer = \"https://login.example\"");
    let (mut browser, url, _) = departed(&named, "c1");
    for (issuer, wanted) in [
        ("", "login-issuer"),
        ("&iss=https%3A%2F%2Fevil.example", "login-issuer"),
        ("&iss=https%3A%2F%2Flogin.example", "login-succeeded"),
    ] {
        let back = server.log_in(&depart(&mut browser, &url)) + issuer;
        assert_eq!(outcome(&mut browser, &back), wanted, "{issuer}");
    }
}

#[test]
fn nobody_logs_out_behind_the_back() {
    let (gateway, server) = gateway("");
    let (mut browser, _, there) = departed(&gateway, "c1");
    assert_eq!(
        outcome(&mut browser, &server.log_in(&there)),
        "login-succeeded"
    );
    let post = |channel: &str| {
        let token = server.logout_token(&json!({}));
        let request = Request::new("POST", &format!("/.chatgate/backchannel-logout/{channel}"))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(format!("logout_token={token}"));
        let answer = gateway.browser().send(request);
        (answer.status, answer.text())
    };
    assert_eq!(post("web"), post("none"));
    assert_eq!(post("web").0, 400);
    assert!(statement(&mut browser, "c1").contains(CANARY));
}

#[test]
fn nothing_of_a_login_is_in_log_or_metrics() {
    let server = Provider::start();
    let process = Process::start(&tables(&bot(), &server, "", ""));
    let mut browser = process.at.browser();
    let url = login_url(&statement(&mut browser, "c1"));
    let there = depart(&mut browser, &url);
    server
        .plan()
        .instead
        .insert("/userinfo", Reply::new(500, "access-canary"));
    let failed = server.log_in(&there);
    assert_eq!(outcome(&mut browser, &failed), "503 provider-unavailable");
    server.plan().instead.clear();
    server.plan().userinfo = json!({"sub": "alice-canary", "email": "alice@example.com"});
    let back = server.log_in(&depart(&mut browser, &url));
    assert_eq!(outcome(&mut browser, &back), "login-succeeded");
    let cookie = browser.cookies["chatgate-login"].clone();
    let log = process.end();
    for secret in [
        parameter(&back, "state").unwrap(),
        parameter(&back, "code").unwrap(),
        path_of(&url).rsplit('/').next().unwrap().to_owned(),
        cookie,
        "access-canary".into(),
        "oidc-secret".into(),
        "alice-canary".into(),
        "alice@example.com".into(),
    ] {
        assert!(!log.contains(&secret), "{secret} in {log}");
    }
}

#[test]
fn the_example_works() {
    let server = Provider::start();
    server.plan().userinfo = json!({"id": 7, "email": "a@example.com"});
    let backend = Origin::start(|_| {
        Reply::json(&json!([
            {"recipient_id": "u1", "text": CANARY, "custom": {"authentication_required": true}},
        ]))
    });
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/examples/oauth.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let tables = text.find("[upstream.bot]").map(|at| &text[at..]).unwrap();
    let tables = tables
        .replace(
            "http://127.0.0.1:5005",
            &format!("http://{}", backend.address),
        )
        .replace(
            "http://127.0.0.1:8081/authorize",
            &format!("{}/auth", server.issuer()),
        )
        .replace(
            "http://127.0.0.1:8081/me",
            &format!("{}/userinfo", server.issuer()),
        )
        .replace("http://127.0.0.1:8081", &server.issuer())
        .replace("{ file = \"keys/web.key\" }", &format!("\"{SECRET}\""));
    let gateway = Gateway::start(&tables);
    let mut browser = gateway.browser();
    let message = json!({"sender": "u1", "message": "my statement"});
    let say =
        |browser: &mut Browser| browser.send(Request::post("/webhooks/rest/webhook", &message));
    let challenge = say(&mut browser);
    assert!(!challenge.contains(CANARY));
    let url = challenge.json()[0]["custom"]["login_url"]
        .as_str()
        .unwrap()
        .to_owned();
    let there = depart(&mut browser, &url);
    let answer = browser.get(path_of(&server.log_in(&there)));
    let place = answer.header("location").unwrap().to_owned();
    let yes = Request::new("POST", path_of(&place))
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body("mine=yes");
    assert_eq!(code(&browser.send(yes)), "login-succeeded");
    assert!(say(&mut browser).contains(CANARY));
    assert_eq!(backend.last().header("x-customer-id"), Some("7"));
}
