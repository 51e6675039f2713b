//! A streamed answer: every message of it is an answer of its own, with the head
//! of the stream.

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::ForAnswer;
use super::answer::Asker;
use super::finding::{self, Finding};
use super::readable::format;
use crate::channel::Channel;
use crate::message::stream::{Event, Format, Piece};
use crate::message::{AnswerView, Body};
use crate::reason::Reason;

/// The head of a stream, as each of its messages has it.
#[derive(Clone, Debug)]
pub struct StreamHead {
    status: StatusCode,
    json: HeaderMap,
    text: HeaderMap,
}

impl StreamHead {
    /// From the head of the answer.
    pub fn new(status: StatusCode, headers: &HeaderMap) -> Self {
        let with = |kind| {
            let mut headers = headers.clone();
            headers.remove(CONTENT_LENGTH);
            headers.remove(CONTENT_ENCODING);
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            headers
        };
        Self {
            status,
            json: with("application/json"),
            text: with("text/plain"),
        }
    }

    /// A message as [`super::answer()`] judges it. `body` is its data, `None` where it
    /// is over the cap.
    pub fn view<'a>(&'a self, event: &Event, body: Option<&'a Body>) -> AnswerView<'a> {
        let json = event.perhaps_json || body.is_none();
        AnswerView {
            status: self.status,
            headers: if json { &self.json } else { &self.text },
            body,
        }
    }

    fn judge(&self, channel: &Channel, event: &Event, asker: Asker) -> ForAnswer {
        let body = Body::new(event.data.clone());
        super::answer(channel, &self.view(event, Some(&body)), asker)
    }
}

/// Decides on each message of a stream that has come to its end, or on each element of
/// an answer that is judged by elements. Nothing for an answer that goes as a whole.
pub fn messages(channel: &Channel, answer: &AnswerView<'_>, asker: Asker) -> Vec<ForAnswer> {
    let plain = answer.body.and_then(|body| body.plain().ok());
    let (Some(plain), Some(format)) = (plain, format(answer.headers)) else {
        let judged = super::items(channel, answer, asker);
        return judged.map_or(Vec::new(), |judged| judged.verdicts);
    };
    let head = StreamHead::new(answer.status, answer.headers);
    let judged = events(format, plain).map(|event| head.judge(channel, &event, asker));
    judged.collect()
}

/// Decides on the stream as a whole: like on the message in it that demands the most,
/// and not at all when one cannot be judged.
pub(super) fn whole(channel: &Channel, answer: &AnswerView<'_>, asker: Asker) -> ForAnswer {
    // What the head demands holds for a stream without messages, too.
    let head = StreamHead::new(answer.status, answer.headers);
    let of_head = head.judge(channel, &Event::default(), asker);
    let messages = messages(channel, answer, asker);
    messages.into_iter().fold(of_head, ForAnswer::and)
}

/// What the flags find in the head of a stream and in each of its messages.
pub(super) fn findings(channel: &Channel, answer: &AnswerView<'_>) -> Vec<Finding> {
    let head = StreamHead::new(answer.status, answer.headers);
    let find = |event: &Event| {
        let body = Body::new(event.data.clone());
        finding::findings(channel, &head.view(event, Some(&body)))
    };
    let of_head = find(&Event::default());
    let plain = answer.body.and_then(|body| body.plain().ok());
    let (Some(plain), Some(format)) = (plain, format(answer.headers)) else {
        return of_head;
    };
    events(format, plain).fold(of_head, |found, event| finding::merge(found, find(&event)))
}

/// The messages of a stream that has come to its end.
fn events(format: Format, plain: &[u8]) -> impl Iterator<Item = Event> {
    format.pieces(plain).filter_map(|piece| match piece {
        Piece::Event(event) => Some(event),
        Piece::Filler(_) | Piece::Over { .. } => None,
    })
}

impl ForAnswer {
    /// The verdict on two messages that go or stay together.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Block(reason), _) | (_, Self::Block(reason)) => Self::Block(reason),
            (
                Self::Challenge { flag, level },
                Self::Challenge {
                    flag: other,
                    level: more,
                },
            ) => Self::Challenge {
                flag: if more > level { other } else { flag },
                level: level.max(more),
            },
            (challenge @ Self::Challenge { .. }, _) | (_, challenge @ Self::Challenge { .. }) => {
                challenge
            }
            (
                Self::Release { reason, mut strip },
                Self::Release {
                    reason: other,
                    strip: more,
                },
            ) => {
                let new: Vec<_> = more.into_iter().filter(|f| !strip.contains(f)).collect();
                strip.extend(new);
                let reason = match (reason, other) {
                    (Reason::Authenticated, _) | (_, Reason::Unflagged) => reason,
                    _ => other,
                };
                Self::Release { reason, strip }
            }
        }
    }
}
