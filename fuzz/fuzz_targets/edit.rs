//! A managed member has the value that was set, in every reading, or is gone.
#![no_main]

use chatgate::message::MemberPath;
use chatgate::message::edit::{remove_selected, set_members};
use chatgate::message::{Json, JsonPath};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    let path = MemberPath::parse("a.flag").expect("a path");
    let query = JsonPath::parse("$.a.flag").expect("a query");
    let ours = Value::from("ours");
    for value in [None, Some(&ours)] {
        let Ok(edited) = set_members(body, &[(&path, value)]) else {
            continue;
        };
        let edited = edited.unwrap_or_else(|| body.to_vec());
        let Ok(json) = Json::parse(&edited) else {
            continue;
        };
        for view in json.views() {
            assert_eq!(query.select_in(view), Vec::from_iter(value));
        }
    }
    if let Ok(Some(edited)) = remove_selected(body, &query) {
        let json = Json::parse(&edited).expect("still JSON");
        assert!(query.select(&json).is_empty());
    }
});
