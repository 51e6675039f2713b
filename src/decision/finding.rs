//! What flags find in an answer.

use super::readable::{format, is_json, is_unreadable, passes_by};
use super::{items, stream};
use crate::channel::flag::{FlagLevel, Head};
use crate::channel::{Channel, Flag, Inspection, Unreadable};
use crate::interaction::Level;
use crate::message::coding::Undecoded;
use crate::message::opening::opens_json;
use crate::message::{AnswerView, is_bodiless};
use crate::reason::Reason;

/// What a flag finds in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Its conditions do not hold.
    No,
    /// The body decides, and cannot be read; why.
    Unreadable(Reason),
    /// Its conditions hold, and it demands this level.
    Matches(Level),
}

impl Finding {
    /// What is found in two messages together.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Matches(one), Self::Matches(other)) => Self::Matches(one.max(other)),
            (Self::Matches(level), _) | (_, Self::Matches(level)) => Self::Matches(level),
            (Self::Unreadable(reason), _) | (_, Self::Unreadable(reason)) => {
                Self::Unreadable(reason)
            }
            (Self::No, Self::No) => Self::No,
        }
    }
}

/// What each of the channel's flags finds in an answer, in whatever part of it: what
/// [`super::answer()`] decides by.
pub fn findings(channel: &Channel, answer: &AnswerView<'_>) -> Vec<Finding> {
    match (answer.body, format(answer.headers)) {
        (Some(body), Some(_)) if body.plain().is_ok() => stream::findings(channel, answer),
        (Some(_), None) if channel.items.is_some() => items::findings(channel, answer),
        _ => in_one(channel, answer),
    }
}

/// The same in an answer that is one message.
pub(super) fn in_one(channel: &Channel, answer: &AnswerView<'_>) -> Vec<Finding> {
    let flags = channel.flags.iter();
    flags.map(|flag| flag.find(channel, answer)).collect()
}

/// What is found in two messages together, flag by flag.
pub(super) fn merge(found: Vec<Finding>, more: Vec<Finding>) -> Vec<Finding> {
    let pairs = found.into_iter().zip(more);
    pairs.map(|(found, more)| found.and(more)).collect()
}

impl Flag {
    /// What it finds in an answer that is one message.
    pub(super) fn find(&self, channel: &Channel, answer: &AnswerView<'_>) -> Finding {
        match self.head(answer) {
            Head::No => Finding::No,
            Head::Yes => Finding::Matches(self.level(answer)),
            Head::Body if passes_by(channel, answer.headers) => Finding::No,
            Head::Body => match self.body(channel, answer) {
                Ok(true) => Finding::Matches(self.level(answer)),
                Ok(false) => Finding::No,
                Err(reason) => Finding::Unreadable(reason),
            },
        }
    }

    /// Whether the condition on the body holds, or why that cannot be decided.
    fn body(&self, channel: &Channel, answer: &AnswerView<'_>) -> Result<bool, Reason> {
        let Some(condition) = self.json.as_ref().filter(|_| !is_bodiless(answer.status)) else {
            return Ok(false);
        };
        if is_unreadable(answer.headers) {
            return Err(Reason::AnswerUndecodable);
        }
        let body = answer.body.ok_or(Reason::AnswerTooLarge)?;
        let bytes = body.plain().map_err(|error| match error {
            Undecoded::TooLong => Reason::AnswerTooLarge,
            Undecoded::Broken => Reason::AnswerUndecodable,
        })?;
        if body.is_widened() && !condition.is_ascii() {
            return Err(Reason::AnswerUndecodable);
        }
        // True of every encoding with NUL bytes (UTF-16, UTF-32), which some readers
        // understand.
        if bytes.is_empty() || !condition.path.may_match(bytes) {
            return Ok(false);
        }
        match body.json() {
            Ok(json) => Ok(condition.holds(json)),
            Err(_)
                if is_json(channel, answer.headers) || opens_json(bytes) || bytes.contains(&0) =>
            {
                Err(Reason::AnswerMalformed)
            }
            Err(_) => Ok(false),
        }
    }

    /// Whether this level satisfies the flag, whatever level the answer names.
    pub(super) fn reached(&self, level: Level) -> bool {
        match &self.level {
            FlagLevel::Fixed(wants) => level >= *wants,
            FlagLevel::Named {
                names, fallback, ..
            } => level >= *fallback && usize::from(level.0) >= names.len(),
        }
    }
}

impl Inspection {
    /// What becomes of an answer that cannot be judged for this reason.
    pub(super) fn then(&self, reason: Reason) -> Unreadable {
        match reason {
            Reason::AnswerTooLarge => self.oversize,
            Reason::AnswerUndecodable => self.undecodable,
            _ => self.malformed,
        }
    }
}
