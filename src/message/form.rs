//! Forms: the fields that a backend folds into managed members are taken out, ours put
//! in, and every other byte stays as it was.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::Value;

use super::MemberPath;
use super::edit::any_case;
use super::json::Malformed;
use super::multipart::Boundary;
use super::target::{encode, pairs};

/// Longest name of a field, in bytes, that is looked at as a whole.
const MAX_NAME: usize = 16 << 10;

/// What a request says that its body is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `application/x-www-form-urlencoded`.
    Urlencoded,
    /// `multipart/form-data`, or another multipart.
    Multipart(Boundary),
    /// Nothing: some readers take it for a form, others for JSON.
    Unsaid,
    /// JSON, one of its relatives, or lines of it: `application/problem+json`,
    /// `application/x-ndjson`.
    Json,
    /// Something else.
    Other,
}

impl Kind {
    /// What `Content-Type` says.
    ///
    /// # Errors
    /// When it is multipart without a boundary that has a single reading.
    pub fn of(headers: &HeaderMap) -> Result<Self, Malformed> {
        let Some(kind) = headers.get(CONTENT_TYPE) else {
            return Ok(Self::Unsaid);
        };
        let kind = kind.as_bytes().trim_ascii();
        let form = b"application/x-www-form-urlencoded";
        let start = kind.get(..form.len());
        if kind.is_empty() {
            return Ok(Self::Unsaid);
        }
        if start.is_some_and(|start| start.eq_ignore_ascii_case(form)) {
            return Ok(Self::Urlencoded);
        }
        let json = |part: &[u8]| part.eq_ignore_ascii_case(b"json");
        Ok(match Boundary::of(kind)? {
            Some(boundary) => Self::Multipart(boundary),
            None if kind.windows(4).any(json) => Self::Json,
            None => Self::Other,
        })
    }
}

/// Takes the `managed` fields out of a whole `application/x-www-form-urlencoded` body
/// and puts `set` in. `None` when there is nothing to do.
///
/// # Errors
/// When a name is too long to be looked at.
pub fn set_fields(
    body: &[u8],
    managed: &[MemberPath],
    set: &[(&MemberPath, Value)],
) -> Result<Option<Vec<u8>>, Malformed> {
    let mut out = Vec::with_capacity(body.len() + 128);
    let mut editor = FormEditor::new(managed);
    editor.push(body, &mut out)?;
    editor.end(&mut out);
    for (name, value) in fields(set) {
        if !out.is_empty() {
            out.push(b'&');
        }
        out.extend_from_slice(format!("{}={}", encode(&name), encode(&value)).as_bytes());
    }
    Ok((editor.changed || !set.is_empty()).then_some(out))
}

/// Takes managed fields out of a form that comes in pieces. Some readers take `;` for
/// `&`: afterwards there is none for either.
#[derive(Debug)]
pub struct FormEditor {
    managed: Names,
    place: Place,
    /// The name that is being read.
    name: Vec<u8>,
    /// What stands before it.
    separator: Option<u8>,
    /// Whether a field before it was kept.
    kept: bool,
    changed: bool,
}

/// Where in a field the editor is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Name,
    /// Behind the part that decides, in a field that stays.
    Kept,
    /// … in one that goes.
    Dropped,
}

impl FormEditor {
    /// An editor that takes the fields of these members out.
    pub fn new(managed: &[MemberPath]) -> Self {
        Self {
            managed: Names::of(managed),
            place: Place::default(),
            name: Vec::new(),
            separator: None,
            kept: false,
            changed: false,
        }
    }

