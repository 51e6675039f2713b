//! A scripted backend over HTTP/1: answers exactly as told, and keeps what it was sent.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use tokio_rustls::rustls::{ServerConnection, StreamOwned};

use super::script::{Framing, Reply, Seen};
use super::{PATIENCE, tls};

/// A running backend; it runs until the process ends.
#[derive(Clone)]
pub struct Origin {
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Whether it speaks HTTP/2.
    pub http2: bool,
    pub(super) log: Log,
}

/// What a backend keeps.
#[derive(Clone, Default)]
pub(super) struct Log {
    pub(super) seen: Arc<Mutex<Vec<Seen>>>,
    pub(super) connections: Arc<AtomicUsize>,
}

/// What decides a reply.
pub(super) type Script = Arc<dyn Fn(&Seen) -> Reply + Send + Sync>;

impl Origin {
    /// A backend over cleartext.
    pub fn start(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::serve(Arc::new(script), false)
    }

    /// A backend over TLS.
    pub fn start_tls(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::serve(Arc::new(script), true)
    }

    /// The `[upstream.NAME]` table that leads to it.
    pub fn upstream(&self, name: &str) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        let mut table = format!("[upstream.{name}]\nurl = \"{scheme}://{}\"\n", self.address);
        if self.http2 {
            table += "http2 = true\n";
        }
        if self.tls {
            let ca = tls::certificate().chain.display();
            table += &format!("ca = \"{ca}\"\nserver_name = \"localhost\"\n");
        }
        table
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.log.seen.lock().unwrap().clone()
    }

    /// Requests so far whose target is `target`.
    pub fn seen_at(&self, target: &str) -> Vec<Seen> {
        let mut seen = self.seen();
        seen.retain(|request| request.target == target);
        seen
    }

    /// The latest request.
    ///
    /// # Panics
    /// When there was none.
    pub fn last(&self) -> Seen {
        self.seen().pop().expect("a request reached the backend")
    }

    /// How many requests came.
    pub fn count(&self) -> usize {
        self.log.seen.lock().unwrap().len()
    }

    /// How many connections came.
    pub fn connections(&self) -> usize {
        self.log.connections.load(Ordering::SeqCst)
    }

    /// Forgets the requests so far.
    pub fn clear(&self) {
        self.log.seen.lock().unwrap().clear();
    }

    fn serve(script: Script, tls: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = Self {
            address: listener.local_addr().unwrap(),
            tls,
            http2: false,
            log: Log::default(),
        };
        let log = origin.log.clone();
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                log.connections.fetch_add(1, Ordering::SeqCst);
                let (log, script) = (log.clone(), Arc::clone(&script));
                thread::spawn(move || {
                    let _ = converse(socket, tls, &log, &script);
                });
            }
        });
        origin
    }
}

trait Stream: Read + Write {
    /// Says that nothing follows: over TLS an end without that is a cut.
    fn finish(&mut self) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for StreamOwned<ServerConnection, TcpStream> {
    fn finish(&mut self) -> io::Result<()> {
        self.conn.send_close_notify();
        self.flush()
    }
}

fn converse(socket: TcpStream, tls: bool, log: &Log, script: &Script) -> io::Result<()> {
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE * 4))?;
    let raw_socket = socket.try_clone()?;
    let stream: Box<dyn Stream> = if tls {
        let session =
            ServerConnection::new(tls::server(&["http/1.1"])).map_err(io::Error::other)?;
        Box::new(StreamOwned::new(session, socket))
    } else {
        Box::new(socket)
    };
    let mut stream = BufReader::new(stream);
    while let Some(request) = read_request(&mut stream)? {
        let head = request.method == "HEAD";
        log.seen.lock().unwrap().push(request.clone());
        let reply = script(&request);
        if !write_reply(stream.get_mut(), &reply, head)? {
            if !reply.cut {
                stream.get_mut().finish()?;
            }
            break;
        }
    }
    raw_socket.shutdown(std::net::Shutdown::Both)
}

