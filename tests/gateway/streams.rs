//! Streamed answers: server-sent events and lines of JSON, judged one by one.

mod coded;
mod ends;
mod withheld;

pub use coded::Gzip;

use std::time::Duration;

use serde_json::{Value, json};

use crate::setup::{self, CANARY, OWNER};
use crate::support::{
    Answer, Browser, Feed, Framing, Gateway, Listener, Origin, Reply, Request, Seen,
};

const EVENTS: &str = "text/event-stream";

/// A flagged event.
fn flagged() -> String {
    let data = json!({"text": CANARY, "authentication_required": true});
    format!("event: message\nid: 7\ndata: {data}\n\n")
}

/// A gateway in front of a feed, with the owner of `chat` and the chat's stream.
fn listen(feed: &Feed, tables: &str) -> (Gateway, Browser, Listener) {
    let tables = format!("{OWNER}{tables}");
    let gateway = Gateway::start(&setup::channel(&feed.origin, "", &tables));
    let mut ann = gateway.browser();
    ann.get("/chat/ann/hello");
    let stream = Listener::open(gateway.plain, "/chat/ann/events", &ann);
    (gateway, ann, stream)
}

/// The data of an event, as JSON.
fn data(event: &str) -> Value {
    let lines = event.lines().filter_map(|line| line.strip_prefix("data: "));
    let text: Vec<_> = lines.collect();
    serde_json::from_str(&text.join("\n")).unwrap_or_else(|_| panic!("no JSON in {event}"))
}

fn login_url(event: &str) -> String {
    let url = &data(event)["challenge"];
    url.as_str().unwrap_or_else(|| panic!("{event}")).to_owned()
}

#[test]
fn an_event_that_is_not_flagged_leaves_before_the_next_one_comes() {
    let feed = Feed::start(EVENTS);
    let (_gateway, _, mut stream) = listen(&feed, "");
    assert!(stream.head.starts_with("HTTP/1.1 200"), "{}", stream.head);
    for event in [
        ": ping\n\n",
        "data: {\"text\":\"one\"}\n\n",
        "id: 2\nevent: e\nretry: 10\ndata: two\ndata\n\n",
        "data: [DONE]\n\n",
    ] {
        feed.say(event);
        assert_eq!(stream.event(), event);
    }
    // A comment does not wait for an event, nor does an event that ends with CR.
    feed.say(": ping\n");
    assert_eq!(stream.until("\n"), ": ping\n");
    feed.say("data: three\r\r");
    assert_eq!(stream.until("\r\r"), "data: three\r\r");
    feed.say("data: four");
    feed.end();
    assert_eq!(stream.rest(), "data: four");
}

#[test]
fn a_flagged_event_never_leaks_however_it_is_split() {
    let before = "data: {\"text\":\"before\"}\n\n";
    let after = ": c\ndata: {\"text\":\"after\"}\nid: 8\n\n";
    for end in ["\n", "\r", "\r\n"] {
        let text = [before, &flagged(), after].concat().replace('\n', end);
        let text = format!("\u{feff}{text}");
        let (before, after) = (before.replace('\n', end), after.replace('\n', end));
        let expected_id = format!("id: 7{end}");
        let script = move |seen: &Seen| {
            let size = seen.target.rsplit('/').next().unwrap().parse().unwrap();
            let reply = Reply::new(200, text.clone()).header("Content-Type", EVENTS);
            match size {
                0 => reply.framing(Framing::Close),
                1_000_000 => reply,
                size => reply.chunked(size),
            }
        };
        for origin in [Origin::start(script.clone()), Origin::start_h2(script)] {
            let gateway = Gateway::start(&setup::channel(&origin, "", OWNER));
            for size in [0, 1, 2, 3, 7, 40, 150, 1_000_000] {
                for protocol in ["1.0", "1.1", "2"] {
                    let target = format!("/chat/{}/{size}", setup::fresh());
                    let request = Request::get(&target);
                    let answer = match protocol {
                        "2" => gateway.h2().exchange(&request),
                        "1.0" => old_client(&gateway, &request),
                        _ => gateway.wire().exchange(&request),
                    };
                    let said = answer.text();
                    let cell = format!("{end:?} {size} {protocol} h2={}: {said}", origin.http2);
                    assert!(!answer.contains(CANARY) && answer.whole, "{cell}");
                    assert!(said.starts_with(&format!("\u{feff}{before}")), "{cell}");
                    assert!(said.ends_with(&after), "{cell}");
                    assert_eq!(said.matches("\"challenge\"").count(), 1, "{cell}");
                    assert!(said.contains(&expected_id), "{cell}");
                    assert!(said.contains(&format!("event: message{end}")), "{cell}");
                    assert_eq!(answer.header("content-length"), None, "{cell}");
                    assert_eq!(answer.header("cache-control"), Some("private, no-store"));
                }
            }
        }
    }
}

