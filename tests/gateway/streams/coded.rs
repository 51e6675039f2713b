//! Streams in a coding that nobody asked for.

use std::io::Write;
use std::time::Duration;

use super::{EVENTS, flagged, listen, login_url};
use crate::setup::{self, CANARY, OWNER};
use crate::support::{Feed, Gateway, Listener, Origin, Reply, Seen};

#[test]
fn a_coding_that_is_none_ends_a_stream_that_has_begun() {
    let feed = Feed::start("text/event-stream\r\nContent-Encoding: gzip");
    let (_gateway, _, mut stream) = listen(&feed, "");
    assert!(stream.head.starts_with("HTTP/1.1 200"), "{}", stream.head);
    feed.say(flagged());
    assert_eq!(stream.rest(), "");
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
