//! The text of a configuration file: places in it, and what of it may be shown.
//!
//! A diagnostic shows the offending line, and a line may hold a secret. So a
//! value is shown only after the reader handed it out as something that is
//! none; everything else, comments included, stays hidden.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

const REDACTED: &str = "[redacted]";
/// Longest excerpt in characters.
const WIDTH: usize = 120;

/// A configuration file.
#[derive(Debug)]
pub(super) struct Source {
    /// Its name, as the operator gave it.
    pub(super) path: PathBuf,
    text: String,
}

/// A line of a file, ready to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// The line, secrets replaced.
    pub text: String,
    /// Where the offending part begins in it, in characters.
    pub start: usize,
    /// How many characters it covers, at least one.
    pub width: usize,
}

/// What of the text may be shown.
#[derive(Debug)]
pub(super) enum Visible {
    /// The file was understood: all but these values, and no comments.
    Tokens(Tokens),
    /// The file could not be read as TOML, nobody knows what is a value: structure only.
    Structure,
}

/// Keys and values of a file, by where they begin.
#[derive(Debug, Default)]
pub(super) struct Tokens(BTreeMap<usize, Token>);

#[derive(Debug)]
struct Token {
    end: usize,
    hidden: bool,
}

impl Source {
    pub(super) fn new(path: &Path, text: String) -> Self {
        Self {
            path: path.to_owned(),
            text,
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The directory that names of files are relative to.
    pub(super) fn base(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// The text of a span; empty where there is none.
    pub(super) fn slice(&self, span: &Range<usize>) -> &str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    /// Line and column, counted from one, in characters.
    pub(super) fn position(&self, offset: usize) -> (usize, usize) {
        let before = &self.text[..self.floor(offset)];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default();
        (line, column.chars().count() + 1)
    }

    /// The line on which a span begins.
    pub(super) fn excerpt(&self, span: &Range<usize>, visible: &Visible) -> Excerpt {
        let start = self.floor(span.start);
        let begin = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let end = self.text[start..]
            .find('\n')
            .map_or(self.text.len(), |at| start + at);
        let marked = start..self.floor(span.end).clamp(start, end);
        match visible {
            Visible::Tokens(tokens) => self.shown(begin..end, marked, tokens),
            Visible::Structure => self.structure(begin..end, marked),
        }
    }

    fn shown(&self, line: Range<usize>, marked: Range<usize>, tokens: &Tokens) -> Excerpt {
        let mut out = Pen::new(marked);
        let mut redacting = false;
        for (offset, c) in self.text[line.clone()].char_indices() {
            let at = line.start + offset;
            match tokens.at(at) {
                Some(token) if token.hidden => {
                    let word = if redacting { "" } else { REDACTED };
                    redacting = true;
                    out.write(at, word);
                    continue;
                }
                None if c == '#' => break,
                _ => out.character(at, c),
            }
            redacting = false;
        }
        out.excerpt()
    }

    fn structure(&self, line: Range<usize>, marked: Range<usize>) -> Excerpt {
        let text = &self.text[line.clone()];
        let head = text.find('=').unwrap_or(text.len());
        let plain = |c: char| c.is_ascii_lowercase() || "_-. \t[]".contains(c);
        let clear = if text[..head].chars().all(plain) {
            head
        } else {
            0
        };
        let mut out = Pen::new(marked);
        for (offset, c) in text.char_indices() {
            let keep = offset < clear || "\"'[]{},= \t".contains(c);
            out.character(line.start + offset, if keep { c } else { '*' });
        }
        out.excerpt()
    }

    /// The nearest character boundary at or before `offset`.
    fn floor(&self, offset: usize) -> usize {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }
}

impl Tokens {
    /// Collects all keys and values of a tree; every value is hidden.
    pub(super) fn of(table: &DeTable<'_>) -> Self {
        let mut tokens = Self::default();
        tokens.table(table);
        tokens
    }

    /// The value that begins here holds no secret.
    pub(super) fn show(&mut self, start: usize) {
        if let Some(token) = self.0.get_mut(&start) {
            token.hidden = false;
        }
    }

    fn at(&self, offset: usize) -> Option<&Token> {
        let (_, token) = self.0.range(..=offset).next_back()?;
        (offset < token.end).then_some(token)
    }

    fn table(&mut self, table: &DeTable<'_>) {
        for (key, value) in table {
            self.note(key.span(), false);
            self.value(value.span(), value.get_ref());
        }
    }

    fn value(&mut self, span: Range<usize>, value: &DeValue<'_>) {
        match value {
            DeValue::Table(table) => self.table(table),
            DeValue::Array(array) => {
                for item in array.iter() {
                    self.value(item.span(), item.get_ref());
                }
            }
            DeValue::Boolean(_) => self.note(span, false),
            _ => self.note(span, true),
        }
    }

    fn note(&mut self, span: Range<usize>, hidden: bool) {
        let end = span.end;
        self.0.insert(span.start, Token { end, hidden });
    }
}

/// Writes an excerpt and keeps track of where the marked part comes to stand.
struct Pen {
    marked: Range<usize>,
    text: String,
    length: usize,
    start: Option<usize>,
    end: Option<usize>,
}

impl Pen {
    fn new(marked: Range<usize>) -> Self {
        Self {
            marked,
            text: String::new(),
            length: 0,
            start: None,
            end: None,
        }
    }

    /// Controls could move a terminal's cursor; they become blanks.
    fn character(&mut self, at: usize, c: char) {
        let c = if c.is_control() { ' ' } else { c };
        self.write(at, c.encode_utf8(&mut [0; 4]));
    }

    fn write(&mut self, at: usize, text: &str) {
        if at >= self.marked.start && self.start.is_none() {
            // Inside a replaced value there is no place to point at but its beginning.
            let inside = text.is_empty();
            let back = if inside { REDACTED.len() } else { 0 };
            self.start = Some(self.length.saturating_sub(back));
        }
        if at >= self.marked.end && self.end.is_none() {
            self.end = Some(self.length);
        }
        self.text.push_str(text);
        self.length += text.chars().count();
    }

    fn excerpt(self) -> Excerpt {
        let start = self.start.unwrap_or(self.length);
        let width = self.end.unwrap_or(self.length).saturating_sub(start);
        let text = self.text.trim_end();
        if self.length <= WIDTH {
            return Excerpt {
                text: text.to_owned(),
                start,
                width: width.max(1),
            };
        }
        let skipped = start.saturating_sub(WIDTH / 3);
        let window: String = text.chars().skip(skipped).take(WIDTH).collect();
        let (before, shift) = if skipped > 0 { ("…", 1) } else { ("", 0) };
        Excerpt {
            text: format!("{before}{window}…"),
            start: start - skipped + shift,
            width: width.clamp(1, WIDTH),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::new(Path::new("x.toml"), text.into())
    }

    #[test]
    fn counts_lines_and_columns_in_characters() {
        let source = source("a = 1\nä = 2\n");
        assert_eq!(source.position(0), (1, 1));
        assert_eq!(source.position(8), (2, 2));
        assert_eq!(source.position(999), (3, 1));
    }

    #[test]
    fn hides_values_and_comments_until_they_are_known() {
        let text = "keys = [{ kid = \"one\", secret = \"canary\" }] # canary";
        let source = source(text);
        let (tree, _) = DeTable::parse_recoverable(text);
        let mut tokens = Tokens::of(tree.get_ref());
        tokens.show(16);
        let at = text.find("\"canary").unwrap();
        let excerpt = source.excerpt(&(at + 2..at + 8), &Visible::Tokens(tokens));
        assert_eq!(
            excerpt.text,
            "keys = [{ kid = \"one\", secret = [redacted] }]"
        );
        assert_eq!(excerpt.start, at);
    }

    #[test]
    fn a_broken_line_shows_its_structure() {
        for (text, shown) in [
            ("secret = canary", "secret = ******"),
            ("x = \"canary", "x = \"******"),
            ("MIIcanary==", "*********=="),
            ("[channel.web", "[channel.web"),
        ] {
            let excerpt = source(text).excerpt(&(0..1), &Visible::Structure);
            assert_eq!(excerpt.text, shown);
        }
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let text = format!("a = \"{}\" x", "é".repeat(500));
        let source = source(&text);
        let tokens = Visible::Tokens(Tokens::default());
        let excerpt = source.excerpt(&(text.len() - 1..text.len()), &tokens);
        assert!(excerpt.text.chars().count() <= WIDTH + 2);
        assert_eq!(excerpt.text.chars().nth(excerpt.start), Some('x'));
    }
}
