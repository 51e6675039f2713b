//! The first look at a request: whatever two readers could read in two ways is
//! refused before anything is decided on it.

use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST};
use http::uri::Authority;
use http::{HeaderName, Method, Version};
use pingora::http::RequestHeader;

use crate::message::target;
use crate::reason::Reason;

/// Headers that decide something and must not come twice. `Cookie` may, on
/// HTTP/2 (RFC 9113, section 8.2.3); its selector judges duplicates by name.
const SINGLE: &[HeaderName] = &[
    HOST,
    AUTHORIZATION,
    CONTENT_TYPE,
    CONTENT_LENGTH,
    CONTENT_ENCODING,
];

/// What was established about the request target.
#[derive(Debug)]
pub(super) struct Target {
    /// The host, lower case, without port.
    pub host: String,
    /// The path, byte for byte as it is forwarded.
    pub path: String,
    /// The query without `?`.
    pub query: Option<String>,
}

impl Target {
    /// Path and query.
    pub(super) fn whole(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }
}

/// Checks target, host and duplicates.
///
/// `line` is the request line as it came, where there is one (HTTP/1): the parsed
/// target has lost a fragment, which a reader behind us might not have lost.
pub(super) fn admit(head: &RequestHeader, line: Option<&[u8]>) -> Result<Target, Reason> {
    if line.is_some_and(|line| line.contains(&b'#')) {
        return Err(Reason::AmbiguousPath);
    }
    if has_doubles(head) {
        return Err(Reason::DuplicateHeader);
    }

    let raw = std::str::from_utf8(head.raw_path()).map_err(|_| Reason::AmbiguousPath)?;
    // `OPTIONS *` asks about the server, which has nothing to say; absolute-form
    // and authority-form targets name a second host.
    if raw == "*" && head.method == Method::OPTIONS || !raw.starts_with('/') {
        return Err(Reason::AmbiguousPath);
    }
    let (path, query) = match raw.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (raw, None),
    };
    target::check_path(path)?;
    if query.is_some_and(|query| query.bytes().any(|b| b <= b' ' || b == 0x7f)) {
        return Err(Reason::AmbiguousPath);
    }

    Ok(Target {
        host: host(head)?,
        path: path.to_owned(),
        query: query.map(str::to_owned),
    })
}

/// Whether a header that has to be single comes twice.
fn has_doubles(head: &RequestHeader) -> bool {
    let headers = &head.headers;
    // Most requests have no header twice, and that is known without looking for any.
    if headers.len() == headers.keys_len() {
        return false;
    }
    let twice = |name: &HeaderName| headers.get_all(name).iter().nth(1).is_some();
    SINGLE.iter().any(twice) || head.version != Version::HTTP_2 && twice(&COOKIE)
}

/// The one host that the request names.
fn host(head: &RequestHeader) -> Result<String, Reason> {
    let named = head
        .headers
        .get(HOST)
        .map(|value| value.to_str().map_err(|_| Reason::BadHost))
        .transpose()?;
    let authority = head.uri.authority().map(Authority::as_str);
    let text = match (named, authority) {
        (Some(named), Some(authority)) if !named.eq_ignore_ascii_case(authority) => {
            return Err(Reason::BadHost);
        }
        (Some(text), _) | (None, Some(text)) => text,
        (None, None) => return Err(Reason::BadHost),
    };
    // A name without a port, in lower case, as most are, has nothing to be taken apart.
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    if !text.is_empty() && text.bytes().all(plain) {
        return Ok(text.to_owned());
    }
    let authority: Authority = text.parse().map_err(|_| Reason::BadHost)?;
    let host = authority.host();
    match text.contains('@') || host.is_empty() {
        true => Err(Reason::BadHost),
        false => Ok(host.to_ascii_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head(target: &str, headers: &[(&'static str, &str)]) -> RequestHeader {
        let mut head = RequestHeader::build("GET", target.as_bytes(), None).unwrap();
        for (name, value) in headers {
            head.append_header(*name, value.to_string()).unwrap();
        }
        head
    }

    fn admit_line(head: &RequestHeader) -> Result<Target, Reason> {
        admit(head, None)
    }

    #[test]
    fn a_fragment_is_refused_where_it_can_be_seen() {
        let head = head("/x?y", &[("Host", "a")]);
        assert!(admit(&head, Some(b"GET /x?y HTTP/1.1")).is_ok());
        let refused = admit(&head, Some(b"GET /x?y#z HTTP/1.1"));
        assert_eq!(refused.unwrap_err(), Reason::AmbiguousPath);
    }

    #[test]
    fn an_ordinary_request_is_admitted() {
        let target = admit_line(&head("/a/b?x=1", &[("Host", "Chat.Example.com:8080")])).unwrap();
        assert_eq!((&*target.host, &*target.path), ("chat.example.com", "/a/b"));
        assert_eq!(target.query.as_deref(), Some("x=1"));
    }

    #[test]
    fn hosts_that_are_missing_doubled_or_odd_are_refused() {
        assert_eq!(admit_line(&head("/", &[])).unwrap_err(), Reason::BadHost);
        assert_eq!(
            admit_line(&head("/", &[("Host", "a@b")])).unwrap_err(),
            Reason::BadHost
        );
        assert_eq!(
            admit_line(&head("/", &[("Host", "")])).unwrap_err(),
            Reason::BadHost
        );
        let twice = [("Host", "a"), ("Host", "a")];
        assert_eq!(
            admit_line(&head("/", &twice)).unwrap_err(),
            Reason::DuplicateHeader
        );
    }

    proptest! {
        #[test]
        fn a_plain_host_is_the_one_that_a_parser_finds(host in "[a-z0-9.-]{1,20}") {
            let parsed: Authority = host.parse().unwrap();
            let target = admit_line(&head("/", &[("Host", &host)])).unwrap();
            prop_assert_eq!(target.host, parsed.host());
        }
    }

    #[test]
    fn a_second_authorization_is_refused() {
        let twice = [
            ("Host", "a"),
            ("Authorization", "Bearer x"),
            ("Authorization", "Bearer y"),
        ];
        assert_eq!(
            admit_line(&head("/", &twice)).unwrap_err(),
            Reason::DuplicateHeader
        );
    }

    #[test]
    fn a_target_that_is_no_path_is_refused() {
        for target in ["*", "http://a/b", "a"] {
            assert_eq!(
                admit_line(&head(target, &[("Host", "a")])).unwrap_err(),
                Reason::AmbiguousPath,
                "{target}"
            );
        }
    }
}
