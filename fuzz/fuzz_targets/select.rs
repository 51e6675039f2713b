//! Selectors never panic, and a value that is found is not empty.
#![no_main]

use bytes::Bytes;
use chatgate::message::select::Source;
use chatgate::message::{Body, JsonPath, RequestView, Selector};
use http::{HeaderMap, HeaderValue, Method, header};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, Vec<Vec<u8>>, Vec<u8>)| {
    let (query, cookies, body) = input;
    let mut headers = HeaderMap::new();
    for line in &cookies {
        if let Ok(line) = HeaderValue::from_bytes(line) {
            headers.append(header::COOKIE, line);
        }
    }
    let body = Body::new(Bytes::from(body));
    let request = RequestView {
        method: &Method::POST,
        path: "/",
        query: Some(query),
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
