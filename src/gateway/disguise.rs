//! Request bodies in which a managed member could come disguised: in an encoding
//! that hides it from us but not from the backend, or as a form whose field names
//! the backend folds into objects.

use http::HeaderMap;
use http::header::CONTENT_TYPE;

use crate::message::coding::Charset;
use crate::message::edit::MemberPath;
use crate::message::target::pairs;

/// Whether `Content-Type` names an encoding that could hide ASCII: of UTF-7 or EBCDIC
/// what looks like JSON is not all that is, and some backends decode what `charset` names.
pub(super) fn odd_charset(headers: &HeaderMap) -> bool {
    Charset::of(headers) == Charset::Odd
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
    use super::*;

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
