//! The way from the backend to the client: webhooks, judged like answers.

mod examples;
mod explained;
mod links;
mod long;
mod release;
pub mod signatures;

use serde_json::{Value, json};

use crate::setup::CANARY;
use crate::support::{Answer, Framing, Gateway, Origin, Reply, Request, Seen, login};

/// A messaging API that takes messages and answers by webhooks, and its client.
pub struct Chat {
    pub gateway: Gateway,
    /// The messaging API.
    pub api: Origin,
    /// Its client.
    pub client: Origin,
}

impl Chat {
    /// `settings` go into the head of the channel's table, `tables` behind it, `hook`
    /// into the route of the webhooks.
    fn start(settings: &str, tables: &str, hook: &str) -> Self {
        Self::with_client(settings, tables, hook, |_| Reply::new(200, "taken"))
    }

    fn with_client(
        settings: &str,
        tables: &str,
        hook: &str,
        client: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let api = Origin::start(|_| Reply::new(202, ""));
        let client = Origin::start(client);
        let gateway = Gateway::start(&channel(&api, &client, settings, tables, hook));
        Self {
            gateway,
            api,
            client,
        }
    }

    /// The backend sends a message to the client of a customer.
    fn send(&self, message: &Value) -> Answer {
        self.post(hook(message))
    }

    fn post(&self, request: Request) -> Answer {
        self.gateway.browser().send(request)
    }

    /// The login URL that the client got in place of a protected message.
    fn challenged(&self, message: &Value) -> String {
        let before = self.client.count();
        assert_eq!(self.send(message).status, 200);
        assert_eq!(self.client.count(), before + 1);
        login_url(&self.client.last())
    }

    fn log_in(&self, url: &str) {
        assert_eq!(self.gateway.site.log_in(url, "alice").status, 200);
    }
}

/// The configuration of a [`Chat`].
pub fn channel(api: &Origin, client: &Origin, settings: &str, tables: &str, hook: &str) -> String {
    let (api, client, login) = (api.upstream("api"), client.upstream("client"), login::LOGIN);
    format!(
        r#"
{api}
{client}
[channel.web]
upstream = "api"
authentication_token_ttl = "10m"
authentication_timeout = "30m"
interaction_timeout = "2h"
{login}
{settings}
[[channel.web.flag]]
name = "member"
json = "$.protected"
strip = true
[[channel.web.flag]]
name = "header"
header = {{ name = "X-Protected" }}
strip = true
[channel.web.challenge]
headers = {{ "X-Challenge" = "{{{{ level }}}}" }}
json = '''
{{
  "type": "link_button",
  "customer_id": "{{{{ interaction }}}}",
  "url": "{{{{ login_url }}}}"
}}
'''
[channel.web.inject]
headers = {{ "X-Customer-Id" = "subject" }}
members = {{ "customer" = "subject" }}
[[channel.web.route]]
kind = "message"
path = "/messages"
interaction = {{ json = "$.customer_id" }}
[[channel.web.route]]
kind = "end"
path = "/end/{{id}}"
interaction = {{ path = "id" }}
[[channel.web.route]]
kind = "webhook"
path = "/hook/{{*rest}}"
upstream = "client"
interaction = {{ json = "$.customer_id" }}
{hook}
{tables}
"#
    )
}

/// A request of the backend's.
pub fn hook(message: &Value) -> Request {
    Request::post("/hook/c", message)
}

/// A message that only an authenticated customer may see.
pub fn protected(customer: &str, text: &str) -> Value {
    json!({
        "type": "text",
        "customer_id": customer,
        "text": [format!("{text} {CANARY}")],
        "protected": true,
    })
}

/// The login URL in a challenge that gives nothing away.
pub fn login_url(challenge: &Seen) -> String {
    assert!(!challenge.contains(CANARY), "withheld content leaked");
    let json = challenge.json();
    assert_eq!(json["type"], "link_button", "not a challenge");
    json["url"].as_str().unwrap().to_owned()
}

/// The first word of each text that reached the client.
pub fn texts(client: &Origin) -> Vec<String> {
    let seen = client.seen().into_iter();
    seen.filter_map(|seen| {
        let text = seen.json()["text"][0].as_str()?.to_owned();
        Some(text.split(' ').next()?.to_owned())
    })
    .collect()
}

