//! Finds URLs in what a message says, and puts another one in their place; every
//! other byte stays as it was.

use std::collections::BTreeSet;

use serde_json_path::PathElement;

use super::json::Malformed;
use super::json::scan::{Scanner, Start};
use super::{Json, JsonPath};

/// Which URLs.
#[derive(Clone, Copy, Debug)]
pub struct Links<'a> {
    /// What they begin with; not empty.
    pub prefixes: &'a [Box<str>],
    /// The strings of a JSON body to look into; `None` looks into all, and into
    /// bodies that are plain text or HTML.
    pub at: Option<&'a JsonPath>,
}

impl Links<'_> {
    /// A JSON body with `url` in place of every such URL, also in the middle of a
    /// text; `None` when there is none, or when the body is not JSON.
    pub fn in_json(&self, body: &[u8], url: &str) -> Option<Vec<u8>> {
        if !self.may_be_in(body) && !body.contains(&b'\\') {
            return None;
        }
        let wanted = self.at.map(|path| places(body, path));
        let mut rewriter = Rewriter {
            links: self,
            url,
            body,
            scanner: Scanner::new(body).ok()?,
            wanted: wanted.transpose().ok()?,
            place: Vec::new(),
            copied: 0,
            out: Vec::new(),
        };
        rewriter.value().ok()?;
        rewriter.scanner.end().ok()?;
        if rewriter.copied == 0 {
            return None;
        }
        let rest = body.get(rewriter.copied..).unwrap_or_default();
        rewriter.out.extend_from_slice(rest);
        Some(rewriter.out)
    }

    /// The same for a body that is plain text; `None` also where JSON is meant.
    pub fn in_text(&self, body: &[u8], url: &str) -> Option<Vec<u8>> {
        if self.at.is_some() || !self.may_be_in(body) {
            return None;
        }
        let text = std::str::from_utf8(body).ok()?;
        self.replaced(text, url).map(String::into_bytes)
    }

    fn may_be_in(&self, body: &[u8]) -> bool {
        let found = |prefix: &str| memchr::memmem::find(body, prefix.as_bytes()).is_some();
        self.prefixes.iter().any(|prefix| found(prefix))
    }

    fn replaced(&self, text: &str, url: &str) -> Option<String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = self.next(rest) {
            let (before, found) = rest.split_at(at);
            let (_, after) = found.split_at(end(found));
            out.push_str(before);
            out.push_str(url);
            rest = after;
        }
        if rest.len() == text.len() {
            return None;
        }
        out.push_str(rest);
        Some(out)
    }

    fn next(&self, text: &str) -> Option<usize> {
        let found = self.prefixes.iter().filter(|prefix| !prefix.is_empty());
        found.filter_map(|prefix| text.find(&**prefix)).min()
    }
}

/// Where a URL in a text ends: at a blank, at what encloses it, and before the
/// punctuation of the sentence.
fn end(text: &str) -> usize {
    let encloses = |c: char| c.is_whitespace() || c.is_control() || "\"'<>()[]{}|\\^`".contains(c);
    let end = text.find(encloses).unwrap_or(text.len());
    let url = text.get(..end).unwrap_or(text);
    url.trim_end_matches(['.', ',', ';', ':', '!', '?'])
        .len()
        .max(1)
}

/// A step down into an object or array.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Name(String),
    Index(usize),
}

/// The places that a path selects in any reading.
fn places(body: &[u8], path: &JsonPath) -> Result<BTreeSet<Vec<Step>>, Malformed> {
    let json = Json::parse(body)?;
    let step = |element: &PathElement<'_>| match element {
        PathElement::Name(name) => Step::Name((*name).to_owned()),
        PathElement::Index(index) => Step::Index(*index),
    };
    let mut places = BTreeSet::new();
    for view in json.views() {
        for location in path.locate(view).locations() {
            places.insert(location.iter().map(step).collect());
        }
    }
    Ok(places)
}

struct Rewriter<'a> {
    links: &'a Links<'a>,
    url: &'a str,
    body: &'a [u8],
    scanner: Scanner<'a>,
    wanted: Option<BTreeSet<Vec<Step>>>,
    place: Vec<Step>,
    /// How much of the body has been taken over.
    copied: usize,
    out: Vec<u8>,
}

