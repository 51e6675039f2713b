//! Multipart bodies (RFC 7578, RFC 2046 section 5.1): their fields are read, managed
//! ones taken out, ours put in, and every other byte stays as it was.
//!
//! Readers differ in what they forgive. Here nothing is forgiven: the boundary stands
//! nowhere but in delimiters, and part headers have one reading. What is refused no
//! lenient reader can find a field in that we have not seen.

mod name;
mod reader;

use memchr::memmem;
use serde_json::Value;

pub use reader::Boundary;

use super::MemberPath;
use super::coding::Charset;
use super::form::{fields, is_alias, is_managed};
use super::json::Malformed;
use crate::reason::Reason;
use name::names;
use reader::{Piece, Reader, wrong};

/// The text field of this name in a whole body.
///
/// # Errors
/// [`Reason::BadBody`] when the body has no single reading; [`Reason::AmbiguousValue`]
/// when the field comes twice or in another spelling, is a file, is no text, or is so for
/// some readers only.
pub fn field(body: &[u8], boundary: Boundary, name: &str) -> Result<Option<String>, Reason> {
    let mut found: Vec<Vec<u8>> = Vec::new();
    let mut ambiguous = false;
    let mut inside = false;
    let mut reader = Reader::new(boundary);
    let read = reader.push(body, |piece| match piece {
        Piece::Head(head) => {
            let names = names(head);
            ambiguous |= names.is_err();
            let names = names.unwrap_or_default();
            inside = names.iter().any(|known| known == name);
            ambiguous |= names.iter().any(|known| is_alias(known, name));
            if inside {
                let lower = head.to_ascii_lowercase();
                let says = |word: &[u8]| memmem::find(&lower, word).is_some();
                ambiguous |= names.len() > 1
                    || says(b"filename")
                    || says(b"content-transfer-encoding")
                    || Charset::named_in(head) != Charset::Utf8;
                found.push(Vec::new());
            }
        }
        Piece::Content(content) if inside => {
            if let Some(text) = found.last_mut() {
                text.extend_from_slice(content);
            }
        }
        Piece::Content(_) | Piece::Frame(_) => {}
    });
    if read.and_then(|()| reader.end()).is_err() {
        return Err(Reason::BadBody);
    }
    if ambiguous || found.len() > 1 {
        return Err(Reason::AmbiguousValue);
    }
    let Some(text) = found.pop() else {
        return Ok(None);
    };
    let text = text.strip_suffix(b"\r\n").unwrap_or(&text);
    let text = std::str::from_utf8(text).map_err(|_| Reason::AmbiguousValue)?;
    Ok(Some(text.to_owned()))
}

