//! HTTP/2 floods: what one connection may cost is bounded, and the others are served.

use std::io::{Read, Write};
use std::net::TcpStream;

use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConnection, StreamOwned};

use crate::setup::{OWNER, bot, channel};
use crate::support::{Origin, PATIENCE, Process, Request, h2, tls};

/// What the whole process may take more while it is flooded.
const BOUND: u64 = 64 << 20;

fn process() -> (Process, Origin) {
    let origin = bot();
    let process = Process::start_with(&channel(&origin, "", OWNER));
    (process, origin)
}

/// An HTTP/2 connection on which any frame can be sent.
struct Frames(StreamOwned<ClientConnection, TcpStream>);

const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

impl Frames {
    fn connect(process: &Process) -> Self {
        let socket = TcpStream::connect(process.at.tls).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(tls::client(&["h2"]), name).unwrap();
        let mut frames = Self(StreamOwned::new(session, socket));
        frames
            .0
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .unwrap();
        assert!(frames.send(SETTINGS, 0, 0, b""));
        frames
    }

    /// Whether the other side still takes it.
    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        let sent = self.0.write_all(&[&head, payload].concat());
        sent.and_then(|()| self.0.flush()).is_ok()
    }

    /// The next frame: its type and payload.
    fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.0.read_exact(&mut payload).ok()?;
        Some((head[3], payload))
    }
}

/// The pseudo-headers of `GET /plain/x`.
fn request() -> Vec<u8> {
    let path = b"/plain/x";
    let host = b"localhost";
    let sized =
        |index: u8, text: &[u8]| [&[index, u8::try_from(text.len()).unwrap()], text].concat();
    [vec![0x82, 0x87], sized(0x04, path), sized(0x01, host)].concat()
}

fn still_serves(process: &Process) {
    let mut client = h2::Client::connect(process.at.tls);
    assert_eq!(client.exchange(&Request::get("/plain/x")).status, 200);
}

#[test]
fn the_bounds_are_told() {
    let (process, _origin) = process();
    let mut frames = Frames::connect(&process);
    let (kind, settings) = frames.frame().expect("settings");
    assert_eq!(kind, SETTINGS);
    let setting = |wanted: u16| {
        let mut all = settings.chunks_exact(6);
        let found = all.find(|setting| u16::from_be_bytes([setting[0], setting[1]]) == wanted);
        found.map(|setting| u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]))
    };
    let (streams, list) = (setting(3), setting(6));
    assert!(streams.is_some_and(|streams| streams <= 128), "{streams:?}");
    assert!(list.is_some_and(|list| list <= 64 << 10), "{list:?}");
}

#[test]
fn a_header_bomb_does_not_go_off() {
    let (process, origin) = process();
    still_serves(&process);
    let before = process.memory();
    // One entry of the table, 4000 bytes long, named twelve thousand times.
    let entry = [&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e][..], &[b'a'; 4000]].concat();
    let bomb = [request(), entry, vec![0xbe; 12_000]].concat();
    for _ in 0..20 {
        let mut frames = Frames::connect(&process);
        let _ = frames.send(HEADERS, END_STREAM | END_HEADERS, 1, &bomb);
        // A refusal, a reset or the end: never an exchange.
        while let Some((kind, _)) = frames.frame() {
            if [HEADERS, RESET, 7].contains(&kind) {
                break;
            }
        }
    }
    let grown = process.memory().saturating_sub(before);
    assert!(grown < BOUND, "{grown} bytes");
    assert_eq!(origin.count(), 1);
    still_serves(&process);
}

#[test]
fn headers_without_end_are_cut() {
    let (process, origin) = process();
    still_serves(&process);
    let before = process.memory();
    let mut frames = Frames::connect(&process);
    assert!(frames.send(HEADERS, END_STREAM, 1, &request()));
    let line = [&[0x10, 1, b'x', 100][..], &[b'a'; 100]].concat();
    let piece = line.repeat(150);
    // The socket takes some of it before the end is seen.
    let sent = (0..16_384)
        .take_while(|_| frames.send(CONTINUATION, 0, 1, &piece))
        .count();
    assert!(sent < 16_384, "256 MiB of headers were taken");
    let grown = process.memory().saturating_sub(before);
    assert!(grown < BOUND, "{grown} bytes");
    assert_eq!(origin.count(), 1);
    still_serves(&process);
}

#[test]
fn streams_that_are_reset_at_once_are_not_worked_off() {
    let (process, _origin) = process();
    still_serves(&process);
    let before = process.memory();
    for _ in 0..10 {
        let mut frames = Frames::connect(&process);
        let cancel = 8u32.to_be_bytes();
        for number in 0..2_000 {
            let stream = 2 * number + 1;
            let sent = frames.send(HEADERS, END_STREAM | END_HEADERS, stream, &request())
                && frames.send(RESET, 0, stream, &cancel);
            if !sent {
                break;
            }
        }
    }
    let grown = process.memory().saturating_sub(before);
    assert!(grown < BOUND, "{grown} bytes");
    still_serves(&process);
}

#[test]
fn more_streams_than_agreed_are_refused() {
    let (process, _origin) = process();
    let mut frames = Frames::connect(&process);
    // Requests whose bodies never come.
    for number in 0..400 {
        let _ = frames.send(HEADERS, END_HEADERS, 2 * number + 1, &request());
    }
    let refused = std::iter::from_fn(|| frames.frame()).any(|(kind, payload)| {
        // REFUSED_STREAM, or the end of the connection.
        kind == RESET && payload.ends_with(&[7]) || kind == 7
    });
    assert!(refused);
    still_serves(&process);
}
