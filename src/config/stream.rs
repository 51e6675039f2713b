//! `[channel.NAME.stream]` and `[channel.NAME.items]`: answers that are many messages.

use super::reader::{Node, Wrong};
use crate::channel::{Items, OnExpiry, Streaming};
use crate::message::select::Source;
use crate::message::{MemberPath, Selector};

/// What an open stream may become when the login ends.
pub(super) const ON_EXPIRY: &[(&str, OnExpiry)] = &[
    ("anonymous", OnExpiry::Anonymous),
    ("close", OnExpiry::Close),
];

pub(super) fn streaming(node: Option<Node<'_>>) -> Streaming {
    let usual = Streaming::default();
    let Some(table) = node.and_then(Node::table) else {
        return usual;
    };
    let on_expiry = table.get("on_expiry");
    let max_event = table.get("max_event");
    let idle_timeout = table.get("idle_timeout").and_then(Node::duration);
    Streaming {
        on_expiry: on_expiry
            .and_then(|node| node.choice(ON_EXPIRY))
            .unwrap_or(usual.on_expiry),
        max_event: max_event.and_then(|node| node.size_up_to(64 << 20)),
        idle_timeout: idle_timeout.unwrap_or(usual.idle_timeout),
    }
}

pub(super) fn items(node: Node<'_>) -> Option<Items> {
    let table = node.table()?;
    let at = table.need("at").and_then(|node| {
        node.parse(|text| match text {
            "$" => Ok(MemberPath(Vec::new())),
            _ => MemberPath::parse(text).map_err(|message| {
                Wrong::new(
                    message,
                    "name the array, like \"$.activities\", or \"$\" for an answer that is one",
                )
            }),
        })
    });
    let id = table.get("id").map(Node::json_path);
    let id = match id {
        Some(path) => Some(Selector(vec![Source::AnswerJson(path?)])),
        None => None,
    };
    Some(Items { at: at?, id })
}
