//! Headers: managed ones in disguise, in duplicate, nominated away; and headers
//! that other gateways believe.

use std::time::Duration;

use serde_json::json;

use crate::setup::{self, CANARY, OWNER, bot, channel, fresh, logged_in, login_url, usual};
use crate::support::{Browser, Gateway, Origin, Request, Seen};

/// Every byte but letters and digits that a header name may have (RFC 9110, 5.6.2).
const SEPARATORS: &str = "!#$%&'*+-.^_`|~";

/// Folded: what a backend that maps names to variables makes of it.
fn disguised(name: &str) -> bool {
    let folded: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    folded == "x-customer-id" || folded == "x-customer-level"
}

fn managed(seen: &Seen) -> Vec<(&str, &str)> {
    let pairs = seen.headers.iter().chain(&seen.trailers);
    pairs
        .filter(|(name, _)| disguised(name))
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}

fn aliases() -> Vec<String> {
    let mut names = Vec::new();
    for first in SEPARATORS.chars() {
        for second in ['-', '_', first] {
            names.push(format!("X{first}Customer{second}Id"));
            names.push(format!("x{second}cUSTOMER{first}lEVEL"));
        }
    }
    names
}

#[test]
fn no_alias_of_a_managed_header_arrives() {
    for origin in [bot(), Origin::start_h2(setup::answer)] {
        let gateway = Gateway::start(&channel(&origin, "", OWNER));
        let mut plain = gateway.wire();
        let mut h2 = gateway.h2();
        for target in ["/chat/c1/ask", "/plain/x", "/end/c2"] {
            for alias in aliases() {
                let body = json!({"text": "x"});
                let as_header = Request::post(target, &body).header(&alias, "spoofed");
                let as_trailer = Request::post(target, &body).trailer(&alias, "spoofed");
                for request in [as_header, as_trailer] {
                    let before = origin.count();
                    assert_eq!(plain.exchange(&request).status, 200, "{alias} {target}");
                    assert_eq!(h2.exchange(&request).status, 200, "{alias} {target}");
                    for seen in &origin.seen()[before..] {
                        assert_eq!(managed(seen), [], "{alias} {target}");
                        assert!(!seen.contains("spoofed"), "{alias} {target}");
                    }
                }
            }
        }
    }
}

#[test]
fn the_clients_copy_is_gone_wherever_we_inject_nothing() {
    let (gateway, origin) = usual();
    let mut browser = logged_in(&gateway, "c1");
    let spoof = |request: Request| {
        request
            .header("X-Customer-Id", "spoofed")
            .header("x_customer_level", "spoofed")
            .header("X-CUSTOMER-ID", "spoofed")
    };
    let check = |browser: &mut Browser, request: Request, expected: &[(&str, &str)]| {
        let (method, target) = (request.method.clone(), request.target.clone());
        let shown = format!("{method} {target}");
        origin.clear();
        browser.send(spoof(request));
        // The question that the login answered may still be on its way.
        for seen in origin.seen_at(&target) {
            assert!(!seen.contains("spoofed"), "{shown}");
            let values: Vec<_> = managed(&seen).into_iter().map(|(_, value)| value).collect();
            let expected: Vec<_> = expected.iter().map(|(_, value)| *value).collect();
            assert_eq!(values, expected, "{shown}");
        }
        assert!(origin.seen_at(&target).len() <= 1, "{shown}");
    };
    let verified = [("x-customer-id", "alice"), ("x-customer-level", "verified")];
    for method in ["GET", "POST", "PUT", "HEAD"] {
        check(&mut browser, setup::ask(method, "c1"), &verified);
        let mut stranger = gateway.browser();
        check(&mut stranger, setup::ask(method, "c1"), &[]);
        check(&mut stranger, setup::ask(method, "other"), &[]);
    }
    let mut anonymous = gateway.browser();
    check(&mut anonymous, Request::get("/plain/x"), &[]);
    check(&mut browser, Request::get("/plain/x"), &[]);
    let preflight = setup::ask("OPTIONS", "c1")
        .header("Origin", "http://x.example")
        .header("Access-Control-Request-Method", "POST");
    check(&mut anonymous, preflight, &[]);
    check(&mut anonymous, Request::get("/chat/c1/statement"), &[]);
    gateway.clock.advance(Duration::from_secs(30 * 60 + 1));
    check(&mut browser, setup::ask("GET", "c1"), &[]);
    let mut browser = logged_in(&gateway, "c3");
    check(&mut browser, setup::ask("GET", "c3"), &verified);
    check(&mut browser, Request::new("POST", "/end/c3"), &verified);
    check(&mut browser, setup::ask("GET", "c3"), &[]);
}