/// A client that does not know chunks: the body goes on until the connection ends.
fn old_client(gateway: &Gateway, request: &Request) -> Answer {
    let answer = gateway.wire().exchange_as("1.0", request);
    assert_eq!(answer.header("transfer-encoding"), None);
    answer
}

#[test]
fn a_stranger_hears_nothing_of_what_is_flagged() {
    let feed = Feed::start(EVENTS);
    let (gateway, _, mut stream) = listen(&feed, "");
    feed.say(flagged());
    assert_eq!(
        gateway
            .site
            .log_in(&login_url(&stream.event()), "alice")
            .status,
        200
    );
    feed.end();
    stream.rest();
    let mut eve = Listener::open(gateway.plain, "/chat/ann/events", &gateway.browser());
    feed.say(flagged());
    let shown = eve.event();
    assert_eq!(data(&shown)["error"]["code"], "not-owner", "{shown}");
}

#[test]
fn lines_of_json_are_judged_one_by_one() {
    let feed = Feed::start("application/x-ndjson");
    let (gateway, _, mut stream) = listen(&feed, "");
    let secret = json!({"text": CANARY, "authentication_required": true});
    feed.say("{\"text\":\"one\"}\r\n");
    assert_eq!(stream.until("\n"), "{\"text\":\"one\"}\r\n");
    feed.say(format!("{secret}\n"));
    let challenge: Value = serde_json::from_str(&stream.until("\n")).unwrap();
    let url = challenge["challenge"].as_str().unwrap();
    assert_eq!(gateway.site.log_in(url, "alice").status, 200);
    feed.say(format!("{secret}\n"));
    assert_eq!(stream.until("\n"), format!("{}\n", json!({"text": CANARY})));
    gateway.clock.advance(Duration::from_secs(30 * 60));
    // What only a lenient reader takes for the flag is blocked.
    feed.say("{\"authentication_required\":true,}\n");
    assert!(stream.until("\n").contains("answer-malformed"));
    feed.say(secret.to_string());
    feed.end();
    let rest = stream.rest();
    assert!(
        rest.contains("challenge") && !rest.contains(CANARY),
        "{rest}"
    );
}

#[test]
fn an_event_over_the_cap_is_withheld_and_what_follows_is_not() {
    let long = format!("data: {{\"text\":\"{}\"}}\n\n", CANARY.repeat(200));
    for (table, passes) in [
        ("[channel.web.stream]\nmax_event = \"1KiB\"\n", false),
        (
            "[channel.web.inspect]\nmax_body = \"1KiB\"\noversize = \"release\"\n",
            true,
        ),
    ] {
        let feed = Feed::start(EVENTS);
        let (_gateway, _, mut stream) = listen(&feed, table);
        for part in long.as_bytes().chunks(100) {
            feed.say(part);
        }
        let said = stream.event();
        assert_eq!(said == long, passes, "{said}");
        assert!(
            passes || data(&said)["error"]["code"] == "answer-too-large",
            "{said}"
        );
        feed.say("data: next\n\n");
        assert_eq!(stream.event(), "data: next\n\n");
    }
}

