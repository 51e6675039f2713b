//! Bodies on their way to the backend: managed members and fields off, those of the
//! verified customer in, every other byte as it was.
//!
//! A body in which a managed member could come disguised is refused: in an encoding that
//! hides it from us but not from the backend, or in what is no JSON, but is read as such by
//! a lenient backend.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use serde_json::Value;

use super::suspect::Suspect;
use crate::config::Config;
use crate::message::coding::Charset;
use crate::message::form::{self, FormEditor, Kind};
use crate::message::json::Malformed;
use crate::message::multipart::{self, MultipartEditor};
use crate::message::opening::{Opening, may_have_object};
use crate::message::{MemberPath, edit};
use crate::reason::Reason;

/// Longest JSON body in bytes that is held to take managed members out of it on a
/// route that otherwise streams. Forms need not be held.
const STREAMED_JSON_CAP: usize = 1 << 20;

/// Takes the managed members out of a body and puts `members` in. `None` when the
/// body goes on as it is.
pub(super) fn edit_body(
    config: &Config,
    headers: &HeaderMap,
    body: &[u8],
    members: &[(&MemberPath, Value)],
) -> Result<Option<Bytes>, Reason> {
    if config.managed_members.is_empty() || body.is_empty() {
        return Ok(None);
    }
    if headers.contains_key(CONTENT_ENCODING) || is_odd(headers) {
        return Err(Reason::BadBody);
    }
    let paths = config.managed_members.paths();
    let edited = match Kind::of(headers).map_err(bad)? {
        Kind::Multipart(boundary) => {
            let edited = multipart::set_fields(body, boundary, paths, members);
            edited.map_err(bad)?.map(Bytes::from)
        }
        kind if Opening::of(body) == Some(b'{') => {
            let edited = edit_text(config, body, members)?;
            let left = edited.as_deref().unwrap_or(body);
            let form = matches!(kind, Kind::Urlencoded | Kind::Unsaid);
            if form && form::set_fields(left, paths, &[]).map_err(bad)?.is_some() {
                // JSON to one reader, a form with a managed field to another.
                return Err(Reason::BadBody);
            }
            return Ok(edited);
        }
        // It says that it is JSON: not even without a brace may there be a member in it, and
        // where somebody is to be named it goes on as such, or not at all.
        Kind::Json if members.is_empty() && !config.managed_members.may_be_in(body) => None,
        Kind::Json => edit_json(config, body, &[])?,
        Kind::Other if Opening::is_json(body) => edit_text(config, body, &[])?,
        Kind::Other => None,
        // An array to one reader, a form with a managed field to another.
        _ if Opening::is_json(body) && edit_text(config, body, &[])?.is_some() => {
            return Err(Reason::BadBody);
        }
        kind => {
            let says = kind == Kind::Urlencoded;
            let set = if says { members } else { &[] };
            let edited = form::set_fields(body, paths, set).map_err(bad)?;
            let left = edited.as_deref().unwrap_or(body);
            // What a field was taken from the front of may begin like JSON.
            let suspect = if says {
                Opening::is_json
            } else {
                may_have_object
            };
            if suspect(left) && edit_text(config, left, &[])?.is_some() {
                return Err(Reason::BadBody);
            }
            edited.map(Bytes::from)
        }
    };
    Ok(edited)
}

/// The same of a text that has no head to say what it is: JSON, if a lenient reader may find
/// an object in it. In an array, nothing is set.
pub(super) fn edit_text(
    config: &Config,
    body: &[u8],
    members: &[(&MemberPath, Value)],
) -> Result<Option<Bytes>, Reason> {
    let managed = &config.managed_members;
    if managed.is_empty() {
        return Ok(None);
    }
    let members = match Opening::of(body) {
        Some(b'{') => members,
        // What is no object has no members to set.
        _ => &[],
    };
    let forged = || body.contains(&b'{') && managed.may_be_in(body);
    if members.is_empty() && !forged() {
        return Ok(None);
    }
    edit_json(config, body, members)
}

/// The same of what has to be JSON.
fn edit_json(
    config: &Config,
    body: &[u8],
    members: &[(&MemberPath, Value)],
) -> Result<Option<Bytes>, Reason> {
    let value = |path: &MemberPath| {
        let mut set = members.iter();
        set.find(|(member, _)| *member == path)
            .map(|(_, value)| value)
    };
    let paths = config.managed_members.paths().iter();
    let managed: Vec<(&MemberPath, Option<&Value>)> =
        paths.map(|path| (path, value(path))).collect();
    Ok(edit::set_members(body, &managed)
        .map_err(bad)?
        .map(Bytes::from))
}

