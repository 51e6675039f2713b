use bytes::Bytes;
use http::{HeaderMap, Method};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::message::select::Source;
use crate::message::{Body, JsonPath};

const PREFIX: &str = "https://platform.example/linking";

fn back() -> Back {
    Back {
        parameter: "redirect_uri".into(),
        prefix: PREFIX.into(),
        code: "authorization_code".into(),
    }
}

fn place(uri: &str) -> Result<Box<str>, Reason> {
    back().place(&format!("x=1&redirect_uri={}&y", encode(uri)))
}

#[test]
fn a_way_back_to_the_platform_is_taken() {
    for (uri, with_code) in [
        ("", "?authorization_code=T"),
        ("/", "/?authorization_code=T"),
        ("?", "?authorization_code=T"),
        ("/?token=a%2Bb", "/?token=a%2Bb&authorization_code=T"),
        ("?a=1&", "?a=1&authorization_code=T"),
        ("/more/path?a", "/more/path?a&authorization_code=T"),
        (
            "?u=https://evil.example/",
            "?u=https://evil.example/&authorization_code=T",
        ),
    ] {
        let uri = format!("{PREFIX}{uri}");
        let taken = place(&uri).expect(&uri);
        assert_eq!(*taken, uri);
        let with_code = format!("{PREFIX}{with_code}");
        assert_eq!(back().with_ticket(&taken, "T"), Ok(with_code));
    }
    let ticket = back().with_ticket(PREFIX, "a&b=c#").unwrap();
    assert_eq!(ticket, format!("{PREFIX}?authorization_code=a%26b%3Dc%23"));
}

/// Open redirects, in the spellings of those that worked elsewhere.
const ELSEWHERE: &[&str] = &[
    "",
    "/",
    "//evil.example/linking",
    "/linking",
    "linking",
    "?a",
    "#",
    "https:",
    "https://",
    "https://evil.example",
    "https://evil.example/linking",
    "https://evil.example/https://platform.example/linking",
    "https://evil.example?https://platform.example/linking",
    "https://evil.example#https://platform.example/linking",
    "http://platform.example/linking",
    "ftp://platform.example/linking",
    "javascript:alert(1)//https://platform.example/linking",
    "data:text/html,https://platform.example/linking",
    "HTTPS://platform.example/linking",
    "https://PLATFORM.example/linking",
    " https://platform.example/linking",
    "\thttps://platform.example/linking",
    "\u{0}https://platform.example/linking",
    "https:/platform.example/linking",
    "https:///platform.example/linking",
    "https:\\\\platform.example\\linking",
    "https://platform.example\\linking",
    "https://platform.example\\@evil.example/linking",
    "https://platform.example@evil.example/linking",
    "https://platform.example:x@evil.example/linking",
    "https://a@platform.example/linking",
    "https://a:b@platform.example/linking",
    "https://platform.example:443/linking",
    "https://platform.example:8443/linking",
    "https://platform.example./linking",
    "https://platform.example.evil.example/linking",
    "https://evil-platform.example/linking",
    "https://sub.platform.example/linking",
    "https://platform.example%2eevil.example/linking",
    "https://platform.example%00.evil.example/linking",
    "https://platform。example/linking",
    "https://plаtform.example/linking",
    "https://platform.example",
    "https://platform.example/",
    "https://platform.example/Linking",
    "https://platform.example/link",
    "https://platform.example/linking2",
    "https://platform.example/linking-evil",
    "https://platform.example/linking.evil",
    "https://platform.example/linking@evil.example",
    "https://platform.example/linking:80",
    "https://platform.example/linking;x",
    "https://platform.example/linking%2f..",
    "https://platform.example//linking",
    "https://platform.example/linking//evil.example",
    "https://platform.example/linking/../evil",
    "https://platform.example/linking/..",
    "https://platform.example/linking/.",
    "https://platform.example/linking/%2e%2e/evil",
    "https://platform.example/linking/%2E%2E/evil",
    "https://platform.example/linking/.%2e/evil",
    "https://platform.example/linking/%252e%252e/evil",
    "https://platform.example/linking/..;/evil",
    "https://platform.example/linking/..\\evil",
    "https://platform.example/linking/%5c..%5cevil",
    "https://platform.example/linking\\evil",
    "https://platform.example/linking\r\nLocation: https://evil.example",
    "https://platform.example/linking\nx",
    "https://platform.example/linking%0d%0aX: y",
    "https://platform.example/linking/%0d%0a",
    "https://platform.example/linking/%00",
    "https://platform.example/linking/%ff",
    "https://platform.example/linking/%",
    "https://platform.example/linking ",
    "https://platform.example/linking?a b",
    "https://platform.example/linking?a=\u{2028}",
    "https://platform.example/linking?a=é",
    "https://platform.example/linking?a=<script>",
    "https://platform.example/linking?a='",
    "https://platform.example/linking?a=\"",
    "https://platform.example/linking#",
    "https://platform.example/linking#x",
    "https://platform.example/linking?a#b",
    // A code that is somebody else's already, in the spellings that readers take for it.
    "https://platform.example/linking?authorization_code=x",
    "https://platform.example/linking?authorization_code",
    "https://platform.example/linking?a=1&authorization_code=x&b=2",
    "https://platform.example/linking?authorization%5fcode=x",
    "https://platform.example/linking?Authorization_Code=x",
    "https://platform.example/linking?authorization_code[]=x",
    "https://platform.example/linking?authorization_code%5B%5D=x",
    "https://platform.example/linking?a=1;authorization_code=x",
    "https://platform.example/linking?+authorization_code=x",
    // Two readings.
    "https://platform.example/linking?a=1&a=2",
    "https://platform.example/linking?a=1&%61=2",
];

