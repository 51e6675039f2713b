//! `[channel.NAME.websocket]`.

use std::time::Duration;

use http::HeaderValue;

use super::login::message_challenge;
use super::owner::origins;
use super::reader::{Node, Table, Wrong};
use super::url::Url;
use crate::channel::Socket;
use crate::channel::socket::{LOGIN_NAMES, Lapse};
use crate::message::websocket::Close;

/// Longest message that can be read, in bytes.
const MESSAGE: u64 = 64 << 20;

/// The WebSockets of a channel.
pub(super) fn socket(node: Node<'_>, public: Option<&Url>) -> Option<Socket> {
    let table = node.table()?;
    let origins = match table.get("origins") {
        Some(node) => origins(node),
        None => Some(public.map(own).into_iter().flatten().collect()),
    };
    let max_message = table
        .get("max_message")
        .map(|node| node.size_up_to(MESSAGE));
    let lapse = lapse(&table);
    let on_login = table
        .get("on_login")
        .map(|node| node.json_template(LOGIN_NAMES));
    let challenge = table.get("challenge").map(message_challenge);
    let ping = table.get("ping").and_then(Node::duration);
    Some(Socket {
        origins: origins?,
        max_message: max_message.unwrap_or(Some(1 << 20))?,
        lapse: lapse?,
        on_login: match on_login {
            Some(template) => Some(template?),
            None => None,
        },
        challenge: match challenge {
            Some(challenge) => Some(challenge?),
            None => None,
        },
        ping: ping.unwrap_or(Duration::from_secs(30)),
    })
}

/// Our own origin, as a browser writes it.
fn own(public: &Url) -> Option<HeaderValue> {
    let scheme = if public.https { "https" } else { "http" };
    let host = match public.host.contains(':') {
        true => format!("[{}]", public.host),
        false => public.host.to_string(),
    };
    let usual = if public.https { 443 } else { 80 };
    let port = public.port.filter(|port| *port != usual);
    let port = port.map_or(String::new(), |port| format!(":{port}"));
    HeaderValue::from_str(&format!("{scheme}://{host}{port}")).ok()
}

fn lapse(table: &Table<'_>) -> Option<Lapse> {
    let node = table.get("on_expiry");
    let code = table.get("close_code");
    let reason = table.get("close_reason");
    let closes = match node {
        Some(node) => node.choice(&[("anonymous", false), ("close", true)])?,
        None => false,
    };
    if let Some(node) = code.or(reason).filter(|_| !closes) {
        node.error_key(Wrong::new(
            format!("`{}` goes with on_expiry = \"close\"", node.name),
            "write that, or leave this out",
        ));
    }
    if !closes {
        return Some(Lapse::Anonymous);
    }
    let code = match code {
        Some(node) => {
            let code = node.integer(1000..=4999)?;
            let code = u16::try_from(code).ok()?;
            if !matches!(code, 1000 | 1001 | 1008 | 3000..=4999) {
                let help = "take one from 4000 to 4999, which are free for applications";
                node.error(Wrong::new("this close code says something else", help));
                return None;
            }
            code
        }
        None => 4401,
    };
    let reason = match reason {
        Some(node) => node.parse(|text| match Close::new(code, text) {
            close if *close.reason == *text => Ok(close),
            _ => Err("a close reason has at most 123 bytes"),
        })?,
        None => Close::new(code, "the login has ended"),
    };
    Some(Lapse::Close(reason))
}
