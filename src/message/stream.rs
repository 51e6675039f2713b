//! An answer without end, message by message. Sans-IO: chunks in, whole messages
//! with their bytes out.
//!
//! Three formats are read, [`sse`], [`lines`] and [`records`]. What a
//! decoder hands out is the stream itself: put together again, the bytes of all its
//! pieces are the bytes that came, however they were split.

use bytes::Bytes;

use super::{lines, records, sse};

/// How messages follow one another in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Server-sent events: `text/event-stream` (WHATWG HTML, section 9.2).
    Events,
    /// A JSON document on each line: `application/x-ndjson`, `application/jsonl`.
    Lines,
    /// A JSON text sequence: `application/json-seq` (RFC 7464).
    Records,
}

/// Newline-delimited JSON has several names.
const LINES: &[&str] = &[
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonl",
    "application/jsonlines",
    "application/x-jsonlines",
];

/// A part of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A whole message.
    Event(Event),
    /// Bytes that say nothing to anybody: blank lines, comments between events.
    Filler(Bytes),
    /// A part of a message that is longer than the cap, the first part or a later one.
    Over {
        /// Whether the message begins here.
        first: bool,
        /// The part's bytes.
        raw: Bytes,
    },
}

/// A message of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Its bytes as they came, with what ends it.
    pub raw: Bytes,
    /// What it says.
    pub data: Bytes,
    /// Whether somebody may read JSON in it even if `data` does not begin like JSON.
    pub perhaps_json: bool,
    /// The type of a server-sent event.
    pub name: Option<Bytes>,
    /// The id of a server-sent event, for `Last-Event-ID`.
    pub id: Option<Bytes>,
    /// How long to wait before a reconnection, in a server-sent event.
    pub retry: Option<Bytes>,
}

/// Takes a stream apart.
#[derive(Debug)]
pub enum Decoder {
    /// Of server-sent events.
    Events(sse::Decoder),
    /// Of lines.
    Lines(lines::Decoder),
    /// Of records.
    Records(records::Decoder),
}

impl Format {
    /// The format of a media type without parameters, in any case, if it is a stream's.
    pub fn of(media_type: &[u8]) -> Option<Self> {
        let is = |known: &&str| media_type.eq_ignore_ascii_case(known.as_bytes());
        if is(&"text/event-stream") {
            return Some(Self::Events);
        }
        // The suffix: RFC 8091.
        let suffix = media_type
            .last_chunk()
            .is_some_and(|end: &[u8; 9]| end.eq_ignore_ascii_case(b"+json-seq"));
        if suffix || is(&"application/json-seq") {
            return Some(Self::Records);
        }
        LINES.iter().any(is).then_some(Self::Lines)
    }

    /// A decoder for the beginning of a stream; `cap` is the longest message that is
    /// read, in bytes.
    pub fn decoder(self, cap: usize) -> Decoder {
        match self {
            Self::Events => Decoder::Events(sse::Decoder::new(cap)),
            Self::Lines => Decoder::Lines(lines::Decoder::new(cap)),
            Self::Records => Decoder::Records(records::Decoder::new(cap)),
        }
    }

    /// All pieces of a stream that has come to its end, however long they are.
    pub fn pieces(self, body: &[u8]) -> impl Iterator<Item = Piece> {
        let mut decoder = self.decoder(usize::MAX);
        decoder.feed(body);
        std::iter::from_fn(move || decoder.next_piece().or_else(|| decoder.finish()))
    }

    /// The bytes of `event` saying `data`: as they came where it says that.
    pub fn saying(self, event: &Event, data: &Bytes) -> Bytes {
        match *data == event.data {
            true => event.raw.clone(),
            false => self.replace(event, data),
        }
    }

    /// The bytes of a message that stands in the place of `event` and says `data`. It
    /// keeps the event's type, id and line ends.
    pub fn replace(self, event: &Event, data: &[u8]) -> Bytes {
        match self {
            Self::Events => sse::replace(event, data),
            Self::Lines => lines::line(data),
            Self::Records => records::record(data),
        }
    }
}

impl Decoder {
    /// Takes a chunk in.
    pub fn feed(&mut self, chunk: &[u8]) {
        match self {
            Self::Events(decoder) => decoder.feed(chunk),
            Self::Lines(decoder) => decoder.feed(chunk),
            Self::Records(decoder) => decoder.feed(chunk),
        }
    }

    /// The next piece of what was fed; `None` when more is needed.
    pub fn next_piece(&mut self) -> Option<Piece> {
        match self {
            Self::Events(decoder) => decoder.next_piece(),
            Self::Lines(decoder) => decoder.next_piece(),
            Self::Records(decoder) => decoder.next_piece(),
        }
    }

    /// The stream is over: what was left unfinished. Readers differ in whether they
    /// take it for a message, so it is one.
    pub fn finish(&mut self) -> Option<Piece> {
        match self {
            Self::Events(decoder) => decoder.finish(),
            Self::Lines(decoder) => decoder.finish(),
            Self::Records(decoder) => decoder.finish(),
        }
    }
}

impl Piece {
    /// Whether it is a byte order mark: nothing may come before it.
    pub fn is_mark(&self) -> bool {
        matches!(self, Self::Filler(raw) if *raw == sse::BOM)
    }

