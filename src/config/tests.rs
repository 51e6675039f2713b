//! Whole configurations: good ones, and every way to get one wrong.

mod broken;
mod canary;

use std::fs;
use std::path::Path;
use std::time::Duration;

use http::Method;
use tempfile::TempDir;

use super::*;
use crate::channel::{Enforcement, Kind, Owner, Resume};
use crate::cli::check;
use crate::identity::assertion::Assertion;
use crate::interaction::Level;
use crate::login::SecurityKeys;

/// A directory with every key file that [`GOOD`] and the configuration to start from name.
fn keys() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("keys/web.key", &format!("{}\n", SecurityKeys::generate()));
    write("keys/old.key", &SecurityKeys::generate());
    for name in ["site", "widget", "bot"] {
        write(
            &format!("keys/{name}.key"),
            &format!("{name}-{}\r\n", "x".repeat(64)),
        );
    }
    let pair = rcgen::KeyPair::generate().unwrap();
    let private = pair.serialize_pem();
    write("keys/assertion.pem", &private);
    write("keys/site.pem", &pair.public_key_pem());
    let header = http::HeaderName::from_static("x-a");
    let assertion =
        Assertion::from_pem(private.as_bytes(), header, "i", "a", Duration::MAX).unwrap();
    write(
        "keys/site.jwks",
        &format!("{{\"keys\":[{}]}}", assertion.jwk),
    );
    for name in ["tls", "other"] {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        write(&format!("{name}/chain.pem"), &made.cert.pem());
        write(
            &format!("{name}/key.pem"),
            &made.signing_key.serialize_pem(),
        );
    }
    write("keys/garbage.pem", "-----BEGIN GARBAGE-----\nAAAA\n");
    write("keys/empty", "");
    write("keys/line-end", "\n");
    dir
}

/// Every key there is.
const GOOD: &str = r#"[server]
public_url = "https://chat.example.com/"
endpoints = "/.gate"
drain_timeout = "10s"
workers = 2
extra_roots = "tls/chain.pem"

[[listener]]
address = "127.0.0.1:8443"
tls = { certificate = "tls/chain.pem", key = "tls/key.pem" }
http2 = true
[[listener]]
address = "[::1]:8080"

[admin]
address = "127.0.0.1:9090"

[log]
format = "json"
level = "debug"

[store]
max_interactions = 1_000
max_bytes = "64MiB"

[identity]
levels = ["claimed", "verified", "strong"]

[upstream.bot]
url = "https://[::1]:5005"
http2 = true
connect_timeout = "1s"
read_timeout = "1m30s"
ca = "tls/chain.pem"
server_name = "bot.internal"

[upstream.files]
url = "http://files.internal"

[channel.web]
upstream = "bot"
authentication_token_ttl = "10m"
authentication_timeout = "30m"
interaction_timeout = "2h"
absolute_timeout = "12h"
authentication_url = "https://www.example.com/login?theme=chat"
authentication_security_key = [{ file = "keys/web.key" }, { file = "keys/old.key" }]
authentication_return_keys = [{ algorithm = "ES256", kid = "s", pem = { file = "keys/site.pem" } }]
return_tolerance = "1m"
return_to = "https://www.example.com/chat#open"
interaction_label = "id"
resume = "replay"
replay_max_body = "32KiB"

[channel.web.authentication_parameters]
token = "t"
callback = ""
signature = "sig"

[channel.web.owner]
selector = [{ header = "Authorization", scheme = "Bearer" }, { cookie = "sid" }]

[[channel.web.flag]]
name = "private"
status = [200, 401]
header = { name = "X-Auth-Required", values = ["yes", "true"] }
json = "$..authentication_required"
equals = true
level = { json = "$..authentication_level", fallback = "strong" }
observe = true
strip = true
[[channel.web.flag]]
status = 401

[channel.web.inspect]
max_body = "2MiB"
oversize = "release"
undecodable = "block"
malformed = "release"

[channel.web.challenge]
status = 401
headers = { "X-Challenge" = "{{ level }}" }
text = "Log in: {{ login_url }} {{ continue_url }} {{ capture.thread }}"
content_type = "text/plain"
capture = { thread = [{ json = "$.thread" }, { answer_header = "X-Thread" }] }

[channel.web.inject]
headers = { "X-Customer-Id" = "subject", "X-Customer-Mail" = "claims.email" }
members = { "metadata.customer" = "subject" }
assertion = { header = "X-Assertion", issuer = "https://chat.example.com", audience = "bot", ttl = "90s", key = { file = "keys/assertion.pem" } }

