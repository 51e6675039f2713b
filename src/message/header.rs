//! Header names that are one name in disguise.
//!
//! Backends map header names to variables, and the mapping folds: `X-User`,
//! `x_user` and `X.User` become one. A managed header is removed in all of them.

/// Folds a name: lower case, every non-alphanumeric byte becomes `-`.
pub fn fold(name: &str) -> String {
    name.bytes()
        .map(|byte| char::from(fold_byte(byte)))
        .collect()
}

/// Whether these headers have an alias of `name`: another name that folds into the same.
pub fn has_alias(headers: &http::HeaderMap, name: &http::HeaderName) -> bool {
    let wanted = name.as_str();
    // Names of letters and digits alone have none: their case is gone.
    !wanted.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && headers.keys().any(|other| {
            let folded = other.as_str().bytes().map(fold_byte);
            other.as_str().len() == wanted.len()
                && other != name
                && folded.eq(wanted.bytes().map(fold_byte))
        })
}

/// Whether `name` is `known`, a folded name, or an alias of it. No allocation.
pub fn is_alias(name: &str, known: &str) -> bool {
    name.len() == known.len() && has_prefix(name, known)
}

/// Whether `name` begins like `prefix`, the beginning of a folded name. No allocation.
pub fn has_prefix(name: &str, prefix: &str) -> bool {
    let start = name.as_bytes().get(..prefix.len());
    start.is_some_and(|start| start.iter().copied().map(fold_byte).eq(prefix.bytes()))
}

/// The set of managed header names, asked on every request.
#[derive(Clone, Debug, Default)]
pub struct ManagedHeaders {
    folded: Vec<Box<str>>,
    /// Bit `n` is set when a name of `n` bytes is managed (63: that or longer).
    lengths: u64,
}

impl ManagedHeaders {
    /// Collects the names.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut folded: Vec<Box<str>> = names.into_iter().map(|name| fold(name).into()).collect();
        folded.sort_unstable();
        folded.dedup();
        let lengths = folded.iter().fold(0, |bits, name| bits | length_bit(name));
        Self { folded, lengths }
    }

    /// Whether `name` is a managed header or an alias of one. No allocation.
    pub fn covers(&self, name: &str) -> bool {
        self.lengths & length_bit(name) != 0
            && self.folded.iter().any(|managed| is_alias(name, managed))
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

/// The values of every `name` cookie in all `Cookie` headers, in order. A value
/// that is not UTF-8 is passed over; [`raw_cookies`] has it.
pub fn cookies<'a>(headers: &'a http::HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    raw_cookies(headers, name).filter_map(|value| std::str::from_utf8(value).ok())
}

/// The same, byte for byte. Blanks around names and values do not count, as
/// browsers have it (RFC 6265bis); only space and tab are blanks.
pub fn raw_cookies<'a>(
    headers: &'a http::HeaderMap,
    name: &'a str,
) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(http::header::COOKIE)
        .into_iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
        .filter_map(move |pair| {
            let equals = memchr::memchr(b'=', pair)?;
            let (key, value) = pair.split_at_checked(equals)?;
            (trim(key) == name.as_bytes()).then(|| trim(value.get(1..).unwrap_or_default()))
        })
}

/// A header value that arrives as it is, UTF-8; `None` for a text with a control
/// character in it or a blank at an end.
pub fn exact_value(text: &str) -> Option<http::HeaderValue> {
    if text.trim() != text || text.contains(char::is_control) {
        return None;
    }
    http::HeaderValue::from_bytes(text.as_bytes()).ok()
}

const fn fold_byte(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' | b'0'..=b'9' => byte,
        b'A'..=b'Z' => byte.to_ascii_lowercase(),
        _ => b'-',
    }
}

fn length_bit(name: &str) -> u64 {
    1 << name.len().min(63)
}

fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        lines
            .iter()
            .map(|line| (http::header::COOKIE, HeaderValue::from_str(line).unwrap()))
            .collect()
    }

    #[test]
    fn folds() {
        assert_eq!(fold("X_Customer.Id~1"), "x-customer-id-1");
    }

    #[test]
    fn aliases_are_covered_and_others_are_not() {
        let managed = ManagedHeaders::new(["X-Customer-Id", "X-Level"]);
        for alias in ["x-customer-id", "X_CUSTOMER_ID", "x.customer'id", "x-level"] {
            assert!(managed.covers(alias), "{alias}");
        }
        for other in [
            "x-customer-i",
            "x-customer-idd",
            "xcustomerid",
            "x--level",
            "",
            "x-leveI",
        ] {
            assert!(!managed.covers(other), "{other}");
        }
        assert!(!ManagedHeaders::default().covers("x-level"));
    }

    #[test]
    fn a_name_begins_with_a_prefix_in_every_spelling() {
        for name in [
            "x-original-url",
            "X_Original.x",
            "x-original-",
            "X~ORIGINAL_",
        ] {
            assert!(has_prefix(name, "x-original-"), "{name}");
        }
        for name in [
            "x-original",
            "x-originalurl",
            "y-original-url",
            "",
            "\u{e9}",
        ] {
            assert!(!has_prefix(name, "x-original-"), "{name}");
        }
    }

    #[test]
    fn all_cookie_lines_are_read() {
        let headers = headers(&[
            "a=1; sid=x",
            "sid = \"y z\" ;b",
            "sid=;SID=n;xsid=n; sid=a=b",
        ]);
        let found: Vec<_> = cookies(&headers, "sid").collect();
        assert_eq!(found, ["x", "\"y z\"", "", "a=b"]);
        assert_eq!(cookies(&headers, "c").count(), 0);
        assert_eq!(cookies(&HeaderMap::new(), "sid").count(), 0);
    }

    #[test]
    fn only_space_and_tab_are_blank_in_cookies() {
        // U+2000 is a blank to some servers: it must not turn another cookie into ours.
        let line = HeaderValue::from_bytes("\u{2000}__Host-x=1; =__Host-x=2".as_bytes()).unwrap();
        let headers: HeaderMap = [(http::header::COOKIE, line)].into_iter().collect();
        assert_eq!(raw_cookies(&headers, "__Host-x").count(), 0);
    }

    proptest! {
        #[test]
        fn covers_is_equality_of_folded_names(
            managed in prop::collection::vec("[A-Za-z0-9_.~!-]{0,6}", 0..4),
            name in "[A-Za-z0-9_.~!-]{0,6}",
        ) {
            let set = ManagedHeaders::new(managed.iter().map(String::as_str));
            let folded = managed.iter().any(|m| fold(m) == fold(&name));
            prop_assert_eq!(set.covers(&name), folded);
        }

        #[test]
        fn every_alias_of_a_managed_name_is_covered(
            name in "[A-Za-z0-9-]{1,80}",
            noise in prop::collection::vec((any::<bool>(), prop::sample::select(b"-_.~!#$%&'*+^`|".to_vec())), 80),
        ) {
            let alias: String = name.bytes().zip(noise).map(|(byte, (upper, special))| {
                char::from(match byte {
                    b'-' => special,
                    _ if upper => byte.to_ascii_uppercase(),
                    _ => byte.to_ascii_lowercase(),
                })
            }).collect();
            prop_assert!(ManagedHeaders::new([&*name, "x-other"]).covers(&alias));
        }
    }
}
