//! Answers whose body is not looked into, too long or not to be read, and go on all the same.

use std::time::Duration;

use crate::setup::{self, CANARY, OWNER};
use crate::support::{Feed, Gateway, Origin, Reply, Request, Seen};

/// Releases whatever cannot be inspected, and takes a flag off that is a header.
const RELEASE: &str = r#"
[[channel.web.flag]]
name = "own"
header = { name = "X-Needs-Login" }
strip = true
[channel.web.inspect]
max_body = "1KiB"
oversize = "release"
undecodable = "release"
"#;

#[test]
fn a_flag_is_taken_off_the_head_of_an_answer_that_is_not_read() {
    let origin = Origin::start(|seen: &Seen| {
        let kind = seen.target.rsplit('/').next().unwrap_or_default();
        let long = format!("\"{CANARY}{}\"", "x".repeat(4 << 10));
        let reply = match kind {
            "statement" => return setup::answer(seen),
            "long" => Reply::new(200, long).header("Content-Type", "application/json"),
            "chunks" => Reply::new(200, long).header("Content-Type", "application/json"),
            "coding" => Reply::new(200, CANARY).header("Content-Encoding", "own"),
            "stream" => Reply::new(200, CANARY)
                .header("Content-Type", "text/event-stream; charset=utf-7")
                .framing(crate::support::Framing::Close),
            kind => panic!("{kind}"),
        };
        let reply = reply.header("X-Needs-Login", "yes").header("X-Kept", "yes");
        match kind {
            "chunks" => reply.chunked(100),
            _ => reply,
        }
    });
    for closes in ["", "[channel.web.stream]\non_expiry = \"close\"\n"] {
        let tables = format!("{OWNER}{RELEASE}{closes}");
        let gateway = Gateway::start(&setup::channel(&origin, "", &tables));
        let mut ann = setup::logged_in(&gateway, "ann");
        for kind in ["long", "chunks", "coding", "stream"] {
            let answer = ann.get(&format!("/chat/ann/{kind}"));
            assert!(answer.contains(CANARY), "{kind}: {}", answer.text());
            assert_eq!(answer.header("x-needs-login"), None, "{kind}");
            assert_eq!(answer.header("x-kept"), Some("yes"), "{kind}");
            let cached = answer.header("cache-control");
            assert_eq!(cached, Some("private, no-store"), "{kind}");
            let stranger = gateway
                .browser()
                .get(&format!("/chat/{}/{kind}", setup::fresh()));
            assert!(!stranger.contains(CANARY), "{kind}: {}", stranger.text());
        }
    }
}

#[test]
fn a_login_that_ends_while_the_body_comes_does_not_count_for_the_answer() {
    let feed = Feed::start("application/json\r\nX-Needs-Login: yes");
    let tables = setup::channel(&feed.origin, "", &format!("{OWNER}{RELEASE}"));
    let gateway = Gateway::start(&tables);
    let mut ann = gateway.browser();
    ann.get("/chat/ann/hello");
    let cookies = ann
        .cookies
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    let cookies = cookies.collect::<Vec<_>>().join("; ");
    let request = Request::get("/chat/ann/events").header("Cookie", &cookies);
    let ask = || {
        let (mut wire, request) = (gateway.wire(), request.clone());
        let asked = std::thread::spawn(move || wire.exchange(&request));
        feed.opened();
        asked
    };

    let asked = ask();
    feed.say("{}");
    feed.end();
    let url = setup::login_url(&asked.join().unwrap());
    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);

    let long = format!("\"{CANARY}{}\"]", "x".repeat(4 << 10));
    for ends in [false, true] {
        let asked = ask();
        feed.say("[");
        if ends {
            // Nothing tells that the head has been judged. Where it has not, the login
            // has ended all the same.
            std::thread::sleep(Duration::from_millis(200));
            gateway.clock.advance(Duration::from_secs(31 * 60));
        }
        feed.say(&long);
        if !ends {
            feed.end();
        }
        let answer = asked.join().unwrap();
        assert_eq!(answer.contains(CANARY), !ends, "{}", answer.text());
        assert_eq!(setup::is_challenge(&answer), ends, "{}", answer.text());
    }
}

