//! Server-sent events (WHATWG HTML, section 9.2.6), read as the standard has it, and
//! for the judgement also as lenient readers have it.
//!
//! Lines end in LF, CR or CRLF. A CR ends its line at once, so where it ends a piece,
//! the LF of a CRLF is a [`Piece::Filler`] of its own: nobody has to wait for it, and
//! the pieces are the same however the bytes were split. So is a byte order mark, which
//! is none anywhere but at the beginning.

use bytes::{Bytes, BytesMut};
use memchr::memchr2;

use super::Json;
use super::opening::opens_json;
use super::stream::{Event, Piece};

/// A byte order mark.
pub(super) const BOM: &[u8] = b"\xEF\xBB\xBF";

/// A byte order mark and a line end fit under any cap.
const MIN_CAP: usize = 16;

/// Takes a stream of events apart.
#[derive(Debug)]
pub struct Decoder {
    cap: usize,
    /// What was fed and has not been handed out.
    buffer: BytesMut,
    /// How much of the buffer has been looked at.
    seen: usize,
    /// Where in the buffer the line begins that is being read.
    line: usize,
    /// Whether a part of that line has been handed out.
    midline: bool,
    /// Whether a CR was the latest byte.
    after_cr: bool,
    /// Whether the block that is being read has a field.
    fields: bool,
    /// Whether the block that is being read is over the cap.
    over: bool,
    /// Whether nothing has been handed out: a byte order mark may come.
    fresh: bool,
}

impl Decoder {
    /// At the beginning of a stream; `cap` is the longest event that is read, in bytes.
    pub fn new(cap: usize) -> Self {
        Self {
            cap: cap.max(MIN_CAP),
            buffer: BytesMut::new(),
            seen: 0,
            line: 0,
            midline: false,
            after_cr: false,
            fields: false,
            over: false,
            fresh: true,
        }
    }

    /// Takes a chunk in.
    pub fn feed(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// The next piece of what was fed; `None` when more is needed.
    pub fn next_piece(&mut self) -> Option<Piece> {
        if self.fresh && self.buffer.starts_with(BOM) {
            (self.seen, self.line) = (BOM.len(), BOM.len());
            return Some(Piece::Filler(self.take(BOM.len())));
        }
        while let Some(&byte) = self.buffer.get(self.seen) {
            if std::mem::take(&mut self.after_cr) && byte == b'\n' {
                self.seen += 1;
                self.line = self.seen;
                if self.seen == 1 && !self.over {
                    return Some(Piece::Filler(self.take(1)));
                }
                continue;
            }
            let rest = self.buffer.get(self.seen..).unwrap_or_default();
            let Some(found) = memchr2(b'\r', b'\n', rest) else {
                self.seen = self.buffer.len();
                break;
            };
            let end = self.seen + found;
            let line = self.line(end);
            let empty = line.is_empty() && !self.midline;
            let comment = line.starts_with(b":");
            self.after_cr = self.buffer.get(end) == Some(&b'\r');
            self.seen = end + 1;
            self.line = self.seen;
            self.midline = false;
            if self.over || self.seen > self.cap {
                let first = !std::mem::replace(&mut self.over, !empty);
                return Some(self.part(first));
            }
            let spoken = self.fields;
            self.fields = !empty && (spoken || !comment);
            if empty && spoken {
                return Some(Piece::Event(Event::parse(self.take(self.seen))));
            }
            if !self.fields {
                return Some(Piece::Filler(self.take(self.seen)));
            }
        }
        if self.buffer.len() > if self.over { 0 } else { self.cap } {
            let first = !std::mem::replace(&mut self.over, true);
            return Some(self.part(first));
        }
        None
    }

    /// The stream is over: what was left unfinished, as an event.
    pub fn finish(&mut self) -> Option<Piece> {
        if self.buffer.is_empty() {
            return None;
        }
        let line = self.line(self.buffer.len());
        let fields = self.fields || !line.is_empty() && !line.starts_with(b":");
        let raw = self.take(self.buffer.len());
        Some(match fields {
            true => Piece::Event(Event::parse(raw)),
            false => Piece::Filler(raw),
        })
    }

    /// The line that is being read, up to `end`.
    fn line(&self, end: usize) -> &[u8] {
        self.buffer.get(self.line..end).unwrap_or_default()
    }

    /// What was looked at of an event over the cap.
    fn part(&mut self, first: bool) -> Piece {
        self.fields = false;
        Piece::Over {
            first,
            raw: self.take(self.seen),
        }
    }

    fn take(&mut self, length: usize) -> Bytes {
        self.midline |= self.line < length;
        self.seen -= length;
        self.line = self.line.saturating_sub(length);
        self.fresh = false;
        self.buffer.split_to(length).freeze()
    }
}

impl Event {
    /// Reads a block of lines.
    fn parse(raw: Bytes) -> Self {
        let mut event = Self::default();
        let mut data: Option<BytesMut> = None;
        let mut say = |text: &[u8]| {
            match &mut data {
                Some(data) => data.extend_from_slice(b"\n"),
                None => data = Some(BytesMut::new()),
            }
            data.iter_mut()
                .for_each(|data| data.extend_from_slice(text));
        };
        let mut unheard = false;
        for line in lines(&raw) {
            let (name, value) = field(line);
            match name {
                b"data" => {
                    event.perhaps_json |= opens_json(value);
                    say(value);
                }
                b"event" => event.name = Some(raw.slice_ref(value)),
                b"id" if !value.contains(&0) => event.id = Some(raw.slice_ref(value)),
                b"retry" if value.iter().all(u8::is_ascii_digit) => {
                    event.retry = Some(raw.slice_ref(value));
                }
                b"" | b"id" | b"retry" => {}
                // Whom the standard's own reader hears nothing from, others may hear.
                name if is_nearly_data(name) => {
                    event.perhaps_json = true;
                    say(value);
                }
                _ if opens_json(line) => {
                    event.perhaps_json = true;
                    say(line);
                }
                _ => unheard = true,
            }
        }
        event.data = data.unwrap_or_default().freeze();
        if unheard && event.perhaps_json && Json::parse(&event.data).is_err() {
            // JSON over several lines, of which only the first says `data`: readers that
            // take all that stands behind it understand it.
            event.data = unfolded(&raw);
        }
        event.raw = raw;
        event
    }

