//! Messages that were withheld from the customer, until a login lets them go.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, Method};

use super::held::headers_weight;
use super::identity::Level;
use crate::reason::Reason;
use crate::time::Time;

/// On which way a message came, and so on which it is delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leg {
    /// A request of the backend's to the client.
    Webhook {
        /// Its method.
        method: Method,
        /// Path and query, byte for byte, as the backend asked for them.
        target: Box<str>,
    },
    /// A text message on a WebSocket.
    Socket,
    /// An event or a line of a streamed answer.
    Stream,
    /// An element of a polled answer.
    Poll,
}

/// A message that waits: withheld until a login, or, at [`Level::ANONYMOUS`], a notice of
/// how a login ended, which nobody is kept from.
#[derive(Clone)]
pub struct Withheld {
    /// On which way it came.
    pub leg: Leg,
    /// What the same message has when it comes again; it is then kept once.
    pub id: Option<Box<str>>,
    /// The level that its flag demands.
    pub level: Level,
    /// Its headers, hop-by-hop ones removed; empty where a message has none.
    pub headers: HeaderMap,
    /// Its body, text or element, byte for byte.
    pub body: Bytes,
}

impl Withheld {
    /// A notice on this leg that says nothing yet.
    pub fn notice(leg: Leg) -> Self {
        Self {
            leg,
            id: None,
            level: Level::ANONYMOUS,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// Whether it is a notice.
    pub fn is_notice(&self) -> bool {
        self.level == Level::ANONYMOUS
    }

    /// Whether it is a notice on this leg.
    pub(super) fn is_notice_on(&self, leg: &Leg) -> bool {
        self.is_notice() && self.leg == *leg
    }

    /// Approximate size in bytes, heap included.
    pub fn weight(&self) -> usize {
        let target = match &self.leg {
            Leg::Webhook { target, .. } => target.len(),
            Leg::Socket | Leg::Stream | Leg::Poll => 0,
        };
        let id = self.id.as_ref().map_or(0, |id| id.len());
        size_of::<Self>() + target + id + headers_weight(&self.headers) + self.body.len()
    }
}

impl fmt::Debug for Withheld {
    /// What is kept from the customer does not belong in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Withheld({:?}, {} bytes)", self.level, self.body.len())
    }
}

/// Messages that an interaction handed out, oldest first. What does not arrive goes back to
/// this one alone: another may have its key by then.
#[derive(Clone, Debug, Default)]
pub struct HandedOut {
    /// When the interaction began.
    pub(super) began: Time,
    /// The messages.
    pub messages: Vec<Withheld>,
}

/// How much one interaction may withhold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Messages.
    pub messages: usize,
    /// Bytes of all of them, by [`Withheld::weight`].
    pub bytes: usize,
}

/// The withheld messages of one interaction, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Outbox(Vec<Withheld>);

impl Outbox {
    /// Keeps a message, unless the same one is there already, for the higher level of the
    /// two. Over the bounds the older ones stay and this one does not:
    /// [`Reason::OutboxFull`].
    pub(super) fn put(&mut self, message: Withheld, bounds: &Bounds) -> Result<(), Reason> {
        let same = |known: &&mut Withheld| {
            message.id.is_some() && known.id == message.id && known.leg == message.leg
        };
        if let Some(known) = self.0.iter_mut().find(same) {
            known.level = known.level.max(message.level);
            return Ok(());
        }
        if !self.fits(&message, bounds) {
            return Err(Reason::OutboxFull);
        }
        self.0.push(message);
        Ok(())
    }

    /// Puts messages that were handed out, oldest first, before those that came since;
    /// returns those that do not fit any more, the newest.
    pub(super) fn put_back(&mut self, messages: Vec<Withheld>, bounds: &Bounds) -> Vec<Withheld> {
        let mut messages = messages.into_iter().enumerate();
        for (place, message) in messages.by_ref() {
            if !self.fits(&message, bounds) {
                let rest = messages.map(|(_, message)| message);
                return std::iter::once(message).chain(rest).collect();
            }
            self.0.insert(place, message);
        }
        Vec::new()
    }

    fn fits(&self, message: &Withheld, bounds: &Bounds) -> bool {
        self.0.len() < bounds.messages
            && self.weight().saturating_add(message.weight()) <= bounds.bytes
    }

    /// Whether a message with this id is kept on this leg.
    pub(super) fn has(&self, leg: &Leg, id: &str) -> bool {
        self.0
            .iter()
            .any(|known| known.leg == *leg && known.id.as_deref() == Some(id))
    }

    /// Whether a message is kept on this leg.
    pub(super) fn has_any(&self, leg: &Leg) -> bool {
        self.0.iter().any(|known| known.leg == *leg)
    }

    /// Whether a notice is kept on this leg.
    pub(super) fn has_notice(&self, leg: &Leg) -> bool {
        self.0.iter().any(|known| known.is_notice_on(leg))
    }

    /// Hands out what is asked for, oldest first.
    pub(super) fn take(&mut self, wanted: impl Fn(&Withheld) -> bool) -> Vec<Withheld> {
        self.0.extract_if(.., |message| wanted(message)).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn weight(&self) -> usize {
        self.0.iter().map(Withheld::weight).sum()
    }
}
