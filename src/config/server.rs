//! What concerns chatgate as a whole: addresses, logs, limits, levels.

use std::net::SocketAddr;
use std::time::Duration;

use super::reader::{Node, Table, Wrong, clean};
use super::url::Url;
use super::{Listener, Log, Timeouts};
use crate::interaction::{Level, Limits};
use crate::message::network::Network;
use crate::message::target::check_path;

/// `[server]`.
pub(super) struct Server {
    pub(super) public_url: Option<Url>,
    pub(super) endpoints: Box<str>,
    pub(super) drain_timeout: Duration,
    pub(super) timeouts: Timeouts,
    pub(super) workers: Option<usize>,
    pub(super) extra_roots: Option<Vec<u8>>,
    pub(super) trusted_proxies: Vec<Network>,
}

/// `[identity]`: the names of the levels above anonymous, lowest first.
pub(super) struct Levels(pub(super) Vec<Box<str>>);

impl Server {
    pub(super) fn read(root: &Table<'_>) -> Self {
        let table = root.need("server").and_then(Node::table);
        let table = table.as_ref();
        let get = |name| table.and_then(|table| table.get(name));
        let public_url = table.and_then(|table| table.need("public_url"));
        let endpoints = get("endpoints").and_then(|node| node.parse(endpoints));
        let drain_timeout = get("drain_timeout").and_then(|node| node.duration_up_to(HOUR));
        let workers = get("workers").and_then(|node| node.integer(1..=1024));
        Self {
            public_url: public_url.and_then(public),
            endpoints: endpoints.unwrap_or_else(|| "/.chatgate".into()),
            drain_timeout: drain_timeout.unwrap_or(Duration::from_secs(30)),
            timeouts: get("timeouts").and_then(timeouts).unwrap_or_default(),
            workers: workers.and_then(|workers| usize::try_from(workers).ok()),
            extra_roots: get("extra_roots").and_then(Node::roots),
            trusted_proxies: get("trusted_proxies")
                .and_then(|node| node.list(network))
                .unwrap_or_default(),
        }
    }

    /// The public URL without a trailing slash.
    pub(super) fn public_text(&self) -> Box<str> {
        let text = self.public_url.as_ref().map_or("", |url| &*url.text);
        text.trim_end_matches('/').into()
    }
}

const HOUR: Duration = Duration::from_secs(3600);

/// `[server.timeouts]`.
fn timeouts(node: Node<'_>) -> Option<Timeouts> {
    let table = node.table()?;
    let limit = |name| table.get(name).and_then(|node| node.duration_up_to(HOUR));
    let usual = Timeouts::default();
    Some(Timeouts {
        idle: limit("idle").unwrap_or(usual.idle),
        body: limit("body").unwrap_or(usual.body),
        write: limit("write").unwrap_or(usual.write),
    })
}

/// An address, or a network in CIDR notation.
fn network(node: Node<'_>) -> Option<Network> {
    let help = "write it like \"10.0.0.0/8\" or \"2001:db8::1\"";
    node.parse(|text| Network::parse(text).ok_or_else(|| Wrong::new("this is not a network", help)))
}

fn public(node: Node<'_>) -> Option<Url> {
    let url = node.private_url("what customers send to this address")?;
    if url.query.is_some() {
        node.error("the public URL must not have a query");
        return None;
    }
    let path = url.path.trim_end_matches('/');
    if !path.is_empty() && check_path(path).is_err() {
        node.error("the path of the public URL can be read in more than one way");
        return None;
    }
    Some(url)
}

fn endpoints(text: &str) -> Result<Box<str>, Wrong> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"/._~-".contains(&b);
    let wrong = || {
        Wrong::new(
            "this is not a path for chatgate's own endpoints",
            "write it like \"/.chatgate\"",
        )
    };
    if !text.starts_with('/') || text.len() < 2 || text.ends_with('/') || !text.bytes().all(legal) {
        return Err(wrong());
    }
    check_path(text).map_err(|_| wrong())?;
    Ok(text.into())
}

