//! A stream of messages that stand one behind the other: what its formats have in
//! common is how pieces are cut off under a cap.

use std::mem;

use bytes::{Bytes, BytesMut};

use super::stream::Piece;

/// Where a message of a format ends. A value goes through one message.
pub trait Cut: Default {
    /// Goes on through these bytes; how many of them belong to the message, once it ends.
    fn end(&mut self, bytes: &[u8]) -> Option<usize>;

    /// Reads a whole message, or what is between two.
    fn read(raw: Bytes) -> Piece;
}

/// Takes a stream apart.
#[derive(Debug)]
pub struct Decoder<C> {
    cap: usize,
    /// What was fed and has not been handed out.
    buffer: BytesMut,
    /// How much of the buffer has been looked at.
    seen: usize,
    /// Whether the message that is being read is over the cap.
    over: bool,
    /// Where in it the reading is.
    place: C,
}

impl<C: Cut> Decoder<C> {
    /// At the beginning of a stream; `cap` is the longest message that is read, in bytes.
    pub fn new(cap: usize) -> Self {
        Self {
            cap,
            buffer: BytesMut::new(),
            seen: 0,
            over: false,
            place: C::default(),
        }
    }

    /// Takes a chunk in.
    pub fn feed(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// The next piece of what was fed; `None` when more is needed.
    pub fn next_piece(&mut self) -> Option<Piece> {
        let rest = self.buffer.get(self.seen..).unwrap_or_default();
        let Some(found) = self.place.end(rest) else {
            let most = if self.over { 0 } else { self.cap };
            self.seen = self.buffer.len();
            return (self.seen > most).then(|| self.part(true));
        };
        self.place = C::default();
        self.seen += found;
        if self.over || self.seen > self.cap {
            return Some(self.part(false));
        }
        let length = mem::take(&mut self.seen);
        Some(C::read(self.buffer.split_to(length).freeze()))
    }

    /// The stream is over: the message that was left without an end.
    pub fn finish(&mut self) -> Option<Piece> {
        let rest = self.buffer.split().freeze();
        self.seen = 0;
        (!rest.is_empty()).then(|| C::read(rest))
    }

    /// What was looked at of a message over the cap; `goes_on` when it has not ended.
    fn part(&mut self, goes_on: bool) -> Piece {
        let raw = self.buffer.split_to(mem::take(&mut self.seen));
        let first = !mem::replace(&mut self.over, goes_on);
        Piece::Over {
            first,
            raw: raw.freeze(),
        }
    }
}
