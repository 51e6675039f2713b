//! What was withheld reaches the client after the login.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;

use super::{Chat, channel, hook, login_url, protected, texts};
use crate::setup::CANARY;
use crate::support::{Origin, Process, Reply, Request, eventually, login};

const RELEASE: &str = "resume = \"release\"";
const QUICK: &str = "[channel.web.release]\nattempts = 3\npause = \"1ms\"\n";

/// Messages that wait for a login, and the latest login URL.
fn withheld(chat: &Chat, words: &[&str]) -> String {
    words.iter().fold(String::new(), |_, word| {
        chat.challenged(&protected("c", word))
    })
}

#[test]
fn messages_are_released_in_order() {
    let chat = Chat::start(RELEASE, QUICK, "");
    // One comes twice, since its sender did not hear of the first time.
    let url = withheld(&chat, &["one", "two", "three", "three"]);
    chat.challenged(&protected("d", "other"));
    let plain = json!({"customer_id": "c", "text": ["plain"]});
    assert_eq!(chat.send(&plain).status, 200);
    chat.client.clear();
    chat.log_in(&url);
    eventually("all are released", || {
        (chat.client.count() >= 3).then_some(())
    });
    assert_eq!(texts(&chat.client), ["one", "two", "three"]);
    let seen = chat.client.last();
    assert_eq!((&*seen.method, &*seen.target), ("POST", "/hook/c"));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert!(seen.contains(CANARY) && seen.json()["protected"].is_null());

    // What comes now passes at once; the other customer's still waits.
    assert_eq!(chat.send(&protected("c", "four")).status, 200);
    assert_eq!(texts(&chat.client), ["one", "two", "three", "four"]);
    let released = [("channel", "web"), ("outcome", "released")];
    let metrics = chat.gateway.metrics();
    assert_eq!(metrics.sum("chatgate_resumes", &released), 3.0);
}

#[test]
fn a_client_that_stumbles_gets_them_again_in_order() {
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = tries.clone();
    let chat = Chat::with_client(RELEASE, QUICK, "", move |seen| {
        let released = seen.contains(CANARY);
        let stumbles = released && counted.fetch_add(1, Ordering::SeqCst) < 2;
        Reply::new(if stumbles { 503 } else { 200 }, "")
    });
    let url = withheld(&chat, &["one", "two"]);
    chat.client.clear();
    chat.log_in(&url);
    eventually("all are released", || {
        (chat.client.count() >= 4).then_some(())
    });
    assert_eq!(texts(&chat.client), ["one", "one", "one", "two"]);
}

#[test]
fn what_comes_meanwhile_overtakes_nothing() {
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = tries.clone();
    let chat = Chat::with_client(
        RELEASE,
        "[channel.web.release]\nattempts = 5\npause = \"20ms\"\n",
        "",
        move |seen| {
            let stumbles = seen.contains("one") && counted.fetch_add(1, Ordering::SeqCst) < 3;
            Reply::new(if stumbles { 503 } else { 200 }, "")
        },
    );
    let url = withheld(&chat, &["one", "two"]);
    tries.store(0, Ordering::SeqCst);
    chat.client.clear();
    chat.log_in(&url);
    chat.send(&protected("c", "three"));
    chat.send(&json!({"customer_id": "c", "text": ["plain"]}));
    let came = texts(&chat.client);
    assert_eq!(came, ["one", "one", "one", "one", "two", "three", "plain"]);
}

#[test]
fn a_process_that_ends_delivers_first_and_says_what_it_could_not() {
    for (stumbles, outcome) in [(2, "drained"), (usize::MAX, "dead letter")] {
        let api = Origin::start(|_| Reply::new(202, ""));
        let tries = AtomicUsize::new(0);
        let client = Origin::start(move |seen| {
            let stumbles = seen.contains(CANARY) && tries.fetch_add(1, Ordering::SeqCst) < stumbles;
            Reply::new(if stumbles { 503 } else { 200 }, "")
        });
        let tables = "[channel.web.release]\nattempts = 10\npause = \"200ms\"\n";
        let mut process = Process::start(&channel(&api, &client, RELEASE, tables, ""));
        let at = process.at;
        let asked = at.browser().send(hook(&protected("c", "one")));
        assert_eq!(asked.status, 200);
        let url = login_url(&client.last());
        client.clear();
        let site = login::Site::new(process.at.plain, chatgate::time::Clock::system());
        assert_eq!(site.log_in(&url, "alice").status, 200);
        eventually("the first try", || (client.count() >= 1).then_some(()));
        process.signal("TERM");
        eventually("it ends", || process.ended());
        let log = process.end();
        assert!(log.contains(outcome), "{log}");
        assert_eq!(log.contains("dead letter"), stumbles > 2, "{log}");
        assert!(client.count() >= 2, "{log}");
    }
}

