//! A backend that sends login links of its own.

use serde_json::json;

use super::{Chat, hook};
use crate::setup::{self, CANARY, OWNER};
use crate::support::{
    Feed, Framing, Gateway, Listener, Origin, Reply, Request, Seen, SocketOrigin, WebSocket,
    eventually,
};

const LINK: &str = r#"
[channel.web.link]
prefix = "https://bot.example/authenticate"
"#;
const THEIRS: &str = "https://bot.example/authenticate?callback=https%3A%2F%2Fbot%2Fcb%3Ftoken%3D7";

#[test]
fn a_link_button_becomes_ours() {
    let chat = Chat::start(
        "resume = \"replay\"",
        &format!("{LINK}at = \"$.url\"\n"),
        "",
    );
    let asked = json!({"customer_id": "c", "text": ["my balance"]});
    chat.post(Request::post("/messages", &asked));
    let button = json!({
        "type": "link_button", "customer_id": "c", "message_id": "m-9",
        "title": "Log in", "label": THEIRS, "url": THEIRS,
    });
    let request = hook(&button).header("ETag", "1").header("X-Other", "1");
    assert_eq!(chat.post(request).status, 200);
    let seen = chat.client.last();
    let url = seen.json()["url"].as_str().unwrap().to_owned();
    assert!(chat.gateway.site.trusts(&url));
    assert_eq!(seen.json()["label"], THEIRS, "another place");
    assert_eq!(seen.json()["message_id"], "m-9");
    assert_eq!(seen.header("x-other"), Some("1"));
    let length = seen.header("content-length").unwrap();
    assert_eq!(length, seen.body.len().to_string());

    // It is a challenge: the login counts, and what is configured happens after it.
    chat.api.clear();
    chat.log_in(&url);
    let replayed = eventually("it is asked again", || chat.api.seen().pop());
    assert_eq!(replayed.header("x-customer-id"), Some("alice"));
    assert_eq!(replayed.json()["text"][0], "my balance");
    let challenged = [("channel", "web")];
    assert_eq!(
        chat.gateway
            .metrics()
            .sum("chatgate_challenges", &challenged),
        1.0
    );
}

#[test]
fn a_link_in_a_text_becomes_ours() {
    let chat = Chat::start("", LINK, "");
    let text = |url: &str| {
        let text = format!("Please log in at {url}. Thank you!");
        json!({"type": "text", "customer_id": "c", "text": ["Hi", text]})
    };
    chat.send(&text(THEIRS));
    let seen = chat.client.last();
    assert!(!seen.contains("bot.example"));
    let said = seen.json()["text"][1].as_str().unwrap().to_owned();
    let url = said.strip_prefix("Please log in at ").unwrap();
    let url = url.strip_suffix(". Thank you!").unwrap();
    chat.log_in(url);
    // Others' links stay, and so does one that nobody could log in by.
    for message in [text("https://bot.example/help"), json!({"text": [THEIRS]})] {
        assert_eq!(chat.send(&message).status, 200);
        assert_eq!(chat.client.last().json(), message);
    }
    // The flag of one that passes is taken off, too.
    let mut flagged = text(THEIRS);
    flagged["protected"] = true.into();
    assert_eq!(chat.send(&flagged).status, 200);
    let seen = chat.client.last();
    assert!(!seen.contains("bot.example") && seen.json()["protected"].is_null());
    assert!(
        seen.json()["text"][1]
            .as_str()
            .unwrap()
            .ends_with(". Thank you!")
    );
}

fn bot(seen: &Seen) -> Reply {
    let path = seen.target.rsplit('/').next().unwrap_or_default();
    match (path, seen.header("x-customer-id")) {
        ("balance", Some(customer)) => Reply::json(&json!({"text": format!("for {customer}")})),
        ("balance", None) => {
            let text = format!("Log in: {THEIRS}");
            Reply::json(&json!({"text": text}))
                .header("ETag", "\"1\"")
                .chunked(5)
        }
        ("page", _) => Reply::new(200, format!("<a href=\"{THEIRS}&amp;x\">Log in</a>"))
            .header("Content-Type", "text/html")
            .framing(Framing::Close),
        _ => Reply::json(&json!({"text": "open"})),
    }
}

