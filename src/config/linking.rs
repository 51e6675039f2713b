//! `[channel.NAME.linking]`: how a platform is told of a login, and tells whose it is.

use super::call::call_in;
use super::reader::{Node, Table, Wrong};
use super::selector::Scope;
use super::url::Url;
use crate::channel::linking::{Back, Condition, FETCH_NAMES, Fetch, URL_NAMES, Way};
use crate::channel::template::Template;
use crate::channel::{Binding, Linking};
use crate::message::Selector;
use crate::message::select::Source;

/// The linking, which goes with `login_binding = "linked"` and with nothing else.
pub(super) fn linking(table: &Table<'_>, binding: Option<Binding>) -> Option<Box<Linking>> {
    let node = table.get("linking");
    let bound = table.get("login_binding");
    match (node, binding) {
        (None, Some(Binding::Linked)) => {
            let message = "there is no table `linking` that says how the platform links";
            bound?.error(Wrong::new(message, "write [channel.NAME.linking]"));
        }
        (Some(node), Some(Binding::Off | Binding::SameBrowser | Binding::Confirm)) => {
            let help = "write login_binding = \"linked\", or leave this out";
            let message = "nothing asks a platform whose login it was";
            node.error_key(Wrong::new(message, help));
        }
        _ => {}
    }
    read(node?).map(Box::new)
}

fn read(node: Node<'_>) -> Option<Linking> {
    let table = node.table()?;
    let fetch_node = table.get("fetch");
    let way = table.one_of(&["url", "back"]);
    let confirm = table
        .need("confirm")
        .and_then(|node| sealed(node, node.selector(Scope::Request)));
    let refused = table.get("refused").map(condition);
    let unlinked = table.get("unlinked").map(condition);
    let fetch = fetch_node.map(fetch);
    let (way, site) = match way? {
        node if node.name == "back" => {
            if let Some(fetch) = fetch_node {
                fetch.clash(
                    node,
                    "`fetch` goes with `url`: with `back` nothing is fetched",
                );
            }
            let back = back(node)?;
            let site = back.prefix.clone();
            (Way::Back(back), site)
        }
        node => {
            let (url, site) = url(node, fetch_node)?;
            let fetch = match fetch {
                Some(fetch) => Some(Box::new(fetch?)),
                None => None,
            };
            (Way::Url { url, fetch }, site)
        }
    };
    Some(Linking {
        site,
        way,
        confirm: confirm?,
        refused: match refused {
            Some(refused) => Some(refused?),
            None => None,
        },
        unlinked: match unlinked {
            Some(unlinked) => Some(unlinked?),
            None => None,
        },
    })
}

/// The template, and the fixed text that it begins with.
fn url(node: Node<'_>, fetch: Option<Node<'_>>) -> Option<(Template, Box<str>)> {
    let names = URL_NAMES.iter().copied();
    let names: Vec<_> = names
        .filter(|name| *name != "fetched" || fetch.is_some())
        .collect();
    let template = node.url_template(&names);
    let text = node.text()?;
    if !text.contains("ticket") {
        node.error(Wrong::new(
            "the platform does not get the ticket that it has to send back",
            "put {{ ticket }} where it takes one",
        ));
    }
    if let Some(fetch) = fetch.filter(|_| !text.contains("fetched")) {
        fetch.error_key("what is fetched goes nowhere: put {{ fetched }} into `url`");
    }
    let fixed = text.split('{').next().unwrap_or_default();
    Some((template?, fixed.into()))
}

fn fetch(node: Node<'_>) -> Option<Fetch> {
    let table = node.table()?;
    let value = table.need("value").and_then(Node::json_path);
    let call = call_in(node, &table, FETCH_NAMES);
    Some(Fetch {
        call: call?,
        value: Selector(vec![Source::AnswerJson(value?)]),
    })
}

fn back(node: Node<'_>) -> Option<Back> {
    let table = node.table()?;
    let parameter = table.get("parameter").map(Node::word);
    let prefix = table.need("prefix").and_then(prefix);
    let code = table.get("code").map(Node::word);
    Some(Back {
        parameter: parameter.unwrap_or(Some("redirect_uri".into()))?,
        prefix: prefix?,
        code: code.unwrap_or(Some("authorization_code".into()))?,
    })
}

/// Compared byte for byte, so it has to be what a browser would make of it.
fn prefix(node: Node<'_>) -> Option<Box<str>> {
    let url: Url = node.private_url("a ticket")?;
    let whole = Back {
        parameter: "".into(),
        prefix: url.text.clone(),
        code: "".into(),
    };
    let authority = url.text.strip_suffix(&*url.path).unwrap_or_default();
    let wrong = if url.query.is_some() {
        "this ends with the path: leave the query out"
    } else if authority.bytes().any(|b| b.is_ascii_uppercase()) {
        "browsers write scheme and host in lower case"
    } else if whole.checked(&url.text).is_err() {
        "this could be read in two ways"
    } else {
        return Some(url.text);
    };
    node.error(wrong);
    None
}

/// `{ json = "…", equals = "…" }`.
fn condition(node: Node<'_>) -> Option<Condition> {
    let (at, equals) = node.selector_with(Scope::Request, "equals");
    let at = sealed(node, at);
    if equals.is_none() {
        node.error(format!("`{}` needs `equals`: what it says then", node.name));
    }
    let equals = equals?.word();
    Some(Condition {
        at: at?,
        equals: equals?,
    })
}

/// What the platform says is believed as far as its signature reaches, and that is the body.
fn sealed(node: Node<'_>, selector: Option<Selector>) -> Option<Selector> {
    if selector.as_ref().is_some_and(|at| !at.is_in_body()) {
        node.error(Wrong::new(
            "the platform's signature covers the body alone: anybody could say this",
            "name a place in the body, like { json = \"$.nonce\" }",
        ));
        return None;
    }
    selector
}
