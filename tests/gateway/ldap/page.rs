//! Customers log in on our own page.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::json;

use super::{Visitor, counted, gateway, leads, notice, tables};
use crate::records::Records;
use crate::setup::{CANARY, bot, continue_url, statement};
use crate::support::browser::path_of;
use crate::support::slapd::PASSWORD;
use crate::support::{Gateway, Reply, Request, Slapd};

#[test]
fn a_customer_logs_in_and_the_chat_goes_on() {
    let Some(slapd) = Slapd::start() else { return };
    let origin = bot();
    let page = "claims = { email = \"mail\", phones = \"mobile\" }\nlevel = \"verified\"";
    let tables = tables(&origin, "resume = \"replay\"", page, &slapd.table("")).replace(
        "\"X-Customer-Level\"",
        "\"X-Mail\" = \"claims.email\", \"X-Customer-Level\"",
    );
    let gateway = Gateway::start(&tables);
    let mut alice = Visitor::new(&gateway, "c1");
    assert_eq!(leads(&alice.log_in(" Alice ", PASSWORD)), "login-succeeded");
    // The held request was sent again, with the identity.
    let waited = alice.browser.get(&continue_url(&alice.challenge));
    assert!(waited.contains(CANARY));
    let seen = origin.last();
    assert_eq!(seen.header("x-customer-id"), Some("alice"));
    assert_eq!(seen.header("x-mail"), Some("alice@example.com"));
    assert_eq!(seen.header("x-customer-level"), Some("verified"));
    assert!(statement(&mut alice.browser, "c1").contains(CANARY));
    // The backend sees no cookie of ours, and the link is spent.
    assert!(
        origin
            .seen()
            .iter()
            .all(|seen| seen.header("cookie").is_none())
    );
    assert_eq!(leads(&alice.browser.get(&alice.url)), "token-used");
    assert_eq!(leads(&alice.log_in("alice", PASSWORD)), "token-used");
    assert_eq!(counted(&gateway, "login-succeeded"), 1.0);
}

#[test]
fn the_page_runs_nothing_and_leads_nowhere() {
    let page =
        "title = \"Example & Co\"\ncolour = \"#ffd500\"\nlogo = \"https://cdn.example.com/l.png\"";
    let Some((gateway, _slapd)) = gateway(page) else {
        return;
    };
    let alice = Visitor::new(&gateway, "c1");
    let page = &alice.page;
    let policy = page.header("content-security-policy").unwrap();
    for part in [
        "default-src 'none'",
        "style-src 'sha256-",
        "form-action 'self';",
        "frame-ancestors 'none'",
        "img-src https://cdn.example.com;",
        "base-uri 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains("script"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(page.header("referrer-policy"), Some("same-origin"));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    for part in [
        "Example &amp; Co",
        "background:#ffd500",
        "color:#000",
        "<label for=\"username\"",
        "autocomplete=\"current-password\"",
        "<html lang=\"en\"",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("<script"));
    // The page after it looks alike.
    let done = gateway
        .browser()
        .get("/.chatgate/done/token-used?channel=web");
    assert!(done.contains("Example &amp; Co") && done.contains("background:#ffd500"));
    let policy = done.header("content-security-policy").unwrap();
    assert!(policy.contains("form-action 'none'") && !policy.contains("unsafe"));
    // One cookie, however many pages; and nobody but browsers brings it along.
    let cookie = page.header("set-cookie").unwrap();
    assert!(cookie.starts_with("chatgate-login=") && cookie.contains("HttpOnly; SameSite=Lax"));
}