#[test]
fn a_link_in_an_answer_becomes_ours() {
    let origin = Origin::start(bot);
    let tables = format!("{OWNER}{LINK}");
    let text = setup::channel(&origin, "resume = \"replay\"", &tables);
    let gateway = Gateway::start(&text);
    let mut browser = gateway.browser();
    assert_eq!(browser.get("/chat/c/open").json()["text"], "open");
    let answer = browser.get("/chat/c/balance");
    assert_eq!((answer.status, answer.header("etag")), (200, None));
    // No cache hands one customer's login URL to another.
    assert_eq!(answer.header("cache-control"), Some("private, no-store"));
    let said = answer.json()["text"].as_str().unwrap().to_owned();
    let url = said.strip_prefix("Log in: ").unwrap();
    assert_eq!(gateway.site.log_in(url, "alice").status, 200);
    assert_eq!(browser.get("/chat/c/balance").json()["text"], "for alice");

    let page = browser.get("/chat/c/page").text();
    let url = page.strip_prefix("<a href=\"").unwrap();
    let (url, rest) = url.split_once('"').unwrap();
    assert_eq!(rest, ">Log in</a>");
    assert!(gateway.site.trusts(&url.replace("&amp;", "&")));

    // A stranger gets the backend's own link: ours would be the owner's.
    let stranger = gateway.browser().get("/chat/c/balance");
    assert!(stranger.contains("bot.example"));
}

/// The login URL that stands in a text in the place of [`THEIRS`].
fn ours(said: &str) -> String {
    assert!(!said.contains("bot.example"), "{said}");
    let (_, url) = said.split_once("Log in: ").unwrap();
    url.split(['"', ' ']).next().unwrap().to_owned()
}

#[test]
fn a_link_in_a_stream_becomes_ours() {
    let feed = Feed::start("text/event-stream");
    let tables = format!("{OWNER}{LINK}");
    let gateway = Gateway::start(&setup::channel(&feed.origin, "", &tables));
    let mut ann = gateway.browser();
    ann.get("/chat/ann/hello");
    let mut stream = Listener::open(gateway.plain, "/chat/ann/events", &ann);
    feed.say(format!(
        "id: 3\ndata: {{\"text\":\"Log in: {THEIRS}\"}}\n\n"
    ));
    let said = stream.event();
    assert!(said.contains("id: 3"), "{said}");
    assert_eq!(gateway.site.log_in(&ours(&said), "alice").status, 200);
    let flagged = json!({"text": CANARY, "authentication_required": true});
    feed.say(format!("data: {flagged}\n\n"));
    assert!(stream.event().contains(CANARY));
}

#[test]
fn a_link_on_a_socket_becomes_ours() {
    let origin = SocketOrigin::start();
    let tables = format!("{OWNER}{LINK}[channel.web.websocket]\n");
    let text = setup::channel_to(&origin.upstream(), "resume = \"replay\"", &tables);
    let gateway = Gateway::start(&text);
    let customer = WebSocket::ask(gateway.at.plain, "/chat/c/ws", &[]);
    let mut customer = customer.unwrap_or_else(|answer| panic!("{}", answer.text()));
    let mut backend = origin.accept();
    for said in [
        json!({"text": format!("Log in: {THEIRS}")}).to_string(),
        format!("Log in: {THEIRS} now"),
    ] {
        backend.say(&said);
        assert!(gateway.site.trusts(&ours(&customer.hear())));
    }
    backend.say(&format!("Log in: {THEIRS}"));
    let url = ours(&customer.hear());
    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
    customer.say_json(&json!({"text": "hello"}));
    assert_eq!(backend.hear_json()["metadata"]["customer"], "alice");
}

#[test]
fn a_link_in_a_polled_message_becomes_ours_once() {
    let origin = Origin::start(|seen: &Seen| {
        let link = json!({"id": 2, "text": format!("Log in: {THEIRS}")});
        let flagged = json!({"id": 3, "text": CANARY, "authentication_required": true});
        let list = match seen.target.ends_with("flagged") {
            true => json!([{"id": 1}, link, flagged]),
            false => json!([{"id": 1}, link]),
        };
        Reply::json(&json!({"list": list}))
    });
    let tables = format!("{OWNER}{LINK}[channel.web.items]\nat = \"$.list\"\nid = \"$.id\"\n");
    let gateway = Gateway::start(&setup::channel(&origin, "", &tables));
    let mut ann = gateway.browser();
    let answer = ann.get("/chat/ann/messages");
    let list = answer.json()["list"].clone();
    let url = ours(list[1]["text"].as_str().unwrap());
    assert_eq!(answer.header("cache-control"), Some("private, no-store"));
    // Polled again it makes no other, which would revoke that one.
    let again = ann.get("/chat/ann/messages").json();
    assert_eq!(again["list"], json!([{"id": 1}]));
    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
    // One login URL is enough for an answer.
    let both = gateway.browser().get("/chat/bob/flagged").json();
    assert!(both["list"][2]["challenge"].is_string());
    assert!(both["list"][1]["text"].as_str().unwrap().ends_with(THEIRS));
}
