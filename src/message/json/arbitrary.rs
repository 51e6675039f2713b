//! Documents in any spelling, for property tests: blanks, escapes, duplicates,
//! numbers of any size, nesting, a byte order mark now and then.

use proptest::prelude::*;
use proptest::sample::select;

/// A whole document.
pub(crate) fn document() -> impl Strategy<Value = String> {
    (select(vec!["", "", "", "\u{feff}"]), value()).prop_map(|(mark, text)| format!("{mark}{text}"))
}

/// A value with blanks around it.
pub(crate) fn value() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        select(vec![
            "null",
            "true",
            "false",
            "0",
            "-0",
            "7",
            "1.50",
            "1e5",
            "18446744073709551615",
        ])
        .prop_map(String::from),
        word(),
    ];
    let value = scalar.prop_recursive(4, 24, 4, |value| {
        let blank = || blank();
        let member = (blank(), word(), blank(), value.clone())
            .prop_map(|(before, name, after, value)| format!("{before}{name}{after}:{value}"));
        prop_oneof![
            prop::collection::vec(value, 0..4).prop_map(|all| format!("[{}]", all.join(","))),
            prop::collection::vec(member, 0..4).prop_map(|all| format!("{{{}}}", all.join(","))),
        ]
    });
    (blank(), value, blank()).prop_map(|(before, value, after)| format!("{before}{value}{after}"))
}

/// A string literal: one of a few words, each character escaped or not.
pub(crate) fn word() -> impl Strategy<Value = String> {
    let words = vec![
        "a", "b", "a", "b", "flag", "flag", "x/y", "é", "", "A\"\\\n",
    ];
    (select(words), prop::collection::vec(0u8..8, 8)).prop_map(|(word, styles)| {
        let spelled = word.chars().zip(styles).map(|(c, style)| match (c, style) {
            (c, 0) => format!("\\u{:04x}", u32::from(c)),
            (c, 1) => format!("\\u{:04X}", u32::from(c)),
            ('/', 2..4) => "\\/".into(),
            ('"' | '\\', _) => format!("\\{c}"),
            ('\n', _) => "\\n".into(),
            (c, _) => c.to_string(),
        });
        format!("\"{}\"", spelled.collect::<String>())
    })
}

fn blank() -> impl Strategy<Value = &'static str> {
    select(vec!["", "", "", " ", "\n\t", "\r\n  "])
}
