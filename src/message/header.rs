//! Header names that are one name in disguise.
//!
//! Backends map header names to variables, and the mapping folds: `X-User`,
//! `x_user` and `X.User` become one. A managed header is removed in all of them.

/// Folds a name: lower case, every non-alphanumeric byte becomes `-`.
pub fn fold(name: &str) -> String {
    todo!()
}

/// The set of managed header names, asked on every request.
#[derive(Clone, Debug, Default)]
pub struct ManagedHeaders {
    _todo: (),
}

impl ManagedHeaders {
    /// Collects the names.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        todo!()
    }

    /// Whether `name` is a managed header or an alias of one. No allocation.
    pub fn covers(&self, name: &str) -> bool {
        todo!()
    }
}

/// Headers that belong to one connection (RFC 9110, section 7.6.1), `Upgrade` apart.
pub const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
];

/// The values of every `name` cookie in all `Cookie` headers, in order.
pub fn cookies<'a>(headers: &'a http::HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let _ = (headers, name);
    std::iter::empty()
}
