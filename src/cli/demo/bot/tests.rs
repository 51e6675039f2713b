//! The bot alone, asked without a socket.

use http_body_util::BodyExt;

use super::*;
use crate::secret::Secret;

const TIMEOUT: Duration = Duration::from_secs(60);

fn bot() -> (Bot, Clock) {
    let clock = Clock::manual(Time::from_secs(1000));
    let nowhere = Callback::new(([127, 0, 0, 1], 9).into(), Secret::new("no key"));
    (Bot::new(clock.clone(), TIMEOUT, nowhere), clock)
}

fn call(bot: &Bot, method: &str, path: &str, body: &str) -> (StatusCode, Value) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .body(Bytes::copy_from_slice(body.as_bytes()))
        .unwrap();
    let (head, body) = bot.answer(&request).into_parts();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let body = runtime.block_on(body.collect()).unwrap().to_bytes();
    (
        head.status,
        serde_json::from_slice(&body).unwrap_or(Value::Null),
    )
}

fn say(bot: &Bot, body: Value) -> Value {
    call(bot, "POST", "/webhooks/rest/webhook", &body.to_string()).1
}

fn desk(bot: &Bot) -> Value {
    call(bot, "GET", "/agent/conversations/c", "").1
}

fn alice(message: &str) -> Value {
    json!({ "sender": "c", "message": message, "metadata":
        { "customer": "alice", "name": "Alice", "authenticated": true, "login_time": 1000 } })
}

#[test]
fn hello_is_open_and_a_statement_is_private() {
    let (bot, _) = bot();
    let hello = say(&bot, json!({ "sender": "c", "message": "Hello!" }));
    assert_eq!(hello[0]["recipient_id"], "c");
    assert_eq!(hello[0].get("custom"), None);
    let asked = say(
        &bot,
        json!({ "sender": "c", "message": "my statement, please" }),
    );
    assert_eq!(asked[0]["custom"]["authentication_required"], true);
    let asked = say(&bot, alice("statement"));
    assert_eq!(asked[0]["custom"]["authentication_required"], true);
    assert!(asked[0]["text"].as_str().unwrap().contains("1,204.30"));
}

#[test]
fn a_streamed_answer_says_the_same_in_parts_that_are_each_marked() {
    for (asked, marks) in [("hello", 0), ("statement", 3)] {
        let reply = Reply::to("c", asked, None);
        let parts = reply.parts();
        assert!(parts.len() > 2);
        let said: String = parts.iter().filter_map(|p| p[0]["text"].as_str()).collect();
        assert!(said.ends_with(&reply.text), "{said}");
        let marked = parts.iter().filter(|part| part[0].get("custom").is_some());
        assert_eq!(marked.count(), marks);
    }
}

#[test]
fn a_socket_is_one_conversation_s_whatever_its_messages_say() {
    let (bot, _) = bot();
    let path = "/chat/c/socket";
    assert!(bot.has_socket(path) && !bot.has_socket("/chat/socket"));
    let said = bot.hear(path, br#"{"sender":"other","message":"hello"}"#);
    let said: Value = serde_json::from_str(&said.unwrap()).unwrap();
    assert_eq!(said[0]["recipient_id"], "c");
    assert_eq!(desk(&bot)["lines"].as_array().unwrap().len(), 2);
    assert_eq!(bot.hear(path, b"hello"), None);
}

#[test]
fn the_check_mark_is_there_exactly_while_the_latest_login_counts() {
    let (bot, clock) = bot();
    say(&bot, json!({ "sender": "c", "message": "hello" }));
    assert_eq!(desk(&bot)["authenticated"], false);
    say(&bot, alice("hello"));
    assert_eq!(desk(&bot)["authenticated"], true);
    assert_eq!(desk(&bot)["seconds_left"], 60);
    clock.advance(Duration::from_millis(59_999));
    assert_eq!(desk(&bot)["authenticated"], true);
    clock.advance(Duration::from_millis(1));
    assert_eq!(desk(&bot)["authenticated"], false);
}

#[test]
fn an_anonymous_message_and_the_end_take_the_check_mark_away() {
    let (bot, _) = bot();
    say(&bot, alice("hello"));
    say(&bot, json!({ "sender": "c", "message": "hello" }));
    assert_eq!(desk(&bot)["authenticated"], false);
    say(&bot, alice("hello"));
    call(&bot, "POST", "/chat/end", r#"{"sender":"c"}"#);
    assert_eq!(desk(&bot)["authenticated"], false);
    assert_eq!(desk(&bot)["ended"], true);
}

#[test]
fn what_is_not_a_message_is_refused() {
    let (bot, _) = bot();
    for body in [
        "",
        "[]",
        "{}",
        r#"{"sender":1,"message":"x"}"#,
        r#"{"sender":"","message":"x"}"#,
    ] {
        let (status, _) = call(&bot, "POST", "/webhooks/rest/webhook", body);
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    }
}

#[test]
fn the_transcript_is_bounded() {
    let (bot, _) = bot();
    for _ in 0..MAX_LINES {
        say(&bot, json!({ "sender": "c", "message": "hello" }));
    }
    assert_eq!(desk(&bot)["lines"].as_array().unwrap().len(), MAX_LINES);
}
