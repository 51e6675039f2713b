//! Text with holes for what is known of a customer: a search filter, the path of a call.

use std::fmt::Write;

use crate::message::target::encode;

/// Text with `{{ name }}` in it. A value stays in its hole, whatever it contains.
#[derive(Clone, Debug)]
pub struct Pattern {
    escape: Escape,
    pieces: Vec<Piece>,
    names: Vec<(Box<str>, usize)>,
}

#[derive(Clone, Debug)]
enum Piece {
    Text(Box<str>),
    /// The place of its name among the names.
    Hole(usize),
}

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// Percent-encoded, for a URL.
    Url,
    /// For a search filter (RFC 4515, section 3).
    Filter,
}

/// What is wrong with a query, and where: a byte offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Byte offset in the text.
    pub offset: usize,
    /// What.
    pub message: String,
}

impl Mistake {
    /// A mistake at this place.
    pub fn at(offset: usize, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { offset, message }
    }
}

impl Pattern {
    /// Reads the text.
    ///
    /// # Errors
    /// When a hole does not end, or holds anything but a name.
    pub fn parse(text: &str, escape: Escape) -> Result<Self, Mistake> {
        let mut pattern = Self {
            escape,
            pieces: Vec::new(),
            names: Vec::new(),
        };
        let mut at = 0;
        while let Some((before, inside)) = text.get(at..).and_then(|rest| rest.split_once("{{")) {
            let open = at + before.len();
            pattern.text(before, at)?;
            let Some((name, _)) = inside.split_once("}}") else {
                return Err(Mistake::at(open, "`{{` without `}}`"));
            };
            at = open + 2 + name.len() + 2;
            let blank = name.len() - name.trim_start().len();
            let name = name.trim();
            let odd = |c: char| c.is_whitespace() || "{}|()\"".contains(c);
            if name.is_empty() || name.contains(odd) {
                return Err(Mistake::at(open, "between `{{` and `}}` stands a name"));
            }
            let place = pattern.name(name, open + 2 + blank);
            pattern.pieces.push(Piece::Hole(place));
        }
        pattern.text(text.get(at..).unwrap_or_default(), at)?;
        Ok(pattern)
    }

    /// The names in it, each once, and where they stand.
    pub fn names(&self) -> &[(Box<str>, usize)] {
        &self.names
    }

    /// The text with these values, in the order of the names.
    pub fn fill(&self, values: &[String]) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(fixed) => text += fixed,
                Piece::Hole(place) => {
                    let value = values.get(*place).map(String::as_str).unwrap_or_default();
                    match self.escape {
                        Escape::Url => text += &encode(value),
                        Escape::Filter => filter(&mut text, value),
                    }
                }
            }
        }
        text
    }

    fn text(&mut self, text: &str, at: usize) -> Result<(), Mistake> {
        for stray in ["}}", "{%", "{#"] {
            if let Some(place) = text.find(stray) {
                return Err(Mistake::at(
                    at + place,
                    format!("`{stray}` has no meaning here"),
                ));
            }
        }
        if !text.is_empty() {
            self.pieces.push(Piece::Text(text.into()));
        }
        Ok(())
    }

    fn name(&mut self, name: &str, at: usize) -> usize {
        let known = self.names.iter().position(|(known, _)| **known == *name);
        known.unwrap_or_else(|| {
            self.names.push((name.into(), at));
            self.names.len() - 1
        })
    }
}

/// RFC 4515, section 3: what has a meaning in a filter, and NUL.
fn filter(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '*' | '(' | ')' | '\\' | '\0' => {
                let _ = write!(text, "\\{:02x}", u32::from(c));
            }
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fill(text: &str, escape: Escape, values: &[&str]) -> String {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        Pattern::parse(text, escape).unwrap().fill(&values)
    }

    #[test]
    fn values_stand_in_their_holes() {
        let text = "/a/{{ x }}?b={{y}}&c={{ x }}";
        let pattern = Pattern::parse(text, Escape::Url).unwrap();
        assert_eq!(pattern.names(), [("x".into(), 6), ("y".into(), 15)]);
        assert_eq!(
            fill(text, Escape::Url, &["/ü", "&"]),
            "/a/%2F%C3%BC?b=%26&c=%2F%C3%BC"
        );
        assert_eq!(
            fill("(&(a=b)(uid={{ x }}))", Escape::Filter, &["*)(uid=\\\0é"]),
            "(&(a=b)(uid=\\2a\\29\\28uid=\\5c\\00é))"
        );
    }

    #[test]
    fn what_is_no_name_is_a_mistake() {
        for (text, at) in [
            ("a{{ x", 1),
            ("a{{}}", 1),
            ("{{ x|safe }}", 0),
            ("{{ x y }}", 0),
            ("{% if x %}", 0),
            ("{{ x }} }}", 8),
        ] {
            let mistake = Pattern::parse(text, Escape::Url).unwrap_err();
            assert_eq!(mistake.offset, at, "{text}: {mistake:?}");
        }
    }

    proptest! {
        #[test]
        fn no_value_leaves_its_hole(value in any::<String>(), odd in "[*()\\\\&|=%/?# ]{0,8}") {
            for value in [value, odd] {
                let filled = fill("(uid={{ x }})", Escape::Filter, &[&value]);
                let inside = filled.strip_prefix("(uid=").and_then(|rest| rest.strip_suffix(')')).unwrap();
                prop_assert!(!inside.contains(['(', ')', '*', '\0']));
                let url = fill("/a?x={{ x }}&y=1", Escape::Url, &[&value]);
                let query = url.strip_prefix("/a?").unwrap();
                let expected = [("x".to_owned(), value), ("y".to_owned(), "1".to_owned())];
                prop_assert_eq!(crate::message::target::pairs(query), expected);
            }
        }

        #[test]
        fn reading_never_panics(text in "(\\{\\{|\\}\\}|\\{%|x|é| |\\.){0,12}") {
            let _ = Pattern::parse(&text, Escape::Url);
        }
    }
}
