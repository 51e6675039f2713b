//! JSON text sequences (RFC 7464): records that begin with RS and end with LF.
//!
//! A record ends with the line end behind its document, so that it need not wait for
//! the next one, and in any case where another begins: a record that was cut says
//! nothing to a reader, but it is judged like all others.

use bytes::{BufMut, Bytes, BytesMut};

use super::cut::Cut;
use super::lines::{document, line};
use super::stream::Piece;

/// The character that begins a record.
const RS: u8 = 0x1e;

/// Takes a sequence apart.
pub type Decoder = super::cut::Decoder<Place>;

/// A place in a record.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place {
    /// Whether anything but RS has come.
    begun: bool,
    /// Open objects and arrays.
    depth: u32,
    in_string: bool,
    escaped: bool,
}

impl Cut for Place {
    fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                // No document has one in it: another record begins.
                &RS if self.begun => return Some(at),
                &RS => continue,
                b'\n' if !self.in_string && self.depth == 0 => return Some(at + 1),
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
            self.begun = true;
        }
        None
    }

    fn read(raw: Bytes) -> Piece {
        let begins = raw.iter().position(|byte| *byte != RS);
        let begins = begins.unwrap_or(raw.len());
        document(raw, begins)
    }
}

/// A document as a record; a text that is none becomes a JSON string.
pub fn record(document: &[u8]) -> Bytes {
    let line = line(document);
    let mut record = BytesMut::with_capacity(line.len() + 1);
    record.put_u8(RS);
    record.put(line);
    record.freeze()
}

#[cfg(test)]
mod tests {
    use super::super::stream::Format;
    use super::super::stream::testing::decode;
    use super::*;

    fn said(text: &str) -> Vec<String> {
        let pieces = decode(Format::Records, 100, &[text.as_bytes()]);
        let said = pieces.iter().map(|piece| match piece {
            Piece::Event(event) => String::from_utf8(event.data.to_vec()).unwrap(),
            _ => "-".into(),
        });
        said.collect()
    }

    #[test]
    fn records_are_documents() {
        assert_eq!(
            said("\u{1e}{\"a\":1}\n\u{1e}{\n \"b\": \"}\\\"\n\"\n}\n\u{1e}\u{1e}3\n\n\u{1e}4"),
            ["{\"a\":1}", "{\n \"b\": \"}\\\"\n\"\n}", "3", "-", "4"]
        );
        // One that was cut ends where the next begins; what follows without RS is read, too.
        assert_eq!(
            said("\u{1e}{\"a\":\"\u{1e}{\"b\":1}\n{\"c\":2}\n"),
            ["{\"a\":\"", "{\"b\":1}", "{\"c\":2}"]
        );
    }

    #[test]
    fn a_record_is_handed_out_with_its_line_end() {
        let mut decoder = Decoder::new(100);
        decoder.feed(b"\x1e{\"a\":1}");
        assert_eq!(decoder.next_piece(), None);
        decoder.feed(b"\n");
        assert!(matches!(decoder.next_piece(), Some(Piece::Event(_))));
    }

    #[test]
    fn whatever_is_written_is_one_record() {
        assert_eq!(record(b"{\n\"a\":1}"), &b"\x1e{\"a\":1}\n"[..]);
        assert_eq!(record(b"a\nb"), &b"\x1e\"a\\nb\"\n"[..]);
    }
}
