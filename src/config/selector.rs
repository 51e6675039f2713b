//! Selectors: `{ json = "$.sender" }`, or a list of such.

use super::reader::{Node, Table, Wrong};
use crate::message::select::Source;
use crate::message::{JsonPath, Selector};

/// What a selector may look into.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// The request: there is no answer yet.
    Request,
    /// Request and answer.
    Exchange,
    /// The answer; `json` and `header` mean the answer's too.
    Answer,
}

const KINDS: &[&str] = &[
    "path",
    "query",
    "header",
    "cookie",
    "json",
    "form",
    "answer_json",
    "answer_header",
];

impl Node<'_> {
    /// One or several places.
    pub(super) fn selector(self, scope: Scope) -> Option<Selector> {
        let nodes = self.one_or_more();
        let wanted = nodes.len();
        let sources: Vec<_> = nodes
            .into_iter()
            .filter_map(|node| node.place(scope, None).0)
            .collect();
        (wanted > 0 && sources.len() == wanted).then_some(Selector(sources))
    }

    /// One place, and the value of another key that stands in the same table.
    pub(super) fn selector_with(
        self,
        scope: Scope,
        extra: &'static str,
    ) -> (Option<Selector>, Option<Self>) {
        let (source, extra) = self.place(scope, Some(extra));
        (source.map(|source| Selector(vec![source])), extra)
    }

    /// A JSONPath.
    pub(super) fn json_path(self) -> Option<JsonPath> {
        self.parse(|text| {
            JsonPath::parse(text).map_err(|error| {
                let message = format!("this is not a JSONPath: {error}");
                Wrong::new(message, "write it like \"$.sender\" or \"$..flag\"")
            })
        })
    }

    fn place(self, scope: Scope, extra: Option<&'static str>) -> (Option<Source>, Option<Self>) {
        if !self.is_table() {
            self.show();
            let help = "write it like { json = \"$.sender\" } or { header = \"X-Session\" }";
            let message = format!("`{}` must say where the value is", self.name);
            self.error(Wrong::new(message, help));
            return (None, None);
        }
        let Some(table) = self.table() else {
            return (None, None);
        };
        let extra = extra.and_then(|name| table.get(name));
        (source(&table, scope), extra)
    }
}

fn source(table: &Table<'_>, scope: Scope) -> Option<Source> {
    let scheme = table.get("scheme");
    let node = table.one_of(KINDS)?;
    if let Some(scheme) = scheme.filter(|_| node.name != "header" || scope == Scope::Answer) {
        scheme.error_key("`scheme` goes with a request `header` only");
    }
    let of_answer = node.name.starts_with("answer_");
    if of_answer && scope == Scope::Request {
        node.error_key("there is no answer yet where this is read");
        return None;
    }
    let both = matches!(node.name, "json" | "header");
    if scope == Scope::Answer && !of_answer && !both {
        let help = "use `answer_json` or `answer_header`";
        node.error_key(Wrong::new("this is read from the answer", help));
        return None;
    }
    let from_answer = of_answer || scope == Scope::Answer;
    Some(match node.name {
        "path" => Source::Path(node.word()?),
        "query" => Source::Query(node.word()?),
        "cookie" => Source::Cookie(node.token()?),
        "form" => Source::Form(node.word()?),
        "json" | "answer_json" if from_answer => Source::AnswerJson(node.json_path()?),
        "json" => Source::Json(node.json_path()?),
        _ if from_answer => Source::AnswerHeader(node.header()?),
        _ => Source::Header {
            name: node.header()?,
            scheme: match scheme {
                Some(scheme) => Some(scheme.token()?),
                None => None,
            },
        },
    })
}

/// A selector in words, for summaries.
pub fn described(selector: &Selector) -> String {
    let words: Vec<_> = selector
        .0
        .iter()
        .map(|source| match source {
            Source::Path(name) => format!("path {name}"),
            Source::Query(name) => format!("query {name}"),
            Source::Header { name, scheme: None } => format!("header {name}"),
            Source::Header {
                name,
                scheme: Some(scheme),
            } => format!("header {name} ({scheme})"),
            Source::Cookie(name) => format!("cookie {name}"),
            Source::Json(path) => format!("json {}", path.as_str()),
            Source::Form(name) => format!("form {name}"),
            Source::AnswerHeader(name) => format!("answer header {name}"),
            Source::AnswerJson(path) => format!("answer json {}", path.as_str()),
        })
        .collect();
    words.join(" or ")
}
