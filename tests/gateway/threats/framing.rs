//! Where one request ends and the next begins; and requests that ask to become
//! something else.

use serde_json::json;

use crate::setup::{CANARY, OWNER, bot, channel, fresh, usual};
use crate::support::{Answer, Gateway, Origin, Reply, Request, Wire, message};

/// A body that would be a request if its own were not read to its end.
const SMUGGLED: &str = "GET /plain/smuggled HTTP/1.1\r\nHost: x\r\n\r\n";

/// Requests that the gateway answers itself: method and target.
const OWN: &[(&str, &str)] = &[
    ("POST", "/deny"),
    ("POST", "/nowhere"),
    ("POST", "/a//b"),
    ("POST", "/.chatgate/return/web"),
    ("POST", "/.chatgate/return/web?token=x&token=y"),
    ("PUT", "/.chatgate/return/web"),
    ("GET", "/.chatgate/return/web?return=x"),
    ("GET", "/.chatgate/jwks.json"),
    ("POST", "/.chatgate/jwks.json"),
    ("GET", "/.chatgate/continue/x"),
    ("GET", "/.chatgate/done/login-succeeded"),
    ("DELETE", "/.chatgate/nothing"),
    ("POST", "/chat/c1/statement"),
    ("GET", "/chat/c1/statement"),
];

