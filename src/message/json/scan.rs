//! A strict pull scanner for JSON (RFC 8259) that knows where everything stands.
//!
//! Reading and editing share it, so that what was judged is what is edited.
//! Numbers of any size are JSON here, as the grammar has it.

use std::borrow::Cow;

use memchr::memchr2;

use super::Malformed;

/// Deepest nesting of objects and arrays that is read.
pub(crate) const MAX_DEPTH: usize = 128;

/// What a value begins with.
#[derive(Debug)]
pub(crate) enum Start<'a> {
    /// `{`; members follow, by [`Scanner::member`].
    Object,
    /// `[`; elements follow, by [`Scanner::element`].
    Array,
    /// A whole string, unescaped.
    String(Cow<'a, str>),
    /// A whole number, as written.
    Number(&'a str),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
}

/// A cursor in a document.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    /// Whether the innermost object or array has just been opened.
    fresh: bool,
}

impl<'a> Scanner<'a> {
    /// Stands before the top value; a byte order mark is passed over.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(bytes)
            .map_err(|e| Malformed(format!("not UTF-8 at byte {}", e.valid_up_to())))?;
        Ok(Self {
            text,
            at: if text.starts_with('\u{feff}') { 3 } else { 0 },
            depth: 0,
            fresh: false,
        })
    }

    /// The position in bytes.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Passes blanks over and tells the position behind them.
    pub(crate) fn blanks(&mut self) -> usize {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
        self.at
    }

    /// Reads a scalar, or enters an object or array.
    pub(crate) fn start(&mut self) -> Result<Start<'a>, Malformed> {
        self.blanks();
        match self.peek() {
            Some(b'{') => self.enter(Start::Object),
            Some(b'[') => self.enter(Start::Array),
            Some(b'"') => self.string().map(Start::String),
            Some(b'-' | b'0'..=b'9') => self.number().map(Start::Number),
            Some(b't') => self.literal("true", Start::Bool(true)),
            Some(b'f') => self.literal("false", Start::Bool(false)),
            Some(b'n') => self.literal("null", Start::Null),
            _ => Err(self.expected("a value")),
        }
    }

    /// In an object: the next member's name, the cursor before its value; `None`
    /// when the object is over, the cursor behind it.
    pub(crate) fn member(&mut self) -> Result<Option<Cow<'a, str>>, Malformed> {
        if !self.follows(b'}')? {
            return Ok(None);
        }
        self.blanks();
        if self.peek() != Some(b'"') {
            return Err(self.expected("a member name"));
        }
        let name = self.string()?;
        self.blanks();
        if self.peek() != Some(b':') {
            return Err(self.expected("`:`"));
        }
        self.at += 1;
        Ok(Some(name))
    }

    /// In an array: whether an element follows; when none does, the cursor is behind the array.
    pub(crate) fn element(&mut self) -> Result<bool, Malformed> {
        self.follows(b']')
    }

    /// Passes a whole value over.
    pub(crate) fn skip(&mut self) -> Result<(), Malformed> {
        match self.start()? {
            Start::Object => {
                while self.member()?.is_some() {
                    self.skip()?;
                }
            }
            Start::Array => {
                while self.element()? {
                    self.skip()?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// After the top value: nothing but blanks may follow.
    pub(crate) fn end(&mut self) -> Result<(), Malformed> {
        if self.blanks() < self.text.len() {
            return Err(self.expected("the end"));
        }
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn enter(&mut self, start: Start<'a>) -> Result<Start<'a>, Malformed> {
        if self.depth == MAX_DEPTH {
            return Err(Malformed(format!("deeper than {MAX_DEPTH} levels")));
        }
        self.depth += 1;
        self.at += 1;
        self.fresh = true;
        Ok(start)
    }

    /// Passes the comma over, or the closing bracket: then `false`.
    fn follows(&mut self, close: u8) -> Result<bool, Malformed> {
        self.blanks();
        let fresh = std::mem::take(&mut self.fresh);
        match self.peek() {
            Some(byte) if byte == close => {
                self.at += 1;
                self.depth = self.depth.saturating_sub(1);
                Ok(false)
            }
            _ if fresh => Ok(true),
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            _ => Err(self.expected(if close == b'}' {
                "`,` or `}`"
            } else {
                "`,` or `]`"
            })),
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Malformed> {
        let open = self.at;
        let bytes = self.text.as_bytes();
        let mut escaped = false;
        let mut at = open + 1;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(found) = memchr2(b'"', b'\\', rest) else {
                return Err(Malformed(format!("unterminated string at byte {open}")));
            };
            at += found;
            if bytes.get(at) == Some(&b'"') {
                break;
            }
            escaped = true;
            at += 2;
        }
        self.at = at + 1;
        let raw = self.text.get(open..=at).unwrap_or_default();
        if escaped {
            return serde_json::from_str(raw)
                .map(Cow::Owned)
                .map_err(|_| Malformed(format!("bad escape in the string at byte {open}")));
        }
        if raw.bytes().any(|byte| byte < b' ') {
            return Err(Malformed(format!(
                "control character in the string at byte {open}"
            )));
        }
        Ok(Cow::Borrowed(raw.get(1..raw.len() - 1).unwrap_or_default()))
    }

    fn number(&mut self) -> Result<&'a str, Malformed> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.expected("a digit"));
        }
        Ok(())
    }

    fn literal(&mut self, word: &str, start: Start<'a>) -> Result<Start<'a>, Malformed> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word) {
            return Err(self.expected("a value"));
        }
        self.at += word.len();
        Ok(start)
    }

    fn expected(&self, what: &str) -> Malformed {
        Malformed(format!("expected {what} at byte {}", self.at))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn accepts(bytes: &[u8]) -> bool {
        Scanner::new(bytes)
            .and_then(|mut scanner| {
                scanner.skip()?;
                scanner.end()
            })
            .is_ok()
    }

    fn nested(depth: usize) -> Vec<u8> {
        ["[".repeat(depth), "]".repeat(depth)].concat().into_bytes()
    }

    #[test]
    fn reads_what_is_json() {
        for text in [
            "0",
            "-0",
            "1e999",
            "-1.5E+3",
            "\"\"",
            "\"\\u0066\"",
            "[]",
            "{}",
            " { \"a\" : [ 1 , 2 ] } ",
            "\u{feff}[true,false,null]",
            "\"\\ud83d\\ude00\"",
        ] {
            assert!(accepts(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not() {
        for text in [
            "",
            " ",
            "01",
            "+1",
            "1.",
            ".5",
            "1e",
            "-",
            "[1,]",
            "[,1]",
            "{,}",
            "{\"a\":1,}",
            "{\"a\"}",
            "{a:1}",
            "{'a':1}",
            "[1 2]",
            "[1}",
            "{\"a\":1]",
            "nul",
            "truely",
            "\"",
            "\"\\\"",
            "\"\\x41\"",
            "\"\\ud83d\"",
            "\"\u{1}\"",
            "\"\n\"",
            "[]x",
            "[][]",
            "[",
            "{",
            "NaN",
            "\u{feff}\u{feff}1",
            "// c\n1",
            "\0",
            "[1]\0",
        ] {
            assert!(!accepts(text.as_bytes()), "{text:?}");
        }
        assert!(!accepts(b"\"\xff\"") && !accepts(b"\"\xc0\x80\""));
    }

    #[test]
    fn depth_is_bounded() {
        assert!(accepts(&nested(MAX_DEPTH)));
        assert!(!accepts(&nested(MAX_DEPTH + 1)));
        assert!(!accepts(&[b'['; 1_000_000]));
        assert!(accepts(
            format!("[{}]", "[],".repeat(1000) + "[]").as_bytes()
        ));
    }

    proptest! {
        /// On documents whose numbers fit, it accepts exactly what serde_json accepts.
        #[test]
        fn agrees_with_serde_json(text in r#"([\[\]{},: "\\a01.e+-]|true|null|"a"|\\u0041|"k":|é){0,24}"#) {
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            let out_of_range = theirs.as_ref().is_err_and(|e| e.to_string().contains("out of range"));
            prop_assert_eq!(accepts(text.as_bytes()), theirs.is_ok() || out_of_range, "{}", text);
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            accepts(&bytes);
        }
    }
}
