//! Logs and metrics: no secret in them, and nobody writes them but us.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use chatgate::time::Clock;
use serde_json::{Value, json};

use crate::setup::{
    CANARY, OWNER, bot, channel, channel_to, continue_url, fresh, login_url, statement,
};
use crate::support::browser::{parameter, path_of};
use crate::support::{KEY, Metrics, Process, Request, Site, WebSocket, eventually};

/// Marks what a customer says.
const SAID: &str = "said-canary-51c2";

fn proofs() -> String {
    format!(
        r#"{OWNER}
[[channel.web.identity]]
name = "site"
kind = "jwt"
from = {{ header = "Authorization", scheme = "Bearer" }}
keys = [{{ algorithm = "HS256", secret = "secret-canary-0123456789abcdef0123" }}]
[[channel.web.route]]
kind = "pre-chat"
path = "/start/{{id}}"
interaction = {{ path = "id" }}
[[channel.web.route]]
kind = "message"
path = "/by-body"
interaction = {{ json = "$.sender" }}
"#
    )
}

#[test]
fn no_secret_token_or_content_is_in_log_or_metrics() {
    let origin = bot();
    let process = Process::start(&channel(&origin, "resume = \"replay\"", &proofs()));
    let site = Site::new(process.at.plain, Clock::system());
    let mut browser = process.at.browser();
    browser.headers.push(("X-Said".into(), SAID.into()));

    let challenge = statement(&mut browser, &format!("c1?q={SAID}").replace("?", "-"));
    let (url, waiting) = (login_url(&challenge), continue_url(&challenge));
    let mut members = site.success(&url, "alice");
    members["claims"] = json!({"email": "claim-canary@example.com"});
    assert_eq!(site.post(&site.callback(&url), &members).status, 200);
    assert_eq!(site.post(&site.callback(&url), &members).status, 401);
    assert!(browser.get(&waiting).contains(CANARY));
    browser.get(&format!("/plain/x?q={SAID}"));
    browser.post("/chat/c2/ask", &json!({"text": SAID}));
    browser.post("/by-body", &json!({"sender": "c3", "text": SAID}));
    browser.send(Request::post("/by-body", &json!({})).body(format!("{{\"{SAID}")));

    let second = login_url(&statement(&mut browser, "c4"));
    let jwt = site.jwt(&site.claims(&second, "alice"));
    let callback = site.callback(&second);
    browser.get(&format!("{callback}&return={jwt}x"));
    browser.get(&format!("{callback}&return={jwt}"));
    let proof = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJwcm9vZi1jYW5hcnkifQ.c2lnbmF0dXJlLWNhbmFyeQ";
    browser.send(Request::get("/start/c5").header("Authorization", &format!("Bearer {proof}")));
    browser.send(Request::get("/deny").header("Authorization", "Basic YmFzaWMtY2FuYXJ5"));

    let metrics = Metrics::read(process.at.admin).text();
    let cookie = browser.cookies.values().next().unwrap().clone();
    eventually("the log has the last request", || {
        process.log().contains("/deny").then_some(())
    });
    let log = process.end();
    let token = |url: &str| parameter(url, "token").unwrap();
    let waiting = path_of(&waiting).rsplit('/').next().unwrap().to_owned();
    let (one, two) = (token(&url), token(&second));
    for secret in [
        KEY,
        KEY.trim_start_matches("whsec_"),
        "secret-canary",
        CANARY,
        SAID,
        "claim-canary",
        &one,
        &two,
        &waiting,
        &cookie,
        &jwt,
        &jwt[40..80],
        proof,
        "c2lnbmF0dXJlLWNhbmFyeQ",
        "YmFzaWMtY2FuYXJ5",
        &parameter(&url, "signature").unwrap(),
        "v1,",
    ] {
        let place = log.find(secret).map(|at| {
            let line = log[..at].rfind('\n').map_or(0, |at| at + 1);
            log[line..].lines().next().unwrap_or_default().to_owned()
        });
        // A chat's own id may be in a log; the canary in it is the test's doing.
        let id = secret == SAID && place.as_deref().is_some_and(|line| line.contains("c1-q="));
        assert!(place.is_none() || id, "{secret} in the log: {place:?}");
        assert!(!metrics.contains(secret), "{secret} in the metrics");
    }
    for reason in [
        "login-succeeded",
        "token-used",
        "return-signature",
        "proof-",
        "denied",
    ] {
        assert!(log.contains(reason), "the log names no {reason}");
    }
}