fn bad(_: Malformed) -> Reason {
    Reason::BadBody
}

/// Whether `Content-Type` names an encoding that could hide ASCII: of UTF-7 or EBCDIC
/// what looks like JSON is not all that is, and some backends decode what `charset` names.
fn is_odd(headers: &HeaderMap) -> bool {
    Charset::of(headers) == Charset::Odd
}

/// The edit of a request body that streams by on a route that does not read it:
/// managed members are taken out of JSON and what may be read as such, which is held for
/// that, and managed fields out of a form, which is not; anything else passes.
#[derive(Default)]
pub(super) struct BodyEdit {
    armed: bool,
    way: Way,
}

/// What a body that streams by turned out to be.
enum Way {
    /// Nothing yet.
    Undecided(BytesMut, Opening),
    /// JSON, as far as it came.
    Json(BytesMut),
    /// A form, and what is left of it.
    Form(FormEditor, Suspect),
    /// A multipart.
    Multipart(Box<MultipartEditor>),
    /// Something that has no members.
    Passing,
}

impl Default for Way {
    fn default() -> Self {
        Self::Undecided(BytesMut::new(), Opening::default())
    }
}

impl BodyEdit {
    /// Looks at the body from its first byte on.
    pub(super) fn arm(&mut self) {
        self.armed = true;
    }

    /// Begins anew: a retry sends the body again, from its first byte on.
    pub(super) fn rewind(&mut self) {
        self.way = Way::default();
    }

    /// Whether the body's length may change.
    pub(super) fn is_armed(&self) -> bool {
        self.armed
    }

    /// Takes a chunk, or hands on what was held.
    pub(super) fn chunk(
        &mut self,
        config: &Config,
        headers: &HeaderMap,
        chunk: &mut Option<Bytes>,
        end: bool,
    ) -> Result<(), Reason> {
        if !self.armed || matches!(self.way, Way::Passing) {
            return Ok(());
        }
        // Before trailers pingora says that there is no more, but not that it is the end.
        let end = end || chunk.is_none();
        if is_odd(headers) {
            return Err(Reason::BadBody);
        }
        let bytes = chunk.take().unwrap_or_default();
        let on = self.way.take(config, headers, bytes, end)?;
        // Empty, not absent: an absent chunk would end the request.
        *chunk = (!on.is_empty() || !end).then_some(on);
        Ok(())
    }
}

impl Way {
    /// Takes a chunk; returns what goes on.
    fn take(
        &mut self,
        config: &Config,
        headers: &HeaderMap,
        bytes: Bytes,
        end: bool,
    ) -> Result<Bytes, Reason> {
        let paths = config.managed_members.paths();
        let mut out = Vec::new();
        match self {
            Self::Undecided(held, opening) => {
                held.extend_from_slice(&bytes);
                let way = match (Kind::of(headers).map_err(bad)?, opening.feed(&bytes)) {
                    (Kind::Multipart(boundary), _) => {
                        Self::Multipart(Box::new(MultipartEditor::new(boundary)))
                    }
                    (Kind::Json, _) | (_, Some(b'{' | b'[')) => Self::Json(BytesMut::new()),
                    (_, None) if !end => return within_cap(held),
                    (kind @ (Kind::Urlencoded | Kind::Unsaid), _) => {
                        Self::Form(FormEditor::new(paths), Suspect::new(kind == Kind::Unsaid))
                    }
                    (Kind::Other, _) => Self::Passing,
                };
                let held = std::mem::take(held).freeze();
                *self = way;
                return self.take(config, headers, held, end);
            }
            Self::Json(held) => {
                held.extend_from_slice(&bytes);
                if !end {
                    return within_cap(held);
                }
                let held = std::mem::take(held).freeze();
                return Ok(edit_body(config, headers, &held, &[])?.unwrap_or(held));
            }
            Self::Form(editor, suspect) => {
                editor.push(&bytes, &mut out).map_err(bad)?;
                if end {
                    editor.end(&mut out);
                }
                return suspect.take(config, out, end, STREAMED_JSON_CAP);
            }
            Self::Multipart(editor) => {
                editor.push(paths, &bytes, &mut out).map_err(bad)?;
                if end {
                    editor.end().map_err(bad)?;
                }
            }
            Self::Passing => return Ok(bytes),
        }
        Ok(out.into())
    }
}

