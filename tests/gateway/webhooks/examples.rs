//! The examples of `conf/`, by configuration alone, against backends that send what
//! is documented of the real ones.

use std::time::Duration;

use chatgate::channel::Signature;
use chatgate::channel::signature::Digest;
use chatgate::identity::hmac::Encoding;
use serde_json::{Value, json};

use super::Chat;
use super::signatures::{hash, holds, signed, token};
use crate::linking::opens;
use crate::setup::CANARY;
use crate::support::{Gateway, Origin, PLATFORM_KEY, Reply, Request, Seen, eventually};

fn start(file: &str, backends: [&str; 2]) -> Chat {
    let api = Origin::start(|seen| match &*seen.target {
        "/private-data" => Reply::new(200, "{}"),
        _ => Reply::new(202, ""),
    });
    let client = Origin::start(|seen| match &*seen.target {
        "/v2/bot/user/U1/linkToken" => Reply::json(&json!({"linkToken": "token-of-U1"})),
        _ => Reply::json(&json!({"status": "accepted"})),
    });
    let [first, second] = backends;
    let places = [(first, api.address), (second, client.address)];
    Chat {
        gateway: Gateway::start_between(file, &places),
        api,
        client,
    }
}

impl Chat {
    /// Sends a signed message and gets it taken.
    fn say(&self, path: &str, message: &Value, signature: Option<&Signature>) {
        let request = Request::post(path, message);
        let now = self.gateway.clock.now();
        let request = match signature {
            Some(signature) => signed(request, signature, "", now),
            None => request,
        };
        let answer = self.post(request);
        assert!((200..300).contains(&answer.status), "{}", answer.text());
    }

    /// What the client gets in place of something that holds the canary.
    fn withheld(&self, path: &str, message: &Value, signature: Option<&Signature>) -> Seen {
        self.client.clear();
        self.say(path, message, signature);
        let seen = self.client.last();
        assert!(!seen.contains(CANARY), "withheld content leaked");
        seen
    }

    /// What the client gets once somebody has logged in.
    fn released(&self, login_url: &str) -> Seen {
        self.client.clear();
        self.log_in(login_url);
        eventually("it is released", || self.client.seen().pop())
    }

    /// Somebody logs in on a page; where the browser goes with it.
    fn bound(&self, page: &str) -> String {
        let site = &self.gateway.site;
        assert!(site.trusts(page), "{page}");
        let told = site.post(&site.callback(page), &site.success(page, "alice"));
        told.json()["continue"].as_str().unwrap().to_owned()
    }

    fn now(&self) -> chatgate::time::Time {
        self.gateway.clock.now()
    }
}

#[test]
fn client_channel() {
    let chat = start("examples/client-channel.toml", ["api", "client"]);
    let connection = token(PLATFORM_KEY);
    let hello = json!({
        "type": "text", "customer_id": "C1", "customer_name": "Ann",
        "message_id": "m-1", "text": ["Hello"],
    });
    chat.say("/messages", &hello, Some(&connection));
    assert!(holds(&chat.api.last(), &connection, chat.now()));
    assert_eq!(chat.api.last().json(), hello);

    // What is open passes, whatever its type.
    for message in [
        json!({"type": "text", "customer_id": "C1", "message_id": "m-2", "csr_name": "Bot", "text": ["Hi", "Ann"]}),
        json!({"type": "typing_indicator", "customer_id": "C1"}),
        json!({"type": "menu", "customer_id": "C1", "title": "T", "items": [{"text": "a", "payload": "1"}]}),
        json!({"type": "csr_end_session", "customer_id": "C1"}),
    ] {
        chat.say("/webhook", &message, Some(&connection));
        let seen = chat.client.last();
        assert_eq!(seen.json(), message);
        assert!(holds(&seen, &connection, chat.now()));
    }
    // Not without a token, nor with one that was used for it.
    let unsigned = Request::post("/webhook", &hello);
    assert_eq!(chat.post(unsigned).code(), "signature-missing");
    let again = signed(
        Request::post("/messages", &hello),
        &connection,
        "",
        chat.now(),
    );
    assert_eq!(chat.post(again).code(), "signature-replayed");

    let balance = json!({
        "type": "text", "customer_id": "C1", "message_id": "m-9", "csr_name": "Bot",
        "text": ["Your balance:", CANARY], "authentication_required": true,
    });
    let button = chat.withheld("/webhook", &balance, Some(&connection));
    assert!(holds(&button, &connection, chat.now()));
    let button = button.json();
    assert_eq!(button["type"], "link_button");
    assert_eq!(button["customer_id"], "C1");
    assert_eq!(button["message_id"], "m-9-login");
    assert_eq!(button["csr_name"], "Bot");

    // The bot's own authentication service does not know of us.
    let own = json!({
        "type": "link_button", "customer_id": "C2", "message_id": "m-3", "csr_name": "Bot",
        "title": "Authenticate", "label": "Log in",
        "url": "https://www.example.com/authenticate?cb=https%3A%2F%2Fapi%2Fcallback%2Ftoken",
    });
    let theirs = chat.withheld("/webhook", &own, Some(&connection)).json();
    assert!(chat.gateway.site.trusts(theirs["url"].as_str().unwrap()));
    assert_eq!(theirs["title"], "Authenticate");

    // The customer takes longer than a token lasts.
    chat.gateway.clock.advance(Duration::from_secs(400));
    let seen = chat.released(button["url"].as_str().unwrap());
    assert!(holds(&seen, &connection, chat.now()));
    assert_eq!(seen.json()["text"][1], CANARY);
    assert!(seen.json()["authentication_required"].is_null());

    // The messaging API is told who it is before the next message passes.
    chat.api.clear();
    chat.say("/messages", &hello, Some(&connection));
    let [told, message] = &chat.api.seen()[..] else {
        panic!("{:?}", chat.api.seen());
    };
    assert_eq!(told.target, "/private-data");
    let private = json!({"authenticated": true, "CustomerId": "alice"});
    assert_eq!(told.json(), private);
    assert_eq!(message.json(), hello);
}

