//! minijinja, set up so that no value escapes and no output is boundless.

use std::io;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, Serde};
use minijinja::{AutoEscape, Environment, ErrorKind, HtmlEscape, UndefinedBehavior};
use serde_json::{Map, Value};

use super::Escape;
use crate::directory::ldap;
use crate::message::target::encode;

/// Longest rendered text or document, in bytes.
pub(super) const MAX_OUTPUT: usize = 1 << 20;

/// An environment whose formatter alone escapes: the engine's own notion of safe
/// strings stays out of it. Undefined values are errors.
pub(super) fn environment(escape: Escape) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_formatter(move |output, _, value| {
        if value.is_none() {
            return Ok(());
        }
        let text = match value.as_str() {
            Some(text) => text.to_owned(),
            None => serde_json::to_string(value).unwrap_or_else(|_| value.to_string()),
        };
        match escape {
            Escape::None => output.write_str(&text)?,
            Escape::Html => write!(output, "{}", HtmlEscape(&text))?,
            Escape::Url => output.write_str(&encode(&text))?,
            Escape::Ldap => output.write_str(&ldap::escape(&text))?,
        }
        Ok(())
    });
    environment
}

/// The variables of one rendering.
pub(super) fn context(values: &Map<String, Value>) -> minijinja::Value {
    let captures = values.get("capture").and_then(Value::as_object);
    let captures = Captures(captures.cloned().unwrap_or_default());
    let capture = ("capture", minijinja::Value::from_object(captures));
    let others = values.iter().filter(|(name, _)| *name != "capture");
    let others = others.map(|(name, value)| (&**name, Serde(value).into()));
    minijinja::Value::from_pairs(others.chain([capture]))
}

/// The captures of a challenge: those that are missing are empty.
#[derive(Debug)]
struct Captures(Map<String, Value>);

impl Object for Captures {
    fn get_value(self: &Arc<Self>, key: &minijinja::Value) -> Option<minijinja::Value> {
        let value = self.0.get(key.as_str()?);
        Some(value.map_or_else(|| "".into(), |value| Serde(value).into()))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let names = self.0.keys().map(|name| minijinja::Value::from(&**name));
        Enumerator::Values(names.collect())
    }
}

/// Takes up to [`MAX_OUTPUT`] bytes.
#[derive(Default)]
pub(super) struct Bounded(pub(super) Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_OUTPUT {
            return Err(io::Error::other("the text is too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the engine says, without its values.
pub(super) fn describe(error: &minijinja::Error) -> String {
    match (error.kind(), error.detail()) {
        (ErrorKind::SyntaxError | ErrorKind::UndefinedError, Some(detail)) => {
            format!("{}: {detail}", error.kind())
        }
        (
            kind @ (ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::UnknownFunction),
            Some(detail),
        ) => format!("{kind}: {detail}"),
        (kind, _) => kind.to_string(),
    }
}
