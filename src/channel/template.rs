//! Templates. A JSON template is parsed as JSON first, and only its strings are
//! templates: whatever a value contains, it cannot leave its string. A string
//! that is one expression and nothing else (`"{{ claims }}"`) keeps the value's type.

use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value};

use crate::message::Selector;

/// A compiled text template (minijinja).
#[derive(Clone, Debug)]
pub struct Template {
    _todo: (),
}

/// How values are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// Not at all: plain text.
    None,
    /// For HTML and XML.
    Html,
}

impl Template {
    /// Compiles. `names` are the variables that exist; the use of another one is an
    /// error that names the nearest. The error carries a byte offset into `text` where it can.
    pub fn parse(text: &str, escape: Escape, names: &[&str]) -> Result<Self, TemplateError> {
        todo!()
    }

    /// Renders.
    pub fn render(&self, values: &Map<String, Value>) -> Result<String, String> {
        todo!()
    }

    /// Renders for a header: controls are removed.
    pub fn render_header(&self, values: &Map<String, Value>) -> Result<HeaderValue, String> {
        todo!()
    }
}

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// Byte offset in the template's text.
    pub offset: Option<usize>,
    /// What and, where known, what it should be.
    pub message: String,
}

/// A body template.
#[derive(Clone, Debug)]
pub enum BodyTemplate {
    /// JSON whose strings are templates.
    Json(JsonTemplate),
    /// Text with a content type.
    Text(Template),
}

impl BodyTemplate {
    /// Renders the bytes.
    pub fn render(&self, values: &Map<String, Value>) -> Result<Vec<u8>, String> {
        todo!()
    }
}

/// A JSON document whose strings (values, not names) are templates.
#[derive(Clone, Debug)]
pub struct JsonTemplate {
    _todo: (),
}

impl JsonTemplate {
    /// Parses the JSON, compiles its strings.
    pub fn parse(text: &str, names: &[&str]) -> Result<Self, TemplateError> {
        todo!()
    }
}

/// The answer that the customer gets in place of a withheld one.
#[derive(Clone, Debug)]
pub struct ChallengeTemplate {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, Content-Type included.
    pub headers: Vec<(HeaderName, Template)>,
    /// Its body.
    pub body: BodyTemplate,
    /// Values taken from the request and the withheld answer, by name; missing ones are empty.
    pub captures: Vec<(Box<str>, Selector)>,
}

/// The variables that every challenge template has, beside its captures (`capture.<name>`).
pub const CHALLENGE_NAMES: &[&str] = &[
    "login_url",
    "continue_url",
    "expires_at",
    "expires_in",
    "channel",
    "interaction",
    "level",
    "capture",
];
/// The variables that call templates have.
pub const CALL_NAMES: &[&str] = &[
    "channel",
    "interaction",
    "subject",
    "level",
    "claims",
    "login_time",
    "outcome",
];
