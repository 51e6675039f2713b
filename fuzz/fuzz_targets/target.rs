//! A path that passes has no second reading; queries decode without a panic.
#![no_main]

use chatgate::message::target::{check_path, decode, pairs};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    pairs(text);
    if check_path(text).is_err() {
        return;
    }
    let once = decode(text);
    for reading in [text, &once, &decode(&once)] {
        assert!(reading.starts_with('/') && !reading.contains("//"));
        assert!(!reading.contains(['\\', ';', '#', '\0', char::REPLACEMENT_CHARACTER]));
        assert!(!reading.split('/').any(|part| part == "." || part == ".."));
        assert_eq!(reading.matches('/').count(), text.matches('/').count());
    }
});
