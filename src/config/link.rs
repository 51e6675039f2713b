//! `[channel.NAME.link]`: login links of the backend's own.

use super::login::PLACES;
use super::reader::{Node, Table, Wrong};
use super::server::Levels;
use super::url::Url;
use crate::channel::Link;

/// The links that become ours.
pub(super) fn link(node: Node<'_>, channel: &Table<'_>, levels: &Levels) -> Option<Link> {
    let table = node.table()?;
    let prefixes = table.need("prefix").map(Node::one_or_more);
    let at = table.get("at").map(Node::json_path);
    let level = table.get("level").map(|node| levels.level(node));
    if !PLACES.iter().any(|place| channel.has(place)) {
        node.error_key(Wrong::new(
            "there is no login URL to put in the place of a link",
            "add `authentication_url`, `oidc`, `oauth` or `login_page`, or leave this out",
        ));
    }
    let nodes = prefixes?;
    let wanted = nodes.len();
    let prefixes = nodes.into_iter().filter_map(|node| node.parse(prefix));
    let prefixes: Vec<_> = prefixes.collect();
    Some(Link {
        prefixes: (wanted > 0 && prefixes.len() == wanted).then_some(prefixes)?,
        at: at.map_or(Some(None), |path| path.map(Some))?,
        level: level.unwrap_or(Some(levels.highest()))?,
    })
}

/// As it stands in what the backend sends: scheme and host at least.
fn prefix(text: &str) -> Result<Box<str>, Wrong> {
    let place = text.split(['?', '#']).next().unwrap_or_default();
    Url::parse(place)?;
    Ok(text.into())
}
