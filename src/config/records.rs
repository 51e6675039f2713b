//! `[[channel.NAME.match]]`: what the company's records have to say of a customer.

use std::sync::Arc;
use std::time::Duration;

use super::directory::Directories;
use super::reader::{Node, Table, Wrong, clean};
#[cfg(feature = "sql")]
use crate::directory::Statement;
use crate::directory::ldap::is_filter;
use crate::directory::pattern::Escape;
use crate::directory::{Directory, Kind, Mistake, Pattern, Query};
use crate::identity::records::{
    DateForm, Equal, Fetch, Match, Normal, Plan, Unreachable, Variable,
};
use crate::message::MemberPath;
use crate::message::target::check_path;

const HOUR: Duration = Duration::from_secs(3600);

/// All matches of a channel, in the order written.
pub(super) fn matches(node: Option<Node<'_>>, directories: &Directories) -> Vec<Arc<Match>> {
    let mut matches: Vec<Arc<Match>> = Vec::new();
    for table in node.map(Node::tables).unwrap_or_default() {
        let name = table.need("name");
        let rule = rule(&table, name, directories);
        if let (Some(node), Some(rule)) = (name, &rule)
            && matches.iter().any(|known| known.name == rule.name)
        {
            node.error(format!("two matches are called `{}`", clean(&rule.name)));
        }
        matches.extend(rule.map(Arc::new));
    }
    matches
}

fn rule(table: &Table<'_>, name: Option<Node<'_>>, directories: &Directories) -> Option<Match> {
    let name = name.and_then(Node::word);
    let directory = table
        .need("directory")
        .and_then(|node| directories.find(node));
    let question = Question::read(table);
    let (equal, fetch) = (table.get("equal"), table.get("fetch"));
    let cache = table
        .get("cache")
        .and_then(|node| node.duration_up_to(HOUR));
    let choices = [("deny", Unreachable::Deny), ("pass", Unreachable::Pass)];
    let unreachable = table.get("unreachable");
    let lax = unreachable.and_then(|node| node.choice(&choices));
    if let (Some(node), Some(Unreachable::Pass)) = (unreachable, lax) {
        node.warn("as long as the directory is down, nobody is compared with the records");
    }
    let equal = equal.map_or(Some(Vec::new()), self::equal);
    let fetch = fetch.map_or(Some(Vec::new()), self::fetch);
    let directory = directory?;
    let query = question.of(table, &directory)?;
    let variables = variables(&query)?;
    Some(Match {
        name: name?,
        directory,
        variables,
        query: query.0,
        equal: equal?,
        fetch: fetch?,
        cache: cache.unwrap_or(HOUR / 12),
        unreachable: lax.unwrap_or_default(),
        id: crate::secret::random(),
    })
}

/// What may be asked; each kind of directory is asked in its own way.
struct Question<'t> {
    filter: Option<Node<'t>>,
    base: Option<Node<'t>>,
    query: Option<Node<'t>>,
    path: Option<Node<'t>>,
}

impl<'t> Question<'t> {
    fn read(table: &Table<'t>) -> Self {
        Self {
            filter: table.get("filter"),
            base: table.get("base"),
            query: table.get("query"),
            path: table.get("path"),
        }
    }

    /// The query, and where it stands.
    fn of(&self, table: &Table<'t>, directory: &Directory) -> Option<(Query, Node<'t>)> {
        let (kind, name, node) = match directory.kind {
            Kind::Ldap(_) => ("an LDAP server", "filter", self.filter),
            #[cfg(feature = "sql")]
            Kind::Sql(_) => ("a database", "query", self.query),
            Kind::Http(_) => ("a service over HTTP", "path", self.path),
        };
        let named = [self.filter, self.base, self.query, self.path];
        for other in named.into_iter().flatten() {
            let base = other.name == "base" && name == "filter";
            if other.name != name && !base {
                let help = format!("`{}` is {kind}: it is asked by `{name}`", directory.name);
                let message = format!("`{}` has no meaning here", other.name);
                other.error_key(Wrong::new(message, help));
            }
        }
        let Some(node) = node else {
            table.error(Wrong::new(
                format!("`{name}` is missing"),
                format!("`{}` is {kind}: it is asked by `{name}`", directory.name),
            ));
            return None;
        };
        let query = match &directory.kind {
            Kind::Ldap(_) => {
                let base = self.base.map(|node| node.parse(super::directory::name));
                let pattern = pattern(node, Escape::Filter)?;
                let filled = pattern.fill(&vec!["x".to_owned(); pattern.names().len()]);
                if !is_filter(&filled) {
                    let help = "write it like \"(mail={{ claims.email }})\"";
                    node.error(Wrong::new("this is not an LDAP filter", help));
                    return None;
                }
                let base = match base {
                    Some(base) => Some(base?),
                    None => None,
                };
                Query::Filter(pattern, base)
            }
            #[cfg(feature = "sql")]
            Kind::Sql(_) => Query::Statement(read(node, Statement::parse(node.text()?))?),
            Kind::Http(_) => Query::Path(path(node)?),
        };
        Some((query, node))
    }
}

