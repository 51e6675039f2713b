//! What the head of an answer says of how the answer has to be handled.

use super::readable::{is_unreadable, passes_by, said_to_stream};
use crate::channel::flag::Head;
use crate::channel::{Channel, Flag};
use crate::interaction::Level;
use crate::message::stream::Format;
use crate::message::{AnswerView, is_bodiless};

/// What the head of an answer says of how it has to be handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Candidate {
    /// Nothing in it can be flagged against this customer: it streams.
    No,
    /// It is held back until the verdict.
    Yes,
    /// It goes on message by message, each judged when it passes: a login may run out
    /// while the stream lasts.
    Stream(Format),
    /// Its body cannot be read or need not be, and may have no end: [`super::answer()`] decides
    /// by the head.
    Unreadable,
    /// A stream that cannot be read and need not be. It goes on for as long as its
    /// customer's login counts.
    Opaque,
}

/// Whether an answer has to be held for [`super::answer()`], by its head alone.
pub fn candidate(channel: &Channel, head: &AnswerView<'_>, level: Level) -> Candidate {
    let concerns = |flag: &Flag| match flag.head(head) {
        Head::No => false,
        Head::Yes => flag.observe || flag.strip || !flag.reached(level),
        Head::Body => {
            !passes_by(channel, head.headers)
                && (flag.observe || flag.strip || !flag.reached(level))
        }
    };
    if head.status.is_informational() {
        return Candidate::No;
    }
    if let Some(format) = said_to_stream(head.headers).filter(|_| !is_bodiless(head.status)) {
        return match is_unreadable(head.headers) {
            true if concerns_stream(channel, head) => Candidate::Unreadable,
            true => Candidate::No,
            false => streamed(channel, head, level, format),
        };
    }
    if !channel.flags.iter().any(concerns) {
        let readable = !passes_by(channel, head.headers) && !is_unreadable(head.headers);
        return match channel.link.is_some() && readable && !is_bodiless(head.status) {
            true => Candidate::Yes,
            false => Candidate::No,
        };
    }
    if is_unreadable(head.headers) && !is_bodiless(head.status) {
        return Candidate::Unreadable;
    }
    Candidate::Yes
}

/// Whether an answer that is not held may be one that a login was needed for: nobody
/// looked into its body, as whoever asks may read it in any case.
pub fn needed_login(channel: &Channel, head: &AnswerView<'_>, level: Level) -> bool {
    let flagged = |flag: &Flag| match flag.head(head) {
        Head::No => false,
        Head::Yes => true,
        Head::Body => !passes_by(channel, head.headers) && !is_bodiless(head.status),
    };
    level > Level::ANONYMOUS
        && channel
            .flags
            .iter()
            .any(|flag| !flag.observe && flagged(flag))
}

/// A stream in which nothing is flagged, or need be looked for, on a route where it ends
/// with a login.
pub fn watched(head: &AnswerView<'_>) -> Candidate {
    match said_to_stream(head.headers).filter(|_| !is_bodiless(head.status)) {
        None => Candidate::No,
        Some(_) if is_unreadable(head.headers) => Candidate::Opaque,
        Some(format) => Candidate::Stream(format),
    }
}

/// Who gets a stream now may not be whom its next message is for.
fn streamed(channel: &Channel, head: &AnswerView<'_>, level: Level, format: Format) -> Candidate {
    let demands =
        |flag: &&Flag| !flag.observe && flag.head(head) == Head::Yes && flag.level(head) > level;
    if channel.flags.iter().any(|flag| demands(&flag)) {
        return Candidate::Unreadable;
    }
    match concerns_stream(channel, head) || channel.link.is_some() {
        true => Candidate::Stream(format),
        false => Candidate::No,
    }
}

/// Whether a message of the stream may be flagged.
pub(super) fn concerns_stream(channel: &Channel, head: &AnswerView<'_>) -> bool {
    let flags = &mut channel.flags.iter();
    flags.any(|flag| flag.head(head) != Head::No)
}
