//! The ways through chatgate that are timed, and the proof that each does its work.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

use crate::Failure;
use crate::backend::{ECHO, FLAG, SECRET, body};
use crate::live::Live;

/// Requests that are sent in turn, each of another customer.
const CUSTOMERS: usize = 64;
const SITE_KEY: &str = "a key of the site, thirty-two bytes or more";

/// One way, as plain pingora and chatgate both get it.
pub struct Pair {
    /// Its name in the table.
    pub name: &'static str,
    /// The kind of its route in chatgate.
    kind: &'static str,
    /// The verdict that chatgate must come to, each time.
    pub verdict: &'static str,
    /// The requests, byte for byte.
    pub requests: Vec<String>,
}

/// What is timed.
pub fn pairs() -> Vec<Pair> {
    let pair = |name, kind, verdict, request: &dyn Fn(usize) -> Request| Pair {
        name,
        kind,
        verdict,
        requests: (0..CUSTOMERS).map(|n| request(n).text()).collect(),
    };
    vec![
        pair("pass, GET", "pass", "passed", &|n| Request {
            method: "GET",
            path: "/files/short",
            sender: "",
            ..Request::message("", n)
        }),
        pair("pass, POST of JSON", "pass", "passed", &|n| {
            Request::message("/other/short", n)
        }),
        pair("unflagged, 300 B", "message", "unflagged", &|n| {
            Request::message("/bot/short", n)
        }),
        pair("unflagged, 16 KiB", "message", "unflagged", &|n| {
            Request::message("/bot/long", n)
        }),
        pair("authenticated, unflagged", "message", "unflagged", &|n| {
            Request::authenticated("/bot/short", n)
        }),
        pair(
            "authenticated, flag taken off",
            "message",
            "authenticated",
            &|n| Request::authenticated("/bot/flagged", n),
        ),
        pair("pre-chat, JWT", "pre-chat", "unflagged", &Request::opening),
    ]
}

/// Shows that every way does its work, and binds the interactions of the
/// authenticated ones on the way.
pub fn prove(client: &Client) -> Result<(), Failure> {
    let send = |request: Request| client.send(&request.text());
    let echo = |request: Request| client.send(&request.with(ECHO, "1").text());

    let forged = Request::message("/other/short", 0).with("X-Customer-Id", "mallory");
    let seen = echo(forged)?;
    assert!(
        seen.contains("POST /other/short") && !seen.contains("mallory"),
        "a client's own identity header passed: {seen}"
    );
    let member = r#","metadata":{"customer":"mallory"}"#;
    let seen = echo(Request {
        members: member,
        ..Request::message("/other/short", 0)
    })?;
    assert!(
        !seen.contains(r#""mallory""#) && seen.contains(r#""message""#),
        "a client's own identity member passed: {seen}"
    );
    for path in ["/bot/short", "/bot/long"] {
        assert_eq!(send(Request::message(path, 0))?, body(path), "{path}");
    }
    let answer = send(Request::message("/bot/flagged", 0))?;
    assert!(
        !answer.contains(SECRET) && answer.contains("/login?"),
        "a flagged answer passed: {answer}"
    );
    let answer = send(Request::opening(0).with("Authorization", "Bearer forged"));
    assert!(answer.is_err(), "a forged token passed");
    for n in 0..CUSTOMERS {
        let seen = echo(Request::opening(n))?.to_lowercase();
        let header = format!("x-customer-id: customer-{n}\r\n");
        assert!(seen.contains(&header), "no identity arrived: {seen}");
    }
    let seen = echo(Request::authenticated("/bot/short", 5))?.to_lowercase();
    assert!(
        seen.contains("x-customer-id: customer-5\r\n")
            && seen.contains(r#""customer":"customer-5""#),
        "no identity arrived: {seen}"
    );
    let answer = send(Request::authenticated("/bot/flagged", 5))?;
    assert!(
        answer.contains(SECRET) && !answer.contains(FLAG),
        "an authenticated customer did not get the answer: {answer}"
    );
    Ok(())
}

/// The configuration that all this goes through: what `conf/chatgate.toml` begins
/// with, and a token before the chat.
pub fn configuration(public: SocketAddr, admin: SocketAddr, backend: SocketAddr) -> String {
    format!(
        r#"
[server]
public_url = "http://{public}"
workers = 1
[[listener]]
address = "{public}"
[admin]
address = "{admin}"
[log]
level = "info"
[identity]
levels = ["claimed", "verified"]
[upstream.bot]
url = "http://{backend}"

[channel.web]
upstream = "bot"
authentication_token_ttl = "10m"
authentication_timeout = "30m"
interaction_timeout = "2h"
authentication_url = "http://{public}/login"
authentication_security_key = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
resume = "replay"
[channel.web.owner]
cookie = "own-insecure"
[[channel.web.flag]]
name = "protected"
json = "$..{FLAG}"
equals = true
level = "verified"
strip = true
[channel.web.challenge]
json = '[{{ "text": "Please log in: {{{{ login_url }}}}" }}]'
[channel.web.inject]
headers = {{ "X-Customer-Id" = "subject", "X-Customer-Level" = "level" }}
members = {{ "metadata.customer" = "subject", "metadata.authenticated" = "authenticated" }}
[[channel.web.identity]]
name = "site"
kind = "jwt"
from = {{ header = "Authorization", scheme = "Bearer" }}
keys = [{{ algorithm = "HS256", secret = "{SITE_KEY}" }}]
issuer = "https://www.example.com"
audience = "chat"
level = "verified"
[[channel.web.route]]
kind = "pre-chat"
method = "POST"
path = "/open/{{name}}"
interaction = {{ json = "$.sender" }}
[[channel.web.route]]
kind = "message"
method = "POST"
path = "/bot/{{name}}"
interaction = {{ json = "$.sender" }}
[[channel.web.route]]
kind = "message"
method = "GET"
path = "/live/{{id}}/{{name}}"
interaction = {{ path = "id" }}
[channel.web.websocket]
origins = ["https://www.example.com"]
[[channel.web.route]]
kind = "pass"
path = "/{{*rest}}"
"#
    )
}

/// A request as a browser's chat widget sends it.
#[derive(Clone)]
struct Request {
    method: &'static str,
    path: &'static str,
    /// The kind of customer; there is no body without one.
    sender: &'static str,
    number: usize,
    members: &'static str,
    headers: Vec<(&'static str, String)>,
}

impl Request {
    /// Of somebody who is not logged in.
    fn message(path: &'static str, number: usize) -> Self {
        Self {
            method: "POST",
            path,
            sender: "visitor",
            number,
            members: "",
            headers: Vec::new(),
        }
    }

    /// Of somebody who opened the chat with a token.
    fn authenticated(path: &'static str, number: usize) -> Self {
        Self {
            sender: "customer",
            ..Self::message(path, number)
        }
    }

    /// Opens a chat with a token of the site's.
    fn opening(number: usize) -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let claims = json!({
            "iss": "https://www.example.com", "aud": "chat", "sub": format!("customer-{number}"),
            "iat": now, "exp": now + 3600, "email": format!("customer-{number}@example.com"),
        });
        let key = EncodingKey::from_secret(SITE_KEY.as_bytes());
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key);
        let token = token.expect("HS256 needs nothing but a key");
        Self::authenticated("/open/short", number).with("Authorization", &format!("Bearer {token}"))
    }

    /// With a header; one of the same name gives way.
    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    fn text(&self) -> String {
        let Self {
            method,
            path,
            sender,
            number,
            members,
            ..
        } = self;
        let body = match *sender {
            "" => String::new(),
            _ => format!(
                r#"{{"sender":"{sender}-{number}","message":"Hello, what can you do for me?"{members}}}"#
            ),
        };
        let mut text = format!(
            "{method} {path} HTTP/1.1\r\n\
             Host: chat.example.com\r\n\
             User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
             Accept: application/json\r\n\
             Accept-Language: en-US,en;q=0.5\r\n\
             Accept-Encoding: gzip, deflate, br\r\n\
             Origin: https://www.example.com\r\n\
             Referer: https://www.example.com/\r\n\
             Cookie: chatgate=evidence-of-{sender:7}-number-{number:08}; theme=dark\r\n"
        );
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            text += &format!(
                "Content-Type: application/json\r\nContent-Length: {}\r\n",
                body.len()
            );
        }
        text + "\r\n" + &body
    }
}