#[test]
fn connection_nominates_none_of_our_headers_away() {
    let (gateway, origin) = usual();
    let mut browser = logged_in(&gateway, "c1");
    for nomination in [
        "X-Customer-Id",
        "x-customer-id, x-customer-level",
        "close, X-CUSTOMER-ID",
        "keep-alive,x-customer-id,,",
        "x_customer_id",
        "host, cookie, content-length, x-customer-id",
    ] {
        let request = Request::post("/chat/c1/ask", &json!({"a": 1}))
            .header("Connection", nomination)
            .header("connection", "x-customer-level")
            .header("Keep-Alive", "timeout=5")
            .header("Proxy-Connection", "x-customer-id")
            .header("TE", "trailers");
        browser.send(request);
        let seen = origin.last();
        assert_eq!(
            seen.all("x-customer-id").collect::<Vec<_>>(),
            ["alice"],
            "{nomination}"
        );
        assert_eq!(
            seen.all("x-customer-level").collect::<Vec<_>>(),
            ["verified"]
        );
        assert_eq!(seen.json()["metadata"]["customer"], "alice", "{nomination}");
        for name in ["keep-alive", "proxy-connection", "te"] {
            assert_eq!(seen.header(name), None, "{nomination}");
        }
        let nominated = seen
            .all("connection")
            .any(|value| value.to_lowercase().contains("x-"));
        assert!(!nominated, "{nomination}");
    }
}