    /// Takes a piece in and writes what is decided of it.
    ///
    /// # Errors
    /// When a name is too long to be looked at, or is cut in two by a `;` behind a NUL.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        while !bytes.is_empty() {
            let found = match self.place {
                Place::Name => memchr::memchr3(b'=', b'&', b';', bytes),
                Place::Kept | Place::Dropped => memchr::memchr2(b'&', b';', bytes),
            };
            let (part, rest) = bytes.split_at(found.unwrap_or(bytes.len()));
            bytes = rest;
            match self.place {
                Place::Name => self.name.extend_from_slice(part),
                Place::Kept => out.extend_from_slice(part),
                Place::Dropped => {}
            }
            match bytes.split_first() {
                Some((b'=', _)) => self.decide(out),
                Some((separator, rest)) => {
                    let cut = *separator == b';' && self.place == Place::Name;
                    if cut && self.managed.is_twofold(&self.name) {
                        // To a reader that knows no `;` the name goes on, and to one that
                        // stops at NUL what goes on is the next step of it.
                        return Err(Malformed("the name of a field has two readings".into()));
                    }
                    self.end(out);
                    self.place = Place::Name;
                    self.separator = Some(*separator);
                    bytes = rest;
                }
                None if self.name.len() > MAX_NAME => {
                    if self.managed.may_begin_with(&self.name) {
                        return Err(Malformed("the name of a field is too long".into()));
                    }
                    self.decide(out);
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Ends the form, or the field that is being read.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        if self.place == Place::Name {
            self.decide(out);
        }
    }

    /// Whether anything was taken out so far.
    pub fn changed(&self) -> bool {
        self.changed
    }

    fn decide(&mut self, out: &mut Vec<u8>) {
        let name = std::mem::take(&mut self.name);
        if !self.managed.is_longer_than(&name) && self.managed.has(&decoded(&name)) {
            self.place = Place::Dropped;
            self.changed = true;
            return;
        }
        self.place = Place::Kept;
        out.extend(self.separator.filter(|_| self.kept));
        out.extend_from_slice(&name);
        self.kept = true;
    }
}

/// A name as form readers decode it.
fn decoded(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    pairs(&name).into_iter().next().unwrap_or_default().0
}

/// The managed members as names of fields say them, made once for a form: one of many small
/// fields asks for each of them.
#[derive(Debug)]
struct Names {
    paths: Vec<Name>,
    /// The fewest bytes that the steps of one have.
    shortest: usize,
}

/// A managed member.
#[derive(Debug)]
struct Name {
    steps: Vec<String>,
    /// As readers see it that mangle.
    flat: Vec<String>,
}

impl Names {
    fn of(managed: &[MemberPath]) -> Self {
        let name = |path: &MemberPath| Name {
            steps: path.0.iter().flat_map(|name| steps(name)).collect(),
            flat: path.0.iter().map(|name| flat(name)).collect(),
        };
        let paths: Vec<Name> = managed.iter().map(name).collect();
        let bytes = |name: &Name| name.steps.iter().map(String::len).sum();
        Self {
            shortest: paths.iter().map(bytes).min().unwrap_or_default(),
            paths,
        }
    }

    /// Whether each of them is longer than a name as it is sent can be in any reading.
    fn is_longer_than(&self, name: &[u8]) -> bool {
        // Other cases, and what stands for a byte that is none of UTF-8, take at most
        // three times as much; and an encoded byte takes three.
        let most = if name.is_ascii() { 1 } else { 3 };
        name.len().saturating_mul(most) < self.shortest
    }

    /// Whether a backend may fold a field of this name into one of them, in any case.
    fn has(&self, name: &str) -> bool {
        let steps: Vec<String> = steps(name).collect();
        let mangled = mangled(name);
        let same = |path: &Name| steps.starts_with(&path.steps) || mangled.starts_with(&path.flat);
        self.paths.iter().any(same)
    }

    /// Whether a name that has a NUL in it is none of them, and could be with what follows.
    fn is_twofold(&self, name: &[u8]) -> bool {
        let nul = name.contains(&0) || name.windows(3).any(|part| part == b"%00");
        nul && !self.has(&decoded(name)) && self.may_begin_with(name)
    }

