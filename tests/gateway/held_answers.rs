//! A held answer, in every combination of protocols, shapes and flags.
//!
//! The gateway replaces head and body of an answer after it has seen the body, in
//! a way that leans on the order in which pingora calls its hooks. This matrix is
//! the guard of that: it has to pass before the pinned version moves.

use std::time::Duration;

use serde_json::json;

use crate::setup::{self, CANARY, OWNER};
use crate::support::{Answer, Framing, Gateway, Origin, Reply, Request, Seen, Wire, h2};

/// The cap on inspected bodies in this matrix.
const CAP: usize = 64 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flagged {
    Status,
    Header,
    Body,
    Not,
    /// Not flagged, and of a type that no rule looks into: it streams.
    Stream,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Chunked,
    Sized,
    UntilClose,
    Empty,
    NoContent,
    Head,
    Large,
    Over,
    Aborted,
    Trailers,
    Interim,
    Slow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    H1v0,
    H1,
    TlsH1,
    H2,
}

const FLAGGED: &[Flagged] = &[
    Flagged::Status,
    Flagged::Header,
    Flagged::Body,
    Flagged::Not,
    Flagged::Stream,
];
const SHAPES: &[Shape] = &[
    Shape::Chunked,
    Shape::Sized,
    Shape::UntilClose,
    Shape::Empty,
    Shape::NoContent,
    Shape::Head,
    Shape::Large,
    Shape::Over,
    Shape::Aborted,
    Shape::Trailers,
    Shape::Interim,
    Shape::Slow,
];
const PROTOCOLS: &[Protocol] = &[Protocol::H1v0, Protocol::H1, Protocol::TlsH1, Protocol::H2];

#[test]
fn over_an_http_1_backend() {
    matrix(Origin::start(script));
}

#[test]
fn over_an_http_2_backend() {
    matrix(Origin::start_h2(script));
}

#[test]
fn over_a_tls_backend() {
    matrix(Origin::start_tls(script));
}

#[test]
fn over_an_http_2_backend_with_tls() {
    matrix(Origin::start_h2_tls(script));
}

fn matrix(origin: Origin) {
    let inspect = format!(
        "{OWNER}[channel.web.inspect]\nmax_body = \"{}KiB\"\n",
        CAP >> 10
    );
    let gateway = Gateway::start(&setup::channel(&origin, "", &inspect));
    let (mut cells, mut challenges, mut reused) = (0, 0, 0);
    for &protocol in PROTOCOLS {
        for &flagged in FLAGGED {
            for &shape in SHAPES {
                if !exists(flagged, shape) {
                    continue;
                }
                cells += 1;
                let cell = format!("{protocol:?} {flagged:?} {shape:?} http2={}", origin.http2);
                let mut client = Client::connect(&gateway, protocol);
                let method = if shape == Shape::Head { "HEAD" } else { "GET" };
                let target = format!("/chat/c{cells}/{flagged:?}/{shape:?}");
                let answer = client.exchange(&Request::new(method, &target));
                judge(&cell, flagged, shape, &answer);
                challenges += usize::from(answer.header("x-challenged").is_some());
                reused += usize::from(goes_on(&cell, &mut client, &answer, cells, shape));
            }
        }
    }
    // What a cell may leave open must not be open everywhere.
    let expected = PROTOCOLS.len() * 26;
    assert!(challenges >= expected, "{challenges} challenges of {cells}");
    assert!(
        reused * 10 >= cells * 7,
        "{reused} connections of {cells} went on"
    );
    // Every cell's question reached the backend once.
    for cell in 1..=cells {
        let prefix = format!("/chat/c{cell}/");
        let asked = origin
            .seen()
            .iter()
            .filter(|seen| seen.target.starts_with(&prefix) && !seen.target.ends_with("next"))
            .count();
        assert_eq!(asked, 1, "cell {cell}");
    }
}

/// Whether there can be such an answer.
fn exists(flagged: Flagged, shape: Shape) -> bool {
    match (flagged, shape) {
        // A 204 is not a 401; without a body no body says anything.
        (Flagged::Status | Flagged::Body, Shape::NoContent) => false,
        (Flagged::Body, Shape::Empty | Shape::Head) => false,
        _ => true,
    }
}

/// What the backend answers in a cell. Everything in it that a customer could see
/// has the canary in it.
fn script(seen: &Seen) -> Reply {
    let mut parts = seen.target.rsplit('/');
    let shape = parts.next().unwrap_or_default();
    let flagged = parts.next().unwrap_or_default();
    if shape == "next" {
        return Reply::json(&json!({"text": "next"}));
    }
    let mut body = json!({"text": CANARY, "fill": "x".repeat(fill(shape))});
    if flagged == "Body" {
        body["authentication_required"] = json!(true);
    }
    let kind = match flagged {
        "Stream" => "image/png",
        _ => "application/json",
    };
    let mut reply = Reply::new(200, body.to_string())
        .header("Content-Type", kind)
        .header("X-Secret", CANARY)
        .header("Set-Cookie", &format!("secret={CANARY}"))
        .header("ETag", &format!("\"{CANARY}\""))
        .header("Link", &format!("</{CANARY}>; rel=preload"))
        .header("Location", &format!("/{CANARY}"));
    reply.reason = CANARY.into();
    if flagged == "Status" {
        reply = reply.status(401);
    }
    if flagged == "Header" {
        reply = reply.header("X-Auth-Required", "yes");
    }
    match shape {
        "Chunked" => reply.chunked(7),
        "UntilClose" => reply.framing(Framing::Close),
        "Empty" => {
            reply.pieces.clear();
            reply
        }
        "NoContent" => reply.status(204).framing(Framing::Bare),
        "Large" | "Over" => reply.chunked(4096),
        "Aborted" => reply.chunked(16).cut(),
        "Trailers" => reply.chunked(16).trailer("X-Trailer", CANARY),
        "Interim" => reply.after(103, &[("Link", &format!("</{CANARY}>"))]),
        "Slow" => reply.chunked(40).pause(Duration::from_millis(2)),
        _ => reply,
    }
}

