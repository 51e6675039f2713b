//! WebSockets: relayed message by message, judged, and ended with the login.

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::setup::{CANARY, OWNER, channel_to};
use crate::support::websocket::accepted;
use crate::support::{
    Frame, Gateway, Origin, Process, Reply, Request, SocketOrigin, WebSocket, Wire, eventually,
};

/// What the website signs its tokens with.
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A gateway in front of a backend whose sockets the test speaks for.
fn usual(websocket: &str) -> (Gateway, SocketOrigin) {
    with(
        "resume = \"replay\"",
        &format!("{OWNER}[channel.web.websocket]\n{websocket}\n"),
    )
}

fn with(settings: &str, tables: &str) -> (Gateway, SocketOrigin) {
    let origin = SocketOrigin::start();
    let gateway = Gateway::start(&channel_to(&origin.upstream(), settings, tables));
    (gateway, origin)
}

/// Both ends of a socket of a chat.
fn open(gateway: &Gateway, origin: &SocketOrigin, chat: &str) -> (WebSocket, WebSocket) {
    open_with(gateway, origin, &format!("/chat/{chat}/ws"), &[])
}

fn open_with(
    gateway: &Gateway,
    origin: &SocketOrigin,
    target: &str,
    headers: &[(&str, &str)],
) -> (WebSocket, WebSocket) {
    let customer = WebSocket::ask(gateway.at.plain, target, headers);
    let customer = customer.unwrap_or_else(|answer| panic!("{}", answer.text()));
    (customer, origin.accept())
}

fn flagged(text: &str) -> Value {
    json!({"text": text, "secret": CANARY, "authentication_required": true})
}

/// The login URL of a challenge that gives nothing away.
fn challenged(customer: &mut WebSocket) -> String {
    let said = customer.hear();
    assert!(!said.contains(CANARY), "{said}");
    let said: Value = serde_json::from_str(&said).unwrap();
    said["challenge"].as_str().unwrap().to_owned()
}

/// Logs `alice` in on this socket.
fn log_in(gateway: &Gateway, customer: &mut WebSocket, backend: &mut WebSocket) {
    customer.say_json(&json!({"text": "statement"}));
    assert_eq!(backend.hear_json()["text"], "statement");
    backend.say_json(&flagged("statement"));
    let url = challenged(customer);
    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
    let again = backend.hear_json();
    assert_eq!(again["text"], "statement", "the last message is said again");
    assert_eq!(again["metadata"]["customer"], "alice");
    backend.say_json(&flagged("statement"));
    let said = customer.hear();
    assert!(
        said.contains(CANARY) && !said.contains("authentication_required"),
        "{said}"
    );
}

fn revoke(gateway: &Gateway, chat: &str) {
    let asks = Request::new("DELETE", &format!("/interactions/web/{chat}"));
    assert_eq!(Wire::connect(gateway.at.admin).exchange(&asks).status, 200);
}

#[test]
fn messages_pass_both_ways_whole() {
    let (gateway, origin) = usual("");
    let (mut customer, mut backend) = open(&gateway, &origin, "c1");
    customer.say("hello");
    assert_eq!(backend.hear(), "hello");
    backend.say("hello to you");
    assert_eq!(customer.hear(), "hello to you");

    // In fragments, a character cut in two, a ping in between: that is passed at once.
    customer.send(&Frame::new(1, "gr\u{fc}n".as_bytes()[..3].to_vec()).open());
    customer.send(&Frame::new(9, "there?"));
    assert_eq!(backend.next(), Frame::new(9, "there?"));
    backend.send(&Frame::new(10, "there?"));
    assert_eq!(customer.next(), Frame::new(10, "there?"));
    customer.send(&Frame::new(0, "gr\u{fc}n".as_bytes()[3..].to_vec()));
    assert_eq!(backend.hear(), "gr\u{fc}n");

    // Glued together, and byte by byte.
    let glued: Vec<u8> = ["a", "b", "c"]
        .iter()
        .flat_map(|text| Frame::text(text).bytes(false))
        .collect();
    backend.send_raw(&glued);
    assert_eq!(
        [customer.hear(), customer.hear(), customer.hear()],
        ["a", "b", "c"]
    );
    for byte in Frame::text("slowly").bytes(true) {
        customer.send_raw(&[byte]);
    }
    assert_eq!(backend.hear(), "slowly");

    // Binary, and large.
    let image: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    backend.send(&Frame::new(2, image.clone()));
    assert_eq!(customer.next(), Frame::new(2, image.clone()));
    customer.send(&Frame::new(2, image.clone()));
    assert_eq!(backend.next(), Frame::new(2, image));
    let long = "x".repeat(900_000);
    customer.say(&long);
    assert_eq!(backend.hear(), long);
}

