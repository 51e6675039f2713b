//! Takes a multipart body that comes in pieces apart. Sans-IO.

use memchr::memmem;

use crate::message::json::Malformed;

/// Longest headers of a part, in bytes.
pub(super) const MAX_HEADERS: usize = 16 << 10;

/// What stands between the parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boundary {
    /// The beginning of a delimiter: `--` and the boundary.
    pub(super) line: Box<[u8]>,
    /// Whether the parts are fields of a form.
    pub(super) form: bool,
}

impl Boundary {
    /// The boundary that a `Content-Type` names; `None` when it is not multipart.
    ///
    /// # Errors
    /// When it is multipart, and two readers could see different boundaries.
    pub fn of(content_type: &[u8]) -> Result<Option<Self>, Malformed> {
        let wrong = || Malformed("the boundary has no single reading".into());
        let word = b"multipart/";
        let kind = content_type.trim_ascii();
        let named = kind.get(..word.len());
        if !named.is_some_and(|kind| kind.eq_ignore_ascii_case(word)) {
            return Ok(None);
        }
        let text = std::str::from_utf8(kind).map_err(|_| wrong())?;
        let mut parameters = text.split(';').skip(1).map(str::trim);
        let about = |text: &str| text.to_ascii_lowercase().contains("boundary");
        let first = text.split(';').next().unwrap_or_default();
        let mut found = parameters.by_ref().filter(|parameter| about(parameter));
        let (Some(parameter), None) = (found.next(), found.next()) else {
            return Err(wrong());
        };
        let (name, value) = parameter.split_once('=').ok_or_else(wrong)?;
        if about(first) || !name.eq_ignore_ascii_case("boundary") {
            return Err(wrong());
        }
        let value = match value.strip_prefix('"') {
            Some(quoted) => quoted.strip_suffix('"').ok_or_else(wrong)?,
            None => value,
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"'+_-./:=?".contains(&byte);
        if value.is_empty() || value.len() > 70 || !value.bytes().all(plain) {
            return Err(wrong());
        }
        Ok(Some(Self {
            line: [b"--", value.as_bytes()].concat().into(),
            form: first.trim().eq_ignore_ascii_case("multipart/form-data"),
        }))
    }
}

/// A piece of a body. All of them one after the other are the body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// What stands before the first part and behind the last one, and the last delimiter.
    Frame(&'a [u8]),
    /// A part begins: its delimiter, its headers, the empty line.
    Head(&'a [u8]),
    /// Some of its content, the line end before the next delimiter included.
    Content(&'a [u8]),
}

/// Takes a body that comes in pieces apart.
#[derive(Debug)]
pub(super) struct Reader {
    boundary: Boundary,
    place: Place,
    held: Vec<u8>,
    /// How many bytes behind a delimiter have been searched for the end of its headers.
    searched: usize,
}

/// Where in a body the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the first part.
    Before,
    /// In the content of a part.
    Content,
    /// At a delimiter, whose headers may not be whole yet.
    Delimiter,
    /// Behind the last part.
    After,
}

pub(super) fn wrong<T>(what: &str) -> Result<T, Malformed> {
    Err(Malformed(what.into()))
}

impl Reader {
    pub(super) fn new(boundary: Boundary) -> Self {
        Self {
            boundary,
            place: Place::Before,
            held: Vec::new(),
            searched: 0,
        }
    }

    /// Takes some more of the body in.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        mut take: impl FnMut(Piece<'_>),
    ) -> Result<(), Malformed> {
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(bytes);
        let mut rest = &held[..];
        while let Some(after) = self.step(rest, &mut take)? {
            rest = after;
        }
        let taken = held.len() - rest.len();
        held.drain(..taken);
        self.held = held;
        Ok(())
    }

    /// Whether it ended with the last delimiter.
    pub(super) fn end(&self) -> Result<(), Malformed> {
        match self.place {
            Place::After => Ok(()),
            _ => wrong("the last delimiter is missing"),
        }
    }

    /// Takes one piece; `None` when that needs more bytes.
    fn step<'a>(
        &mut self,
        bytes: &'a [u8],
        take: &mut impl FnMut(Piece<'_>),
    ) -> Result<Option<&'a [u8]>, Malformed> {
        match self.place {
            Place::Before | Place::Content => self.until_delimiter(bytes, take),
            Place::Delimiter => self.delimiter(bytes, take),
            Place::After if bytes.is_empty() => Ok(None),
            Place::After if !bytes.iter().all(u8::is_ascii_whitespace) => {
                wrong("something stands behind the last part")
            }
            Place::After => {
                take(Piece::Frame(bytes));
                Ok(Some(&[]))
            }
        }
    }

