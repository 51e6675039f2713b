//! The channel that most tests use, and what they read out of its answers.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::{Answer, Browser, Gateway, Origin, Reply, Request, Seen, login};

/// Marks whatever must not reach an anonymous customer.
pub const CANARY: &str = "CANARY-7f3a";

/// A channel `web` in front of `origin`. `settings` go into the head of its table,
/// `tables` behind it.
///
/// Interactions are named by the path: `/chat/{id}/…` carries messages,
/// `/start/{id}` opens a chat with a JWT, `/end/{id}` ends it, `/deny` is refused,
/// `/plain/…` passes. An answer is flagged by status 401, by the header
/// `X-Auth-Required`, or by a member `authentication_required`.
pub fn channel(origin: &Origin, settings: &str, tables: &str) -> String {
    channel_to(&origin.upstream("bot"), settings, tables)
}

/// The same in front of whatever `[upstream.bot]` this is.
pub fn channel_to(upstream: &str, settings: &str, tables: &str) -> String {
    let login = login::LOGIN;
    format!(
        r#"
{upstream}
[channel.web]
upstream = "bot"
authentication_token_ttl = "10m"
authentication_timeout = "30m"
interaction_timeout = "2h"
{login}
{settings}
[[channel.web.flag]]
name = "member"
json = "$..authentication_required"
equals = true
strip = true
[[channel.web.flag]]
name = "header"
header = {{ name = "X-Auth-Required", values = ["yes"] }}
[[channel.web.flag]]
name = "status"
status = [401]
[channel.web.challenge]
headers = {{ "X-Challenged" = "{{{{ level }}}}" }}
json = '''
{{
  "challenge": "{{{{ login_url }}}}",
  "continue": "{{{{ continue_url }}}}",
  "interaction": "{{{{ interaction }}}}"
}}
'''
[channel.web.inject]
headers = {{ "X-Customer-Id" = "subject", "X-Customer-Level" = "level" }}
members = {{ "metadata.customer" = "subject" }}
[[channel.web.route]]
kind = "message"
path = "/chat/{{id}}/{{*rest}}"
interaction = {{ path = "id" }}
[[channel.web.route]]
kind = "end"
path = "/end/{{id}}"
interaction = {{ path = "id" }}
[[channel.web.route]]
kind = "deny"
path = "/deny"
[[channel.web.route]]
kind = "pass"
path = "/plain/{{*rest}}"
{tables}
"#
    )
}

/// The owner that most tests have: a cookie that clients over cleartext accept, too.
pub const OWNER: &str = "[channel.web.owner]\ncookie = \"own-insecure\"\n";

/// An origin that answers by the last part of the path: `statement` is flagged and
/// carries the canary, everything else is not.
pub fn bot() -> Origin {
    Origin::start(answer)
}

/// What [`bot`] answers.
pub fn answer(seen: &Seen) -> Reply {
    let path = seen.target.split('?').next().unwrap_or_default();
    match path.rsplit('/').next().unwrap_or_default() {
        "statement" => Reply::json(&json!({
            "text": format!("statement {CANARY}"),
            "authentication_required": true,
        })),
        _ => Reply::json(&json!({"text": "hello"})),
    }
}

/// A gateway in front of [`bot`], with [`OWNER`] and a replay after the login.
pub fn usual() -> (Gateway, Origin) {
    let origin = bot();
    let gateway = Gateway::start(&channel(&origin, "resume = \"replay\"", OWNER));
    (gateway, origin)
}

/// Asks for the statement of a chat.
pub fn statement(browser: &mut Browser, chat: &str) -> Answer {
    browser.get(&format!("/chat/{chat}/statement"))
}

/// The login URL of a challenge that gives nothing away.
///
/// # Panics
/// When it is not one.
pub fn login_url(challenge: &Answer) -> String {
    field(challenge, "challenge")
}

/// The `continue` URL of a challenge.
pub fn continue_url(challenge: &Answer) -> String {
    field(challenge, "continue")
}

/// Whether an answer is a challenge.
pub fn is_challenge(answer: &Answer) -> bool {
    let json: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    json["challenge"].is_string()
}

/// A browser that has logged in as `alice` in `chat`.
pub fn logged_in(gateway: &Gateway, chat: &str) -> Browser {
    let mut browser = gateway.browser();
    let url = login_url(&statement(&mut browser, chat));
    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
    assert!(statement(&mut browser, chat).contains(CANARY));
    browser
}

/// A login URL of a fresh chat, with the browser that it was made for.
pub fn challenged(gateway: &Gateway, chat: &str) -> (Browser, String) {
    let mut browser = gateway.browser();
    let url = login_url(&statement(&mut browser, chat));
    (browser, url)
}

/// The name of a chat that nobody has begun: whoever comes first owns it.
pub fn fresh() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("f{:04}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A request of another method to a chat.
pub fn ask(method: &str, chat: &str) -> Request {
    Request::new(method, &format!("/chat/{chat}/ask"))
}

fn field(challenge: &Answer, name: &str) -> String {
    assert!(!challenge.contains(CANARY), "{}", challenge.text());
    match challenge.json()[name].as_str() {
        Some(url) => url.to_owned(),
        None => panic!("not a challenge: {} {}", challenge.status, challenge.text()),
    }
}
