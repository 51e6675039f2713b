//! The configuration: TOML as written → checked values that cannot be wrong.
//!
//! `reader` walks the spanned TOML tree and collects *every* mistake;
//! [`diagnostic`] shows one with file, line, column, the offending text and the
//! nearest valid name. One file per section turns tables into domain values.

mod call;
mod channel;
pub mod diagnostic;
mod directory;
mod flag;
mod identity;
mod inject;
mod link;
mod linking;
mod login;
mod login_page;
mod names;
mod oauth;
mod oidc;
mod outcome;
mod owner;
mod reader;
mod records;
mod resume;
mod route;
mod secret;
pub mod selector;
mod server;
mod signature;
mod socket;
mod source;
mod stream;
mod template;
#[cfg(test)]
mod tests;
mod tls;
pub mod units;
mod upstream;
mod url;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeTable;

use crate::channel::{Channel, Login, Routes, Upstream};
use crate::directory::Directory;
use crate::identity::Kind;
use crate::interaction::{Level, Limits};
use crate::message::header::ManagedHeaders;
use crate::message::managed::ManagedMembers;
use crate::message::network::Network;

pub use diagnostic::{Diagnostic, Severity};

use diagnostic::Place;
use reader::{Report, Table};
use source::{Source, Visible};

/// Reads a configuration file and all files that it names.
///
/// # Errors
/// Every mistake in it, in the order of the file, warnings among them. The
/// warnings of a good configuration come along with it.
pub fn load(path: &Path) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    let bytes =
        std::fs::read(path).map_err(|error| whole(path, format!("cannot be read: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        whole(path, format!("is not UTF-8 at byte {at}"))
    })?;
    parse(text, path)
}

/// Reads a configuration from its text. `path` is what it is called in
/// diagnostics; files that it names are relative to `path`'s directory.
///
/// # Errors
/// As [`load`].
pub fn parse(
    text: impl Into<String>,
    path: &Path,
) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    let source = Source::new(path, text.into());
    let (tree, errors) = DeTable::parse_recoverable(source.text());
    if !errors.is_empty() {
        return Err(syntax(&source, errors));
    }
    let report = Report::new(&source, tree.get_ref());
    let config = assemble(&report, tree.get_ref());
    let failed = report.failed();
    let diagnostics = report.diagnostics();
    if failed {
        return Err(diagnostics);
    }
    Ok((config, diagnostics))
}

/// A checked configuration. One snapshot of it serves a request from beginning to end.
#[derive(Debug)]
pub struct Config {
    /// Where customers come in.
    pub listeners: Vec<Listener>,
    /// The private listener; `None` has none.
    pub admin: Option<SocketAddr>,
    /// Logs.
    pub log: Log,
    /// What is left to requests under way when chatgate is asked to end.
    pub drain_timeout: Duration,
    /// How long clients are waited for.
    pub timeouts: Timeouts,
    /// Worker threads; `None` means one per core.
    pub workers: Option<usize>,
    /// Our own address as customers see it, without a trailing slash.
    pub public_url: Box<str>,
    /// The path under which our own endpoints live: `/.chatgate`.
    pub endpoints: Box<str>,
    /// Names of the levels above anonymous, lowest first.
    pub levels: Vec<Box<str>>,
    /// What the store may hold.
    pub limits: Limits,
    /// PEM roots for the calls we make ourselves, beside the system's.
    pub extra_roots: Option<Vec<u8>>,
    /// Networks whose `X-Forwarded-For` is believed; empty believes nobody's.
    pub trusted_proxies: Vec<Network>,
    /// Backends.
    pub upstreams: Vec<Arc<Upstream>>,
    /// Where the company's records are.
    pub directories: Vec<Arc<Directory>>,
    /// Channels.
    pub channels: Vec<Arc<Channel>>,
    /// Routes of all channels.
    pub routes: Routes,
    /// Header names removed from every request, of all channels.
    pub managed_headers: ManagedHeaders,
    /// Body members removed from every JSON request, of all channels.
    pub managed_members: ManagedMembers,
}

/// How long clients are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the head of the next request is there, as a whole.
    pub idle: Duration,
    /// Between two pieces of a request's body, and for the whole of one that is read
    /// in advance.
    pub body: Duration,
    /// Until they read more of an answer.
    pub write: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Self {
            idle: minute,
            body: minute,
            write: minute,
        }
    }
}

/// Where customers come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Address and port.
    pub address: SocketAddr,
    /// TLS certificate chain and key, PEM files.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Whether HTTP/2 is offered (TLS only).
    pub http2: bool,
}

/// Logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// JSON lines, else readable ones.
    pub json: bool,
    /// `error`, `warn`, `info`, `debug`, `trace`.
    pub level: tracing::Level,
}

