//! `[[channel.NAME.flag]]` and `[channel.NAME.inspect]`.

use http::{HeaderName, StatusCode};

use super::reader::{Node, Table, Wrong, clean};
use super::selector::Scope;
use super::server::Levels;
use crate::channel::flag::{FlagLevel, JsonCondition};
use crate::channel::{Flag, Inspection, MediaTypes, Unreadable};
use crate::message::header::HOP_BY_HOP;
use crate::message::is_bodiless;

/// All flags of a channel.
pub(super) fn flags(node: Option<Node<'_>>, levels: &Levels) -> Vec<Flag> {
    let mut flags: Vec<Flag> = Vec::new();
    for table in node.map(Node::tables).unwrap_or_default() {
        let name = table.get("name");
        let number = flags.len() + 1;
        let Some(flag) = flag(&table, name, number, levels) else {
            continue;
        };
        if let Some(name) = name.filter(|_| flags.iter().any(|known| known.name == flag.name)) {
            name.error(format!("two flags are called `{}`", clean(&flag.name)));
        }
        flags.push(flag);
    }
    flags
}

fn flag(table: &Table<'_>, name: Option<Node<'_>>, number: usize, levels: &Levels) -> Option<Flag> {
    let name = name.map_or(Some(format!("flag-{number}").into()), Node::word);
    let statuses = table.get("status");
    let status = statuses.map(|node| node.one_or_more());
    let status: Option<Vec<_>> =
        status.map(|nodes| nodes.into_iter().filter_map(Node::status).collect());
    let header = table.get("header");
    let json = table.get("json");
    let equals = table.get("equals");
    let level = table.get("level");
    let observe = table.get("observe").and_then(Node::boolean);
    let strip = table.get("strip");
    if status.is_none() && header.is_none() && json.is_none() {
        table.error("a flag needs a condition: `status`, `header` or `json`");
    }
    if let (Some(equals), None) = (equals, json) {
        equals.error_key("`equals` compares what `json` selects, and there is no `json`");
    }
    let bodiless = status.as_deref().is_some_and(|statuses: &[StatusCode]| {
        !statuses.is_empty() && statuses.iter().all(|status| is_bodiless(*status))
    });
    if let Some(statuses) = statuses.filter(|_| json.is_some() && bodiless) {
        let message = "this flag never holds: answers of this status have no body for `json`";
        let help = "leave `json` out, or name a status whose answers have a body";
        statuses.warn(Wrong::new(message, help));
    }
    let stripped = strip.and_then(Node::boolean).unwrap_or(false);
    if let Some(strip) = strip.filter(|_| stripped && header.is_none() && json.is_none()) {
        strip.error_key("there is nothing to strip: the flag is neither `header` nor `json`");
    }
    let has_json = json.is_some();
    let path = json.and_then(Node::json_path);
    let equals = equals.map(Node::json);
    let header = header.map(answer_header);
    let level = match level {
        Some(node) => demanded(node, levels),
        None => Some(FlagLevel::Fixed(levels.highest())),
    };
    let json = match path {
        Some(path) => Some(JsonCondition {
            path,
            equals: equals.unwrap_or_default(),
        }),
        None if has_json => return None,
        None => None,
    };
    Some(Flag {
        name: name?,
        status: status.unwrap_or_default(),
        header: match header {
            Some(header) => Some(header?),
            None => None,
        },
        json,
        level: level?,
        observe: observe.unwrap_or(false),
        strip: stripped,
    })
}

/// `{ name = "X-Auth-Required", values = ["yes"] }`.
fn answer_header(node: Node<'_>) -> Option<(HeaderName, Vec<Box<str>>)> {
    let table = node.table()?;
    let word = table.need("name");
    let name = word.and_then(Node::header);
    let known = name.as_ref().map(HeaderName::as_str);
    let hops = known.is_some_and(|name| HOP_BY_HOP.contains(&name) || name == "upgrade");
    if let Some(word) = word.filter(|_| hops) {
        let message = "this flag cannot be relied on: the header belongs to a connection, not \
                       to the answer, and is lost on the way";
        let help = "have the backend say it in a header of its own, such as `X-Auth-Required`";
        word.warn(Wrong::new(message, help));
    }
    let values = table.get("values").map(Node::one_or_more);
    let values = values
        .unwrap_or_default()
        .into_iter()
        .filter_map(Node::word)
        .collect();
    Some((name?, values))
}

/// A level's name, or where in the answer it is.
fn demanded(node: Node<'_>, levels: &Levels) -> Option<FlagLevel> {
    if !node.is_table() {
        return levels.level(node).map(FlagLevel::Fixed);
    }
    // `fallback` stands beside the selector's own keys.
    let (selector, fallback) = node.selector_with(Scope::Answer, "fallback");
    let fallback = fallback.map_or(Some(levels.highest()), |node| levels.level(node));
    Some(FlagLevel::Named {
        selector: selector?,
        names: levels.0.clone(),
        fallback: fallback?,
    })
}

/// `[channel.NAME.inspect]`.
pub(super) fn inspection(node: Option<Node<'_>>) -> Inspection {
    let usual = Inspection::default();
    let Some(table) = node.and_then(Node::table) else {
        return usual;
    };
    let verdicts = [
        ("block", Unreadable::Block),
        ("release", Unreadable::Release),
    ];
    let types = |name, passing| {
        let all = table.get(name)?.one_or_more().into_iter();
        let all = all.filter_map(|node| node.parse(|text| media_type(text, passing)));
        Some(MediaTypes(all.collect()))
    };
    let verdict = |name| table.get(name).and_then(|node| node.choice(&verdicts));
    Inspection {
        max_body: table
            .get("max_body")
            .and_then(|node| node.size_up_to(64 << 20))
            .unwrap_or(usual.max_body),
        oversize: verdict("oversize").unwrap_or(usual.oversize),
        undecodable: verdict("undecodable").unwrap_or(usual.undecodable),
        malformed: verdict("malformed").unwrap_or(usual.malformed),
        pass_types: types("pass_types", true).unwrap_or(usual.pass_types),
        json_types: types("json_types", false).unwrap_or(usual.json_types),
    }
}

/// `text/css`, `image/*`.
fn media_type(text: &str, passing: bool) -> Result<Box<str>, Wrong> {
    let token = |part: &str| {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte);
        !part.is_empty() && part.bytes().all(legal)
    };
    let text = text.to_ascii_lowercase();
    let known = text.split_once('/');
    if !known.is_some_and(|(kind, sub)| token(kind) && (sub == "*" || token(sub))) {
        let help = "write it like \"text/css\" or \"image/*\"";
        return Err(Wrong::new("this is not a media type", help));
    }
    if passing && (text.contains("json") || text == "application/*") {
        let help = "leave `json` conditions out of the flags where nothing is to be judged";
        return Err(Wrong::new("JSON cannot pass without being judged", help));
    }
    Ok(text.into())
}