[[channel.web.identity]]
name = "site"
kind = "jwt"
from = [{ header = "Authorization", scheme = "Bearer" }, { query = "jwt" }]
keys = [
  { algorithm = "HS256", secret = { file = "keys/site.key" } },
  { algorithm = "ES256", kid = "2026", pem = { file = "keys/site.pem" } },
  { algorithms = ["ES256"], jwks_file = "keys/site.jwks" },
  { algorithms = ["RS256", "PS256"], jwks_url = "https://www.example.com/jwks.json", refresh = "1h", cooldown = "1m" },
]
issuer = "https://www.example.com"
audience = ["chat", "web"]
leeway = "10s"
required_claims = ["email"]
subject_claim = "id"
single_use = true
level = "verified"

[[channel.web.identity]]
name = "widget"
kind = "hmac"
identifier = { json = "$.metadata.user_id" }
hash = { form = "hash" }
secret = [{ file = "keys/widget.key" }, { file = "keys/site.key" }]
digest = "sha512"
encoding = "base64"

[[channel.web.identity]]
name = "website"
kind = "session"
cookie = "sid"
url = "https://www.example.com/session"
subject_claim = "sub"
cache = "1m"
timeout = "1s"

[channel.web.side_call]
method = "PUT"
url = "https://bot.internal/private/{{ interaction }}"
headers = { "X-Session" = "{{ interaction }}" }
json = '{"customer": "{{ subject }}"}'
sign = { kind = "jwt", algorithm = "HS256", secret = { file = "keys/bot.key" }, claims = '{"iss": "{{ interaction }}"}' }
timeout = "2s"

[channel.web.cors]
origins = ["https://www.example.com"]
credentials = true
headers = ["X-Session"]

[[channel.web.route]]
kind = "pre-chat"
method = "POST"
path = "/chats"
interaction = { answer_json = "$.id" }

[[channel.web.route]]
kind = "message"
method = ["POST", "PUT"]
host = "*.Example.com"
path = "/chats/{id}/messages"
interaction = { path = "id" }
enforcement = "optional"
max_body = "16KiB"
upstream = "files"
read_timeout = "5m"

[[channel.web.route]]
kind = "end"
path = "/chats/{id}"
method = "DELETE"
interaction = { path = "id" }

[[channel.web.route]]
kind = "deny"
path = "/admin/{*rest}"

[channel.app]
upstream = "files"
authentication_url = "https://www.example.com/login"
authentication_security_key = { file = "keys/web.key" }
interaction_timeout = "1h"
resume = "notify"
owner = { cookie = "own" }
flag = [{ header = { name = "X-Private" } }]
challenge = { html = "<a href=\"{{ login_url }}\">log in</a>" }
notify = { url = "https://files.internal/in", text = "{{ outcome }}", sign = { kind = "webhook", key = { file = "keys/web.key" } } }
route = [{ kind = "message", path = "/app", interaction = { query = "id" } }]
"#;

fn good(text: &str, dir: &Path) -> (Config, Vec<Diagnostic>) {
    let read = parse(text, &dir.join("chatgate.toml"));
    read.unwrap_or_else(|mistakes| panic!("{}", check::shown(&mistakes)))
}

#[test]
fn every_key_arrives() {
    let dir = keys();
    let (config, warnings) = good(GOOD, dir.path());
    assert_eq!(warnings, Vec::new(), "{}", check::shown(&warnings));

    assert_eq!(&*config.public_url, "https://chat.example.com");
    assert_eq!(&*config.endpoints, "/.gate");
    assert_eq!(
        (config.drain_timeout, config.workers),
        (Duration::from_secs(10), Some(2))
    );
    assert!(config.extra_roots.is_some());
    assert!(config.listeners[0].tls.is_some() && config.listeners[0].http2);
    assert!(config.listeners[1].tls.is_none() && !config.listeners[1].http2);
    assert_eq!(config.admin, Some(([127, 0, 0, 1], 9090).into()));
    assert_eq!(
        config.log,
        Log {
            json: true,
            level: tracing::Level::DEBUG
        }
    );
    assert_eq!(
        (config.limits.interactions, config.limits.bytes),
        (1000, 64 << 20)
    );
    assert_eq!(config.level("strong"), Some(Level(3)));

    let bot = &config.upstreams[0];
    assert_eq!((&*bot.host, bot.port, bot.http2), ("::1", 5005, true));
    assert_eq!(bot.read_timeout, Duration::from_secs(90));
    let tls = bot.tls.as_ref().unwrap();
    assert!(*tls.server_name == *"bot.internal" && tls.ca.is_some() && tls.verify);
    assert_eq!(config.upstreams[1].port, 80);

    let web = config.channel("web").unwrap();
    assert_eq!(
        web.clocks.absolute_timeout,
        Some(Duration::from_secs(43_200))
    );
    assert_eq!(web.verifiers.len(), 3);
    assert_eq!(web.verifiers[0].level, Level(2));
    assert_eq!(
        web.verifiers[1].level,
        Level(1),
        "as little as possible when nobody says"
    );
    assert_eq!(web.flags[1].name, "flag-2".into());
    assert_eq!(web.inspection.max_body, 2 << 20);
    assert_eq!(web.inject.headers.len(), 2);
    assert!(web.inject.assertion.is_some() && web.side_call.is_some() && web.cors.is_some());
    assert!(matches!(&web.owner, Some(Owner::Selector(selector)) if selector.0.len() == 2));
    let login = web.login.as_ref().unwrap();
    assert_eq!(login.page.parameters.token.as_deref(), Some("t"));
    assert_eq!(login.page.parameters.callback, None);
    assert_eq!(login.page.parameters.channel.as_deref(), Some("channel"));
    assert_eq!(login.keys.iter().count(), 2);
    assert_eq!(login.return_keys.len(), 1);
    assert_eq!(
        login.return_to.as_deref(),
        Some("https://www.example.com/chat#open")
    );
    assert!(matches!(login.resume, Resume::Replay { max_body: 32_768 }));
    assert_eq!(login.challenge.status, 401);
    assert_eq!(login.challenge.captures.len(), 1);
    let headers: Vec<_> = login
        .challenge
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(headers, ["x-challenge", "content-type"]);

    let app = config.channel("app").unwrap().login.as_ref().unwrap();
    assert!(matches!(app.resume, Resume::Notify(_)) && app.return_to.is_none());

    for name in ["X_CUSTOMER_ID", "x-assertion"] {
        assert!(config.managed_headers.covers(name));
    }
    assert_eq!(config.managed_members.len(), 1);

    let found = config
        .routes
        .find(&Method::PUT, "a.example.com", "/chats/7/messages")
        .unwrap();
    assert_eq!(found.route.kind, Kind::Message);
    assert_eq!(found.route.enforcement, Enforcement::Optional);
    assert_eq!(
        (found.route.max_body, &*found.route.upstream.name),
        (16_384, "files")
    );
    let opened = config.routes.find(&Method::POST, "x", "/chats").unwrap();
    assert_eq!(opened.route.enforcement, Enforcement::Required);
}

