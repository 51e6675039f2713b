//! Holds an answer back, head and all, until it has been judged.
//!
//! pingora writes the head of an answer before its body is seen, and no hook can
//! delay it. But an informational head is never written when the session is told
//! to ignore those. So the head of an answer that may be flagged is taken away and
//! a 103 put in its place; the body is taken chunk by chunk; and once the exchange
//! is over, in the `logging` hook — before the connection is finished or reused —
//! the verdict writes what the customer gets.
//!
//! This leans on the order of pingora's hooks, which is not documented: the
//! dependency is pinned to one version, and an integration test over every
//! combination of protocols and shapes guards its upgrade.

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use super::read::content_length;

/// Where an answer stands.
#[derive(Default)]
pub(super) enum Hold {
    /// It streams to the customer.
    #[default]
    No,
    /// It is held.
    Yes(Box<Held>),
}

/// A held answer.
pub(super) struct Held {
    /// Its head.
    pub head: ResponseHeader,
    /// Its body so far, never longer than the cap.
    pub body: BytesMut,
    /// Whether there is more of the body than that, of which nothing is kept.
    pub over: bool,
    cap: usize,
}

impl Hold {
    /// Takes the head away.
    pub(super) fn begin(
        &mut self,
        session: &mut Session,
        head: &mut ResponseHeader,
        cap: usize,
    ) -> pingora::Result<()> {
        session.set_ignore_info_resp(true);
        let placeholder = ResponseHeader::build_no_case(StatusCode::EARLY_HINTS, Some(0))?;
        let head = std::mem::replace(head, placeholder);
        let length = content_length(&head.headers).unwrap_or_default();
        *self = Self::Yes(Box::new(Held {
            head,
            body: BytesMut::with_capacity(length.min(cap)),
            over: false,
            cap,
        }));
        Ok(())
    }

    /// No more of it is waited for.
    pub(super) fn cut(&mut self) {
        if let Self::Yes(held) = self {
            held.over = true;
        }
    }

    /// Takes a chunk away. Gives it back where it is the one that goes over the cap.
    pub(super) fn take(&mut self, chunk: &mut Option<Bytes>) -> Option<Bytes> {
        let Self::Yes(held) = self else {
            return None;
        };
        let bytes = chunk.take().filter(|_| !held.over)?;
        held.over = held.body.len() + bytes.len() > held.cap;
        if held.over {
            return Some(bytes);
        }
        held.body.extend_from_slice(&bytes);
        None
    }

    /// Whether an answer is held.
    pub(super) fn is_held(&self) -> bool {
        matches!(self, Self::Yes(_))
    }

    /// A look at the held answer.
    pub(super) fn peek(&self) -> Option<&Held> {
        match self {
            Self::Yes(held) => Some(held),
            Self::No => None,
        }
    }

    /// Hands the held answer to the verdict.
    pub(super) fn end(&mut self) -> Option<Box<Held>> {
        match std::mem::take(self) {
            Self::Yes(held) => Some(held),
            Self::No => None,
        }
    }
}