#[test]
fn a_header_that_decides_is_not_read_twice() {
    let origin = bot();
    let tables = r#"
[channel.web.owner]
selector = { header = "Authorization", scheme = "Bearer" }
[[channel.web.route]]
kind = "message"
path = "/by-query"
interaction = { query = "id" }
[[channel.web.route]]
kind = "message"
path = "/by-header"
interaction = { header = "X-Chat" }
[[channel.web.route]]
kind = "message"
path = "/by-body"
interaction = { json = "$.sender" }
"#;
    let gateway = Gateway::start(&channel(&origin, "", tables));
    let refused = |request: Request| {
        let answer = gateway.wire().exchange(&request);
        assert_eq!(answer.status, 400, "{request:?}: {}", answer.text());
    };
    let chat = || Request::get("/chat/c1/ask");
    refused(
        chat()
            .header("Authorization", "Bearer a")
            .header("authorization", "Bearer b"),
    );
    refused(chat().header("Host", "a").header("Host", "b"));
    refused(chat().header("Host", "a").header("Host", "a"));
    let post = Request::post("/by-body", &json!({"sender": "c1"}));
    refused(post.clone().header("Content-Type", "text/plain"));
    refused(Request::get("/by-query?id=a&id=b"));
    refused(Request::get("/by-query?id=a&%69d=b"));
    refused(
        Request::get("/by-header")
            .header("X-Chat", "a")
            .header("x-chat", "b"),
    );
    refused(post.clone().body(r#"{"sender":"a","sender":"b"}"#));
    refused(post.body(r#"{"sender":"a","s\u0065nder":"b"}"#));
    assert_eq!(origin.count(), 0);
}

#[test]
fn an_owners_cookie_that_comes_twice_opens_nothing() {
    let (gateway, _origin) = usual();
    let alice = logged_in(&gateway, "c1");
    let (name, value) = alice.cookies.first_key_value().unwrap();
    for cookies in [
        format!("{name}=other; {name}={value}"),
        format!("{name}={value}; {name}=other"),
    ] {
        let request = Request::get("/chat/c1/statement").header("Cookie", &cookies);
        assert!(
            !gateway.wire().exchange(&request).contains(CANARY),
            "{cookies}"
        );
        assert!(
            !gateway.h2().exchange(&request).contains(CANARY),
            "{cookies}"
        );
    }
}

#[test]
fn forwarded_headers_change_no_verdict() {
    let origin = bot();
    let tables = format!(
        "{OWNER}[[channel.web.route]]\nkind = \"deny\"\nhost = \"admin.example\"\npath = \"/plain/{{*rest}}\"\n"
    );
    let gateway = Gateway::start(&channel(&origin, "", &tables));
    let forwarded = |request: Request, target: &str, host: &str| {
        let for_host = format!("for=127.0.0.1;host={host};proto=https");
        request
            .header("X-Forwarded-For", "127.0.0.1")
            .header("X-Forwarded-Host", host)
            .header("X-Forwarded-Proto", "https")
            .header("X-Forwarded-Uri", target)
            .header("X-Forwarded-Prefix", target)
            .header("X-Forwarded-User", "alice")
            .header("Forwarded", &for_host)
            .header("X-Real-IP", "127.0.0.1")
            .header("X-Original-URL", target)
            .header("X-Original-Host", host)
            .header("X-Rewrite-URL", target)
            .header("X-Host", host)
            .header("X-HTTP-Method-Override", "OPTIONS")
            .header("X-Method-Override", "HEAD")
    };
    let mut wire = gateway.wire();
    let mut verdict = |request: &Request| {
        let answer = wire.exchange(request);
        (
            answer.status,
            answer.code(),
            answer.header("x-challenged").map(str::to_owned),
        )
    };
    for request in [
        Request::get("/deny"),
        Request::get("/plain/x"),
        Request::get("/plain/x").header("Host", "admin.example"),
        Request::get("/chat/c1/statement"),
        Request::get("/nowhere"),
        Request::get("/a//b"),
    ] {
        let anew = || {
            let mut request = request.clone();
            request.target = request.target.replace("c1", &fresh());
            request
        };
        let expected = verdict(&anew());
        for target in ["/plain/x", "/deny", "/a//b", "\u{fe}garbage"] {
            for host in ["admin.example", "127.0.0.1", "\u{fe}garbage"] {
                let request = forwarded(anew(), target, host);
                assert_eq!(
                    verdict(&request),
                    expected,
                    "{} {target} {host}",
                    request.target
                );
            }
        }
    }
}

#[test]
fn no_alias_of_a_forwarding_header_arrives() {
    let (gateway, origin) = usual();
    let names = [
        "Forwarded",
        "X-Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Anything",
        "X-Real-IP",
        "Client-IP",
        "X-Client-IP",
        "True-Client-IP",
        "X-Cluster-Client-IP",
        "X-Original-URL",
        "X-Original-Anything",
        "X-Rewrite-Url",
        "X-HTTP-Method",
        "X-HTTP-Method-Override",
        "X-Method-Override",
    ];
    let mut wire = gateway.wire();
    let mut h2 = gateway.h2();
    for target in ["/chat/c1/ask", "/plain/x", "/end/c2"] {
        for name in names {
            for separator in ["-", "_", ".", "~"] {
                let first = name.replacen('-', separator, 1);
                for alias in [name.replace('-', separator), first] {
                    let request = Request::post(target, &json!({})).header(&alias, "spoofed");
                    let before = origin.count();
                    assert_eq!(wire.exchange(&request).status, 200, "{alias} {target}");
                    assert_eq!(h2.exchange(&request).status, 200, "{alias} {target}");
                    let seen = origin.seen();
                    assert_eq!(seen.len(), before + 2);
                    for seen in &seen[before..] {
                        assert!(!seen.contains("spoofed"), "{alias} {target}");
                    }
                }
            }
        }
    }
    let other = Request::get("/plain/x").header("X-Originals", "kept");
    wire.exchange(&other);
    assert_eq!(origin.last().header("x-originals"), Some("kept"));
}

#[test]
fn the_login_url_leads_back_to_the_configured_address_whatever_the_host_is() {
    let (gateway, _origin) = usual();
    let ours = format!("http://{}/", gateway.plain);
    for host in ["evil.example", "127.0.0.1", "evil.example:80"] {
        let request = Request::get(&format!("/chat/{}/statement", fresh()))
            .header("Host", host)
            .header("X-Forwarded-Host", "evil.example");
        let challenge = gateway.wire().exchange(&request);
        assert!(!challenge.contains("evil.example"), "{}", challenge.text());
        let url = login_url(&challenge);
        let callback = crate::support::browser::parameter(&url, "callback").unwrap();
        assert!(callback.starts_with(&ours), "{callback}");
        assert!(setup::continue_url(&challenge).starts_with(&ours));
    }
}

#[test]
fn no_header_switches_the_judgement_off() {
    let (gateway, origin) = usual();
    for (name, value) in [
        ("User-Agent", "kube-probe/1.30"),
        ("User-Agent", "ELB-HealthChecker/2.0"),
        ("User-Agent", "GoogleHC/1.0"),
        ("Accept", "text/event-stream"),
        ("Accept", "image/*"),
        ("Accept-Encoding", "gzip, br"),
        ("Range", "bytes=10-"),
        ("If-Range", "\"x\""),
        ("If-None-Match", "*"),
        ("Cache-Control", "only-if-cached"),
        ("Sec-Purpose", "prefetch"),
        ("X-Requested-With", "XMLHttpRequest"),
        ("X-Middleware-Subrequest", "middleware"),
        ("X-Auth-Required", "no"),
        ("Access-Control-Request-Method", "GET"),
        ("Max-Forwards", "0"),
    ] {
        for method in ["GET", "POST", "PUT", "OPTIONS"] {
            let target = format!("/chat/{}/statement", fresh());
            let request = Request::new(method, &target).header(name, value);
            let answer = gateway.wire().exchange(&request);
            assert!(!answer.contains(CANARY), "{method} {name}: {value}");
            let seen = origin.last();
            assert_eq!(seen.header("range"), None, "{method} {name}");
            let encodings: Vec<_> = seen.all("accept-encoding").collect();
            assert!(
                encodings.iter().all(|value| *value == "identity"),
                "{encodings:?}"
            );
        }
    }
    // Health and metrics are not where customers are.
    for target in [
        "/livez",
        "/readyz",
        "/metrics",
        "/.chatgate/livez",
        "/.chatgate/metrics",
    ] {
        let answer = gateway.browser().get(target);
        assert_eq!(answer.code(), "no-route", "{target}");
    }
    assert_eq!(Browser::new(gateway.admin).get("/livez").status, 200);
}

#[test]
fn a_preflight_of_a_message_brings_no_content() {
    let (gateway, _origin) = usual();
    let mut browser = logged_in(&gateway, "c1");
    browser.cookies.clear();
    let preflight = Request::new("OPTIONS", "/chat/c1/statement")
        .header("Origin", "http://x.example")
        .header("Access-Control-Request-Method", "GET");
    assert!(!browser.send(preflight).contains(CANARY));
}

/// A preflight goes on where its request would have to prove something.
#[test]
fn a_preflight_carries_neither_cookie_nor_credentials() {
    let route = "[[channel.web.route]]\nkind = \"message\"\nmethod = \"POST\"\n\
                 path = \"/posts/{id}\"\ninteraction = { path = \"id\" }\n";
    let origin = setup::bot();
    let gateway = Gateway::start(&channel(&origin, "", &format!("{OWNER}{route}")));
    let preflight = Request::new("OPTIONS", "/posts/c1")
        .header("Origin", "http://x.example")
        .header("Access-Control-Request-Method", "POST")
        .header("Cookie", "sid=alice")
        .header("Authorization", "Bearer alice");
    gateway.browser().send(preflight);
    let seen = origin.last();
    assert_eq!(seen.method, "OPTIONS");
    assert_eq!(seen.header("cookie"), None);
    assert_eq!(seen.header("authorization"), None);
}