/// Reads everything. What is broken is reported and left out.
fn assemble<'t>(report: &'t Report<'t>, tree: &'t DeTable<'t>) -> Config {
    let root = Table::root(report, tree);
    let server = server::Server::read(&root);
    let listeners = server::listeners(&root);
    let levels = server::Levels::read(&root);
    let upstreams = upstream::Upstreams::read(&root);
    let directories = directory::Directories::read(&root, &server);
    let shared = channel::Shared {
        server: &server,
        levels: &levels,
        upstreams: &upstreams,
        directories: &directories,
    };
    let (channels, written) = channel::channels(&root, &shared);
    let injected = || channels.iter().map(|channel| &channel.inject);
    let asserted = injected().filter_map(|inject| inject.assertion.as_ref());
    let headers = injected()
        .flat_map(|inject| &inject.headers)
        .map(|(name, _)| name.as_str())
        .chain(asserted.map(|assertion| assertion.header.as_str()));
    let members = injected().flat_map(|inject| &inject.members);
    Config {
        admin: server::admin(&root, &listeners),
        listeners,
        log: server::log(&root),
        drain_timeout: server.drain_timeout,
        timeouts: server.timeouts,
        workers: server.workers,
        public_url: server.public_text(),
        limits: server::limits(&root),
        managed_headers: ManagedHeaders::new(headers),
        managed_members: ManagedMembers::new(members.map(|(path, _)| path)),
        routes: route::table(report, &written),
        endpoints: server.endpoints,
        trusted_proxies: server.trusted_proxies,
        levels: levels.0,
        extra_roots: server.extra_roots,
        upstreams: upstreams.all(),
        directories: directories.all(),
        channels,
    }
}

/// A file that is not TOML: only that is said, since nothing in it has a sure meaning.
fn syntax(source: &Source, errors: Vec<toml::de::Error>) -> Vec<Diagnostic> {
    let error = |error: toml::de::Error| {
        let span = error.span().unwrap_or_default();
        Diagnostic {
            severity: Severity::Error,
            file: source.path.clone(),
            place: Some(reader::place(source, &span, &Visible::Structure)),
            message: format!("this is not TOML: {}", error.message()),
            help: None,
            related: None,
        }
    };
    let mut diagnostics: Vec<_> = errors.into_iter().map(error).collect();
    let order = |place: &Place| (place.line, place.column);
    diagnostics.sort_by_key(|diagnostic| diagnostic.place.as_ref().map(order));
    if let Some(last) = diagnostics.last_mut() {
        last.help = Some("all else is checked once the file can be read".into());
    }
    diagnostics
}

fn whole(path: &Path, message: String) -> Vec<Diagnostic> {
    vec![Diagnostic {
        severity: Severity::Error,
        file: path.to_owned(),
        place: None,
        message,
        help: None,
        related: None,
    }]
}

impl Config {
    /// The name of a level; `anonymous` for level zero.
    pub fn level_name(&self, level: Level) -> &str {
        match level.0 {
            0 => "anonymous",
            n => self
                .levels
                .get(usize::from(n) - 1)
                .map_or("anonymous", |name| name),
        }
    }

    /// The level of a name; `None` for a name that is not configured.
    pub fn level(&self, name: &str) -> Option<Level> {
        let place = self.levels.iter().position(|known| **known == *name)?;
        Some(Level(u8::try_from(place + 1).ok()?))
    }

    /// Whether what only a restart changes is another in `other`.
    pub fn needs_restart(&self, other: &Self) -> bool {
        let limits = |config: &Self| (config.limits.interactions, config.limits.bytes);
        self.listeners != other.listeners
            || self.admin != other.admin
            || self.workers != other.workers
            || self.drain_timeout != other.drain_timeout
            || self.timeouts.idle != other.timeouts.idle
            || self.timeouts.write != other.timeouts.write
            || self.log != other.log
            || self.extra_roots != other.extra_roots
            || limits(self) != limits(other)
    }

    /// The URL of one of our own endpoints, at a path like `/login/`.
    pub fn own_url(&self, path: &str, rest: &str) -> String {
        let (server, endpoints) = (&self.public_url, &self.endpoints);
        format!("{server}{endpoints}{path}{rest}")
    }

    /// How many uses of channels have proofs that count once, each with places of its own
    /// in the memory for those.
    pub fn single_uses(&self) -> usize {
        let once = |channel: &Channel| {
            let verifiers = channel
                .verifiers
                .iter()
                .filter(|verifier| matches!(&verifier.kind, Kind::Jwt(jwt) if jwt.single_use));
            let login = channel.login.as_ref();
            let failures = login.filter(|login| login.max_failures.is_some());
            let provider = login.and_then(Login::provider);
            verifiers.count()
                + usize::from(channel.logout_keys().is_some())
                + usize::from(failures.and_then(Login::page).is_some())
                + usize::from(provider.is_some_and(|provider| provider.oauth.is_none()))
        };
        let signatures = self.routes.iter().flat_map(|route| {
            let verify = route.signatures.verify.iter().filter(|one| one.single_use);
            verify.map(|one| (&route.channel.name, &one.name))
        });
        let signatures: BTreeSet<_> = signatures.collect();
        let channels = self.channels.iter().map(|channel| once(channel));
        channels.sum::<usize>() + signatures.len()
    }

    /// A channel by name.
    pub fn channel(&self, name: &str) -> Option<&Arc<Channel>> {
        self.channels.iter().find(|channel| *channel.name == *name)
    }
}
