//! Bodies on their way to the backend: managed members and fields off, those of the
//! verified customer in, every other byte as it was.
//!
//! A body in which a managed member could come disguised, in an encoding that hides
//! it from us but not from the backend, is refused.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use serde_json::Value;

use crate::config::Config;
use crate::message::coding::Charset;
use crate::message::form::{self, FormEditor, Kind};
use crate::message::json::Malformed;
use crate::message::multipart::{self, MultipartEditor};
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
            multipart::set_fields(body, boundary, paths, members).map_err(bad)?
        }
        kind if looks_like_object(body) => {
            let edited = edit_text(config, body, members)?;
            let left = edited.as_deref().unwrap_or(body);
            if kind != Kind::Other && form::set_fields(left, paths, &[]).map_err(bad)?.is_some() {
                // JSON to one reader, a form with a managed field to another.
                return Err(Reason::BadBody);
            }
            return Ok(edited);
        }
        Kind::Other => return edit_text(config, body, &[]),
        // An array to one reader, a form with a managed field to another.
        _ if edit_text(config, body, &[])?.is_some() => return Err(Reason::BadBody),
        Kind::Urlencoded => form::set_fields(body, paths, members).map_err(bad)?,
        Kind::Unsaid => form::set_fields(body, paths, &[]).map_err(bad)?,
    };
    Ok(edited.map(Bytes::from))
}

/// The same of a text that has no head to say what it is: JSON, if it opens like an object
/// or an array. In an array, nothing is set.
pub(super) fn edit_text(
    config: &Config,
    body: &[u8],
    members: &[(&MemberPath, Value)],
) -> Result<Option<Bytes>, Reason> {
    let members = match opening(body) {
        Some(b'{') => members,
        Some(b'[') => &[],
        // A bare value has no members to take out or to set.
        _ => return Ok(None),
    };
    let needless = members.is_empty() && !config.managed_members.may_be_in(body);
    if config.managed_members.is_empty() || needless {
        return Ok(None);
    }
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

/// Whether the first character that is not blank opens an object, in whatever
/// encoding: some backends recognise UTF-16 and UTF-32 and would read members
/// there that the editor does not see. The editor refuses what is not UTF-8.
fn looks_like_object(body: &[u8]) -> bool {
    opening(body) == Some(b'{')
}

/// The first character of a text that is not blank, in whatever encoding.
pub(super) fn opening(body: &[u8]) -> Option<u8> {
    body.iter().find(|byte| !leads(byte)).copied()
}

/// A byte that may stand before the first character: a blank, one of a byte order
/// mark, the NUL of a wide encoding.
fn leads(byte: &u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, 0 | 0xef | 0xbb | 0xbf | 0xfe | 0xff)
}

/// The edit of a request body that streams by on a route that does not read it:
/// managed members are taken out of a JSON object or array, which is held for that, and
/// managed fields out of a form, which is not; anything else passes.
#[derive(Default)]
pub(super) struct BodyEdit {
    armed: bool,
    way: Way,
}

/// What a body that streams by turned out to be.
enum Way {
    /// Nothing yet.
    Undecided(BytesMut),
    /// An object or an array, as far as it came.
    Json(BytesMut),
    /// A form.
    Form(FormEditor),
    /// A multipart.
    Multipart(Box<MultipartEditor>),
    /// Something that has no members.
    Passing,
}

impl Default for Way {
    fn default() -> Self {
        Self::Undecided(BytesMut::new())
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
            Self::Undecided(held) => {
                held.extend_from_slice(&bytes);
                // What was held before has no opening, or nothing would be held.
                let way = match (Kind::of(headers).map_err(bad)?, opening(&bytes)) {
                    (Kind::Multipart(boundary), _) => {
                        Self::Multipart(Box::new(MultipartEditor::new(boundary)))
                    }
                    (_, None) if !end => return within_cap(held),
                    (_, Some(b'{' | b'[')) => Self::Json(BytesMut::new()),
                    (Kind::Urlencoded | Kind::Unsaid, _) => Self::Form(FormEditor::default()),
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
            Self::Form(editor) => {
                editor.push(paths, &bytes, &mut out).map_err(bad)?;
                if end {
                    editor.end(paths, &mut out);
                }
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
        for (kind, body) in [
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

    #[test]
    fn an_object_is_one_in_every_encoding() {
        let text = " \n{\"a\":1}";
        let wide = |mark: &[u8], unit: fn(u8) -> Vec<u8>| {
            let bytes = text.bytes().flat_map(unit);
            mark.iter().copied().chain(bytes).collect::<Vec<u8>>()
        };
        for body in [
            wide(&[], |b| vec![b]),
            wide(&[0xef, 0xbb, 0xbf], |b| vec![b]),
            wide(&[], |b| vec![b, 0]),
            wide(&[], |b| vec![0, b]),
            wide(&[0xff, 0xfe], |b| vec![b, 0]),
            wide(&[0xfe, 0xff], |b| vec![0, b]),
            wide(&[], |b| vec![0, 0, 0, b]),
            wide(&[0, 0, 0xfe, 0xff], |b| vec![0, 0, 0, b]),
            wide(&[0xff, 0xfe, 0, 0], |b| vec![b, 0, 0, 0]),
        ] {
            assert!(looks_like_object(&body), "{body:?}");
        }
        for body in [&b"[{}]"[..], b"", b"a={", b"\x89PNG{", b"\0\0[{"] {
            assert!(!looks_like_object(body), "{body:?}");
        }
    }
}
