//! Requests that are longer than what pingora keeps of them: read, judged and signed
//! as a whole, whichever protocol they come and go by.

use std::sync::atomic::{AtomicUsize, Ordering};

use chatgate::secret::Secret;
use serde_json::{Value, json};

use super::{channel, hook, login_url, protected, signatures};
use crate::setup::CANARY;
use crate::support::{Answer, Gateway, Origin, Reply, Request, Seen};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

const TABLES: &str = r#"
[channel.web.signature.hub]
kind = "hmac"
header = "X-Hub-Signature-256"
prefix = "sha256="
secret = "0123456789abcdef0123456789abcdef"
[[channel.web.route]]
kind = "message"
path = "/long"
interaction = { json = "$.customer_id" }
max_body = "1MiB"
"#;

/// Just below what is read of a webhook unless configured.
const LONG: usize = (1 << 20) - 200;

fn taken(_: &Seen) -> Reply {
    Reply::new(200, "taken")
}

fn long(customer: &str) -> Value {
    json!({"customer_id": customer, "text": "x".repeat(LONG)})
}

/// Sends a request by HTTP/1 and by HTTP/2.
fn both(gateway: &Gateway, request: &Request) -> [Answer; 2] {
    let length = request.body.len().to_string();
    let request = request.clone().header("Content-Length", &length);
    [
        gateway.wire().exchange(&request),
        gateway.h2().exchange(&request),
    ]
}

fn signed(request: Request) -> Request {
    let mac = signatures::raw(Secret::new(SECRET), &request.body);
    request.header("X-Hub-Signature-256", &format!("sha256={mac}"))
}

#[test]
fn a_long_webhook_is_judged_and_signed_anew() {
    for client in [
        Origin::start(taken),
        Origin::start_h2(taken),
        Origin::start_h2_tls(taken),
    ] {
        let api = Origin::start(|_| Reply::new(202, ""));
        let legs = "verify = \"hub\"\nsign = \"hub\"";
        let gateway = Gateway::start(&channel(&api, &client, "", TABLES, legs));

        let plain = signed(hook(&long("c")).header("Expect", "100-continue"));
        for answer in both(&gateway, &plain) {
            assert_eq!((answer.status, &*answer.text()), (200, "taken"));
            assert!(client.last().body == plain.body);
        }
        let forged = hook(&long("c")).header("X-Hub-Signature-256", "sha256=00");
        for answer in both(&gateway, &forged) {
            assert_eq!(answer.status, 401);
        }

        let text = "x".repeat(LONG - CANARY.len());
        let flagged = signed(hook(&protected("c", &text)));
        let mut url = String::new();
        for answer in both(&gateway, &flagged) {
            assert_eq!(answer.status, 200);
            let seen = client.last();
            url = login_url(&seen);
            let mac = signatures::raw(Secret::new(SECRET), &seen.body);
            let expected = format!("sha256={mac}");
            assert_eq!(seen.header("x-hub-signature-256"), Some(&*expected));
        }
        assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
        for answer in both(&gateway, &flagged) {
            assert_eq!(answer.status, 200);
            let seen = client.last();
            assert!(seen.contains(CANARY) && seen.json()["protected"].is_null());
            let length = seen.header("content-length").map(str::to_owned);
            assert_eq!(length, Some(seen.body.len().to_string()));
        }
        assert_eq!(client.count(), 6);
    }
}

#[test]
fn a_long_message_is_edited_on_every_way() {
    for api in [Origin::start(taken), Origin::start_h2(taken)] {
        let client = Origin::start(taken);
        let gateway = Gateway::start(&channel(&api, &client, "", TABLES, ""));
        let mut forged = long("c");
        forged["customer"] = "eve".into();
        for length in [10, 64 << 10, (64 << 10) + 1, 200 << 10, LONG - 100] {
            forged["text"] = "x".repeat(length).into();
            for answer in both(&gateway, &Request::post("/long", &forged)) {
                assert_eq!((answer.status, &*answer.text()), (200, "taken"));
                let seen = api.last().json();
                assert_eq!(seen["text"].as_str().map(str::len), Some(length));
                assert!(seen["customer"].is_null());
            }
        }
        let usual = Request::post("/messages", &forged);
        for answer in both(&gateway, &usual) {
            assert_eq!(answer.code(), "body-too-large");
        }
    }
}

#[test]
fn beyond_the_limit_or_of_unknown_length_it_is_refused() {
    let (api, client) = (Origin::start(taken), Origin::start(taken));
    let gateway = Gateway::start(&channel(&api, &client, "", TABLES, ""));
    let longer = protected("c", &"x".repeat(1 << 20));
    for answer in both(&gateway, &hook(&longer)) {
        assert_eq!(answer.code(), "body-too-large");
    }
    // A trailer makes it a body in chunks.
    let chunked = |length| {
        let message = json!({"customer_id": "c", "text": "x".repeat(length)});
        let request = hook(&message).trailer("X-End", "1");
        gateway.wire().exchange(&request)
    };
    assert_eq!(chunked(100 << 10).code(), "body-too-large");
    let nameless = hook(&long("c"));
    assert_eq!(gateway.h2().exchange(&nameless).code(), "body-too-large");
    assert_eq!(client.count(), 0);
    assert_eq!(chunked(60 << 10).status, 200);
    assert!(client.last().body.len() > 60 << 10);
}

#[test]
fn a_long_message_is_sent_again_where_the_backend_hangs_up() {
    let calls = AtomicUsize::new(0);
    let api = Origin::start(move |seen| match calls.fetch_add(1, Ordering::Relaxed) {
        1 => Reply::raw(""),
        _ => taken(seen),
    });
    let client = Origin::start(taken);
    let gateway = Gateway::start(&channel(&api, &client, "", TABLES, ""));
    let mut wire = gateway.wire();
    for _ in 0..2 {
        let mut request = Request::post("/long", &long("c"));
        request.method = "PUT".into();
        let answer = wire.exchange(&request);
        assert_eq!((answer.status, &*answer.text()), (200, "taken"));
        assert!(api.last().body == request.body);
    }
    assert_eq!(api.count(), 3);
}
