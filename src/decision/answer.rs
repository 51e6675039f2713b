//! What to do with an answer.

use super::candidate::concerns_stream;
use super::finding::Finding;
use super::readable::{is_unreadable, said_to_stream};
use super::{items, stream};
use crate::channel::flag::Head;
use crate::channel::{Channel, Flag, Unreadable};
use crate::interaction::Level;
use crate::message::coding::Undecoded;
use crate::message::{self, AnswerView, is_bodiless};
use crate::reason::Reason;

/// The verdict on an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForAnswer {
    /// It goes to the customer.
    Release {
        /// Why.
        reason: Reason,
        /// The flags to take off, by their index in the channel.
        strip: Vec<usize>,
    },
    /// It is withheld, and the customer is asked to log in.
    Challenge {
        /// The flag that demands the most, by its index in the channel.
        flag: usize,
        /// The level that has to be reached.
        level: Level,
    },
    /// It is withheld, and the customer gets an error.
    Block(Reason),
}

/// Who an answer is for, at the moment it is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The level that counts.
    pub level: Level,
    /// Whether the interaction is named: without that nobody can be asked to log in.
    pub named: bool,
    /// Whether the interaction is somebody else's.
    pub foreign: bool,
}

impl Asker {
    /// Nobody in particular.
    pub const ANONYMOUS: Asker = Asker {
        level: Level::ANONYMOUS,
        named: false,
        foreign: false,
    };
}

/// Decides on a whole answer. `answer.body` is `None` when it is longer than the
/// channel's cap.
pub fn answer(channel: &Channel, answer: &AnswerView<'_>, asker: Asker) -> ForAnswer {
    let said = said_to_stream(answer.headers);
    let readable = said.filter(|_| !is_unreadable(answer.headers));
    let verdict = match (answer.body, readable) {
        (Some(body), Some(_)) if body.plain().is_ok() => stream::whole(channel, answer, asker),
        (Some(_), None) if channel.items.is_some() => items::whole(channel, answer, asker),
        _ => one(channel, answer, asker),
    };
    match verdict {
        ForAnswer::Release { .. }
            if said.is_some()
                && !is_bodiless(answer.status)
                && (is_blind(channel, answer) || breaks_off(channel, answer)) =>
        {
            ForAnswer::Block(Reason::AnswerUndecodable)
        }
        verdict => verdict,
    }
}

/// Decides on an answer that is one message.
pub(super) fn one(channel: &Channel, answer: &AnswerView<'_>, asker: Asker) -> ForAnswer {
    let level = asker.level;
    let mut demanded: Option<(usize, Level)> = None;
    let mut strip = Vec::new();
    let mut observed = false;
    let mut undecided: Option<(Reason, Unreadable)> = None;
    for (index, flag) in channel.flags.iter().enumerate() {
        let wants = match flag.find(channel, answer) {
            Finding::No => continue,
            Finding::Unreadable(reason) => {
                // A rule that only observes never stops an answer.
                let then = channel.inspection.then(reason);
                let blocked = matches!(undecided, Some((_, Unreadable::Block)));
                if !flag.observe && !flag.reached(level) && !blocked {
                    undecided = Some((reason, then));
                }
                continue;
            }
            Finding::Matches(_) if flag.observe => {
                observed = true;
                continue;
            }
            Finding::Matches(wants) => wants,
        };
        if demanded.is_none_or(|(_, most)| wants > most) {
            demanded = Some((index, wants));
        }
        if flag.strip {
            strip.push(index);
        }
    }

    if let Some((flag, wants)) = demanded.filter(|(_, wants)| *wants > level) {
        return match channel.login {
            Some(_) if asker.foreign => ForAnswer::Block(Reason::NotOwner),
            Some(_) if asker.named => ForAnswer::Challenge { flag, level: wants },
            _ => ForAnswer::Block(Reason::ChallengeImpossible),
        };
    }
    if let Some((reason, Unreadable::Block)) = undecided {
        return ForAnswer::Block(reason);
    }
    let reason = match (demanded, undecided, observed) {
        (Some(_), ..) => Reason::Authenticated,
        (None, Some((reason, _)), _) => reason,
        (None, None, true) => Reason::FlagObserved,
        (None, None, false) => Reason::Unflagged,
    };
    ForAnswer::Release { reason, strip }
}

/// Whether a stream cannot be judged, and is not to go on for that: its head says who
/// reads it now, not who will when the rest comes.
fn is_blind(channel: &Channel, head: &AnswerView<'_>) -> bool {
    let concerns = |flag: &Flag| !flag.observe && flag.head(head) != Head::No;
    is_unreadable(head.headers)
        && channel.inspection.undecodable == Unreadable::Block
        && channel.flags.iter().any(concerns)
}

/// Whether a stream goes on message by message, until its coding turns out not to be
/// what the head says: nothing can be read from there on, whoever the reader is.
fn breaks_off(channel: &Channel, head: &AnswerView<'_>) -> bool {
    let broken = |body: &message::Body| body.plain() == Err(Undecoded::Broken);
    !is_unreadable(head.headers)
        && head.body.is_some_and(broken)
        && (concerns_stream(channel, head) || channel.link.is_some())
}

#[cfg(test)]
mod tests;