fn read<T>(node: Node<'_>, result: Result<T, Mistake>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(Mistake { offset, message }) => {
            node.error_within(Some(offset), message);
            None
        }
    }
}

/// A pattern with something in it that differs from customer to customer.
fn pattern(node: Node<'_>, escape: Escape) -> Option<Pattern> {
    let pattern = read(node, Pattern::parse(node.text()?, escape))?;
    if pattern.names().is_empty() {
        node.error(Wrong::new(
            "this finds the same record for everybody",
            "name a variable: {{ subject }}, {{ claims.email }}",
        ));
        return None;
    }
    Some(pattern)
}

fn path(node: Node<'_>) -> Option<Pattern> {
    let pattern = pattern(node, Escape::Url)?;
    let filled = pattern.fill(&vec!["x".to_owned(); pattern.names().len()]);
    let path = filled.split('?').next().unwrap_or_default();
    if check_path(path).is_err() || filled.contains('#') {
        let message = "this is not a path that can be read in one way only";
        node.error(Wrong::new(
            message,
            "write it like \"/customers/{{ subject }}\"",
        ));
        return None;
    }
    Some(pattern)
}

fn variables((query, node): &(Query, Node<'_>)) -> Option<Vec<Variable>> {
    let names = query.names();
    let mut variables = Vec::new();
    for (name, offset) in names {
        match Variable::parse(name) {
            Ok(variable) => variables.push(variable),
            Err(message) => node.error_within(Some(*offset), clean(&message)),
        }
    }
    (variables.len() == names.len()).then_some(variables)
}

/// `{ phone = { field = "phone", as = "phone" } }`.
fn equal(node: Node<'_>) -> Option<Vec<Equal>> {
    let table = node.table()?;
    let nodes = table.entries();
    let wanted = nodes.len();
    let equal = |node: Node<'_>| {
        let claim = MemberPath::parse(node.name).map_err(|message| {
            let name = clean(node.name);
            node.error_key(format!("`{name}` is not the name of a claim: {message}"));
        });
        let table = node.table()?;
        let field = table.need("field").and_then(Node::word);
        let normal = normal(&table);
        Some(Equal {
            claim: claim.ok()?,
            field: field?,
            normal: normal?,
        })
    };
    let equal: Vec<_> = nodes.into_iter().filter_map(equal).collect();
    (equal.len() == wanted).then_some(equal)
}

fn normal(table: &Table<'_>) -> Option<Normal> {
    let kinds = ["exact", "text", "digits", "phone", "date"].map(|name| (name, name));
    let kind = table.get("as").map(|node| node.choice(&kinds));
    let (country, trunk) = (table.get("country"), table.get("trunk"));
    let (claim, field) = (table.get("claim_form"), table.get("field_form"));
    let kind = kind.unwrap_or(Some("exact"))?;
    let stray = |nodes: [Option<Node<'_>>; 2], of: &str| {
        for node in nodes.into_iter().flatten().filter(|_| kind != of) {
            node.error_key(format!("`{}` goes with as = \"{of}\"", node.name));
        }
    };
    stray([country, trunk], "phone");
    stray([claim, field], "date");
    Some(match kind {
        "exact" => Normal::Exact,
        "text" => Normal::Text,
        "digits" => Normal::Digits,
        "phone" => {
            let country = country.map(|node| node.parse(|text| code(text, 1..=3)));
            let trunk = trunk.map(|node| node.parse(|text| code(text, 0..=3)));
            let country = match country {
                Some(country) => Some(country?),
                None => None,
            };
            let usual = match country.as_deref() {
                Some("1") => "1",
                _ => "0",
            };
            Normal::Phone(Plan {
                country,
                trunk: trunk.unwrap_or(Some(usual.into()))?,
            })
        }
        _ => {
            let form = |node: Option<Node<'_>>| match node {
                Some(node) => node.choice(&DateForm::ALL),
                None => Some(DateForm::default()),
            };
            let (claim, field) = (form(claim), form(field));
            Normal::Date {
                claim: claim?,
                field: field?,
            }
        }
    })
}

/// A calling code, or a trunk prefix.
fn code(text: &str, length: std::ops::RangeInclusive<usize>) -> Result<Box<str>, Wrong> {
    if !length.contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_digit()) {
        let message = "this is not what numbers begin with";
        return Err(Wrong::new(message, "digits only, like \"49\""));
    }
    Ok(text.into())
}

/// `{ segment = "segment" }`: claim and field.
fn fetch(node: Node<'_>) -> Option<Vec<Fetch>> {
    let table = node.table()?;
    let nodes = table.entries();
    let wanted = nodes.len();
    let fetch = |node: Node<'_>| {
        let odd = |c: char| c.is_control() || c.is_whitespace();
        if node.name.is_empty() || node.name.len() > 128 || node.name.contains(odd) {
            node.error_key("this is not the name of a claim");
        }
        let claim = node.name.into();
        node.word().map(|field| Fetch { claim, field })
    };
    let fetch: Vec<_> = nodes.into_iter().filter_map(fetch).collect();
    (fetch.len() == wanted).then_some(fetch)
}
