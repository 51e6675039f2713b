//! Slow clients and slow backends hold nothing for longer than they are given.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::setup::{OWNER, channel};
use crate::support::{Gateway, Origin, PATIENCE, Reply, Request, Wire, eventually, h2};

const TIMEOUTS: &str = "[server.timeouts]\nidle = \"1s\"\nbody = \"1s\"\nwrite = \"1s\"\n";

fn gateway(origin: &Origin) -> Gateway {
    let tables = channel(origin, "", &format!("{OWNER}{TIMEOUTS}"));
    Gateway::start(&tables.replacen("[channel.web]", "read_timeout = \"2s\"\n[channel.web]", 1))
}

fn backend() -> Origin {
    Origin::start(|seen| match seen.target.as_str() {
        "/plain/large" => Reply::new(200, vec![b'x'; 64 << 20]),
        "/chat/c1/long" => Reply::new(200, vec![b'x'; 1 << 18]),
        "/plain/empty" => Reply::new(204, "").header("X-Padding", &"x".repeat(60 << 10)),
        "/plain/late" | "/chat/c1/late" => Reply::new(200, "late").pause(PATIENCE),
        _ => Reply::new(200, "hello"),
    })
}

/// Sends one byte after the other, without a pause that is too long, until the other
/// side has had enough. What it said.
fn drip(gateway: &Gateway, begin: &str, more: u8) -> String {
    let mut socket = TcpStream::connect(gateway.at.plain).unwrap();
    socket.write_all(begin.as_bytes()).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let begun = Instant::now();
    let mut said = Vec::new();
    loop {
        assert!(begun.elapsed() < PATIENCE, "still waited for: {begin:?}");
        let mut bytes = [0; 4096];
        match socket.read(&mut bytes) {
            Ok(0) => break,
            Ok(n) => said.extend_from_slice(&bytes[..n]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                let _ = socket.write_all(&[more]);
            }
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&said).into_owned()
}

#[test]
fn a_head_that_never_ends_is_not_waited_for_and_others_are_served() {
    let origin = backend();
    let gateway = gateway(&origin);
    thread::scope(|scope| {
        let slow: Vec<_> = (0..60)
            .map(|number| {
                let begin = match number % 4 {
                    0 => "",
                    1 => "GET /plain/x HTTP/1.1\r\nHost: x\r\nX-A: ",
                    2 => "GET /pl",
                    // A second head on a connection that is known to behave.
                    _ => "GET /plain/x HTTP/1.1\r\nHost: x\r\n\r\nGET /plain/x HTTP/1.1\r\nX-A: ",
                };
                let gateway = &gateway;
                scope.spawn(move || drip(gateway, begin, b'a'))
            })
            .collect();
        while slow.iter().any(|slow| !slow.is_finished()) {
            assert_eq!(
                gateway.wire().exchange(&Request::get("/plain/x")).status,
                200
            );
            thread::sleep(Duration::from_millis(20));
        }
    });
}

#[test]
fn a_body_that_never_ends_is_not_waited_for() {
    let origin = backend();
    let gateway = gateway(&origin);
    let head = |target: &str| {
        format!(
            "POST {target} HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 60000\r\n\r\n"
        )
    };
    // Read in advance, as a whole; and streamed.
    for target in ["/chat/c1/ask", "/plain/x"] {
        let said = drip(&gateway, &head(target), b'a');
        let status = said.split(' ').nth(1).unwrap_or_default();
        assert_eq!(status, "408", "{target}: {said}");
        assert!(said.contains("body-timeout"), "{target}: {said}");
    }
    // At our own addresses, too.
    for target in [
        "/.chatgate/return/web",
        "/.chatgate/logout/web",
        "/.chatgate/bind/x",
    ] {
        let said = drip(&gateway, &head(target).replace("60000", "1000"), b'a');
        let status = said.split(' ').nth(1).unwrap_or_default();
        assert!(matches!(status, "400" | "303"), "{target}: {said}");
    }
    // Nothing more comes at all.
    for target in ["/chat/c1/ask", "/plain/x"] {
        let mut wire = gateway.wire();
        wire.send(head(target));
        let said = wire.answer("POST");
        assert!(
            matches!(said.status, 408 | 504),
            "{target}: {}",
            said.text()
        );
    }
    let mut client = h2::Client::connect(gateway.at.tls);
    for target in ["/chat/c1/ask", "/plain/x"] {
        let request = Request::new("POST", target)
            .header("Content-Length", "60000")
            .body("a");
        let answer = client.exchange_unfinished(&request);
        assert!(
            matches!(answer.status, 408 | 504),
            "{target}: {}",
            answer.text()
        );
    }
    assert_eq!(client.exchange(&Request::get("/plain/x")).status, 200);
}

#[test]
fn a_client_that_does_not_read_is_not_waited_for() {
    let origin = backend();
    let gateway = gateway(&origin);
    let mut socket = TcpStream::connect(gateway.at.plain).unwrap();
    socket
        .write_all(b"GET /plain/large HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    eventually("the exchange was given up", || {
        let done = gateway
            .metrics()
            .sum("chatgate_exchanges_total", &[("kind", "pass")]);
        (done >= 1.0).then_some(())
    });
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut came = Vec::new();
    let _ = socket.read_to_end(&mut came);
    assert!(came.len() < 64 << 20);
}

