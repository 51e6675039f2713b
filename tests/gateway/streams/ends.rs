//! Streams that end, or go on for nobody in particular, when a login does.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use super::{EVENTS, flagged, listen, login_url};
use crate::setup::{self, CANARY, OWNER};
use crate::support::login::PLATFORM_KEY;
use crate::support::{Feed, Framing, Gateway, Listener, Origin, Reply, Request, Seen};

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
    let said = "data: one\n\ndata: two";
    // Where it cannot be read, it ends where it is.
    for (kind, shown) in [
        (EVENTS, "data: one\n\n"),
        ("text/event-stream; charset=utf-7", said),
    ] {
        let gate = Arc::new(Mutex::new(()));
        let ends = Arc::clone(&gate);
        let origin = Origin::start_h2(move |seen: &Seen| match seen.target.ends_with("/events") {
            true => Reply::new(200, said)
                .header("Content-Type", kind)
                .framing(Framing::Chunked)
                .trailer("X-Trailer", CANARY)
                .gate(&ends),
            false => setup::answer(seen),
        });
        let tables = format!(
            "{OWNER}[channel.web.stream]\non_expiry = \"close\"\n\
             [channel.web.inspect]\nundecodable = \"release\"\n"
        );
        let gateway = Gateway::start(&setup::channel(&origin, "", &tables));
        let ann = setup::logged_in(&gateway, "ann");
        let cookies = ann.cookies.iter();
        let cookies: Vec<_> = cookies
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let request = Request::get("/chat/ann/events").header("Cookie", &cookies.join("; "));
        let mut closed = Some(gate.lock().unwrap());
        let answer = gateway.h2().exchange_hearing(&request, || {
            if let Some(closed) = closed.take() {
                gateway.clock.advance(Duration::from_secs(30 * 60));
                drop(closed);
            }
        });
        assert!(closed.is_none(), "{kind}: nothing came");
        assert_eq!((answer.status, &*answer.text()), (200, shown), "{kind}");
        assert_eq!(answer.trailers, [], "{kind}");
    }
}