#[test]
fn what_is_sent_with_the_handshake_is_not_lost() {
    let (gateway, origin) = usual("");
    let early = Frame::text("welcome").bytes(false);
    origin.answers([accepted(""), early].concat());
    let question = Frame::text("early").bytes(true);
    let at = gateway.at.plain;
    let customer = WebSocket::ask_with(at, "/chat/c1/ws", &[], &question);
    let mut customer = customer.unwrap_or_else(|answer| panic!("{}", answer.text()));
    let mut backend = origin.accept();
    assert_eq!(customer.hear(), "welcome");
    assert_eq!(backend.hear(), "early");
}

#[test]
fn a_flagged_message_waits_for_the_login_on_the_same_socket() {
    let greeting = "on_login = '''{\"hello\": \"{{ subject }}\", \"level\": \"{{ level }}\"}'''";
    let (gateway, origin) = usual(greeting);
    let (mut customer, mut backend) = open(&gateway, &origin, "c1");
    customer.say_json(&json!({"text": "my statement", "n": 1}));
    assert_eq!(backend.hear_json()["text"], "my statement");
    // In fragments: it is judged as a whole.
    let (one, two) = (flagged("statement").to_string(), CANARY.len());
    let (one, two) = one.split_at(one.len() - two);
    backend.send(&Frame::text(one).open());
    backend.send(&Frame::new(9, "beat"));
    assert_eq!(customer.next(), Frame::new(9, "beat"));
    backend.send(&Frame::new(0, two));
    let url = challenged(&mut customer);

    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
    assert_eq!(
        customer.hear_json(),
        json!({"hello": "alice", "level": "verified"})
    );
    let again = backend.hear_json();
    assert_eq!(
        again,
        json!({"text": "my statement", "n": 1, "metadata": {"customer": "alice"}})
    );
    backend.say_json(&flagged("statement"));
    let said = customer.hear_json();
    assert_eq!(said, json!({"text": "statement", "secret": CANARY}));

    // Once. And what passes now carries the identity.
    customer.say_json(&json!({"text": "whoami"}));
    assert_eq!(backend.hear_json()["metadata"]["customer"], "alice");
}

#[test]
fn withheld_messages_are_released_in_order_on_the_same_socket() {
    let tables = format!("{OWNER}[channel.web.websocket]\n");
    let (gateway, origin) = with("resume = \"release\"", &tables);
    let (mut customer, mut backend) = open(&gateway, &origin, "c1");
    customer.say_json(&json!({"text": "statement"}));
    backend.hear();
    for text in ["one", "two"] {
        backend.say_json(&flagged(text));
    }
    backend.say_json(&json!({"text": "not flagged"}));
    let url = challenged(&mut customer);
    assert_eq!(
        customer.hear_json()["text"],
        "not flagged",
        "one challenge is enough"
    );
    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
    for text in ["one", "two"] {
        assert_eq!(
            customer.hear_json(),
            json!({"text": text, "secret": CANARY})
        );
    }
    // The backend hears nothing of it.
    customer.say_json(&json!({"text": "next"}));
    assert_eq!(backend.hear_json()["text"], "next");

    // What a revoked login had earned is gone, and a stranger gets nothing.
    let (mut stranger, mut bot) = open(&gateway, &origin, "c1");
    bot.say_json(&flagged("three"));
    bot.say("hello");
    assert_eq!(stranger.hear(), "hello");
    revoke(&gateway, "c1");
    backend.say_json(&flagged("four"));
    let url = challenged(&mut customer);
    let cookie = customer.cookie();
    drop(customer);
    assert_eq!(backend.frame(), None);
    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
    // The next socket of the same customer.
    let (mut customer, _backend) =
        open_with(&gateway, &origin, "/chat/c1/ws", &[("Cookie", &cookie)]);
    assert_eq!(customer.hear_json()["text"], "four");
}