#[test]
fn a_client_that_does_not_read_heads_is_not_waited_for_either() {
    let origin = backend();
    let gateway = gateway(&origin);
    let done = || {
        gateway
            .metrics()
            .sum("chatgate_exchanges_total", &[("kind", "pass")])
    };
    let mut socket = TcpStream::connect(gateway.at.plain).unwrap();
    let mut asked = 0.0;
    // Until there is no place left for a head.
    while done() >= asked {
        asked += 1.0;
        assert!(asked < 1000.0, "all of them found a place");
        if socket
            .write_all(b"GET /plain/empty HTTP/1.1\r\nHost: x\r\n\r\n")
            .is_err()
        {
            break;
        }
        let sent = Instant::now();
        while done() < asked && sent.elapsed() < Duration::from_millis(500) {
            thread::sleep(Duration::from_millis(2));
        }
    }
    eventually("the exchange was given up", || {
        (done() >= asked).then_some(())
    });
}

/// Of an answer that was held, chatgate itself writes all that is written.
#[test]
fn an_answer_that_is_not_taken_does_not_seem_to_be_whole() {
    let origin = backend();
    let gateway = gateway(&origin);
    let request = Request::get("/chat/c1/long");
    let end = gateway.h2().exchange_stalled(&request);
    assert!(end.is_reset() && end.is_remote(), "{end}");
}

#[test]
fn a_backend_that_does_not_answer_is_not_waited_for() {
    let origin = backend();
    let gateway = gateway(&origin);
    let judged = gateway.wire().exchange(&Request::get("/chat/c1/late"));
    assert_eq!((judged.status, &*judged.code()), (504, "upstream-timeout"));
    // The head was on its way already.
    let streamed = gateway.wire().exchange(&Request::get("/plain/late"));
    assert!(!streamed.whole && streamed.body.is_empty());
}

#[test]
fn a_client_that_does_not_greet_is_not_waited_for() {
    let origin = backend();
    let gateway = gateway(&origin);
    for greeting in ["", "PRI * HTTP/2.0\r\n"] {
        let mut wire = Wire::connect_tls_as(gateway.at.tls, "h2");
        wire.send(greeting);
        // It may say who it is, and has to hang up.
        let _ = wire.rest();
    }
}

/// Nor for its greeting of TLS, however much of it has come.
#[test]
fn a_client_that_does_not_begin_with_tls_is_not_waited_for() {
    let origin = backend();
    let gateway = gateway(&origin);
    let greetings = [
        &[][..],
        &[22, 3],
        &[22, 3, 1, 1, 0],
        b"\x16\x03\x01\x01\x00\x01\x00",
    ];
    for greeting in greetings {
        let mut socket = TcpStream::connect(gateway.at.tls).unwrap();
        // pingora waits for the handshake twice as long.
        let patience = Some(PATIENCE / 2);
        socket.set_read_timeout(patience).unwrap();
        socket.write_all(greeting).unwrap();
        let end = socket.read_to_end(&mut Vec::new());
        let waits = end.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        assert!(!waits, "{greeting:?}");
    }
    // What is no TLS is not waited for either, and what is passes whole.
    let mut wire = Wire::connect(gateway.at.tls);
    wire.send("GET / HTTP/1.1\r\n\r\n");
    let _ = wire.rest();
    let mut wire = Wire::connect_tls_as(gateway.at.tls, "http/1.1");
    assert_eq!(wire.exchange(&Request::get("/plain/x")).status, 200);
}

#[test]
fn an_idle_connection_is_closed() {
    let origin = backend();
    let gateway = gateway(&origin);
    for next in ["", "GET /pl"] {
        let mut wire = gateway.wire();
        for _ in 0..3 {
            assert_eq!(wire.exchange(&Request::get("/plain/x")).status, 200);
        }
        wire.send(next);
        assert!(wire.rest().is_empty(), "{next:?}");
    }
    let mut client = h2::Client::connect(gateway.at.tls);
    assert_eq!(client.exchange(&Request::get("/plain/x")).status, 200);
    client.closed();
}
