//! Selectors never panic, and a value that is found is not empty.
//!
//! The input is the query, the lines of cookies, an empty line, the body.
#![no_main]

use bytes::Bytes;
use chatgate::message::select::Source;
use chatgate::message::{Body, JsonPath, RequestView, Selector};
use http::{HeaderMap, HeaderValue, Method, header};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let end = input.windows(2).position(|two| two == b"\n\n");
    let (head, body) = input.split_at(end.unwrap_or(input.len()));
    let mut lines = head.split(|byte| *byte == b'\n');
    let query = lines.next().map(String::from_utf8_lossy);
    let mut headers = HeaderMap::new();
    for line in lines {
        if let Ok(line) = HeaderValue::from_bytes(line) {
            headers.append(header::COOKIE, line);
        }
    }
    let body = Body::new(Bytes::copy_from_slice(body.get(2..).unwrap_or_default()));
    let request = RequestView {
        method: &Method::POST,
        path: "/",
        query: query.as_deref(),
        headers: &headers,
        params: &[],
        body: Some(&body),
    };
    for source in [
        Source::Query("a".into()),
        Source::Cookie("a".into()),
        Source::Json(JsonPath::parse("$..a").expect("a query")),
        Source::Form("a".into()),
    ] {
        let found = Selector(vec![source]).request(&request);
        assert_ne!(found, Ok(Some(String::new())));
    }
});