/// Nothing goes on of what is held, and it is not too long for that.
fn within_cap(held: &[u8]) -> Result<Bytes, Reason> {
    match held.len() > STREAMED_JSON_CAP {
        true => Err(Reason::BodyTooLarge),
        false => Ok(Bytes::new()),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// A channel that manages `X-Customer-Id` and `metadata.customer`.
    fn config() -> Config {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("chatgate.toml");
        let text = r#"
            [server]
            public_url = "http://127.0.0.1:8080"
            [[listener]]
            address = "127.0.0.1:8080"
            [upstream.bot]
            url = "http://127.0.0.1:5005"
            [channel.web]
            upstream = "bot"
            [[channel.web.identity]]
            name = "site"
            kind = "jwt"
            from = { header = "Authorization", scheme = "Bearer" }
            keys = [{ algorithm = "HS256", secret = "0123456789abcdef0123456789abcdef" }]
            [channel.web.inject]
            headers = { "X-Customer-Id" = "subject" }
            members = { "metadata.customer" = "subject" }
            [[channel.web.route]]
            kind = "pass"
            path = "/{*rest}"
            enforcement = "optional"
        "#;
        std::fs::write(&file, text).unwrap();
        crate::config::load(&file).unwrap().0
    }

    fn kind(value: &str) -> HeaderMap {
        let value = HeaderValue::from_str(value).unwrap();
        [(http::header::CONTENT_TYPE, value)].into_iter().collect()
    }

    const FORGED: &[u8] = br#"{"metadata":{"customer":"alice"}}"#;

    #[test]
    fn a_body_that_streams_is_edited_on_every_attempt() {
        let config = config();
        let mut edit = BodyEdit::default();
        edit.arm();
        for _ in 0..2 {
            edit.rewind();
            let (one, two) = FORGED.split_at(12);
            let mut first = Some(Bytes::from_static(one));
            edit.chunk(&config, &HeaderMap::new(), &mut first, false)
                .unwrap();
            assert_eq!(first.as_deref(), Some(&b""[..]));
            let mut last = Some(Bytes::from_static(two));
            edit.chunk(&config, &HeaderMap::new(), &mut last, true)
                .unwrap();
            assert_eq!(last.as_deref(), Some(&br#"{"metadata":{}}"#[..]));
        }
        // Given up in the middle, what was held belongs to that attempt alone.
        edit.rewind();
        let mut part = Some(Bytes::from_static(b"{\"metadata\":"));
        edit.chunk(&config, &HeaderMap::new(), &mut part, false)
            .unwrap();
        edit.rewind();
        let mut whole = Some(Bytes::from_static(FORGED));
        edit.chunk(&config, &HeaderMap::new(), &mut whole, true)
            .unwrap();
        assert_eq!(whole.as_deref(), Some(&br#"{"metadata":{}}"#[..]));
    }

    #[test]
    fn blanks_that_come_one_by_one_are_looked_at_once() {
        let config = config();
        let mut edit = BodyEdit::default();
        edit.arm();
        let began = std::time::Instant::now();
        for _ in 0..STREAMED_JSON_CAP / 2 {
            let mut blank = Some(Bytes::from_static(b" "));
            edit.chunk(&config, &HeaderMap::new(), &mut blank, false)
                .unwrap();
            assert_eq!(blank.as_deref(), Some(&b""[..]));
        }
        let mut last = Some(Bytes::from_static(FORGED));
        edit.chunk(&config, &HeaderMap::new(), &mut last, true)
            .unwrap();
        assert!(last.unwrap().ends_with(br#" {"metadata":{}}"#));
        // Looked at again with each, it would be minutes.
        assert!(began.elapsed() < std::time::Duration::from_secs(20));
    }

    #[test]
    fn a_member_that_only_the_backend_would_see_is_refused() {
        let config = config();
        let text = std::str::from_utf8(FORGED).unwrap();
        let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let json = "application/json";
        let mut coded = kind(json);
        coded.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        for (kind, body) in [
            (coded, FORGED.to_vec()),
            (kind(json), wide.clone()),
            (kind("text/plain"), wide),
            (
                kind("application/json; charset=utf-7"),
                br#"{"metad+AGE-ta":{"customer":"alice"}}"#.to_vec(),
            ),
            (kind("text/plain; charset=cp037"), vec![0xC0, 0x7F, 0xD0]),
            (
                kind("application/x-www-form-urlencoded"),
                br#"{"a":"&metadata[customer]=alice"}"#.to_vec(),
            ),
            (
                HeaderMap::new(),
                br#"{"a":"&metadata[customer]=alice"}"#.to_vec(),
            ),
            (
                kind("multipart/form-data"),
                b"--b\r\nContent-Disposition: form-data; name=x\r\n\r\n\r\n--b--".to_vec(),
            ),
            (kind("multipart/form-data; boundary=b"), FORGED.to_vec()),
        ] {
            let refused = Err(Reason::BadBody);
            assert_eq!(edit_body(&config, &kind, &body, &[]), refused, "{kind:?}");
            let mut edit = BodyEdit::default();
            edit.arm();
            let verdict = body
                .chunks(3)
                .map(|part| (Bytes::copy_from_slice(part), false))
                .chain([(Bytes::new(), true)])
                .try_for_each(|(part, end)| {
                    let mut chunk = (!end).then_some(part);
                    edit.chunk(&config, &kind, &mut chunk, end)?;
                    let on = chunk.is_some_and(|chunk| !chunk.is_empty());
                    assert!(!on, "{kind:?}: something went on");
                    Ok(())
                });
            assert_eq!(verdict, Err(Reason::BadBody), "{kind:?}");
        }
    }

    #[test]
    fn fields_are_taken_out_and_set_whole_or_in_pieces() {
        let config = config();
        let part = |name: &str, content: &str| {
            format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{content}\r\n")
        };
        let (text, forged) = (part("text", "hi"), part("metadata[customer]", "eve"));
        let ours = part("metadata[customer]", "alice");
        let long = "x".repeat(STREAMED_JSON_CAP);
        let form = kind("application/x-www-form-urlencoded");
        for (kind, body, left, set) in [
            (
                form.clone(),
                format!("metadata.customer=eve&text={long}"),
                format!("text={long}"),
                format!("text={long}&metadata%5Bcustomer%5D=alice"),
            ),
            (
                kind("multipart/form-data; boundary=b"),
                format!("{text}{forged}{}--b--\r\n", part("file", &long)),
                format!("{text}{}--b--\r\n", part("file", &long)),
                format!("{ours}{text}{}--b--\r\n", part("file", &long)),
            ),
            // Nothing is set in what does not say that it is a form.
            (
                HeaderMap::new(),
                "text=x&metadata[customer]=eve".into(),
                "text=x".into(),
                "text=x".into(),
            ),
        ] {
            let members = config.managed_members.paths();
            let members = [(&members[0], Value::from("alice"))];
            let whole = |members| edit_body(&config, &kind, body.as_bytes(), members).unwrap();
            assert_eq!(whole(&[]).as_deref(), Some(left.as_bytes()));
            assert_eq!(whole(&members).as_deref(), Some(set.as_bytes()));
            let mut edit = BodyEdit::default();
            edit.arm();
            let mut streamed = Vec::new();
            let pieces = body.as_bytes().chunks(1009).map(Some).chain([None]);
            for piece in pieces {
                let mut chunk = piece.map(Bytes::copy_from_slice);
                edit.chunk(&config, &kind, &mut chunk, piece.is_none())
                    .unwrap();
                streamed.extend_from_slice(&chunk.unwrap_or_default());
            }
            assert!(streamed == left.as_bytes());
        }
        for (kind, body) in [
            (form, &b"text=x&metadata[lang]=en"[..]),
            (kind("text/plain"), b"metadata.customer=x"),
        ] {
            assert_eq!(edit_body(&config, &kind, body, &[]), Ok(None));
        }
    }

    /// What goes on of a body, read as a whole and streamed in pieces.
    fn both(kind: &HeaderMap, body: &[u8]) -> [Result<Vec<u8>, Reason>; 2] {
        let config = config();
        let whole = edit_body(&config, kind, body, &[]);
        let whole = whole.map(|edited| edited.map_or(body.to_vec(), Vec::from));
        let mut edit = BodyEdit::default();
        edit.arm();
        let mut on = Vec::new();
        let pieces = body.chunks(5).map(Some).chain([None]);
        let streamed = pieces.into_iter().try_for_each(|piece| {
            let mut chunk = piece.map(Bytes::copy_from_slice);
            edit.chunk(&config, kind, &mut chunk, piece.is_none())?;
            on.extend_from_slice(&chunk.unwrap_or_default());
            Ok(())
        });
        [whole, streamed.map(|()| on)]
    }

    #[test]
    fn what_only_a_lenient_reader_takes_for_json_has_no_managed_member() {
        let forged = std::str::from_utf8(FORGED).unwrap();
        let bodies = [
            "/**/",
            "//x\n",
            "#x\n",
            "\u{a0}",
            "\u{b}",
            "\u{feff}\u{2028}",
            ")]}'\n",
            "\u{1e}",
        ]
        .map(|before| format!("{before}{forged}"));
        let kinds = [
            "application/json",
            "application/problem+json",
            "text/json",
            "application/json-seq",
            "application/x-ndjson",
            "text/plain",
            "image/png",
            "application/x-www-form-urlencoded",
            "",
        ];
        for body in &bodies {
            for name in kinds {
                let refused = Err(Reason::BadBody);
                let [whole, streamed] = both(&kind(name), body.as_bytes());
                assert_eq!((&whole, &streamed), (&refused, &refused), "{body} {name}");
            }
        }
        // Behind what is no blank: lines, and things that only some read as JSON.
        for body in [
            format!("\"x\"\n{forged}"),
            format!("x {forged}"),
            "\"é\"\n{metadata:{'customer':1}}".to_owned(),
            // In pieces, a character before it is cut in two.
            format!("a=xyé {forged}"),
        ] {
            for name in ["application/json", "application/x-ndjson", ""] {
                let refused = Err(Reason::BadBody);
                let [whole, streamed] = both(&kind(name), body.as_bytes());
                assert_eq!((&whole, &streamed), (&refused, &refused), "{body} {name}");
            }
            let [whole, streamed] = both(&kind("text/plain"), body.as_bytes());
            assert_eq!(whole.as_deref(), Ok(body.as_bytes()));
            assert_eq!(streamed.as_deref(), Ok(body.as_bytes()));
        }
        // What a field was taken from the front of.
        let body = format!("metadata.customer=1&{forged}");
        for name in ["application/x-www-form-urlencoded", ""] {
            let [whole, streamed] = both(&kind(name), body.as_bytes());
            assert_eq!(whole, Err(Reason::BadBody), "{name}");
            assert_eq!(streamed, Err(Reason::BadBody), "{name}");
        }
    }

    #[test]
    fn what_is_held_of_a_body_that_streams_is_not_without_end() {
        let config = config();
        for (name, start, more) in [
            ("application/json", "[", "1,"),
            ("text/plain", "[", "1,"),
            ("text/plain", "", " "),
            ("", "a={", "x"),
            (
                "application/x-www-form-urlencoded",
                "metadata.customer=&{a=",
                "x",
            ),
        ] {
            let kind = kind(name);
            let mut edit = BodyEdit::default();
            edit.arm();
            let piece = Bytes::from(more.repeat((STREAMED_JSON_CAP >> 4) / more.len()));
            let pieces = std::iter::once(Bytes::from(start)).chain(vec![piece; 17]);
            let verdict = pieces
                .into_iter()
                .try_for_each(|piece| edit.chunk(&config, &kind, &mut Some(piece), false));
            assert_eq!(verdict, Err(Reason::BodyTooLarge), "{name} {start}");
        }
    }

    #[test]
    fn what_cannot_have_a_managed_member_goes_on() {
        for (name, body) in [
            ("application/json", &b"/**/{\"text\":\"hi\"}"[..]),
            ("application/json", b"\"one\\ncustomer\""),
            ("application/x-ndjson", b"{\"a\":1}\n{\"a\":2}\n"),
            ("", b"\"x\"\n{\"text\":\"hi\"}"),
            ("", b"text=new+customer"),
            ("", "text=\u{e9} {hi}".as_bytes()),
            ("", b"\x89PNG\r\n\x1a\n\0{customer"),
            ("image/png", b"\x89PNG\r\n\x1a\n\0{customer"),
            ("text/plain", b"new customer {1}"),
            ("text/plain", b"# title\n\\ customer"),
        ] {
            let [whole, streamed] = both(&kind(name), body);
            assert_eq!(whole.as_deref(), Ok(body), "{name}");
            assert_eq!(streamed.as_deref(), Ok(body), "{name}");
        }
    }

    #[test]
    fn what_says_that_it_is_json_carries_the_customer_or_does_not_go_on() {
        let config = config();
        let path = &config.managed_members.paths()[0];
        let members = [(path, Value::from("alice"))];
        for name in ["application/json", "application/vnd.x+json; charset=utf-8"] {
            for body in ["/**/{}", "hello", "{} {}", "{text:1}"] {
                let edited = edit_body(&config, &kind(name), body.as_bytes(), &members);
                assert_eq!(edited, Err(Reason::BadBody), "{body}");
            }
            let edited = edit_body(&config, &kind(name), b"[{}]", &members);
            assert_eq!(edited, Ok(None), "an array names nobody");
        }
        let edited = edit_body(&config, &kind("text/plain"), b"hello", &members);
        assert_eq!(edited, Ok(None));
    }
}
