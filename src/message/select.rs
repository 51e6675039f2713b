//! Selectors: one value out of a request or an answer.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName};
use serde_json::{Number, Value};

use super::edit::is_other_case;
use super::form::{Kind, is_alias};
use super::header::{has_alias, raw_cookies};
use super::json::scan::{Scanner, Start};
use super::multipart;
use super::target::{decode, pairs};
use super::view::{AnswerView, Body, RequestView};
use super::{Json, JsonPath};
use crate::reason::Reason;

/// Where a value is.
#[derive(Clone, Debug)]
pub enum Source {
    /// A parameter of the route's path pattern, decoded.
    Path(Box<str>),
    /// A query parameter, decoded.
    Query(Box<str>),
    /// A header; `scheme` is the word before the value (`Bearer`), taken off in any case.
    Header {
        /// Lower-case name.
        name: HeaderName,
        /// The authentication scheme in front of the value.
        scheme: Option<Box<str>>,
    },
    /// A cookie.
    Cookie(Box<str>),
    /// A JSONPath into the body; strings as they are, numbers and booleans as written.
    /// A number that readers round differently (`1.0`, `1e3`, beyond 64 bits) is ambiguous.
    Json(JsonPath),
    /// A field of a form body.
    Form(Box<str>),
    /// A header of the answer.
    AnswerHeader(HeaderName),
    /// A JSONPath into the answer's body.
    AnswerJson(JsonPath),
}

/// One or several places, asked in order; the first that has the value wins.
#[derive(Clone, Debug)]
pub struct Selector(pub Vec<Source>);

impl Selector {
    /// Whether the request's body has to be read for it.
    pub fn needs_body(&self) -> bool {
        let body = |source: &Source| matches!(source, Source::Json(_) | Source::Form(_));
        self.0.iter().any(body)
    }

    /// Whether it looks into the request's body, and nowhere else.
    pub fn is_in_body(&self) -> bool {
        let body = |source: &Source| matches!(source, Source::Json(_) | Source::Form(_));
        self.0.iter().all(body)
    }

    /// Whether it looks into the answer.
    pub fn needs_answer(&self) -> bool {
        let header = |source: &Source| matches!(source, Source::AnswerHeader(_));
        self.needs_answer_body() || self.0.iter().any(header)
    }

    /// Whether it looks into the answer's body.
    pub fn needs_answer_body(&self) -> bool {
        let body = |source: &Source| matches!(source, Source::AnswerJson(_));
        self.0.iter().any(body)
    }

    /// The value in the request: not empty. Two values in one place (duplicate
    /// header, cookie or parameter, even equal ones; nodes or readings of a body
    /// that differ), a value that is no text, and a value whose name stands there in
    /// another spelling too, or in that alone, are [`Reason::AmbiguousValue`]; a body
    /// that should be JSON and is not is [`Reason::BadBody`].
    pub fn request(&self, request: &RequestView<'_>) -> Result<Option<String>, Reason> {
        self.first(|source| source.request(request))
    }

    /// The value in the answer, by the same rules. Of other spellings it may have any.
    pub fn answer(&self, answer: &AnswerView<'_>) -> Result<Option<String>, Reason> {
        self.first(|source| source.answer(answer))
    }