fn fill(shape: &str) -> usize {
    match shape {
        "Large" => CAP - 1024,
        "Over" => CAP + 1024,
        _ => 10,
    }
}

fn judge(cell: &str, flagged: Flagged, shape: Shape, answer: &Answer) {
    let shown = String::from_utf8_lossy(&answer.raw);
    let shown = &shown[..shown.len().min(2000)];
    let by_head = matches!(flagged, Flagged::Status | Flagged::Header);
    if by_head || flagged == Flagged::Body {
        assert!(!answer.contains(CANARY), "{cell}: leaks in {shown}");
        assert!(answer.whole, "{cell}: not whole: {shown}");
        let over = shape == Shape::Over && flagged == Flagged::Body;
        match answer.status {
            502 if over => assert_eq!(answer.code(), "answer-too-large", "{cell}"),
            502 if matches!(shape, Shape::Aborted | Shape::Over) => {}
            200 if !over => {
                assert!(answer.header("x-challenged").is_some(), "{cell}: {shown}");
                assert!(
                    shape == Shape::Head || setup::is_challenge(answer),
                    "{cell}: {shown}"
                );
            }
            status => panic!("{cell}: {status}: {shown}"),
        }
        return;
    }
    if shape == Shape::Aborted {
        // What was held has not begun; what streams breaks off.
        let held = flagged == Flagged::Not;
        // Without chunks nothing tells a client of HTTP/1.0 of it.
        let blind = cell.starts_with("H1v0") && !held;
        assert!(
            !answer.whole || held && answer.status == 502 || blind,
            "{cell}: {shown}"
        );
        assert!(!held || !answer.contains(CANARY), "{cell}: {shown}");
        return;
    }
    if shape == Shape::Over && flagged == Flagged::Not {
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (502, "answer-too-large"),
            "{cell}"
        );
        assert!(!answer.contains(CANARY), "{cell}: {shown}");
        return;
    }
    assert!(answer.whole, "{cell}: not whole: {shown}");
    let status = if shape == Shape::NoContent { 204 } else { 200 };
    assert_eq!(answer.status, status, "{cell}: {shown}");
    assert_eq!(answer.header("x-secret"), Some(CANARY), "{cell}: {shown}");
    let expected = match shape {
        Shape::Empty | Shape::NoContent | Shape::Head => String::new(),
        _ => json!({"text": CANARY, "fill": "x".repeat(fill(&format!("{shape:?}")))}).to_string(),
    };
    assert_eq!(answer.text(), expected, "{cell}: {shown}");
}

/// The next request on the same connection is answered right, unless the
/// connection was said to end. `true` when it went on.
fn goes_on(cell: &str, client: &mut Client, before: &Answer, number: usize, shape: Shape) -> bool {
    let request = Request::get(&format!("/chat/c{number}/next"));
    if client.ended(before) {
        let may = matches!(shape, Shape::Aborted | Shape::Over | Shape::UntilClose)
            || client.protocol == Protocol::H1v0;
        assert!(may, "{cell}: the connection ended without need");
        return false;
    }
    let next = client.exchange(&request);
    assert_eq!(
        next.status,
        200,
        "{cell}: the next answer: {:?}",
        String::from_utf8_lossy(&next.raw)
    );
    assert_eq!(
        next.json(),
        json!({"text": "next"}),
        "{cell}: the next answer"
    );
    assert!(next.whole, "{cell}: the next answer is not whole");
    true
}

struct Client {
    protocol: Protocol,
    kind: Kind,
}

enum Kind {
    Wire(Box<Wire>),
    H2(Box<h2::Client>),
}

impl Client {
    fn connect(gateway: &Gateway, protocol: Protocol) -> Self {
        let kind = match protocol {
            Protocol::H1v0 | Protocol::H1 => Kind::Wire(gateway.wire().into()),
            Protocol::TlsH1 => Kind::Wire(gateway.wire_tls().into()),
            Protocol::H2 => Kind::H2(gateway.h2().into()),
        };
        Self { protocol, kind }
    }

    fn exchange(&mut self, request: &Request) -> Answer {
        match &mut self.kind {
            Kind::H2(client) => client.exchange(request),
            Kind::Wire(wire) if self.protocol == Protocol::H1v0 => {
                let request = request.clone().header("Connection", "keep-alive");
                wire.exchange_as("1.0", &request)
            }
            Kind::Wire(wire) => wire.exchange(request),
        }
    }

    /// Whether the connection was said to end with this answer.
    fn ended(&self, answer: &Answer) -> bool {
        let said = |word: &str| {
            answer
                .header("connection")
                .is_some_and(|value| value.eq_ignore_ascii_case(word))
        };
        match self.protocol {
            Protocol::H2 => false,
            Protocol::H1v0 => !answer.whole || !said("keep-alive"),
            Protocol::H1 | Protocol::TlsH1 => !answer.whole || said("close"),
        }
    }
}
