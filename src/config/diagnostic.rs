//! One mistake: what, where, and how to mend it.

use std::fmt;
use std::path::PathBuf;

pub use super::source::Excerpt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can, but probably should not.
    Warning,
}

/// A place in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Line, from one.
    pub line: usize,
    /// Column in characters, from one.
    pub column: usize,
    /// The line itself, secrets replaced.
    pub excerpt: Excerpt,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The configuration file.
    pub file: PathBuf,
    /// Where in it; `None` when the file as a whole is meant.
    pub place: Option<Place>,
    /// What is wrong. Never contains a secret.
    pub message: String,
    /// How to mend it.
    pub help: Option<String>,
    /// A second place that has to do with it, and what.
    pub related: Option<(Place, String)>,
}

impl Diagnostic {
    /// Whether the configuration cannot be used.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Where it is, on one line: `file:line:column`.
    pub fn whereabouts(&self) -> String {
        let file = self.file.display();
        match &self.place {
            Some(place) => format!("{file}:{}:{}", place.line, place.column),
            None => file.to_string(),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(f, "{severity}: {}", self.message)?;
        let file = self.file.display();
        match &self.place {
            Some(place) => place.show(f, &file, "")?,
            None => writeln!(f, " --> {file}")?,
        }
        if let Some((place, label)) = &self.related {
            place.show(f, &file, label)?;
        }
        if let Some(help) = &self.help {
            writeln!(f, "  = help: {help}")?;
        }
        Ok(())
    }
}

impl Place {
    fn show(
        &self,
        f: &mut fmt::Formatter<'_>,
        file: &dyn fmt::Display,
        label: &str,
    ) -> fmt::Result {
        let line = self.line.to_string();
        let gutter = " ".repeat(line.len());
        let blank = " ".repeat(self.excerpt.start);
        let carets = "^".repeat(self.excerpt.width);
        writeln!(f, "{gutter}--> {file}:{line}:{}", self.column)?;
        writeln!(f, "{gutter} |")?;
        writeln!(f, "{line} | {}", self.excerpt.text)?;
        let mark = format!("{gutter} | {blank}{carets} {label}");
        writeln!(f, "{}", mark.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_place_with_a_caret() {
        let diagnostic = Diagnostic {
            severity: Severity::Error,
            file: "a.toml".into(),
            place: Some(Place {
                line: 12,
                column: 3,
                excerpt: Excerpt {
                    text: "  colour = 1".into(),
                    start: 2,
                    width: 6,
                },
            }),
            message: "`colour` is not known here".into(),
            help: Some("did you mean `color`?".into()),
            related: None,
        };
        assert_eq!(
            diagnostic.to_string(),
            "error: `colour` is not known here\n  --> a.toml:12:3\n   |\n12 |   colour = 1\n   |   ^^^^^^\n  = help: did you mean `color`?\n"
        );
    }
}
