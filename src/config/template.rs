//! Templates, with the place inside of what is wrong with them.

use http::{HeaderName, HeaderValue, StatusCode};

use super::names;
use super::reader::{Node, Table, Wrong, clean};
use super::url::Url;
use crate::channel::template::{BodyTemplate, Escape, JsonTemplate, Template, TemplateError};
use crate::message::coding::Charset;
use crate::message::target::check_path;

/// A body template and its content type.
pub(super) struct Body {
    pub(super) template: BodyTemplate,
    pub(super) content_type: Box<str>,
    /// Its text as it was written.
    pub(super) text: Box<str>,
}

impl Body {
    /// Whether its template has to do with a variable, as far as its text tells.
    pub(super) fn mentions(&self, variable: &str) -> bool {
        let gap = |c: char| !(c.is_alphanumeric() || c == '_');
        let within = |open: &str, close: &str| {
            let mut parts = self.text.split(open).skip(1);
            parts.any(|part| {
                let part = part.split(close).next().unwrap_or_default();
                part.split(gap).any(|name| name == variable)
            })
        };
        within("{{", "}}") || within("{%", "%}")
    }
}

impl Node<'_> {
    /// A text template.
    pub(super) fn template(self, escape: Escape, names: &[&str]) -> Option<Template> {
        let text = self.text()?;
        self.compiled(Template::parse(text, escape, names))
    }

    /// A JSON template.
    pub(super) fn json_template(self, names: &[&str]) -> Option<JsonTemplate> {
        let text = self.text()?;
        self.compiled(JsonTemplate::parse(text, names))
    }

    /// A template of a URL; scheme, host and port are fixed text.
    pub(super) fn url_template(self, names: &[&str]) -> Option<Template> {
        let text = self.text()?;
        let fixed = text.split("{{").next().unwrap_or_default();
        let fixed = fixed.split("{%").next().unwrap_or_default();
        if let Err(wrong) = Url::parse(fixed) {
            self.error(wrong);
            return None;
        }
        let after_host = fixed.splitn(4, '/').nth(3).is_some();
        if fixed.len() < text.len() && !after_host {
            self.error("a variable must not stand in the host or port");
            return None;
        }
        if let Ok(url) = Url::parse(fixed) {
            // A variable may go on with the last segment.
            let whole = match fixed.len() < text.len() && url.query.is_none() {
                true => url.path.rsplit_once('/').map_or("", |(before, _)| before),
                false => &url.path,
            };
            if !whole.is_empty() && check_path(whole).is_err() {
                let message = "this path could be read in two ways, and would not be called";
                self.error(Wrong::new(
                    message,
                    "write it without `//`, `.`, `..` and needless escapes",
                ));
                return None;
            }
        }
        if Url::parse(fixed).is_ok_and(|url| url.exposed()) {
            let message = "what this call says of the customer can be read on the way";
            self.warn(Wrong::new(message, "use https"));
        }
        self.compiled(Template::parse(text, Escape::Url, names))
    }

    /// `{ "X-Name" = "template" }`. Values of credentials are not shown.
    pub(super) fn header_templates(self, names: &[&str]) -> Option<Vec<(HeaderName, Template)>> {
        let table = self.table()?;
        let mut headers: Vec<(HeaderName, Template)> = Vec::new();
        for node in table.entries() {
            let name = match names::header(node.name) {
                Ok(name) => name,
                Err(wrong) => {
                    node.error_key(wrong);
                    continue;
                }
            };
            if FRAMING.contains(&name.as_str()) {
                node.error_key(format!("`{name}` follows from the body"));
            }
            if headers.iter().any(|(known, _)| *known == name) {
                node.error_key(format!("`{name}` is named twice"));
            }
            let template = if CREDENTIALS.contains(&name.as_str()) {
                node.credential(names)
            } else {
                node.template(Escape::None, names)
            };
            headers.extend(template.map(|template| (name, template)));
        }
        Some(headers)
    }

    fn credential(self, names: &[&str]) -> Option<Template> {
        let Some(text) = self.hidden_text() else {
            self.error(format!("`{}` must be a string", clean(self.name)));
            return None;
        };
        if !text.contains("{{") {
            let message = format!(
                "`{}` is written into the configuration itself",
                clean(self.name)
            );
            self.warn(Wrong::new(
                message,
                "use `sign`, or keep this file as safe as a key",
            ));
        }
        match Template::parse(text, Escape::None, names) {
            Ok(template) => Some(template),
            Err(_) => {
                self.error("this template cannot be read");
                None
            }
        }
    }

    fn compiled<T>(self, result: Result<T, TemplateError>) -> Option<T> {
        match result {
            Ok(template) => Some(template),
            Err(error) => {
                self.error_within(error.offset, error.message);
                None
            }
        }
    }
}

/// Headers that the body decides.
pub(super) const FRAMING: &[&str] = &[
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
];
/// Headers whose values are secrets.
pub(super) const CREDENTIALS: &[&str] = &[
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-api-key",
    "api-key",
];

/// The body of a table: one of `json`, `text`, `html`, with `content_type` for text.
pub(super) fn body(table: &Table<'_>, names: &[&str]) -> Option<Body> {
    let content_type = table.get("content_type");
    let given = content_type.and_then(|node| {
        node.parse(|text| match HeaderValue::from_str(text) {
            Ok(_) if Charset::named_in(text.as_bytes()) != Charset::Utf8 => Err(Wrong::new(
                "what chatgate writes is UTF-8",
                "leave `charset` out, or write \"charset=utf-8\"",
            )),
            Ok(_) if text.contains('/') => Ok(Box::from(text)),
            _ => Err(Wrong::new(
                "this is not a content type",
                "write it like \"text/plain\"",
            )),
        })
    });
    let node = table.one_of(&["json", "text", "html"])?;
    if let Some(content_type) = content_type.filter(|_| node.name == "html") {
        content_type.clash(node, "`content_type` goes with `text` and `json` only");
    }
    let (template, usual) = match node.name {
        "json" => (
            node.json_template(names).map(BodyTemplate::Json),
            "application/json",
        ),
        "html" => (
            node.template(Escape::Html, names).map(BodyTemplate::Text),
            "text/html; charset=utf-8",
        ),
        _ => (
            node.template(Escape::None, names).map(BodyTemplate::Text),
            "text/plain; charset=utf-8",
        ),
    };
    Some(Body {
        template: template?,
        content_type: given.unwrap_or_else(|| usual.into()),
        text: node.text().unwrap_or_default().into(),
    })
}

/// The content type as a header whose value is a template without variables.
pub(super) fn content_type(text: &str) -> Option<(HeaderName, Template)> {
    let template = Template::parse(text, Escape::None, &[]).ok()?;
    Some((http::header::CONTENT_TYPE, template))
}

/// A status that an answer with a body can have.
pub(super) fn answer_status(node: Node<'_>) -> Option<StatusCode> {
    let status = node.status()?;
    if status.is_informational() || matches!(status.as_u16(), 204 | 205 | 304) {
        node.error("an answer of this status has no body");
        return None;
    }
    Some(status)
}
