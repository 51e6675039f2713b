//! Request targets. The path that is matched is byte for byte the path that is
//! forwarded; a spelling that two readers could read differently is refused.

use std::borrow::Cow;

use crate::reason::Reason;

/// Checks a path (without query): `//`, dot segments in any spelling, encoded
/// slashes, backslashes, `;` parameters, controls, NUL, broken or overlong
/// escapes, percent-encoded unreserved characters, `#`: all [`Reason::AmbiguousPath`].
///
/// So are escapes of `?`, `#` and `;`, escapes that decode to an escape (`%2541`),
/// and bytes that no URI has (RFC 3986, section 3.3). The path begins with `/`.
pub fn check_path(path: &str) -> Result<(), Reason> {
    if is_plain(path.as_bytes()) {
        Ok(())
    } else {
        Err(Reason::AmbiguousPath)
    }
}

/// Decodes the pairs of a query or a form body (`application/x-www-form-urlencoded`).
/// Bytes that are not UTF-8 become U+FFFD.
pub fn pairs(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (form_decode(name), form_decode(value))
        })
        .collect()
}

/// Percent-encodes everything but RFC 3986 unreserved characters.
pub fn encode(value: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let hex = |nibble: u8| char::from(HEX[usize::from(nibble & 15)]);
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        if is_unreserved(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.extend(['%', hex(byte >> 4), hex(byte)]);
        }
    }
    encoded
}

/// Undoes percent-encoding; what is no escape stays, what is not UTF-8 becomes U+FFFD.
pub fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let (byte, after) = escape(rest).unwrap_or((*first, after));
        decoded.push(byte);
        rest = after;
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

fn form_decode(text: &str) -> String {
    decode(&text.replace('+', " ")).into_owned()
}

fn is_plain(path: &[u8]) -> bool {
    let Some(path) = path.strip_prefix(b"/") else {
        return false;
    };
    let mut segments = path.split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        if segment.is_empty() && !last || !is_plain_segment(segment) {
            return false;
        }
    }
    true
}

fn is_plain_segment(segment: &[u8]) -> bool {
    if matches!(segment, b"." | b"..") {
        return false;
    }
    let mut rest = segment;
    while let [byte, after @ ..] = rest {
        rest = match byte {
            b'%' => match plain_escape(rest) {
                Some(after) => after,
                None => return false,
            },
            _ if is_path_byte(*byte) => after,
            _ => return false,
        };
    }
    true
}

/// Passes one escaped character over, all its bytes, if it has a single reading.
fn plain_escape(text: &[u8]) -> Option<&[u8]> {
    let (first, mut rest) = escape(text)?;
    let length = match first {
        b'%' if escape_follows(rest) => return None,
        b'/' | b'\\' | b';' | b'?' | b'#' => return None,
        0..=0x7f if is_unreserved(first) || first.is_ascii_control() => return None,
        0..=0x7f => return Some(rest),
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return None,
    };
    let mut bytes = [first, 0, 0, 0];
    for byte in bytes.get_mut(1..length)? {
        (*byte, rest) = escape(rest)?;
    }
    let character = std::str::from_utf8(bytes.get(..length)?).ok()?;
    (!character.contains(char::is_control)).then_some(rest)
}