#[test]
fn nothing_flagged_passes_in_any_disguise() {
    let (gateway, origin) = usual("");
    let (mut customer, mut backend) = open(&gateway, &origin, "c1");
    for disguised in [
        flagged("x").to_string(),
        format!("[{},{}]", json!({"text": "ok"}), flagged("x")),
        format!("{{\"authentication_\\u0072equired\":true,\"s\":\"{CANARY}\"}}"),
        format!(
            "{{\"authentication_required\":false,\"authentication_required\":true,\"s\":\"{CANARY}\"}}"
        ),
    ] {
        backend.say(&disguised);
        challenged(&mut customer);
    }
    // JSON in a binary frame is JSON; what is malformed is dropped.
    backend.send(&Frame::new(2, flagged("x").to_string()));
    let frame = customer.next();
    assert!(
        frame.opcode == 1 && !frame.said().contains(CANARY) && frame.said().contains("challenge")
    );
    backend.say(&format!(
        "{{\"authentication_required\":true,\"s\":\"{CANARY}\","
    ));
    backend.say("and on");
    assert_eq!(customer.hear(), "and on");
}

#[test]
fn a_login_that_is_taken_away_closes_an_idle_socket() {
    let close = "on_expiry = \"close\"\nclose_code = 4403\nclose_reason = \"log in again\"";
    let (gateway, origin) = usual(close);
    for chat in ["revoked", "ended", "expired"] {
        let (mut customer, mut backend) = open(&gateway, &origin, chat);
        log_in(&gateway, &mut customer, &mut backend);
        match chat {
            "revoked" => revoke(&gateway, chat),
            "ended" => {
                // The owner's cookie is what the handshake was answered with.
                let ends = Request::new("POST", "/end/ended").header("Cookie", &customer.cookie());
                gateway.wire().exchange(&ends);
                drop(origin.accept());
            }
            _ => gateway.clock.advance(Duration::from_secs(30 * 60)),
        }
        assert_eq!(
            customer.next(),
            Frame::close(4403, "log in again"),
            "{chat}"
        );
        assert_eq!(backend.next().code(), Some(1001), "{chat}");
        customer.send(&Frame::close(4403, ""));
        assert_eq!(customer.frame(), None);
        assert_eq!(backend.frame(), None);
    }
}

#[test]
fn a_level_that_runs_out_counts_like_a_login_that_does() {
    let tables = format!(
        "{OWNER}[channel.web.level_timeouts]\nverified = \"5m\"\n[channel.web.websocket]\n"
    );
    let minutes = Duration::from_secs(5 * 60);
    let (gateway, origin) = with(
        "resume = \"replay\"",
        &format!("{tables}on_expiry = \"close\"\n"),
    );
    let (mut customer, mut backend) = open(&gateway, &origin, "c1");
    log_in(&gateway, &mut customer, &mut backend);
    gateway.clock.advance(minutes);
    assert_eq!(customer.next().code(), Some(4401));
    assert_eq!(backend.next().code(), Some(1001));

    let (gateway, origin) = with("resume = \"replay\"", &tables);
    let (mut customer, mut backend) = open(&gateway, &origin, "c1");
    log_in(&gateway, &mut customer, &mut backend);
    gateway.clock.advance(minutes);
    customer.say_json(&json!({"text": "whoami"}));
    let said = backend.hear_json();
    assert_eq!(said["metadata"]["customer"], "alice", "claimed still");
    backend.say_json(&flagged("statement"));
    challenged(&mut customer);
}