#[test]
fn a_way_elsewhere_is_not() {
    for uri in ELSEWHERE {
        assert_eq!(place(uri), Err(Reason::LinkTarget), "{uri:?}");
        let again = back().with_ticket(uri, "T");
        assert_eq!(again, Err(Reason::LinkTarget), "{uri:?}");
    }
    let long = format!("{PREFIX}?a={}", "x".repeat(MAX_PLACE));
    assert_eq!(place(&long), Err(Reason::LinkTarget));
}

#[test]
fn the_way_back_is_named_once() {
    let good = encode(PREFIX);
    let named = |query: &str| back().place(&query.replace("GOOD", &good));
    assert!(named("redirect_uri=GOOD").is_ok());
    assert!(named("a=1&redirect%5Furi=GOOD&a=2").is_ok());
    for query in [
        "redirect_uri=GOOD&redirect_uri=GOOD",
        "redirect_uri=GOOD&redirect_uri=https://evil.example",
        "redirect_uri=https://evil.example&redirect_uri=GOOD",
        "redirect_uri=GOOD&redirect%5furi=",
    ] {
        assert_eq!(named(query), Err(Reason::ReturnDuplicate), "{query}");
    }
    for query in [
        "",
        "a=1",
        "redirect_uri",
        "redirect_uri=",
        "Redirect_uri=GOOD",
    ] {
        assert_eq!(named(query), Err(Reason::LinkTarget), "{query}");
    }
}

#[test]
fn a_prefix_may_end_anywhere_that_a_path_can() {
    for (prefix, uri, good) in [
        (
            "https://platform.example",
            "https://platform.example/x?a",
            true,
        ),
        (
            "https://platform.example",
            "https://platform.example?a",
            true,
        ),
        (
            "https://platform.example",
            "https://platform.example.evil.example/",
            false,
        ),
        (
            "https://platform.example",
            "https://platform.example@evil.example/",
            false,
        ),
        (
            "https://platform.example",
            "https://platform.example:80/",
            false,
        ),
        (
            "https://platform.example/",
            "https://platform.example/x",
            true,
        ),
        (
            "https://platform.example/",
            "https://platform.example//evil.example",
            false,
        ),
    ] {
        let back = Back {
            prefix: prefix.into(),
            ..back()
        };
        assert_eq!(back.checked(uri).is_ok(), good, "{prefix} {uri}");
    }
}

