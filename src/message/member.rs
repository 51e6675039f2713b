//! Where a member of a JSON body is.

/// The place of a member: names from the top object down, e.g. `["metadata","customer"]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MemberPath(pub Vec<Box<str>>);

impl MemberPath {
    /// Reads `$.metadata.customer`, `metadata.customer` or `$['odd name'].x`.
    ///
    /// # Errors
    /// What is wrong with it, and at which character.
    pub fn parse(text: &str) -> Result<Self, String> {
        let error = |what: &str, rest: &str| {
            Err(format!(
                "{what} at character {}",
                text.len() - rest.len() + 1
            ))
        };
        let (mut rest, mut bare) = match text.strip_prefix('$') {
            Some(rest) => (rest, false),
            None => (text, !text.starts_with('[')),
        };
        let mut names = Vec::new();
        while bare || !rest.is_empty() {
            if let Some(inside) = rest.strip_prefix('[') {
                let Some(quote) = inside.chars().next().filter(|c| matches!(c, '\'' | '"')) else {
                    return error("expected a quoted name", inside);
                };
                let inside = inside.get(1..).unwrap_or_default();
                let Some((name, after)) = inside.split_once(quote) else {
                    return error("unterminated name", inside);
                };
                if name.contains('\\') {
                    return error("escapes are not supported", inside);
                }
                let Some(after) = after.strip_prefix(']') else {
                    return error("expected `]`", after);
                };
                names.push(name.into());
                rest = after;
                continue;
            }
            if !std::mem::take(&mut bare) {
                let Some(after) = rest.strip_prefix('.') else {
                    return error("expected `.` or `[`", rest);
                };
                rest = after;
            }
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            let odd = |c: char| c.is_whitespace() || c.is_control() || "]'\"*$@?,".contains(c);
            if name.is_empty() || name.contains(odd) {
                return error("expected a name (quote odd ones: `['odd name']`)", rest);
            }
            names.push(name.into());
            rest = after;
        }
        if names.is_empty() {
            return Err("names no member".into());
        }
        Ok(Self(names))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn member_paths_are_read() {
        for (text, names) in [
            ("$.metadata.customer", &["metadata", "customer"][..]),
            ("metadata.customer", &["metadata", "customer"]),
            ("$['odd name'].x", &["odd name", "x"]),
            ("['a.b'][\"c\"]", &["a.b", "c"]),
            ("claims['https://x/y'].z", &["claims", "https://x/y", "z"]),
        ] {
            let path = MemberPath::parse(text).expect(text);
            assert_eq!(path.0.iter().map(|n| &**n).collect::<Vec<_>>(), names);
        }
        for text in [
            "", "$", "$.", ".a", "a.", "a..b", "$a", "a[0]", "a['b", "a['b'", "a['b']c", "$.*",
            "a b", "a[b]", "a]", "a['\\'']",
        ] {
            assert!(MemberPath::parse(text).is_err(), "{text}");
        }
    }
}
