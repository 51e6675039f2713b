//! Frames: their heads and masks (RFC 6455, section 5.2).

use bytes::{Buf, Bytes, BytesMut};

use super::{Close, Event, Side, Violation};

/// Longest payload of a control frame.
pub(super) const MAX_CONTROL: usize = 125;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    fn read(byte: u8) -> Option<Self> {
        Some(match byte & 0x0f {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    pub(super) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }

    /// What a control frame says.
    pub(super) fn control(self, payload: Bytes) -> Result<Event, Violation> {
        match self {
            Self::Ping => Ok(Event::Ping(payload)),
            Self::Pong => Ok(Event::Pong(payload)),
            _ => Close::read(payload).map(Event::Close),
        }
    }
}

/// A frame whose head was read, and its payload not yet.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) fin: bool,
    pub(super) opcode: Opcode,
    /// Bytes of payload still to come.
    pub(super) left: u64,
    /// Turned so that it fits the next byte.
    mask: Option<[u8; 4]>,
}

impl Frame {
    /// Takes a head off the input; `None` as long as it is not whole.
    pub(super) fn read(from: Side, input: &mut BytesMut) -> Result<Option<Self>, Violation> {
        let [first, second, ..] = **input else {
            return Ok(None);
        };
        if first & 0x70 != 0 {
            return Err(Violation::of_frame("a reserved bit"));
        }
        let fin = first & 0x80 != 0;
        let Some(opcode) = Opcode::read(first) else {
            return Err(Violation::of_frame("a reserved opcode"));
        };
        let masked = second & 0x80 != 0;
        match (masked, from) {
            (false, Side::Client) => {
                return Err(Violation::of_frame("a client that does not mask"));
            }
            (true, Side::Server) => return Err(Violation::of_frame("a server that masks")),
            _ => {}
        }
        let short = second & 0x7f;
        if opcode.is_control() && !(fin && usize::from(short) <= MAX_CONTROL) {
            return Err(Violation::of_frame("a control frame too long or in parts"));
        }
        let wide = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if input.len() < 2 + wide + usize::from(masked) * 4 {
            return Ok(None);
        }
        input.advance(2);
        let (left, least) = match wide {
            2 => (u64::from(input.get_u16()), 126),
            8 => (input.get_u64(), 1 << 16),
            _ => (u64::from(short), 0),
        };
        if left < least || left > i64::MAX as u64 {
            return Err(Violation::of_frame("a length in no valid form"));
        }
        let mask = masked.then(|| input.get_u32().to_be_bytes());
        Ok(Some(Self {
            fin,
            opcode,
            left,
            mask,
        }))
    }

    /// The whole payload, of a frame that is short; `None` as long as it is not there.
    pub(super) fn whole(&mut self, input: &mut BytesMut) -> Option<Bytes> {
        let there = usize::try_from(self.left).is_ok_and(|left| left <= input.len());
        there.then(|| self.part(input).freeze())
    }

    /// What is there of the payload.
    pub(super) fn part(&mut self, input: &mut BytesMut) -> BytesMut {
        let length = usize::try_from(self.left).map_or(input.len(), |left| left.min(input.len()));
        let mut part = input.split_to(length);
        self.left -= length as u64;
        if let Some(mask) = &mut self.mask {
            apply(*mask, &mut part);
            mask.rotate_left(length % 4);
        }
        part
    }
}

/// Appends a frame.
pub(super) fn write(
    fin: bool,
    opcode: Opcode,
    mask: Option<[u8; 4]>,
    payload: &[u8],
    out: &mut BytesMut,
) {
    out.reserve(payload.len() + 14);
    let masked = if mask.is_some() { 0x80 } else { 0 };
    let mut head = |bytes: &[u8]| out.extend_from_slice(bytes);
    head(&[opcode as u8 | if fin { 0x80 } else { 0 }]);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short @ ..126), _) => head(&[masked | short]),
        (_, Ok(wide)) => {
            head(&[masked | 126]);
            head(&wide.to_be_bytes());
        }
        _ => {
            head(&[masked | 127]);
            head(&(payload.len() as u64).to_be_bytes());
        }
    }
    let Some(mask) = mask else {
        return out.extend_from_slice(payload);
    };
    out.extend_from_slice(&mask);
    let mut masked = out.split_off(out.len());
    masked.extend_from_slice(payload);
    apply(mask, &mut masked);
    out.unsplit(masked);
}

/// What fits into a control frame.
pub(super) fn short(payload: &[u8]) -> &[u8] {
    payload.get(..MAX_CONTROL).unwrap_or(payload)
}

fn apply(mask: [u8; 4], bytes: &mut [u8]) {
    let (blocks, rest) = bytes.as_chunks_mut::<4>();
    for block in blocks {
        *block = (u32::from_ne_bytes(*block) ^ u32::from_ne_bytes(mask)).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask) {
        *byte ^= key;
    }
}
