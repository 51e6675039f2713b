//! `chatgate check`: prints every mistake of a configuration, or what it says.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::say;
use crate::channel::socket::Lapse;
use crate::channel::{Channel, Enforcement, Kind, LoginPlace, Owner, Resume, Route, Socket};
use crate::config::selector::described;
use crate::config::units::written;
use crate::config::{Config, Diagnostic, load};
use crate::identity::jwt::ReplayCache;
use crate::identity::records::{Match, Unreachable};
use crate::interaction::Level;

/// Checks the file; errors and warnings go to standard error, the summary to
/// standard output. Fails when there is an error.
pub fn run(path: &Path) -> ExitCode {
    let (summary, diagnostics, code) = match load(path) {
        Ok((config, warnings)) => (summary(&config), warnings, ExitCode::SUCCESS),
        Err(diagnostics) => (String::new(), diagnostics, ExitCode::FAILURE),
    };
    eprint!("{}", shown(&diagnostics));
    say(&summary);
    if diagnostics.is_empty() {
        say(&format!("{}: no mistakes\n", path.display()));
    }
    code
}

/// All diagnostics, and how many there are of each kind.
pub fn shown(diagnostics: &[Diagnostic]) -> String {
    let mut text = String::new();
    for diagnostic in diagnostics {
        let _ = writeln!(text, "{diagnostic}");
    }
    let Some(first) = diagnostics.first() else {
        return text;
    };
    let errors = diagnostics.iter().filter(|d| d.is_error()).count();
    let counts = [(errors, "error"), (diagnostics.len() - errors, "warning")];
    let counts: Vec<_> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}{}", if *count == 1 { "" } else { "s" }))
        .collect();
    let _ = writeln!(text, "{}: {}", first.file.display(), counts.join(", "));
    text
}

/// One line per listener, channel and route, and one for the memory beside the store.
pub fn summary(config: &Config) -> String {
    let mut text = String::new();
    for listener in &config.listeners {
        let tls = if listener.tls.is_some() {
            "https"
        } else {
            "http"
        };
        let http2 = if listener.http2 { ", HTTP/2" } else { "" };
        let _ = writeln!(text, "listener {tls} on {}{http2}", listener.address);
    }
    for channel in &config.channels {
        let _ = writeln!(text, "channel {}: {}", channel.name, said(channel, config));
        let own = |route: &&std::sync::Arc<Route>| std::sync::Arc::ptr_eq(&route.channel, channel);
        for route in config.routes.iter().filter(own) {
            let _ = writeln!(text, "  {}", line(route, config));
        }
    }
    let uses = config.single_uses();
    if uses > 0 {
        let most = (uses * ReplayCache::BYTES) >> 20;
        let places = if uses == 1 { "place" } else { "places" };
        let _ = writeln!(
            text,
            "memory of proofs that count once: at most {most} MiB, in {uses} {places}"
        );
    }
    text
}

fn said(channel: &Channel, config: &Config) -> String {
    let mut parts = Vec::new();
    for verifier in &channel.verifiers {
        let level = config.level_name(verifier.level);
        parts.push(format!("proof {} ({level})", verifier.name));
    }
    for rule in &channel.matches {
        parts.push(matched(rule));
    }
    parts.push(match &channel.login {
        Some(login) => match &login.place {
            LoginPlace::Page(signing) => format!("login at {}", signing.page.url),
            LoginPlace::Provider(provider) => format!("login at the provider {}", provider.issuer),
            LoginPlace::Form(form) => {
                format!(
                    "login at our own page, in the directory {}",
                    form.directory.name
                )
            }
        },
        None => "no login".into(),
    });
    let clocks = &channel.clocks;
    let span = |span: Option<Duration>| span.map_or("never".into(), written);
    if channel.login.is_some() {
        parts.push(format!("login URL expires {}", after(clocks.token_ttl)));
    }
    let mut counts = format!("login counts {}", limit(clocks.authentication_timeout));
    for (level, timeout) in &clocks.level_timeouts {
        let name = config.level_name(*level);
        let _ = write!(counts, ", as {name} for {}", written(*timeout));
    }
    parts.push(counts);
    parts.push(format!("idle end {}", span(clocks.interaction_timeout)));
    if let Some(absolute) = clocks.absolute_timeout {
        parts.push(format!("ends after {}", written(absolute)));
    }
    let flags: Vec<_> = channel.flags.iter().map(|flag| &*flag.name).collect();
    if !flags.is_empty() {
        parts.push(format!("flags {}", flags.join(", ")));
    }
    if let Some(login) = &channel.login {
        parts.push(match &login.resume {
            Resume::None => "then nothing".into(),
            Resume::Replay { .. } => "then replay".into(),
            Resume::Notify(call) => format!("then notify by {}", call.method),
            Resume::Release(release) => {
                let most = release.bounds.messages;
                format!("then release, at most {most} messages")
            }
        });
    }
    parts.push(match &channel.owner {
        None => "no owner".into(),
        Some(Owner::Selector(selector)) => format!("owner by {}", described(selector)),
        Some(Owner::Claim(claim)) => format!("owner by claim {claim}"),
        Some(Owner::Cookie { secure }) => {
            format!("owner by cookie {}", Owner::cookie_name(*secure))
        }
    });
    let inject = &channel.inject;
    let headers = inject.headers.iter().map(|(name, _)| name.to_string());
    let members = inject.members.iter().map(|(path, _)| path.0.join("."));
    let asserted = inject.assertion.iter().map(|a| a.header.to_string());
    let injected: Vec<_> = headers.chain(members).chain(asserted).collect();
    if !injected.is_empty() {
        parts.push(format!("injects {}", injected.join(", ")));
    }
    if channel.side_call.is_some() {
        parts.push("side call".into());
    }
    if let Some(socket) = &channel.socket {
        parts.push(sockets(socket));
    }
    parts.join("; ")
}

