//! Request targets. The path that is matched is byte for byte the path that is
//! forwarded; a spelling that two readers could read differently is refused.

use crate::reason::Reason;

/// Checks a path (without query): `//`, dot segments in any spelling, encoded
/// slashes, backslashes, `;` parameters, controls, NUL, broken or overlong
/// escapes, percent-encoded unreserved characters, `#`: all [`Reason::AmbiguousPath`].
pub fn check_path(path: &str) -> Result<(), Reason> {
    todo!()
}

/// Decodes the pairs of a query or a form body (`application/x-www-form-urlencoded`).
pub fn pairs(query: &str) -> Vec<(String, String)> {
    todo!()
}

/// Percent-encodes everything but RFC 3986 unreserved characters.
pub fn encode(value: &str) -> String {
    todo!()
}