#[test]
fn a_login_that_runs_out_makes_the_customer_anonymous() {
    let (gateway, origin) = usual("");
    let (mut customer, mut backend) = open(&gateway, &origin, "c1");
    log_in(&gateway, &mut customer, &mut backend);
    gateway.clock.advance(Duration::from_secs(30 * 60));
    backend.say_json(&flagged("statement"));
    challenged(&mut customer);
    customer.say_json(&json!({"text": "whoami"}));
    assert_eq!(backend.hear_json(), json!({"text": "whoami"}));

    log_in(&gateway, &mut customer, &mut backend);
    revoke(&gateway, "c1");
    backend.say_json(&flagged("statement"));
    challenged(&mut customer);
}

#[test]
fn a_foreign_website_opens_no_socket() {
    let (gateway, origin) = usual("");
    let own = format!("http://{}", gateway.at.plain);
    for foreign in [
        "https://evil.example",
        "null",
        "",
        &own.to_uppercase(),
        &format!("{own}.evil.example"),
    ] {
        let asked = WebSocket::ask(gateway.at.plain, "/chat/c1/ws", &[("Origin", foreign)]);
        let refused = asked.err().expect("refused");
        assert_eq!(
            (refused.status, &*refused.code()),
            (403, "foreign-origin"),
            "{foreign}"
        );
    }
    let twice = [("Origin", &*own), ("Origin", "https://evil.example")];
    let refused = WebSocket::ask(gateway.at.plain, "/chat/c1/ws", &twice).err();
    assert_eq!(refused.expect("refused").status, 403);
    open_with(&gateway, &origin, "/chat/c1/ws", &[("Origin", &own)]);

    let (gateway, origin) = usual("origins = [\"https://www.example.com\"]");
    open_with(
        &gateway,
        &origin,
        "/chat/c1/ws",
        &[("Origin", "https://www.example.com")],
    );
    let own = format!("http://{}", gateway.at.plain);
    assert!(WebSocket::ask(gateway.at.plain, "/chat/c1/ws", &[("Origin", &own)]).is_err());
}

