//! `explain` says of a webhook what the gateway does with it.

use std::path::Path;
use std::sync::Arc;

use chatgate::decision::ForAnswer;
use chatgate::gateway::explain::{self, Explanation, Supposed};
use chatgate::identity::Caches;
use chatgate::outbound::Outbound;
use serde_json::json;

use super::signatures::{signed, token};
use super::{Chat, channel, hook, protected};
use crate::setup::CANARY;
use crate::support::{PLATFORM_KEY, Request};

const TABLES: &str = r#"
[channel.web.link]
prefix = "https://bot.example/authenticate"
[channel.web.signature.token]
kind = "jwt"
secret = "0123456789abcdef0123456789abcdef"
claims = { iss = "connection-1" }
"#;
const SIGNED: &str = "verify = \"token\"\nsign = \"token\"\n";

#[test]
fn explain_says_what_the_gateway_does_with_a_webhook() {
    let chat = Chat::start("", TABLES, SIGNED);
    chat.log_in(&{
        let request = hook(&protected("logged-in", "one"));
        chat.post(signed(
            request,
            &token(PLATFORM_KEY),
            "",
            chat.gateway.clock.now(),
        ));
        super::login_url(&chat.client.last())
    });
    let bodies = [
        json!({"customer_id": "ID", "text": ["open"]}).to_string(),
        protected("ID", "x").to_string(),
        protected("ID", "x").to_string() + ",",
        json!({"protected": true, "text": CANARY}).to_string(),
        json!({"customer_id": ["a", "b"], "protected": true, "text": CANARY}).to_string(),
        json!({"customer_id": "ID", "url": "https://bot.example/authenticate?t"}).to_string(),
        json!({"customer_id": "ID", "text": CANARY, "protected": false}).to_string(),
        "protected".into(),
        "x".repeat(70 << 10),
    ];
    for body in &bodies {
        for id in ["logged-in", "anonymous"] {
            for header in [
                None,
                Some(("X-Protected", "1")),
                Some(("Content-Encoding", "br")),
            ] {
                for good in [true, false] {
                    let mut request = hook(&json!({})).body(body.replace("ID", id));
                    if let Some((name, value)) = header {
                        request = request.header(name, value);
                    }
                    let key = if good {
                        PLATFORM_KEY
                    } else {
                        "another secret of 32 characters."
                    };
                    let request = signed(request, &token(key), "", chat.gateway.clock.now());
                    agree(&chat, &request, id == "logged-in");
                }
            }
        }
    }
}

fn agree(chat: &Chat, request: &Request, authenticated: bool) {
    let said = explained(chat, request, authenticated);
    let before = chat.client.count();
    let got = chat.post(request.clone());
    let reached = chat.client.count() > before;
    assert_eq!(said.forwarded, reached, "{said}\n{}", got.text());
    if !reached {
        let reason = said.request.expect("a refusal has a reason");
        assert_eq!(got.code(), reason.code(), "{said}");
        return;
    }
    let seen = chat.client.last();
    let withheld = matches!(said.answer, Some(ForAnswer::Challenge { .. }));
    assert_eq!(withheld, seen.header("x-challenge").is_some(), "{said}");
    if withheld {
        assert!(!seen.contains(CANARY), "{said}");
        return;
    }
    let ours = said.to_string().contains("is replaced by ours");
    let linked = request.body.windows(11).any(|part| part == b"bot.example");
    assert_eq!(ours, linked && !seen.contains("bot.example"), "{said}");
}

fn explained(chat: &Chat, request: &Request, authenticated: bool) -> Explanation {
    let head =
        "[server]\npublic_url = \"http://127.0.0.1:1\"\n[[listener]]\naddress = \"127.0.0.1:1\"\n";
    let tables = channel(&chat.api, &chat.client, "", TABLES, SIGNED);
    let file = Path::new("explained.toml");
    let (config, _) = chatgate::config::parse(format!("{head}{tables}"), file).unwrap();
    let owned = |(name, value): &(String, String)| (name.clone(), value.clone().into_bytes());
    let mut headers: Vec<_> = request.headers.iter().map(owned).collect();
    headers.push(("Host".into(), b"x".to_vec()));
    let request = explain::Request {
        method: request.method.clone(),
        target: request.target.clone(),
        headers,
        body: request.body.clone(),
    };
    let supposed = Supposed {
        subject: authenticated.then(|| "alice".to_owned()),
        ..Supposed::default()
    };
    let caches = Caches::new(Arc::new(Outbound::start(None).unwrap()));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let now = chat.gateway.clock.now();
    let said = explain::explain(&config, &caches, &request, None, &supposed, now);
    runtime.block_on(said).unwrap()
}
