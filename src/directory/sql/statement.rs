//! A query as an operator writes it. What a customer brings is never part of its text.

use crate::directory::pattern::Mistake;

/// A query with named parameters, `select … where mail = :claims.email`.
///
/// Only what is surely read the same way by every database is taken: one `select`,
/// without comments, escapes in strings, and the special quotes that some have.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The text between the parameters.
    pieces: Vec<Box<str>>,
    /// Between two pieces the place of a name among the names.
    holes: Vec<usize>,
    names: Vec<(Box<str>, usize)>,
}

impl Statement {
    /// Reads a query.
    ///
    /// # Errors
    /// What cannot be read, and a query without parameters: it finds the same record
    /// for everybody.
    pub fn parse(text: &str) -> Result<Self, Mistake> {
        let mut reader = Reader {
            text,
            at: 0,
            from: 0,
            open: Vec::new(),
            statement: Self {
                pieces: Vec::new(),
                holes: Vec::new(),
                names: Vec::new(),
            },
        };
        let first = text.trim_start();
        let word = first.split(|c: char| !c.is_ascii_alphabetic()).next();
        if !word.is_some_and(|word| {
            ["select", "with"]
                .iter()
                .any(|known| word.eq_ignore_ascii_case(known))
        }) {
            let at = text.len() - first.len();
            return Err(Mistake::at(at, "a query begins with `select`"));
        }
        while reader.step()? {}
        if let Some(at) = reader.open.pop() {
            return Err(Mistake::at(at, "`(` without `)`"));
        }
        if reader.statement.names.is_empty() {
            return Err(Mistake::at(
                0,
                "this finds the same record for everybody: it has no parameter",
            ));
        }
        let rest = text.get(reader.from..).unwrap_or_default();
        reader.statement.pieces.push(rest.into());
        Ok(reader.statement)
    }

    /// The names of its parameters, each once, and where they stand.
    pub fn names(&self) -> &[(Box<str>, usize)] {
        &self.names
    }

    /// The query as a database reads it, its parameters numbered from one after `mark`
    /// (`?` or `$`). Two rows at most come back.
    pub fn numbered(&self, mark: char) -> String {
        let mut text = String::from("select * from (");
        for (place, piece) in self.pieces.iter().enumerate() {
            text += piece;
            if let Some(hole) = self.holes.get(place) {
                text.push(mark);
                text += &(hole + 1).to_string();
            }
        }
        // On a line of its own: nothing of the query reaches over it.
        text + "\n) as record limit 2"
    }
}

/// Goes through a query.
struct Reader<'t> {
    text: &'t str,
    /// What was read.
    at: usize,
    /// Where the piece begins that is read.
    from: usize,
    /// Parentheses that are open.
    open: Vec<usize>,
    statement: Statement,
}

