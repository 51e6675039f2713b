//! The browser goes to a URL of the platform's, with a token that the platform gave for
//! this customer and with the ticket, which comes back in a signed event.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Chat, events, lands_at, link, opens};
use crate::setup::CANARY;
use crate::support::browser::{parameter, path_of};
use crate::support::{Reply, Request};

/// What the platform answers when it is asked for a token.
type Plan = Arc<Mutex<Option<Reply>>>;

fn start() -> (Chat, Plan) {
    let plan: Plan = Arc::default();
    let told = Arc::clone(&plan);
    let chat = Chat::start(
        |platform| {
            let at = platform.address;
            format!(
                r#"url = "https://platform.example/link?linkToken={{{{ fetched }}}}&nonce={{{{ ticket }}}}"
fetch = {{ url = "http://{at}/user/{{{{ interaction }}}}/linkToken", sign = {{ kind = "bearer", token = "channel-token" }}, value = "$.linkToken" }}
"#
            )
        },
        "",
        move |seen| {
            if !seen.target.starts_with("/user/") {
                return Reply::new(200, "{}");
            }
            let usual = || Reply::json(&json!({"linkToken": format!("for{}", seen.target)}));
            told.lock().unwrap().clone().unwrap_or_else(usual)
        },
    );
    (chat, plan)
}

/// A customer has logged in and is at the platform; the ticket that it got.
fn handed_over(chat: &Chat, channel: &str, customer: &str) -> String {
    let place = chat.proven(&chat.challenged(channel, customer));
    let url = opens(&mut chat.gateway.browser(), &place);
    parameter(&url, "nonce").unwrap()
}

#[test]
fn a_login_counts_once_the_platform_says_whose_it_is() {
    let (chat, _) = start();
    let page = chat.challenged("web", "U1");
    assert!(
        chat.gateway.site.trusts(&page),
        "the page's own URL: {page}"
    );
    let place = chat.proven(&page);
    // Nobody is asked for a token before it is needed, nor with anything but a ticket.
    let mut browser = chat.gateway.browser();
    let unknown = opens(&mut browser, &format!("/.chatgate/bind/{}", "A".repeat(43)));
    assert_eq!(unknown, "/.chatgate/done/token-unknown");
    assert!(chat.platform.seen_at("/user/U1/linkToken").is_empty());

    let url = opens(&mut browser, &place);
    let asked = chat.platform.seen_at("/user/U1/linkToken");
    let [asked] = &asked[..] else {
        panic!("{asked:?}")
    };
    assert_eq!(
        (&*asked.method, asked.header("authorization")),
        ("POST", Some("Bearer channel-token"))
    );
    let (before, ticket) = url.split_once("&nonce=").unwrap();
    let token = "for%2Fuser%2FU1%2FlinkToken";
    assert_eq!(
        before,
        format!("https://platform.example/link?linkToken={token}")
    );
    assert_eq!(ticket.len(), 43);
    // The platform has not said anything yet.
    assert!(!chat.linked("U1"));

    let ticket = handed_over(&chat, "web", "U1");
    chat.bot.clear();
    chat.links("U1", &ticket);
    // The bot gets the event as it came.
    let event = link("ok", &ticket);
    assert_eq!(chat.bot.last().json(), events("U1", vec![event.clone()]));
    assert!(chat.linked("U1") && !chat.linked("U2"));

    // The ticket is worth nothing any more.
    let again = opens(&mut browser, &place);
    assert_eq!(
        again, "/.chatgate/done/token-revoked",
        "there was a newer one"
    );
    for customer in ["U1", "U2"] {
        chat.hear(customer, event.clone());
    }
    assert_eq!(
        (chat.counted("login-succeeded"), chat.counted("token-used")),
        (1.0, 2.0)
    );
    assert!(chat.linked("U1") && !chat.linked("U2"));
}

#[test]
fn a_login_that_another_customer_brings_is_over() {
    let (chat, _) = start();
    // The attacker sent his login URL to a victim, who logged in: and it is she whom
    // the platform takes for the customer.
    let ticket = handed_over(&chat, "web", "attacker");
    assert_eq!(chat.hear("victim", link("ok", &ticket)).status, 202);
    assert!(chat.bot.last().header("x-customer-id").is_none());
    assert_eq!(chat.counted("link-foreign"), 1.0);
    assert!(!chat.linked("victim"));
    // Nor does the ticket count for the attacker any more.
    chat.hear("attacker", link("ok", &ticket));
    assert!(!chat.linked("attacker"));
    assert_eq!(chat.counted("login-succeeded"), 0.0);
}