#[test]
fn what_is_not_flagged_passes_as_it_came() {
    let chat = Chat::start("", "", "");
    let body = r#" {"type":"text", "customer_id":"c", "n":1.50, "customer":"x"}"#;
    let request = Request::new("POST", "/hook/c?a=%20b")
        .header("Content-Type", "application/json; charset=utf-8")
        .header("X-Customer-Id", "of the backend's own")
        .header("X-Other", "1")
        .header("Connection", "x-hop")
        .header("X-Hop", "1")
        .body(body);
    let answer = chat.post(request);
    assert_eq!((answer.status, &*answer.text()), (200, "taken"));
    let seen = chat.client.last();
    assert_eq!(seen.body, body.as_bytes());
    assert_eq!(seen.target, "/hook/c?a=%20b");
    assert_eq!(seen.header("x-customer-id"), Some("of the backend's own"));
    assert_eq!(seen.header("x-other"), Some("1"));
    assert_eq!(seen.header("x-hop"), None);
    assert_eq!(
        seen.header("x-forwarded-for"),
        None,
        "the backend's address"
    );
    assert!(answer.header("set-cookie").is_none());
    assert_eq!(chat.api.count(), 0);
}

#[test]
fn a_flagged_message_never_leaks() {
    let chat = Chat::start("", "", "");
    let flagged = [
        hook(&protected("c", "one")),
        hook(&json!({"customer_id": "c", "text": [CANARY]})).header("X-Protected", "yes"),
        hook(&protected("c", "one")).header("Expect", "100-continue"),
        Request::post(&format!("/hook/c?q={}", 1), &protected("c", "one")),
    ];
    for request in flagged {
        let request = request
            .header("X-Balance", CANARY)
            .header("Cookie", &format!("a={CANARY}"))
            .header("ETag", CANARY)
            .header("Authorization", "Bearer backend")
            .header("User-Agent", "api/1");
        let answer = chat.post(request);
        assert_eq!((answer.status, &*answer.text()), (200, "taken"));
        let seen = chat.client.last();
        let url = login_url(&seen);
        assert!(chat.gateway.site.trusts(&url));
        assert_eq!(seen.json()["customer_id"], "c");
        assert_eq!(seen.header("x-challenge"), Some("verified"));
        assert_eq!(seen.header("content-type"), Some("application/json"));
        assert_eq!(seen.header("authorization"), Some("Bearer backend"));
        assert_eq!(seen.header("user-agent"), Some("api/1"));
        assert_eq!(seen.header("x-protected"), None);
        let length = seen.header("content-length").unwrap();
        assert_eq!(length, seen.body.len().to_string());
        assert_eq!(seen.all("content-type").count(), 1);
    }
    assert_eq!(chat.client.count(), 4);
}

#[test]
fn a_flagged_message_in_chunks_never_leaks() {
    let chat = Chat::start("", "", "");
    let body = protected("c", "one").to_string();
    let mut raw =
        b"POST /hook/c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for piece in body.as_bytes().chunks(7) {
        raw.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        raw.extend_from_slice(piece);
        raw.extend_from_slice(b"\r\n");
    }
    raw.extend_from_slice(format!("0\r\nX-Trailer: {CANARY}\r\n\r\n").as_bytes());
    let mut wire = chat.gateway.wire();
    wire.send(&raw);
    assert_eq!(wire.answer("POST").status, 200);
    let seen = chat.client.last();
    login_url(&seen);
    assert!(seen.header("transfer-encoding").is_none());
}

#[test]
fn an_authenticated_customer_gets_it_without_the_flag() {
    let chat = Chat::start("", "", "");
    let url = chat.challenged(&protected("c", "one"));
    chat.log_in(&url);
    assert_eq!(
        chat.client.count(),
        1,
        "nothing is released unless configured"
    );
    let request = hook(&protected("c", "two"))
        .header("X-Protected", "yes")
        .header("ETag", "\"1\"")
        .header("X-Other", "1");
    assert_eq!(chat.post(request).status, 200);
    let seen = chat.client.last();
    assert!(seen.contains(CANARY));
    assert!(seen.json()["protected"].is_null());
    assert_eq!(seen.header("x-protected"), None);
    assert_eq!(seen.header("etag"), None, "of another body");
    assert_eq!(seen.header("x-other"), Some("1"));
    // Somebody else's message is.
    chat.challenged(&protected("d", "one"));
    // Nor does it last: the webhooks of the backend keep no chat alive.
    chat.gateway
        .clock
        .advance(std::time::Duration::from_secs(7200));
    chat.challenged(&protected("c", "three"));
}