#[test]
fn the_page_speaks_the_customers_language() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("nl.json"), "{\"log-in\": \"Inloggen\"}").unwrap();
    let page = format!("translations = \"{}\"", dir.path().display());
    let Some((gateway, _slapd)) = gateway(&page) else {
        return;
    };
    let mut alice = Visitor::new(&gateway, "c1");
    for (accept, word, tag) in [
        ("de-CH, en;q=0.5", "Passwort", "de"),
        ("fr, es;q=0.9", "Contraseña", "es"),
        ("nl", "Inloggen", "nl"),
        ("fr", "Password", "en"),
    ] {
        let request = Request::get(path_of(&alice.url)).header("Accept-Language", accept);
        let page = alice.send(request);
        assert!(page.contains(word), "{accept}");
        assert_eq!(page.header("content-language"), Some(tag));
        assert!(page.header("vary").unwrap().contains("Accept-Language"));
    }
    let form = alice.form("alice", "wrong").header("Accept-Language", "de");
    assert!(notice(&alice.send(form)).contains("passen nicht zusammen"));
    // So do the pages after it.
    for (code, words) in [
        ("login-succeeded", "Sie sind angemeldet"),
        ("token-used", "gilt nicht mehr"),
    ] {
        let page = Request::get(&format!("/.chatgate/done/{code}")).header("Accept-Language", "de");
        assert!(alice.browser.send(page).contains(words), "{code}");
    }
}

#[test]
fn whoever_is_not_in_the_group_stays_out() {
    let page = "group = \"(&(objectClass=groupOfNames)(member={{ dn }}))\"\ngroup_base = \"ou=groups,dc=example,dc=com\"";
    let Some((gateway, _slapd)) = gateway(page) else {
        return;
    };
    let mut bob = Visitor::new(&gateway, "c1");
    let denied = bob.log_in("bob", "bob-password");
    assert_eq!(
        (denied.status, &*notice(&denied)),
        (403, "This account may not be used here.")
    );
    // That is told to those alone who know the password.
    let wrong = bob.log_in("bob", "wrong");
    assert_eq!(
        (wrong.status, &*notice(&wrong)),
        (422, "User name and password do not match.")
    );
    assert_eq!(leads(&bob.log_in("alice", PASSWORD)), "login-succeeded");
    assert_eq!(counted(&gateway, "login-group"), 1.0);
}

#[test]
fn a_customer_may_turn_back() {
    let Some((gateway, _slapd)) = gateway("") else {
        return;
    };
    let mut alice = Visitor::new(&gateway, "c1");
    let body = format!("seal={}&username=&password=&cancel=yes", alice.seal());
    let form = super::posted(&alice.url, &body);
    assert_eq!(leads(&alice.send(form)), "login-cancelled");
    assert_eq!(leads(&alice.browser.get(&alice.url)), "token-used");
}

#[test]
fn a_login_is_bound_like_every_other() {
    let Some(slapd) = Slapd::start() else { return };
    for binding in ["confirm", "same-browser"] {
        let settings = format!("resume = \"replay\"\nlogin_binding = \"{binding}\"");
        let gateway = Gateway::start(&tables(&bot(), &settings, "", &slapd.table("")));
        // Another browser than that of the chat.
        let chat = Visitor::new(&gateway, "c1");
        let mut other = gateway.browser();
        let page = other.get(&chat.url);
        let mut victim = Visitor {
            browser: other,
            page,
            url: chat.url.clone(),
            challenge: chat.challenge.clone(),
        };
        let answer = victim.log_in("alice", PASSWORD);
        let place = leads(&answer);
        assert!(place.contains("/.chatgate/bind/"), "{place}");
        let asked = victim.browser.get(&place);
        match binding {
            "confirm" => {
                assert!(asked.contains("Is this your chat?"));
                let said = Request::new("POST", path_of(&place)).body("mine=no");
                assert_eq!(leads(&victim.browser.send(said)), "login-cancelled");
            }
            _ => assert_eq!(leads(&asked), "wrong-browser"),
        }
        let mut browser = chat.browser;
        assert!(!statement(&mut browser, "c1").contains(CANARY));
    }
}

#[test]
fn a_directory_that_is_away_costs_nobody_anything() {
    let Some((gateway, slapd)) = gateway("max_failures = 2\nthrottle = { user = 2, address = 2 }")
    else {
        return;
    };
    let mut alice = Visitor::new(&gateway, "c1");
    slapd.die();
    for name in ["alice", "nobody", "alice", "alice"] {
        let away = alice.log_in(name, PASSWORD);
        assert_eq!(away.status, 503);
        assert!(away.header("retry-after").is_some());
        assert!(notice(&away).contains("Nothing is lost"));
    }
    slapd.come_back();
    assert_eq!(leads(&alice.log_in("alice", PASSWORD)), "login-succeeded");
    assert_eq!(counted(&gateway, "directory-unavailable"), 4.0);
}

