//! The match with the company's records: whoever proved something has to be in them,
//! and as they say.
//!
//! [`Match::judge`] is the rule, and knows no directory; [`RecordCache`] asks for what
//! it judges.

mod cache;
mod normal;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

pub use cache::RecordCache;
pub use normal::{DateForm, Normal, Plan};

use crate::directory::{Directory, Fault, Query, Record};
use crate::interaction::Identity;
use crate::message::MemberPath;
use crate::reason::Reason;

/// One look into the records, and what they have to say.
#[derive(Debug)]
pub struct Match {
    /// The operator's name for it.
    pub name: Box<str>,
    /// Where the records are.
    pub directory: Arc<Directory>,
    /// What it is asked.
    pub query: Query,
    /// The values that the query takes, in order.
    pub variables: Vec<Variable>,
    /// What has to be the same. All of it.
    pub equal: Vec<Equal>,
    /// What is taken over.
    pub fetch: Vec<Fetch>,
    /// How long an answer counts; also that there is no record, but at most 5 s.
    pub cache: Duration,
    /// What a directory that cannot be reached means.
    pub unreachable: Unreachable,
    /// Tells the answers to this rule from those to all others, also from itself
    /// before a reload.
    pub id: [u8; 16],
}

/// A claim, and a field of the record that has to say the same.
#[derive(Clone, Debug)]
pub struct Equal {
    /// The claim's place.
    pub claim: MemberPath,
    /// The field's name.
    pub field: Box<str>,
    /// When they say the same.
    pub normal: Normal,
}

/// A field of the record that becomes a claim.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// The claim's name.
    pub claim: Box<str>,
    /// The field's name.
    pub field: Box<str>,
}

/// What a directory that cannot be reached means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unreachable {
    /// Nobody counts as authenticated.
    #[default]
    Deny,
    /// The customer counts without the records' word and without fetched claims.
    Pass,
}

/// Longest value that is asked for, in bytes. One that makes a directory hang up would
/// make it look as if nobody could reach it.
pub const MAX_VALUE: usize = 1 << 10;

/// Something that is known of a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// The subject.
    Subject,
    /// One claim: `claims.email`, `claims.address.city`.
    Claim(MemberPath),
}

impl Variable {
    /// Reads the name an operator writes.
    ///
    /// # Errors
    /// What is wrong, with the name that was probably meant.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "subject" {
            return Ok(Self::Subject);
        }
        if let Ok(MemberPath(mut names)) = MemberPath::parse(text)
            && names.len() > 1
            && *names.remove(0) == *"claims"
        {
            return Ok(Self::Claim(MemberPath(names)));
        }
        Err(match text {
            text if strsim::damerau_levenshtein(text, "subject") < 3 => {
                format!("unknown variable `{text}`; did you mean `subject`?")
            }
            text => {
                let claim = text.rsplit('.').next().unwrap_or_default();
                format!("unknown variable `{text}`; did you mean `claims.{claim}`?")
            }
        })
    }

    /// Its text for this customer: a string that is not blank, a whole number, a boolean.
    /// What is longer than [`MAX_VALUE`] is in no record.
    pub fn value(&self, identity: &Identity) -> Option<String> {
        let text = match self {
            Self::Subject => normal::text(&Value::from(identity.subject())),
            Self::Claim(path) => normal::text(&identity.claim(&path.0)?),
        };
        text.filter(|text| text.len() <= MAX_VALUE)
    }
}

/// How a look into the records ended.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// They say the same: who the customer is, with what was fetched.
    Matched(Arc<Identity>),
    /// Nobody could be asked, and that is to make no difference.
    Passed,
    /// The customer does not count, and the claim that this is about, where it is about one.
    Refused(Reason, Option<Box<str>>),
}

impl Match {
    /// The fields that it needs.
    pub fn fields(&self) -> Vec<Box<str>> {
        let equal = self.equal.iter().map(|equal| &equal.field);
        let mut fields: Vec<_> = equal
            .chain(self.fetch.iter().map(|fetch| &fetch.field))
            .cloned()
            .collect();
        fields.sort_unstable();
        fields.dedup();
        fields
    }

    /// The values of the query for this customer; `None` where one is missing, so that
    /// there is nothing to look for.
    pub fn values(&self, identity: &Identity) -> Option<Vec<String>> {
        let values = self.variables.iter();
        values.map(|variable| variable.value(identity)).collect()
    }

    /// Judges a customer by what was found. A claim that the proof has already is never
    /// replaced: a fetched one that says something else, or nothing, is a mismatch.
    pub fn judge(
        &self,
        identity: &Arc<Identity>,
        found: &Result<Option<Arc<Record>>, Fault>,
    ) -> Verdict {
        let record = match found {
            Ok(Some(record)) => record,
            Ok(None) => return Verdict::Refused(Reason::RecordMissing, None),
            Err(Fault::Ambiguous) => return Verdict::Refused(Reason::RecordAmbiguous, None),
            // What answers and refuses may have been made to by what a customer wrote.
            Err(Fault::Unavailable(_)) if self.unreachable == Unreachable::Pass => {
                return Verdict::Passed;
            }
            Err(Fault::Unavailable(_) | Fault::Refused(_)) => {
                return Verdict::Refused(Reason::RecordUnavailable, None);
            }
        };
        for Equal {
            claim,
            field,
            normal,
        } in &self.equal
        {
            let claimed = identity.claim(&claim.0);
            let recorded = record.fields.get(&**field);
            let same = claimed
                .zip(recorded)
                .is_some_and(|(claimed, recorded)| normal.same(&claimed, recorded));
            if !same {
                let claim = claim.0.join(".").into();
                return Verdict::Refused(Reason::RecordMismatch, Some(claim));
            }
        }
        if self.fetch.is_empty() {
            return Verdict::Matched(identity.clone());
        }
        let mut claims = identity.claims();
        for Fetch { claim, field } in &self.fetch {
            let value = record.fields.get(&**field).filter(|value| !value.is_null());
            match (claims.get(&**claim), value) {
                (None | Some(Value::Null), None) => {}
                (None, Some(value)) => {
                    claims.insert(claim.to_string(), value.clone());
                }
                (Some(known), Some(value)) if known == value => {}
                // Nor does a record that says nothing bear the proof out.
                _ => return Verdict::Refused(Reason::RecordMismatch, Some(claim.clone())),
            }
        }
        let identity = Identity::new(identity.subject(), identity.level, &claims);
        Verdict::Matched(Arc::new(identity))
    }
}