impl Reader<'_> {
    /// Reads one thing; `false` at the end.
    fn step(&mut self) -> Result<bool, Mistake> {
        let at = self.at;
        let rest = self.text.get(at..).unwrap_or_default();
        let mut chars = rest.chars();
        let Some(c) = chars.next() else {
            return Ok(false);
        };
        let next = chars.next();
        self.at += c.len_utf8();
        let mistake = |message: &str| Err(Mistake::at(at, message));
        match c {
            '\'' | '"' => self.quoted(c, at)?,
            '(' => self.open.push(at),
            ')' => {
                let open = self.open.pop();
                open.ok_or_else(|| Mistake::at(at, "`)` without `(`"))?;
            }
            ';' => return mistake("one query, without a semicolon"),
            '-' if next == Some('-') => return mistake("a query has no comments"),
            '/' if next == Some('*') => return mistake("a query has no comments"),
            '{' | '}' => return mistake("write a parameter: :subject, :claims.email"),
            '?' | '$' | '@' | '#' | '`' | '[' | ']' | '\\' => {
                let message = format!("`{c}` is not read the same way by every database");
                return Err(Mistake::at(at, message));
            }
            // A cast: `::text`.
            ':' if next == Some(':') => self.at += 1,
            ':' => self.parameter(at)?,
            c if c.is_control() && !c.is_whitespace() => {
                return mistake("a control character");
            }
            // Also keeps the letters of a prefix (`E'…'`, `U&'…'`) from their quote.
            c if c.is_ascii_alphabetic() || c == '_' => self.word(at)?,
            _ => {}
        }
        Ok(true)
    }

    /// A string or a quoted name; a quote in it stands twice.
    fn quoted(&mut self, quote: char, open: usize) -> Result<(), Mistake> {
        let inside = self.text.get(self.at..).unwrap_or_default();
        let Some(length) = inside.find(quote) else {
            return Err(Mistake::at(open, format!("`{quote}` without another one")));
        };
        let content = inside.get(..length).unwrap_or_default();
        if let Some(place) = content.find('\\') {
            let message = "a backslash in quotes is not read the same way by every database";
            return Err(Mistake::at(self.at + place, message));
        }
        for name in [":subject", ":claims", "{{"] {
            if let Some(place) = content.find(name) {
                let message = "in quotes this is no parameter: write it without them";
                return Err(Mistake::at(self.at + place, message));
            }
        }
        self.at += length + 1;
        Ok(())
    }

    /// A word; one that has a string right after it gives the string another meaning.
    fn word(&mut self, at: usize) -> Result<(), Mistake> {
        let rest = self.text.get(at..).unwrap_or_default();
        let part = |c: char| c.is_alphanumeric() || c == '_';
        let end = rest.find(|c| !part(c)).unwrap_or(rest.len());
        self.at = at + end;
        match rest.get(end..).and_then(|rest| rest.chars().next()) {
            Some('\'' | '&') => Err(Mistake::at(
                at,
                "a word right before a quote or `&` is not read the same way by every database",
            )),
            _ => Ok(()),
        }
    }

    fn parameter(&mut self, at: usize) -> Result<(), Mistake> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let part = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
        let name = rest.split(|c| !part(c)).next().unwrap_or_default();
        let name = name.trim_end_matches('.');
        if !name.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            return Err(Mistake::at(at, "`:` without the name of a parameter"));
        }
        let statement = &mut self.statement;
        let known = statement
            .names
            .iter()
            .position(|(known, _)| **known == *name);
        let place = known.unwrap_or_else(|| {
            statement.names.push((name.into(), at + 1));
            statement.names.len() - 1
        });
        let piece = self.text.get(self.from..at).unwrap_or_default();
        statement.pieces.push(piece.into());
        statement.holes.push(place);
        self.at += name.len();
        self.from = self.at;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbered(text: &str, mark: char) -> String {
        let whole = Statement::parse(text).unwrap().numbered(mark);
        let inside = whole.strip_prefix("select * from (").unwrap();
        let inside = inside.strip_suffix("\n) as record limit 2").unwrap();
        inside.to_owned()
    }

    #[test]
    fn parameters_become_the_databases_own() {
        let text = "select a from t where x = :claims.email and y=:subject and z = :claims.email";
        let statement = Statement::parse(text).unwrap();
        let names: Vec<_> = statement.names().iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["claims.email", "subject"]);
        assert_eq!(
            numbered(text, '?'),
            "select a from t where x = ?1 and y=?2 and z = ?1"
        );
        assert_eq!(
            numbered("SELECT (a) FROM t WHERE x=:subject::int", '$'),
            "SELECT (a) FROM t WHERE x=$1::int"
        );
        assert_eq!(
            numbered(
                "with c as (select ':' as x, ''';' as \"a\"\"b:\") select * from c where x=:subject.",
                '$'
            ),
            "with c as (select ':' as x, ''';' as \"a\"\"b:\") select * from c where x=$1."
        );
    }

    #[test]
    fn what_cannot_be_read_for_sure_is_refused() {
        for (text, marked) in [
            ("delete from t where x = :subject", "delete"),
            ("", ""),
            ("selects :subject", "selects"),
            ("select 1", "select"),
            ("select :subject;", ";"),
            ("select :subject -- x", "--"),
            ("select :subject /* x", "/*"),
            ("select :subject #x", "#"),
            ("select $1, :subject", "$1"),
            ("select ?, :subject", "?"),
            ("select @x, :subject", "@x"),
            ("select `x`, :subject", "`x"),
            ("select [x], :subject", "[x"),
            ("select 'a\\', :subject", "\\"),
            ("select E'a', :subject", "E'"),
            ("select U&'a', :subject", "U&"),
            ("select 'a, :subject", "'a"),
            ("select ':subject'", ":subject"),
            ("select '{{ subject }}'", "{{"),
            ("select {{ subject }}", "{{"),
            ("select (:subject", "(:"),
            ("select :subject)", ")"),
            ("select :1", ":1"),
            ("select : subject", ": "),
            ("select a[1:2], :subject", "[1"),
            ("select \0:subject", "\0"),
        ] {
            let mistake = Statement::parse(text).unwrap_err();
            let at = text.get(mistake.offset..).unwrap();
            assert!(at.starts_with(marked), "{text:?}: {mistake:?}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "select (:subject|:|'|\"|\\(|\\)|--|;|é| |\\\\|a|1|\\.){0,12}") {
            if let Ok(statement) = Statement::parse(&text) {
                prop_assert!(statement.numbered('?').contains("?1"));
            }
        }
    }
}