    /// What ends the event's lines.
    fn line_end(&self) -> &'static [u8] {
        match memchr2(b'\r', b'\n', &self.raw).map(|at| (self.raw.get(at), self.raw.get(at + 1))) {
            Some((Some(b'\r'), Some(b'\n'))) => b"\r\n",
            // A single CR where nothing follows may be half of a CRLF; LF is understood by all.
            Some((Some(b'\r'), Some(_))) => b"\r",
            _ => b"\n",
        }
    }
}

/// An event that stands in the place of another and says `data`: with its type, id
/// and line ends.
pub fn replace(event: &Event, data: &[u8]) -> Bytes {
    let end = event.line_end();
    let mut out = BytesMut::with_capacity(data.len() + 64);
    let mut put = |name: &[u8], value: &[u8]| {
        for part in [name, b": ", value, end] {
            out.extend_from_slice(part);
        }
    };
    let fields = [
        (&b"event"[..], &event.name),
        (b"id", &event.id),
        (b"retry", &event.retry),
    ];
    for (name, value) in fields {
        value.iter().for_each(|value| put(name, value));
    }
    lines(data).for_each(|line| put(b"data", line));
    out.extend_from_slice(end);
    if end == b"\r\n" && event.raw.ends_with(b"\r") {
        // Its LF comes by itself.
        out.truncate(out.len() - 1);
    }
    out.freeze()
}

/// The lines of a text; an empty text has none, and a line end at the end begins no
/// other.
fn lines(mut text: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        if text.is_empty() {
            return None;
        }
        let end = memchr2(b'\r', b'\n', text).unwrap_or(text.len());
        let (line, rest) = text.split_at(end);
        let crlf = rest.strip_prefix(b"\r\n");
        text = crlf.or_else(|| rest.get(1..)).unwrap_or_default();
        Some(line)
    })
}

/// A line's field: one space behind the colon is none of the value's.
fn field(line: &[u8]) -> (&[u8], &[u8]) {
    let Some(colon) = memchr::memchr(b':', line) else {
        return (line, b"");
    };
    let (name, value) = line.split_at(colon);
    let value = value.get(1..).unwrap_or_default();
    (name, value.strip_prefix(b" ").unwrap_or(value))
}

/// What the lines say that are of no other known field, with or without a name.
fn unfolded(text: &[u8]) -> Bytes {
    let said: Vec<&[u8]> = lines(text)
        .filter_map(|line| match field(line) {
            (b"" | b"event" | b"id" | b"retry", _) => None,
            (name, value) if is_nearly_data(name) => Some(value),
            _ => Some(line),
        })
        .collect();
    said.join(&b'\n').into()
}

/// Whether a careless reader takes this name for `data`.
fn is_nearly_data(name: &[u8]) -> bool {
    let name = name.strip_prefix(BOM).unwrap_or(name);
    name.trim_ascii().eq_ignore_ascii_case(b"data")
}

#[cfg(test)]
mod tests {
    use super::super::stream::Format;
    use super::super::stream::testing::{decode, raw};
    use super::*;

    fn events(text: &str) -> Vec<Event> {
        let pieces = decode(Format::Events, 1000, &[text.as_bytes()]);
        assert_eq!(raw(&pieces), text.as_bytes());
        let events = pieces.into_iter().filter_map(|piece| match piece {
            Piece::Event(event) => Some(event),
            _ => None,
        });
        events.collect()
    }

    fn data(text: &str) -> Vec<String> {
        let data = |event: Event| String::from_utf8(event.data.to_vec()).unwrap();
        events(text).into_iter().map(data).collect()
    }

    fn replaced(text: &str, data: &str) -> String {
        let event = events(text).remove(0);
        String::from_utf8(replace(&event, data.as_bytes()).to_vec()).unwrap()
    }

