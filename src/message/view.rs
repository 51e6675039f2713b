//! A request or an answer as the core sees it: borrowed, lazily parsed.

use std::sync::OnceLock;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

use super::coding::{Charset, Coding, Undecoded, narrow, widen};
use super::json::{Json, Malformed};

/// A body, decoded and parsed at most once and only when somebody asks.
#[derive(Debug, Default)]
pub struct Body {
    bytes: Bytes,
    coding: Coding,
    charset: Charset,
    /// Largest decoded body, in bytes.
    most: usize,
    plain: OnceLock<Result<Plain, Undecoded>>,
    json: OnceLock<Result<Json, Malformed>>,
}

/// A body that had to be rewritten to be read.
#[derive(Debug)]
struct Plain {
    bytes: Bytes,
    widened: bool,
}

impl Body {
    /// A body that is written as it is read.
    pub fn new(bytes: Bytes) -> Self {
        Self {
            bytes,
            ..Self::default()
        }
    }

    /// A body in the coding and the charset that its head names; at most `most`
    /// bytes of it are decoded.
    pub fn of(headers: &HeaderMap, bytes: Bytes, most: usize) -> Self {
        Self {
            bytes,
            coding: Coding::of(headers),
            charset: Charset::of(headers),
            most,
            ..Self::default()
        }
    }

    /// The bytes as they came.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The bytes without their coding, and as UTF-8 where each stands for a character.
    ///
    /// # Errors
    /// When they cannot be decoded, or are too many.
    pub fn plain(&self) -> Result<&Bytes, Undecoded> {
        if self.is_plain() {
            return Ok(&self.bytes);
        }
        match self.plain.get_or_init(|| self.decode()) {
            Ok(plain) => Ok(&plain.bytes),
            Err(error) => Err(*error),
        }
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// When it cannot be decoded, or is not JSON.
    pub fn json(&self) -> Result<&Json, Malformed> {
        let parse = || match self.plain() {
            Ok(plain) => Json::parse(plain),
            Err(_) => Err(Malformed("the body cannot be decoded".into())),
        };
        self.json.get_or_init(parse).as_ref().map_err(Clone::clone)
    }

    /// Whether it is in another charset than UTF-8, so that only its ASCII was
    /// read for certain.
    pub fn is_widened(&self) -> bool {
        matches!(self.plain.get(), Some(Ok(plain)) if plain.widened)
    }

    /// Whether nothing but UTF-8 may be written into it.
    pub fn is_utf8(&self) -> bool {
        self.charset == Charset::Utf8
    }

    /// Bytes in its charset as they stand in [`Self::plain`].
    pub fn as_plain(&self, bytes: Vec<u8>) -> Vec<u8> {
        match self.is_utf8() || self.is_widened() {
            true => widen(&bytes),
            false => bytes,
        }
    }

    /// Whether [`Self::bytes`] and [`Self::plain`] have different codings.
    pub fn is_coded(&self) -> bool {
        self.coding != Coding::Identity
    }

    /// What goes in its place when its plain bytes were edited: in its charset,
    /// without coding. `None` when a character was added that it has not.
    pub fn edited(&self, plain: Vec<u8>) -> Option<Bytes> {
        match self.is_widened() {
            true => narrow(&plain).map(Bytes::from),
            false => Some(plain.into()),
        }
    }

    fn is_plain(&self) -> bool {
        !self.is_coded() && self.charset != Charset::SingleByte
    }

    fn decode(&self) -> Result<Plain, Undecoded> {
        let bytes = match self.coding {
            Coding::Identity => self.bytes.clone(),
            coding => coding.decode(&self.bytes, self.most)?.into(),
        };
        let widened = self.charset == Charset::SingleByte && std::str::from_utf8(&bytes).is_err();
        let bytes = match widened {
            true => widen(&bytes).into(),
            false => bytes,
        };
        Ok(Plain { bytes, widened })
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

/// Whether answers of this status end with their head (RFC 9112, section 6.3).
pub fn is_bodiless(status: StatusCode) -> bool {
    status.is_informational()
        || [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status)
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

impl<'a> AnswerView<'a> {
    /// What is judged as an answer is and has no status of its own: a message on a
    /// socket, a request of the backend's.
    pub fn message(headers: &'a HeaderMap, body: Option<&'a Body>) -> Self {
        Self {
            status: StatusCode::OK,
            headers,
            body,
        }
    }
}