fn matched(rule: &Match) -> String {
    let mut text = format!("match {} in {}", rule.name, rule.directory.name);
    let equal = rule.equal.iter().map(|equal| equal.claim.0.join("."));
    let fetched = rule.fetch.iter().map(|fetch| fetch.claim.to_string());
    for (word, names) in [
        ("equal", equal.collect::<Vec<_>>()),
        ("fetches", fetched.collect()),
    ] {
        if !names.is_empty() {
            let _ = write!(text, ", {word} {}", names.join(" "));
        }
    }
    match rule.unreachable {
        Unreachable::Deny => text,
        Unreachable::Pass => text + ", passes while that is unreachable",
    }
}

fn sockets(socket: &Socket) -> String {
    let origins = socket
        .origins
        .iter()
        .filter_map(|origin| origin.to_str().ok());
    let origins: Vec<_> = origins.collect();
    let end = match &socket.lapse {
        Lapse::Anonymous => "anonymous after the login".into(),
        Lapse::Close(close) => format!("closed with {} after the login", close.code),
    };
    format!("sockets from {}, {end}", origins.join(", "))
}

fn after(span: Option<Duration>) -> String {
    span.map_or("never".into(), |span| format!("after {}", written(span)))
}

fn limit(span: Option<Duration>) -> String {
    span.map_or("until the end".into(), |span| {
        format!("for {}", written(span))
    })
}

fn line(route: &Route, config: &Config) -> String {
    let kind = route.kind.name();
    let methods: Vec<_> = route.methods.iter().map(|method| method.as_str()).collect();
    let methods = if methods.is_empty() {
        "any".into()
    } else {
        methods.join(",")
    };
    let host = route.host.as_deref().unwrap_or("");
    let mut text = format!("{kind:<8} {methods} {host}{}", route.path);
    if let Some(interaction) = &route.interaction {
        let _ = write!(text, ", interaction in {}", described(interaction));
    }
    let enforcement = match route.enforcement {
        Enforcement::Off => "",
        Enforcement::Observe => ", proof observed",
        Enforcement::Required => ", proof required",
        Enforcement::Optional => ", proof optional",
    };
    text.push_str(enforcement);
    if route.level > Level::ANONYMOUS {
        let _ = write!(text, ", {} only", config.level_name(route.level));
    }
    let signatures = &route.signatures;
    let names: Vec<_> = signatures.verify.iter().map(|one| &*one.name).collect();
    if !names.is_empty() {
        let _ = write!(text, ", signed by {}", names.join(" or "));
    } else if route.kind == Kind::Webhook {
        text.push_str(", from whoever reaches it");
    }
    if let Some(sign) = &signatures.sign {
        let _ = write!(text, ", leaves signed by {}", sign.name);
    }
    if route.kind != Kind::Deny {
        let _ = write!(
            text,
            " → {} ({})",
            route.upstream.name,
            route.upstream.origin()
        );
    }
    text
}
