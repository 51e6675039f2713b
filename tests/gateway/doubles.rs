//! The doubles against each other, without a gateway: a test that trusts them
//! must know that they would have shown a fault.

use serde_json::json;

use crate::support::{Browser, Framing, Origin, Reply, Request, Wire, h2};

#[test]
fn every_framing_arrives_as_told() {
    let origin = Origin::start(|seen| {
        let reply = Reply::new(200, "0123456789").header("X-Kind", &seen.target);
        match seen.target.as_str() {
            "/chunked" => reply.chunked(3).trailer("X-End", "yes"),
            "/close" => reply.framing(Framing::Close),
            "/bare" => reply.status(204).framing(Framing::Bare),
            "/interim" => reply.after(103, &[("Link", "</a>")]),
            "/cut" => reply.cut(),
            "/cut-chunked" => reply.chunked(4).cut(),
            "/raw" => Reply::raw("HTTP/1.1 299 Odd\r\nContent-Length: 1\r\n\r\nx"),
            _ => reply,
        }
    });
    let mut wire = Wire::connect(origin.address);
    for target in ["/sized", "/chunked", "/bare", "/interim"] {
        let answer = wire.exchange(&Request::get(target));
        assert!(answer.whole, "{target}");
        assert_eq!(answer.header("x-kind"), Some(target));
        let body = if target == "/bare" { "" } else { "0123456789" };
        assert_eq!(answer.text(), body);
        assert_eq!(answer.trailers.is_empty(), target != "/chunked");
        assert_eq!(answer.interim.is_empty(), target != "/interim");
    }
    assert_eq!(wire.exchange(&Request::new("HEAD", "/head")).body, b"");
    assert!(wire.exchange(&Request::get("/close")).whole);
    assert_eq!(wire.rest(), b"");
    for target in ["/cut", "/cut-chunked"] {
        let answer = Wire::connect(origin.address).exchange(&Request::get(target));
        assert_eq!((answer.status, answer.whole), (200, false), "{target}");
        assert_eq!(answer.text(), "0123456789");
    }
    let answer = Wire::connect(origin.address).exchange(&Request::get("/raw"));
    assert_eq!((answer.status, answer.reason.as_str()), (299, "Odd"));
    assert_eq!(origin.connections(), 4);
}

#[test]
fn a_request_is_kept_byte_for_byte() {
    let origin = Origin::start(|_| Reply::new(200, "ok"));
    let sent = "POST /a?b HTTP/1.1\r\nhOsT: x\r\nX_Odd:  1\r\nTransfer-Encoding: chunked\r\n\r\n\
                2\r\nhe\r\n3\r\nllo\r\n0\r\nX-T: v\r\n\r\n";
    let mut wire = Wire::connect(origin.address);
    wire.send(sent);
    assert_eq!(wire.answer("POST").text(), "ok");
    let seen = origin.last();
    assert_eq!(seen.raw, sent.as_bytes());
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str()),
        ("POST", "/a?b")
    );
    assert_eq!(seen.body, b"hello");
    assert_eq!(seen.trailers, [("X-T".to_owned(), "v".to_owned())]);
    assert!(seen.contains("x_odd:"));
}

#[test]
fn tls_and_http_2_do_the_same() {
    let script = |seen: &crate::support::Seen| {
        let reply = Reply::new(200, seen.body.clone()).header("x-kind", "echo");
        match seen.target.as_str() {
            "/trailers" => reply.chunked(2).trailer("x-end", "yes").after(103, &[]),
            "/cut" => reply.cut(),
            _ => reply,
        }
    };
    let origin = Origin::start_tls(script);
    let answer = Wire::connect_tls(origin.address).exchange(&Request::post("/x", &json!([1])));
    assert_eq!((answer.status, answer.text().as_str()), (200, "[1]"));

    let origin = Origin::start_h2_tls(script);
    let mut client = h2::Client::connect(origin.address);
    let answer = client.exchange(&Request::post("/x", &json!({"a": "b"})));
    assert_eq!(answer.json(), json!({"a": "b"}));
    assert!(answer.whole && origin.last().contains("POST /x HTTP/2"));
    let answer = client.exchange(&Request::post("/trailers", &json!("0123")));
    assert_eq!(answer.interim, [103]);
    assert_eq!(answer.trailers, [("x-end".to_owned(), "yes".to_owned())]);
    let answer = client.exchange(&Request::post("/cut", &json!("0123")));
    assert_eq!((answer.status, answer.whole), (200, false));
    assert!(
        client
            .exchange(&Request::new("HEAD", "/head"))
            .body
            .is_empty()
    );
    assert_eq!(origin.connections(), 1);
}

#[test]
fn the_jar_keeps_and_drops_cookies() {
    let origin = Origin::start(|seen| match seen.target.as_str() {
        "/in" => Reply::new(200, "").header("Set-Cookie", "a=1; Path=/; HttpOnly"),
        "/out" => Reply::new(200, "").header("Set-Cookie", "a=; Max-Age=0"),
        _ => Reply::new(200, seen.header("cookie").unwrap_or("none")),
    });
    let mut browser = Browser::new(origin.address);
    browser.get("http://ignored.example/in");
    assert_eq!(browser.get("/").text(), "a=1");
    browser.get("/out");
    assert_eq!(browser.get("/").text(), "none");
}