#[test]
fn only_a_signed_event_counts() {
    let (chat, _) = start();
    let ticket = handed_over(&chat, "web", "U1");
    let body = events("U1", vec![link("ok", &ticket)]);
    let unsigned = Request::post("/web/events", &body);
    assert_eq!(chat.post(unsigned).code(), "signature-missing");
    let forged = Request::post("/web/events", &body).header("X-Signature", "AAAA");
    assert_eq!(chat.post(forged).code(), "signature-wrong");
    // A signature of another body.
    let other = Request::post(
        "/web/events",
        &events("U1", vec![json!({"type": "message"})]),
    );
    let other = chat.signed(other);
    let moved = Request {
        body: body.to_string().into(),
        ..other
    };
    assert_eq!(chat.post(moved).code(), "signature-wrong");
    // What the bot sends says nothing of a login.
    let pushed = json!({"to": "U1", "events": [link("ok", &ticket)]});
    assert_eq!(chat.post(Request::post("/web/push", &pushed)).status, 200);
    assert_eq!(chat.counted("login-succeeded"), 0.0);
    chat.hear("U1", link("ok", &ticket));
    assert!(chat.linked("U1"));
}

#[test]
fn tickets_are_not_crossed_between_channels() {
    let (chat, _) = start();
    let ticket = handed_over(&chat, "two", "U1");
    chat.challenged("web", "U1");
    chat.hear_on("web", "U1", link("ok", &ticket));
    assert_eq!(chat.counted("link-foreign"), 1.0);
    assert!(!chat.linked("U1"));
    assert!(chat.private("two", "U2")["text"].is_null());
    // It was not that channel's to end.
    let ticket = handed_over(&chat, "two", "U3");
    chat.hear_on("web", "U3", link("failed", &ticket));
    chat.hear_on("two", "U3", link("ok", &ticket));
    assert_eq!(chat.private("two", "U3")["text"], CANARY);
    assert!(!chat.linked("U3"));
}

#[test]
fn a_ticket_runs_out_and_a_newer_one_revokes_it() {
    let (chat, _) = start();
    let ticket = handed_over(&chat, "web", "U1");
    chat.gateway.clock.advance(Duration::from_secs(600));
    chat.hear("U1", link("ok", &ticket));
    assert_eq!(chat.counted("token-expired"), 1.0);
    assert!(!chat.linked("U1"));
    let old = handed_over(&chat, "web", "U1");
    let ticket = handed_over(&chat, "web", "U1");
    chat.hear("U1", link("ok", &old));
    assert_eq!(chat.counted("token-revoked"), 1.0);
    // A login URL that is made meanwhile takes nothing away.
    assert!(!chat.linked("U1"));
    chat.hear("U1", link("ok", &ticket));
    assert!(chat.linked("U1"));
}

#[test]
fn nothing_but_a_ticket_is_one() {
    let (chat, _) = start();
    let page = chat.challenged("web", "U1");
    let token = parameter(&page, "token").unwrap();
    // The token is the customer's before anybody logged in.
    for nonce in [token.as_str(), &"A".repeat(43), "x", "é", &"A".repeat(5000)] {
        assert_eq!(chat.hear("U1", link("ok", nonce)).status, 202, "{nonce}");
        assert_eq!(
            chat.hear("U1", link("failed", nonce)).status,
            202,
            "{nonce}"
        );
    }
    assert_eq!(chat.counted("token-unknown"), 10.0);
    let place = chat.proven(&page);
    // Nor does the word of a page count that is never shown.
    let said = Request::new("POST", path_of(&place)).body("mine=yes");
    assert_eq!(lands_at(&chat.post(said)), "/.chatgate/done/wrong-browser");
    let ticket = place.rsplit('/').next().unwrap();
    // Two logins in one request, or one with two ends.
    for pair in [
        vec![link("ok", ticket), link("ok", &"A".repeat(43))],
        vec![link("ok", ticket), link("failed", ticket)],
        vec![json!({"link": {"result": "ok", "nonce": [ticket]}})],
    ] {
        let body = events("U1", pair);
        let heard = chat.post_signed(Request::post("/web/events", &body));
        assert_eq!(heard.status, 202);
    }
    assert_eq!(chat.counted("login-succeeded"), 0.0);
}