#[test]
fn the_configuration_to_start_from_is_good() {
    let dir = keys();
    let file = dir.path().join("chatgate.toml");
    fs::copy(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/chatgate.toml"),
        &file,
    )
    .unwrap();
    let (config, warnings) = load(&file).unwrap_or_else(|m| panic!("{}", check::shown(&m)));
    assert_eq!(warnings, Vec::new(), "{}", check::shown(&warnings));
    let summary = check::summary(&config);
    assert!(
        summary.contains("channel web: login at http://127.0.0.1:8081/login"),
        "{summary}"
    );
    assert!(
        summary.contains("message  POST /webhooks/rest/webhook"),
        "{summary}"
    );
}

/// What the starting file offers in comments can be switched on.
#[test]
fn what_the_configuration_to_start_from_offers_is_good() {
    let dir = keys();
    let text = include_str!("../../conf/chatgate.toml");
    let offers = [
        ("[channel.web]\n", "side_call]", "# With resume"),
        ("[channel.web]\n", "cors]", "\n# ──"),
    ];
    let mut text = text.to_owned();
    for (_, from, to) in offers {
        let at = text.find(&format!("# [channel.web.{from}")).unwrap();
        let end = at + text[at..].find(to).unwrap();
        let block = text[at..end]
            .replace("\n# ", "\n")
            .replacen("# ", "", 1)
            .replace("\n#\n", "\n");
        text.replace_range(at..end, &block);
    }
    let at = text.find("# [[channel.web.identity]]").unwrap();
    let end = at + text[at..].find("\n\n").unwrap();
    let block = text[at..end]
        .replace("\n# ", "\n")
        .replacen("# ", "", 1)
        .replace("\n#\n", "\n");
    text.replace_range(at..end, &block);
    let text = text
        .replace("# enforcement = \"off\" ", "enforcement = \"optional\" #")
        .replace(
            "{ algorithms = [\"RS256\"], jwks_file",
            "{ algorithms = [\"ES256\"], jwks_file",
        );
    let (config, warnings) = good(&text, dir.path());
    assert_eq!(warnings, Vec::new(), "{}", check::shown(&warnings));
    let web = config.channel("web").unwrap();
    assert_eq!(web.verifiers.len(), 3);
    assert!(web.side_call.is_some() && web.cors.is_some());
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let dir = keys();
    let mistakes = load(&dir.path().join("nowhere.toml")).unwrap_err();
    assert!(mistakes[0].to_string().contains("nowhere.toml"));
    fs::write(dir.path().join("latin.toml"), b"a = \"\xe9\"").unwrap();
    let mistakes = load(&dir.path().join("latin.toml")).unwrap_err();
    assert!(mistakes[0].message.contains("UTF-8"));
}

#[test]
fn the_summary_has_a_line_for_each_channel_and_route() {
    let dir = keys();
    let (config, _) = good(GOOD, dir.path());
    let summary = check::summary(&config);
    assert_eq!(summary.lines().count(), 2 + 2 + 5, "{summary}");
    assert!(
        summary.contains("→ bot (https://bot.internal:5005)"),
        "{summary}"
    );
}
