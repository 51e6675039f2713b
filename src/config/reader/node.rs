//! One value, read as whatever it has to be.

use std::ops::{Range, RangeInclusive};

use toml::de::DeValue;

use super::{Report, Severity, Table, Wrong, clean, listed, nearest};

/// One value of the tree.
#[derive(Clone, Copy)]
pub(in crate::config) struct Node<'t> {
    pub(super) report: &'t Report<'t>,
    pub(super) table: usize,
    /// Its key.
    pub(in crate::config) name: &'t str,
    pub(super) key: Span,
    pub(super) span: Span,
    pub(super) value: &'t DeValue<'t>,
}

impl<'t> Node<'t> {
    /// A string that is no secret.
    pub(in crate::config) fn text(self) -> Option<&'t str> {
        self.show();
        match self.value {
            DeValue::String(text) => Some(text),
            _ => self.mistyped("a string"),
        }
    }

    /// A string that must not be shown; `None`, without a report, for anything else.
    pub(in crate::config) fn hidden_text(self) -> Option<&'t str> {
        self.value.as_str()
    }

    /// A string, read by `parse`.
    pub(in crate::config) fn parse<T, E: Into<Wrong>>(
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
    pub(in crate::config) fn choice<T: Clone>(self, choices: &[(&'static str, T)]) -> Option<T> {
        let text = self.text()?;
        if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text) {
            return Some(value.clone());
        }
        let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        self.unknown_name(text, &names);
        None
    }

    /// Reports that `text` names none of `names`, with the nearest of them.
    pub(in crate::config) fn unknown_name(self, text: &str, names: &[&str]) {
        let help = match nearest(text, names.iter().copied()) {
            Some(nearest) => format!("did you mean `{nearest}`? {}", listed("known", names)),
            None => listed("known", names),
        };
        let message = format!("`{}`: there is no such {}", clean(text), self.noun());
        self.error(Wrong::new(message, help));
    }

    /// Reports that its key names none of the levels `names`, with the nearest of them.
    pub(in crate::config) fn unknown_key(self, names: &[&str]) {
        let help = match nearest(self.name, names.iter().copied()) {
            Some(nearest) => format!("did you mean `{nearest}`? {}", listed("known", names)),
            None => listed("known", names),
        };
        let message = format!("`{}`: there is no such level", clean(self.name));
        self.error_key(Wrong::new(message, help));
    }

    pub(in crate::config) fn boolean(self) -> Option<bool> {
        match self.value {
            DeValue::Boolean(value) => Some(*value),
            _ => {
                self.show();
                self.mistyped("true or false")
            }
        }
    }

    /// A whole number in a range.
    pub(in crate::config) fn integer(self, range: RangeInclusive<u64>) -> Option<u64> {
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
    pub(in crate::config) fn is_integer(self) -> bool {
        self.value.is_integer()
    }

    /// Whether it is a table.
    pub(in crate::config) fn is_table(self) -> bool {
        self.value.is_table()
    }

    /// A table.
    pub(in crate::config) fn table(self) -> Option<Table<'t>> {
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
    pub(in crate::config) fn tables(self) -> Vec<Table<'t>> {
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

    /// Whether one of the tables of `[[name]]` says `key = "text"`. Reports nothing.
    pub(in crate::config) fn any_says(self, key: &str, text: &str) -> bool {
        let says = |item: &toml::Spanned<DeValue<'_>>| {
            let value = item.get_ref().as_table().and_then(|table| table.get(key));
            value.is_some_and(|value| value.get_ref().as_str() == Some(text))
        };
        self.value
            .as_array()
            .is_some_and(|items| items.iter().any(says))
    }

    /// The items of a list, or the one value in place of it.
    pub(in crate::config) fn one_or_more(self) -> Vec<Node<'t>> {
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
    pub(in crate::config) fn list<T>(self, read: impl Fn(Node<'t>) -> Option<T>) -> Option<Vec<T>> {
        let Some(items) = self.items() else {
            self.show();
            return self.mistyped("a list");
        };
        Some(items.into_iter().filter_map(read).collect())
    }

    /// The value as JSON, shown.
    pub(in crate::config) fn json(self) -> Option<serde_json::Value> {
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

    pub(in crate::config) fn error(self, wrong: impl Into<Wrong>) {
        self.report.error(self.span.range(), wrong);
    }

    /// An error inside a string, `offset` bytes after its beginning.
    pub(in crate::config) fn error_within(self, offset: Option<usize>, wrong: impl Into<Wrong>) {
        self.report.error(self.within(offset), wrong);
    }

    /// An error that concerns the key.
    pub(in crate::config) fn error_key(self, wrong: impl Into<Wrong>) {
        self.report.error(self.key.range(), wrong);
    }

    pub(in crate::config) fn warn(self, wrong: impl Into<Wrong>) {
        let span = self.span.range();
        self.report
            .push(Severity::Warning, span, wrong.into(), None, None);
    }

    /// An error that concerns two values; both are shown.
    pub(in crate::config) fn clash(self, other: Node<'_>, wrong: impl Into<Wrong>) {
        let related = Some((other.key.range(), "the other one".to_owned()));
        let span = self.key.range();
        self.report
            .push(Severity::Error, span, wrong.into(), related, None);
    }

    pub(in crate::config) fn report(self) -> &'t Report<'t> {
        self.report
    }

    /// It holds no secret.
    pub(in crate::config) fn show(self) {
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
            "verify" | "sign" => "signature",
            name => name,
        }
    }
}

/// A span that copies.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Span {
    pub(super) fn of(range: &Range<usize>) -> Self {
        Self {
            start: range.start,
            end: range.end,
        }
    }

    pub(super) fn range(self) -> Range<usize> {
        self.start..self.end
    }
}
