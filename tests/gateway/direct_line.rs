//! Bot Framework behind `conf/examples/direct-line.toml`, by configuration alone,
//! driven by Web Chat's own client.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Gateway, Node, Talk};

#[test]
fn web_chats_own_client_gets_a_sign_in_card_and_then_the_statement() {
    let Some(bot) = Node::start("direct-line.js") else {
        return;
    };
    let gateway = Gateway::start_file("examples/direct-line.toml", bot.address);
    let domain = format!("http://{}/directline", gateway.plain);
    let mut ann = Talk::start("direct-line-client.js", &[&domain, "token-of-ann"]);

    ann.say("hello");
    ann.next("the bot's answer", |event| said(event, "You said hello"));
    ann.say("whoami");
    ann.next("an anonymous answer", |event| {
        said(event, "I do not know you")
    });

    ann.say("statement");
    let (card, conversation) = ann.next("a sign-in card", signed_out);
    let login_url = card["content"]["buttons"][0]["value"].as_str().unwrap();
    assert_eq!(gateway.site.log_in(login_url, "alice").status, 200);
    ann.next("the statement that was withheld", |event| {
        said(event, "Statement: 1,234.56")
    });
    ann.say("whoami");
    ann.next("an answer to alice", |event| said(event, "You are alice"));
    ann.say("statement");
    ann.next("the statement", |event| said(event, "Statement: 1,234.56"));

    // A second client that knows the conversation's name is not its owner.
    let target = format!("/directline/conversations/{conversation}/activities?watermark=0");
    let mut eve = gateway.browser();
    eve.headers
        .push(("Authorization".into(), "Bearer token-of-eve".into()));
    assert!(!eve.get(&target).contains("CANARY"));
    assert!(!gateway.browser().get(&target).contains("CANARY"));

    gateway.clock.advance(Duration::from_secs(30 * 60 + 1));
    ann.say("statement");
    ann.next("another sign-in card", signed_out);
}

#[test]
fn the_withheld_activities_come_with_the_next_poll() {
    let Some(bot) = Node::start("direct-line.js") else {
        return;
    };
    let gateway = Gateway::start_file("examples/direct-line.toml", bot.address);
    let mut ann = gateway.browser();
    ann.headers
        .push(("Authorization".into(), "Bearer token-of-ann".into()));
    let begun = ann.post("/directline/conversations", &json!({})).json();
    let activities = format!(
        "/directline/conversations/{}/activities",
        begun["conversationId"].as_str().unwrap()
    );
    for text in ["hello", "statement", "hello again"] {
        let message = json!({"type": "message", "from": {"id": "ann"}, "text": text});
        assert_eq!(ann.post(&activities, &message).status, 200);
    }

    let answer = ann.get(&format!("{activities}?watermark=0"));
    assert!(!answer.contains("CANARY"));
    for text in ["You said hello", "You said hello again"] {
        assert!(answer.contains(text), "{}", answer.text());
    }
    let answer = answer.json();
    let card = |answer: &Value| {
        let all = answer["activities"].as_array().unwrap().iter();
        let cards =
            all.map(|activity| &activity["attachments"][0]["content"]["buttons"][0]["value"]);
        let urls = cards.filter_map(|url| Some(url.as_str()?.to_owned()));
        urls.collect::<Vec<_>>()
    };
    let login_url = card(&answer).remove(0);
    // Whoever asks for the same again gets no other URL, and this one stays good.
    let again = ann.get(&format!("{activities}?watermark=0"));
    assert!(!again.contains("CANARY") && card(&again.json()).is_empty());

    assert_eq!(gateway.site.log_in(&login_url, "alice").status, 200);
    let watermark = &answer["watermark"];
    let next = ann.get(&format!("{activities}?watermark={watermark}"));
    assert!(next.contains("NL00-CANARY") && !next.contains("authentication_required"));
    let next = ann.get(&format!("{activities}?watermark={watermark}"));
    assert_eq!(next.json()["activities"], json!([]));
}

fn said(event: &Value, text: &str) -> Option<()> {
    (event["activity"]["text"] == text).then_some(())
}

/// The card of a challenge, and the conversation; meanwhile nothing of the
/// statement may come.
fn signed_out(event: &Value) -> Option<(Value, String)> {
    assert!(!event.to_string().contains("CANARY"), "{event}");
    let card = &event["activity"]["attachments"][0];
    let signin = card["contentType"] == "application/vnd.microsoft.card.signin";
    let conversation = event["conversation"].as_str().unwrap_or_default();
    signin.then(|| (card.clone(), conversation.to_owned()))
}
