//! Whole configurations: good ones, and every way to get one wrong.

mod broken;
mod canary;
mod lost;
mod oauth;
mod page;

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
use crate::login::oidc::ClientAuthentication;

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
    for name in ["site", "widget", "bot", "platform"] {
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
    fs::copy(
        dir.path().join("tls/chain.pem"),
        dir.path().join("tls/backend-ca.pem"),
    )
    .unwrap();
    write("texts/nl.json", "{\"log-in\": \"Inloggen\"}");
    write("keys/garbage.pem", "-----BEGIN GARBAGE-----\nAAAA\n");
    write("keys/empty", "");
    write("keys/database", "postgres://chatgate:x@db.internal/crm\n");
    write("keys/line-end", "\n");
    dir
}

/// Every key there is.
const GOOD: &str = include_str!("tests/good.toml");

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
    let waits = config.timeouts;
    assert_eq!(
        [waits.idle, waits.body, waits.write].map(|limit| limit.as_secs()),
        [20, 30, 40]
    );
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

    let people = config.directories[0].ldap().unwrap();
    let server = &people.server;
    assert_eq!((&*server.host, server.port), ("ldap.internal", 3389));
    let tls = server.tls.as_ref().unwrap();
    assert!(tls.starttls && *tls.server_name == *"ldap.example.com" && tls.ca.is_some());
    assert!(server.service.is_some() && server.base.starts_with("ou=people"));
    assert_eq!((server.pool, server.timeout.as_secs()), (8, 4));

    let web = config.channel("web").unwrap();
    let [person, customer, account] = &web.matches[..] else {
        panic!("three matches")
    };
    assert_eq!(person.cache.as_secs(), 60);
    assert_eq!((person.equal.len(), person.variables.len()), (2, 1));
    assert_eq!((account.cache.as_secs(), account.fetch.len()), (300, 1));
    assert_eq!(
        customer.fields(),
        ["address.city", "segment.name"].map(Box::<str>::from)
    );

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
    assert_eq!(&*web.flags[1].name, "flag-2");
    assert_eq!(web.inspection.max_body, 2 << 20);
    let types = (&web.inspection.pass_types, &web.inspection.json_types);
    assert!(types.0.has("image/png") && types.0.has("text/css") && !types.0.has("text/html"));
    assert!(types.1.has("Text/Plain") && !types.1.has("text/css"));
    assert_eq!(web.inject.headers.len(), 2);
    assert!(web.inject.assertion.is_some() && web.side_call.is_some() && web.cors.is_some());
    assert!(matches!(&web.owner, Some(Owner::Selector(selector)) if selector.0.len() == 2));
    let login = web.login.as_ref().unwrap();
    let signing = login.page().unwrap();
    let parameters = &signing.page.parameters;
    assert_eq!(parameters.token.as_deref(), Some("t"));
    assert_eq!(parameters.callback, None);
    assert_eq!(parameters.channel.as_deref(), Some("channel"));
    assert_eq!(signing.keys.iter().count(), 2);
    assert_eq!(signing.return_keys.len(), 1);
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

    let help = config.channel("help").unwrap().login.as_ref().unwrap();
    let provider = help.provider().unwrap();
    assert_eq!(&*provider.issuer, "https://login.example.com/tenant");
    assert!(matches!(
        provider.authentication,
        ClientAuthentication::Post(_)
    ));
    assert_eq!(&*provider.scopes, "openid email");
    assert_eq!(&*provider.subject, "customer_number");
    assert_eq!(provider.claims.as_ref().map(Vec::len), Some(2));
    assert!(provider.userinfo);
    assert_eq!(provider.levels.highest(), Some(Level(3)));
    assert_eq!(provider.levels.otherwise, Some(Level(1)));
    assert_eq!(provider.max_age, Some(Duration::from_secs(300)));
    assert_eq!(provider.prompt.as_deref(), Some("login consent"));
    assert_eq!(provider.algorithms.len(), 2);

    let shop = config.channel("shop").unwrap().login.as_ref().unwrap();
    let form = shop.form().unwrap();
    assert_eq!(&*form.directory.name, "people");
    assert!(form.base.starts_with("ou=customers") && *form.subject == *"employeeNumber");
    let attributes: Vec<_> = form.attributes().iter().map(ToString::to_string).collect();
    assert_eq!(attributes, ["employeeNumber", "mail", "sn"]);
    let group = form.group.as_ref().unwrap();
    assert!(group.base.starts_with("ou=groups"));
    assert_eq!(group.filter("a", "cn=*").unwrap(), "(member=cn\\3d\\2a)");
    assert_eq!((form.level, form.max_failures), (Some(Level(3)), 3));
    let limits = [form.per_name, form.per_address].map(|limit| limit.tries);
    assert!(limits == [4, 40] && form.per_name.per.as_secs() == 1800);
    assert_eq!(form.look.texts.tags().collect::<Vec<_>>(), ["de", "en"]);
    assert!(form.look.title.is_some() && form.look.logo.is_some());
    assert_eq!(config.trusted_proxies.len(), 2);

    for name in ["X_CUSTOMER_ID", "x-assertion"] {
        assert!(config.managed_headers.covers(name));
    }
    assert_eq!(config.managed_members.paths().len(), 1);

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
fn links_become_ours_wherever_customers_log_in() {
    let dir = keys();
    let link = "[channel.help.link]\nprefix = \"https://bot.example/login\"\n[channel.help.oidc]";
    let text = GOOD.replace("[channel.help.oidc]", link);
    let (config, _) = good(&text, dir.path());
    assert!(config.channel("help").unwrap().link.is_some());
}

