//! A streaming chat API behind `conf/examples/openai-stream.toml`, by configuration
//! alone: a backend that replays the shapes of the API.

use std::time::Duration;

use serde_json::{Value, json};

use crate::setup::CANARY;
use crate::support::{Answer, Gateway, Origin, Reply, Request, Seen};

/// One piece of a completion.
fn chunk(text: &str, private: bool) -> Value {
    let mut chunk = json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}],
    });
    if private {
        chunk["authentication_required"] = json!(true);
    }
    chunk
}

/// An agent that looks the balance up, whoever asks.
fn agent(seen: &Seen) -> Reply {
    assert_eq!(seen.target, "/v1/chat/completions");
    if seen.json()["stream"] != json!(true) {
        let message = json!({"role": "assistant", "content": CANARY});
        return Reply::json(&json!({
            "id": "chatcmpl-2", "object": "chat.completion", "model": "m",
            "choices": [{"index": 0, "message": message}], "authentication_required": true,
        }));
    }
    let chunks = [
        chunk("Your balance", false),
        chunk(" is ", false),
        chunk(CANARY, true),
        chunk(CANARY, true),
    ];
    let mut text = ": PROCESSING\n\n".to_owned();
    for chunk in chunks {
        text += &format!("data: {chunk}\n\n");
    }
    text += "data: [DONE]\n\n";
    Reply::new(200, text)
        .header("Content-Type", "text/event-stream; charset=utf-8")
        .chunked(11)
}

fn ask(gateway: &Gateway, key: &str, stream: bool) -> Answer {
    let question = json!({"role": "user", "content": "What is my balance?"});
    let request = Request::post(
        "/v1/chat/completions",
        &json!({"model": "m", "messages": [question], "stream": stream}),
    );
    let request = request
        .header("Authorization", &format!("Bearer {key}"))
        .header("X-Conversation-Id", "conversation-1");
    gateway.wire().exchange(&request)
}

/// The chunks of a completion, put together as a client does.
fn read(answer: &Answer) -> (Vec<Value>, String) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let text = answer.text();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let mut data: Vec<_> = data.collect();
    assert_eq!(data.pop(), Some("[DONE]"), "{text}");
    let chunks: Vec<Value> = data
        .into_iter()
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let said = chunks
        .iter()
        .map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().unwrap());
    let said = said.collect();
    (chunks, said)
}

#[test]
fn what_is_private_in_a_completion_asks_for_a_login() {
    let origin = Origin::start(agent);
    let gateway = Gateway::start_file("examples/openai-stream.toml", origin.address);
    let answer = ask(&gateway, "key-of-ann", true);
    assert!(!answer.contains(CANARY), "{}", answer.text());
    let (chunks, said) = read(&answer);
    assert!(
        said.starts_with("Your balance is Please log in, then ask again (your code is "),
        "{said}"
    );
    // One chunk asks, as a part of the same completion.
    assert_eq!(chunks.len(), 3);
    assert!(chunks.iter().all(|chunk| chunk["id"] == "chatcmpl-1"));
    assert!(answer.contains(": PROCESSING"));

    let login_url = chunks[2]["login_url"].as_str().unwrap();
    assert_eq!(gateway.site.log_in(login_url, "alice").status, 200);
    let answer = ask(&gateway, "key-of-ann", true);
    let (chunks, said) = read(&answer);
    assert_eq!(said, format!("Your balance is {CANARY}{CANARY}"));
    assert_eq!(chunks[2], chunk(CANARY, false));
    assert_eq!(origin.last().header("x-customer-id"), Some("alice"));

    // Another key with the same conversation is another customer.
    assert!(!ask(&gateway, "key-of-eve", true).contains(CANARY));
    assert_eq!(origin.last().header("x-customer-id"), None);
    gateway.clock.advance(Duration::from_secs(30 * 60));
    assert!(!ask(&gateway, "key-of-ann", true).contains(CANARY));
}

#[test]
fn a_completion_that_does_not_stream_is_judged_as_a_whole() {
    let origin = Origin::start(agent);
    let gateway = Gateway::start_file("examples/openai-stream.toml", origin.address);
    let answer = ask(&gateway, "key-of-ann", false);
    assert!(!answer.contains(CANARY), "{}", answer.text());
    let answer = answer.json();
    assert_eq!(answer["object"], "chat.completion");
    let content = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(content.starts_with("Please log in"), "{content}");
    let login_url = answer["login_url"].as_str().unwrap();
    assert_eq!(gateway.site.log_in(login_url, "alice").status, 200);
    let shown = ask(&gateway, "key-of-ann", false);
    assert!(shown.contains(CANARY) && !shown.contains("authentication_required"));
}
