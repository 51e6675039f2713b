//! An answer with many messages in an array: each element is an answer of its own.

use bytes::Bytes;

use super::ForAnswer;
use super::answer::{Asker, one};
use super::finding::{Finding, in_one, merge};
use crate::channel::{Channel, Flag, Items, Unreadable};
use crate::message::elements::Elements;
use crate::message::json::Malformed;
use crate::message::{AnswerView, Body};
use crate::reason::Reason;

/// An answer that was judged element by element.
#[derive(Clone, Debug)]
pub struct JudgedItems {
    /// Where the elements are.
    pub elements: Elements,
    /// The verdict on each.
    pub verdicts: Vec<ForAnswer>,
    /// The verdict on what is around them.
    rest: ForAnswer,
}

impl JudgedItems {
    /// The verdict on all that can be told apart.
    fn all(&self) -> ForAnswer {
        let verdicts = self.verdicts.iter().cloned();
        verdicts.fold(self.rest.clone(), ForAnswer::and)
    }
}

/// Judges an answer element by element. `None` when it goes or stays as a whole:
/// the channel names no array, the answer has none, what is around it is withheld,
/// or the flag is nothing that one element has.
///
/// An element is judged by itself and as the only one of its answer, so a flag may
/// name it from the element's top or from the answer's.
pub fn items(channel: &Channel, answer: &AnswerView<'_>, asker: Asker) -> Option<JudgedItems> {
    let whole = one(channel, answer, asker);
    let items = channel.items.as_ref()?;
    let judged = judge(channel, items, answer, &whole, asker).ok()??;
    let released = |verdict: &ForAnswer| matches!(verdict, ForAnswer::Release { .. });
    let blocked = |verdict: &ForAnswer| matches!(verdict, ForAnswer::Block(_));
    if !released(&judged.rest) || blocked(&whole) || judged.verdicts.iter().any(blocked) {
        return None;
    }
    // What only all of them together show cannot be told apart.
    let together = !judged.verdicts.iter().all(released) || released(&whole);
    together.then_some(judged)
}

/// The verdict on the answer as a whole, which is lighter than on none of its elements.
pub(super) fn whole(channel: &Channel, answer: &AnswerView<'_>, asker: Asker) -> ForAnswer {
    let whole = one(channel, answer, asker);
    let (Some(items), Some(body)) = (&channel.items, answer.body) else {
        return whole;
    };
    match judge(channel, items, answer, &whole, asker) {
        Ok(Some(judged)) => whole.and(judged.all()),
        Ok(None) => whole,
        // Readers differ in which elements there are, and so does what they get to see.
        Err(_) => whole.and(undivided(channel, body, asker)),
    }
}

/// What the flags find in an answer as a whole and in each of its elements.
pub(super) fn findings(channel: &Channel, answer: &AnswerView<'_>) -> Vec<Finding> {
    let whole = in_one(channel, answer);
    let (Some(items), Some(body)) = (&channel.items, answer.body) else {
        return whole;
    };
    let Ok(plain) = body.plain() else {
        return whole;
    };
    match Elements::find(plain, &items.at) {
        Ok(None) => whole,
        Ok(Some(elements)) => elements.of(plain).fold(whole, |found, element| {
            let body = Body::new(element.to_vec().into());
            let body = Some(&body);
            merge(found, in_one(channel, &AnswerView { body, ..*answer }))
        }),
        Err(_) => {
            let hides = channel.flags.iter().map(|flag| match hides(flag, body) {
                true => Finding::Unreadable(Reason::AnswerMalformed),
                false => Finding::No,
            });
            merge(whole, hides.collect())
        }
    }
}

/// Whether something that the flag looks for may be in elements that cannot be told
/// apart, though the body may be JSON.
fn hides(flag: &Flag, body: &Body) -> bool {
    let condition = flag.json.as_ref().filter(|_| !flag.observe);
    let may = |body: &Bytes| condition.is_some_and(|condition| condition.path.may_match(body));
    body.plain().is_ok_and(may) && body.json().is_ok()
}

/// An answer whose elements cannot be told apart.
fn undivided(channel: &Channel, body: &Body, asker: Asker) -> ForAnswer {
    let flags = &mut channel.flags.iter();
    let concerned = flags.any(|flag| hides(flag, body) && !flag.reached(asker.level));
    let blocks = channel.inspection.malformed == Unreadable::Block;
    if concerned && blocks {
        return ForAnswer::Block(Reason::AnswerMalformed);
    }
    ForAnswer::Release {
        reason: Reason::Unflagged,
        strip: Vec::new(),
    }
}

fn judge(
    channel: &Channel,
    items: &Items,
    answer: &AnswerView<'_>,
    whole: &ForAnswer,
    asker: Asker,
) -> Result<Option<JudgedItems>, Malformed> {
    let Some(Ok(body)) = answer.body.map(Body::plain) else {
        return Ok(None);
    };
    let Some(elements) = Elements::find(body, &items.at)? else {
        return Ok(None);
    };
    let view = |body: Vec<u8>| {
        let body = Body::new(body.into());
        let body = Some(&body);
        one(channel, &AnswerView { body, ..*answer }, asker)
    };
    let only = |kept: Option<usize>| {
        let drop = |index| (Some(index) != kept).then(Vec::new);
        elements.rewrite(body, NOTHING, drop)
    };
    let rest = only(None);
    // What the answer does not show as a whole, it does not show in parts.
    let quiet = *whole
        == ForAnswer::Release {
            reason: Reason::Unflagged,
            strip: Vec::new(),
        };
    if !quiet && rest.len().saturating_mul(elements.len()) > MOST_WORK {
        return Ok(None);
    }
    let mut verdicts = Vec::with_capacity(elements.len());
    for (index, element) in elements.of(body).enumerate() {
        let verdict = view(element.to_vec());
        verdicts.push(match quiet {
            true => verdict,
            false => verdict.and(view(only(Some(index)))),
        });
    }
    Ok(Some(JudgedItems {
        rest: view(rest),
        elements,
        verdicts,
    }))
}

const NOTHING: &[&[u8]] = &[];

/// How many bytes around elements are read again for them: a large answer of which
/// something is flagged goes or stays as a whole.
const MOST_WORK: usize = 64 << 20;
