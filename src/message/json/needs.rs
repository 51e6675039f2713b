//! Words that a document must contain for a query to select anything.
//!
//! Read off the text of a query that has been compiled, so it is known to be
//! well formed. Whatever is not understood here asks for nothing: the document
//! is then parsed, which is slower and never wrong.

use memchr::memchr2_iter;
use memchr::memmem::Finder;

/// The words of one query; all of them are needed.
#[derive(Clone, Debug, Default)]
pub(super) struct Needs(Vec<Finder<'static>>);

impl Needs {
    /// Reads them off a query.
    pub(super) fn of(query: &str) -> Self {
        let mut words = Vec::new();
        segments(query, &mut words);
        words.sort_by_key(|word| std::cmp::Reverse(word.len()));
        words.dedup();
        Self(
            words
                .iter()
                .map(|word| Finder::new(word).into_owned())
                .collect(),
        )
    }

    /// `false` when a word is certainly missing. Words are plain ASCII, so a
    /// spelling that hides one has a `\u00` escape of an ASCII character in it,
    /// or the text is in an encoding with NUL bytes (UTF-16, UTF-32).
    pub(super) fn may_hold(&self, bytes: &[u8]) -> bool {
        self.0.iter().all(|word| word.find(bytes).is_some()) || hides_ascii(bytes)
    }
}

fn hides_ascii(bytes: &[u8]) -> bool {
    memchr2_iter(0, b'\\', bytes).any(|at| {
        let rest = bytes.get(at..).unwrap_or_default();
        matches!(rest, [0, ..] | [b'\\', b'u', b'0', b'0', b'0'..=b'7', ..])
    })
}

/// Segments of a query from `$` or `@` on.
fn segments(query: &str, words: &mut Vec<String>) {
    let mut rest = query.trim().trim_start_matches(['$', '@']);
    loop {
        rest = rest.trim_start();
        if let Some(inner) = rest.strip_prefix('[') {
            let Some(end) = closing(inner) else { return };
            let (selectors, after) = inner.split_at(end);
            bracketed(selectors.trim(), words);
            rest = after.get(1..).unwrap_or_default();
        } else if let Some(after) = rest.strip_prefix('.') {
            rest = after.trim_start_matches('.');
            let end = rest
                .find(['.', '[', ' ', '\t', '\n', '\r'])
                .unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            if name != "*" {
                need(name, words);
            }
            rest = after;
        } else {
            return;
        }
    }
}

/// What stands between brackets: several selectors are alternatives and ask for nothing.
fn bracketed(selectors: &str, words: &mut Vec<String>) {
    if let Some(name) = quoted(selectors) {
        return need(name, words);
    }
    let Some(filter) = selectors.strip_prefix('?') else {
        return;
    };
    // Of logical expressions only plain conjunctions are understood.
    let Some(bare) = unquoted(filter) else { return };
    if bare.contains(['(', '!', '|', ',']) {
        return;
    }
    let mut start = 0;
    for end in bare
        .match_indices("&&")
        .map(|(at, _)| at)
        .chain([filter.len()])
    {
        if let (Some(term), Some(bare)) = (filter.get(start..end), bare.get(start..end)) {
            conjunct(term, bare, words);
        }
        start = end + 2;
    }
}

/// `@.name`, which must exist, or `@.name == 'literal'`, which must exist and be that.
fn conjunct(term: &str, bare: &str, words: &mut Vec<String>) {
    // A bracket may hold a filter of its own; the operators in it are not ours.
    if bare.contains('?') {
        return;
    }
    if !bare.contains(['=', '<', '>']) {
        return segments(term, words);
    }
    let Some(at) = bare.find("==") else { return };
    let (Some(left), Some(right)) = (term.get(..at), term.get(at + 2..)) else {
        return;
    };
    let (left, right) = (left.trim(), right.trim());
    let (query, literal) = if quoted(right).is_some() {
        (left, right)
    } else {
        (right, left)
    };
    if let Some(literal) = quoted(literal) {
        segments(query, words);
        need(literal, words);
    }
}

/// The longest piece of `text` that is spelled alike everywhere but for `\u` escapes.
fn need(text: &str, words: &mut Vec<String>) {
    let special = |c: char| !matches!(c, ' '..='~') || matches!(c, '"' | '/' | '\\');
    if let Some(word) = text.split(special).max_by_key(|piece| piece.len())
        && !word.is_empty()
    {
        words.push(word.into());
    }
}

/// The inside of a quoted string that is alone and has no escapes.
pub(super) fn quoted(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let inside = text.strip_prefix(quote)?.strip_suffix(quote)?;
    (!inside.contains([quote, '\\'])).then_some(inside)
}

/// The text with everything quoted blanked out, byte for byte of the same length.
fn unquoted(text: &str) -> Option<String> {
    let mut quote = None;
    let mut bare = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match quote {
            None if matches!(c, '\'' | '"') => quote = Some(c),
            Some(open) if c == open => quote = None,
            Some(_) if c == '\\' => {
                // The escaped character may be the quote itself.
                bare.push('_');
                bare.extend(std::iter::repeat_n('_', chars.next()?.len_utf8()));
                continue;
            }
            None => {
                bare.push(c);
                continue;
            }
            Some(_) => {}
        }
        bare.extend(std::iter::repeat_n('_', c.len_utf8()));
    }
    Some(bare)
}

