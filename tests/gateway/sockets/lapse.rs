//! Logins that end while a socket is open.

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

use super::{challenged, flagged, log_in, open, open_with, revoke, usual, with};
use crate::setup::{CANARY, OWNER};
use crate::support::{Frame, Gateway, Request, SocketOrigin, WebSocket};

/// What the website signs its tokens with.
const SECRET: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn a_login_that_is_taken_away_closes_an_idle_socket() {
    let close = "on_expiry = \"close\"\nclose_code = 4403\nclose_reason = \"log in again\"";
    let (gateway, origin) = usual(close);
    for chat in ["revoked", "ended", "expired"] {
        let (mut customer, mut backend) = open(&gateway, &origin, chat);
        log_in(&gateway, &mut customer, &mut backend);
        match chat {
            "revoked" => revoke(&gateway, chat),
            "ended" => {
                // The owner's cookie is what the handshake was answered with.
                let ends = Request::new("POST", "/end/ended").header("Cookie", &customer.cookie());
                gateway.wire().exchange(&ends);
                drop(origin.accept());
            }
            _ => gateway.clock.advance(Duration::from_secs(30 * 60)),
        }
        assert_eq!(
            customer.next(),
            Frame::close(4403, "log in again"),
            "{chat}"
        );
        assert_eq!(backend.next().code(), Some(1001), "{chat}");
        customer.send(&Frame::close(4403, ""));
        assert_eq!(customer.frame(), None);
        assert_eq!(backend.frame(), None);
    }
}

#[test]
fn a_level_that_runs_out_counts_like_a_login_that_does() {
    let tables = format!(
        "{OWNER}[channel.web.level_timeouts]\nverified = \"5m\"\n[channel.web.websocket]\n"
    );
    let minutes = Duration::from_secs(5 * 60);
    let (gateway, origin) = with(
        "resume = \"replay\"",
        &format!("{tables}on_expiry = \"close\"\n"),
    );
    let (mut customer, mut backend) = open(&gateway, &origin, "c1");
    log_in(&gateway, &mut customer, &mut backend);
    gateway.clock.advance(minutes);
    assert_eq!(customer.next().code(), Some(4401));
    assert_eq!(backend.next().code(), Some(1001));

    let (gateway, origin) = with("resume = \"replay\"", &tables);
    let (mut customer, mut backend) = open(&gateway, &origin, "c1");
    log_in(&gateway, &mut customer, &mut backend);
    gateway.clock.advance(minutes);
    customer.say_json(&json!({"text": "whoami"}));
    let said = backend.hear_json();
    assert_eq!(said["metadata"]["customer"], "alice", "claimed still");
    backend.say_json(&flagged("statement"));
    challenged(&mut customer);
}

#[test]
fn a_login_that_runs_out_makes_the_customer_anonymous() {
    let (gateway, origin) = usual("");
    let (mut customer, mut backend) = open(&gateway, &origin, "c1");
    log_in(&gateway, &mut customer, &mut backend);
    gateway.clock.advance(Duration::from_secs(30 * 60));
    backend.say_json(&flagged("statement"));
    challenged(&mut customer);
    customer.say_json(&json!({"text": "whoami"}));
    assert_eq!(backend.hear_json(), json!({"text": "whoami"}));

    log_in(&gateway, &mut customer, &mut backend);
    revoke(&gateway, "c1");
    backend.say_json(&flagged("statement"));
    challenged(&mut customer);
}

/// A token of `subject`'s that the website signs.
fn token(gateway: &Gateway, subject: &str) -> String {
    let claims = json!({"sub": subject, "exp": gateway.clock.now().secs() + 60});
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap()
}

/// A route that asks for such a token in the query.
const REQUIRED: &str = r#"
[[channel.web.route]]
kind = "message"
method = "GET"
path = "/required/{id}"
interaction = { path = "id" }
enforcement = "required"
"#;

/// Sockets to which the website's tokens speak for customers.
fn proven(websocket: &str, identity: &str, routes: &str) -> (Gateway, SocketOrigin) {
    let tables = format!(
        r#"{OWNER}[channel.web.websocket]
{websocket}
[[channel.web.identity]]
name = "site"
kind = "jwt"
from = {{ query = "token" }}
keys = [{{ algorithm = "HS256", secret = "{SECRET}" }}]
{identity}
{routes}"#
    );
    with("", &tables)
}

#[test]
fn where_a_proof_is_required_nobody_goes_on_as_anonymous() {
    let (gateway, origin) = proven("", "", REQUIRED);
    let target = format!("/required/c1?token={}", token(&gateway, "alice"));
    let (mut customer, mut backend) = open_with(&gateway, &origin, &target, &[]);
    customer.say("hello");
    assert_eq!(backend.hear(), "hello");
    revoke(&gateway, "c1");
    assert_eq!(customer.next(), Frame::close(1008, "proof-missing"));
}

#[test]
fn a_proof_at_the_handshake_counts_as_long_as_every_login() {
    let unnamed = r#"
[[channel.web.route]]
kind = "message"
method = "GET"
path = "/unnamed"
interaction = { json = "$.user" }
enforcement = "optional"
"#;
    let (gateway, origin) = proven(
        "on_expiry = \"close\"",
        "level = \"verified\"",
        &format!("{REQUIRED}{unnamed}"),
    );
    let refused = WebSocket::ask(gateway.at.plain, "/required/c0", &[]).err();
    assert_eq!(&*refused.expect("refused").code(), "proof-missing");
    let asks = |path: &str| {
        let target = format!("{path}?token={}", token(&gateway, "alice"));
        open_with(&gateway, &origin, &target, &[])
    };
    let (mut named, mut named_bot) = asks("/required/c1");
    let (mut unnamed, mut unnamed_bot) = asks("/unnamed");
    for (customer, backend) in [
        (&mut named, &mut named_bot),
        (&mut unnamed, &mut unnamed_bot),
    ] {
        assert!(backend.head.to_lowercase().contains("x-customer-id: alice"));
        backend.say_json(&flagged("statement"));
        assert!(customer.hear().contains(CANARY));
    }
    // The proof binds the interaction that is named later.
    let (mut later, mut later_bot) = asks("/unnamed");
    later.say_json(&json!({"user": "u1"}));
    assert_eq!(later_bot.hear_json()["metadata"]["customer"], "alice");
    later.say_json(&json!({"user": "u1"}));
    assert_eq!(later_bot.hear_json()["metadata"]["customer"], "alice");

    gateway.clock.advance(Duration::from_secs(30 * 60));
    for customer in [&mut named, &mut unnamed, &mut later] {
        let mut frame = customer.next();
        if frame.opcode == 1 {
            frame = customer.next();
        }
        assert_eq!(frame, Frame::close(4401, "the login has ended"));
    }
}
