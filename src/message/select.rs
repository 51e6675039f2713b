//! Selectors: one value out of a request or an answer.

use super::JsonPath;
use super::view::{AnswerView, RequestView};
use crate::reason::Reason;

/// Where a value is.
#[derive(Clone, Debug)]
pub enum Source {
    /// A parameter of the route's path pattern.
    Path(Box<str>),
    /// A query parameter, decoded.
    Query(Box<str>),
    /// A header; `scheme` is the word before the value (`Bearer`), taken off in any case.
    Header {
        /// Lower-case name.
        name: http::HeaderName,
        /// The authentication scheme in front of the value.
        scheme: Option<Box<str>>,
    },
    /// A cookie.
    Cookie(Box<str>),
    /// A JSONPath into the body; strings as they are, numbers and booleans as written.
    Json(JsonPath),
    /// A field of a form body.
    Form(Box<str>),
    /// A header of the answer.
    AnswerHeader(http::HeaderName),
    /// A JSONPath into the answer's body.
    AnswerJson(JsonPath),
}

/// One or several places, asked in order; the first that has the value wins.
#[derive(Clone, Debug)]
pub struct Selector(pub Vec<Source>);

impl Selector {
    /// Whether the request's body has to be read for it.
    pub fn needs_body(&self) -> bool {
        todo!()
    }

    /// Whether it looks into the answer.
    pub fn needs_answer(&self) -> bool {
        todo!()
    }

    /// Whether it looks into the answer's body.
    pub fn needs_answer_body(&self) -> bool {
        todo!()
    }

    /// The value in the request: not empty. Two different values in one place
    /// (duplicate header, parameter, member) are [`Reason::AmbiguousValue`]; a body
    /// that should be JSON and is not is [`Reason::BadBody`].
    pub fn request(&self, request: &RequestView<'_>) -> Result<Option<String>, Reason> {
        todo!()
    }

    /// The value in the answer, by the same rules.
    pub fn answer(&self, answer: &AnswerView<'_>) -> Result<Option<String>, Reason> {
        todo!()
    }
}