/// `[[listener]]`.
pub(super) fn listeners(root: &Table<'_>) -> Vec<Listener> {
    let Some(node) = root.need("listener") else {
        return Vec::new();
    };
    let mut taken: Vec<(SocketAddr, Node<'_>)> = Vec::new();
    let mut listeners = Vec::new();
    for table in node.tables() {
        let address = table.need("address");
        let tls = table.get("tls");
        let http2 = table.get("http2");
        let offered = http2.and_then(Node::boolean);
        if let (Some(http2), Some(true), None) = (http2, offered, tls) {
            let help = "name `tls`, or leave `http2` out";
            http2.error_key(Wrong::new("HTTP/2 is offered over TLS only", help));
        }
        let (tls, encrypted) = (tls.and_then(Node::certificate), tls.is_some());
        let Some((address, node)) = address.and_then(|node| Some((node.address()?, node))) else {
            continue;
        };
        if let Some((_, other)) = taken.iter().find(|(known, _)| *known == address) {
            node.clash(*other, "two listeners have the same address");
        }
        taken.push((address, node));
        listeners.push(Listener {
            address,
            tls,
            http2: offered.unwrap_or(encrypted),
        });
    }
    listeners
}

/// `[admin]`.
pub(super) fn admin(root: &Table<'_>, listeners: &[Listener]) -> Option<SocketAddr> {
    let table = root.get("admin")?.table()?;
    let node = table.need("address")?;
    let address = node.address()?;
    if listeners.iter().any(|listener| listener.address == address) {
        let help = "health and metrics are private: give them a port of their own";
        node.error(Wrong::new("customers come in at this address", help));
    }
    Some(address)
}

/// `[log]`.
pub(super) fn log(root: &Table<'_>) -> Log {
    let table = root.get("log").and_then(Node::table);
    let get = |name| table.as_ref().and_then(|table| table.get(name));
    let json = get("format").and_then(|node| node.choice(&[("lines", false), ("json", true)]));
    let level = get("level").and_then(|node| {
        node.choice(&[
            ("error", tracing::Level::ERROR),
            ("warn", tracing::Level::WARN),
            ("info", tracing::Level::INFO),
            ("debug", tracing::Level::DEBUG),
            ("trace", tracing::Level::TRACE),
        ])
    });
    Log {
        json: json.unwrap_or(false),
        level: level.unwrap_or(tracing::Level::INFO),
    }
}

/// `[store]`.
pub(super) fn limits(root: &Table<'_>) -> Limits {
    let table = root.get("store").and_then(Node::table);
    let get = |name| table.as_ref().and_then(|table| table.get(name));
    let interactions = get("max_interactions").and_then(|node| node.integer(1..=1_000_000_000));
    let bytes = get("max_bytes").and_then(|node| node.size_up_to(1 << 40));
    Limits {
        interactions: interactions
            .and_then(|number| usize::try_from(number).ok())
            .unwrap_or(1_000_000),
        bytes: bytes.unwrap_or(512 << 20),
    }
}

impl Levels {
    pub(super) fn read(root: &Table<'_>) -> Self {
        let usual = || Self(vec!["claimed".into(), "verified".into()]);
        let table = root.get("identity").and_then(Node::table);
        let Some(node) = table.as_ref().and_then(|table| table.get("levels")) else {
            return usual();
        };
        let names = node.list(|node| Some((node.word()?, node)));
        let mut levels: Vec<Box<str>> = Vec::new();
        for (name, node) in names.unwrap_or_default() {
            if *name == *"anonymous" {
                node.error("`anonymous` is below all levels by itself");
            } else if levels.contains(&name) {
                node.error(format!("the level `{}` is named twice", clean(&name)));
            } else {
                levels.push(name);
            }
        }
        if levels.len() > 32 {
            node.error("more than 32 levels");
            levels.truncate(32);
        }
        if levels.is_empty() {
            node.error("there must be at least one level");
            return usual();
        }
        Self(levels)
    }

    /// The level that a string names.
    pub(super) fn level(&self, node: Node<'_>) -> Option<Level> {
        let text = node.text()?;
        let place = self.0.iter().position(|known| **known == *text);
        if place.is_none() {
            let names: Vec<&str> = self.0.iter().map(|name| &**name).collect();
            node.unknown_name(text, &names);
        }
        Some(Level(u8::try_from(place? + 1).ok()?))
    }

    /// The level that a key names.
    pub(super) fn named(&self, node: Node<'_>) -> Option<Level> {
        let place = self.0.iter().position(|known| **known == *node.name);
        if place.is_none() {
            let names: Vec<&str> = self.0.iter().map(|name| &**name).collect();
            node.unknown_key(&names);
        }
        Some(Level(u8::try_from(place? + 1).ok()?))
    }

    /// The name of a level.
    pub(super) fn name(&self, level: Level) -> &str {
        let place = usize::from(level.0).checked_sub(1);
        place
            .and_then(|place| self.0.get(place))
            .map_or("anonymous", |name| name)
    }

    /// What a proof establishes when nobody says: as little as possible.
    pub(super) fn lowest(&self) -> Level {
        Level(1)
    }

    /// What a flag demands when nobody says: as much as possible.
    pub(super) fn highest(&self) -> Level {
        Level(u8::try_from(self.0.len()).unwrap_or(u8::MAX))
    }
}

impl Node<'_> {
    fn address(self) -> Option<SocketAddr> {
        self.parse(|text| {
            text.parse().map_err(|_| {
                Wrong::new(
                    "this is not an address and port",
                    "write it like \"127.0.0.1:8080\", \"0.0.0.0:443\" or \"[::]:443\"",
                )
            })
        })
    }
}
