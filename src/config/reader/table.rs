//! A table, and the keys of it that nobody asked for.

use std::cell::{Cell, RefCell};
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::node::Span;
use super::{Node, Report, Seen, Severity, Unknown, Wrong, quoted};

/// A table being read.
pub(in crate::config) struct Table<'t> {
    report: &'t Report<'t>,
    table: &'t DeTable<'t>,
    span: Range<usize>,
    names: RefCell<Vec<&'static str>>,
    /// Any key is welcome: [`Table::entries`] hands them all out.
    open: Cell<bool>,
}

impl<'t> Table<'t> {
    /// The table of a whole file.
    pub(in crate::config) fn root(report: &'t Report<'t>, table: &'t DeTable<'t>) -> Self {
        Self::open(report, table, 0..0, 0, "the top of the file".into())
    }

    /// A value, if the key is there.
    pub(in crate::config) fn get(&self, name: &'static str) -> Option<Node<'t>> {
        let mut names = self.names.borrow_mut();
        if !names.contains(&name) {
            names.push(name);
        }
        let (key, value) = self.table.get_key_value(name)?;
        Some(self.node(key.get_ref(), key.span(), value.span(), value.get_ref()))
    }

    /// A value that must be there.
    pub(in crate::config) fn need(&self, name: &'static str) -> Option<Node<'t>> {
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
    pub(in crate::config) fn has(&self, name: &str) -> bool {
        self.table.contains_key(name)
    }

    /// All keys and values, in the order of the file; keys are free here.
    pub(in crate::config) fn entries(&self) -> Vec<Node<'t>> {
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
    pub(in crate::config) fn one_of(&self, names: &[&'static str]) -> Option<Node<'t>> {
        let mut found: Vec<_> = names.iter().filter_map(|name| self.get(name)).collect();
        found.sort_by_key(|node| node.key.start);
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
    pub(in crate::config) fn error(&self, wrong: impl Into<Wrong>) {
        self.report.error(self.span.clone(), wrong);
    }

    /// A warning that concerns the whole table.
    pub(in crate::config) fn warn(&self, wrong: impl Into<Wrong>) {
        let span = self.span.clone();
        self.report
            .push(Severity::Warning, span, wrong.into(), None, None);
    }

    pub(super) fn open(
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
            open: Cell::new(false),
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
