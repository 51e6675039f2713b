//! WebSocket (RFC 6455), sans-IO: bytes in, messages out, and back into bytes.
//!
//! A message comes out whole, however it was cut into frames and reads; only one
//! that is longer than the cap comes in pieces. Control frames come out at once,
//! between the pieces of a message if they came there. What the protocol forbids is a [`Violation`] with the code to close with.
//!
//! Extensions are not known here: whoever relays must not let them be negotiated.

mod head;
mod order;
mod utf8;

use bytes::{Buf, Bytes, BytesMut};

use head::{Frame, Opcode};
pub use order::Order;
use utf8::Utf8;

/// Which end sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Its frames are masked.
    Client,
    /// Its frames are not.
    Server,
}

/// What was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole text message: UTF-8, not longer than the cap.
    Text(Bytes),
    /// A whole binary message, not longer than the cap.
    Binary(Bytes),
    /// A part of a message that is longer than the cap.
    Piece(Piece),
    /// A ping, and what has to come back in the pong.
    Ping(Bytes),
    /// A pong.
    Pong(Bytes),
    /// The end. Nothing comes after it.
    Close(Option<Close>),
}

/// A part of a message over the cap. Text may be cut within a character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Whether the message is text.
    pub text: bool,
    /// Its bytes.
    pub bytes: Bytes,
    /// Whether the message begins with it.
    pub first: bool,
    /// Whether the message ends with it.
    pub last: bool,
}

/// Why an end closes (RFC 6455, section 7.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// 1000 to 1003, 1007 to 1014, 3000 to 4999.
    pub code: u16,
    /// At most 123 bytes.
    pub reason: Box<str>,
}

/// What the protocol forbids, and the code to close with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// 1002 for frames, 1007 for text that is not UTF-8.
    pub code: u16,
    /// What it was.
    pub what: &'static str,
}

impl Event {
    /// Appends the frame that says this. `mask` is a fresh random key for what a
    /// client sends, and `None` for what a server sends.
    ///
    /// Payloads of control frames and reasons are cut to what a control frame holds.
    pub fn encode(&self, mask: Option<[u8; 4]>, out: &mut BytesMut) {
        let close;
        let (fin, opcode, payload) = match self {
            Self::Text(bytes) => (true, Opcode::Text, &**bytes),
            Self::Binary(bytes) => (true, Opcode::Binary, &**bytes),
            Self::Piece(piece) => (piece.last, piece.opcode(), &*piece.bytes),
            Self::Ping(bytes) => (true, Opcode::Ping, head::short(bytes)),
            Self::Pong(bytes) => (true, Opcode::Pong, head::short(bytes)),
            Self::Close(None) => (true, Opcode::Close, &[][..]),
            Self::Close(Some(reason)) => {
                close = reason.payload();
                (true, Opcode::Close, &*close)
            }
        };
        head::write(fin, opcode, mask, payload, out);
    }
}

impl Piece {
    fn opcode(&self) -> Opcode {
        match (self.first, self.text) {
            (false, _) => Opcode::Continuation,
            (true, true) => Opcode::Text,
            (true, false) => Opcode::Binary,
        }
    }
}

impl Close {
    /// A reason to close; what is too long is cut between characters.
    pub fn new(code: u16, reason: &str) -> Self {
        let fits = (0..=reason.len().min(head::MAX_CONTROL - 2)).rev();
        let cut = fits.filter_map(|end| reason.get(..end)).next();
        Self {
            code,
            reason: cut.unwrap_or_default().into(),
        }
    }

    fn payload(&self) -> Vec<u8> {
        let cut = Self::new(self.code, &self.reason);
        [&cut.code.to_be_bytes(), cut.reason.as_bytes()].concat()
    }

    fn read(mut payload: Bytes) -> Result<Option<Self>, Violation> {
        if payload.is_empty() {
            return Ok(None);
        }
        let code = payload
            .try_get_u16()
            .map_err(|_| Violation::of_frame("a close code of one byte"))?;
        if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
            return Err(Violation::of_frame("a close code that must not be sent"));
        }
        let reason = std::str::from_utf8(&payload).map_err(|_| Violation::NOT_UTF8)?;
        Ok(Some(Self {
            code,
            reason: reason.into(),
        }))
    }
}

impl Violation {
    const NOT_UTF8: Self = Self {
        code: 1007,
        what: "text that is not UTF-8",
    };

    const fn of_frame(what: &'static str) -> Self {
        Self { code: 1002, what }
    }
}

