//! What a stream withholds comes on the stream that is open after the login.

use std::sync::{Arc, Mutex};

use serde_json::json;

use super::{EVENTS, flagged, login_url};
use crate::setup::{self, CANARY, OWNER};
use crate::support::{Browser, Feed, Gateway, Listener, Origin, Reply, Seen};

#[test]
fn what_was_withheld_comes_before_the_next_event_after_the_login() {
    let feed = Feed::start(EVENTS);
    let tables = setup::channel(&feed.origin, "resume = \"release\"", OWNER);
    let gateway = Gateway::start(&tables);
    let mut ann = gateway.browser();
    ann.get("/chat/ann/hello");
    let mut stream = Listener::open(gateway.plain, "/chat/ann/events", &ann);
    feed.say(flagged());
    let url = login_url(&stream.event());
    let second = flagged().replace("id: 7", "id: 8");
    feed.say(second.clone() + "data: x\n\n");
    assert_eq!(stream.event(), "data: x\n\n");
    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);

    // A stranger gets nothing of it, and takes nothing of it away.
    let mut eve = Listener::open(gateway.plain, "/chat/ann/events", &gateway.browser());
    feed.say("data: y\n\n");
    assert_eq!(eve.event(), "data: y\n\n");
    // It waits for a stream of the owner's, and comes once, in order.
    let mut again = Listener::open(gateway.plain, "/chat/ann/events", &ann);
    feed.say("data: z\n\n");
    for id in ["id: 7", "id: 8"] {
        let shown = again.event();
        assert!(shown.contains(id) && shown.contains(CANARY), "{shown}");
        assert!(!shown.contains("authentication_required"), "{shown}");
    }
    assert_eq!(again.event(), "data: z\n\n");
    feed.say(": ping\n\n");
    assert_eq!(again.event(), ": ping\n\n");
}

/// Each stream that is opened says what `body` is then.
fn retold(tables: &str) -> (Gateway, Browser, Arc<Mutex<String>>) {
    let body = Arc::new(Mutex::new(String::new()));
    let said = Arc::clone(&body);
    let origin = Origin::start(move |_: &Seen| {
        Reply::new(200, said.lock().unwrap().clone()).header("Content-Type", EVENTS)
    });
    let tables = setup::channel(&origin, "resume = \"release\"", &format!("{OWNER}{tables}"));
    let gateway = Gateway::start(&tables);
    let ann = gateway.browser();
    (gateway, ann, body)
}

#[test]
fn what_streams_call_the_same_is_the_same_if_it_says_the_same() {
    let (gateway, mut ann, body) = retold("");
    *body.lock().unwrap() = flagged();
    let url = login_url(&ann.get("/chat/ann/events").text());
    let other = flagged().replace("text\":\"", "text\":\"another ");
    // It comes again, as to a client that did, and then another one of its name.
    *body.lock().unwrap() = flagged() + &other;
    let url = match ann.get("/chat/ann/events").text() {
        none if none.is_empty() => url,
        again => login_url(&again),
    };
    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
    *body.lock().unwrap() = "data: x\n\n".into();
    let shown = ann.get("/chat/ann/events").text();
    assert_eq!(shown.matches(CANARY).count(), 2, "{shown}");
    assert_eq!(shown.matches("another").count(), 1, "{shown}");
}

#[test]
fn a_byte_order_mark_stands_at_the_beginning_alone() {
    let (gateway, mut ann, body) =
        retold("[[channel.web.flag]]\nname = \"own\"\njson = \"$.own\"\n");
    let secret = format!("data: {{\"own\":1,\"text\":\"{CANARY}\"}}\n\n");
    *body.lock().unwrap() = format!("\u{feff}{secret}");
    let asked = ann.get("/chat/ann/events").text();
    let url = login_url(asked.trim_start_matches('\u{feff}'));
    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
    *body.lock().unwrap() = "\u{feff}data: x\n\n".into();
    let shown = ann.get("/chat/ann/events").text();
    assert_eq!(shown, format!("\u{feff}{secret}data: x\n\n"));
}

#[test]
fn a_withheld_message_takes_the_form_of_the_stream_it_comes_on() {
    let kinds = Arc::new(Mutex::new(EVENTS));
    let kind = Arc::clone(&kinds);
    let origin = Origin::start(move |_: &Seen| {
        let secret = json!({"text": CANARY, "authentication_required": true});
        let kind = *kind.lock().unwrap();
        let text = match kind {
            EVENTS => format!("data: {secret}\r\n\r\n"),
            _ => "{\"text\":\"plain\"}".into(),
        };
        Reply::new(200, text).header("Content-Type", kind)
    });
    let gateway = Gateway::start(&setup::channel(&origin, "resume = \"release\"", OWNER));
    let mut ann = gateway.browser();
    let url = login_url(&ann.get("/chat/ann/events").text());
    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
    *kinds.lock().unwrap() = "application/x-ndjson";
    let shown = ann.get("/chat/ann/lines").text();
    let secret = json!({"text": CANARY});
    assert_eq!(shown, format!("{secret}\n{{\"text\":\"plain\"}}"));
}
