//! Names of headers, cookies, claims, parameters, methods.

use http::{HeaderName, Method, StatusCode};

use super::reader::{Node, Wrong, clean};
use crate::message::header::{HOP_BY_HOP, fold};

/// Headers that chatgate must not manage: they frame the message, route it, or
/// belong to the connection or the browser.
const UNMANAGEABLE: &[&str] = &[
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "accept-encoding",
    "range",
    "upgrade",
    "expect",
    "cookie",
    "set-cookie",
    "date",
    "via",
    "origin",
];

const METHODS: &[(&str, Method)] = &[
    ("GET", Method::GET),
    ("HEAD", Method::HEAD),
    ("POST", Method::POST),
    ("PUT", Method::PUT),
    ("PATCH", Method::PATCH),
    ("DELETE", Method::DELETE),
    ("OPTIONS", Method::OPTIONS),
    ("TRACE", Method::TRACE),
];

impl Node<'_> {
    /// A header name.
    pub(super) fn header(self) -> Option<HeaderName> {
        self.parse(header)
    }

    /// A request method.
    pub(super) fn method(self) -> Option<Method> {
        self.choice(METHODS)
    }

    /// A status that an answer with a body can have.
    pub(super) fn status(self) -> Option<StatusCode> {
        let status = self.integer(100..=599)?;
        StatusCode::from_u16(u16::try_from(status).ok()?).ok()
    }

    /// A token (RFC 9110, section 5.6.2): cookie names, authentication schemes.
    pub(super) fn token(self) -> Option<Box<str>> {
        self.parse(|text| {
            let legal = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
            if text.is_empty() || !text.bytes().all(legal) {
                return Err("this is not a token: letters, digits and !#$%&'*+-.^_`|~ only");
            }
            Ok(text.into())
        })
    }

    /// The name of a claim.
    pub(super) fn claim(self) -> Option<Box<str>> {
        self.parse(|text| {
            let legal = |c: char| !c.is_control() && !c.is_whitespace();
            if text.is_empty() || text.len() > 128 || !text.chars().all(legal) {
                return Err("this is not the name of a claim");
            }
            Ok(text.into())
        })
    }

    /// Any text but the empty one, without controls.
    pub(super) fn word(self) -> Option<Box<str>> {
        self.parse(|text| {
            if text.is_empty() || text.chars().any(char::is_control) {
                return Err("this is empty or has control characters");
            }
            Ok(text.into())
        })
    }
}

/// A header name.
pub(super) fn header(text: &str) -> Result<HeaderName, Wrong> {
    HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| format!("`{}` is not a header name", clean(text)).into())
}

/// A header name that chatgate may own: it removes the client's copies everywhere.
pub(super) fn managed_header(text: &str) -> Result<HeaderName, Wrong> {
    let name = header(text)?;
    let folded = fold(name.as_str());
    let taken = |known: &str| fold(known) == folded;
    if HOP_BY_HOP
        .iter()
        .chain(UNMANAGEABLE)
        .any(|known| taken(known))
        || folded.starts_with("sec-")
    {
        let message = format!(
            "`{}` must not be managed: clients need to send it themselves",
            clean(text)
        );
        return Err(Wrong::new(
            message,
            "take a name of your own, like \"X-Customer-Id\"",
        ));
    }
    Ok(name)
}

/// The name of a channel or an upstream: it appears in paths, keys and logs.
pub(super) fn identifier(text: &str) -> Result<(), Wrong> {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    if text.is_empty() || text.len() > 64 || !text.bytes().all(legal) {
        let message = format!("`{}` is not a name that can be used here", clean(text));
        return Err(Wrong::new(
            message,
            "take a-z, 0-9, - and _, at most 64 of them",
        ));
    }
    Ok(())
}
