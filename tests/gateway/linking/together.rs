//! Linking together with what else decides about a login: our own page in front of a
//! directory, and the company's records.

use std::time::Duration;

use serde_json::{Value, json};

use super::back::{BACK, LINKING as BY_BACK, door};
use super::{Chat, link, opens};
use crate::ldap::{self, Visitor, leads, notice};
use crate::records::Records;
use crate::support::browser::parameter;
use crate::support::slapd::PASSWORD;
use crate::support::{Reply, Slapd, login};

const BY_URL: &str = r#"url = "https://platform.example/link?nonce={{ ticket }}""#;

/// Customers log in on our own page.
fn page(more: &str) -> String {
    format!(
        "\n[channel.web.login_page]\ndirectory = \"people\"\nfilter = \"{}\"\nsubject = \"uid\"\n\
         claims = {{ email = \"mail\", number = \"employeeNumber\" }}\n{more}\n",
        ldap::FILTER
    )
}

/// They have to be in the records, with their number.
const MATCH: &str = r#"
[[channel.web.match]]
name = "crm"
directory = "crm"
path = "/customers?mail={{ claims.email }}"
equal = { number = { field = "number" } }
fetch = { segment = "class" }
"#;

fn record() -> Value {
    json!({"number": "17", "class": "gold"})
}

fn start(linking: &str, login: &str, directories: &str) -> Chat {
    Chat::among(
        |_| linking.to_owned(),
        login,
        directories,
        |_| Reply::new(200, "{}"),
    )
}

/// With our own page, and with records that have Alice.
fn recorded(linking: &str) -> Option<(Chat, Slapd, Records)> {
    let slapd = Slapd::start()?;
    let records = Records::start();
    records.say(Reply::json(&record()));
    let directories = slapd.table("") + &records.directory();
    let chat = start(linking, &(page("") + MATCH), &directories);
    Some((chat, slapd, records))
}

/// A customer before our page, opened from the chat.
fn visitor(chat: &Chat, customer: &str) -> Visitor {
    let url = chat.challenged("web", customer);
    Visitor::before(chat.gateway.browser(), &url)
}

/// Alice logs in there; the ticket that her browser takes to the platform.
fn handed_over(visitor: &mut Visitor) -> String {
    let place = leads(&visitor.log_in("alice", PASSWORD));
    assert!(place.contains("/.chatgate/bind/"), "{place}");
    let there = opens(&mut visitor.browser, &place);
    let ticket = there.strip_prefix("https://platform.example/link?nonce=");
    ticket.unwrap_or_else(|| panic!("{there}")).to_owned()
}

#[test]
fn a_customer_in_the_directory_counts_once_the_platform_says_so() {
    let Some(slapd) = Slapd::start() else { return };
    let chat = start(BY_URL, &page(""), &slapd.table(""));
    let mut alice = visitor(&chat, "U1");
    let again = alice.log_in("alice", "another");
    assert!(notice(&again).contains("do not match"));
    let ticket = handed_over(&mut alice);
    // Neither a message of the customer's nor the login URL makes it count.
    chat.hear("U1", json!({"type": "message"}));
    assert!(chat.bot.last().header("x-customer-id").is_none());
    assert_eq!(leads(&alice.browser.get(&alice.url)), "token-used");
    assert_eq!(leads(&alice.log_in("alice", PASSWORD)), "token-used");
    assert!(!chat.linked("U1"));
    assert_eq!(chat.counted("login-succeeded"), 0.0);

    chat.links("U1", &ticket);
    assert!(chat.linked("U1") && !chat.linked("U2"));
}

#[test]
fn a_link_that_does_not_come_about_ends_a_login_on_our_page() {
    let Some(slapd) = Slapd::start() else { return };
    let chat = start(BY_URL, &page(""), &slapd.table(""));
    for (teller, result, reason) in [
        ("U1", "failed", "link-refused"),
        // It is somebody else whom the platform takes for the customer.
        ("U2", "ok", "link-foreign"),
    ] {
        let mut alice = visitor(&chat, "U1");
        let ticket = handed_over(&mut alice);
        chat.hear(teller, link(result, &ticket));
        assert_eq!(chat.counted(reason), 1.0);
        chat.hear("U1", link("ok", &ticket));
        assert_eq!(leads(&alice.browser.get(&alice.url)), "token-used");
        assert!(!chat.linked("U1") && !chat.linked("U2"));
    }
    assert_eq!(chat.counted("login-succeeded"), 0.0);
    let ticket = handed_over(&mut visitor(&chat, "U1"));
    chat.hear("U1", link("ok", &ticket));
    assert!(chat.linked("U1"));
}

#[test]
fn our_page_keeps_the_way_back() {
    let Some(slapd) = Slapd::start() else { return };
    let chat = start(BY_BACK, &page("max_failures = 2"), &slapd.table(""));
    let url = chat.challenged("web", "U1");
    let mut browser = chat.gateway.browser();
    assert_eq!(opens(&mut browser, &url), "/.chatgate/done/link-target");
    let mut alice = Visitor::before(browser, &door(&url, BACK));
    // Browsers follow a form to the places in its policy alone.
    let policy = alice.page.header("content-security-policy").unwrap();
    assert!(policy.contains("form-action 'self' https://platform.example;"));
    assert!(!alice.page.text().contains("platform.example"));
    alice.log_in("alice", "another");
    let place = leads(&alice.log_in("alice", PASSWORD));
    let there = opens(&mut alice.browser, &place);
    let ticket = there.strip_prefix(&format!("{BACK}&authorization_code="));
    let ticket = ticket.unwrap_or_else(|| panic!("{there}"));
    assert!(!chat.linked("U1"));
    chat.hear("U1", link("ok", ticket));
    assert!(chat.linked("U1"));

    // Whoever turns back, or fails too often, goes there without a code.
    let door = |customer| {
        let url = door(&chat.challenged("web", customer), BACK);
        Visitor::before(chat.gateway.browser(), &url)
    };
    let mut bob = door("U2");
    let cancelled = format!("seal={}&username=&password=&cancel=yes", bob.seal());
    let cancelled = ldap::posted(&bob.url, &cancelled);
    assert_eq!(leads(&bob.send(cancelled)), BACK);
    let mut bob = door("U2");
    bob.log_in("bob", "another");
    assert_eq!(leads(&bob.log_in("bob", "another")), BACK);
    assert!(!chat.linked("U2"));
}