#[test]
fn a_client_that_stays_away_leaves_a_dead_letter() {
    let api = Origin::start(|_| Reply::new(202, ""));
    let client =
        Origin::start(|seen| Reply::new(if seen.contains(CANARY) { 500 } else { 200 }, ""));
    let process = Process::start(&channel(&api, &client, RELEASE, QUICK, ""));
    let send = |request: Request| process.at.browser().send(request);
    assert_eq!(send(hook(&protected("c", "one"))).status, 200);
    assert_eq!(send(hook(&protected("c", "two"))).status, 200);
    let url = login_url(&client.last());
    client.clear();
    let site = login::Site::new(process.at.plain, chatgate::time::Clock::system());
    assert_eq!(site.log_in(&url, "alice").status, 200);
    let log = eventually("two dead letters", || {
        let log = process.log();
        (log.matches("dead letter").count() >= 2).then_some(log)
    });
    assert_eq!(texts(&client), ["one", "one", "one", "two", "two", "two"]);
    let line = log
        .lines()
        .find(|line| line.contains("dead letter"))
        .unwrap();
    assert!(
        line.contains("ERROR") && line.contains("release-failed"),
        "{line}"
    );
    assert!(
        line.contains("\"message\":\"msg_") || line.contains("msg_"),
        "{line}"
    );
    assert!(!process.end().contains(CANARY), "no content in the log");
}

#[test]
fn what_does_not_fit_is_lost_and_the_oldest_stay() {
    let tables = "[channel.web.release]\nmax_messages = 2\n";
    let chat = Chat::start(RELEASE, tables, "");
    let url = withheld(&chat, &["one", "two", "three"]);
    chat.client.clear();
    chat.log_in(&url);
    eventually("two are released", || {
        (chat.client.count() >= 2).then_some(())
    });
    chat.send(&json!({"customer_id": "c", "text": ["last"]}));
    assert_eq!(texts(&chat.client), ["one", "two", "last"]);
}

#[test]
fn the_end_of_the_chat_drops_what_is_withheld() {
    let chat = Chat::start(RELEASE, QUICK, "");
    let url = chat.challenged(&protected("c", "one"));
    assert_eq!(chat.post(Request::post("/end/c", &json!({}))).status, 202);
    assert_eq!(chat.gateway.site.log_in(&url, "alice").status, 401);
    let url = chat.challenged(&protected("c", "two"));
    chat.client.clear();
    chat.log_in(&url);
    eventually("one is released", || {
        (chat.client.count() >= 1).then_some(())
    });
    chat.send(&json!({"customer_id": "c", "text": ["last"]}));
    assert_eq!(texts(&chat.client), ["two", "last"]);
}

#[test]
fn another_subject_releases_nothing() {
    let chat = Chat::start(RELEASE, QUICK, "");
    chat.log_in(&chat.challenged(&protected("c", "one")));
    eventually("one is released", || {
        (chat.client.count() >= 2).then_some(())
    });
    chat.gateway
        .clock
        .advance(std::time::Duration::from_secs(1800));
    let url = chat.challenged(&protected("c", "two"));
    chat.client.clear();
    let refused = chat.gateway.site.log_in(&url, "mallory");
    assert_eq!(refused.code(), "subject-changed");
    chat.send(&json!({"customer_id": "c", "text": ["last"]}));
    assert_eq!(texts(&chat.client), ["last"]);
}