fn linking() -> Linking {
    let json = |path: &str| Selector(vec![Source::Json(JsonPath::parse(path).unwrap())]);
    let status = |equals: &str| Condition {
        at: json("$.events[*].link.result"),
        equals: equals.into(),
    };
    Linking {
        site: PREFIX.into(),
        way: Way::Back(back()),
        confirm: json("$.events[*].link.nonce"),
        refused: Some(status("failed")),
        unlinked: Some(status("gone")),
    }
}

fn word(body: &Value) -> Result<Option<Word>, Reason> {
    let body = Body::new(Bytes::from(body.to_string()));
    linking().word(&RequestView {
        method: &Method::POST,
        path: "/",
        query: None,
        headers: &HeaderMap::new(),
        params: &[],
        body: Some(&body),
    })
}

#[test]
fn what_the_platform_says_is_read() {
    let event = |result: &str, nonce: &str| json!({"link": {"result": result, "nonce": nonce}});
    let message = json!({"type": "message"});
    for (events, said) in [
        (json!([message]), Ok(None)),
        (json!([]), Ok(None)),
        (
            json!([message, event("ok", "N")]),
            Ok(Some(Word::Linked("N".into()))),
        ),
        (json!([event("ok", "")]), Ok(None)),
        (
            json!([event("failed", "N")]),
            Ok(Some(Word::Refused("N".into()))),
        ),
        (
            json!([{"link": {"result": "gone"}}]),
            Ok(Some(Word::Unlinked)),
        ),
        // Two logins at once, or two ends of one.
        (
            json!([event("ok", "N"), event("ok", "M")]),
            Err(Reason::AmbiguousValue),
        ),
        // A link that may be gone is.
        (
            json!([event("ok", "N"), event("gone", "N")]),
            Ok(Some(Word::Unlinked)),
        ),
        (
            json!([event("ok", "N"), event("failed", "N")]),
            Ok(Some(Word::Unlinked)),
        ),
        (
            json!([{"link": {"result": {}, "nonce": "N"}}]),
            Ok(Some(Word::Unlinked)),
        ),
        (
            json!([{"link": {"result": "ok", "nonce": ["N"]}}]),
            Err(Reason::AmbiguousValue),
        ),
    ] {
        assert_eq!(word(&json!({"events": events})), said, "{events}");
    }
}

proptest! {
    /// Whatever is taken, the browser and we read the same host in it, and the ticket
    /// is the only code.
    #[test]
    fn what_is_taken_leads_to_the_platform(
        uri in "(https://platform\\.example)?(/linking)?[-a-z/.:;@?&=#%0-9\\\\ \\[\\]_]{0,24}",
        tail in "(authorization_code|[a-z]|=|&|\\?|;|%5f){0,6}",
    ) {
        let uri = format!("{uri}{tail}");
        if let Ok(place) = place(&uri) {
            let link = back().with_ticket(&place, "T").unwrap();
            let url: Uri = link.parse().unwrap();
            prop_assert_eq!(url.scheme_str(), Some("https"));
            prop_assert_eq!(url.authority().map(|a| a.as_str()), Some("platform.example"));
            let path = url.path();
            prop_assert!(path == "/linking" || path.starts_with("/linking/"));
            let codes = pairs(url.query().unwrap_or_default());
            let codes: Vec<_> = codes.iter().filter(|(name, _)| name == "authorization_code").collect();
            prop_assert_eq!(codes.len(), 1);
            prop_assert_eq!(&*codes[0].1, "T");
        }
    }
}