#[test]
fn the_records_are_asked_at_the_login_and_their_word_counts_with_the_link() {
    let Some((chat, _slapd, records)) = recorded(BY_URL) else {
        return;
    };
    let mut alice = visitor(&chat, "U1");
    alice.log_in("alice", "another");
    assert_eq!(records.origin.count(), 0, "nobody has logged in");
    let ticket = handed_over(&mut alice);
    assert_eq!(records.origin.count(), 1);
    assert!(!chat.linked("U1"));
    // What they say later is of the next login.
    records.say(Reply::new(404, ""));
    chat.gateway.clock.advance(Duration::from_secs(360));
    chat.hear("U1", link("ok", &ticket));
    assert_eq!(chat.bot.last().header("x-customer-id"), Some("alice"));
    assert_eq!(chat.bot.last().header("x-segment"), Some("gold"));
    assert!(chat.linked("U1"));
    assert_eq!(records.origin.count(), 1);
}

#[test]
fn a_login_that_the_records_refuse_has_no_ticket() {
    let Some((chat, _slapd, records)) = recorded(BY_URL) else {
        return;
    };
    for (number, (reply, reason)) in [
        (Reply::new(404, ""), "record-missing"),
        (
            Reply::json(&json!([record(), record()])),
            "record-ambiguous",
        ),
        (Reply::json(&json!({"number": "18"})), "record-mismatch"),
    ]
    .into_iter()
    .enumerate()
    {
        records.say(reply);
        chat.gateway.clock.advance(Duration::from_secs(360));
        let customer = format!("U{number}");
        let mut alice = visitor(&chat, &customer);
        assert_eq!(leads(&alice.log_in("alice", PASSWORD)), "record-refused");
        assert_eq!(chat.counted(reason), 1.0);
        // As after a failure, the login URL is spent.
        records.say(Reply::json(&record()));
        assert_eq!(leads(&alice.log_in("alice", PASSWORD)), "token-used");
        assert!(!chat.linked(&customer));
    }
    assert_eq!(chat.counted("login-unbound"), 0.0);
}

#[test]
fn records_that_are_away_leave_the_login_url_good() {
    let Some((chat, _slapd, records)) = recorded(BY_URL) else {
        return;
    };
    records.say(Reply::new(503, ""));
    let mut alice = visitor(&chat, "U1");
    let away = alice.log_in("alice", PASSWORD);
    match away.status {
        303 => assert_eq!(leads(&away), "record-unavailable"),
        status => assert_eq!(status, 503, "{}", away.text()),
    }
    records.say(Reply::json(&record()));
    let url = alice.url.clone();
    let mut alice = Visitor::before(alice.browser, &url);
    let ticket = handed_over(&mut alice);
    chat.hear("U1", link("ok", &ticket));
    assert!(chat.linked("U1"));
}

#[test]
fn whom_the_records_refuse_goes_back_without_a_code() {
    let records = Records::start();
    let login = login::LOGIN.to_owned() + &MATCH.replace("claims.email", "subject");
    let chat = start(BY_BACK, &login, &records.directory());
    let site = &chat.gateway.site;
    let mut browser = chat.gateway.browser();
    for by_browser in [false, true] {
        records.say(Reply::new(404, ""));
        chat.gateway.clock.advance(Duration::from_secs(360));
        let page = opens(&mut browser, &door(&chat.challenged("web", "U1"), BACK));
        if by_browser {
            let jwt = site.jwt(&site.claims(&page, "alice"));
            let back = format!("{}&return={jwt}", site.callback(&page));
            assert_eq!(opens(&mut browser, &back), BACK);
        } else {
            let answer = site.post(&site.callback(&page), &site.success(&page, "alice"));
            assert_eq!((answer.status, &*answer.code()), (403, "record-refused"));
            assert!(!answer.contains("/bind/") && !answer.contains("authorization_code"));
        }
        assert!(!chat.linked("U1"));
    }
    assert_eq!(chat.counted("record-missing"), 2.0);

    records.say(Reply::json(&record()));
    chat.gateway.clock.advance(Duration::from_secs(360));
    let page = opens(&mut browser, &door(&chat.challenged("web", "U1"), BACK));
    let mut told = site.success(&page, "alice");
    told["claims"] = json!({"number": "17"});
    let answer = site.post(&site.callback(&page), &told);
    let place = answer.json()["continue"].as_str().unwrap().to_owned();
    let there = opens(&mut browser, &place);
    let ticket = parameter(&there, "authorization_code").unwrap();
    assert!(!chat.linked("U1"));
    chat.hear("U1", link("ok", &ticket));
    assert!(chat.linked("U1"));
}
