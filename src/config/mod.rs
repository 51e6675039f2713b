//! The configuration: TOML as written → checked values that cannot be wrong.
//!
//! [`reader`] walks the spanned TOML tree and collects *every* mistake;
//! [`diagnostic`] shows one with file, line, column, the offending text and the
//! nearest valid name. One file per section turns tables into domain values.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::channel::{Channel, Routes, Upstream};
use crate::interaction::store::Limits;
use crate::message::edit::MemberPath;
use crate::message::header::ManagedHeaders;

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
    /// Backends.
    pub upstreams: Vec<Arc<Upstream>>,
    /// Channels.
    pub channels: Vec<Arc<Channel>>,
    /// Routes of all channels.
    pub routes: Routes,
    /// Header names removed from every request, of all channels.
    pub managed_headers: ManagedHeaders,
    /// Body members removed from every JSON request, of all channels.
    pub managed_members: Vec<MemberPath>,
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

impl Config {
    /// The name of a level; `anonymous` for level zero.
    pub fn level_name(&self, level: crate::interaction::Level) -> &str {
        match level.0 {
            0 => "anonymous",
            n => self
                .levels
                .get(usize::from(n) - 1)
                .map_or("anonymous", |name| name),
        }
    }

    /// The level of a name; `None` for a name that is not configured.
    pub fn level(&self, name: &str) -> Option<crate::interaction::Level> {
        let place = self.levels.iter().position(|known| **known == *name)?;
        Some(crate::interaction::Level(u8::try_from(place + 1).ok()?))
    }

    /// A channel by name.
    pub fn channel(&self, name: &str) -> Option<&Arc<Channel>> {
        self.channels.iter().find(|channel| *channel.name == *name)
    }
}