#[test]
fn rasa_callback() {
    let chat = start("examples/rasa-callback.toml", ["rasa", "client"]);
    let client = hash(
        "x-signature",
        "sha256=",
        Digest::Sha256,
        Encoding::Hex,
        PLATFORM_KEY,
    );
    let path = "/webhooks/callback/webhook";
    let ask =
        json!({"sender": "ann", "message": "my statement", "metadata": {"customer": "mallory"}});
    let unsigned = Request::post(path, &ask);
    assert_eq!(chat.post(unsigned).code(), "signature-missing");
    chat.say(path, &ask, Some(&client));
    assert!(chat.api.last().json()["metadata"]["customer"].is_null());

    let hello = json!({"recipient_id": "ann", "text": "Hello"});
    chat.say("/callback", &hello, None);
    assert_eq!(chat.client.last().json(), hello);
    assert!(holds(&chat.client.last(), &client, chat.now()));

    let statement = json!({
        "recipient_id": "ann",
        "custom": {"authentication_required": true, "text": CANARY},
    });
    let challenge = chat.withheld("/callback", &statement, None).json();
    assert_eq!(challenge["recipient_id"], "ann");
    let text = challenge["text"].as_str().unwrap();
    let url = &text[text.find("http").unwrap()..];

    // The question is asked again, and its answer passes.
    chat.api.clear();
    chat.log_in(url);
    let asked = eventually("it is asked again", || chat.api.seen().pop());
    assert_eq!(asked.json()["message"], "my statement");
    assert_eq!(
        asked.json()["metadata"],
        json!({"customer": "alice", "authenticated": true})
    );
    chat.say("/callback", &statement, None);
    assert_eq!(chat.client.last().json()["custom"], json!({"text": CANARY}));
}

#[test]
fn account_linking() {
    let chat = start("examples/account-linking.toml", ["bot", "platform"]);
    let app = hash(
        "x-hub-signature-256",
        "sha256=",
        Digest::Sha256,
        Encoding::Hex,
        PLATFORM_KEY,
    );
    let message =
        |sender: &str| json!({"sender": {"id": sender}, "message": {"mid": "m", "text": "hi"}});
    let ask = json!({"object": "page", "entry": [{"id": "1", "messaging": [message("U1"), message("U1")]}]});
    chat.say("/webhook", &ask, Some(&app));
    assert!(holds(&chat.api.last(), &app, chat.now()));
    let forged = Request::post("/webhook", &ask)
        .header("X-Hub-Signature-256", &format!("sha256={}", "0".repeat(64)));
    assert_eq!(chat.post(forged).code(), "signature-wrong");
    let mixed = json!({"entry": [{"messaging": [message("U1"), message("U2")]}]});
    let mixed = signed(Request::post("/webhook", &mixed), &app, "", chat.now());
    assert_eq!(chat.post(mixed).code(), "ambiguous-value");
    let question = chat
        .gateway
        .browser()
        .get("/webhook?hub.mode=subscribe&hub.challenge=7");
    assert_eq!(question.status, 202, "the bot answers");

    let send = "/v21.0/me/messages?access_token=secret";
    let plain = json!({"recipient": {"id": "U1"}, "message": {"text": "Hello"}});
    chat.say(send, &plain, None);
    assert_eq!(chat.client.last().json(), plain);
    let balance = json!({
        "recipient": {"id": "U1"}, "messaging_type": "RESPONSE",
        "message": {"text": CANARY}, "authentication_required": true,
    });
    let challenge = chat.withheld(send, &balance, None);
    assert_eq!(challenge.target, send, "the platform's own token goes on");
    let challenge = challenge.json();
    assert_eq!(challenge["recipient"]["id"], "U1");
    let button = &challenge["message"]["attachment"]["payload"]["buttons"][0];
    assert_eq!(button["type"], "account_link");
    // The platform opens the button's URL with its own way back.
    let back =
        "https://www.facebook.com/messenger_platform/account_linking/?account_linking_token=T";
    let encoded = percent_encoding::utf8_percent_encode(back, percent_encoding::NON_ALPHANUMERIC);
    let url = button["url"].as_str().unwrap();
    let mut browser = chat.gateway.browser();
    let door = format!("{url}?account_linking_token=T&redirect_uri={encoded}");
    let page = opens(&mut browser, &door);
    let there = opens(&mut browser, &chat.bound(&page));
    let code = there.strip_prefix(&format!("{back}&authorization_code="));
    let code = code.unwrap_or_else(|| panic!("{there}"));
    // The bot is told with the event that says whose login it was.
    chat.client.clear();
    let linking = |sender: &str, linking: Value| {
        let event = json!({"sender": {"id": sender}, "recipient": {"id": "1"}, "timestamp": 1, "account_linking": linking});
        json!({"object": "page", "entry": [{"id": "1", "messaging": [event]}]})
    };
    let linked = linking(
        "U1",
        json!({"status": "linked", "authorization_code": code}),
    );
    chat.say("/webhook", &linked, Some(&app));
    assert_eq!(chat.api.last().json(), linked);
    assert_eq!(chat.api.last().header("x-customer-id"), Some("alice"));
    let seen = eventually("it is released", || chat.client.seen().pop());
    assert_eq!(seen.target, send);
    assert_eq!(seen.json()["message"]["text"], CANARY);
    assert!(seen.json()["authentication_required"].is_null());
    chat.say("/webhook", &ask, Some(&app));
    assert_eq!(chat.api.last().header("x-customer-id"), Some("alice"));
    // A customer who unlinks the account is logged out.
    let unlinked = linking("U1", json!({"status": "unlinked"}));
    chat.say("/webhook", &unlinked, Some(&app));
    assert_eq!(chat.api.last().header("x-customer-id"), None);
    chat.withheld(send, &balance, None);
}

