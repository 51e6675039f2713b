//! Whatever parses is what serde_json reads, and the cheap look never misses a flag.
#![no_main]

use chatgate::message::{Json, JsonPath};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    let Ok(json) = Json::parse(body) else { return };
    let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    // serde_json refuses numbers out of range; everything else it has to read alike.
    if let Ok(theirs) = serde_json::from_slice::<Value>(text) {
        assert_eq!(json.views().last(), Some(&theirs));
    }
    for query in ["$..flag", "$.a.flag", "$..[?@.flag == 'yes' && @.a]"] {
        let query = JsonPath::parse(query).expect("a query");
        assert!(query.select(&json).is_empty() || query.may_match(body));
    }
});