    fn until_delimiter<'a>(
        &mut self,
        bytes: &'a [u8],
        take: &mut impl FnMut(Piece<'_>),
    ) -> Result<Option<&'a [u8]>, Malformed> {
        let found = memmem::find(bytes, &self.boundary.line);
        // Otherwise the end may be the beginning of a delimiter.
        let most = bytes.len().saturating_sub(self.boundary.line.len() + 1);
        let (piece, rest) = bytes.split_at(found.unwrap_or(most));
        if self.place == Place::Before {
            if !piece.iter().all(|byte| b"\r\n".contains(byte)) {
                return wrong("something stands before the first part");
            }
            take(Piece::Frame(piece));
        } else {
            if found.is_some() && !piece.ends_with(b"\r\n") {
                return wrong("the boundary stands within a line");
            }
            take(Piece::Content(piece));
        }
        if found.is_some() {
            self.place = Place::Delimiter;
        }
        Ok((found.is_some() || !piece.is_empty()).then_some(rest))
    }

    fn delimiter<'a>(
        &mut self,
        bytes: &'a [u8],
        take: &mut impl FnMut(Piece<'_>),
    ) -> Result<Option<&'a [u8]>, Malformed> {
        let line = self.boundary.line.len();
        let behind = bytes.get(line..).unwrap_or_default();
        match behind {
            [] | [b'-' | b'\r'] => return Ok(None),
            [b'-', b'-', ..] => {
                let (delimiter, rest) = bytes.split_at(line + 2);
                take(Piece::Frame(delimiter));
                self.place = Place::After;
                return Ok(Some(rest));
            }
            [b'\r', b'\n', ..] => {}
            _ => return wrong("the boundary stands within a line"),
        }
        // The end may have come in part.
        let from = self.searched.saturating_sub(3);
        let unseen = behind.get(from..).unwrap_or_default();
        let end = memmem::find(unseen, b"\r\n\r\n").map(|at| from + at);
        if end.unwrap_or(behind.len()) > MAX_HEADERS {
            return wrong("the headers of a part are too long");
        }
        let Some(end) = end else {
            self.searched = behind.len();
            return Ok(None);
        };
        self.searched = 0;
        let (head, rest) = bytes.split_at(line + end + 4);
        self.check(head.get(line..).unwrap_or_default())?;
        take(Piece::Head(head));
        self.place = Place::Content;
        Ok(Some(rest))
    }

    /// Headers that every reader reads alike.
    fn check(&self, headers: &[u8]) -> Result<(), Malformed> {
        let lines = || headers.split(|byte| *byte == b'\n');
        let ends = lines().filter(|line| line.ends_with(b"\r")).count() + 1 == lines().count();
        let single =
            !lines().any(|line| memchr::memchr(b'\r', line).is_some_and(|at| at + 1 < line.len()));
        let folded = lines().any(|line| line.starts_with(b" ") || line.starts_with(b"\t"));
        let disguised = headers == b"\r\n\r\n"
            || headers.contains(&0)
            || memmem::find(headers, &self.boundary.line).is_some()
            || memmem::find(headers, b"=?").is_some();
        match ends && single && !folded && !disguised {
            true => Ok(()),
            false => wrong("the headers of a part have no single reading"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_come_byte_by_byte_are_searched_once() {
        let boundary = Boundary::of(b"multipart/form-data; boundary=b")
            .unwrap()
            .unwrap();
        let mut reader = Reader::new(boundary);
        let head = format!("--b\r\nX: {}\r\n\r\n", "x".repeat(MAX_HEADERS - 10));
        let began = std::time::Instant::now();
        let mut heads = 0;
        for part in 0..20 {
            let content = if part == 0 { "" } else { "\r\n" };
            for byte in [content.as_bytes(), head.as_bytes()].concat() {
                let count =
                    |piece: Piece<'_>| heads += usize::from(matches!(piece, Piece::Head(_)));
                reader.push(&[byte], count).unwrap();
            }
        }
        assert_eq!(heads, 20);
        // Searched again with each byte, it would be minutes.
        assert!(began.elapsed() < std::time::Duration::from_secs(20));
    }
}
