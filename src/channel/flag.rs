//! What makes an answer require authentication.

use http::{HeaderName, StatusCode};
use serde_json::Value;

use crate::interaction::Level;
use crate::message::{AnswerView, JsonPath, Selector};

/// A rule: an answer is flagged when all its conditions hold.
#[derive(Clone, Debug)]
pub struct Flag {
    /// The operator's name for it.
    pub name: Box<str>,
    /// Statuses; empty means any.
    pub status: Vec<StatusCode>,
    /// A header that must be there, with one of these values (empty: any value).
    pub header: Option<(HeaderName, Vec<Box<str>>)>,
    /// A query that must select something (equal to `equals`, if given).
    pub json: Option<JsonCondition>,
    /// The level it demands.
    pub level: FlagLevel,
    /// Only observed: logged, not enforced.
    pub observe: bool,
    /// Whether the flag (header, JSON member) is removed from a released answer.
    pub strip: bool,
}

/// A condition on the body.
#[derive(Clone, Debug)]
pub struct JsonCondition {
    /// What to look for, anywhere.
    pub path: JsonPath,
    /// The value one of the selected must have; `None`: any but `false` and `null`.
    pub equals: Option<Value>,
}

/// The level that a flag demands.
#[derive(Clone, Debug)]
pub enum FlagLevel {
    /// Always this one.
    Fixed(Level),
    /// Named in the answer; `fallback` when the answer names none, and the highest
    /// known level when it names one that is not known.
    Named {
        /// Where the name is.
        selector: Selector,
        /// Known names, lowest first, as in the configuration's `levels`.
        names: Vec<Box<str>>,
        /// When the answer names none.
        fallback: Level,
    },
}

/// What a rule says of an answer of which only the head is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// It cannot match, whatever the body says.
    No,
    /// It matches, whatever the body says.
    Yes,
    /// The body decides.
    Body,
}

impl Flag {
    /// Judges the head alone.
    pub fn head(&self, answer: &AnswerView<'_>) -> Head {
        todo!()
    }

    /// Whether the whole answer is flagged. The caller has ruled out bodies that
    /// cannot be read; here a body that is absent or not JSON matches no JSON condition.
    pub fn matches(&self, answer: &AnswerView<'_>) -> bool {
        todo!()
    }

    /// The level it demands of this answer.
    pub fn level(&self, answer: &AnswerView<'_>) -> Level {
        todo!()
    }
}