/// A client that takes its time: a connection for each request.
pub struct Client(pub SocketAddr);

impl Client {
    /// The body of the answer, which must be 200.
    pub fn send(&self, request: &str) -> Result<String, Failure> {
        let mut stream = TcpStream::connect(self.0)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            let text = String::from_utf8_lossy(&answer);
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let head = head.to_ascii_lowercase();
                let length = head
                    .split_once("content-length: ")
                    .and_then(|(_, rest)| rest.lines().next()?.parse::<usize>().ok());
                if length.is_some_and(|length| body.len() >= length) {
                    return match head.starts_with("http/1.1 200 ") {
                        true => Ok(body.to_owned()),
                        false => Err(text.into()),
                    };
                }
            }
            match stream.read(&mut chunk)? {
                0 => return Err(format!("the answer broke off: {text}").into()),
                n => answer.extend_from_slice(chunk.get(..n).unwrap_or_default()),
            }
        }
    }
}

/// What a chatgate has counted.
pub struct Metrics(pub Client);

impl Metrics {
    /// How many messages of sockets or streams were judged.
    pub fn judged(&self, kind: Live) -> Result<u64, Failure> {
        let text = self.0.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")?;
        let name = match kind {
            Live::Socket => "chatgate_socket_messages_total{",
            Live::Events => "chatgate_events_total{",
        };
        let lines = text.lines().filter(|line| line.starts_with(name));
        Ok(lines
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum())
    }

    /// How many requests of this kind came to this verdict.
    pub fn counted(&self, pair: &Pair) -> Result<u64, Failure> {
        let text = self.0.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")?;
        let kind = format!("kind=\"{}\"", pair.kind);
        let reason = format!("reason=\"{}\"", pair.verdict);
        let line = text.lines().find(|line| {
            line.starts_with("chatgate_exchanges_total{")
                && line.contains(&kind)
                && line.contains(&reason)
        });
        let count = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
        Ok(count.unwrap_or(0))
    }
}
