//! Someone else's interaction: its id alone opens nothing, and no verdict is
//! served to another.

use std::time::Duration;

use serde_json::json;

use crate::setup::{
    CANARY, OWNER, bot, challenged, channel, continue_url, is_challenge, logged_in, login_url,
    statement, usual,
};
use crate::support::{Browser, Gateway, Origin, Request};

#[test]
fn an_id_alone_opens_nothing() {
    let (gateway, origin) = usual();
    let mut alice = gateway.browser();
    let challenge = statement(&mut alice, "c1");
    gateway.site.log_in(&login_url(&challenge), "alice");
    let waiting = continue_url(&challenge);

    let mut eve = gateway.browser();
    let mut mallory = logged_in(&gateway, "other");
    for stranger in [&mut eve, &mut mallory] {
        assert!(!stranger.get("/chat/c1/statement").contains(CANARY));
        assert!(!stranger.get(&waiting).contains(CANARY));
        origin.clear();
        stranger.post("/chat/c1/ask", &json!({"metadata": {}}));
        for seen in origin.seen() {
            assert!(!seen.contains("alice"), "a stranger speaks as alice");
        }
        stranger.send(Request::new("POST", "/end/c1"));
    }
    assert!(alice.get(&waiting).contains(CANARY));
    assert!(
        statement(&mut alice, "c1").contains(CANARY),
        "a stranger ended the interaction"
    );
}

#[test]
fn a_strangers_question_neither_revokes_the_owners_login_nor_gets_one() {
    let (gateway, _origin) = usual();
    let (mut alice, url) = challenged(&gateway, "c1");
    let mut eve = gateway.browser();
    let answer = statement(&mut eve, "c1");
    assert!(
        !is_challenge(&answer) && !answer.contains(CANARY),
        "{}",
        answer.text()
    );
    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
    assert!(statement(&mut alice, "c1").contains(CANARY));
    assert!(!statement(&mut eve, "c1").contains(CANARY));
}

#[test]
fn an_id_that_was_chosen_first_by_a_stranger_serves_neither() {
    let (gateway, _origin) = usual();
    let mut eve = gateway.browser();
    eve.get("/chat/c1/ask");
    let mut alice = gateway.browser();
    let answer = statement(&mut alice, "c1");
    assert!(!answer.contains(CANARY));
    if is_challenge(&answer) {
        gateway.site.log_in(&login_url(&answer), "alice");
    }
    assert!(!statement(&mut eve, "c1").contains(CANARY));
}

#[test]
fn the_apis_own_token_is_evidence_too() {
    let origin = bot();
    let owner =
        "[channel.web.owner]\nselector = { header = \"Authorization\", scheme = \"Bearer\" }\n";
    let gateway = Gateway::start(&channel(&origin, "resume = \"replay\"", owner));
    let with = |token: &str| {
        let mut browser = gateway.browser();
        if !token.is_empty() {
            browser.headers.push(("Authorization".into(), token.into()));
        }
        browser
    };
    let mut alice = with("Bearer token-of-alice");
    let challenge = statement(&mut alice, "c1");
    gateway.site.log_in(&login_url(&challenge), "alice");
    let waiting = continue_url(&challenge);
    for token in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer token-of-eve",
        "Bearer token-of-alic",
        "Bearer token-of-alice2",
        "Basic token-of-alice",
        "token-of-alice",
        "Bearer TOKEN-OF-ALICE",
    ] {
        let mut eve = with(token);
        assert!(!statement(&mut eve, "c1").contains(CANARY), "{token:?}");
        assert!(!eve.get(&waiting).contains(CANARY), "{token:?}");
    }
    assert!(
        with("bearer token-of-alice")
            .get("/chat/c1/statement")
            .contains(CANARY)
    );
    assert!(alice.get(&waiting).contains(CANARY));
}

#[test]
fn a_verdict_holds_for_its_channel_its_interaction_and_its_owner() {
    let origin = bot();
    let other = origin.upstream("bot");
    let tables = channel(&origin, "", OWNER);
    let second = tables
        .replace("channel.web", "channel.app")
        .replace("path = \"/", "path = \"/app/")
        .replace(&other, "");
    let gateway = Gateway::start(&format!("{tables}{second}"));
    let place = |channel: usize, chat: usize| {
        let prefix = ["", "/app"][channel];
        format!("{prefix}/chat/c{chat}/statement")
    };
    let mut browsers = [gateway.browser(), gateway.browser()];
    // Who logs in where: one after the other, and after each the whole matrix.
    let plan = [(0, 0, 0), (1, 0, 1), (0, 1, 1)];
    for (who, channel, chat) in plan {
        browsers[who].get(&place(channel, chat));
    }
    let mut open = Vec::new();
    for (who, channel, chat) in plan {
        let url = login_url(&browsers[who].get(&place(channel, chat)));
        let answer = gateway.site.log_in(&url, ["alice", "bob"][who]);
        assert_eq!(answer.status, 200, "{}", answer.text());
        open.push((who, channel, chat));
        for (who, browser) in browsers.iter_mut().enumerate() {
            for channel in 0..2 {
                for chat in 0..2 {
                    let came = browser.get(&place(channel, chat)).contains(CANARY);
                    let allowed = open.contains(&(who, channel, chat));
                    assert!(!came || allowed, "{who} {channel} {chat} after {open:?}");
                }
            }
        }
    }
    for (who, channel, chat) in open {
        let came = browsers[who].get(&place(channel, chat)).contains(CANARY);
        assert!(came, "{who} {channel} {chat}");
    }
}

