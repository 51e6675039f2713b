//! Messages that are flagged: withheld, asked for, released.

use serde_json::json;

use super::{challenged, flagged, open, open_with, revoke, usual, with};
use crate::setup::{CANARY, OWNER, channel_to};
use crate::support::{Frame, Gateway, SocketOrigin};

#[test]
fn a_flagged_message_waits_for_the_login_on_the_same_socket() {
    let greeting = "on_login = '''{\"hello\": \"{{ subject }}\", \"level\": \"{{ level }}\"}'''";
    let (gateway, origin) = usual(greeting);
    let (mut customer, mut backend) = open(&gateway, &origin, "c1");
    customer.say_json(&json!({"text": "my statement", "n": 1}));
    assert_eq!(backend.hear_json()["text"], "my statement");
    // In fragments: it is judged as a whole.
    let (one, two) = (flagged("statement").to_string(), CANARY.len());
    let (one, two) = one.split_at(one.len() - two);
    backend.send(&Frame::text(one).open());
    backend.send(&Frame::new(9, "beat"));
    assert_eq!(customer.next(), Frame::new(9, "beat"));
    backend.send(&Frame::new(0, two));
    let url = challenged(&mut customer);

    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
    assert_eq!(
        customer.hear_json(),
        json!({"hello": "alice", "level": "verified"})
    );
    let again = backend.hear_json();
    assert_eq!(
        again,
        json!({"text": "my statement", "n": 1, "metadata": {"customer": "alice"}})
    );
    backend.say_json(&flagged("statement"));
    let said = customer.hear_json();
    assert_eq!(said, json!({"text": "statement", "secret": CANARY}));

    // Once. And what passes now carries the identity.
    customer.say_json(&json!({"text": "whoami"}));
    assert_eq!(backend.hear_json()["metadata"]["customer"], "alice");
}

#[test]
fn withheld_messages_are_released_in_order_on_the_same_socket() {
    let tables = format!("{OWNER}[channel.web.websocket]\n");
    let (gateway, origin) = with("resume = \"release\"", &tables);
    let (mut customer, mut backend) = open(&gateway, &origin, "c1");
    customer.say_json(&json!({"text": "statement"}));
    backend.hear();
    for text in ["one", "two"] {
        backend.say_json(&flagged(text));
    }
    backend.say_json(&json!({"text": "not flagged"}));
    let url = challenged(&mut customer);
    assert_eq!(
        customer.hear_json()["text"],
        "not flagged",
        "one challenge is enough"
    );
    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
    for text in ["one", "two"] {
        assert_eq!(
            customer.hear_json(),
            json!({"text": text, "secret": CANARY})
        );
    }
    // The backend hears nothing of it.
    customer.say_json(&json!({"text": "next"}));
    assert_eq!(backend.hear_json()["text"], "next");

    // What a revoked login had earned is gone, and a stranger gets nothing.
    let (mut stranger, mut bot) = open(&gateway, &origin, "c1");
    bot.say_json(&flagged("three"));
    bot.say("hello");
    assert_eq!(stranger.hear(), "hello");
    revoke(&gateway, "c1");
    backend.say_json(&flagged("four"));
    let url = challenged(&mut customer);
    let cookie = customer.cookie();
    drop(customer);
    assert_eq!(backend.frame(), None);
    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
    // The next socket of the same customer.
    let (mut customer, _backend) =
        open_with(&gateway, &origin, "/chat/c1/ws", &[("Cookie", &cookie)]);
    assert_eq!(customer.hear_json()["text"], "four");
}

#[test]
fn nothing_flagged_passes_in_any_disguise() {
    let (gateway, origin) = usual("");
    let (mut customer, mut backend) = open(&gateway, &origin, "c1");
    for disguised in [
        flagged("x").to_string(),
        format!("[{},{}]", json!({"text": "ok"}), flagged("x")),
        format!("{{\"authentication_\\u0072equired\":true,\"s\":\"{CANARY}\"}}"),
        format!(
            "{{\"authentication_required\":false,\"authentication_required\":true,\"s\":\"{CANARY}\"}}"
        ),
    ] {
        backend.say(&disguised);
        challenged(&mut customer);
    }
    // JSON in a binary frame is JSON; what is malformed is dropped.
    backend.send(&Frame::new(2, flagged("x").to_string()));
    let frame = customer.next();
    assert!(
        frame.opcode == 1 && !frame.said().contains(CANARY) && frame.said().contains("challenge")
    );
    backend.say(&format!(
        "{{\"authentication_required\":true,\"s\":\"{CANARY}\","
    ));
    backend.say("and on");
    assert_eq!(customer.hear(), "and on");
}