#[test]
fn the_customers_message_is_replayed() {
    let tables = r#"
[channel.web.signature.api]
kind = "hmac"
header = "X-Signature"
secret = "0123456789abcdef0123456789abcdef"
"#;
    let api = Origin::start(|_| Reply::new(202, ""));
    let client = Origin::start(|_| Reply::new(200, ""));
    let text = channel(&api, &client, "resume = \"replay\"", tables, "");
    let text = text.replace(
        "path = \"/messages\"",
        "path = \"/messages\"\nsign = \"api\"",
    );
    let gateway = crate::support::Gateway::start(&text);
    let chat = Chat {
        gateway,
        api,
        client,
    };
    let say = |text: &str| {
        let message = json!({"customer_id": "c", "text": [text], "customer": "mallory"});
        assert_eq!(
            chat.post(Request::post("/messages?v=1", &message)).status,
            202
        );
    };
    say("one");
    say("two");
    chat.api.clear();
    let url = chat.challenged(&protected("c", "one"));
    chat.log_in(&url);
    eventually("it is replayed", || (chat.api.count() >= 1).then_some(()));
    let seen = chat.api.last();
    assert_eq!(seen.target, "/messages?v=1");
    assert_eq!(seen.json()["text"][0], "two", "the latest one");
    assert_eq!(seen.json()["customer"], "alice");
    assert_eq!(seen.header("x-customer-id"), Some("alice"));
    assert!(seen.header("x-signature").is_some(), "signed again");
    assert_eq!(chat.client.count(), 1, "what was withheld stays so");
}

#[test]
fn a_proof_releases_as_a_login_does() {
    let tables = r#"
[[channel.web.identity]]
name = "site"
kind = "hmac"
identifier = { json = "$.customer_id" }
hash = { header = "X-Hash" }
secret = "0123456789abcdef0123456789abcdef"
level = "verified"
[[channel.web.route]]
kind = "message"
path = "/proven"
interaction = { json = "$.customer_id" }
enforcement = "optional"
"#;
    let chat = Chat::start(RELEASE, tables, "");
    chat.challenged(&protected("c", "one"));
    chat.client.clear();
    let hash = "3ff4fd1ab5e2f1f5b4f4e3ad07a1a1ae1f5a2e1b";
    let forged = Request::post("/proven", &json!({"customer_id": "c"})).header("X-Hash", hash);
    assert_eq!(chat.post(forged).status, 401);
    let secret = chatgate::secret::Secret::new("0123456789abcdef0123456789abcdef");
    let signature = super::signatures::raw(secret, b"c");
    let proven =
        Request::post("/proven", &json!({"customer_id": "c"})).header("X-Hash", &signature);
    assert_eq!(chat.post(proven).status, 202);
    eventually("it is released", || {
        (chat.client.count() >= 1).then_some(())
    });
    assert_eq!(texts(&chat.client), ["one"]);
}

/// As many as may be under way to one client.
const MOST: usize = 64;

#[test]
fn a_message_that_waits_for_its_turn_goes_to_nobody_who_has_left() {
    let (open, begun) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let (opened, counted) = (open.clone(), begun.clone());
    let tables = "[channel.web.release]\ntimeout = \"60s\"\n";
    let chat = Chat::with_client(RELEASE, tables, "", move |seen| {
        if seen.contains(CANARY) {
            counted.fetch_add(1, Ordering::SeqCst);
            eventually("the client wakes up", || {
                opened.load(Ordering::SeqCst).then_some(())
            });
        }
        Reply::new(200, "taken")
    });
    let log_in = |customer: &str| chat.log_in(&chat.challenged(&protected(customer, customer)));
    for number in 0..MOST {
        log_in(&format!("c{number}"));
        eventually("it is under way", || {
            (begun.load(Ordering::SeqCst) > number).then_some(())
        });
    }
    log_in("late");
    std::thread::sleep(Duration::from_millis(200));
    let ended = chat
        .gateway
        .browser()
        .send(Request::new("POST", "/end/late"));
    assert_eq!(ended.status, 202);
    open.store(true, Ordering::SeqCst);
    let outcomes = |outcome| {
        let labels = [("channel", "web"), ("outcome", outcome)];
        chat.gateway.metrics().sum("chatgate_resumes", &labels)
    };
    eventually("all are done", || {
        (outcomes("released") + outcomes("failed") > MOST as f64).then_some(())
    });
    assert_eq!(
        begun.load(Ordering::SeqCst),
        MOST,
        "it went to who had left"
    );
}
