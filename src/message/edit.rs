//! Changes members of a JSON body and leaves every other byte as it was.

use serde_json::Value;

use super::json::Malformed;

/// The place of a member: names from the top object down, e.g. `["metadata","customer"]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MemberPath(pub Vec<Box<str>>);

impl MemberPath {
    /// Reads `$.metadata.customer`, `metadata.customer` or `$['odd name'].x`.
    pub fn parse(text: &str) -> Result<Self, String> {
        todo!()
    }
}

/// Removes every copy of the `managed` members (duplicates and escaped
/// spellings too), then sets those that have a value, creating objects on the
/// way. Numbers, order, blanks of all else stay byte for byte.
///
/// When the top is not an object, or something on the way to a member that
/// has to be set is not an object: `Malformed`. Nothing to remove and nothing to
/// set returns `None`: the body can be forwarded as it is.
pub fn set_members(
    body: &[u8],
    managed: &[(&MemberPath, Option<&Value>)],
) -> Result<Option<Vec<u8>>, Malformed> {
    todo!()
}

/// Removes every member that `query` selects (used to take the flag off a released answer).
pub fn remove_selected(body: &[u8], query: &super::JsonPath) -> Result<Option<Vec<u8>>, Malformed> {
    todo!()
}
