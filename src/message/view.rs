//! A request or an answer as the core sees it: borrowed, lazily parsed.

use std::sync::OnceLock;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

use super::json::{Json, Malformed};

/// A body, parsed at most once and only when somebody asks.
#[derive(Debug, Default)]
pub struct Body {
    bytes: Bytes,
    json: OnceLock<Result<Json, Malformed>>,
}

impl Body {
    /// A body as it came.
    pub fn new(bytes: Bytes) -> Self {
        Self {
            bytes,
            json: OnceLock::new(),
        }
    }

    /// The bytes as they came.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<&Json, Malformed> {
        self.json
            .get_or_init(|| Json::parse(&self.bytes))
            .as_ref()
            .map_err(Clone::clone)
    }
}

/// A request.
#[derive(Debug)]
pub struct RequestView<'a> {
    /// Its method.
    pub method: &'a Method,
    /// The path, byte for byte.
    pub path: &'a str,
    /// The query without `?`, byte for byte.
    pub query: Option<&'a str>,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// The parameters that the route's pattern captured: name and raw value.
    pub params: &'a [(Box<str>, Box<str>)],
    /// The body, where the route has it read; `None` where it streams by.
    pub body: Option<&'a Body>,
}

/// An answer.
#[derive(Debug)]
pub struct AnswerView<'a> {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body, as far as it was read.
    pub body: Option<&'a Body>,
}