impl Rewriter<'_> {
    fn value(&mut self) -> Result<(), Malformed> {
        let from = self.scanner.blanks();
        match self.scanner.start()? {
            Start::Object => {
                while let Some(name) = self.scanner.member()? {
                    self.below(Step::Name(name.into_owned()))?;
                }
            }
            Start::Array => {
                for index in 0.. {
                    if !self.scanner.element()? {
                        break;
                    }
                    self.below(Step::Index(index))?;
                }
            }
            Start::String(text) => self.string(from, &text),
            Start::Number(_) | Start::Bool(_) | Start::Null => {}
        }
        Ok(())
    }

    fn below(&mut self, step: Step) -> Result<(), Malformed> {
        self.place.push(step);
        self.value()?;
        self.place.pop();
        Ok(())
    }

    fn string(&mut self, from: usize, text: &str) {
        let wanted = self.wanted.as_ref();
        if !wanted.is_none_or(|wanted| wanted.contains(&self.place)) {
            return;
        }
        if let Some(new) = self.links.replaced(text, self.url) {
            let before = self.body.get(self.copied..from).unwrap_or_default();
            self.out.extend_from_slice(before);
            let new = serde_json::Value::from(new).to_string();
            self.out.extend_from_slice(new.as_bytes());
            self.copied = self.scanner.at();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::json::arbitrary;
    use super::*;

    const OURS: &str = "https://gate/login?a=1&b=\"2";

    fn rewritten(body: &str, at: Option<&str>) -> Option<String> {
        let at = at.map(|path| JsonPath::parse(path).unwrap());
        let prefixes: [Box<str>; 2] = ["https://bot/auth".into(), "http://old/".into()];
        let links = Links {
            prefixes: &prefixes,
            at: at.as_ref(),
        };
        let body = links.in_json(body.as_bytes(), OURS)?;
        Some(String::from_utf8(body).unwrap())
    }

    #[test]
    fn a_url_is_replaced_and_nothing_else() {
        let ours = json!(OURS).to_string();
        let body = r#"{ "type":"link_button", "n": 1.50, "url":"https://bot/auth?cb=x%20y&t=1" }"#;
        let expected = format!(r#"{{ "type":"link_button", "n": 1.50, "url":{ours} }}"#);
        assert_eq!(rewritten(body, Some("$.url")), Some(expected.clone()));
        assert_eq!(rewritten(body, None), Some(expected));
        assert_eq!(rewritten(body, Some("$.type")), None);
        assert_eq!(rewritten(r#"{"url":"https://bot/other"}"#, None), None);
        // Names are no links.
        assert_eq!(rewritten(r#"{"https://bot/auth":1}"#, None), None);
    }

    #[test]
    fn a_url_is_found_in_a_text_and_in_disguise() {
        for (text, expected) in [
            ("Log in: https://bot/auth?t=1.", "Log in: U."),
            ("(https://bot/auth) or <http://old/x>", "(U) or <U>"),
            ("[here](https://bot/auth/1), please", "[here](U), please"),
            ("https://bot/auth", "U"),
            ("a https://bot/auth?é=1 b", "a U b"),
        ] {
            let body = json!({"text": ["hi", text]}).to_string();
            let got: Value = serde_json::from_str(&rewritten(&body, None).unwrap()).unwrap();
            assert_eq!(got["text"][1], expected.replace('U', OURS), "{text}");
            assert_eq!(got["text"][0], "hi");
        }
        let ours = json!(OURS).to_string();
        let escaped = r#"["https:\/\/bot\/auth?x","\u0068ttp://old/"]"#;
        assert_eq!(rewritten(escaped, None), Some(format!("[{ours},{ours}]")));
        // Every copy of a member.
        let twice = r#"{"url":"https://bot/auth","url":"http://old/"}"#;
        let expected = format!(r#"{{"url":{ours},"url":{ours}}}"#);
        assert_eq!(rewritten(twice, Some("$.url")), Some(expected));
    }

    #[test]
    fn plain_text_is_text() {
        let prefixes: [Box<str>; 1] = ["https://bot/auth".into()];
        let links = Links {
            prefixes: &prefixes,
            at: None,
        };
        let body = links.in_text(b"Go to https://bot/auth?x!", "U").unwrap();
        assert_eq!(body, b"Go to U!");
        assert!(links.in_text(b"nothing", "U").is_none());
        assert!(links.in_text(b"\xff https://bot/auth", "U").is_none());
        assert!(links.in_json(b"{\"a\":\"https://bot/auth\"", "U").is_none());
    }

    proptest! {
        #[test]
        fn what_has_no_link_stays(body in arbitrary::document()) {
            prop_assert_eq!(rewritten(&body, None), None);
        }

        #[test]
        fn what_has_one_stays_json(text in "\\PC{0,20}", more in "\\PC{0,20}") {
            let body = json!({"a": [format!("{text}https://bot/auth{more}"), 1]}).to_string();
            let got = rewritten(&body, None).unwrap();
            let got: Value = serde_json::from_str(&got).unwrap();
            let got = got["a"][0].as_str().unwrap();
            prop_assert!(got.starts_with(&text) && got.contains(OURS));
            prop_assert!(!got.contains("https://bot/auth"));
        }
    }
}
