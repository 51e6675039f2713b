//! `[channel.NAME.outcome]`: what the chat is told of how a login ended.

use http::HeaderValue;

use super::reader::{Node, Table};
use super::template::body;
use crate::channel::outcome::{Notice, Outcomes};
use crate::channel::template::CALL_NAMES;

/// The messages of a channel.
pub(super) fn outcomes(node: Node<'_>) -> Option<Outcomes> {
    let table = node.table()?;
    let [success, failure, cancel, timeout] =
        ["success", "failure", "cancel", "timeout"].map(|name| table.get(name));
    Some(Outcomes {
        success: success.and_then(notice),
        failure: failure.and_then(notice),
        cancel: cancel.and_then(notice),
        timeout: timeout.and_then(notice),
    })
}

fn notice(node: Node<'_>) -> Option<Notice> {
    let table: Table<'_> = node.table()?;
    let body = body(&table, CALL_NAMES)?;
    Some(Notice {
        body: body.template,
        content_type: HeaderValue::from_str(&body.content_type).ok()?,
    })
}
