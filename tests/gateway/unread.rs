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
