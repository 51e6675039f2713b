//! How a text begins: whether it means to be JSON, and whether readers that are more lenient
//! than JSON is may take it for that.

/// The first character that is not blank, in whatever encoding: neither a byte order mark
/// nor the NUL of a wide one.
pub fn first(text: &[u8]) -> Option<u8> {
    let leads = |byte: &u8| {
        byte.is_ascii_whitespace() || matches!(byte, 0 | 0xef | 0xbb | 0xbf | 0xfe | 0xff)
    };
    text.iter().find(|byte| !leads(byte)).copied()
}

/// Whether text begins like a JSON object or array, whatever it is called.
pub fn opens_json(text: &[u8]) -> bool {
    matches!(first(text), Some(b'{' | b'['))
}

/// Looks for the first character that means something, in a text that may come in pieces
/// and in whatever encoding: blanks of every alphabet, control characters, byte order
/// marks, the NULs of a wide encoding, comments (`/**/`, `//`, `#`) and the guard `)]}'` are
/// passed over, as JSON5 and the lenient modes of common libraries do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Opening(Place);

/// Where in what is passed over the reader is.
#[derive(Clone, Copy, Debug, Default)]
enum Place {
    #[default]
    Between,
    /// Behind the first byte of a letter that may be a blank.
    Lead(u8),
    /// … and behind its second one, with the first.
    Second(u8, u8),
    /// In `)]}',`.
    Guard,
    Slash,
    Block,
    /// Behind a `*` in a block.
    Star,
    Line,
    /// In a line, behind what some take for its end.
    Return,
    /// In a line, behind that many bytes of what some take for its end.
    Separator(u8),
}

impl Opening {
    /// How a whole text begins; `None` where nothing means anything.
    pub fn of(text: &[u8]) -> Option<u8> {
        Self::default().feed(text)
    }

    /// Whether a whole text begins like an object or an array.
    pub fn is_json(text: &[u8]) -> bool {
        matches!(Self::of(text), Some(b'{' | b'['))
    }

    /// Takes the next piece of a text of which nothing meant anything so far. Where readers
    /// disagree on where a comment ends, it is `{`: the worst that could follow.
    pub fn feed(&mut self, piece: &[u8]) -> Option<u8> {
        let mut bytes = piece.iter().filter(|byte| **byte != 0);
        bytes.find_map(|byte| self.step(*byte))
    }

    fn step(&mut self, byte: u8) -> Option<u8> {
        self.0 = match (self.0, byte) {
            (Place::Block | Place::Star, b'*') => Place::Star,
            (Place::Star, b'/') => Place::Between,
            (Place::Block | Place::Star, _) => Place::Block,
            (Place::Line | Place::Separator(_) | Place::Return, b'\n') => Place::Between,
            (Place::Return, _) => return Some(b'{'),
            (Place::Line | Place::Separator(_), b'\r') => Place::Return,
            (Place::Line | Place::Separator(_), 0xe2) => Place::Separator(1),
            (Place::Separator(1), 0x80) => Place::Separator(2),
            (Place::Separator(2), 0xa8 | 0xa9) => return Some(b'{'),
            (Place::Line | Place::Separator(_), _) => Place::Line,
            (Place::Slash, b'*') => Place::Block,
            (Place::Slash, b'/') => Place::Line,
            (Place::Slash, _) => return Some(b'/'),
            (Place::Lead(0xc2), 0x85 | 0xa0)
            | (Place::Second(0xe1, 0x9a) | Place::Second(0xe3, 0x80), 0x80)
            | (Place::Second(0xe1, 0xa0), 0x8e)
            | (Place::Second(0xe2, 0x80), 0x80..=0x8f | 0xa8..=0xaf)
            | (Place::Second(0xe2, 0x81), 0x9f..=0xaf) => Place::Between,
            (Place::Lead(lead @ 0xe1), 0x9a | 0xa0)
            | (Place::Lead(lead @ 0xe2), 0x80 | 0x81)
            | (Place::Lead(lead @ 0xe3), 0x80) => Place::Second(lead, byte),
            (Place::Lead(lead) | Place::Second(lead, _), _) => return Some(lead),
            (Place::Guard, b'\'' | b',') => Place::Guard,
            (Place::Between | Place::Guard, _) => match byte {
                ..=b' ' | 0x7f | 0x85 | 0xa0 | 0xef | 0xbb | 0xbf | 0xfe | 0xff => Place::Between,
                0xc2 | 0xe1..=0xe3 => Place::Lead(byte),
                b'/' => Place::Slash,
                b'#' => Place::Line,
                b')' | b']' | b'}' => Place::Guard,
                _ => return Some(byte),
            },
        };
        None
    }
}

