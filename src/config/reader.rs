//! A typed reader over the spanned TOML tree that goes on after a mistake.
//!
//! [`Table`] hands out values by key and, when it goes out of scope, reports the
//! keys that nobody asked for. [`Node`] is one value; what cannot be read is
//! reported and comes out as `None`. Nothing here stops at the first mistake.
//! The rule for users: ask a table for all its keys before returning early.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ops::{Range, RangeInclusive};

use toml::de::{DeTable, DeValue};

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

/// A table being read.
pub(super) struct Table<'t> {
    report: &'t Report<'t>,
    table: &'t DeTable<'t>,
    span: Range<usize>,
    names: RefCell<Vec<&'static str>>,
    /// Any key is welcome: [`Table::entries`] hands them all out.
    open: std::cell::Cell<bool>,
}

impl<'t> Table<'t> {
    /// The table of a whole file.
    pub(super) fn root(report: &'t Report<'t>, table: &'t DeTable<'t>) -> Self {
        Self::open(report, table, 0..0, 0, "the top of the file".into())
    }

    /// A value, if the key is there.
    pub(super) fn get(&self, name: &'static str) -> Option<Node<'t>> {
        let mut names = self.names.borrow_mut();
        if !names.contains(&name) {
            names.push(name);
        }
        let (key, value) = self.table.get_key_value(name)?;
        Some(self.node(key.get_ref(), key.span(), value.span(), value.get_ref()))
    }

    /// A value that must be there.
    pub(super) fn need(&self, name: &'static str) -> Option<Node<'t>> {
        let node = self.get(name);
        if node.is_none() {
            let wrong = format!("`{name}` is missing").into();
            let missing = Some((self.id(), name));
            self.report
                .push(Severity::Error, self.span.clone(), wrong, None, missing);
        }
        node
    }

    /// Whether the key is there, whatever it says.
    pub(super) fn has(&self, name: &str) -> bool {
        self.table.contains_key(name)
    }

    /// All keys and values, in the order of the file; keys are free here.
    pub(super) fn entries(&self) -> Vec<Node<'t>> {
        self.open.set(true);
        let mut nodes: Vec<_> = self
            .table
            .iter()
            .map(|(key, value)| self.node(key.get_ref(), key.span(), value.span(), value.get_ref()))
            .collect();
        nodes.sort_by_key(|node| node.key.start);
        nodes
    }

    /// Exactly one of these keys has to be there: its node.
    pub(super) fn one_of(&self, names: &[&'static str]) -> Option<Node<'t>> {
        let found: Vec<_> = names.iter().filter_map(|name| self.get(name)).collect();
        match found[..] {
            [node] => Some(node),
            [] => {
                self.error(format!("one of {} is missing", quoted(names)));
                None
            }
            [first, second, ..] => {
                second.clash(
                    first,
                    format!("`{}` and `{}` exclude each other", first.name, second.name),
                );
                None
            }
        }
    }

    /// An error that concerns the whole table.
    pub(super) fn error(&self, wrong: impl Into<Wrong>) {
        self.report.error(self.span.clone(), wrong);
    }

    /// A warning that concerns the whole table.
    pub(super) fn warn(&self, wrong: impl Into<Wrong>) {
        let span = self.span.clone();
        self.report
            .push(Severity::Warning, span, wrong.into(), None, None);
    }

    fn open(
        report: &'t Report<'t>,
        table: &'t DeTable<'t>,
        span: Range<usize>,
        parent: usize,
        header: String,
    ) -> Self {
        let opened = Self {
            report,
            table,
            span,
            names: RefCell::default(),
            open: std::cell::Cell::new(false),
        };
        let seen = Seen {
            parent,
            header,
            names: Vec::new(),
        };
        report.tables.borrow_mut().insert(opened.id(), seen);
        opened
    }

    fn node(
        &self,
        name: &'t str,
        key: Range<usize>,
        span: Range<usize>,
        value: &'t DeValue<'t>,
    ) -> Node<'t> {
        Node {
            report: self.report,
            table: self.id(),
            name,
            key: Span::of(&key),
            span: Span::of(&span),
            value,
        }
    }

    /// Tells tables apart.
    fn id(&self) -> usize {
        std::ptr::from_ref(self.table).addr()
    }
}

impl Drop for Table<'_> {
    fn drop(&mut self) {
        let names = self.names.borrow();
        if let Some(seen) = self.report.tables.borrow_mut().get_mut(&self.id()) {
            seen.names.clone_from(&names);
        }
        if self.open.get() {
            return;
        }
        let left = self
            .table
            .iter()
            .filter(|(key, _)| !names.contains(&&**key.get_ref()));
        let table = self.id();
        self.report
            .unknown
            .borrow_mut()
            .extend(left.map(|(key, _)| Unknown {
                table,
                key: key.get_ref().to_string(),
                span: key.span(),
            }));
    }
}

/// A span that copies.
#[derive(Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
}