#[test]
fn line_linking() {
    let chat = start("examples/line-linking.toml", ["bot", "platform"]);
    let line = hash(
        "x-line-signature",
        "",
        Digest::Sha256,
        Encoding::Base64,
        PLATFORM_KEY,
    );
    let ask = json!({
        "destination": "D",
        "events": [{"type": "message", "source": {"type": "user", "userId": "U1"}, "message": {"type": "text", "text": "hi"}}],
    });
    chat.say("/callback", &ask, Some(&line));
    assert!(holds(&chat.api.last(), &line, chat.now()));
    let forged = Request::post("/callback", &ask).header("X-Line-Signature", "AAAA");
    assert_eq!(chat.post(forged).code(), "signature-wrong");

    let push = "/v2/bot/message/push";
    let text = |text: &str| json!({"type": "text", "text": text});
    let plain = json!({"to": "U1", "messages": [text("Hello")]});
    let request = Request::post(push, &plain).header("Authorization", "Bearer of-the-bot");
    assert_eq!(chat.post(request).status, 200);
    assert_eq!(chat.client.last().json(), plain);
    assert_eq!(
        chat.client.last().header("authorization"),
        Some("Bearer of-the-bot")
    );

    let mut private = text(CANARY);
    private["authentication_required"] = true.into();
    let balance = json!({"to": "U1", "messages": [text("Here it is:"), private]});
    let challenge = chat.withheld(push, &balance, None).json();
    assert_eq!(challenge["to"], "U1");
    let action = &challenge["messages"][0]["template"]["actions"][0];
    chat.client.clear();
    let page = action["uri"].as_str().unwrap();
    let there = opens(&mut chat.gateway.browser(), &chat.bound(page));
    let asked = chat.client.last();
    assert_eq!(asked.target, "/v2/bot/user/U1/linkToken");
    let bearer = format!("Bearer {PLATFORM_KEY}");
    assert_eq!(asked.header("authorization"), Some(&*bearer));
    let nonce = there
        .strip_prefix("https://access.line.me/dialog/bot/accountLink?linkToken=token-of-U1&nonce=");
    let nonce = nonce.unwrap_or_else(|| panic!("{there}"));
    // What the platform takes for a nonce.
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    assert!((10..=255).contains(&nonce.len()) && nonce.bytes().all(plain));
    chat.client.clear();
    let linked = json!({
        "destination": "D",
        "events": [{
            "type": "accountLink", "source": {"type": "user", "userId": "U1"}, "replyToken": "r",
            "link": {"result": "ok", "nonce": nonce},
        }],
    });
    chat.say("/callback", &linked, Some(&line));
    assert_eq!(chat.api.last().json(), linked);
    assert_eq!(chat.api.last().header("x-customer-id"), Some("alice"));
    let seen = eventually("it is released", || chat.client.seen().pop());
    let open = json!({"to": "U1", "messages": [text("Here it is:"), text(CANARY)]});
    assert_eq!(seen.json(), open);

    // A reply does not say whom it is for.
    let mut private = text(CANARY);
    private["authentication_required"] = true.into();
    let reply = json!({"replyToken": "r", "messages": [private]});
    let refused = chat.post(Request::post("/v2/bot/message/reply", &reply));
    assert_eq!(refused.code(), "challenge-impossible");
    let reply = json!({"replyToken": "r", "messages": [text("open")]});
    chat.say("/v2/bot/message/reply", &reply, None);
    assert_eq!(chat.client.last().json(), reply);
}
