//! JSON bodies, read the way a suspicious reader does.
//!
//! Two readers can disagree on one document: of duplicate members one takes the
//! first, another the last. Whatever decides about a body has to hold for every
//! reader behind the gateway, so [`Json`] keeps each reading as a view.

use serde_json::Value;
use serde_json_path::JsonPath as Rfc9535;

/// Why a body is not JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub String);

/// A JSON document.
#[derive(Clone, Debug)]
pub struct Json {
    views: Vec<Value>,
}

impl Json {
    /// Parses a whole body: UTF-8, an optional byte order mark, at most 128
    /// levels deep, nothing after it.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        todo!()
    }

    /// Every reading of the document: one where no member is given twice, else
    /// the first-wins reading, the last-wins reading, and those between.
    pub fn views(&self) -> &[Value] {
        &self.views
    }
}

/// A compiled RFC 9535 query, with the member names it cannot match without.
#[derive(Clone, Debug)]
pub struct JsonPath {
    text: Box<str>,
    query: Rfc9535,
    // … finders for the member names
}

impl JsonPath {
    /// Compiles a query. The error says where and what.
    pub fn parse(text: &str) -> Result<Self, String> {
        todo!()
    }

    /// The query as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// A cheap look at the raw bytes: `false` means that the query certainly
    /// selects nothing, whatever the spelling (escapes included).
    pub fn may_match(&self, bytes: &[u8]) -> bool {
        todo!()
    }

    /// Every value that the query selects, over every reading of the document.
    pub fn select<'j>(&self, json: &'j Json) -> Vec<&'j Value> {
        todo!()
    }
}
