//! A backend whose stream says what a test tells it to say, when it tells it to, and a
//! client that listens.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::origin::{Log, Origin};
use super::{Browser, PATIENCE, eventually};

/// The backend. `GET …/events` is the stream, everything else says hello.
pub struct Feed {
    /// As an origin, for its `[upstream]` table.
    pub origin: Origin,
    /// The stream that was opened last.
    open: Arc<Mutex<Option<TcpStream>>>,
}

impl Feed {
    /// Starts it; its stream is of this media type.
    pub fn start(kind: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = Origin {
            address: listener.local_addr().unwrap(),
            tls: false,
            http2: false,
            log: Log::default(),
        };
        let open = Arc::new(Mutex::new(None));
        let feed = Self {
            origin,
            open: Arc::clone(&open),
        };
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let open = Arc::clone(&open);
                thread::spawn(move || answer(socket, kind, &open));
            }
        });
        feed
    }

    /// Waits until a client opens a stream, after the end of the one before.
    pub fn opened(&self) {
        eventually("a stream is opened", || {
            self.open.lock().unwrap().is_some().then_some(())
        });
    }

    /// Says something on the stream that was opened last, at once and in one piece.
    pub fn say(&self, text: impl AsRef<[u8]>) {
        self.say_all(&[text.as_ref()]);
    }

    /// The same in several pieces, all of them at once.
    pub fn say_all(&self, pieces: &[&[u8]]) {
        let mut chunks = Vec::new();
        for piece in pieces {
            chunks.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            chunks.extend_from_slice(piece);
            chunks.extend_from_slice(b"\r\n");
        }
        let mut open = self.open.lock().unwrap();
        open.as_mut().unwrap().write_all(&chunks).unwrap();
    }

    /// Ends the stream.
    pub fn end(&self) {
        self.say("");
        *self.open.lock().unwrap() = None;
    }
}

fn answer(mut socket: TcpStream, kind: &str, open: &Mutex<Option<TcpStream>>) {
    let mut head = Vec::new();
    let mut reader = BufReader::new(socket.try_clone().unwrap());
    while !head.ends_with(b"\r\n\r\n") {
        if reader.read_until(b'\n', &mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    let streams = String::from_utf8_lossy(&head).contains("/events ");
    let head = match streams {
        true => format!(
            "Content-Type: {kind}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        ),
        false => {
            "Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
                .into()
        }
    };
    // Nothing is said before the head is.
    let mut open = open.lock().unwrap();
    let _ = socket.write_all(format!("HTTP/1.1 200 OK\r\n{head}").as_bytes());
    if streams {
        *open = Some(socket);
    }
}

/// A client that listens to a stream over HTTP/1.1.
pub struct Listener {
    stream: BufReader<TcpStream>,
    /// The head of the answer.
    pub head: String,
    /// Everything it has heard.
    pub heard: Vec<u8>,
    taken: usize,
    ended: bool,
}

impl Listener {
    /// Opens the stream, with a browser's cookies.
    pub fn open(address: SocketAddr, target: &str, browser: &Browser) -> Self {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let cookies = browser
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let cookies = cookies.collect::<Vec<_>>().join("; ");
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\nCookie: {cookies}\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).unwrap();
        let mut stream = BufReader::new(socket);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(stream.read_line(&mut head).unwrap(), 0, "no head: {head}");
        }
        Self {
            stream,
            head,
            heard: Vec::new(),
            taken: 0,
            ended: false,
        }
    }

    /// What comes next, up to and with `end`.
    ///
    /// # Panics
    /// When the stream ends before that.
    pub fn until(&mut self, end: &str) -> String {
        loop {
            let rest = &self.heard[self.taken..];
            if let Some(at) = rest
                .windows(end.len())
                .position(|part| part == end.as_bytes())
            {
                let text = String::from_utf8_lossy(&rest[..at + end.len()]).into_owned();
                self.taken += text.len();
                return text;
            }
            let more = self.chunk();
            assert!(
                more,
                "the stream ended after {:?}",
                String::from_utf8_lossy(rest_of(self))
            );
        }
    }

    /// The next event that ends with LF.
    pub fn event(&mut self) -> String {
        self.until("\n\n")
    }

    /// Everything until the stream ends as it should.
    pub fn rest(&mut self) -> String {
        while self.chunk() {}
        assert!(self.ended, "the stream broke off");
        let text = String::from_utf8_lossy(rest_of(self)).into_owned();
        self.taken = self.heard.len();
        text
    }

    /// Reads a chunk; `false` at the end.
    fn chunk(&mut self) -> bool {
        let mut size = String::new();
        if self.stream.read_line(&mut size).unwrap_or(0) == 0 {
            return false;
        }
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        let mut chunk = vec![0; size + 2];
        self.stream.read_exact(&mut chunk).unwrap();
        chunk.truncate(size);
        self.heard.extend_from_slice(&chunk);
        self.ended = size == 0;
        !self.ended
    }
}

fn rest_of(listener: &Listener) -> &[u8] {
    &listener.heard[listener.taken..]
}
