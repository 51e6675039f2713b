//! Request bodies in which a managed member could come disguised: in an encoding
//! that hides it from us but not from the backend, or as a form whose field names
//! the backend folds into objects.

use http::HeaderMap;
use http::header::CONTENT_TYPE;

use crate::message::edit::MemberPath;
use crate::message::target::pairs;

/// Encodings in which ASCII is ASCII: what looks like JSON is JSON, what does not is
/// not. Of UTF-7 or EBCDIC that is not so, and some backends decode what `charset` names.
const PLAIN: &[&str] = &["utf-8", "utf8", "us-ascii", "ascii"];
const PLAIN_FAMILIES: &[&str] = &[
    "iso-8859-",
    "latin",
    "windows-",
    "koi8-",
    "shift_jis",
    "euc-",
    "gb",
    "big5",
];

/// Whether `Content-Type` names an encoding that could hide ASCII.
pub(super) fn odd_charset(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return false;
    };
    let bytes = value.as_bytes();
    let named = |word: &[u8]| word.eq_ignore_ascii_case(b"charset");
    if !bytes.windows(b"charset".len()).any(named) {
        return false;
    }
    let value = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    value.split("charset").skip(1).any(|after| {
        let Some(name) = after.trim_start().strip_prefix('=') else {
            return true;
        };
        let name = name.trim_start().trim_start_matches('"');
        let end = name.find(['"', ';', ' ', '\t', ',']).unwrap_or(name.len());
        let name = name.get(..end).unwrap_or_default();
        let plain = |family: &&str| name.starts_with(*family) && !name.contains(['\\', '\'']);
        !PLAIN.contains(&name) && !PLAIN_FAMILIES.iter().any(plain)
    })
}

/// Whether the body says that it is a form.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    let form = b"application/x-www-form-urlencoded";
    headers.get(CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.as_bytes().trim_ascii_start().get(..form.len());
        kind.is_some_and(|kind| kind.eq_ignore_ascii_case(form))
    })
}

/// Whether a form has a field that a backend may fold into one of these members:
/// `metadata[customer]`, `metadata.customer`, in any case.
pub(super) fn form_names(body: &[u8], managed: &[MemberPath]) -> bool {
    // Some readers take `;` for `&`.
    let body = String::from_utf8_lossy(body).replace(';', "&");
    pairs(&body).iter().any(|(field, _)| {
        let steps: Vec<String> = steps(field).collect();
        managed.iter().any(|path| {
            let wanted: Vec<String> = path.0.iter().flat_map(|name| steps_of(name)).collect();
            steps.starts_with(&wanted)
        })
    })
}

fn steps_of(name: &str) -> Vec<String> {
    steps(name).collect()
}

fn steps(name: &str) -> impl Iterator<Item = String> {
    name.split(['.', '[', ']'])
        .map(|step| step.trim_matches(|c: char| c.is_whitespace() || c.is_control()))
        .filter(|step| !step.is_empty())
        .map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn charsets_that_hide_ascii_are_odd() {
        let odd = |value: &str| {
            let value = HeaderValue::from_str(value).unwrap();
            odd_charset(&[(CONTENT_TYPE, value)].into_iter().collect())
        };
        for value in [
            "application/json",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"; x=y",
            "text/plain; charset = us-ascii",
            "application/x-www-form-urlencoded; charset=ISO-8859-1",
            "text/plain; charset=windows-1252",
        ] {
            assert!(!odd(value), "{value}");
        }
        for value in [
            "application/json; charset=utf-7",
            "application/json; charset=utf-16le",
            "application/json; CHARSET = \"UTF-7\"",
            "application/json; charset=utf-8; charset=utf-7",
            "text/plain; charset=cp037",
            "text/plain; charset=hz-gb-2312",
            "application/json; charset*=utf-8''utf-7",
            "application/json; charset*0=utf; charset*1=-7",
            "application/json; charset=\"utf\\-7\"",
            "application/json; charset=",
        ] {
            assert!(odd(value), "{value}");
        }
    }

    #[test]
    fn a_form_field_that_folds_into_a_managed_member_is_seen() {
        let managed = [MemberPath::parse("metadata.customer").unwrap()];
        for body in [
            "text=x&metadata[customer]=alice",
            "metadata%5Bcustomer%5D=alice",
            "metadata.customer=alice",
            "Metadata[Customer]=alice",
            "metadata[customer][id]=alice",
            "a=1;metadata[customer]=alice",
            "+metadata[+customer+]=alice",
        ] {
            assert!(form_names(body.as_bytes(), &managed), "{body}");
        }
        for body in [
            "metadata=x",
            "metadata[language]=en",
            "customer=x",
            "text=metadata.customer",
        ] {
            assert!(!form_names(body.as_bytes(), &managed), "{body}");
        }
    }
}