/// Takes the `managed` fields out of a whole body and puts `set` in, before the first
/// part. `None` when there is nothing to do.
///
/// # Errors
/// When the body has no single reading, or what is set has the boundary in it.
pub fn set_fields(
    body: &[u8],
    boundary: Boundary,
    managed: &[MemberPath],
    set: &[(&MemberPath, Value)],
) -> Result<Option<Vec<u8>>, Malformed> {
    let mut ours = Vec::new();
    let set = if boundary.form { set } else { &[] };
    for (name, value) in fields(set) {
        let name = name
            .replace('"', "%22")
            .replace('\r', "%0D")
            .replace('\n', "%0A");
        if [&name, &value]
            .iter()
            .any(|text| memmem::find(text.as_bytes(), &boundary.line).is_some())
        {
            return wrong("the boundary is in what has to be set");
        }
        ours.extend_from_slice(&boundary.line);
        let part =
            format!("\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        ours.extend_from_slice(part.as_bytes());
    }
    let mut out = Vec::with_capacity(body.len() + ours.len());
    let mut editor = MultipartEditor::new(boundary);
    editor.ours = ours;
    editor.push(managed, body, &mut out)?;
    editor.end()?;
    Ok((editor.changed || !set.is_empty()).then_some(out))
}

/// Takes managed fields out of a body that comes in pieces.
#[derive(Debug)]
pub struct MultipartEditor {
    reader: Reader,
    /// Parts to put before the first one.
    ours: Vec<u8>,
    /// Whether the part that is being read goes.
    dropping: bool,
    changed: bool,
}

impl MultipartEditor {
    /// At the beginning of a body.
    pub fn new(boundary: Boundary) -> Self {
        Self {
            reader: Reader::new(boundary),
            ours: Vec::new(),
            dropping: false,
            changed: false,
        }
    }

    /// Takes a piece in and writes what is decided of it.
    ///
    /// # Errors
    /// When the body has no single reading.
    pub fn push(
        &mut self,
        managed: &[MemberPath],
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        let (ours, dropping, changed) = (&mut self.ours, &mut self.dropping, &mut self.changed);
        let mut verdict = Ok(());
        self.reader.push(bytes, |piece| match piece {
            Piece::Frame(frame) => {
                if memchr::memchr(b'-', frame).is_some() {
                    out.append(ours);
                }
                out.extend_from_slice(frame);
            }
            Piece::Head(head) => {
                out.append(ours);
                match names(head) {
                    Ok(names) => *dropping = names.iter().any(|name| is_managed(name, managed)),
                    Err(error) => verdict = Err(error),
                }
                *changed |= *dropping;
                if !*dropping {
                    out.extend_from_slice(head);
                }
            }
            Piece::Content(content) if !*dropping => out.extend_from_slice(content),
            Piece::Content(_) => {}
        })?;
        verdict
    }

    /// Ends the body.
    ///
    /// # Errors
    /// When it was cut.
    pub fn end(&self) -> Result<(), Malformed> {
        self.reader.end()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn boundary() -> Boundary {
        Boundary::of(b"multipart/form-data; boundary=bound")
            .unwrap()
            .unwrap()
    }

    fn managed() -> Vec<MemberPath> {
        vec![MemberPath::parse("metadata.customer").unwrap()]
    }

    fn part(disposition: &str, content: &str) -> String {
        format!("--bound\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{content}\r\n")
    }

    fn without(body: &str) -> Result<Option<String>, Malformed> {
        let edited = set_fields(body.as_bytes(), boundary(), &managed(), &[])?;
        Ok(edited.map(|edited| String::from_utf8(edited).unwrap()))
    }

    #[test]
    fn a_boundary_has_one_reading() {
        for kind in [
            "multipart/form-data; boundary=bound",
            " Multipart/Form-Data;charset=utf-8; BOUNDARY=\"bound\"",
            "multipart/form-data; boundary=bound ; x=y",
        ] {
            assert_eq!(
                Boundary::of(kind.as_bytes()),
                Ok(Some(boundary())),
                "{kind}"
            );
        }
        let webkit = b"multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW";
        assert!(Boundary::of(webkit).unwrap().is_some());
        for kind in ["application/json", "", "text/multipart/x"] {
            assert_eq!(Boundary::of(kind.as_bytes()), Ok(None), "{kind}");
        }
        for kind in [
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=a; boundary=b",
            "multipart/form-data; boundary=a; xboundary=b",
            "multipart/form-data; boundary*=utf-8''a",
            "multipart/form-data; boundary=\"a;b\"",
            "multipart/form-data; boundary=\"a",
            "multipart/form-data; boundary=\"a\\b\"",
            "multipart/form-data; boundary=a b",
            "multipart/form-data; boundary=a, boundary=b",
            "multipart/form-data; boundary=a,b",
            "multipart/boundary; boundary=b",
        ] {
            assert!(Boundary::of(kind.as_bytes()).is_err(), "{kind}");
        }
        let long = format!("multipart/form-data; boundary={}", "a".repeat(71));
        assert!(Boundary::of(long.as_bytes()).is_err());
    }

    const DISGUISES: &[&str] = &[
        r#"name="metadata[customer]""#,
        r#"name="metadata.customer""#,
        r#"NAME="Metadata[Customer]""#,
        r#"name=metadata[customer]"#,
        r#"name='metadata[customer]'"#,
        r#"name = "metadata[customer]""#,
        r#"name="metadata%5Bcustomer%5D""#,
        r#"name="metadata\[customer\]""#,
        r#"name="x"; name="metadata[customer]""#,
        r#"name="metadata[customer]"; name="x""#,
        r#"name="metadata[customer]"; filename="a.txt""#,
        r#"name="metadata[customer][id]""#,
        r#"name="metadata[cuſtomer]""#,
        r#"x="\"; name="metadata[customer]""#,
    ];

    #[test]
    fn a_part_that_folds_into_a_managed_member_goes() {
        let file = "--bound\r\nContent-Disposition: form-data; name=\"f\"; filename=\"metadata[customer]\"\r\n\
                    Content-Type: image/png\r\n\r\n\u{1}\r\n\r\n--boun\r\n--\r\n\r\n";
        for disguise in DISGUISES {
            let text = part("name=\"text\"", "hi");
            let managed = part(disguise, "alice");
            for (body, left) in [
                (
                    format!("{text}{managed}--bound--\r\n"),
                    format!("{text}--bound--\r\n"),
                ),
                (
                    format!("\r\n{managed}{file}--bound--"),
                    format!("\r\n{file}--bound--"),
                ),
                (
                    format!("{managed}{managed}--bound--"),
                    "--bound--".to_owned(),
                ),
            ] {
                assert_eq!(without(&body), Ok(Some(left)), "{disguise}");
            }
        }
        let text = part("name=\"metadata\"", "metadata[customer]");
        assert_eq!(without(&format!("{text}{file}--bound--\r\n")), Ok(None));
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        let managed = part("name=\"metadata[customer]\"", "alice");
        let text = part("name=\"text\"", "hi");
        let lines = |from: &str, to: &str| managed.replace(from, to);
        for body in [
            String::new(),
            "{\"a\":1}".into(),
            text.clone(),
            format!("preamble\r\n{text}--bound--"),
            format!("{text}--bound--{managed}--bound--"),
            format!("{text}--bound --"),
            format!(
                "{}--bound--",
                part(
                    "name=\"text\"",
                    "hi\n--bound\nname=\"metadata[customer]\"\n\nalice"
                )
            ),
            format!("{}--bound--", part("name=\"text\"", "hi --bound")),
            format!("--bound \r\n{}--bound--", lines("--bound\r\n", "")),
            format!("--boundary\r\n{}--bound--", lines("--bound\r\n", "")),
            format!("{}--bound--", lines("\r\n", "\n")),
            format!("{}--bound--", lines("form-data; ", "form-data;\r\n ")),
            format!("{}--bound--", lines("form-data; ", "form-data\n; ")),
            format!("{}--bound--", lines("form-data; ", "form-data\r; ")),
            format!("{}--bound--", lines("name=", "name*=utf-8''")),
            format!(
                "{}--bound--",
                lines("metadata[customer]", "=?utf-8?q?metadata=5Bcustomer=5D?=")
            ),
            format!("{}--bound--", lines("form-data", "form-data\0")),
            format!("--bound\r\n\r\n{}--bound--", lines("--bound\r\n", "")),
            format!(
                "--bound\r\nX: {}\r\n\r\n\r\n--bound--",
                "x".repeat(reader::MAX_HEADERS)
            ),
        ] {
            assert!(without(&body).is_err(), "{body}");
        }
    }

    #[test]
    fn ours_is_set_before_the_first_part() {
        let managed = managed();
        let text = part("name=\"text\"", "hi");
        let theirs = part("name=\"metadata.customer\"", "eve");
        let body = format!("\r\n{theirs}{text}--bound--\r\n");
        let set = [(&managed[0], json!({"id": "A\"B", "\"": 1}))];
        let edited = set_fields(body.as_bytes(), boundary(), &managed, &set)
            .unwrap()
            .unwrap();
        let ours = [
            part("name=\"metadata[customer][id]\"", "A\"B"),
            part("name=\"metadata[customer][%22]\"", "1"),
        ];
        let expected = format!("\r\n{}{}{text}--bound--\r\n", ours[0], ours[1]);
        assert_eq!(String::from_utf8(edited).unwrap(), expected);
        let empty = set_fields(
            b"--bound--",
            boundary(),
            &managed,
            &[(&managed[0], json!(1))],
        );
        let alone = format!("{}--bound--", part("name=\"metadata[customer]\"", "1"));
        assert_eq!(empty, Ok(Some(alone.into_bytes())));
        let mixed = Boundary::of(b"multipart/mixed; boundary=bound")
            .unwrap()
            .unwrap();
        let set = [(&managed[0], json!(1))];
        assert_eq!(set_fields(b"--bound--", mixed, &managed, &set), Ok(None));
        let breaking = [(&managed[0], json!("x\r\n--bound--"))];
        assert!(set_fields(body.as_bytes(), boundary(), &managed, &breaking).is_err());
    }

    #[test]
    fn a_field_is_found_by_its_name_alone() {
        let find = |body: String| field(body.as_bytes(), boundary(), "id");
        let id = part("name=\"id\"", "a\r\nb");
        let other = part("name=\"x\"", "id");
        assert_eq!(
            find(format!("{other}{id}--bound--")),
            Ok(Some("a\r\nb".into()))
        );
        assert_eq!(find(format!("{other}--bound--")), Ok(None));
        let typed = "--bound\r\nContent-Disposition: form-data; name=id\r\nContent-Type: text/plain; charset=utf-8\r\n\r\na\r\n--bound--";
        assert_eq!(find(typed.into()), Ok(Some("a".into())));
        for body in [
            format!("{id}{id}--bound--"),
            format!("{}--bound--", part("name=\"id\"; filename=\"x\"", "a")),
            format!("{}--bound--", part("name=\"id\"; name=\"x\"", "a")),
            format!("{}--bound--", part("name=\"%69d\"", "a")),
            format!(
                "{}--bound--",
                part("name=id\r\nContent-Transfer-Encoding: base64", "a")
            ),
            format!(
                "{}--bound--",
                part("name=id\r\nContent-Type: text/plain; charset=utf-16", "a")
            ),
        ] {
            assert_eq!(find(body.clone()), Err(Reason::AmbiguousValue), "{body}");
        }
        assert_eq!(find(id), Err(Reason::BadBody));
        let empty = format!("{}--bound--", part("name=id", ""));
        assert_eq!(find(empty), Ok(Some(String::new())));
    }

    fn any_part() -> impl Strategy<Value = (bool, String)> {
        let content = "[a\r\n-]{0,8}(--boun)?[a\r\n-]{0,4}";
        prop_oneof![
            (
                prop::sample::select(vec!["name=\"text\"", "name=\"f\"; filename=\"x\"", "x"]),
                content
            )
                .prop_map(|(disposition, content)| (false, part(disposition, &content))),
            (prop::sample::select(DISGUISES), content)
                .prop_map(|(disposition, content)| (true, part(disposition, &content))),
        ]
    }

    proptest! {
        /// What is managed is gone, what is not is there byte for byte, however the
        /// body was cut, and no more is held than a delimiter or the headers of a part.
        #[test]
        fn only_managed_parts_go(
            parts in prop::collection::vec(any_part(), 0..5),
            cuts in prop::collection::vec(1usize..32, 1..8),
        ) {
            let all: String = parts.iter().map(|(_, part)| &**part).collect();
            let kept: String = parts.iter().filter(|(managed, _)| !managed).map(|(_, part)| &**part).collect();
            let (body, expected) = (format!("{all}--bound--\r\n"), format!("{kept}--bound--\r\n"));
            let whole = without(&body);
            let changed = expected != body;
            prop_assert_eq!(whole, Ok(changed.then(|| expected.clone())));

            let (mut editor, mut out) = (MultipartEditor::new(boundary()), Vec::new());
            let mut rest = body.as_bytes();
            for cut in cuts.into_iter().cycle() {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                editor.push(&managed(), piece, &mut out).unwrap();
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(editor.end(), Ok(()));
            prop_assert_eq!(String::from_utf8(out).unwrap(), expected);
        }

        /// A reader that forgives everything finds no managed name in what is let pass.
        #[test]
        fn the_most_lenient_reader_finds_nothing(
            pieces in prop::collection::vec(prop::sample::select(vec![
                "--bound", "--bound--", "\r\n", "\n", "\r", "\r\n\r\n", " ", "-",
                "Content-Disposition: form-data; ", "name=\"metadata[customer]\"", "name=x", "alice", "\t",
            ]), 0..14),
        ) {
            let body: String = pieces.concat();
            let Ok(edited) = without(&body) else { return Ok(()) };
            let left = edited.unwrap_or(body);
            for part in left.split("--bound").skip(1) {
                let part = part.replace('\r', "");
                let head = part.trim_start_matches([' ', '\t', '\n']);
                let head = head.split("\n\n").next().unwrap_or_default();
                prop_assert!(!head.contains("metadata[customer]"), "{left:?}");
            }
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let body = [b"--bound\r\n", &bytes[..]].concat();
            let _ = set_fields(&body, boundary(), &managed(), &[]);
            let _ = field(&body, boundary(), "x");
            let _ = Boundary::of(&bytes);
        }
    }
}