#[test]
fn records_that_are_away_cost_no_try() {
    let Some(slapd) = Slapd::start() else { return };
    let records = Records::start();
    records.say(Reply::new(503, ""));
    let directory = format!(
        "{}\n[directory.crm]\nkind = \"http\"\nurl = \"http://{}\"\n\
         [[channel.web.match]]\nname = \"crm\"\ndirectory = \"crm\"\n\
         path = \"/{{{{ subject }}}}\"\nequal = {{ email = {{ field = \"mail\" }} }}\n",
        slapd.table(""),
        records.origin.address
    );
    let page =
        "max_failures = 1\nthrottle = { user = 2, address = 4 }\nclaims = { email = \"mail\" }";
    let gateway = Gateway::start(&tables(&bot(), "", page, &directory));
    let mut alice = Visitor::new(&gateway, "c1");
    for _ in 0..3 {
        let told = alice.log_in("alice", PASSWORD);
        assert_eq!(leads(&told), "record-unavailable");
    }
    records.say(Reply::json(&json!({ "mail": "alice@example.com" })));
    assert_eq!(leads(&alice.log_in("alice", PASSWORD)), "login-succeeded");
    // That the password is right gives no more tries of the records than others have.
    records.say(Reply::new(503, ""));
    gateway.clock.advance(std::time::Duration::from_secs(3600));
    let mut alice = Visitor::new(&gateway, "c2");
    for _ in 0..4 {
        let told = alice.log_in("alice", PASSWORD);
        assert_eq!(leads(&told), "record-unavailable");
    }
    assert_eq!(alice.log_in("alice", PASSWORD).status, 429);
}

#[test]
fn a_directory_that_says_nothing_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = format!(
        "[directory.people]\nkind = \"ldap\"\nurl = \"ldap://{}\"\nbase = \"dc=example,dc=com\"\n\
         connect_timeout = \"200ms\"\ntimeout = \"200ms\"",
        silent.local_addr().unwrap()
    );
    let gateway = Gateway::start(&tables(&bot(), "", "", &directory));
    let mut alice = Visitor::new(&gateway, "c1");
    assert_eq!(alice.log_in("alice", PASSWORD).status, 503);
    assert_eq!(alice.log_in("alice", PASSWORD).status, 503);
}

#[test]
fn what_is_configured_wrongly_is_not_the_customers_fault() {
    let Some(slapd) = Slapd::start() else { return };
    for (page, directory) in [
        ("", slapd.table("").replace("service-canary", "another")),
        ("base = \"ou=nowhere,dc=example,dc=com\"", slapd.table("")),
        // A subject that this customer has twice, or not at all.
        ("claims = { a = \"uid\" }", slapd.table("")),
        ("claims = { b = \"uid\" }", slapd.table("")),
    ] {
        let mut tables = tables(&bot(), "", page, &directory);
        if page.contains("a =") {
            tables = tables.replace("subject = \"uid\"", "subject = \"mobile\"");
        } else if page.contains("b =") {
            tables = tables.replace("subject = \"uid\"", "subject = \"title\"");
        }
        let gateway = Gateway::start(&tables);
        let mut alice = Visitor::new(&gateway, "c1");
        let failed = alice.log_in("alice", PASSWORD);
        assert_eq!(failed.status, 502, "{page}");
        assert!(notice(&failed).contains("Nothing is lost"));
        assert_eq!(counted(&gateway, "directory-error"), 1.0);
    }
}

#[test]
fn a_login_url_that_ran_out_shows_no_form() {
    let Some((gateway, _slapd)) = gateway("") else {
        return;
    };
    let mut alice = Visitor::new(&gateway, "c1");
    let form = alice.form("alice", PASSWORD);
    gateway.clock.advance(Duration::from_secs(600));
    assert_eq!(leads(&alice.send(form)), "token-expired");
    assert_eq!(leads(&alice.browser.get(&alice.url)), "token-expired");
}