#[test]
fn a_provider_needs_little() {
    let dir = keys();
    let (before, _) = GOOD.split_once("[channel.help.oidc]").unwrap();
    let key = "{ algorithm = \"ES256\", kid = \"k\", audience = \"token_endpoint\", pem = { file = \"keys/assertion.pem\" } }";
    let text = format!(
        "{before}[channel.help.oidc]\nissuer = \"https://login.example.com\"\n\
         client_id = \"chatgate\"\nprivate_key = {key}\n"
    );
    let (config, warnings) = good(&text, dir.path());
    assert_eq!(warnings, Vec::new());
    let login = config.channel("help").unwrap().login.as_ref().unwrap();
    let provider = login.provider().unwrap();
    assert!(matches!(
        provider.authentication,
        ClientAuthentication::PrivateKey {
            to_endpoint: true,
            ..
        }
    ));
    assert_eq!((&*provider.scopes, &*provider.subject), ("openid", "sub"));
    assert!(provider.claims.is_none() && !provider.userinfo && provider.prompt.is_none());
    assert_eq!(provider.levels.otherwise, None);
    assert!(provider.algorithms.len() >= 8);
    assert!(check::summary(&config).contains("login at the provider https://login.example.com"));
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
    assert_eq!(summary.lines().count(), 2 + 6 + 9 + 1, "{summary}");
    assert!(
        summary.contains("→ bot (https://bot.internal:5005)"),
        "{summary}"
    );
}

/// Everything that is read once, at the start of the process.
#[test]
fn what_only_a_restart_changes_is_told_from_what_a_reload_does() {
    let dir = keys();
    let (old, _) = good(GOOD, dir.path());
    let needs_restart = |from: &str, to: &str| {
        assert_eq!(GOOD.matches(from).count(), 1, "{from}");
        let (new, _) = good(&GOOD.replace(from, to), dir.path());
        old.needs_restart(&new)
    };
    for (from, to) in [
        ("drain_timeout = \"10s\"", "drain_timeout = \"11s\""),
        ("workers = 2", "workers = 3"),
        (
            "extra_roots = \"tls/chain.pem\"",
            "extra_roots = \"other/chain.pem\"",
        ),
        ("idle = \"20s\"", "idle = \"21s\""),
        ("write = \"40s\"", "write = \"41s\""),
        ("127.0.0.1:8443", "127.0.0.1:8444"),
        ("/key.pem\" }\nhttp2 = true", "/key.pem\" }\nhttp2 = false"),
        ("127.0.0.1:9090", "127.0.0.1:9091"),
        ("level = \"debug\"", "level = \"info\""),
        ("max_interactions = 1_000", "max_interactions = 1_001"),
        ("max_bytes = \"64MiB\"", "max_bytes = \"65MiB\""),
    ] {
        assert!(needs_restart(from, to), "{to}");
    }
    for (from, to) in [
        ("body = \"30s\"", "body = \"31s\""),
        ("/.gate", "/.gates"),
        ("\"10.0.0.0/8\", ", ""),
    ] {
        assert!(!needs_restart(from, to), "{to}");
    }
}

#[test]
fn the_summary_says_what_proofs_that_count_once_may_take() {
    let dir = keys();
    let uses = |text: &str| {
        let (config, _) = good(text, dir.path());
        let most = 28 * config.single_uses();
        let line = format!("memory of proofs that count once: at most {most} MiB");
        let summary = check::summary(&config);
        assert!(summary.contains(&line), "{summary}");
        config.single_uses()
    };
    let all = uses(GOOD);
    for (from, to, less) in [
        ("single_use = true\nlevel", "single_use = false\nlevel", 1),
        ("max_failures = 5\nlogout_key", "logout_key", 1),
        // The page's key is good for that, too.
        ("logout_key = { file = \"keys/old.key\" }\n", "", 0),
        // Ours is counted elsewhere.
        ("max_failures = 3\n", "", 0),
    ] {
        assert_eq!(GOOD.matches(from).count(), 1, "{from}");
        assert_eq!(uses(&GOOD.replace(from, to)), all - less, "{from}");
    }
}