    /// Whether more of this name could make it one of them.
    fn may_begin_with(&self, name: &[u8]) -> bool {
        let name = decoded(name);
        let steps: Vec<String> = name.split(SEPARATORS).map(step).collect();
        let Some((last, whole)) = steps.split_last() else {
            return true;
        };
        let whole: Vec<&String> = whole.iter().filter(|step| !step.is_empty()).collect();
        self.paths.iter().any(|path| {
            let wanted = &path.steps;
            let same = wanted
                .iter()
                .zip(&whole)
                .all(|(wanted, step)| wanted == *step);
            let next = wanted.get(whole.len());
            same && next.is_none_or(|next| next.starts_with(last.as_str()))
        })
    }
}

/// What separates the names on the way to a member: `metadata[customer]`, `metadata.customer`.
const SEPARATORS: [char; 3] = ['.', '[', ']'];

/// Whether a backend may fold a field of this name into one of these members, in any case.
pub fn is_managed(name: &str, managed: &[MemberPath]) -> bool {
    Names::of(managed).has(name)
}

/// Whether a backend may take a field or parameter called `other` for `name`, or for a
/// part of it: in another case, with blanks or a NUL, as `name[]` or `name[0]`.
pub(super) fn is_alias(other: &str, name: &str) -> bool {
    let plain = |text: &str| {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        text.bytes().all(word)
    };
    if plain(other) && plain(name) {
        return other != name && other.eq_ignore_ascii_case(name);
    }
    other != name && (mangled(other).starts_with(&mangled(name)) || steps(other).eq(steps(name)))
}

fn steps(name: &str) -> impl Iterator<Item = String> {
    name.split(SEPARATORS)
        .map(step)
        .filter(|step| !step.is_empty())
}

/// A name as readers see it that trim, that stop at NUL, and that know no case.
fn step(name: &str) -> String {
    let name = name.trim_matches(|c: char| c.is_whitespace() || c.is_control());
    any_case(name.split('\0').next().unwrap_or_default().trim_end())
}

/// The names as readers see them that make one word of what stands before the first bracket.
fn mangled(name: &str) -> Vec<String> {
    let (first, rest) = name.split_once('[').unwrap_or((name, ""));
    let rest = rest
        .split(['[', ']'])
        .map(step)
        .filter(|step| !step.is_empty());
    std::iter::once(flat(&step(first))).chain(rest).collect()
}

fn flat(name: &str) -> String {
    any_case(name).replace(['.', ' ', '[', '\t'], "_")
}

/// The fields that say these members: `metadata[customer]`, and one for each scalar in
/// an object or array.
pub(super) fn fields(set: &[(&MemberPath, Value)]) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    for (path, value) in set {
        let mut names = path.0.iter();
        let mut name = names
            .next()
            .map(|name| name.to_string())
            .unwrap_or_default();
        for further in names {
            name += &format!("[{further}]");
        }
        spread(name, value, &mut fields);
    }
    fields
}