/// Turns the bytes of one direction into messages.
#[derive(Debug)]
pub struct Decoder {
    from: Side,
    cap: usize,
    input: BytesMut,
    frame: Option<Frame>,
    message: Option<Message>,
    closed: bool,
}

/// A message that has begun and not ended.
#[derive(Debug, Default)]
struct Message {
    text: bool,
    utf8: Utf8,
    /// What came so far; never more than the cap.
    held: BytesMut,
    /// It is longer than the cap, and comes in pieces.
    streams: bool,
    /// A piece came out.
    begun: bool,
}

impl Decoder {
    /// Reads what `from` sends. A message longer than `cap` bytes comes in pieces.
    pub fn new(from: Side, cap: usize) -> Self {
        Self {
            from,
            cap,
            input: BytesMut::new(),
            frame: None,
            message: None,
            closed: false,
        }
    }

    /// Takes what was read, in any portions. Call [`Decoder::next`] until it has no
    /// more before the next one, or the input piles up.
    pub fn feed(&mut self, bytes: &[u8]) {
        if !self.closed {
            self.input.extend_from_slice(bytes);
        }
    }

    /// The next event; `None` when it takes more bytes.
    ///
    /// # Errors
    /// When the other end violates the protocol. It has to be closed: nothing
    /// more comes out.
    #[expect(clippy::should_implement_trait, reason = "more may come after None")]
    pub fn next(&mut self) -> Result<Option<Event>, Violation> {
        let event = self.step();
        if matches!(event, Err(_) | Ok(Some(Event::Close(_)))) {
            self.closed = true;
            self.message = None;
            self.input.clear();
        }
        if self.input.is_empty() {
            // Thousands of sockets are idle: they keep no buffer.
            self.input = BytesMut::new();
        }
        event
    }

    fn step(&mut self) -> Result<Option<Event>, Violation> {
        while !self.closed {
            let mut frame = match self.frame.take() {
                Some(frame) => frame,
                None => match Frame::read(self.from, &mut self.input)? {
                    Some(frame) => self.begin(frame)?,
                    None => return Ok(None),
                },
            };
            if frame.opcode.is_control() {
                let Some(payload) = frame.whole(&mut self.input) else {
                    self.frame = Some(frame);
                    return Ok(None);
                };
                return frame.opcode.control(payload).map(Some);
            }
            if self.input.is_empty() && frame.left > 0 {
                self.frame = Some(frame);
                return Ok(None);
            }
            let bytes = frame.part(&mut self.input);
            let ended = frame.left == 0 && frame.fin;
            if frame.left > 0 {
                self.frame = Some(frame);
            }
            let Some(message) = &mut self.message else {
                return Err(Violation::of_frame("a continuation of nothing"));
            };
            let event = message.take(bytes, ended)?;
            if ended {
                self.message = None;
            }
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    /// Puts a new frame into its message.
    fn begin(&mut self, frame: Frame) -> Result<Frame, Violation> {
        if frame.opcode.is_control() {
            return Ok(frame);
        }
        match (&self.message, frame.opcode) {
            (None, Opcode::Continuation) => {
                return Err(Violation::of_frame("a continuation of nothing"));
            }
            (Some(_), Opcode::Text | Opcode::Binary) => {
                return Err(Violation::of_frame("a message within a message"));
            }
            _ => {}
        }
        let text = frame.opcode == Opcode::Text;
        let message = self.message.get_or_insert_with(|| Message {
            text,
            ..Message::default()
        });
        let room = self.cap.saturating_sub(message.held.len());
        message.streams |= usize::try_from(frame.left).map_or(true, |left| left > room);
        Ok(frame)
    }
}

impl Message {
    /// Takes a part; what can go on comes out.
    fn take(&mut self, bytes: BytesMut, ended: bool) -> Result<Option<Event>, Violation> {
        if self.text && !(self.utf8.feed(&bytes) && (!ended || self.utf8.is_whole())) {
            return Err(Violation::NOT_UTF8);
        }
        // Nothing is copied when nothing was cut.
        let bytes = match self.held.is_empty() {
            true => bytes,
            false => {
                self.held.extend_from_slice(&bytes);
                std::mem::take(&mut self.held)
            }
        };
        if self.streams {
            if bytes.is_empty() && !ended {
                return Ok(None);
            }
            let first = !std::mem::replace(&mut self.begun, true);
            return Ok(Some(Event::Piece(Piece {
                text: self.text,
                bytes: bytes.freeze(),
                first,
                last: ended,
            })));
        }
        if ended {
            let bytes = bytes.freeze();
            return Ok(Some(match self.text {
                true => Event::Text(bytes),
                false => Event::Binary(bytes),
            }));
        }
        self.held = bytes;
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
