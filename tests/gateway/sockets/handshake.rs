//! Who may open a socket, and as whom.

use serde_json::json;

use super::{open_with, usual};
use crate::setup::{CANARY, OWNER, channel_to};
use crate::support::websocket::accepted;
use crate::support::{Frame, Gateway, Origin, Reply, Request, WebSocket};

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
