//! Streamed answers: server-sent events and lines of JSON, judged one by one.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::setup::{self, CANARY, OWNER};
use crate::support::login::PLATFORM_KEY;
use crate::support::{
    Answer, Browser, Feed, Framing, Gateway, Listener, Origin, Reply, Request, Seen, eventually,
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
fn a_login_counts_for_the_next_event_and_so_does_its_end() {
    let feed = Feed::start(EVENTS);
    let (gateway, mut ann, mut stream) = listen(&feed, "");
    feed.say(flagged());
    let url = login_url(&stream.event());
    // What follows does not ask again: the URL that stands in the chat stays good.
    feed.say(flagged() + "data: x\n\n");
    assert_eq!(stream.event(), "data: x\n\n");
    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
    feed.say(flagged());
    let shown = stream.event();
    assert!(shown.contains(CANARY) && !shown.contains("authentication_required"));
    assert!(shown.starts_with("event: message\nid: 7\n"), "{shown}");

    // It runs out in the middle of the stream,
    gateway.clock.advance(Duration::from_secs(30 * 60));
    feed.say(flagged());
    let url = login_url(&stream.event());
    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
    feed.say(flagged());
    assert!(stream.event().contains(CANARY));
    // and the end of the chat ends it.
    ann.get("/end/ann");
    feed.say(flagged());
    login_url(&stream.event());
    // A URL that was not used in time is replaced by a new one.
    gateway.clock.advance(Duration::from_secs(10 * 60));
    feed.say(flagged());
    login_url(&stream.event());
    assert_eq!(
        stream.heard.len(),
        String::from_utf8_lossy(&stream.heard).len()
    );
}

#[test]
fn a_stream_can_be_closed_when_a_level_ends() {
    let feed = Feed::start(EVENTS);
    let close = "[channel.web.stream]\non_expiry = \"close\"\n\
                 [channel.web.level_timeouts]\nverified = \"5m\"\n";
    let (gateway, _ann, mut stream) = listen(&feed, close);
    feed.say(flagged());
    let url = login_url(&stream.event());
    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
    feed.say(flagged());
    assert!(stream.event().contains(CANARY));
    gateway.clock.advance(Duration::from_secs(5 * 60));
    feed.say("data: {}\n\n");
    assert_eq!(stream.rest(), "");
}

/// Also where nothing is flagged, so that nothing else has to be looked at, and where
/// nothing can be read.
#[test]
fn a_stream_ends_where_its_route_demands_a_login() {
    let demands = [
        "enforcement = \"required\"",
        "enforcement = \"optional\"\nlevel = \"claimed\"",
        "enforcement = \"optional\"\n[channel.app.stream]\non_expiry = \"close\"",
        "enforcement = \"required\"\n[channel.app.inspect]\nundecodable = \"release\"\n\
         [[channel.app.flag]]\nname = \"f\"\njson = \"$.f\"",
    ];
    let kinds = [
        EVENTS,
        "text/event-stream; charset=iso-8859-1",
        "text/event-stream\r\nContent-Encoding: x-own",
    ];
    let cells = demands
        .into_iter()
        .flat_map(|demands| kinds.map(|kind| (demands, kind)));
    for (demands, kind) in cells {
        let feed = Feed::start(kind);
        let tables = format!(
            "{}[channel.app]\nupstream = \"bot\"\nauthentication_timeout = \"5m\"\n\
             [[channel.app.identity]]\nname = \"site\"\nkind = \"jwt\"\nfrom = {{ cookie = \"token\" }}\n\
             keys = [{{ algorithm = \"HS256\", secret = \"{PLATFORM_KEY}\" }}]\nlevel = \"claimed\"\n\
             [[channel.app.route]]\nkind = \"message\"\npath = \"/app/{{id}}/events\"\n\
             interaction = {{ path = \"id\" }}\n{demands}\n",
            setup::channel(&feed.origin, "", OWNER)
        );
        let gateway = Gateway::start(&tables);
        let claims = json!({"sub": "alice", "exp": gateway.clock.now().secs() + 3600});
        let key = jsonwebtoken::EncodingKey::from_secret(PLATFORM_KEY.as_bytes());
        let token = jsonwebtoken::encode(&Default::default(), &claims, &key).unwrap();
        let mut alice = gateway.browser();
        alice.cookies.insert("token".into(), token);
        let mut stream = Listener::open(gateway.plain, "/app/c1/events", &alice);
        feed.say("data: one\n\n");
        assert_eq!(stream.event(), "data: one\n\n");
        gateway.clock.advance(Duration::from_secs(5 * 60));
        feed.say("data: two\n\n");
        assert_eq!(stream.rest(), "", "{demands} {kind}");
    }
}

#[test]
fn a_stream_can_be_closed_when_its_login_ends() {
    let feed = Feed::start(EVENTS);
    let close = "[channel.web.stream]\non_expiry = \"close\"\n";
    let (gateway, ann, mut stream) = listen(&feed, close);
    feed.say(flagged());
    assert_eq!(
        gateway
            .site
            .log_in(&login_url(&stream.event()), "alice")
            .status,
        200
    );
    feed.say(flagged());
    assert!(stream.event().contains(CANARY));
    gateway.clock.advance(Duration::from_secs(30 * 60));
    feed.say("data: {}\n\n");
    assert_eq!(stream.rest(), "");
    // The client comes again, as an anonymous one.
    let mut again = Listener::open(gateway.plain, "/chat/ann/events", &ann);
    feed.say("data: {}\n\n");
    assert_eq!(again.event(), "data: {}\n\n");
    feed.say(flagged());
    login_url(&again.event());
    let counted = gateway.metrics();
    assert!(
        counted
            .text()
            .contains("chatgate_events_total{channel=\"web\",reason=\"flagged\"}")
    );
}

#[test]
fn a_stream_whose_login_is_over_when_it_ends_has_no_trailers() {
    let gate = Arc::new(Mutex::new(()));
    let ends = Arc::clone(&gate);
    let origin = Origin::start_h2(move |seen: &Seen| match seen.target.ends_with("/events") {
        true => Reply::new(200, "data: one\n\ndata: two")
            .header("Content-Type", EVENTS)
            .framing(Framing::Chunked)
            .trailer("X-Trailer", CANARY)
            .gate(&ends),
        false => setup::answer(seen),
    });
    let tables = format!("{OWNER}[channel.web.stream]\non_expiry = \"close\"\n");
    let gateway = Gateway::start(&setup::channel(&origin, "", &tables));
    let ann = setup::logged_in(&gateway, "ann");
    let cookies = ann.cookies.iter();
    let cookies: Vec<_> = cookies
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let request = Request::get("/chat/ann/events").header("Cookie", &cookies.join("; "));
    let closed = gate.lock().unwrap();
    let mut client = gateway.h2();
    let answer = std::thread::scope(|scope| {
        let answer = scope.spawn(|| client.exchange(&request));
        eventually("the first event is judged", || {
            let labels = [("channel", "web"), ("reason", "unflagged")];
            let judged = gateway.metrics().sum("chatgate_events_total", &labels);
            (judged == 1.0).then_some(())
        });
        gateway.clock.advance(Duration::from_secs(30 * 60));
        drop(closed);
        answer.join().unwrap()
    });
    assert_eq!(
        (answer.status, answer.text()),
        (200, "data: one\n\n".into())
    );
    assert_eq!(answer.trailers, []);
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
fn a_coding_that_is_none_ends_a_stream_that_has_begun() {
    let feed = Feed::start("text/event-stream\r\nContent-Encoding: gzip");
    let (_gateway, _, mut stream) = listen(&feed, "");
    assert!(stream.head.starts_with("HTTP/1.1 200"), "{}", stream.head);
    feed.say(flagged());
    assert_eq!(stream.rest(), "");
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

/// A stream in a coding that nobody asked for: a customer who was authenticated at its
/// head is not when the login has run out.
#[test]
fn a_coded_stream_is_decoded_and_judged() {
    for on_expiry in ["anonymous", "close"] {
        let feed = Feed::start("text/event-stream\r\nContent-Encoding: gzip");
        let tables = format!("{OWNER}[channel.web.stream]\non_expiry = \"{on_expiry}\"\n");
        let gateway = Gateway::start(&setup::channel(&feed.origin, "", &tables));
        let mut ann = gateway.browser();
        ann.get("/chat/ann/hello");
        let mut stream = Listener::open(gateway.plain, "/chat/ann/events", &ann);
        assert!(
            !stream.head.to_lowercase().contains("content-encoding"),
            "{}",
            stream.head
        );
        let mut gzip = Gzip::default();
        let plain = "data: {\"text\":\"one\"}\n\n";
        feed.say(gzip.next(plain));
        assert_eq!(stream.event(), plain);
        feed.say(gzip.next(&flagged()));
        let url = login_url(&stream.event());
        assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
        feed.say(gzip.next(&flagged()));
        assert!(stream.event().contains(CANARY));
        gateway.clock.advance(Duration::from_secs(1800));
        feed.say(gzip.next(&flagged()));
        if on_expiry == "close" {
            assert_eq!(stream.rest(), "");
            continue;
        }
        login_url(&stream.event());
        // What is no gzip any more ends it.
        feed.say(format!("data: {CANARY}\n\n"));
        assert_eq!(stream.rest(), "");
    }
}

#[test]
fn a_stream_that_cannot_be_decoded_is_blocked_for_everybody() {
    let origin = Origin::start(|seen: &Seen| match seen.target.contains("/events") {
        true => Reply::new(200, CANARY)
            .header("Content-Type", EVENTS)
            .header("Content-Encoding", "compress"),
        false => setup::answer(seen),
    });
    let gateway = Gateway::start(&setup::channel(&origin, "", OWNER));
    let mut ann = setup::logged_in(&gateway, "ann");
    for browser in [&mut ann, &mut gateway.browser()] {
        let answer = browser.get("/chat/ann/events");
        assert_eq!(answer.code(), "answer-undecodable");
    }
}

/// A gzip encoder that flushes after each text.
pub struct Gzip(flate2::write::GzEncoder<Vec<u8>>);

impl Default for Gzip {
    fn default() -> Self {
        let level = flate2::Compression::default();
        Self(flate2::write::GzEncoder::new(Vec::new(), level))
    }
}

impl Gzip {
    pub fn next(&mut self, text: &str) -> Vec<u8> {
        self.0.write_all(text.as_bytes()).unwrap();
        self.0.flush().unwrap();
        std::mem::take(self.0.get_mut())
    }
}