    fn first(
        &self,
        find: impl Fn(&Source) -> Result<Option<String>, Reason>,
    ) -> Result<Option<String>, Reason> {
        for source in &self.0 {
            if let Some(value) = find(source)?.filter(|value| !value.is_empty()) {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }
}

impl Source {
    fn request(&self, request: &RequestView<'_>) -> Result<Option<String>, Reason> {
        match self {
            Self::Path(name) => {
                let named = request.params.iter().filter(|(param, _)| param == name);
                only(named.map(|(_, value)| decode(value).into_owned()))
            }
            Self::Query(name) => parameter(request.query.unwrap_or_default(), name),
            Self::Header { name, scheme } => {
                if has_alias(request.headers, name) {
                    return Err(Reason::AmbiguousValue);
                }
                let value = header(request.headers, name)?;
                Ok(match scheme {
                    Some(scheme) => value.and_then(|value| credentials(&value, scheme)),
                    None => value,
                })
            }
            Self::Cookie(name) => {
                let mut values = raw_cookies(request.headers, name);
                let value = values.next();
                match (value, values.next()) {
                    (Some(value), None) => cookie(value).map(Some),
                    (None, _) => Ok(None),
                    (Some(_), Some(_)) => Err(Reason::AmbiguousValue),
                }
            }
            Self::Json(path) => {
                let found = match request.body {
                    Some(body) if is_form(request.headers) && body.json().is_err() => None,
                    body => member(body, path, Names::AnyCase)?,
                };
                match request
                    .query
                    .and_then(|query| Some((query, path.dotted()?)))
                {
                    Some((query, name)) => unrivalled(found, query, name),
                    None => Ok(found),
                }
            }
            Self::Form(name) => {
                let body = request.body.map_or(&[][..], |body| body.bytes());
                let found = match Kind::of(request.headers) {
                    _ if body.is_empty() => None,
                    Err(_) => return Err(Reason::BadBody),
                    Ok(Kind::Multipart(boundary)) => multipart::field(body, boundary, name)?,
                    Ok(_) => parameter(
                        std::str::from_utf8(body).map_err(|_| Reason::BadBody)?,
                        name,
                    )?,
                };
                match request.query {
                    Some(query) => unrivalled(found, query, name),
                    None => Ok(found),
                }
            }
            Self::AnswerHeader(_) | Self::AnswerJson(_) => Ok(None),
        }
    }

    fn answer(&self, answer: &AnswerView<'_>) -> Result<Option<String>, Reason> {
        match self {
            Self::AnswerHeader(name) => header(answer.headers, name),
            Self::AnswerJson(path) => member(answer.body, path, Names::Exact),
            _ => Ok(None),
        }
    }
}

/// The value, when there is only one.
fn only(mut values: impl Iterator<Item = String>) -> Result<Option<String>, Reason> {
    match (values.next(), values.next()) {
        (value, None)
            if !value
                .as_ref()
                .is_some_and(|v| v.contains(char::REPLACEMENT_CHARACTER)) =>
        {
            Ok(value)
        }
        _ => Err(Reason::AmbiguousValue),
    }
}

/// The parameter of this name. To some readers `;` is what `&` is, so none may stand
/// in its value, nor the name behind one.
fn parameter(query: &str, name: &str) -> Result<Option<String>, Reason> {
    let pairs = pairs(query);
    if pairs.iter().any(|(other, _)| is_alias(other, name)) || is_cut(query, name) {
        return Err(Reason::AmbiguousValue);
    }
    let named = pairs.into_iter().filter(|(param, _)| param == name);
    only(named.map(|(_, value)| value))
}

/// What was found in a body, unless the query says something else: many frameworks put
/// both into one table, and either may win there.
fn unrivalled(found: Option<String>, query: &str, name: &str) -> Result<Option<String>, Reason> {
    if found.is_none() {
        return Ok(None);
    }
    match parameter(query, name)? {
        rival @ Some(_) if rival != found => Err(Reason::AmbiguousValue),
        _ => Ok(found),
    }
}

/// Whether a reader that takes `;` for `&` finds another parameter of this name.
fn is_cut(query: &str, name: &str) -> bool {
    let named = |pair: &str| {
        let pair = pairs(pair).pop();
        pair.is_some_and(|(other, _)| other == name || is_alias(&other, name))
    };
    let mut cut = query.split('&').filter(|pair| pair.contains(';'));
    cut.any(|pair| pair.split(';').any(named))
}

fn header(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, Reason> {
    let mut lines = headers.get_all(name).into_iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(None),
        (Some(line), None) => text(line.as_bytes().trim_ascii()).map(Some),
        (Some(_), Some(_)) => Err(Reason::AmbiguousValue),
    }
}

/// A cookie's value, without quotes around it (RFC 6265, section 4.1.1) and decoded, as many
/// readers have it: two spellings of one value are the same to them, and so to us.
fn cookie(bytes: &[u8]) -> Result<String, Reason> {
    let text = std::str::from_utf8(bytes).map_err(|_| Reason::AmbiguousValue)?;
    let quoted = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let text = quoted.unwrap_or(text);
    if text.contains(['"', '\\']) {
        return Err(Reason::AmbiguousValue);
    }
    let value = only([decode(text).into_owned()].into_iter())?;
    Ok(value.unwrap_or_default())
}

fn text(bytes: &[u8]) -> Result<String, Reason> {
    let text = std::str::from_utf8(bytes).map_err(|_| Reason::AmbiguousValue)?;
    Ok(text.into())
}

/// What follows the scheme, in any case; `None` for another scheme.
fn credentials(value: &str, scheme: &str) -> Option<String> {
    let (word, rest) = value.split_once([' ', '\t'])?;
    word.eq_ignore_ascii_case(scheme)
        .then(|| rest.trim_ascii().into())
}

/// Whether the request says that its body is a form. It only excuses a body that
/// is not JSON: one that is JSON is read as such, whatever it is called.
fn is_form(headers: &HeaderMap) -> bool {
    matches!(Kind::of(headers), Ok(Kind::Urlencoded | Kind::Multipart(_)))
}

/// How names are read by those who read the body after us.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    Exact,
    /// In any case, for all that is known of a backend.
    AnyCase,
}

/// What the query selects in the body. All nodes in all readings have to agree.
fn member(body: Option<&Body>, path: &JsonPath, names: Names) -> Result<Option<String>, Reason> {
    let Some(body) = body.filter(|body| !body.bytes().is_empty()) else {
        return Ok(None);
    };
    let top = path.top_member();
    if let Some(text) = top.and_then(|name| plain(body.bytes(), name, names)) {
        return Ok(Some(text));
    }
    let json: &Json = body.json().map_err(|_| Reason::BadBody)?;
    let mut agreed = None;
    for view in json.views() {
        if names == Names::AnyCase && path.forks(view) {
            return Err(Reason::AmbiguousValue);
        }
        let nodes = path.select_in(view);
        let texts: Vec<_> = nodes.into_iter().map(scalar).collect::<Result<_, _>>()?;
        let value = texts.first().cloned().flatten();
        let alike = texts.iter().all(|text| *text == value);
        if !alike || agreed.get_or_insert_with(|| value.clone()) != &value {
            return Err(Reason::AmbiguousValue);
        }
    }
    Ok(agreed.flatten())
}

/// The member of this name at the top of a document, where it is there once and a
/// text: what most selectors ask for, found without a tree. `None` says nothing.
fn plain(bytes: &[u8], name: &str, names: Names) -> Option<String> {
    let mut scanner = Scanner::new(bytes).ok()?;
    let Start::Object = scanner.start().ok()? else {
        return None;
    };
    let mut found = None;
    while let Some(member) = scanner.member().ok()? {
        if member != name {
            if names == Names::AnyCase && is_other_case(&member, name) {
                return None;
            }
            scanner.skip().ok()?;
            continue;
        }
        match scanner.start().ok()? {
            Start::String(text) if found.is_none() && !text.is_empty() => found = Some(text),
            _ => return None,
        }
    }
    scanner.end().ok()?;
    found.map(Cow::into_owned)
}

fn scalar(value: &Value) -> Result<Option<String>, Reason> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.is_empty() => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        Value::Bool(bool) => Ok(Some(bool.to_string())),
        Value::Number(number) if is_exact(number) => Ok(Some(number.to_string())),
        Value::Number(_) | Value::Array(_) | Value::Object(_) => Err(Reason::AmbiguousValue),
    }
}

fn is_exact(number: &Number) -> bool {
    number.is_u64() || number.is_i64() || number.as_f64().is_some_and(|n| n.fract() != 0.0)
}

#[cfg(test)]
mod tests;