impl Span {
    fn of(range: &Range<usize>) -> Self {
        Self {
            start: range.start,
            end: range.end,
        }
    }

    fn range(self) -> Range<usize> {
        self.start..self.end
    }
}

/// One value of the tree.
#[derive(Clone, Copy)]
pub(super) struct Node<'t> {
    report: &'t Report<'t>,
    table: usize,
    /// Its key.
    pub(super) name: &'t str,
    key: Span,
    span: Span,
    value: &'t DeValue<'t>,
}

impl<'t> Node<'t> {
    /// A string that is no secret.
    pub(super) fn text(self) -> Option<&'t str> {
        self.show();
        match self.value {
            DeValue::String(text) => Some(text),
            _ => self.mistyped("a string"),
        }
    }

    /// A string that must not be shown; `None`, without a report, for anything else.
    pub(super) fn hidden_text(self) -> Option<&'t str> {
        self.value.as_str()
    }

    /// A string, read by `parse`.
    pub(super) fn parse<T, E: Into<Wrong>>(
        self,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match parse(self.text()?) {
            Ok(value) => Some(value),
            Err(wrong) => {
                self.error(wrong);
                None
            }
        }
    }

    /// One of several words.
    pub(super) fn choice<T: Clone>(self, choices: &[(&'static str, T)]) -> Option<T> {
        let text = self.text()?;
        if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text) {
            return Some(value.clone());
        }
        let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        self.unknown_name(text, &names);
        None
    }

    /// Reports that `text` names none of `names`, with the nearest of them.
    pub(super) fn unknown_name(self, text: &str, names: &[&str]) {
        let help = match nearest(text, names.iter().copied()) {
            Some(nearest) => format!("did you mean `{nearest}`? {}", listed("known", names)),
            None => listed("known", names),
        };
        let message = format!("`{}`: there is no such {}", clean(text), self.noun());
        self.error(Wrong::new(message, help));
    }

    pub(super) fn boolean(self) -> Option<bool> {
        match self.value {
            DeValue::Boolean(value) => Some(*value),
            _ => {
                self.show();
                self.mistyped("true or false")
            }
        }
    }

    /// A whole number in a range.
    pub(super) fn integer(self, range: RangeInclusive<u64>) -> Option<u64> {
        self.show();
        let DeValue::Integer(number) = self.value else {
            return self.mistyped("a whole number");
        };
        let value = u64::from_str_radix(number.as_str(), number.radix()).ok();
        let value = value.filter(|value| range.contains(value));
        if value.is_none() {
            let (low, high) = (range.start(), range.end());
            self.error(format!("`{}` must be from {low} to {high}", self.name));
        }
        value
    }

    /// Whether it is a whole number.
    pub(super) fn is_integer(self) -> bool {
        self.value.is_integer()
    }

    /// Whether it is a table.
    pub(super) fn is_table(self) -> bool {
        self.value.is_table()
    }

    /// A table.
    pub(super) fn table(self) -> Option<Table<'t>> {
        let DeValue::Table(table) = self.value else {
            self.show();
            return self.mistyped("a table");
        };
        let header = self.report.source.slice(&self.span.range());
        let header = if header.starts_with('[') {
            header.to_owned()
        } else {
            format!("`{}`", self.name)
        };
        let span = self.span.range();
        Some(Table::open(self.report, table, span, self.table, header))
    }

    /// The tables of `[[name]]`.
    pub(super) fn tables(self) -> Vec<Table<'t>> {
        let Some(items) = self.items() else {
            let name = self.name;
            self.error(Wrong::new(
                format!("`{name}` must be a list of tables"),
                format!("write [[…{name}]] with two brackets"),
            ));
            return Vec::new();
        };
        items.into_iter().filter_map(Node::table).collect()
    }

    /// The items of a list, or the one value in place of it.
    pub(super) fn one_or_more(self) -> Vec<Node<'t>> {
        let items = self.items().unwrap_or_else(|| vec![self]);
        if items.is_empty() {
            self.error(Wrong::new(
                format!("`{}` is empty", self.name),
                "leave it out, or name something",
            ));
        }
        items
    }

    /// The items of a list, each read by `read`.
    pub(super) fn list<T>(self, read: impl Fn(Node<'t>) -> Option<T>) -> Option<Vec<T>> {
        let Some(items) = self.items() else {
            self.show();
            return self.mistyped("a list");
        };
        Some(items.into_iter().filter_map(read).collect())
    }

    /// The value as JSON, shown.
    pub(super) fn json(self) -> Option<serde_json::Value> {
        self.show();
        match self.value {
            DeValue::String(text) => Some(text.as_ref().into()),
            DeValue::Boolean(value) => Some((*value).into()),
            DeValue::Integer(number) => {
                let value = i64::from_str_radix(number.as_str(), number.radix());
                if value.is_err() {
                    self.error("the number is too large");
                }
                value.ok().map(Into::into)
            }
            DeValue::Float(number) => {
                let value = number.as_str().parse::<f64>().ok();
                let value = value.and_then(serde_json::Number::from_f64);
                if value.is_none() {
                    self.error("JSON has no such number");
                }
                value.map(serde_json::Value::Number)
            }
            _ => self.mistyped("a string, a number, true or false"),
        }
    }

    pub(super) fn error(self, wrong: impl Into<Wrong>) {
        self.report.error(self.span.range(), wrong);
    }

    /// An error inside a string, `offset` bytes after its beginning.
    pub(super) fn error_within(self, offset: Option<usize>, wrong: impl Into<Wrong>) {
        self.report.error(self.within(offset), wrong);
    }

    /// An error that concerns the key.
    pub(super) fn error_key(self, wrong: impl Into<Wrong>) {
        self.report.error(self.key.range(), wrong);
    }

    pub(super) fn warn(self, wrong: impl Into<Wrong>) {
        let span = self.span.range();
        self.report
            .push(Severity::Warning, span, wrong.into(), None, None);
    }

    /// An error that concerns two values; both are shown.
    pub(super) fn clash(self, other: Node<'_>, wrong: impl Into<Wrong>) {
        let related = Some((other.key.range(), "the other one".to_owned()));
        let span = self.key.range();
        self.report
            .push(Severity::Error, span, wrong.into(), related, None);
    }

    pub(super) fn report(self) -> &'t Report<'t> {
        self.report
    }

    /// It holds no secret.
    pub(super) fn show(self) {
        self.report.tokens.borrow_mut().show(self.span.start);
    }

    fn items(self) -> Option<Vec<Node<'t>>> {
        let array = self.value.as_array()?;
        let items = array.iter().map(|item| Node {
            span: Span::of(&item.span()),
            key: Span::of(&item.span()),
            value: item.get_ref(),
            ..self
        });
        Some(items.collect())
    }

    fn mistyped<T>(self, expected: &str) -> Option<T> {
        let found = match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.error(format!("`{}` must be {expected}, not {found}", self.name));
        None
    }

    /// The place inside a string, where its text stands in the file as it is.
    fn within(self, offset: Option<usize>) -> Range<usize> {
        let exact = || {
            let text = self.value.as_str()?;
            let begin = self.report.source.slice(&self.span.range()).find(text)?;
            let at = self.span.start + begin + offset?.min(text.len());
            Some(at..at + 1)
        };
        exact().unwrap_or(self.span.range())
    }

    /// What to call the thing that this key names.
    fn noun(self) -> &'t str {
        match self.name {
            "levels" | "fallback" => "level",
            name => name,
        }
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
    let names: BTreeMap<_, _> = names.iter().map(|name| (clean(name), ())).collect();
    let names: Vec<_> = names.keys().map(|name| format!("`{name}`")).collect();
    if names.is_empty() {
        return format!("nothing is {what}");
    }
    format!("{what}: {}", names.join(", "))
}
