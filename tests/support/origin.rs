//! A scripted backend over HTTP/1: answers exactly as told, and keeps what it was sent.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tokio_rustls::rustls::{ServerConnection, StreamOwned};

use super::{PATIENCE, message, tls};

/// How the end of a reply's body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// `Content-Length`.
    Sized,
    /// One chunk per piece.
    Chunked,
    /// The connection ends.
    Close,
    /// There is no body, and nothing says so: 204, 304.
    Bare,
}

/// What the backend answers.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// The reason phrase (HTTP/1).
    pub reason: String,
    /// Its headers, framing left out.
    pub headers: Vec<(String, String)>,
    /// The body, in the pieces in which it is written.
    pub pieces: Vec<Vec<u8>>,
    /// How its end is told (HTTP/1).
    pub framing: Framing,
    /// Trailers, chunked only.
    pub trailers: Vec<(String, String)>,
    /// Interim answers before it.
    pub interim: Vec<(u16, Vec<(String, String)>)>,
    /// Whether the connection breaks after the pieces instead of an end.
    pub cut: bool,
    /// How long to wait before each piece.
    pub pause: Duration,
    /// Sent instead of all else, byte for byte, and then the connection ends (HTTP/1).
    pub raw: Option<Vec<u8>>,
}

impl Reply {
    /// A sized answer of any kind.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            reason: "OK".into(),
            headers: Vec::new(),
            pieces: vec![body.into()],
            framing: Framing::Sized,
            trailers: Vec::new(),
            interim: Vec::new(),
            cut: false,
            pause: Duration::ZERO,
            raw: None,
        }
    }

    /// A sized JSON answer.
    pub fn json(json: &Value) -> Self {
        Self::new(200, json.to_string()).header("Content-Type", "application/json")
    }

    /// Bytes as they are; the connection ends after them.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        let mut reply = Self::new(0, "");
        reply.raw = Some(bytes.into());
        reply
    }

    /// Another status.
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// One more header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Another framing.
    pub fn framing(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    /// The same body in pieces of `size` bytes, chunked.
    pub fn chunked(mut self, size: usize) -> Self {
        let whole = self.pieces.concat();
        self.pieces = whole.chunks(size).map(<[u8]>::to_vec).collect();
        self.framing(Framing::Chunked)
    }

    /// One more trailer.
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.push((name.into(), value.into()));
        self
    }

    /// An interim answer before this one.
    pub fn after(mut self, status: u16, headers: &[(&str, &str)]) -> Self {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        self.interim
            .push((status, headers.iter().map(own).collect()));
        self
    }

    /// Breaks off after the pieces.
    pub fn cut(mut self) -> Self {
        self.cut = true;
        self
    }

    /// Waits before each piece.
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }
}

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Every byte (HTTP/1), or a rendering of it (HTTP/2).
    pub raw: Vec<u8>,
    /// Its method.
    pub method: String,
    /// Its target.
    pub target: String,
    /// Its headers, in order, names as they came.
    pub headers: Vec<(String, String)>,
    /// Its body, framing removed.
    pub body: Vec<u8>,
    /// Its trailers.
    pub trailers: Vec<(String, String)>,
}

impl Seen {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All values of a header.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers
            .iter()
            .filter(move |(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as JSON, `null` when it is not.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Whether `needle` is anywhere in it.
    pub fn contains(&self, needle: &str) -> bool {
        message::contains(&self.raw, needle)
    }
}

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
