//! The names on the way to what a query selects, and what readers that know no case
//! take for them.
//!
//! Read off the text of a query that has been compiled, so it is known to be well formed.

use serde_json::{Map, Value};
use serde_json_path::{JsonPath, LocatedNode, PathElement};

use super::needs::{closing, quoted};
use crate::message::edit::is_other_case;

/// The steps of a query.
#[derive(Clone, Debug, Default)]
pub(super) struct Way(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Name(Box<str>),
    Index(usize),
    /// `*`.
    Each,
    /// Several, as the document has it: a filter, a slice, a union, a descendant.
    Some,
}

impl Way {
    /// Reads it off a query.
    pub(super) fn of(query: &str) -> Self {
        let mut steps = Vec::new();
        let mut rest = query.trim().trim_start_matches('$').trim_start();
        while !rest.is_empty() {
            if let Some(inner) = rest.strip_prefix('[') {
                let (selector, after) = match closing(inner) {
                    Some(end) => inner.split_at(end),
                    None => (inner, ""),
                };
                steps.push(bracketed(selector.trim()));
                rest = after.get(1..).unwrap_or_default();
            } else {
                let descends = rest.starts_with("..");
                if descends {
                    steps.push(Step::Some);
                }
                rest = rest.trim_start_matches('.');
                let end = rest
                    .find(['.', '[', ' ', '\t', '\n', '\r'])
                    .unwrap_or(rest.len());
                let (name, after) = rest.split_at(end);
                match name {
                    "" if descends => {}
                    "" => steps.push(Step::Some),
                    "*" => steps.push(Step::Each),
                    name => steps.push(Step::Name(name.into())),
                }
                // Whatever this is, it is no dot: every turn takes something.
                rest = match end {
                    0 => after.strip_prefix(|c| c != '[').unwrap_or(after),
                    _ => after,
                };
            }
            rest = rest.trim_start();
        }
        Self(steps)
    }

    /// Whether a reader that knows no case can go another way in this document: an
    /// object on it has a name that differs from the one that is asked for in case
    /// alone. Behind a step that takes [`Step::Some`] only the last name is looked
    /// at, where `query`, whose way this is, selects something.
    pub(super) fn forks(&self, query: &JsonPath, document: &Value) -> bool {
        if forks(&self.0, document) {
            return true;
        }
        let (true, Some(Step::Name(name))) = (self.0.contains(&Step::Some), self.0.last()) else {
            return false;
        };
        let selected = query.query_located(document);
        let mut holders = selected.iter().filter_map(|node| holder(node, document));
        holders.any(|members| has_other_case(members, name))
    }
}

fn forks(way: &[Step], value: &Value) -> bool {
    let Some((step, rest)) = way.split_first() else {
        return false;
    };
    match (step, value) {
        (Step::Name(name), Value::Object(members)) => {
            let next = members.get(&**name);
            has_other_case(members, name) || next.is_some_and(|next| forks(rest, next))
        }
        (Step::Index(index), Value::Array(elements)) => elements
            .get(*index)
            .is_some_and(|element| forks(rest, element)),
        (Step::Each, Value::Array(elements)) => elements.iter().any(|next| forks(rest, next)),
        (Step::Each, Value::Object(members)) => members.values().any(|next| forks(rest, next)),
        _ => false,
    }
}

fn has_other_case(members: &Map<String, Value>, name: &str) -> bool {
    members.keys().any(|member| is_other_case(member, name))
}

/// The object that a node is a member of.
fn holder<'j>(node: &LocatedNode<'j>, document: &'j Value) -> Option<&'j Map<String, Value>> {
    let steps = node.location().iter();
    let above = node.location().len().checked_sub(1)?;
    let holder = steps
        .take(above)
        .try_fold(document, |value, step| match step {
            PathElement::Name(name) => value.get(name),
            PathElement::Index(index) => value.get(index),
        });
    holder?.as_object()
}

fn bracketed(selector: &str) -> Step {
    if selector == "*" {
        return Step::Each;
    }
    let name = quoted(selector).map(|name| Step::Name(name.into()));
    let index = || selector.parse().ok().map(Step::Index);
    name.or_else(index).unwrap_or(Step::Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Json, JsonPath as Query};

    fn forks(query: &str, text: &str) -> bool {
        let query = Query::parse(query).expect(query);
        let json = Json::parse(text.as_bytes()).expect(text);
        json.views().iter().any(|view| query.forks(view))
    }

    #[test]
    fn steps_are_read() {
        let name = |name: &str| Step::Name(name.into());
        for (query, steps) in [
            ("$.a.b", vec![name("a"), name("b")]),
            (
                "$ .a [ 'b c' ][\"d\"]",
                vec![name("a"), name("b c"), name("d")],
            ),
            (
                "$.a[0].*[*].é",
                vec![name("a"), Step::Index(0), Step::Each, Step::Each, name("é")],
            ),
            ("$..a", vec![Step::Some, name("a")]),
            ("$..['a']", vec![Step::Some, name("a")]),
            ("$..[0]", vec![Step::Some, Step::Index(0)]),
            (
                "$.a[?@['x]'].b == 'c'].id",
                vec![name("a"), Step::Some, name("id")],
            ),
            (
                "$[-1]['a','b'][1:2]",
                vec![Step::Some, Step::Some, Step::Some],
            ),
            ("$['\\u0061']", vec![Step::Some]),
            ("$", vec![]),
        ] {
            assert!(Query::parse(query).is_ok(), "{query}");
            assert_eq!(Way::of(query).0, steps, "{query}");
        }
    }

    #[test]
    fn another_case_on_the_way_is_a_fork() {
        for (query, text) in [
            ("$.id", r#"{"id":1,"ID":1}"#),
            ("$.id", r#"{"Id":1}"#),
            ("$.a.id", r#"{"a":{"id":1},"A":{}}"#),
            ("$.a.id", r#"{"a":{"id":1,"iD":2}}"#),
            ("$.a.id", r#"{"a":{},"a":{"iD":2}}"#),
            ("$[0].id", r#"[{"id":1,"Id":2}]"#),
            ("$.a[*].id", r#"{"a":[{"id":1},{"Id":2}]}"#),
            ("$.a.*.id", r#"{"a":{"b":{"Id":2}}}"#),
            ("$..id", r#"{"x":[{"id":1,"Id":2}]}"#),
            ("$.a[?@.b].id", r#"{"A":[],"a":[]}"#),
            ("$.a[?@.b].id", r#"{"a":[{"b":1,"id":1,"ID":2}]}"#),
        ] {
            assert!(forks(query, text), "{query} {text}");
        }
        for (query, text) in [
            ("$.id", r#"{"id":1,"x":{"ID":1},"idd":2,"i":3}"#),
            ("$.a.id", r#"{"a":{"id":1,"A":2},"ID":3}"#),
            ("$[1].id", r#"[{"Id":2},{"id":1}]"#),
            ("$..id", r#"{"x":{"id":1},"ID":2}"#),
            ("$.a[?@.b].id", r#"{"a":[{"b":1,"id":1},{"ID":2}]}"#),
            ("$.id", r#"[{"Id":2}]"#),
            ("$", r#"{"Id":2}"#),
        ] {
            assert!(!forks(query, text), "{query} {text}");
        }
    }
}