    /// Its bytes as they came.
    pub fn raw(&self) -> &Bytes {
        match self {
            Self::Event(event) => &event.raw,
            Self::Filler(raw) | Self::Over { raw, .. } => raw,
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// All pieces of a stream that comes in these chunks. Parts of a message over
    /// the cap are joined: where they are parted depends on the chunks.
    pub(crate) fn decode(format: Format, cap: usize, chunks: &[&[u8]]) -> Vec<Piece> {
        let mut decoder = format.decoder(cap);
        let mut pieces: Vec<Piece> = Vec::new();
        let mut add = |piece: Piece| match (pieces.last_mut(), &piece) {
            (
                Some(Piece::Over { raw, .. }),
                Piece::Over {
                    first: false,
                    raw: more,
                },
            ) => {
                *raw = [&raw[..], &more[..]].concat().into();
            }
            _ => pieces.push(piece),
        };
        for chunk in chunks {
            decoder.feed(chunk);
            while let Some(piece) = decoder.next_piece() {
                add(piece);
            }
        }
        decoder.finish().into_iter().for_each(&mut add);
        assert_eq!(decoder.finish(), None);
        pieces
    }

    /// Cuts a text at some of its bytes.
    pub(crate) fn split<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        cuts.sort_unstable();
        let mut from = 0;
        let mut parts: Vec<_> = cuts
            .into_iter()
            .map(|to| &bytes[std::mem::replace(&mut from, to)..to])
            .collect();
        parts.push(&bytes[from..]);
        parts
    }

    /// The bytes of all pieces.
    pub(crate) fn raw(pieces: &[Piece]) -> Vec<u8> {
        pieces
            .iter()
            .flat_map(|piece| piece.raw().to_vec())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::testing::{decode, raw, split};
    use super::*;

    #[test]
    fn formats_are_told_by_their_media_type() {
        assert_eq!(Format::of(b"text/Event-Stream"), Some(Format::Events));
        assert_eq!(Format::of(b"application/x-ndjson"), Some(Format::Lines));
        assert_eq!(Format::of(b"application/jsonl"), Some(Format::Lines));
        assert_eq!(
            Format::of(b"application/geo+JSON-seq"),
            Some(Format::Records)
        );
        assert_eq!(Format::of(b"application/json"), None);
    }

    const FORMATS: [Format; 3] = [Format::Events, Format::Lines, Format::Records];

    proptest! {
        /// However a stream is split, the same messages come out, and nothing is
        /// lost or added.
        #[test]
        fn any_split_gives_the_same_pieces(
            text in prop::collection::vec(prop::sample::select(vec![
                "data: {\"a\":1}", "data", "data:x", ":", ": ping", "event: e", "id: 7", "id: a\0b",
                "retry: 5", "other: x", "{\"b\":2}", "\u{feff}", "\n", "\n", "\n", "\r", "\r\n", "\r\n\r\n",
                "\n\n", " ", "é", "[DONE]", "\u{1e}", "\"", "\\",
            ]), 0..24),
            cuts in prop::collection::vec(any::<usize>(), 0..8),
            cap in prop::sample::select(vec![0, 1, 5, 20, 1000]),
            format in prop::sample::select(FORMATS.to_vec()),
        ) {
            let text = text.concat().into_bytes();
            let whole = decode(format, cap, &[&text]);
            prop_assert_eq!(&raw(&whole), &text);
            prop_assert_eq!(&decode(format, cap, &split(&text, &cuts)), &whole);
            let bytes: Vec<_> = text.chunks(1).collect();
            prop_assert_eq!(&decode(format, cap, &bytes), &whole);
        }

        #[test]
        fn any_bytes_are_decoded_alike(
            bytes in prop::collection::vec(any::<u8>(), 0..64),
            cuts in prop::collection::vec(any::<usize>(), 0..4),
            format in prop::sample::select(FORMATS.to_vec()),
        ) {
            let whole = decode(format, 32, &[&bytes]);
            prop_assert_eq!(&raw(&whole), &bytes);
            prop_assert_eq!(&decode(format, 32, &split(&bytes, &cuts)), &whole);
        }

        /// A message that is put in another's place is read back as what it says.
        #[test]
        fn a_replacement_says_what_it_was_given(
            data in "[a-z\"{}:\\[\\]é\u{2028} ]{1,20}(\n[a-z{} ]{1,8}){0,3}",
            name in proptest::option::of("[a-z]{1,5}"),
            id in proptest::option::of("[0-9]{1,5}"),
            end in prop::sample::select(vec!["\n", "\r", "\r\n"]),
        ) {
            let field = |name: &str, value: &Option<String>| {
                value.as_ref().map_or(String::new(), |value| format!("{name}: {value}{end}"))
            };
            let text = format!("{}{}data: x{end}{end}", field("event", &name), field("id", &id));
            let Some(Piece::Event(event)) = decode(Format::Events, 1000, &[text.as_bytes()]).into_iter().next() else {
                return Err(TestCaseError::fail("no event"));
            };
            let bytes = Format::Events.replace(&event, data.as_bytes());
            let Some(Piece::Event(read)) = decode(Format::Events, 1000, &[&bytes]).into_iter().next() else {
                return Err(TestCaseError::fail("no event"));
            };
            prop_assert_eq!(&read.data[..], data.as_bytes());
            prop_assert_eq!((read.name, read.id), (event.name, event.id));
        }
    }
}