/// Sends a request with a body and one after it; the second is answered right, or
/// the connection ends before it. What the body says is never a request.
fn pipelined(wire: &mut Wire, shown: &str, method: &str, bytes: &str) -> Answer {
    wire.send(format!(
        "{bytes}GET /plain/after HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    ));
    let first = wire.answer(method);
    let after = wire.answer("GET");
    if after.status != 0 {
        assert_eq!(after.json(), json!({"text": "hello"}), "{shown}");
    }
    assert_eq!(wire.rest(), b"", "{shown}");
    first
}

#[test]
fn after_our_own_answers_the_next_request_is_read_right() {
    let (gateway, origin) = usual();
    for (method, target) in OWN {
        let length = SMUGGLED.len();
        for (shown, rest) in [
            (
                "sized",
                format!("Content-Length: {length}\r\n\r\n{SMUGGLED}"),
            ),
            (
                "chunked",
                format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{SMUGGLED}\r\n0\r\n\r\n"),
            ),
            (
                "expecting",
                format!("Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}"),
            ),
            ("bodiless", "\r\n".into()),
        ] {
            origin.clear();
            let shown = format!("{method} {target} {shown}");
            let head = format!("{method} {target} HTTP/1.1\r\nHost: x\r\n{rest}");
            let first = pipelined(&mut gateway.wire(), &shown, method, &head);
            assert!(first.whole && first.status >= 200, "{shown}: {first:?}");
            assert!(origin.seen_at("/plain/smuggled").is_empty(), "{shown}");
        }
    }
}

#[test]
fn a_connection_goes_on_after_our_own_answers() {
    let (gateway, _origin) = usual();
    for (method, target) in OWN {
        // A connection that is kept needs no body that was left unread.
        for body in ["", "{}"] {
            let mut wire = gateway.wire();
            let first = wire.exchange(&Request::new(method, target).body(body));
            let closes = first.header("connection") == Some("close");
            assert!(
                !(closes && body.is_empty()),
                "{method} {target} closes for no reason"
            );
            let after = wire.exchange(&Request::get("/plain/after"));
            if closes {
                assert_eq!(after.status, 0, "{method} {target}");
            } else {
                assert_eq!(after.json(), json!({"text": "hello"}), "{method} {target}");
            }
        }
    }
}

#[test]
fn a_body_over_the_cap_does_not_become_a_request() {
    let origin = bot();
    let tables = format!(
        "{OWNER}[[channel.web.route]]\nkind = \"message\"\npath = \"/by-body\"\n\
         interaction = {{ json = \"$.id\" }}\nmax_body = \"1KiB\"\n"
    );
    let gateway = Gateway::start(&channel(&origin, "", &tables));
    let body = SMUGGLED.repeat(200);
    let head = "POST /by-body HTTP/1.1\r\nHost: x\r\n";
    let sized = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    let chunked = format!(
        "{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    for bytes in [sized, chunked] {
        let answer = pipelined(&mut gateway.wire(), "over the cap", "POST", &bytes);
        // The answer may be lost with the connection, but nothing else may come.
        assert!(matches!(answer.status, 413 | 0), "{answer:?}");
    }
    assert!(origin.seen_at("/plain/smuggled").is_empty());
    assert!(origin.seen_at("/by-body").is_empty());
}

#[test]
fn framing_that_can_be_read_in_two_ways_reaches_no_backend() {
    let (gateway, origin) = usual();
    let length = SMUGGLED.len();
    let chunk = format!("0\r\n\r\n{SMUGGLED}");
    for (headers, body) in [
        (
            format!(
                "Content-Length: {}\r\nTransfer-Encoding: chunked\r\n",
                chunk.len()
            ),
            chunk.as_str(),
        ),
        (
            format!(
                "Transfer-Encoding: chunked\r\nContent-Length: {}\r\n",
                chunk.len()
            ),
            &chunk,
        ),
        ("Transfer-Encoding: xchunked\r\n".into(), &chunk),
        ("Transfer-Encoding: chunked, identity\r\n".into(), &chunk),
        (
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n"
                .into(),
            &chunk,
        ),
        ("Transfer-Encoding:\u{b}chunked\r\n".into(), &chunk),
        ("Transfer-Encoding : chunked\r\n".into(), &chunk),
        (format!("Content-Length: +{length}\r\n"), SMUGGLED),
        (format!("Content-Length: {length}, {length}0\r\n"), SMUGGLED),
        (
            format!("Content-Length: 0\r\nContent-Length: {length}\r\n"),
            SMUGGLED,
        ),
        (
            format!("Content-Length: {length}\r\nContent-Length: 0\r\n"),
            SMUGGLED,
        ),
        ("Content-Length: -1\r\n".into(), SMUGGLED),
        ("Content-Length: 0x10\r\n".into(), SMUGGLED),
        ("Content-Length: 99999999999999999999\r\n".into(), SMUGGLED),
        (" Content-Length: 5\r\n".into(), SMUGGLED),
    ] {
        for target in ["/plain/x", "/chat/c1/ask", "/deny"] {
            let mut wire = gateway.wire();
            wire.send(format!(
                "POST {target} HTTP/1.1\r\nHost: x\r\n{headers}\r\n{body}"
            ));
            wire.finish();
            let came = wire.rest();
            // One answer at most: the body was not taken for a request.
            let answers = String::from_utf8_lossy(&came).matches("HTTP/1.1 ").count();
            assert!(
                answers <= 1,
                "{headers:?} {target}: {}",
                String::from_utf8_lossy(&came)
            );
            assert!(
                origin.seen_at("/plain/smuggled").is_empty(),
                "{headers:?} {target}"
            );
        }
    }
    for seen in origin.seen() {
        let lengths = seen.all("content-length").count();
        let codings = seen.all("transfer-encoding").count();
        assert!(
            lengths + codings <= 1,
            "{}",
            String::from_utf8_lossy(&seen.raw)
        );
    }
}

const UPGRADES: &[&str] = &[
    "foo",
    "h2c",
    "websocket",
    "WebSocket",
    "websocket, h2c",
    "",
    "TLS/1.0",
];

#[test]
fn a_wish_to_upgrade_changes_no_verdict() {
    let (gateway, _origin) = usual();
    let verdict = |request: &Request| {
        let answer = gateway.wire().exchange(request);
        assert!(!answer.contains(CANARY), "{request:?}");
        (
            answer.status,
            answer.code(),
            answer.header("x-challenged").map(str::to_owned),
        )
    };
    for target in [
        "/deny",
        "/chat/c1/statement",
        "/chat/c1/ask",
        "/plain/x",
        "/nowhere",
        "/a//b",
        "/end/c9",
    ] {
        for method in ["GET", "POST"] {
            let request = || Request::new(method, &target.replace("c1", &fresh()));
            let expected = verdict(&request());
            for upgrade in UPGRADES {
                let request = request()
                    .header("Connection", "Upgrade, HTTP2-Settings")
                    .header("Upgrade", upgrade)
                    .header("HTTP2-Settings", "AAMAAABkAAQAAP__")
                    .header("Sec-WebSocket-Version", "13")
                    .header("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==");
                assert_eq!(verdict(&request), expected, "{method} {target} {upgrade}");
            }
        }
    }
}

#[test]
fn a_backend_that_switches_protocols_does_not_get_round_the_flag() {
    let origin = Origin::start(|seen| {
        let upgrade = seen.header("upgrade").unwrap_or("foo");
        Reply::raw(format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {upgrade}\r\n\r\n\
             {{\"authentication_required\":true,\"text\":\"{CANARY}\"}}"
        ))
    });
    let gateway = Gateway::start(&channel(&origin, "", OWNER));
    for upgrade in UPGRADES {
        let mut wire = gateway.wire();
        let request = Request::get("/chat/c1/ask")
            .header("Connection", "Upgrade")
            .header("Upgrade", upgrade)
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==");
        wire.send(request.bytes("1.1", "x"));
        wire.finish();
        let came = wire.rest();
        assert!(
            !message::contains(&came, CANARY),
            "{upgrade}: {}",
            String::from_utf8_lossy(&came)
        );
    }
    // Nobody asked for it.
    for method in ["GET", "POST"] {
        let request = Request::new(method, "/chat/c1/ask");
        for answer in [
            gateway.wire().exchange(&request),
            gateway.h2().exchange(&request),
        ] {
            let said = (answer.status, answer.code());
            assert_eq!(said, (502, "upstream-unavailable".to_owned()), "{method}");
        }
    }
}
