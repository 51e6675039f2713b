//! What a scripted backend answers, and what it was asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::message;

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
    /// Locked, it keeps the end back (HTTP/2).
    pub gate: Option<Arc<Mutex<()>>>,
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
            gate: None,
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

    /// Ends once this is not locked (HTTP/2).
    pub fn gate(mut self, gate: &Arc<Mutex<()>>) -> Self {
        self.gate = Some(Arc::clone(gate));
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