#[test]
fn a_customer_cannot_speak_for_the_gateway() {
    let (gateway, origin) = usual("");
    let forged = [
        ("X-Customer-Id", "mallory"),
        ("x_customer_id", "mallory"),
        ("X-Forwarded-For", "10.0.0.1"),
        ("Sec-WebSocket-Extensions", "permessage-deflate"),
        ("Sec-WebSocket-Protocol", "chat"),
        ("Cookie", "chatgate=forged; theirs=1"),
    ];
    let (mut customer, mut backend) = open_with(&gateway, &origin, "/chat/c1/ws?a=b", &forged);
    let head = backend.head.to_lowercase();
    for absent in ["mallory", "10.0.0.1", "extensions", "chatgate"] {
        assert!(!head.contains(absent), "{absent}: {head}");
    }
    for present in [
        "get /chat/c1/ws?a=b http/1.1",
        "sec-websocket-protocol: chat",
        "cookie: theirs=1",
    ] {
        assert!(head.contains(present), "{present}: {head}");
    }
    for claim in [
        r#"{"text":"x","metadata":{"customer":"mallory","a":1}}"#,
        r#"{"text":"x","metadata":{"cust\u006fmer":"mallory","a":1}}"#,
        r#"{"text":"x","Metadata":{"Customer":"mallory","a":1}}"#,
    ] {
        customer.say(claim);
        let heard = backend.hear();
        assert!(
            !heard.contains("mallory") && heard.contains("\"a\":1"),
            "{heard}"
        );
    }
    // Some backends read JSON in binary frames.
    customer.send(&Frame::new(2, r#"{"metadata":{"customer":"mallory"}}"#));
    assert_eq!(backend.next(), Frame::new(2, r#"{"metadata":{}}"#));
    // What only a lenient reader understands is not handed on.
    customer.say(r#"{"metadata":{"customer":"mallory"},}"#);
    customer.say("next");
    assert_eq!(backend.hear(), "next");
}

#[test]
fn close_codes_pass_both_ways() {
    let (gateway, origin) = usual("");
    let (mut customer, mut backend) = open(&gateway, &origin, "c1");
    customer.send(&Frame::close(4000, "enough"));
    assert_eq!(backend.next(), Frame::close(4000, "enough"));
    backend.say("one more thing");
    backend.send(&Frame::close(4000, ""));
    assert_eq!(customer.hear(), "one more thing");
    assert_eq!(customer.next(), Frame::close(4000, ""));
    assert_eq!((customer.frame(), backend.frame()), (None, None));

    let (mut customer, mut backend) = open(&gateway, &origin, "c2");
    backend.send(&Frame::new(8, ""));
    assert_eq!(customer.next(), Frame::new(8, ""));
    customer.send(&Frame::new(8, ""));
    assert_eq!(backend.next(), Frame::new(8, ""));
    assert_eq!((customer.frame(), backend.frame()), (None, None));

    // A connection that breaks is no close.
    let (customer, mut backend) = open(&gateway, &origin, "c3");
    drop(customer);
    assert_eq!(backend.frame(), None);
    let (mut customer, backend) = open(&gateway, &origin, "c4");
    drop(backend);
    assert_eq!(customer.frame(), None);
}

#[test]
fn what_the_protocol_forbids_ends_the_socket() {
    let (gateway, origin) = usual("max_message = \"1KiB\"");
    let cases: &[(&[u8], u16)] = &[
        (b"\xc1\x80mask", 1002),
        (b"\x83\x80mask", 1002),
        (b"\x81\x01a", 1002),
        (b"\x80\x80mask", 1002),
        (b"\x81\x81\x00\x00\x00\x00\xff", 1007),
        (b"\x81\xfe\x04\x01\x00\x00\x00\x00{", 1009),
        (b"\x82\xfe\x04\x01\x00\x00\x00\x00{", 1009),
    ];
    for (bytes, code) in cases {
        let (mut customer, mut backend) = open(&gateway, &origin, "c1");
        customer.send_raw(bytes);
        assert_eq!(customer.next().code(), Some(*code), "{bytes:x?}");
        assert_eq!(backend.next().code(), Some(1001), "{bytes:x?}");
    }
    let (mut customer, mut backend) = open(&gateway, &origin, "c1");
    backend.send_raw(b"\x81\x81maska");
    assert_eq!(customer.next().code(), Some(1002));

    // Too long to be judged, and to be released; JSON in binary no less than in text.
    let long = CANARY.repeat(200);
    for opcode in [1, 2] {
        for blanks in ["", "\n"] {
            let (mut customer, mut backend) = open(&gateway, &origin, "c1");
            let said = format!("{blanks}{{\"authentication_required\":true,\"a\":\"{long}\"}}");
            backend.send(&Frame::new(opcode, said));
            assert_eq!(customer.next().code(), Some(1009), "{opcode} {blanks:?}");
        }
    }
    // What is no JSON has nothing to judge, at any length.
    let (mut customer, mut backend) = open(&gateway, &origin, "c1");
    backend.send(&Frame::new(2, vec![7; 5000]));
    let mut image = Vec::new();
    loop {
        let frame = customer.next();
        image.extend(frame.payload);
        if frame.fin {
            break;
        }
    }
    assert_eq!(image, vec![7; 5000]);
}

#[test]
fn a_socket_needs_a_handshake_and_a_route() {
    let (gateway, origin) = usual("");
    let at = gateway.at.plain;
    for headers in [
        &[("Sec-WebSocket-Version", "8")][..],
        &[("Sec-WebSocket-Key", "a"), ("Sec-WebSocket-Key", "b")],
        &[("Content-Length", "1")],
    ] {
        let refused = WebSocket::ask(at, "/chat/c1/ws", headers)
            .err()
            .expect("refused");
        assert_eq!(
            (refused.status, &*refused.code()),
            (400, "bad-handshake"),
            "{headers:?}"
        );
    }
    let refused = WebSocket::ask(at, "/deny", &[]).err().expect("refused");
    assert_eq!(refused.status, 403);

    // A backend that does not want to says so by its status alone.
    origin.answers(format!(
        "HTTP/1.1 426 Upgrade Required\r\nX-Secret: {CANARY}\r\nContent-Length: 12\r\n\r\n{CANARY}"
    ));
    let refused = WebSocket::ask(at, "/chat/c1/ws", &[])
        .err()
        .expect("refused");
    assert_eq!((refused.status, &*refused.code()), (426, "upgrade-refused"));
    assert!(!refused.contains(CANARY));
    for answer in [
        accepted("Sec-WebSocket-Extensions: permessage-deflate\r\n"),
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n".to_vec(),
        format!("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{CANARY}").into_bytes(),
    ] {
        origin.answers(answer);
        let refused = WebSocket::ask(at, "/chat/c1/ws", &[])
            .err()
            .expect("refused");
        assert_eq!((refused.status, &*refused.code()), (502, "upgrade-refused"));
        assert!(!refused.contains(CANARY));
    }
}

#[test]
fn an_interaction_may_be_named_by_the_messages() {
    let tables = format!(
        r#"{OWNER}[channel.web.websocket]
[[channel.web.route]]
kind = "message"
method = ["GET", "POST"]
path = "/socket"
interaction = {{ json = "$.user" }}"#
    );
    let (gateway, origin) = with("resume = \"replay\"", &tables);
    let (mut customer, mut backend) = open_with(&gateway, &origin, "/socket", &[]);
    // Nobody can be asked to log in as long as nobody is named.
    backend.say_json(&flagged("too early"));
    backend.say("hello");
    assert_eq!(customer.hear(), "hello");
    customer.say_json(&json!({"user": "u1", "text": "statement"}));
    backend.hear();
    backend.say_json(&flagged("statement"));
    let url = challenged(&mut customer);
    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
    assert_eq!(backend.hear_json()["metadata"]["customer"], "alice");

    // Of somebody else's conversation a stranger hears nothing.
    let (mut stranger, mut bot) = open_with(&gateway, &origin, "/socket", &[]);
    stranger.say_json(&json!({"user": "u1", "text": "statement"}));
    assert_eq!(bot.hear_json(), json!({"user": "u1", "text": "statement"}));
    bot.say_json(&flagged("statement"));
    bot.say("hello");
    assert_eq!(stranger.hear(), "hello");

    // One socket, one conversation.
    customer.say_json(&json!({"user": "u2", "text": "statement"}));
    assert_eq!(customer.next().code(), Some(1008));
}

#[test]
fn idle_sockets_are_kept_alive_and_dead_ones_found() {
    let (gateway, origin) = usual("ping = \"20s\"");
    let (mut customer, mut backend) = open(&gateway, &origin, "c1");
    for _ in 0..4 {
        gateway.clock.advance(Duration::from_secs(20));
        for end in [&mut customer, &mut backend] {
            let ping = end.frame().unwrap();
            assert_eq!((ping.opcode, ping.payload.len()), (9, 8));
            end.send(&Frame::new(10, ping.payload));
        }
    }
    customer.say("still there");
    assert_eq!(
        backend.hear(),
        "still there",
        "pongs to the gateway are its own"
    );
    // Nobody answers any more.
    for _ in 0..2 {
        gateway.clock.advance(Duration::from_secs(20));
        assert_eq!(customer.frame().unwrap().opcode, 9);
    }
    gateway.clock.advance(Duration::from_secs(20));
    assert_eq!(customer.frame(), None);
}

#[test]
fn open_sockets_and_messages_are_counted() {
    let (gateway, origin) = usual("");
    let (mut customer, mut backend) = open(&gateway, &origin, "c1");
    backend.say_json(&flagged("statement"));
    challenged(&mut customer);
    let metrics = gateway.metrics();
    assert_eq!(metrics.sum("chatgate_sockets", &[("channel", "web")]), 1.0);
    let flagged = [("channel", "web"), ("reason", "flagged")];
    assert_eq!(metrics.sum("chatgate_socket_messages_total", &flagged), 1.0);
    drop(customer);
    assert_eq!(backend.frame(), None);
    eventually("the socket is counted off", || {
        let open = gateway
            .metrics()
            .sum("chatgate_sockets", &[("channel", "web")]);
        (open == 0.0).then_some(())
    });
}

#[test]
fn a_reload_leaves_sockets_open_and_the_end_closes_them() {
    let origin = SocketOrigin::start();
    let tables = channel_to(
        &origin.upstream(),
        "",
        &format!("{OWNER}[channel.web.websocket]\n"),
    );
    let mut process = Process::start(&tables);
    let customer = WebSocket::ask(process.at.plain, "/chat/c1/ws", &[]);
    let mut customer = customer.unwrap_or_else(|answer| panic!("{}", answer.text()));
    let mut backend = origin.accept();

    process.rewrite(&channel_to(&origin.upstream(), "", OWNER));
    process.signal("HUP");
    eventually("the configuration is reloaded", || {
        process.log().contains("was reloaded").then_some(())
    });
    // It keeps the configuration it began with, in which flags are judged.
    backend.say_json(&flagged("statement"));
    challenged(&mut customer);
    let refused = WebSocket::ask(process.at.plain, "/chat/c2/ws", &[]);
    assert_eq!(
        refused.err().map(|answer| answer.status),
        Some(502),
        "no upgrade any more"
    );

    process.signal("TERM");
    customer.say("still there");
    assert_eq!(backend.hear(), "still there");
    assert_eq!(customer.next().code(), Some(1001));
    customer.send(&Frame::close(1001, ""));
    assert_eq!(
        (customer.frame(), backend.next().code()),
        (None, Some(1001))
    );
    let ended = eventually("the process ends", || process.ended());
    assert!(ended.success());
}

#[test]
fn only_a_handshake_opens_a_socket() {
    let origin = Origin::start(|_| Reply::json(&json!({"text": "hello"})));
    let tables = format!("{OWNER}[channel.web.websocket]\n");
    let gateway = Gateway::start(&channel_to(&origin.upstream("bot"), "", &tables));
    // Over HTTP/2 there is no upgrade; another one is none of ours.
    let plain = Request::get("/chat/c1/ws").header("Sec-WebSocket-Version", "13");
    assert_eq!(gateway.h2().exchange(&plain).status, 200);
    for upgrade in ["foo", "h2c", ""] {
        let asks = Request::get("/chat/c1/ws")
            .header("Connection", "Upgrade")
            .header("Upgrade", upgrade);
        assert_eq!(gateway.wire().exchange(&asks).status, 200);
        assert_eq!(origin.last().header("upgrade"), None);
    }
    let posts = Request::post("/chat/c1/ws", &json!({})).header("Upgrade", "websocket");
    assert_eq!(gateway.wire().exchange(&posts).status, 200);
}

/// A token of `subject`'s that the website signs.
fn token(gateway: &Gateway, subject: &str) -> String {
    let claims = json!({"sub": subject, "exp": gateway.clock.now().secs() + 60});
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap()
}

#[test]
fn where_a_proof_is_required_nobody_goes_on_as_anonymous() {
    let tables = format!(
        r#"{OWNER}[channel.web.websocket]
[[channel.web.identity]]
name = "site"
kind = "jwt"
from = {{ query = "token" }}
keys = [{{ algorithm = "HS256", secret = "{SECRET}" }}]
[[channel.web.route]]
kind = "message"
method = "GET"
path = "/required/{{id}}"
interaction = {{ path = "id" }}
enforcement = "required"
"#
    );
    let (gateway, origin) = with("", &tables);
    let target = format!("/required/c1?token={}", token(&gateway, "alice"));
    let (mut customer, mut backend) = open_with(&gateway, &origin, &target, &[]);
    customer.say("hello");
    assert_eq!(backend.hear(), "hello");
    revoke(&gateway, "c1");
    assert_eq!(customer.next(), Frame::close(1008, "proof-missing"));
}

#[test]
fn who_does_not_read_holds_nothing_up() {
    let (gateway, origin) = usual("max_message = \"16MiB\"");
    let (mut customer, mut backend) = open(&gateway, &origin, "c1");
    // More than the buffers on the way take, both ways at once, and nobody reads yet.
    let long = "x".repeat(8 << 20);
    let frames = [
        Frame::text(&long).bytes(true),
        Frame::text(&long).bytes(false),
    ];
    std::thread::scope(|scope| {
        let mut ways = [customer.copy(), backend.copy()].into_iter().zip(&frames);
        for _ in 0..2 {
            let (mut end, bytes) = ways.next().unwrap();
            scope.spawn(move || end.send_raw(bytes));
        }
        assert_eq!(customer.hear().len(), long.len());
        assert_eq!(backend.hear().len(), long.len());
    });
}

#[test]
fn a_proof_at_the_handshake_counts_as_long_as_every_login() {
    let tables = format!(
        r#"{OWNER}[channel.web.websocket]
on_expiry = "close"
[[channel.web.identity]]
name = "site"
kind = "jwt"
from = {{ query = "token" }}
keys = [{{ algorithm = "HS256", secret = "{SECRET}" }}]
level = "verified"
[[channel.web.route]]
kind = "message"
method = "GET"
path = "/required/{{id}}"
interaction = {{ path = "id" }}
enforcement = "required"
[[channel.web.route]]
kind = "message"
method = "GET"
path = "/unnamed"
interaction = {{ json = "$.user" }}
enforcement = "optional"
"#
    );
    let (gateway, origin) = with("", &tables);
    let refused = WebSocket::ask(gateway.at.plain, "/required/c0", &[]).err();
    assert_eq!(&*refused.expect("refused").code(), "proof-missing");
    let asks = |path: &str| {
        let target = format!("{path}?token={}", token(&gateway, "alice"));
        open_with(&gateway, &origin, &target, &[])
    };
    let (mut named, mut named_bot) = asks("/required/c1");
    let (mut unnamed, mut unnamed_bot) = asks("/unnamed");
    for (customer, backend) in [
        (&mut named, &mut named_bot),
        (&mut unnamed, &mut unnamed_bot),
    ] {
        assert!(backend.head.to_lowercase().contains("x-customer-id: alice"));
        backend.say_json(&flagged("statement"));
        assert!(customer.hear().contains(CANARY));
    }
    // The proof binds the interaction that is named later.
    let (mut later, mut later_bot) = asks("/unnamed");
    later.say_json(&json!({"user": "u1"}));
    assert_eq!(later_bot.hear_json()["metadata"]["customer"], "alice");
    later.say_json(&json!({"user": "u1"}));
    assert_eq!(later_bot.hear_json()["metadata"]["customer"], "alice");

    gateway.clock.advance(Duration::from_secs(30 * 60));
    for customer in [&mut named, &mut unnamed, &mut later] {
        let mut frame = customer.next();
        if frame.opcode == 1 {
            frame = customer.next();
        }
        assert_eq!(frame, Frame::close(4401, "the login has ended"));
    }
}