#[test]
fn what_cannot_be_judged_or_is_flagged_by_its_head_does_not_begin() {
    let origin = Origin::start(|seen: &Seen| {
        let reply = Reply::new(200, flagged()).header("Content-Type", EVENTS);
        match seen.target.rsplit('/').next() {
            Some("gzip") => reply.header("Content-Encoding", "gzip"),
            Some("charset") => Reply::new(200, flagged())
                .header("Content-Type", "text/event-stream; charset=utf-7"),
            Some("header") => reply.header("X-Auth-Required", "yes"),
            Some("status") => reply.status(401),
            _ => Reply::new(200, flagged()).header("Content-Type", "text/event-stream, x/y"),
        }
    });
    let gateway = Gateway::start(&setup::channel(&origin, "", OWNER));
    for (kind, code) in [
        ("charset", "answer-undecodable"),
        ("twofold", "answer-malformed"),
    ] {
        let answer = gateway
            .browser()
            .get(&format!("/chat/{}/{kind}", setup::fresh()));
        assert_eq!(answer.code(), code, "{}", answer.text());
        assert!(!answer.contains(CANARY));
    }
    // That a coding is none is seen in the body, and the head may be on its way before it
    // has come.
    let answer = gateway
        .browser()
        .get(&format!("/chat/{}/gzip", setup::fresh()));
    assert!(answer.body.is_empty() || answer.code() == "answer-undecodable");
    for kind in ["header", "status"] {
        let answer = gateway
            .browser()
            .get(&format!("/chat/{}/{kind}", setup::fresh()));
        assert!(
            setup::is_challenge(&answer) && !answer.contains(CANARY),
            "{}",
            answer.text()
        );
    }
    let head = Request::new("HEAD", &format!("/chat/{}/header", setup::fresh()));
    assert!(!gateway.wire().exchange(&head).contains(CANARY));
}

#[test]
fn a_held_request_may_be_answered_with_a_stream() {
    let origin = Origin::start(|seen: &Seen| {
        let text = match seen.header("x-customer-id") {
            Some(_) => format!("data: {{\"n\":1}}\n\n{}data: [DONE]\n\n", flagged()),
            None => flagged(),
        };
        Reply::new(200, text)
            .header("Content-Type", EVENTS)
            .chunked(9)
    });
    let gateway = Gateway::start(&setup::channel(&origin, "resume = \"replay\"", OWNER));
    let mut ann = gateway.browser();
    let challenge = ann.get("/chat/ann/completion").text();
    assert!(!challenge.contains(CANARY));
    let waiting = data(&challenge)["continue"].as_str().unwrap().to_owned();
    assert_eq!(
        gateway.site.log_in(&login_url(&challenge), "alice").status,
        200
    );
    let answer = ann.get(&waiting);
    assert_eq!(answer.header("content-type"), Some(EVENTS));
    let shown = answer.text();
    assert!(shown.starts_with("data: {\"n\":1}\n\n") && shown.ends_with("data: [DONE]\n\n"));
    assert!(
        shown.contains(CANARY) && !shown.contains("authentication_required"),
        "{shown}"
    );
}

#[test]
fn a_backend_that_is_silent_for_longer_than_its_time_limit_is_not_cut() {
    let feed = Feed::start(EVENTS);
    let address = feed.origin.address;
    let tables = setup::channel(&feed.origin, "", OWNER).replace(
        &format!("url = \"http://{address}\""),
        &format!("url = \"http://{address}\"\nread_timeout = \"200ms\""),
    );
    let gateway = Gateway::start(&tables);
    let mut stream = Listener::open(gateway.plain, "/chat/ann/events", &gateway.browser());
    std::thread::sleep(Duration::from_millis(600));
    feed.say("data: still here\n\n");
    assert_eq!(stream.event(), "data: still here\n\n");
}
