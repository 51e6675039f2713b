//! Account linking: the platform that the chat is on says whose login it was.
//!
//! | module | what |
//! |---|---|
//! | `fetched` | by a URL of the platform's with a token fetched for one customer |
//! | `back` | by the way back that the platform names when it opens the login URL |
//! | `together` | with our own login page, with the company's records |

mod back;
mod fetched;
mod together;

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::setup::CANARY;
use crate::support::browser::path_of;
use crate::support::{
    Answer, Browser, Gateway, Origin, PLATFORM_KEY, Reply, Request, Seen, eventually, login,
};
use crate::webhooks::signatures::{hash, signed};

/// A platform, the bot on it, and the gateway between them.
pub struct Chat {
    pub gateway: Gateway,
    pub bot: Origin,
    pub platform: Origin,
}

impl Chat {
    /// `linking` is what stands in `[channel.web.linking]`, `login` where customers log in.
    pub fn start(
        linking: impl FnOnce(&Origin) -> String,
        login: &str,
        platform: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::among(linking, login, "", platform)
    }

    /// The same with `directories`, tables that both channels refer to.
    pub fn among(
        linking: impl FnOnce(&Origin) -> String,
        login: &str,
        directories: &str,
        platform: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let bot = Origin::start(|_| Reply::new(202, ""));
        let platform = Origin::start(platform);
        let linking = linking(&platform);
        let mut tables = bot.upstream("bot") + &platform.upstream("platform");
        for name in ["web", "two"] {
            tables += &channel(name, &linking, login);
        }
        tables += directories;
        Self {
            gateway: Gateway::start(&tables),
            bot,
            platform,
        }
    }

    /// The platform sends an event about a customer, signed.
    pub fn hear(&self, customer: &str, event: Value) -> Answer {
        self.hear_on("web", customer, event)
    }

    /// The same on another channel.
    pub fn hear_on(&self, channel: &str, customer: &str, event: Value) -> Answer {
        let body = events(customer, vec![event]);
        self.post_signed(Request::post(&format!("/{channel}/events"), &body))
    }

    pub fn post_signed(&self, request: Request) -> Answer {
        self.post(self.signed(request))
    }

    /// A request as the platform signs it.
    pub fn signed(&self, request: Request) -> Request {
        let signature = hash(
            "x-signature",
            "",
            chatgate::channel::signature::Digest::Sha256,
            chatgate::identity::hmac::Encoding::Base64,
            PLATFORM_KEY,
        );
        let now = self.gateway.clock.now();
        signed(request, &signature, "", now)
    }

    pub fn post(&self, request: Request) -> Answer {
        self.gateway.browser().send(request)
    }

    /// The bot sends something private; what reaches the platform.
    pub fn private(&self, channel: &str, customer: &str) -> Value {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = format!("/{channel}/push");
        let before = self.platform.seen_at(&path).len();
        let message = json!({"to": customer, "text": CANARY, "private": true, "id": id});
        assert_eq!(self.post(Request::post(&path, &message)).status, 200);
        // What was withheld before may come at the same time.
        let sent = self.platform.seen_at(&path).split_off(before);
        let mut sent = sent.iter().map(Seen::json);
        let itself = |sent: &Value| sent["id"] == id || sent["login"].is_string();
        sent.find(itself).expect("it, or a challenge in its place")
    }

    /// The login URL in place of something private.
    pub fn challenged(&self, channel: &str, customer: &str) -> String {
        let sent = self.private(channel, customer);
        assert!(sent["text"].is_null(), "{sent}");
        sent["login"].as_str().unwrap().to_owned()
    }

    /// Whether the customer of this chat counts as logged in.
    pub fn linked(&self, customer: &str) -> bool {
        self.private("web", customer)["text"] == CANARY
    }

    /// The customer logs in on the operator's page; where the browser goes with it.
    pub fn proven(&self, page: &str) -> String {
        let told = self.gateway.site.success(page, "alice");
        let site = &self.gateway.site;
        let answer = site.post(&site.callback(page), &told);
        assert_eq!(answer.json()["result"], "login-unbound");
        let place = answer.json()["continue"].as_str().unwrap().to_owned();
        assert!(place.contains("/.chatgate/bind/"), "{place}");
        place
    }

    /// The platform says that the customer linked: the bot hears who it is, and what was
    /// withheld is released.
    pub fn links(&self, customer: &str, ticket: &str) {
        self.platform.clear();
        assert_eq!(self.hear(customer, link("ok", ticket)).status, 202);
        assert_eq!(self.bot.last().header("x-customer-id"), Some("alice"));
        let released = eventually("what was withheld is released", || {
            self.platform.seen().pop()
        });
        let released = released.json();
        assert_eq!(
            (&released["to"], &released["text"]),
            (&json!(customer), &json!(CANARY))
        );
    }

    /// How often a login ended like this.
    pub fn counted(&self, reason: &str) -> f64 {
        let labels = [("reason", reason)];
        self.gateway
            .metrics()
            .sum("chatgate_login_returns", &labels)
    }
}

/// A request of the platform's with events about one customer.
pub fn events(customer: &str, mut events: Vec<Value>) -> Value {
    for event in &mut events {
        event["from"] = customer.into();
    }
    json!({"destination": "D", "events": events})
}

/// A link that came about, or did not.
pub fn link(result: &str, nonce: &str) -> Value {
    json!({"type": "link", "link": {"result": result, "nonce": nonce}})
}

/// Where a browser is led.
pub fn lands_at(answer: &Answer) -> String {
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer.header("location").unwrap().to_owned()
}

/// Where a browser is led that opens this.
pub fn opens(browser: &mut Browser, place: &str) -> String {
    lands_at(&browser.get(path_of(place)))
}

fn channel(name: &str, linking: &str, login: &str) -> String {
    let login = match login {
        "" => login::LOGIN.to_owned(),
        other => other.replace("web", name),
    };
    let (head, tables) = login.split_once("\n[").unwrap_or((&login, ""));
    let tables = match tables {
        "" => String::new(),
        tables => format!("[{tables}"),
    };
    format!(
        r#"
[channel.{name}]
upstream = "bot"
authentication_token_ttl = "10m"
authentication_timeout = "30m"
interaction_timeout = "2h"
login_binding = "linked"
resume = "release"
{head}
[channel.{name}.linking]
confirm = {{ json = "$.events[*].link.nonce" }}
refused = {{ json = "$.events[*].link.result", equals = "failed" }}
unlinked = {{ json = "$.events[*].link.result", equals = "gone" }}
{linking}
[channel.{name}.signature.platform]
kind = "hmac"
header = "X-Signature"
encoding = "base64"
digest = "sha256"
secret = "{PLATFORM_KEY}"
[[channel.{name}.flag]]
name = "private"
json = "$.private"
strip = true
[channel.{name}.challenge]
json = '{{ "to": "{{{{ interaction }}}}", "login": "{{{{ login_url }}}}" }}'
[channel.{name}.inject]
headers = {{ "X-Customer-Id" = "subject", "X-Segment" = "claims.segment" }}
[[channel.{name}.route]]
kind = "message"
method = "POST"
path = "/{name}/events"
interaction = {{ json = "$.events[*].from" }}
verify = "platform"
[[channel.{name}.route]]
kind = "webhook"
method = "POST"
path = "/{name}/push"
upstream = "platform"
interaction = {{ json = "$.to" }}
{tables}
"#
    )
}