#[test]
fn what_cannot_be_challenged_is_refused() {
    let chat = Chat::start("", "", "");
    let long = "x".repeat(1 << 20);
    let nameless = json!({"text": [CANARY], "protected": true});
    for (request, code) in [
        (hook(&nameless), "challenge-impossible"),
        (
            Request::new("POST", "/hook/c").header("X-Protected", "yes"),
            "challenge-impossible",
        ),
        (
            hook(&protected("c", "one")).header("Content-Encoding", "gzip"),
            "answer-undecodable",
        ),
        (
            hook(&json!({})).body(format!("{{\"protected\":true,\"t\":\"{CANARY}\"")),
            "answer-malformed",
        ),
        (hook(&protected("c", &long)), "body-too-large"),
        (
            hook(&json!({"customer_id": ["a", "b"], "protected": true, "t": CANARY})),
            "ambiguous-value",
        ),
    ] {
        let answer = chat.post(request);
        assert!(answer.status >= 400, "{code}");
        assert_eq!(answer.code(), code);
        assert!(!answer.contains(CANARY));
    }
    assert_eq!(chat.client.count(), 0);
}

#[test]
fn what_cannot_be_read_goes_on_where_the_channel_says_so() {
    let inspect = "[channel.web.inspect]\nundecodable = \"release\"\nmalformed = \"release\"\noversize = \"release\"\n";
    let chat = Chat::start("", inspect, "");
    let long = protected("c", &"x".repeat(1 << 20)).to_string();
    for request in [
        hook(&json!({})).body("{\"protected\":true"),
        hook(&json!({"protected": true})).header("Content-Encoding", "x"),
        hook(&json!({})).body(long),
    ] {
        let body = request.body.clone();
        assert_eq!(chat.post(request).status, 200);
        assert_eq!(chat.client.last().body, body);
    }
}

#[test]
fn a_flag_is_taken_off_a_request_that_is_too_long_to_be_read() {
    let tables = r#"
[channel.web.inspect]
oversize = "release"
[[channel.web.route]]
kind = "webhook"
path = "/named/{id}"
upstream = "client"
interaction = { path = "id" }
"#;
    let chat = Chat::start("", tables, "");
    chat.log_in(&chat.challenged(&protected("c", "one")));
    let long = format!("\"{CANARY}{}\"", "x".repeat(2 << 20));
    let request = Request::post("/named/c", &json!({}))
        .header("X-Protected", "1")
        .body(long.clone());
    assert_eq!(chat.post(request.clone()).status, 200);
    let seen = chat.client.last();
    assert!(seen.header("x-challenge").is_none() && seen.body == long.as_bytes());
    assert_eq!(seen.header("x-protected"), None);
}

#[test]
fn an_owner_that_nobody_showed_cannot_log_in() {
    let owner = "[channel.web.owner]\ncookie = \"own-insecure\"\n";
    let chat = Chat::start("", owner, "");
    let answer = chat.send(&protected("c", "one"));
    assert_eq!(answer.code(), "challenge-impossible");
    let mut browser = chat.gateway.browser();
    let said = browser.post("/messages", &json!({"customer_id": "c"}));
    assert!(said.header("set-cookie").is_some());
    chat.log_in(&chat.challenged(&protected("c", "one")));
    let seen = chat.client.count();
    browser.post("/messages", &json!({"customer_id": "c"}));
    assert_eq!(chat.api.last().header("x-customer-id"), Some("alice"));
    let answer = chat.send(&protected("c", "two"));
    assert!(answer.header("set-cookie").is_none());
    assert!(chat.client.count() == seen + 1 && chat.client.last().contains(CANARY));
}

#[test]
fn the_answer_of_the_client_is_not_judged() {
    let chat = Chat::with_client("", "", "", |_| {
        Reply::json(&json!({"protected": true, "echo": "own"}))
            .status(409)
            .framing(Framing::Chunked)
    });
    let answer = chat.send(&json!({"customer_id": "c"}));
    assert_eq!(
        (answer.status, &answer.json()["echo"]),
        (409, &json!("own"))
    );
}

#[test]
fn an_element_of_a_message_in_a_stream_is_judged() {
    let tables = "[channel.web.items]\nat = \"$.activities\"\n";
    let chat = Chat::start("", tables, "");
    let flagged = json!({"activities": [{"text": CANARY, "protected": true}]});
    let plain = json!({"activities": [{"text": "hello", "protected": false}]});
    let send = |message: &Value, kind: &str| {
        let mark = if kind.ends_with("seq") { "\u{1e}" } else { "" };
        let mut request = hook(&json!({})).body(format!("{mark}{message}\n"));
        request
            .headers
            .retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
        chat.post(request.header("Content-Type", kind))
    };
    for kind in [
        "application/json",
        "application/x-ndjson",
        "application/json-seq",
    ] {
        chat.client.clear();
        send(&flagged, kind);
        let seen = chat.client.seen();
        assert!(seen.iter().all(|seen| !seen.contains(CANARY)), "{kind}");
        assert_eq!(send(&plain, kind).status, 200, "{kind}");
        assert!(chat.client.last().contains("hello"), "{kind}");
    }
}
