//! A backend that costs as little as possible: one thread, answers made in advance.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::{Buf, BytesMut};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use crate::live::{ACCEPT, SAYING};

/// What a flagged answer says and nobody anonymous may read.
pub const SECRET: &str = "4711.08 EUR";
/// The member that flags an answer.
pub const FLAG: &str = "authentication_required";
/// A request with this header is answered with itself, head and body.
pub const ECHO: &str = "x-echo";

/// Answers until the process is killed: by the last segment of the path with
/// `long` (16 KiB), `flagged`, or else 300 bytes that are not flagged.
pub fn serve(address: SocketAddr) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(address).await?;
        let answers = Rc::new(Answers::new());
        loop {
            let (stream, _) = listener.accept().await?;
            let answers = answers.clone();
            tokio::task::spawn_local(async move { converse(stream, &answers).await });
        }
    })
}

/// The body of the answer to a path.
pub fn body(path: &str) -> String {
    let say = |text: &str| format!(r#"{{"recipient_id":"customer","text":"{text:.<252}"}}"#);
    match path.rsplit('/').next() {
        Some("long") => {
            let lines: Vec<String> = (0..55).map(|n| say(&format!("Line {n}"))).collect();
            format!("[{}]", lines.join(","))
        }
        Some("flagged") => format!(
            r#"[{{"recipient_id":"customer","text":"{SECRET:.<206}","custom":{{"{FLAG}":true}}}}]"#
        ),
        _ => format!("[{}]", say("Hello")),
    }
}

struct Answers(HashMap<&'static str, Vec<u8>>);

impl Answers {
    fn new() -> Self {
        let answer = |name| (name, answer(body(name).as_bytes()));
        Self(["long", "flagged", "short"].map(answer).into())
    }

    fn of(&self, path: &str) -> &[u8] {
        let name = path.rsplit('/').next().unwrap_or_default();
        self.0.get(name).unwrap_or(&self.0["short"])
    }
}

fn answer(body: &[u8]) -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(body);
    answer
}

async fn converse(stream: TcpStream, answers: &Answers) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut read = BytesMut::with_capacity(16 << 10);
    loop {
        while let Some(length) = whole(&read) {
            let request = read.split_to(length);
            let head = String::from_utf8_lossy(&request);
            let path = head.split(' ').nth(1).unwrap_or_default();
            if path.ends_with("/socket") {
                return echo(&stream, read).await;
            } else if path.ends_with("/events") {
                return events(&stream).await;
            } else if head.contains(ECHO) {
                write(&stream, &answer(&request)).await?;
            } else {
                write(&stream, answers.of(path)).await?;
            }
        }
        stream.readable().await?;
        match stream.try_read_buf(&mut read) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Says whatever a client says on a WebSocket. Every message is one that
/// [`live`](crate::live) sends: one frame, and not longer than 125 bytes.
async fn echo(stream: &TcpStream, mut read: BytesMut) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
    );
    write(stream, head.as_bytes()).await?;
    loop {
        while let Some(length) = frame(&read) {
            let frame = read.split_to(length);
            let (head, payload) = frame.split_at(6);
            let key = [head[2], head[3], head[4], head[5]];
            let mut answer = vec![head[0], head[1] & 0x7f];
            answer.extend(payload.iter().zip(key.iter().cycle()).map(|(a, b)| a ^ b));
            write(stream, &answer).await?;
        }
        stream.readable().await?;
        match stream.try_read_buf(&mut read) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// The length of the first masked frame, once it is there to its end.
fn frame(read: &[u8]) -> Option<usize> {
    let length = 6 + usize::from(read.get(1)? & 0x7f);
    (read.len() >= length).then_some(length)
}

/// An event every two milliseconds, until nobody listens.
async fn events(stream: &TcpStream) -> io::Result<()> {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    write(stream, head.as_bytes()).await?;
    let event = format!("data: {SAYING}\n\n");
    let chunk = format!("{:x}\r\n{event}\r\n", event.len());
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(2));
    loop {
        pace.tick().await;
        write(stream, chunk.as_bytes()).await?;
    }
}

/// The length of the first request, once it is there to its end. Chunked bodies
/// are taken to end where a last chunk stands, which holds for what is sent here.
fn whole(read: &[u8]) -> Option<usize> {
    let find = |what: &[u8]| memchr::memmem::find(read, what).map(|at| at + what.len());
    let head = find(b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(read.get(..head)?).to_ascii_lowercase();
    if text.contains("transfer-encoding: chunked") {
        return find(b"\r\n0\r\n\r\n");
    }
    let length = text
        .split_once("content-length: ")
        .and_then(|(_, rest)| rest.split("\r\n").next()?.parse().ok())
        .unwrap_or(0);
    (read.len() >= head + length).then_some(head + length)
}

async fn write(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while bytes.has_remaining() {
        match stream.try_write(bytes) {
            Ok(written) => bytes.advance(written),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
