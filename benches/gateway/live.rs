//! Connections that stay: WebSocket messages to and fro, server-sent events, and
//! sockets on which nothing happens.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::load::{Round, result};
use crate::process::{Process, pinned};

/// Connections with traffic.
const CONNECTIONS: usize = 32;
/// Sockets on which nothing happens.
const IDLE: usize = 2_000;

/// What a socket or a stream says: 120 bytes of JSON without a flag.
pub const SAYING: &str = r#"{"type":"message","from":"bot","text":"It is a fine day, and I am here to help you with whatever you need, ok?"}"#;

/// The key and the answer to it of RFC 6455, section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// What stays open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Live {
    /// The client says something and waits until it comes back.
    Socket,
    /// The backend says something every few milliseconds.
    Events,
}

impl Live {
    /// Its name in the table, and on the command line of this program.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Socket => "WebSocket messages",
            Self::Events => "server-sent events",
        }
    }
}

/// Opens one connection and reads the head of its answer.
fn open(address: SocketAddr, kind: Live, number: usize) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let (name, upgrade) = match kind {
        Live::Socket => (
            "socket",
            format!(
                "Connection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"
            ),
        ),
        Live::Events => ("events", "Accept: text/event-stream\r\n".into()),
    };
    write!(
        stream,
        "GET /live/{number}/{name} HTTP/1.1\r\nHost: chat.example.com\r\n\
         Cookie: chatgate=evidence-of-live-number-{number:08}\r\n{upgrade}\r\n"
    )?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let wanted = if kind == Live::Socket { "101" } else { "200" };
    let head = String::from_utf8_lossy(&head);
    match head.split(' ').nth(1) == Some(wanted) {
        true => Ok(stream),
        false => Err(io::Error::other(format!("{kind:?}: {head}"))),
    }
}

/// A text message of a client's, masked with a key of zeros.
fn message() -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | SAYING.len() as u8, 0, 0, 0, 0];
    frame.extend(SAYING.as_bytes());
    frame
}

/// Runs as a process of its own: prints messages, microseconds, and the slowest
/// hundredth's microseconds.
pub fn client(kind: &str, address: SocketAddr, seconds: u64) -> Result<(), Failure> {
    let kind = match kind {
        "socket" => Live::Socket,
        _ => Live::Events,
    };
    let mut streams = (0..CONNECTIONS)
        .map(|number| open(address, kind, number))
        .collect::<io::Result<Vec<_>>>()?;
    let began = Instant::now();
    let until = began + Duration::from_secs(seconds);
    let (mut count, mut slow, mut buffer) = (0_u64, Vec::new(), [0; 64 << 10]);
    let message = message();
    while Instant::now() < until {
        if kind == Live::Socket {
            for stream in &mut streams {
                stream.write_all(&message)?;
            }
        }
        let sent = Instant::now();
        for stream in &mut streams {
            match kind {
                Live::Socket => {
                    // The same message, unmasked.
                    let length = 2 + SAYING.len();
                    let answer = buffer.get_mut(..length).ok_or("the message is too long")?;
                    stream.read_exact(answer)?;
                    if answer.get(2..) != Some(SAYING.as_bytes()) {
                        return Err("another message came back".into());
                    }
                    count += 1;
                    slow.push(sent.elapsed());
                }
                Live::Events => {
                    let read = stream.read(&mut buffer)?;
                    let text = buffer.get(..read).unwrap_or_default();
                    count += memchr::memmem::find_iter(text, b"data:").count() as u64;
                }
            }
        }
    }
    slow.sort();
    let slowest = slow.get(slow.len() * 99 / 100).copied().unwrap_or_default();
    println!(
        "RESULT {count} {} {}",
        began.elapsed().as_micros(),
        slowest.as_micros()
    );
    Ok(())
}

/// Runs as a process of its own: opens sockets and keeps them until it is killed.
pub fn idle(address: SocketAddr) -> Result<(), Failure> {
    let streams = (0..IDLE)
        .map(|number| open(address, Live::Socket, number))
        .collect::<io::Result<Vec<_>>>()?;
    println!("OPEN {}", streams.len());
    std::thread::sleep(Duration::from_secs(600));
    Ok(())
}

/// Loads one proxy for a while.
pub fn round(
    cpu: Option<usize>,
    kind: Live,
    proxy: &Process,
    span: Duration,
) -> Result<Round, Failure> {
    let name = if kind == Live::Socket {
        "socket"
    } else {
        "events"
    };
    let before = proxy.cpu()?;
    let output = pinned(cpu, std::env::current_exe()?)
        .args(["live", name, &proxy.address.to_string()])
        .arg(span.as_secs().to_string())
        .output()?;
    let used = proxy.cpu()? - before;
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers = result(&text);
    match numbers[..] {
        [messages, micros, p99] if messages > 0.0 => Ok(Round {
            rate: messages / micros * 1e6,
            cpu: used.as_secs_f64() * 1e6 / messages,
            p99: p99 / 1e3,
            requests: messages as u64,
        }),
        _ => Err(format!("{kind:?}: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

/// Bytes of resident memory that a proxy uses for a socket on which nothing happens.
pub fn footprint(cpu: Option<usize>, proxy: &Process) -> Result<f64, Failure> {
    let before = proxy.resident()?;
    let mut client = pinned(cpu, std::env::current_exe()?)
        .args(["idle", &proxy.address.to_string()])
        .stdout(std::process::Stdio::piped())
        .spawn()?;
    let mut said = [0; 16];
    let opened = match &mut client.stdout {
        Some(stdout) => stdout.read(&mut said)?,
        None => 0,
    };
    let after = proxy.resident();
    client.kill()?;
    client.wait()?;
    match said.get(..opened) {
        Some(text) if text.starts_with(b"OPEN ") => Ok((after? - before) as f64 / IDLE as f64),
        _ => Err("the sockets could not be opened".into()),
    }
}