/// What cannot be read of an answer may be the very thing that is withheld.
#[test]
fn no_answer_is_in_the_log_because_it_cannot_be_read() {
    let garbage = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = garbage.local_addr().unwrap();
    let held = format!(r#"{{"text":"{CANARY}","authentication_required":true}}"#);
    let asked = Arc::new(AtomicUsize::new(0));
    let (times, body) = (Arc::clone(&asked), held.clone());
    thread::spawn(move || {
        for stream in garbage.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let n = stream.read(&mut head).unwrap_or_default();
            let head = String::from_utf8_lossy(&head[..n]);
            let ok = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
            let cookie = format!("Set-Cookie: sid={CANARY}\r\n");
            let answer = match head.split(['/', ' ']).nth(4).unwrap_or_default() {
                "replay" if times.fetch_add(1, Ordering::SeqCst) == 0 => {
                    format!("{ok}Content-Length: {}\r\n\r\n{body}", body.len())
                }
                "status" => format!("HTTP/1.1 2x0 OK\r\n{cookie}\r\n{body}"),
                "length" => format!("{ok}Content-Length: {CANARY}\r\n\r\n{body}"),
                "chunk" => format!("{ok}Transfer-Encoding: chunked\r\n\r\n{CANARY}\r\n{body}"),
                "short" => format!("{ok}{cookie}Content-Length: 999\r\n\r\n{body}"),
                "old" => body.clone(),
                _ => format!("{ok}{cookie}no header: \u{1}\r\n\r\n{body}"),
            };
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let upstream = format!("[upstream.bot]\nurl = \"http://{address}\"\n");
    let tables = format!("{OWNER}[channel.web.websocket]\n");
    let process = Process::start(&channel_to(&upstream, "resume = \"replay\"", &tables));
    let site = Site::new(process.at.plain, Clock::system());
    let mut browser = process.at.browser();
    for ways in ["head", "status", "length", "chunk", "short", "old"] {
        let answer = browser.get(&format!("/chat/c1/{ways}"));
        assert!(answer.status >= 500 && !answer.contains(CANARY), "{ways}");
    }
    let challenge = browser.get("/chat/c2/replay");
    assert_eq!(site.log_in(&login_url(&challenge), "alice").status, 200);
    let replayed = browser.get(&continue_url(&challenge));
    assert!(!replayed.contains(CANARY) && asked.load(Ordering::SeqCst) == 2);
    let socket = WebSocket::ask(process.at.plain, "/chat/c3/ws", &[]);
    assert!(socket.is_err_and(|answer| answer.status == 502));
    // A malformed request of the operator's own.
    let mut admin = TcpStream::connect(process.at.admin).unwrap();
    let authorization = format!("Authorization: Bearer {SAID}");
    write!(
        admin,
        "GET /metrics HTTP/1.1\r\n{authorization}\r\nno header\r\n\r\n"
    )
    .unwrap();
    let _ = admin.read_to_end(&mut Vec::new());

    browser.get("/nowhere/last");
    eventually("the log has the last request", || {
        process.log().contains("no-route").then_some(())
    });
    let log = process.end();
    for secret in [CANARY, SAID] {
        let line = log.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{line:?}");
    }
    let address = address.to_string();
    for said in [
        ["Upstream InvalidHTTPHeader", &address, "invalid"],
        [
            "the upstream could not be reached",
            "InvalidHTTPHeader",
            "invalid",
        ],
        ["no socket to the upstream", "InvalidHTTPHeader", "invalid"],
    ] {
        let mut lines = log.lines();
        let whole = |line: &str| said.iter().all(|word| line.contains(word));
        assert!(lines.any(whole), "{said:?}: {log}");
    }
}

/// Whoever looks for the mistake finds it by the id that an answer or another line has.
#[test]
fn what_cannot_be_read_of_a_return_is_told_with_its_request() {
    let origin = bot();
    let process = Process::start(&channel(&origin, "", OWNER));
    let site = Site::new(process.at.plain, Clock::system());
    let mut browser = process.at.browser();
    let url = login_url(&statement(&mut browser, "c1"));
    let callback = site.callback(&url);
    let with = |name: &str| {
        let mut members = site.success(&url, "alice");
        members[name] = json!("other");
        site.post(&callback, &members)
    };
    let told = [
        with("sbuject"),
        with("level"),
        site.post("/.chatgate/logout/web", &json!({"channel": "web"})),
        site.send(Request::post(&callback, &json!({}))),
        site.send(
            site.signed(&callback, b"")
                .header("Content-Encoding", "gzip"),
        ),
    ];
    browser.get(&format!("{callback}&return=abc"));
    browser.get("/nowhere/last");
    eventually("the log has the last request", || {
        process.log().contains("no-route").then_some(())
    });

    let log = process.end();
    let lines = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines: Vec<_> = lines.collect();
    let of = |key: &str, value: &str| lines.iter().find(|line| line[key] == value).cloned();
    for (problem, route, answer) in [
        ("unknown member", "return", Some(&told[0])),
        ("unknown level", "return", Some(&told[1])),
        ("not exactly one of", "logout", Some(&told[2])),
        ("missing header", "return", Some(&told[3])),
        ("encoded", "return", Some(&told[4])),
        ("not a JWT", "return", None),
    ] {
        let line = of("problem", problem).unwrap_or_else(|| panic!("{problem}: {log}"));
        assert_eq!(line["channel"], "web", "{line}");
        assert_eq!(line["reason"], "return-malformed", "{line}");
        let id = line["request_id"]
            .as_str()
            .unwrap_or_else(|| panic!("no id: {line}"));
        if let Some(answer) = answer {
            assert_eq!(answer.json()["request_id"], id, "{line}");
        }
        let exchanged = lines
            .iter()
            .find(|line| line["message"] == "exchange" && line["request_id"] == id);
        assert_eq!(exchanged.unwrap()["route"], route, "{line}");
    }
}

#[test]
fn nobody_writes_lines_into_the_log_but_us() {
    for format in ["json", "lines"] {
        let origin = bot();
        let tables = channel(&origin, "", &proofs());
        let process = Process::start_with(&format!(
            "[log]\nformat = \"{format}\"\nlevel = \"debug\"\n{tables}"
        ));
        let site = Site::new(process.at.plain, Clock::system());
        let mut browser = process.at.browser();
        for evil in [
            "x\nforged line",
            "x\r\nforged line",
            "x\u{1b}[2Jforged",
            "x\u{2028}forged",
            "x\u{2029}forged",
            "x\u{85}forged",
            "x\u{9b}31mforged",
            "x\0forged",
            "x\u{202e}forged",
            "x\tforged",
            "\",\"forged\":\"",
        ] {
            let body = json!({"sender": evil, "text": evil});
            browser.post("/by-body", &body);
            for name in [
                "User-Agent",
                "Referer",
                "X-Request-Id",
                "Traceparent",
                "X-Chat",
            ] {
                let value: String = evil
                    .chars()
                    .filter(|c| !c.is_ascii_control() || *c == '\t')
                    .collect();
                browser.send(Request::get("/deny").header(name, &value));
            }
            let encoded: String = evil.bytes().map(|byte| format!("%{byte:02x}")).collect();
            browser.get(&format!("/plain/x?{encoded}"));
            browser.get(&format!("/chat/{encoded}/ask"));
            browser.send(Request::new("FORGED", "/deny"));
            let url = login_url(&statement(&mut browser, &fresh()));
            let mut members = site.success(&url, evil);
            site.post(&site.callback(&url), &members);
            members["subject"] = json!("alice");
            members[evil] = json!(evil);
            site.post(&site.callback(&url), &members);
            members["level"] = json!(evil);
            site.post(&site.callback(&url), &members);
            let header = json!({"alg": "HS256", "kid": evil});
            let token = crate::support::login::jwt(&header, &json!({"sub": evil}), |_| vec![0; 32]);
            browser.send(
                Request::get("/start/c5").header("Authorization", &format!("Bearer {token}")),
            );
        }
        browser.get("/nowhere/last");
        eventually("the log has the last request", || {
            process.log().contains("no-route").then_some(())
        });
        let log = process.end();
        for line in log.lines() {
            assert!(!line.starts_with("forged"), "{format}: {line}");
            let odd = |c: char| {
                c.is_control() && c != '\t' || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202e}')
            };
            assert!(!line.contains(odd), "{format}: {line:?}");
            if format == "json" {
                let parsed: Value =
                    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
                assert!(!parsed.to_string().contains("\"forged\":"), "{line}");
            }
        }
    }
}
