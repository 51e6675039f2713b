//! A typed reader over the spanned TOML tree that goes on after a mistake.
//!
//! [`Table`] hands out values by key and, when it goes out of scope, reports the
//! keys that nobody asked for. [`Node`] is one value; what cannot be read is
//! reported and comes out as `None`. Nothing here stops at the first mistake.
//! The rule for users: ask a table for all its keys before returning early.

mod node;
mod table;

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use toml::de::DeTable;

pub(super) use node::Node;
pub(super) use table::Table;

use super::diagnostic::{Diagnostic, Place, Severity};
use super::source::{Source, Tokens, Visible};

/// What is wrong with a value, and how to mend it.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) message: String,
    pub(super) help: Option<String>,
}

impl Wrong {
    pub(super) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: Some(help.into()),
        }
    }
}

impl From<String> for Wrong {
    fn from(message: String) -> Self {
        Self {
            message,
            help: None,
        }
    }
}

impl From<&str> for Wrong {
    fn from(message: &str) -> Self {
        message.to_owned().into()
    }
}

/// Collects the mistakes of one file.
pub(super) struct Report<'s> {
    pub(super) source: &'s Source,
    tokens: RefCell<Tokens>,
    mistakes: RefCell<Vec<Mistake>>,
    tables: RefCell<HashMap<usize, Seen>>,
    unknown: RefCell<Vec<Unknown>>,
}

struct Mistake {
    severity: Severity,
    span: Range<usize>,
    wrong: Wrong,
    related: Option<(Range<usize>, String)>,
    /// The table and the key that it lacks, if that is the mistake.
    missing: Option<(usize, &'static str)>,
}

/// A table that was read.
struct Seen {
    parent: usize,
    header: String,
    names: Vec<&'static str>,
}

/// A key that nobody asked for.
struct Unknown {
    table: usize,
    key: String,
    span: Range<usize>,
}

impl<'s> Report<'s> {
    /// A report on a file and its tree; no value may be shown yet.
    pub(super) fn new(source: &'s Source, tree: &DeTable<'_>) -> Self {
        Self {
            source,
            tokens: RefCell::new(Tokens::of(tree)),
            mistakes: RefCell::default(),
            tables: RefCell::default(),
            unknown: RefCell::default(),
        }
    }

    /// Whether there is an error so far.
    pub(super) fn failed(&self) -> bool {
        !self.unknown.borrow().is_empty()
            || self
                .mistakes
                .borrow()
                .iter()
                .any(|mistake| mistake.severity == Severity::Error)
    }

    /// An error at a place that is not a value.
    pub(super) fn error(&self, span: Range<usize>, wrong: impl Into<Wrong>) {
        self.push(Severity::Error, span, wrong.into(), None, None);
    }

    /// All mistakes, in the order of the file.
    pub(super) fn diagnostics(self) -> Vec<Diagnostic> {
        let tables = self.tables.into_inner();
        let mut mistakes = self.mistakes.into_inner();
        for unknown in self.unknown.into_inner() {
            let (nearest, help) = unknown.help(&tables);
            // A misspelt key explains the missing one.
            mistakes.retain(|m| {
                m.missing
                    .is_none_or(|(t, k)| t != unknown.table || Some(k) != nearest)
            });
            mistakes.push(Mistake {
                severity: Severity::Error,
                span: unknown.span,
                wrong: Wrong {
                    message: format!("`{}` is not known here", clean(&unknown.key)),
                    help,
                },
                related: None,
                missing: None,
            });
        }
        mistakes.sort_by_key(|m| (m.span.start, m.severity));
        let visible = Visible::Tokens(self.tokens.into_inner());
        let place = |span: &Range<usize>| place(self.source, span, &visible);
        let diagnostics = mistakes.into_iter().map(|mistake| Diagnostic {
            severity: mistake.severity,
            file: self.source.path.clone(),
            place: Some(place(&mistake.span)),
            message: mistake.wrong.message,
            help: mistake.wrong.help,
            related: mistake.related.map(|(span, label)| (place(&span), label)),
        });
        let mut diagnostics: Vec<_> = diagnostics.collect();
        diagnostics.dedup();
        diagnostics
    }

    fn push(
        &self,
        severity: Severity,
        span: Range<usize>,
        wrong: Wrong,
        related: Option<(Range<usize>, String)>,
        missing: Option<(usize, &'static str)>,
    ) {
        self.mistakes.borrow_mut().push(Mistake {
            severity,
            span,
            wrong,
            related,
            missing,
        });
    }
}

/// A place in a file.
pub(super) fn place(source: &Source, span: &Range<usize>, visible: &Visible) -> Place {
    let (line, column) = source.position(span.start);
    Place {
        line,
        column,
        excerpt: source.excerpt(span, visible),
    }
}

impl Unknown {
    /// The nearest name in its own table, and advice.
    fn help(&self, tables: &HashMap<usize, Seen>) -> (Option<&'static str>, Option<String>) {
        let Some(table) = tables.get(&self.table) else {
            return (None, None);
        };
        let mut above = table.parent;
        while let Some(ancestor) = tables.get(&above) {
            if ancestor.names.contains(&&*self.key) {
                let help = format!(
                    "`{}` belongs to {}: write it before the next header",
                    self.key, ancestor.header
                );
                return (None, Some(help));
            }
            above = ancestor.parent;
        }
        if let Some(nearest) = nearest(&self.key, table.names.iter().copied()) {
            return (Some(nearest), Some(format!("did you mean `{nearest}`?")));
        }
        (None, Some(listed("known here", &table.names)))
    }
}

/// The nearest of several names, if one is near enough to be meant.
pub(super) fn nearest<'n>(text: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let text = text.to_lowercase();
    let near = |name: &'n str| {
        let distance = strsim::damerau_levenshtein(&text, &name.to_lowercase());
        (distance <= (name.chars().count() / 3).max(1)).then_some((distance, name))
    };
    names.filter_map(near).min().map(|(_, name)| name)
}

/// Text for a message: no controls, not endless.
pub(super) fn clean(text: &str) -> String {
    let plain = |c: char| if c.is_control() { '\u{FFFD}' } else { c };
    let mut cut: String = text.chars().take(80).map(plain).collect();
    if cut.len() < text.len() && text.chars().count() > 80 {
        cut.push('…');
    }
    cut
}

fn quoted(names: &[&str]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

fn listed(what: &str, names: &[&str]) -> String {
    let names: BTreeSet<_> = names.iter().map(|name| clean(name)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    if names.is_empty() {
        return format!("nothing is {what}");
    }
    format!("{what}: {}", quoted(&names))
}