#[test]
fn eviction_under_pressure_denies() {
    let origin = bot();
    let tables = format!(
        "[store]\nmax_interactions = 40\n{}",
        channel(&origin, "", OWNER)
    );
    let gateway = Gateway::start(&tables);
    let mut alice = logged_in(&gateway, "c1");
    let mut lost = false;
    for chat in 0..300 {
        let mut eve = gateway.browser();
        let target = format!("flood{chat}");
        let answer = statement(&mut eve, &target);
        assert!(!answer.contains(CANARY));
        assert!(
            answer.status < 500 || answer.status == 503,
            "{}",
            answer.text()
        );
        assert!(!statement(&mut eve, "c1").contains(CANARY));
        if chat % 50 == 0 {
            let came = statement(&mut alice, "c1").contains(CANARY);
            assert!(!came || !lost, "what was evicted came back");
            lost = !came;
        }
    }
}

#[test]
fn logout_timeouts_and_the_end_take_access_away_at_once() {
    let origin = bot();
    let gateway = Gateway::start(&channel(&origin, "absolute_timeout = \"3h\"", OWNER));
    let gone = |browser: &mut Browser, chat: &str| {
        let answer = statement(browser, chat);
        assert!(is_challenge(&answer), "{chat}: {}", answer.text());
        browser.get(&format!("/chat/{chat}/ask"));
        assert_eq!(origin.last().header("x-customer-id"), None, "{chat}");
    };
    let mut ended = logged_in(&gateway, "ended");
    ended.send(Request::new("POST", "/end/ended"));
    gone(&mut ended, "ended");

    let minutes = |count: u64| gateway.clock.advance(Duration::from_secs(count * 60));
    let mut timed = logged_in(&gateway, "timed");
    minutes(29);
    assert!(statement(&mut timed, "timed").contains(CANARY));
    minutes(2);
    gone(&mut timed, "timed");
}

#[test]
fn a_second_customer_does_not_take_an_interaction_over() {
    let (gateway, _origin) = usual();
    let mut browser = logged_in(&gateway, "c1");
    gateway.clock.advance(Duration::from_secs(31 * 60));
    let url = login_url(&statement(&mut browser, "c1"));
    let answer = gateway.site.log_in(&url, "bob");
    assert_eq!(answer.code(), "subject-changed", "{}", answer.text());
    assert!(is_challenge(&statement(&mut browser, "c1")));
    let url = login_url(&statement(&mut browser, "c1"));
    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
}

#[test]
fn a_session_look_up_is_cached_for_its_own_session() {
    let website = Origin::start(|seen| {
        use crate::support::Reply;
        match seen.header("cookie") {
            Some("sid=of-alice") => Reply::json(&json!({"sub": "alice"})),
            Some("sid=of-bob") => Reply::json(&json!({"sub": "bob"})),
            _ => Reply::new(401, ""),
        }
    });
    let origin = bot();
    let tables = format!(
        "{OWNER}[[channel.web.identity]]\nname = \"site\"\nkind = \"session\"\ncookie = \"sid\"\n\
         url = \"http://{}/session\"\ncache = \"1m\"\n\
         [[channel.web.route]]\nkind = \"pre-chat\"\npath = \"/start/{{id}}\"\n\
         interaction = {{ path = \"id\" }}\n",
        website.address
    );
    let gateway = Gateway::start(&channel(&origin, "", &tables));
    let mut number = 0;
    for round in 0..3 {
        for (cookie, subject) in [
            ("sid=of-alice", Some("alice")),
            ("sid=of-bob", Some("bob")),
            ("sid=of-eve", None),
            ("sid=of-alic", None),
            ("", None),
        ] {
            number += 1;
            origin.clear();
            let request = Request::post(&format!("/start/s{number}"), &json!({}))
                .header("Cookie", &format!("{cookie}; other=1"));
            let answer = gateway.wire().exchange(&request);
            assert_eq!(
                answer.status,
                if subject.is_some() { 200 } else { 401 },
                "{round} {cookie}"
            );
            let seen = origin.seen();
            assert_eq!(
                seen.first().and_then(|seen| seen.header("x-customer-id")),
                subject
            );
        }
    }
    assert_eq!(
        website
            .seen()
            .iter()
            .filter(|seen| seen.contains("of-alice"))
            .count(),
        1
    );
    assert!(website.seen().iter().all(|seen| !seen.contains("other=1")));
}

/// A backend that saw the owner's cookie could speak for the customer.
#[test]
fn the_owners_cookie_stays_between_the_customer_and_us() {
    let (gateway, origin) = usual();
    let mut browser = logged_in(&gateway, "c1");
    assert!(browser.cookies.contains_key("chatgate"));
    browser.cookies.insert("sid".into(), "theirs".into());
    browser.cookies.insert("a-chatgate".into(), "other".into());
    for target in ["/chat/c1/statement", "/plain/x"] {
        browser.get(target);
        assert_eq!(
            origin.last().header("cookie"),
            Some("a-chatgate=other; sid=theirs"),
            "{target}"
        );
    }
}
