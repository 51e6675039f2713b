//! Logins, and a service with the company's records.

use serde_json::{Value, json};

use super::{MATCH, Records, channel, claims, counted, record, usual};
use crate::oidc::{code, depart, outcome};
use crate::setup::{CANARY, bot, challenged, continue_url, is_challenge, login_url, statement};
use crate::support::browser::path_of;
use crate::support::{Answer, Gateway, Provider, Reply, login};

/// The return of a page that logged Alice in.
fn success(gateway: &Gateway, login_url: &str) -> Value {
    let mut told = gateway.site.success(login_url, "alice");
    told["claims"] = claims();
    told
}

fn returned(gateway: &Gateway, login_url: &str) -> Answer {
    let callback = gateway.site.callback(login_url);
    gateway.site.post(&callback, &success(gateway, login_url))
}

#[test]
fn a_login_counts_with_what_the_records_say() {
    let (gateway, records, origin) = usual(MATCH);
    let mut browser = gateway.browser();
    let challenge = statement(&mut browser, "c1");
    let told = returned(&gateway, &login_url(&challenge));
    assert_eq!(told.status, 200, "{}", told.text());
    assert!(browser.get(&continue_url(&challenge)).contains(CANARY));
    assert_eq!(origin.last().header("x-customer-id"), Some("alice"));
    assert_eq!(origin.last().header("x-segment"), Some("gold"));
    assert_eq!(records.origin.count(), 1);
}

#[test]
fn a_login_that_the_records_refuse_is_over() {
    let (gateway, records, _) = usual(MATCH);
    let mut other = record();
    other["phone"] = "030 99999".into();
    for (number, (reply, reason)) in [
        (Reply::new(404, ""), "record-missing"),
        (
            Reply::json(&json!([record(), record()])),
            "record-ambiguous",
        ),
        (Reply::json(&other), "record-mismatch"),
    ]
    .into_iter()
    .enumerate()
    {
        records.say(reply);
        gateway.clock.advance(std::time::Duration::from_secs(360));
        let chat = format!("c{number}");
        let (mut browser, url) = challenged(&gateway, &chat);
        let told = super::reason(&gateway, || returned(&gateway, &url));
        assert_eq!(told, reason);
        assert!(is_challenge(&statement(&mut browser, &chat)));
        // As after a failure, the login URL is spent.
        records.say(Reply::json(&record()));
        assert_eq!(returned(&gateway, &url).status, 401);
        assert!(is_challenge(&statement(&mut browser, &chat)));
        assert_eq!(counted(&gateway, reason), 1);
    }
}

#[test]
fn records_that_are_away_leave_the_login_url_good() {
    let (gateway, records, origin) = usual(MATCH);
    records.say(Reply::new(503, ""));
    let (mut browser, url) = challenged(&gateway, "c1");
    for _ in 0..2 {
        let told = returned(&gateway, &url);
        let said = (told.status, told.code());
        assert_eq!(said, (503, "record-unavailable".to_owned()));
    }
    // The browser's own return is told the same, on a page.
    let mut by_browser = gateway.site.claims(&url, "alice");
    by_browser["claims"] = claims();
    let jwt = gateway.site.jwt(&by_browser);
    let back = format!("{}&return={jwt}", gateway.site.callback(&url));
    assert_eq!(outcome(&mut browser, &back), "record-unavailable");
    assert!(
        browser
            .get("/.chatgate/done/record-unavailable")
            .contains("Nothing is lost")
    );
    records.say(Reply::json(&record()));
    assert_eq!(outcome(&mut browser, &back), "login-succeeded");
    assert!(statement(&mut browser, "c1").contains(CANARY));
    assert_eq!(origin.last().header("x-segment"), Some("gold"));
}

#[test]
fn nobody_is_looked_up_for_a_login_that_failed_or_is_over() {
    let (gateway, records, _) = usual(MATCH);
    let (_browser, url) = challenged(&gateway, "c1");
    let callback = gateway.site.callback(&url);
    let mut failed = success(&gateway, &url);
    failed["outcome"] = "failure".into();
    failed.as_object_mut().unwrap().remove("subject");
    failed.as_object_mut().unwrap().remove("claims");
    let told = gateway.site.post(&callback, &failed);
    assert_eq!(told.json()["result"], "login-failed");
    assert_eq!(returned(&gateway, &url).status, 401);
    assert_eq!(records.origin.count(), 0);
}

#[test]
fn a_login_that_has_yet_to_be_bound_is_matched_first() {
    let (records, origin) = (Records::start(), bot());
    let tables = channel(&origin, &format!("{}{MATCH}", records.directory()));
    let tables = tables.replace(
        "resume = \"replay\"",
        "resume = \"replay\"\nlogin_binding = \"confirm\"",
    );
    let gateway = Gateway::start(&tables);
    let (_browser, url) = challenged(&gateway, "c1");
    records.say(Reply::new(404, ""));
    let told = super::reason(&gateway, || {
        let told = returned(&gateway, &url);
        assert!(!told.contains("continue"));
        told
    });
    assert_eq!(told, "record-missing");
    gateway.clock.advance(std::time::Duration::from_secs(6));
    records.say(Reply::json(&record()));
    let (_browser, url) = challenged(&gateway, "c2");
    let told = returned(&gateway, &url);
    assert_eq!(told.status, 200, "{}", told.text());
    assert!(told.json()["continue"].is_string());
}

#[test]
fn a_providers_customers_are_matched() {
    let (records, origin, provider) = (Records::start(), bot(), Provider::start());
    let tables = channel(&origin, &format!("{}{MATCH}", records.directory()));
    let tables = tables.replace(login::LOGIN, "");
    let oidc = provider.table("web", "scopes = [\"email\"]");
    let gateway = Gateway::start(&format!("{tables}\n{oidc}"));
    provider.plan().claims = claims();
    let mut browser = gateway.browser();
    let url = login_url(&statement(&mut browser, "c1"));

    records.say(Reply::new(503, ""));
    let back = provider.log_in(&depart(&mut browser, &url));
    let page = browser.get(path_of(&back));
    assert_eq!(code(&page), "503 record-unavailable");
    assert!(page.header("retry-after").is_some() && page.contains("Nothing is lost"));
    // The attempt is spent, the login URL is not.
    assert_eq!(outcome(&mut browser, &back), "login-state");

    records.say(Reply::new(404, ""));
    let back = provider.log_in(&depart(&mut browser, &url));
    assert_eq!(outcome(&mut browser, &back), "record-refused");
    assert_eq!(counted(&gateway, "record-missing"), 1);
    assert_eq!(browser.get("/.chatgate/done/record-missing").status, 404);
    let page = browser.get("/.chatgate/done/record-refused");
    assert!(page.contains("customer service") && page.contains("record-refused"));
    for (language, said) in [("de", "Kundendienst"), ("es", "atención al cliente")] {
        let mut elsewhere = gateway.browser();
        elsewhere
            .headers
            .push(("Accept-Language".into(), language.into()));
        let page = elsewhere.get("/.chatgate/done/record-refused");
        assert!(page.contains(said), "{}", page.text());
    }
    assert!(is_challenge(&statement(&mut browser, "c1")));

    records.say(Reply::json(&record()));
    gateway.clock.advance(std::time::Duration::from_secs(6));
    provider.plan().now += 6;
    let url = login_url(&statement(&mut browser, "c1"));
    let back = provider.log_in(&depart(&mut browser, &url));
    assert_eq!(outcome(&mut browser, &back), "login-succeeded");
    assert!(statement(&mut browser, "c1").contains(CANARY));
    assert_eq!(origin.last().header("x-segment"), Some("gold"));
}
