//! Newline-delimited JSON: a document on each line. Lines end in LF; a CR before it
//! is white space to JSON.

use std::borrow::Cow;

use bytes::Bytes;
use memchr::memchr;

use super::Json;
use super::cut::Cut;
use super::stream::{Event, Piece};

/// Takes a stream of lines apart.
pub type Decoder = super::cut::Decoder<Line>;

/// A line, as long as it is read: it remembers nothing.
#[derive(Debug, Default)]
pub struct Line;

impl Cut for Line {
    fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        Some(memchr(b'\n', bytes)? + 1)
    }

    fn read(raw: Bytes) -> Piece {
        document(raw, 0)
    }
}

/// The document that stands in these bytes from there on.
pub(super) fn document(raw: Bytes, begin: usize) -> Piece {
    let data = raw.get(begin..).unwrap_or_default().trim_ascii();
    if data.is_empty() {
        return Piece::Filler(raw);
    }
    Piece::Event(Event {
        data: raw.slice_ref(data),
        perhaps_json: true,
        raw,
        ..Event::default()
    })
}

/// A document as a line; a text that is none becomes a JSON string.
pub fn line(document: &[u8]) -> Bytes {
    let broken = document.contains(&b'\n') || document.contains(&b'\r');
    let mut line = match Json::parse(document) {
        // White space is all that a line end can be in a document.
        Ok(_) if broken => Cow::Owned(
            document
                .iter()
                .copied()
                .filter(|byte| !matches!(byte, b'\n' | b'\r'))
                .collect(),
        ),
        Ok(_) => Cow::Borrowed(document),
        Err(_) => {
            let text = serde_json::Value::from(String::from_utf8_lossy(document));
            Cow::Owned(text.to_string().into_bytes())
        }
    };
    line.to_mut().push(b'\n');
    line.into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::super::stream::Format;
    use super::super::stream::testing::decode;
    use super::*;

    #[test]
    fn lines_are_documents() {
        let text = b"{\"a\":1}\r\n\n [2] \n3";
        let pieces = decode(Format::Lines, 100, &[text]);
        let said: Vec<_> = pieces
            .iter()
            .map(|piece| match piece {
                Piece::Event(event) => &event.data[..],
                _ => b"-",
            })
            .collect();
        assert_eq!(said, [&b"{\"a\":1}"[..], b"-", b"[2]", b"3"]);
    }

    #[test]
    fn a_line_over_the_cap_is_told_from_those_around_it() {
        let text = b"1\n\"0123456789\"\n2\n";
        let pieces = decode(Format::Lines, 5, &[text]);
        assert_eq!(pieces.len(), 3);
        let raw = Bytes::from_static(b"\"0123456789\"\n");
        assert_eq!(pieces[1], Piece::Over { first: true, raw });
    }

    #[test]
    fn whatever_is_written_is_one_line() {
        for (document, expected) in [
            ("{\"a\":1}", "{\"a\":1}\n"),
            ("{\n \"a\": 1\r\n}\n", "{ \"a\": 1}\n"),
            ("Please\nlog in", "\"Please\\nlog in\"\n"),
        ] {
            assert_eq!(line(document.as_bytes()), expected.as_bytes());
        }
    }
}