/// Where the bracket closes that was opened just before `text`.
pub(super) fn closing(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    for (at, byte) in unquoted(text)?.bytes().enumerate() {
        match byte {
            b'[' => depth += 1,
            b']' if depth == 0 => return Some(at),
            b']' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(query: &str) -> Vec<String> {
        serde_json_path::JsonPath::parse(query).expect(query);
        let mut words = Vec::new();
        segments(query, &mut words);
        words
    }

    #[test]
    fn names_on_the_way_are_needed() {
        assert_eq!(words("$"), [""; 0]);
        assert_eq!(words("$.*"), [""; 0]);
        assert_eq!(words("$..flag"), ["flag"]);
        assert_eq!(words("$.a[0].b[*]['odd name']"), ["a", "b", "odd name"]);
        assert_eq!(words("$..['c.d'][\"e\"]"), ["c.d", "e"]);
        assert_eq!(words("$ .a ['b']\n.c"), ["a", "b", "c"]);
        assert_eq!(words("$['text/html; é x']"), ["html; "]);
        assert_eq!(words(r"$['a\'b'].c"), ["c"]);
        assert_eq!(words("$['a]b'].c"), ["a]b", "c"]);
    }

    #[test]
    fn alternatives_are_not() {
        assert_eq!(words("$['a','b'].c"), ["c"]);
        assert_eq!(words("$[?@.a || @.b].c"), ["c"]);
        assert_eq!(words("$[?!@.a].c"), ["c"]);
        assert_eq!(words("$[?@.a != 'x'].c"), ["c"]);
        assert_eq!(words("$[?@.a == @.b].c"), ["c"]);
        assert_eq!(words("$[?@.a <= 'x'].c"), ["c"]);
        assert_eq!(words("$[?length(@.a) == 0].c"), ["c"]);
        assert_eq!(words("$[?@[?@.x != 'y']].c"), ["c"]);
    }

    #[test]
    fn plain_filters_are_understood() {
        assert_eq!(words("$[?@.a]"), ["a"]);
        assert_eq!(words("$[?@.a == 'x']"), ["a", "x"]);
        assert_eq!(
            words("$..cards[?'application/card.oauth' == @.type && $.on]['z']"),
            ["cards", "type", "application", "on", "z"]
        );
        assert_eq!(words("$[?@['a && b'] == \"c || d\"]"), ["a && b", "c || d"]);
    }
}