/// Whether a lenient reader may find an object in what may be text or not: it begins like
/// one (or an array), or is text with a brace in it, whatever stands before that.
pub fn may_have_object(bytes: &[u8]) -> bool {
    Opening::is_json(bytes) || {
        let brace = memchr::memchr(b'{', bytes);
        let before = brace.and_then(|brace| bytes.get(..brace));
        before.is_some_and(|before| text(before) == Some(before.len()))
    }
}

/// The same of the beginning of something.
pub fn may_come_to_object(beginning: &[u8]) -> bool {
    text(beginning).is_some() || may_have_object(beginning) || Opening::of(beginning).is_none()
}

/// How many bytes of this are whole characters, if it is text: UTF-8, perhaps cut in two at
/// its end, without the control characters that no text has.
pub fn text(bytes: &[u8]) -> Option<usize> {
    if bytes.iter().any(|b| matches!(b, 1..=8 | 0x0e..=0x1a)) {
        return None;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text.len()),
        Err(error) if error.error_len().is_none() => Some(error.valid_up_to()),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What lenient readers pass over.
    const PASSED_OVER: &[&str] = &[
        "",
        " \t\r\n",
        "\u{feff}",
        "\u{b}\u{c}\u{1e}\u{1f}",
        "\u{a0}\u{85}\u{1680}\u{180e}\u{2003}\u{200b}\u{2028}\u{202f}\u{205f}\u{2060}\u{3000}",
        "/**/",
        "/* { \n */ /***/",
        "//x\n",
        "// {\r\n",
        "#x\n",
        ")]}'\n",
        ")]}',\n//\n",
    ];

    #[test]
    fn an_object_is_one_behind_what_lenient_readers_pass_over() {
        for before in PASSED_OVER {
            let text = format!("{before}{{\"a\":1}}");
            let bytes = text.as_bytes();
            assert!(Opening::is_json(bytes), "{text:?}");
            let mut pieces = Opening::default();
            let found = bytes.iter().find_map(|byte| pieces.feed(&[*byte]));
            assert_eq!(found, Some(b'{'), "{text:?}");
            assert_eq!(Opening::of(before.as_bytes()), None, "{before:?}");
            if before.is_ascii() {
                let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
                assert!(Opening::is_json(&wide), "{text:?}");
            }
        }
        // Where a line ends is told in two ways.
        for text in ["//x\ry\n{}", "//x\r{}", "//x\u{2028}{}"] {
            assert!(Opening::is_json(text.as_bytes()), "{text:?}");
        }
    }

    #[test]
    fn what_begins_otherwise_is_no_json() {
        for text in [
            &b"hello {"[..],
            b"/a {",
            b"a={",
            b"\x89PNG\r\n{",
            b"\xff\xd8\xff\xe0{",
            b"\x1f\x8b\x08{",
            b"%PDF-1.7 {",
            b"# title\nof [this]",
            "é{".as_bytes(),
            "…{".as_bytes(),
            "“{".as_bytes(),
            b"42[\"message\",{}]",
        ] {
            assert!(!Opening::is_json(text), "{text:?}");
        }
    }

    #[test]
    fn a_text_with_a_brace_may_have_an_object() {
        for (text, may) in [
            (&b"\"x\"\n{\"a\":1}"[..], true),
            ("é {".as_bytes(), true),
            (b"\x89PNG{", false),
            (b"\0\x01\x02 {", true),
            (b"!\0\x01\x02 {", false),
            (b"\xff\xfe{\0", true),
            (b"plain words", false),
        ] {
            assert_eq!(may_have_object(text), may, "{text:?}");
        }
        assert!(may_come_to_object(b"plain words \xc3"));
        assert!(!may_come_to_object(b"\x89PNG"));
    }
}
