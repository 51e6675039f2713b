//! What goes to the backend in one go arrives in one piece; what is still to come holds
//! nothing back.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel as pipe};
use std::thread;

use crate::setup::{OWNER, channel_to};
use crate::support::{Gateway, PATIENCE, Request};

/// A backend that tells of every piece that a single `read` gave it, and answers when the
/// body is whole.
fn backend() -> (SocketAddr, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (pieces, seen) = pipe();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, pieces) = (stream.unwrap(), pieces.clone());
            thread::spawn(move || answer(stream, &pieces));
        }
    });
    (address, seen)
}

fn answer(mut stream: TcpStream, pieces: &Sender<Vec<u8>>) {
    let mut request = Vec::new();
    let mut buffer = [0; 64 << 10];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        request.extend_from_slice(&buffer[..length]);
        // The test may be over.
        let _ = pieces.send(buffer[..length].to_vec());
        if request.ends_with(b"the end\"}") {
            request.clear();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    }
}

fn gateway(backend: SocketAddr) -> Gateway {
    let upstream = format!("[upstream.bot]\nurl = \"http://{backend}\"\n");
    Gateway::start(&channel_to(&upstream, "", OWNER))
}

#[test]
fn head_and_body_arrive_together() {
    let (address, seen) = backend();
    let gateway = gateway(address);
    for path in ["/chat/c1/messages", "/plain/x"] {
        let mut wire = gateway.wire();
        for number in 0..50 {
            let body = format!("{{\"number\":{number},\"text\":\"the end\"}}");
            let request = Request::new("POST", path)
                .header("Content-Type", "application/json")
                .body(body.clone());
            assert_eq!(wire.exchange(&request).status, 200);
            let piece = seen.recv_timeout(PATIENCE).unwrap();
            let piece = String::from_utf8(piece).unwrap();
            assert!(piece.starts_with(&format!("POST {path} ")), "{piece}");
            assert!(piece.ends_with(&body), "{path} {number}: {piece}");
        }
    }
}

#[test]
fn a_head_does_not_wait_for_a_body_that_is_still_to_come() {
    let (address, seen) = backend();
    let gateway = Gateway::start(&format!(
        "[upstream.bot]\nurl = \"http://{address}\"\n\
         [channel.web]\nupstream = \"bot\"\n\
         [[channel.web.route]]\nkind = \"pass\"\npath = \"/{{*rest}}\"\n"
    ));
    let mut wire = gateway.wire();
    wire.send("POST /plain/x HTTP/1.1\r\nHost: x\r\nContent-Length: 18\r\n\r\n");
    let piece = seen.recv_timeout(PATIENCE).unwrap();
    assert!(piece.starts_with(b"POST /plain/x "));
    assert!(piece.ends_with(b"\r\n\r\n"));
    wire.send("{\"text\":\"the ");
    assert_eq!(seen.recv_timeout(PATIENCE).unwrap(), b"{\"text\":\"the ");
    wire.send("end\"}");
    assert_eq!(seen.recv_timeout(PATIENCE).unwrap(), b"end\"}");
    assert_eq!(wire.answer("POST").status, 200);
}

#[test]
fn an_answer_that_comes_slowly_arrives_as_it_comes() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (go_on, told) = pipe::<()>();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 15000\r\n\r\n";
        let _ = stream.write_all(format!("{head}{}", "x".repeat(5000)).as_bytes());
        let _ = told.recv_timeout(PATIENCE);
        let _ = stream.write_all("x".repeat(10_000).as_bytes());
    });
    let gateway = gateway(address);
    let mut client = TcpStream::connect(gateway.at.plain).unwrap();
    client.set_read_timeout(Some(PATIENCE / 2)).unwrap();
    client
        .write_all(b"GET /plain/x HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut begin = [0; 4096];
    client.read_exact(&mut begin).unwrap();
    assert!(begin.starts_with(b"HTTP/1.1 200"));
    go_on.send(()).unwrap();
}
