//! `[channel.NAME.inject]`: what the backend is told of a verified customer.

use std::time::Duration;

use super::names::managed_header;
use super::reader::{Node, clean};
use crate::channel::Injection;
use crate::channel::inject::Fact;
use crate::identity::assertion::Assertion;
use crate::message::MemberPath;
use crate::message::header::fold;

const HOUR: Duration = Duration::from_secs(3600);

/// Everything that is injected.
pub(super) fn injection(node: Option<Node<'_>>) -> Injection {
    let Some((node, table)) = node.and_then(|node| Some((node, node.table()?))) else {
        return Injection::default();
    };
    let (headers, members) = (table.get("headers"), table.get("members"));
    let assertion = table.get("assertion");
    if headers.is_none() && members.is_none() && assertion.is_none() {
        node.error_key("nothing is injected: name `headers`, `members` or `assertion`");
    }
    let mut names = Names::default();
    Injection {
        headers: headers
            .map(|node| self::headers(node, &mut names))
            .unwrap_or_default(),
        members: members.map(self::members).unwrap_or_default(),
        assertion: assertion.and_then(|node| self::assertion(node, &mut names)),
    }
}

/// Managed header names so far, folded: two that fold to one are one.
#[derive(Default)]
struct Names<'t>(Vec<(String, Node<'t>)>);

impl<'t> Names<'t> {
    fn take(&mut self, name: &str, node: Node<'t>) {
        let folded = fold(name);
        if let Some((_, other)) = self.0.iter().find(|(known, _)| *known == folded) {
            node.clash(*other, "backends take these two headers for one");
        }
        self.0.push((folded, node));
    }
}

fn headers<'t>(node: Node<'t>, names: &mut Names<'t>) -> Vec<(http::HeaderName, Fact)> {
    let Some(table) = node.table() else {
        return Vec::new();
    };
    let mut headers = Vec::new();
    for node in table.entries() {
        let fact = node.parse(Fact::parse);
        match managed_header(node.name) {
            Ok(name) => {
                names.take(name.as_str(), node);
                headers.extend(fact.map(|fact| (name, fact)));
            }
            Err(wrong) => node.error_key(wrong),
        }
    }
    headers
}

fn members(node: Node<'_>) -> Vec<(MemberPath, Fact)> {
    let Some(table) = node.table() else {
        return Vec::new();
    };
    let mut taken: Vec<(MemberPath, Node<'_>)> = Vec::new();
    let mut members = Vec::new();
    for node in table.entries() {
        let fact = node.parse(Fact::parse);
        match MemberPath::parse(node.name) {
            Ok(path) => {
                let inside = |(known, _): &&(MemberPath, _)| {
                    known.0.starts_with(&path.0) || path.0.starts_with(&known.0)
                };
                if let Some((_, other)) = taken.iter().find(inside) {
                    node.clash(*other, "one of these two members is inside the other");
                }
                taken.push((path.clone(), node));
                members.extend(fact.map(|fact| (path, fact)));
            }
            Err(message) => {
                node.error_key(format!(
                    "`{}` is not the place of a member: {message}",
                    clean(node.name)
                ));
            }
        }
    }
    members
}

/// `{ header, issuer, audience, ttl, key }`.
fn assertion<'t>(node: Node<'t>, names: &mut Names<'t>) -> Option<Assertion> {
    let table = node.table()?;
    let header = table.need("header");
    let issuer = table.need("issuer").and_then(Node::word);
    let audience = table.need("audience").and_then(Node::word);
    let ttl = table.get("ttl").map(|node| node.duration_up_to(HOUR));
    let key = table.need("key");
    let header = header.and_then(|node| {
        let name = node.parse(managed_header)?;
        names.take(name.as_str(), node);
        Some(name)
    });
    let pem = key.and_then(Node::secret);
    let ttl = ttl.unwrap_or(Some(HOUR / 60));
    let (header, issuer, audience, ttl) = (header?, issuer?, audience?, ttl?);
    match Assertion::from_pem(pem?.expose(), header, &issuer, &audience, ttl) {
        Ok(assertion) => Some(assertion),
        Err(message) => {
            key?.error(message);
            None
        }
    }
}