fn spread(name: String, value: &Value, fields: &mut Vec<(String, String)>) {
    match value {
        Value::Null => {}
        Value::Bool(bool) => fields.push((name, bool.to_string())),
        Value::Number(number) => fields.push((name, number.to_string())),
        Value::String(text) => fields.push((name, text.clone())),
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                spread(format!("{name}[{index}]"), value, fields);
            }
        }
        Value::Object(members) => {
            // A name with a bracket in it would be read as several.
            let plain = members
                .iter()
                .filter(|(name, _)| !name.contains(['[', ']']));
            for (member, value) in plain {
                spread(format!("{name}[{member}]"), value, fields);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn managed() -> Vec<MemberPath> {
        let paths = ["metadata.customer", "user_id"];
        paths.map(|path| MemberPath::parse(path).unwrap()).to_vec()
    }

    #[test]
    fn a_name_that_goes_on_behind_a_semicolon_for_some_is_refused() {
        for body in [
            "metadata%00;x[customer]=eve",
            "a=1&metadata\0;.customer=eve",
        ] {
            assert!(
                set_fields(body.as_bytes(), &managed(), &[]).is_err(),
                "{body}"
            );
        }
        assert_eq!(without("a=\0;b=%00;c"), None);
    }

    fn without(body: &str) -> Option<String> {
        let edited = set_fields(body.as_bytes(), &managed(), &[]).unwrap();
        edited.map(|edited| String::from_utf8(edited).unwrap())
    }

    /// Spellings of managed fields.
    pub(super) const DISGUISES: &[&str] = &[
        "metadata[customer]",
        "metadata.customer",
        "metadata%5Bcustomer%5D",
        "%6detadata[cust%6Fmer]",
        "Metadata[CUSTOMER]",
        "metadata[cu%C5%BFtomer]",
        "metadata[customer][id]",
        "metadata[customer",
        "+metadata[+customer+]",
        "metadata[customer%00]",
        "metadata[][customer]",
        "user_id",
        "USER_ID",
        "user.id",
        "user+id",
        "user_id[]",
    ];

    #[test]
    fn a_field_that_folds_into_a_managed_member_goes() {
        for name in DISGUISES {
            for (body, left) in [
                (format!("{name}=alice"), ""),
                (format!("text=x&{name}=alice"), "text=x"),
                (format!("{name}=alice&text=x"), "text=x"),
                (format!("a=1&{name}&b=2"), "a=1&b=2"),
                (format!("a=1;{name}=alice&b=2"), "a=1&b=2"),
                (format!("{name};x=alice"), "x=alice"),
                (format!("{name}=alice&&{name}=bob"), ""),
            ] {
                assert_eq!(without(&body).as_deref(), Some(left), "{body}");
            }
        }
        for body in [
            "",
            "&&a=1&;b",
            "metadata=x",
            "metadata[language]=en",
            "customer=x",
            "text=metadata.customer",
            "text=hello;+world%3B",
            "a=\u{fc}&%ff=%zz",
            "userid=1",
        ] {
            assert_eq!(without(body), None, "{body}");
        }
    }

    #[test]
    fn ours_is_set_as_fields() {
        let managed = managed();
        let value = json!({"id": 7, "names": ["A & B", true], "x]": 1, "none": null});
        let set = [(&managed[0], value), (&managed[1], json!("é"))];
        let edited = set_fields(b"metadata.customer=eve&text=hi", &managed, &set).unwrap();
        assert_eq!(
            String::from_utf8(edited.unwrap()).unwrap(),
            "text=hi&metadata%5Bcustomer%5D%5Bid%5D=7&metadata%5Bcustomer%5D%5Bnames%5D%5B0%5D=A%20%26%20B\
             &metadata%5Bcustomer%5D%5Bnames%5D%5B1%5D=true&user_id=%C3%A9"
        );
        let alone = set_fields(b"user_id=1", &managed, &[(&managed[1], json!(2))]);
        assert_eq!(alone, Ok(Some(b"user_id=2".to_vec())));
    }

    #[test]
    fn a_name_without_end_is_not_kept_in_memory() {
        let managed = managed();
        let feed = |start: &str, more: &str| {
            let (mut editor, mut out) = (FormEditor::new(&managed), Vec::new());
            editor.push(start.as_bytes(), &mut out)?;
            for _ in 0..64 {
                editor.push(more.repeat(1 << 10).as_bytes(), &mut out)?;
                assert!(editor.name.len() <= MAX_NAME + (1 << 10) * more.len());
            }
            editor.push(b"=x", &mut out)?;
            Ok::<_, Malformed>(out.len())
        };
        assert_eq!(feed("", "a"), Ok(2 + (64 << 10)));
        assert!(feed("metadata[", "+").is_err());
        assert!(feed("metadata.", "[").is_err());
    }

    fn field() -> impl Strategy<Value = String> {
        let name = prop_oneof![
            prop::sample::select(DISGUISES).prop_map(String::from),
            "[a-z.\\[\\]%0-9+ ]{0,6}",
            Just("metadata".to_owned()),
        ];
        (name, prop::option::of("[a-z=%.\\[\\]]{0,4}"))
            .prop_map(|(name, value)| value.map_or(name.clone(), |value| format!("{name}={value}")))
    }

    proptest! {
        /// What is not looked at because it is too short is in no reading a managed field.
        #[test]
        fn a_name_that_is_too_short_is_none(
            name in prop_oneof!["\\PC{0,12}", "[u%0-9A-FſKİ]{0,9}", "[a-z]{0,8}"],
            path in prop_oneof!["\\PC{1,6}", "[a-zſKİΐ]{1,5}"],
        ) {
            let paths = [MemberPath(vec![path.into()])];
            let names = Names::of(&paths);
            if names.is_longer_than(name.as_bytes()) {
                prop_assert!(!names.has(&decoded(name.as_bytes())));
            }
        }

        /// In no reading of the result is there a managed field, however the body was
        /// cut; and what is not managed is there, byte for byte and in order.
        #[test]
        fn no_reading_has_a_managed_field(
            fields in prop::collection::vec((field(), prop::sample::select(vec!['&', ';'])), 0..6),
            cut in 0usize..64,
        ) {
            let body: String = fields.iter().map(|(field, end)| format!("{field}{end}")).collect();
            let body = body.as_bytes();
            let managed = managed();
            let Ok(edited) = set_fields(body, &managed, &[]) else {
                let text = String::from_utf8_lossy(body);
                prop_assert!(text.contains('\0') || text.contains("%00"));
                return Ok(());
            };
            let left = edited.clone().unwrap_or(body.to_vec());
            let text = String::from_utf8_lossy(&left).into_owned();
            for reading in [text.clone(), text.replace(';', "&")] {
                for (name, _) in pairs(&reading) {
                    prop_assert!(!is_managed(&name, &managed), "{} in {}", name, text);
                }
            }
            let kept = |field: &&String| {
                let name = field.split(['=', '&', ';']).next().unwrap_or_default();
                !is_managed(&decoded(name.as_bytes()), &managed)
            };
            let joined = |text: &str| text.replace([';', '&'], "");
            let expected: String = fields.iter().map(|(field, _)| field).filter(kept).cloned().collect();
            prop_assert_eq!(joined(&text), joined(&expected));

            let (one, two) = body.split_at(cut.min(body.len()));
            let (mut editor, mut out) = (FormEditor::new(&managed), Vec::new());
            editor.push(one, &mut out).unwrap();
            editor.push(two, &mut out).unwrap();
            editor.end(&mut out);
            prop_assert_eq!(out, left);
            prop_assert_eq!(editor.changed(), edited.is_some());
        }
    }
}
