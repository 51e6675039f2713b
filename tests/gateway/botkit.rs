//! Botkit behind `conf/examples/botkit.toml`, by configuration alone.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Answer, Browser, Gateway, Node, WebSocket};

#[test]
fn a_statement_is_withheld_until_the_login_and_again_after_its_time() {
    let Some(bot) = Node::start("botkit.js") else {
        return;
    };
    let gateway = Gateway::start_file("examples/botkit.toml", bot.address);
    let mut ann = gateway.browser();

    let hello = say(&mut ann, "hello");
    assert_eq!(hello.json()[0]["text"], "You said hello");
    assert_eq!(
        say(&mut ann, "whoami").json()[0]["text"],
        "I do not know you"
    );

    let challenge = say(&mut ann, "statement");
    let (login_url, continue_url) = challenged(&challenge);
    assert_eq!(gateway.site.log_in(&login_url, "alice").status, 200);

    // The withheld question, asked again by the gateway, with the identity.
    let waiting = ann.get(&continue_url);
    let text = waiting.json()[0]["text"].clone();
    assert_eq!(text, "Statement for alice: 1,234.56");
    assert!(waiting.contains("NL00-CANARY"));
    assert!(!waiting.contains("authentication_required"));

    assert_eq!(say(&mut ann, "whoami").json()[0]["text"], "You are alice");
    assert_eq!(say(&mut ann, "statement").json()[0]["text"], text);

    gateway.clock.advance(Duration::from_secs(30 * 60 + 1));
    assert_eq!(
        say(&mut ann, "whoami").json()[0]["text"],
        "I do not know you"
    );
    challenged(&say(&mut ann, "statement"));
    assert!(!ann.get(&continue_url).contains("CANARY"));
}

#[test]
fn what_the_client_says_of_itself_is_not_believed() {
    let Some(bot) = Node::start("botkit.js") else {
        return;
    };
    let gateway = Gateway::start_file("examples/botkit.toml", bot.address);
    let claim = json!({"type": "message", "user": "ann", "text": "whoami", "customer": "alice"});
    let answer = gateway.browser().post("/api/messages", &claim);
    assert_eq!(answer.json()[0]["text"], "I do not know you");
}

#[test]
fn on_its_websocket_the_same_holds() {
    let Some(bot) = Node::start("botkit.js") else {
        return;
    };
    let gateway = Gateway::start_file("examples/botkit.toml", bot.address);
    let socket = WebSocket::ask(gateway.at.plain, "/", &[]);
    let mut ann = socket.unwrap_or_else(|answer| panic!("{}", answer.text()));
    let says =
        |text: &str| json!({"type": "message", "user": "ann", "text": text, "customer": "alice"});

    ann.say_json(&json!({"type": "hello", "user": "ann"}));
    ann.say_json(&says("hello"));
    assert_eq!(ann.hear_json()["text"], "You said hello");
    ann.say_json(&says("whoami"));
    assert_eq!(ann.hear_json()["text"], "I do not know you");

    ann.say_json(&says("statement"));
    let said = ann.hear();
    assert!(
        !said.contains("CANARY") && !said.contains("1,234"),
        "{said}"
    );
    let said: Value = serde_json::from_str(&said).unwrap();
    let url = said["open_link"].as_str().unwrap();
    assert_eq!(gateway.site.log_in(url, "alice").status, 200);
    assert_eq!(ann.hear_json()["text"], "Thank you, alice.");
    let statement = ann.hear();
    assert!(statement.contains("Statement for alice") && statement.contains("CANARY"));
    assert!(!statement.contains("authentication_required"));

    ann.say_json(&says("whoami"));
    assert_eq!(ann.hear_json()["text"], "You are alice");
    gateway.clock.advance(Duration::from_secs(30 * 60 + 1));
    ann.say_json(&says("whoami"));
    assert_eq!(ann.hear_json()["text"], "I do not know you");
    ann.say_json(&says("statement"));
    assert!(ann.hear().contains("open_link"));
}

fn say(browser: &mut Browser, text: &str) -> Answer {
    let message = json!({"type": "message", "user": "ann", "text": text});
    let answer = browser.post("/api/messages", &message);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer
}

/// Login and continue URL of a challenge that says nothing of the statement.
fn challenged(answer: &Answer) -> (String, String) {
    assert!(!answer.contains("CANARY") && !answer.contains("1,234"));
    let message: Value = answer.json()[0].clone();
    assert_eq!(message["type"], "message");
    let url = |name: &str| message[name].as_str().unwrap().to_owned();
    (url("open_link"), url("continue_url"))
}