/// A route whose interaction only its messages name, with this in `websocket`.
fn named_in_messages(settings: &str) -> (Gateway, SocketOrigin) {
    let tables = format!(
        r#"{OWNER}[channel.web.websocket]
{settings}
[[channel.web.route]]
kind = "message"
method = ["GET", "POST"]
path = "/socket"
interaction = {{ json = "$.user" }}"#
    );
    with("resume = \"replay\"", &tables)
}

#[test]
fn an_interaction_may_be_named_by_the_messages() {
    let (gateway, origin) = named_in_messages("");
    let (mut customer, mut backend) = open_with(&gateway, &origin, "/socket", &[]);
    // Nobody can be asked to log in as long as nobody is named.
    backend.say_json(&flagged("too early"));
    backend.say("hello");
    assert_eq!(customer.hear(), "hello");
    customer.say_json(&json!({"user": "u1", "text": "statement"}));
    backend.hear();
    backend.say_json(&flagged("statement"));
    let url = challenged(&mut customer);
    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
    assert_eq!(backend.hear_json()["metadata"]["customer"], "alice");

    // Of somebody else's conversation a stranger hears nothing.
    let (mut stranger, mut bot) = open_with(&gateway, &origin, "/socket", &[]);
    stranger.say_json(&json!({"user": "u1", "text": "statement"}));
    assert_eq!(bot.hear_json(), json!({"user": "u1", "text": "statement"}));
    bot.say_json(&flagged("statement"));
    bot.say("hello");
    assert_eq!(stranger.hear(), "hello");

    // One socket, one conversation.
    customer.say_json(&json!({"user": "u2", "text": "statement"}));
    assert_eq!(customer.next().code(), Some(1008));

    // No name is longer than one may be that a request says.
    let (mut endless, _bot) = open_with(&gateway, &origin, "/socket", &[]);
    endless.say_json(&json!({"user": "u".repeat(513)}));
    assert_eq!(endless.next().code(), Some(1008));
}

/// A lenient backend reads what is no JSON.
#[test]
fn a_message_that_only_lenient_backends_read_names_nobody_and_forges_nothing() {
    let (gateway, origin) = named_in_messages("max_message = \"1KiB\"");
    let disguised = [
        "/**/{\"user\":\"u2\"}",
        "{user:'u2'}",
        "\u{a0}{\"user\":\"u2\"}",
        "\"x\"\n{\"user\":\"u2\"}",
    ];
    let (mut customer, mut backend) = open_with(&gateway, &origin, "/socket", &[]);
    customer.say_json(&json!({"user": "u1"}));
    assert_eq!(backend.hear_json()["user"], "u1");
    for text in disguised {
        customer.say(text);
        customer.send(&Frame::new(2, text));
    }
    customer.say("no JSON");
    customer.send(&Frame::new(
        2,
        "\u{89}PNG no text \u{0}".as_bytes()[1..].to_vec(),
    ));
    assert_eq!(
        backend.next().opcode,
        2,
        "what is no text passes, and it alone"
    );
    customer.say("2");
    assert_eq!(backend.hear(), "2");
    let bad = [("channel", "web"), ("reason", "bad-body")];
    let dropped = gateway
        .metrics()
        .sum("chatgate_socket_messages_total", &bad);
    assert_eq!(dropped, 2.0 * disguised.len() as f64 + 1.0);
    let long = format!("/**/{{\"user\":\"u2\",\"a\":\"{}\"}}", "x".repeat(2000));
    customer.send(&Frame::new(2, long));
    assert_eq!(customer.next().code(), Some(1009));

    // Where the interaction is known by the handshake, words are words.
    let (mut customer, mut backend) = open(&gateway, &origin, "c1");
    for text in disguised {
        let text = text.replace("\"user\":\"u2\"", "\"metadata\":{\"customer\":\"eve\"}");
        let text = text.replace("user:'u2'", "metadata:{customer:'eve'}");
        customer.say(&text);
        customer.send(&Frame::new(2, text));
    }
    customer.say("x\u{1} {\"metadata\":{\"customer\":\"eve\"}}");
    for text in ["I am a customer", "2", "42[\"message\",{\"text\":\"hi\"}]"] {
        customer.say(text);
        assert_eq!(backend.hear(), text);
    }
}

#[test]
fn a_protocol_of_its_own_passes_where_nothing_is_named_or_set_in_messages() {
    let origin = SocketOrigin::start();
    let tables = channel_to(
        &origin.upstream(),
        "",
        &format!("{OWNER}[channel.web.websocket]\n"),
    );
    let tables = tables.replace("members = {", "# members = {");
    let gateway = Gateway::start(&tables);
    let (mut customer, mut backend) = open(&gateway, &origin, "c1");
    for text in [
        "2",
        "3probe",
        "42[\"message\",{\"metadata\":{\"customer\":\"\\u0061\"}}]",
        "/**/{\"metadata\":{\"customer\":1}}",
    ] {
        customer.say(text);
        assert_eq!(backend.hear(), text);
    }
}
