//! Text that streams by and is no JSON: what a lenient reader could take for an object in
//! it is held, and goes on only if no managed member can be in it.

use bytes::{Bytes, BytesMut};

use crate::config::Config;
use crate::message::opening::{Opening, text};
use crate::reason::Reason;

/// Where in the text the look-out is.
#[derive(Debug)]
pub(super) struct Suspect {
    look: Look,
    /// Whether braces count that do not stand at the beginning.
    braces: bool,
}

#[derive(Debug)]
enum Look {
    /// Nothing meant anything so far.
    Opening(Opening),
    /// For a brace, in what is text so far; with the beginning of a character.
    Brace(Vec<u8>),
    /// From a possible object on, everything is held.
    Held(BytesMut),
    /// It has none.
    Over,
}

impl Suspect {
    /// A look-out for texts that begin like JSON; where `braces`, for those too in which
    /// a brace comes later.
    pub(super) fn new(braces: bool) -> Self {
        Self {
            look: Look::Opening(Opening::default()),
            braces,
        }
    }

    /// Takes a piece; returns what goes on.
    ///
    /// # Errors
    /// When at the end something may be a managed member, or when more than `most` bytes
    /// would have to be held.
    pub(super) fn take(
        &mut self,
        config: &Config,
        piece: Vec<u8>,
        end: bool,
        most: usize,
    ) -> Result<Bytes, Reason> {
        let mut on = Bytes::from(piece);
        if let Look::Held(held) = &mut self.look {
            held.extend_from_slice(&std::mem::take(&mut on));
        } else if let Some(at) = self.find(&on) {
            self.look = Look::Held(BytesMut::from(&on.split_off(at)[..]));
        }
        let Look::Held(held) = &mut self.look else {
            return Ok(on);
        };
        if !end {
            return match held.len() > most {
                true => Err(Reason::BodyTooLarge),
                false => Ok(on),
            };
        }
        match config.managed_members.may_be_in(held) {
            true => Err(Reason::BadBody),
            false => Ok([&on[..], &held[..]].concat().into()),
        }
    }

    /// Where in this piece an object may begin.
    fn find(&mut self, piece: &[u8]) -> Option<usize> {
        if let Look::Opening(opening) = &mut self.look {
            self.look = match opening.feed(piece) {
                None => return None,
                Some(b'{' | b'[') => return Some(0),
                Some(_) if self.braces => Look::Brace(Vec::new()),
                Some(_) => Look::Over,
            };
        }
        let Look::Brace(cut) = &mut self.look else {
            return None;
        };
        let brace = memchr::memchr(b'{', piece);
        let mut before = std::mem::take(cut);
        before.extend_from_slice(piece.get(..brace.unwrap_or(piece.len()))?);
        match text(&before) {
            Some(whole) if whole == before.len() => brace,
            Some(whole) if brace.is_none() => {
                *cut = before.split_off(whole);
                None
            }
            // An upload.
            _ => {
                self.look = Look::Over;
                None
            }
        }
    }
}