/// Reads one request; `None` when the connection ended before it.
fn read_request(stream: &mut BufReader<Box<dyn Stream>>) -> io::Result<Option<Seen>> {
    let mut seen = Seen::default();
    let Some(line) = read_line(stream, &mut seen.raw)? else {
        return Ok(None);
    };
    let mut words = line.split(' ');
    seen.method = words.next().unwrap_or_default().to_owned();
    seen.target = words.next().unwrap_or_default().to_owned();
    seen.headers = read_fields(stream, &mut seen.raw)?;
    if seen
        .header("expect")
        .is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
    {
        stream
            .get_mut()
            .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let chunked = seen
        .header("transfer-encoding")
        .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
    let length = seen
        .header("content-length")
        .and_then(|value| value.parse().ok());
    match (chunked, length) {
        (true, _) => {
            while let Some(size) = read_line(stream, &mut seen.raw)? {
                let size = usize::from_str_radix(size.split(';').next().unwrap_or("0").trim(), 16)
                    .map_err(io::Error::other)?;
                if size == 0 {
                    seen.trailers = read_fields(stream, &mut seen.raw)?;
                    break;
                }
                let mut chunk = vec![0; size];
                stream.read_exact(&mut chunk)?;
                seen.raw.extend_from_slice(&chunk);
                seen.body.extend_from_slice(&chunk);
                read_line(stream, &mut seen.raw)?;
            }
        }
        (false, Some(length)) => {
            seen.body = vec![0; length];
            stream.read_exact(&mut seen.body)?;
            seen.raw.extend_from_slice(&seen.body.clone());
        }
        (false, None) => {}
    }
    Ok(Some(seen))
}

fn read_line(stream: &mut impl BufRead, raw: &mut Vec<u8>) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    if stream.read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    raw.extend_from_slice(&line);
    Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()))
}

pub(super) fn read_fields(
    stream: &mut impl BufRead,
    raw: &mut Vec<u8>,
) -> io::Result<Vec<(String, String)>> {
    let mut fields = Vec::new();
    while let Some(line) = read_line(stream, raw)? {
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        fields.push((name.to_owned(), value.trim().to_owned()));
    }
    Ok(fields)
}

/// Writes a reply; `false` when the connection has to end after it.
fn write_reply(stream: &mut impl Write, reply: &Reply, head_only: bool) -> io::Result<bool> {
    if let Some(raw) = &reply.raw {
        stream.write_all(raw)?;
        stream.flush()?;
        return Ok(false);
    }
    for (status, headers) in &reply.interim {
        stream.write_all(head(*status, "Interim", headers).as_bytes())?;
        stream.flush()?;
    }
    let mut headers = reply.headers.clone();
    let size: usize = reply.pieces.iter().map(Vec::len).sum();
    match reply.framing {
        // One byte more than there will be, so that the cut is one.
        Framing::Sized if reply.cut => {
            headers.push(("Content-Length".into(), (size + 1).to_string()))
        }
        Framing::Sized => headers.push(("Content-Length".into(), size.to_string())),
        Framing::Chunked => headers.push(("Transfer-Encoding".into(), "chunked".into())),
        Framing::Close | Framing::Bare => {}
    }
    stream.write_all(head(reply.status, &reply.reason, &headers).as_bytes())?;
    stream.flush()?;
    if head_only || reply.framing == Framing::Bare {
        return Ok(!reply.cut);
    }
    for piece in &reply.pieces {
        thread::sleep(reply.pause);
        if piece.is_empty() {
            continue;
        }
        if reply.framing == Framing::Chunked {
            let size = format!("{:x}\r\n", piece.len());
            stream.write_all(&[size.as_bytes(), piece, b"\r\n"].concat())?;
        } else {
            stream.write_all(piece)?;
        }
        stream.flush()?;
    }
    if reply.cut {
        return Ok(false);
    }
    if reply.framing == Framing::Chunked {
        let mut end = "0\r\n".to_owned();
        for (name, value) in &reply.trailers {
            end += &format!("{name}: {value}\r\n");
        }
        stream.write_all((end + "\r\n").as_bytes())?;
        stream.flush()?;
    }
    Ok(reply.framing != Framing::Close)
}

fn head(status: u16, reason: &str, headers: &[(String, String)]) -> String {
    let mut head = format!("HTTP/1.1 {status} {reason}\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head + "\r\n"
}
