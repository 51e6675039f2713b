//! Login links of the backend's own, which become chatgate's.

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use super::Channel;
use crate::interaction::Level;
use crate::message::links::Links;
use crate::message::{Body, JsonPath};

/// Which URLs in what the backend says lead to a login.
#[derive(Debug)]
pub struct Link {
    /// What they begin with.
    pub prefixes: Vec<Box<str>>,
    /// Where they are in a JSON body; `None` means anywhere, in text and HTML, too.
    pub at: Option<JsonPath>,
    /// The level that the login has to reach.
    pub level: Level,
}

impl Link {
    /// The body with `url` in place of each such URL; `None` when it has none.
    /// It is without its coding then.
    pub fn replace(&self, headers: &HeaderMap, body: &Body, url: &str) -> Option<Bytes> {
        let edited = self.edited(headers, body.plain().ok()?, url)?;
        body.edited(edited)
    }

    fn is_in(&self, headers: &HeaderMap, body: &Body) -> bool {
        let plain = body.plain();
        plain.is_ok_and(|plain| self.edited(headers, plain, "").is_some())
    }

    fn edited(&self, headers: &HeaderMap, body: &[u8], url: &str) -> Option<Vec<u8>> {
        let links = Links {
            prefixes: &self.prefixes,
            at: self.at.as_ref(),
        };
        links.in_json(body, url).or_else(|| {
            let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
            let kind = kind.trim_start().to_ascii_lowercase();
            match kind.split(';').next()?.trim_end() {
                // Of the characters that HTML takes for its own, a URL has this one.
                "text/html" => links.in_text(body, &url.replace('&', "&amp;")),
                kind if kind.starts_with("text/") => links.in_text(body, url),
                _ => None,
            }
        })
    }
}

impl Channel {
    /// Its login links, where the body has one.
    pub fn link_in(&self, headers: &HeaderMap, body: &Body) -> Option<&Link> {
        self.link.as_ref().filter(|link| link.is_in(headers, body))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_url_is_written_as_its_place_asks() {
        let link = Link {
            prefixes: vec!["https://bot/auth".into()],
            at: None,
            level: Level(1),
        };
        for (kind, body, expected) in [
            ("text/plain", "https://bot/auth?x", "https://gate?a&b"),
            (
                "text/HTML; charset=utf-8",
                "<a href=\"https://bot/auth?a&amp;b\">",
                "<a href=\"https://gate?a&amp;b\">",
            ),
            (
                "text/plain",
                "[\"https://bot/auth\"]",
                "[\"https://gate?a&b\"]",
            ),
        ] {
            let kind = [(CONTENT_TYPE, HeaderValue::from_static(kind))];
            let headers = kind.into_iter().collect();
            let body = Body::of(&headers, Bytes::from_static(body.as_bytes()), 1000);
            let body = link.replace(&headers, &body, "https://gate?a&b");
            assert_eq!(body.as_deref(), Some(expected.as_bytes()));
        }
        let kind = [(CONTENT_TYPE, HeaderValue::from_static("image/png"))];
        let body = Body::new(Bytes::from_static(b"https://bot/auth"));
        assert!(!link.is_in(&kind.into_iter().collect(), &body));
    }
}
