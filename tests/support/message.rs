//! A request to send, an answer that came.

use serde_json::Value;

/// A request, for either protocol version.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Its headers, `Host` and `Content-Length` left to the client that sends it.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
    /// Trailers; on HTTP/1 the body is then chunked.
    pub trailers: Vec<(String, String)>,
}

impl Request {
    /// A request without a body.
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.into(),
            target: target.into(),
            headers: Vec::new(),
            body: Vec::new(),
            trailers: Vec::new(),
        }
    }

    /// A `GET`.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A `POST` of JSON.
    pub fn post(target: &str, json: &Value) -> Self {
        Self::new("POST", target).json(json)
    }

    /// One more header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// A JSON body.
    pub fn json(self, json: &Value) -> Self {
        self.header("Content-Type", "application/json")
            .body(json.to_string())
    }

    /// Any body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// One more trailer.
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.push((name.into(), value.into()));
        self
    }

    /// The bytes on an HTTP/1 connection: `version` is `1.0` or `1.1`.
    pub fn bytes(&self, version: &str, host: &str) -> Vec<u8> {
        let has = |wanted: &str| {
            self.headers
                .iter()
                .any(|(name, _)| name.eq_ignore_ascii_case(wanted))
        };
        let mut head = format!("{} {} HTTP/{version}\r\n", self.method, self.target);
        if !has("host") {
            head += &format!("Host: {host}\r\n");
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !self.trailers.is_empty() {
            head += "Transfer-Encoding: chunked\r\n\r\n";
            head += &format!("{:x}\r\n", self.body.len());
            let mut end = "\r\n0\r\n".to_owned();
            for (name, value) in &self.trailers {
                end += &format!("{name}: {value}\r\n");
            }
            return [head.as_bytes(), &self.body, end.as_bytes(), b"\r\n"].concat();
        }
        let framed = has("content-length") || has("transfer-encoding");
        if !framed && (!self.body.is_empty() || self.method == "POST") {
            head += &format!("Content-Length: {}\r\n", self.body.len());
        }
        head += "\r\n";
        [head.into_bytes(), self.body.clone()].concat()
    }
}

/// An answer as it came.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// HTTP/1: every byte, interim answers included. HTTP/2: a rendering of all frames' content.
    pub raw: Vec<u8>,
    /// `HTTP/1.0`, `HTTP/1.1`, `HTTP/2`.
    pub version: String,
    /// Its status.
    pub status: u16,
    /// The reason phrase.
    pub reason: String,
    /// Its headers, in order.
    pub headers: Vec<(String, String)>,
    /// Statuses of the interim answers before it.
    pub interim: Vec<u16>,
    /// Its body, framing removed.
    pub body: Vec<u8>,
    /// Its trailers.
    pub trailers: Vec<(String, String)>,
    /// Whether it came to its end as its framing promised.
    pub whole: bool,
}

impl Answer {
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

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?} {}", self.status, self.text()))
    }

    /// Whether `needle` is anywhere in what came: status line, headers, body, trailers.
    pub fn contains(&self, needle: &str) -> bool {
        contains(&self.raw, needle)
    }

    /// The stable reason code of a refusal that the gateway made itself; empty for
    /// any other answer.
    pub fn code(&self) -> String {
        let json: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        json["error"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

/// Whether `needle` is in `bytes`, in any case.
pub fn contains(bytes: &[u8], needle: &str) -> bool {
    let needle = needle.as_bytes();
    bytes
        .windows(needle.len())
        .any(|part| part.eq_ignore_ascii_case(needle))
}