#[test]
fn a_client_that_does_not_know_chunks_gets_none_of_what_is_too_long_to_be_read() {
    let long = format!("\"{CANARY}{}\"", "x".repeat(64 << 10));
    let text = long.clone();
    let script = move |seen: &Seen| {
        let reply = Reply::new(200, text.clone()).header("Content-Type", "application/json");
        match seen.target.rsplit('/').next().unwrap_or_default() {
            "chunks" => reply.chunked(100),
            "close" => reply.framing(crate::support::Framing::Close),
            _ => reply,
        }
    };
    for origin in [Origin::start(script.clone()), Origin::start_h2(script)] {
        let gateway = Gateway::start(&setup::channel(&origin, "", &format!("{OWNER}{RELEASE}")));
        for kind in ["sized", "chunks", "close"] {
            for version in ["1.0", "1.1", "2"] {
                let request = Request::get(&format!("/chat/{}/{kind}", setup::fresh()));
                let request = match version {
                    "1.0" => request.header("Connection", "keep-alive"),
                    _ => request,
                };
                let answer = match version {
                    "2" => gateway.h2().exchange(&request),
                    "1.0" => gateway.wire().exchange_as(version, &request),
                    _ => {
                        let mut wire = gateway.wire();
                        let first = wire.exchange(&request);
                        assert!(first.whole && first.text() == long, "{kind} {version}");
                        wire.exchange(&request)
                    }
                };
                let cell = format!("{kind} {version} h2={}", origin.http2);
                assert!(answer.whole && answer.text() == long, "{cell}");
                let unsized_body = kind != "sized";
                let chunks = unsized_body && version == "1.1";
                let coding = answer.header("transfer-encoding");
                assert_eq!(coding, chunks.then_some("chunked"), "{cell}");
                let length = answer.header("content-length");
                assert_eq!(length.is_none(), unsized_body, "{cell}");
            }
        }
    }
}

#[test]
fn what_was_not_read_is_not_what_waits_for_the_login() {
    let origin = Origin::start(|_: &Seen| {
        // Its head says that it is withheld, and not where it ends.
        Reply::new(200, CANARY)
            .header("Content-Type", "application/json")
            .header("Content-Encoding", "own")
            .header("X-Auth-Required", "yes")
            .chunked(100)
    });
    let gateway = Gateway::start(&setup::channel(&origin, "resume = \"release\"", OWNER));
    let mut ann = gateway.browser();
    let challenge = ann.get("/chat/ann/report");
    let url = setup::login_url(&challenge);
    assert_eq!(setup::continue_url(&challenge), "");
    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
    assert!(ann.get("/chat/ann/report").contains(CANARY));
}

#[test]
fn the_head_of_a_stream_says_the_same_to_whoever_asks_for_it_alone() {
    let origin = Origin::start(|seen: &Seen| {
        let kind = match seen.target.rsplit('/').next().unwrap_or_default() {
            "statement" => return setup::answer(seen),
            "opaque" => "text/event-stream; charset=utf-7",
            _ => "text/event-stream",
        };
        Reply::new(200, "data: x\n\n")
            .header("Content-Type", kind)
            .header("X-Needs-Login", "yes")
            .header("Accept-Ranges", "bytes")
            .header("Cache-Control", "max-age=60, no-transform")
            .header("ETag", "\"1\"")
    });
    for closes in ["", "[channel.web.stream]\non_expiry = \"close\"\n"] {
        let tables = format!("{OWNER}{RELEASE}{closes}");
        let gateway = Gateway::start(&setup::channel(&origin, "", &tables));
        let mut ann = setup::logged_in(&gateway, "ann");
        for kind in ["events", "opaque"] {
            let [get, head] = ["GET", "HEAD"].map(|method| {
                let request = Request::new(method, &format!("/chat/ann/{kind}"));
                let mut answer = ann.send(request);
                let framing = ["transfer-encoding", "connection", "date"];
                let framed =
                    |name: &str| framing.iter().any(|known| name.eq_ignore_ascii_case(known));
                answer.headers.retain(|(name, _)| !framed(name));
                answer.headers.sort();
                answer
            });
            assert_eq!((get.status, get.text()), (200, "data: x\n\n".into()));
            assert_eq!(get.headers, head.headers, "{kind} {closes}");
            assert_eq!(head.header("x-needs-login"), None, "{kind} {closes}");
        }
    }
}
