//! `[channel.NAME.owner]` and `[channel.NAME.cors]`, and origins wherever they are named.

use http::HeaderValue;

use super::names;
use super::reader::{Node, Wrong};
use super::selector::Scope;
use super::url::{Url, origin};
use crate::channel::{Cors, Owner};

/// What ties a request to the interaction's owner.
pub(super) fn owner(node: Node<'_>, public: Option<&Url>) -> Option<Owner> {
    let table = node.table()?;
    let kind = table.one_of(&["cookie", "selector", "claim"])?;
    match kind.name {
        "selector" => kind.selector(Scope::Request).map(Owner::Selector),
        "claim" => kind.claim().map(Owner::Claim),
        _ => {
            let secure = kind.choice(&[("own", true), ("own-insecure", false)])?;
            match public {
                Some(url) if url.https && !secure => kind.warn(Wrong::new(
                    "customers come by https, and this cookie would travel without it too",
                    "write \"own\"",
                )),
                Some(url) if !url.https && secure && !url.loopback() => kind.warn(Wrong::new(
                    "browsers take this cookie over https only, and customers come by plain http",
                    "give chatgate an https address, or write \"own-insecure\"",
                )),
                _ => {}
            }
            Some(Owner::Cookie { secure })
        }
    }
}

/// CORS headers on chatgate's own answers.
pub(super) fn cors(node: Node<'_>) -> Option<Cors> {
    let table = node.table()?;
    let origins = table.need("origins");
    let credentials = table.get("credentials");
    let headers = table.get("headers").and_then(|node| {
        node.list(|node| node.parse(|text| names::header(text).map(|name| name.as_str().into())))
    });
    let allowed = credentials.and_then(Node::boolean).unwrap_or(false);
    let origins = origins?;
    let list = self::origins(origins)?;
    let any = list.iter().any(|origin| origin == "*");
    if let Some(credentials) = credentials.filter(|_| allowed && any) {
        credentials.clash(
            origins,
            "any website could act for the customer: name the origins",
        );
    }
    Some(Cors {
        origins: list,
        credentials: allowed,
        headers: headers.unwrap_or_default(),
    })
}

/// Origins, or `*` alone.
pub(super) fn origins(node: Node<'_>) -> Option<Vec<HeaderValue>> {
    let nodes = node.list(Some)?;
    if nodes.is_empty() {
        node.error("no origin is allowed: leave the table out, or name one");
    }
    let any = nodes
        .iter()
        .find(|node| node.hidden_text() == Some("*"))
        .copied();
    if let Some(any) = any {
        any.show();
        if nodes.len() > 1 {
            any.error("`*` stands alone");
        }
    }
    let origins = nodes
        .into_iter()
        .filter_map(|node| match node.hidden_text() {
            Some("*") => Some(HeaderValue::from_static("*")),
            _ => node.parse(origin),
        });
    Some(origins.collect())
}