/// Whether `text` would be an escape if a `%` stood in front of it.
fn escape_follows(text: &[u8]) -> bool {
    matches!(text, [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

fn escape(text: &[u8]) -> Option<(u8, &[u8])> {
    let [b'%', high, low, rest @ ..] = text else {
        return None;
    };
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    Some((digit(*high)? << 4 | digit(*low)?, rest))
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986 `pchar` without escapes and without `;`.
const fn is_path_byte(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_paths_pass() {
        for path in [
            "/",
            "/webhooks/rest/webhook",
            "/chats/a-b_c~d.e/messages/",
            "/v3/conversations/19%3Aabc%40thread.v2/x:y@z",
            "/a%20b/%C3%A4/%e2%82%ac/%F0%9F%98%80",
            "/...",
            "/.well-known/x",
            "/a..b/..c",
            "/100%25",
            "/100%25/x",
            "/(a)!$&'*+,=",
        ] {
            assert_eq!(check_path(path), Ok(()), "{path}");
        }
    }

    #[test]
    fn ambiguous_paths_do_not() {
        for path in [
            "",
            "*",
            "a",
            "a/b",
            "http://h/",
            "//",
            "//a",
            "/a//b",
            "/a//",
            "/.",
            "/..",
            "/./a",
            "/a/../b",
            "/a/.",
            "/a/..",
            "/a/./",
            "/%2e",
            "/%2E%2e/a",
            "/.%2e/a",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
            "/a;x",
            "/a;/b",
            "/..;/b",
            "/a%3bx",
            "/a%00",
            "/a\0",
            "/a%0a",
            "/a%0D%0A",
            "/a%7f",
            "/a\u{7f}",
            "/a b",
            "/a\tb",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a%u002e",
            "/%c0%ae",
            "/%C0%AF",
            "/%e0%80%af",
            "/%f0%80%80%af",
            "/%ff",
            "/%80",
            "/%C3",
            "/%C3a",
            "/%C3%",
            "/%ed%a0%80",
            "/%f5%80%80%80",
            "/%c2%85",
            "/%61dmin",
            "/a%2Db",
            "/a%5F",
            "/%7Euser",
            "/a#b",
            "/a%23b",
            "/a?b",
            "/a%3fb",
            "/%252e%252e/",
            "/%252f",
            "/%25%32%66",
            "/é",
            "/a\"b",
            "/<a>",
            "/{a}",
            "/a|b",
            "/a^b",
            "/a`b",
            "/[a]",
        ] {
            assert_eq!(check_path(path), Err(Reason::AmbiguousPath), "{path:?}");
        }
    }

    #[test]
    fn pairs_are_decoded_in_order() {
        let expected = [
            ("a", "1 2"),
            ("b", "&="),
            ("a", ""),
            ("c", ""),
            ("é", "%zz\u{fffd}"),
        ];
        let found = pairs("a=1+2&b=%26%3d&&a=&c&%C3%A9=%zz%ff");
        let found: Vec<_> = found.iter().map(|(n, v)| (&**n, &**v)).collect();
        assert_eq!(found, expected);
        assert!(pairs("").is_empty());
    }

    #[test]
    fn encodes_all_but_unreserved() {
        assert_eq!(encode("aZ0-._~ &=+%/é"), "aZ0-._~%20%26%3D%2B%25%2F%C3%A9");
    }

    proptest! {
        #[test]
        fn decode_undoes_encode(text in any::<String>()) {
            let encoded = encode(&text);
            prop_assert_eq!(&*decode(&encoded), &*text);
            let query = format!("{encoded}={encoded}");
            prop_assert_eq!(pairs(&query), vec![(text.clone(), text)]);
        }

        /// A path that passes is a fixed point of every normalisation that is
        /// applied on the way: dot segments, slashes, unreserved escapes, decoding twice.
        #[test]
        fn what_passes_has_one_reading(path in r"(/|\.|%2[eEfF5]|%5[cC]|;|%25|2e|%C3%A9|%c0%ae|%00|a|A|%41|:|%3A|\\){0,8}") {
            if check_path(&path).is_ok() {
                prop_assert!(path.starts_with('/') && !path.contains("//"));
                let once = decode(&path);
                let twice = decode(&once);
                for reading in [&*path, &*once, &*twice] {
                    prop_assert!(!reading.split('/').any(|s| s == "." || s == ".."));
                    let unwanted = ['\\', ';', '\0', char::REPLACEMENT_CHARACTER];
                    prop_assert!(!reading.contains(unwanted), "{}", reading);
                    prop_assert_eq!(reading.matches('/').count(), path.matches('/').count());
                }
            }
        }

        #[test]
        fn never_panics(path in any::<String>()) {
            let _ = check_path(&path);
            pairs(&path);
        }
    }
}