#[test]
fn a_platform_that_does_not_link_ends_the_login() {
    let (chat, _) = start();
    let ticket = handed_over(&chat, "web", "U1");
    chat.hear("U1", link("failed", &ticket));
    assert_eq!(chat.counted("link-refused"), 1.0);
    chat.hear("U1", link("ok", &ticket));
    assert_eq!(chat.counted("login-succeeded"), 0.0);
    // The customer asks again.
    let ticket = handed_over(&chat, "web", "U1");
    chat.hear("U1", link("ok", &ticket));
    assert!(chat.linked("U1"));
}

#[test]
fn a_link_that_is_gone_ends_the_login() {
    let (chat, _) = start();
    for customer in ["U1", "U2"] {
        let ticket = handed_over(&chat, "web", customer);
        chat.hear(customer, link("ok", &ticket));
        assert!(chat.linked(customer));
    }
    chat.hear("U1", json!({"link": {"result": "gone"}}));
    assert!(chat.bot.last().header("x-customer-id").is_none());
    assert_eq!(chat.counted("unlinked"), 1.0);
    assert!(!chat.linked("U1") && chat.linked("U2"));
}

#[test]
fn a_platform_that_is_away_is_asked_again() {
    let (chat, plan) = start();
    let place = chat.proven(&chat.challenged("web", "U1"));
    let mut browser = chat.gateway.browser();
    let json = |value: Value| Reply::json(&value);
    for reply in [
        Reply::new(503, "busy"),
        Reply::new(401, "{}"),
        Reply::new(302, "").header("Location", "https://evil.example/"),
        Reply::new(200, "<html>"),
        Reply::new(200, ""),
        json(json!({})),
        json(json!({"linkToken": ""})),
        json(json!({"linkToken": ["a", "b"]})),
        json(json!({"linkToken": "x".repeat(5000)})),
        Reply::new(200, "{\"linkToken\":\"a\",\"linkToken\":\"b\"}"),
    ] {
        *plan.lock().unwrap() = Some(reply);
        let page = browser.get(path_of(&place));
        assert_eq!(page.status, 503, "{}", page.text());
        assert!(page.contains("load this page again"), "{}", page.text());
        assert!(page.header("retry-after").is_some() && page.header("location").is_none());
    }
    // Whatever the platform says stays one value.
    *plan.lock().unwrap() = Some(json(json!({"linkToken": "a&nonce=b#c\r\nX: y"})));
    let url = opens(&mut browser, &place);
    assert!(
        url.contains("linkToken=a%26nonce%3Db%23c%0D%0AX%3A%20y&nonce="),
        "{url}"
    );
    *plan.lock().unwrap() = None;
    let url = opens(&mut browser, &place);
    chat.hear("U1", link("ok", &parameter(&url, "nonce").unwrap()));
    assert!(chat.linked("U1"));
}

#[test]
fn a_customer_who_does_not_log_in_is_told_as_ever() {
    let (chat, _) = start();
    let page = chat.challenged("web", "U1");
    let site = &chat.gateway.site;
    let answer = site.end(&page, "cancel");
    assert_eq!(answer.json(), json!({"result": "login-cancelled"}));
    // By the browser.
    let page = chat.challenged("web", "U1");
    let jwt = site.jwt(&site.claims(&page, "alice"));
    let mut browser = chat.gateway.browser();
    let bind = opens(
        &mut browser,
        &format!("{}&return={jwt}", site.callback(&page)),
    );
    let url = opens(&mut browser, &bind);
    chat.hear("U1", link("ok", &parameter(&url, "nonce").unwrap()));
    assert!(chat.linked("U1"));
}

#[test]
fn a_platform_is_not_asked_without_end() {
    let (chat, _) = start();
    let place = chat.proven(&chat.challenged("web", "U1"));
    let mut browser = chat.gateway.browser();
    for _ in 0..20 {
        opens(&mut browser, &place);
    }
    let page = browser.get(path_of(&place));
    assert_eq!(page.status, 429, "{}", page.text());
    assert!(page.contains("load this page again"), "{}", page.text());
    assert_eq!(page.header("retry-after"), Some("30"));
    assert_eq!(chat.platform.seen_at("/user/U1/linkToken").len(), 20);
    // Others are not held up, and neither is this one for ever.
    handed_over(&chat, "web", "U2");
    chat.gateway.clock.advance(Duration::from_secs(30));
    let url = opens(&mut browser, &place);
    chat.hear("U1", link("ok", &parameter(&url, "nonce").unwrap()));
    assert!(chat.linked("U1"));
}
