//! WebSockets: relayed message by message, judged, and ended with the login.

mod handshake;
mod judged;
mod lapse;
mod relay;

use serde_json::{Value, json};

use crate::setup::{CANARY, OWNER, channel_to};
use crate::support::{Gateway, Request, SocketOrigin, WebSocket, Wire};

/// A gateway in front of a backend whose sockets the test speaks for.
pub fn usual(websocket: &str) -> (Gateway, SocketOrigin) {
    with(
        "resume = \"replay\"",
        &format!("{OWNER}[channel.web.websocket]\n{websocket}\n"),
    )
}

pub fn with(settings: &str, tables: &str) -> (Gateway, SocketOrigin) {
    let origin = SocketOrigin::start();
    let gateway = Gateway::start(&channel_to(&origin.upstream(), settings, tables));
    (gateway, origin)
}

/// Both ends of a socket of a chat.
pub fn open(gateway: &Gateway, origin: &SocketOrigin, chat: &str) -> (WebSocket, WebSocket) {
    open_with(gateway, origin, &format!("/chat/{chat}/ws"), &[])
}

pub fn open_with(
    gateway: &Gateway,
    origin: &SocketOrigin,
    target: &str,
    headers: &[(&str, &str)],
) -> (WebSocket, WebSocket) {
    let customer = WebSocket::ask(gateway.at.plain, target, headers);
    let customer = customer.unwrap_or_else(|answer| panic!("{}", answer.text()));
    (customer, origin.accept())
}

pub fn flagged(text: &str) -> Value {
    json!({"text": text, "secret": CANARY, "authentication_required": true})
}

/// The login URL of a challenge that gives nothing away.
pub fn challenged(customer: &mut WebSocket) -> String {
    let said = customer.hear();
    assert!(!said.contains(CANARY), "{said}");
    let said: Value = serde_json::from_str(&said).unwrap();
    said["challenge"].as_str().unwrap().to_owned()
}

/// Logs `alice` in on this socket.
pub fn log_in(gateway: &Gateway, customer: &mut WebSocket, backend: &mut WebSocket) {
    customer.say_json(&json!({"text": "statement"}));
    assert_eq!(backend.hear_json()["text"], "statement");
    backend.say_json(&flagged("statement"));
    let url = challenged(customer);
    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
    let again = backend.hear_json();
    assert_eq!(again["text"], "statement", "the last message is said again");
    assert_eq!(again["metadata"]["customer"], "alice");
    backend.say_json(&flagged("statement"));
    let said = customer.hear();
    assert!(
        said.contains(CANARY) && !said.contains("authentication_required"),
        "{said}"
    );
}

pub fn revoke(gateway: &Gateway, chat: &str) {
    let asks = Request::new("DELETE", &format!("/interactions/web/{chat}"));
    assert_eq!(Wire::connect(gateway.at.admin).exchange(&asks).status, 200);
}