    #[test]
    fn the_standards_own_examples_are_read() {
        assert_eq!(data("data: YHOO\ndata: +2\ndata: 10\n\n"), ["YHOO\n+2\n10"]);
        let stream = ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n";
        let read = events(stream);
        assert_eq!(
            data(stream),
            ["first event", "second event", " third event"]
        );
        assert_eq!(read[0].id.as_deref(), Some(&b"1"[..]));
        assert_eq!(read[1].id.as_deref(), Some(&b""[..]));
        assert_eq!(read[2].id, None);
        assert_eq!(data("data\n\ndata\ndata\n\ndata:"), ["", "\n", ""]);
        assert_eq!(data("data:test\n\ndata: test\n\n"), ["test", "test"]);
    }

    #[test]
    fn all_line_ends_and_a_byte_order_mark_are_read() {
        for end in ["\n", "\r", "\r\n"] {
            let text =
                format!("\u{feff}event: e{end}data: a{end}data: b{end}{end}data: c{end}{end}");
            assert_eq!(data(&text), ["a\nb", "c"], "{end:?}");
            assert_eq!(events(&text)[0].name.as_deref(), Some(&b"e"[..]));
        }
        assert_eq!(data("data: a\r\ndata: b\r\n\r\ndata: c\n\r"), ["a\nb", "c"]);
    }

    #[test]
    fn an_event_is_there_with_its_empty_line() {
        for end in ["\n", "\r", "\r\n"] {
            let mut decoder = Decoder::new(1000);
            decoder.feed(format!("data: a{end}{end}").as_bytes());
            assert!(
                matches!(decoder.next_piece(), Some(Piece::Event(_))),
                "{end:?}"
            );
        }
    }

    #[test]
    fn comments_do_not_wait_for_an_event() {
        let mut decoder = Decoder::new(1000);
        decoder.feed(b": ping\n");
        assert_eq!(
            decoder.next_piece(),
            Some(Piece::Filler(Bytes::from_static(b": ping\n")))
        );
        decoder.feed(b"data: a\n: ping\n");
        assert_eq!(decoder.next_piece(), None);
        decoder.feed(b"\n");
        let raw = Bytes::from_static(b"data: a\n: ping\n\n");
        assert_eq!(
            decoder.next_piece().map(|piece| piece.raw().clone()),
            Some(raw)
        );
    }

    #[test]
    fn an_event_over_the_cap_is_told_from_those_around_it() {
        let long = format!("data: {}\n\n", "x".repeat(50));
        let text = format!("data: a\n\n{long}data: b\n\n");
        let pieces = decode(Format::Events, 20, &[text.as_bytes()]);
        assert_eq!(pieces.len(), 3);
        assert_eq!(
            pieces[1],
            Piece::Over {
                first: true,
                raw: long.into()
            }
        );
        // Nothing of it is kept until it ends.
        let mut decoder = Decoder::new(20);
        for _ in 0..100 {
            decoder.feed(&[b'x'; 30]);
            assert!(matches!(decoder.next_piece(), Some(Piece::Over { .. })));
            assert!(decoder.buffer.is_empty());
        }
    }

    #[test]
    fn what_a_lenient_reader_takes_for_data_is_data() {
        for text in [
            "Data: {}",
            " data : {}",
            "{}",
            "data: x\ndata: {}",
            "data: {}",
        ] {
            let event = events(&format!("{text}\n\n")).remove(0);
            assert!(event.perhaps_json && event.data.ends_with(b"{}"), "{text}");
        }
        for text in ["data: x", "data: 1", "other: {}", "id: {}"] {
            assert!(!events(&format!("{text}\n\n"))[0].perhaps_json, "{text}");
        }
    }

    #[test]
    fn json_over_several_lines_is_read_as_a_whole() {
        for end in ["\n", "\r\n", "\r"] {
            let text = format!("id: 7{end}data: {{{end}  \"flag\": true{end}}}{end}{end}");
            let event = events(&text).remove(0);
            let json: serde_json::Value = serde_json::from_slice(&event.data).unwrap();
            assert_eq!(json, serde_json::json!({"flag": true}), "{end:?}");
        }
        // What is JSON without them stays what it is.
        assert_eq!(data("data: {}\nother: x\n\n"), ["{}"]);
        assert_eq!(data("data: x\n  \"flag\": true\n\n"), ["x"]);
    }

    #[test]
    fn a_replacement_keeps_type_id_and_line_ends() {
        let text = "id: 7\nevent: message\nretry: 5\n: c\ndata: {}\n\n";
        let expected = "event: message\nid: 7\nretry: 5\ndata: x\ndata: y\n\n";
        assert_eq!(replaced(text, "x\ny"), expected);
        // The LF behind the empty line's CR is a piece of its own.
        assert_eq!(
            replaced("id:7\r\ndata: {}\r\n\r\n", "x"),
            "id: 7\r\ndata: x\r\n\r"
        );
        assert_eq!(replaced("data: {}\r\r", "x"), "data: x\r\r");
        assert_eq!(replaced("data: {}", "x"), "data: x\n\n");
        assert_eq!(replaced("id: a\0b\ndata: {}\n\n", "x"), "data: x\n\n");
    }
}
