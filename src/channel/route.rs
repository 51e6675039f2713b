//! Routes: which channel, and which kind of request, a method, host and path belong to.

mod tree;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};

use super::{Channel, Owner, Resume, Signatures, Upstream};
use crate::identity::Verifier;
use crate::interaction::Level;
use crate::message::{Body, Selector};
use tree::{Node, Pattern};

/// What happens on a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Passes untouched, managed headers removed.
    Pass,
    /// Opens a chat: the proof is verified, the interaction bound.
    PreChat,
    /// Carries messages: answers are judged.
    Message,
    /// Carries messages from the backend to the client: requests are judged.
    Webhook,
    /// Takes the login away; the interaction goes on.
    Logout,
    /// Ends the interaction: its state goes.
    End,
    /// Refused.
    Deny,
}

impl Kind {
    /// The name that an operator writes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::PreChat => "pre-chat",
            Self::Message => "message",
            Self::Webhook => "webhook",
            Self::Logout => "logout",
            Self::End => "end",
            Self::Deny => "deny",
        }
    }
}

/// Whether a proof is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enforcement {
    /// Proofs are not looked at.
    Off,
    /// Verified and logged; the request passes as anonymous whatever comes out.
    Observe,
    /// No identity, no passage.
    Required,
    /// A valid proof counts, an absent one is anonymous, an invalid one is refused.
    Optional,
}

/// One route.
#[derive(Debug)]
pub struct Route {
    /// Its name in logs: channel and pattern.
    pub name: Box<str>,
    /// What happens on it.
    pub kind: Kind,
    /// Its channel.
    pub channel: Arc<Channel>,
    /// Where it leads.
    pub upstream: Arc<Upstream>,
    /// Methods; empty means any. `GET` does not imply `HEAD`.
    pub methods: Vec<Method>,
    /// Host without port, or `*.example.com` for all below it; `None` means any.
    pub host: Option<Box<str>>,
    /// The pattern: `/chats/{id}/messages`, `/files/{name}.png`, `/{*rest}`. A
    /// parameter is never empty, so `/{*rest}` does not match `/`.
    pub path: Box<str>,
    /// Where the interaction id is.
    pub interaction: Option<Selector>,
    /// Whether a proof is asked for.
    pub enforcement: Enforcement,
    /// The level below which the backend sees no request; [`Level::ANONYMOUS`] demands none.
    pub level: Level,
    /// How its requests are signed.
    pub signatures: Signatures,
    /// Longest request body that is read where the route needs it read, in bytes.
    pub max_body: usize,
    /// Longest pause of the upstream, where it differs from the upstream's own.
    pub read_timeout: Option<Duration>,
}

impl Route {
    /// Whether anything is asked of its requests: a chat, a proof.
    pub fn asks(&self) -> bool {
        let passes = self.kind == Kind::Pass && self.enforcement == Enforcement::Off;
        !passes || self.interaction.is_some()
    }

    /// The level below which nothing that is open on it goes on.
    pub fn least(&self) -> Level {
        match self.enforcement {
            Enforcement::Required => self.level.max(Level(1)),
            _ => self.level,
        }
    }

    /// A request's body that was read as a whole. A webhook's may come in a coding.
    pub fn body(&self, headers: &HeaderMap, body: Bytes) -> Body {
        match self.kind {
            Kind::Webhook => Body::of(headers, body, self.channel.inspection.max_body),
            _ => Body::new(body),
        }
    }

    /// Longest request body that is read, in bytes.
    pub fn longest_body(&self) -> usize {
        match self.kind {
            Kind::Webhook => self.max_body.min(self.channel.inspection.max_body),
            _ => self.max_body,
        }
    }

    /// Whether something on this route depends on the request's body.
    pub fn reads_body(&self) -> bool {
        let channel = &self.channel;
        let conversation = matches!(
            self.kind,
            Kind::Message | Kind::PreChat | Kind::Logout | Kind::End
        );
        let proves = self.enforcement != Enforcement::Off;
        self.interaction
            .as_ref()
            .is_some_and(|selector| selector.needs_body())
            || conversation && !channel.inject.members.is_empty()
            || conversation
                && matches!(&channel.owner, Some(Owner::Selector(selector)) if selector.needs_body())
            || proves && channel.verifiers.iter().any(Verifier::needs_body)
            || self.signatures.need_body()
            || self.kind == Kind::Webhook
            || self.kind == Kind::Message
                && channel.login.as_ref().is_some_and(|login| {
                    login.linking.is_some()
                        || matches!(login.resume, Resume::Replay { .. })
                        || login
                            .challenge
                            .captures
                            .iter()
                            .any(|(_, selector)| selector.needs_body())
                })
    }
}

/// All routes, ready to be asked.
#[derive(Debug, Default)]
pub struct Routes {
    all: Vec<(Arc<Route>, Pattern)>,
    exact: Table,
    /// The same routes as a careless backend might read them.
    folded: Table,
    /// The channels that have a route of kind `webhook`.
    webhooks: HashSet<Arc<str>>,
}

/// Patterns by host.
#[derive(Debug, Default)]
struct Table {
    /// Routes of one host, by its lower-case name.
    hosts: HashMap<Box<str>, Node>,
    /// Routes of all hosts that end in `.example.com`, the longest first.
    domains: Vec<(Box<str>, Node)>,
    /// Routes of any host.
    any: Node,
}

/// What is wrong with routes, which are told by their index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// The pattern cannot be read.
    Pattern {
        /// Which route.
        route: usize,
        /// What is wrong.
        message: String,
    },
    /// Two routes match the same requests and neither is more specific.
    Tie {
        /// The earlier one.
        first: usize,
        /// The later one.
        second: usize,
    },
}

/// A matched route.
#[derive(Debug)]
pub struct Match<'r> {
    /// The route.
    pub route: &'r Arc<Route>,
    pattern: &'r Pattern,
    /// Without its first slash.
    path: &'r str,
}

impl Match<'_> {
    /// What its pattern captures: names and raw values. What is percent-encoded stays so.
    pub fn params(&self) -> Vec<(Box<str>, Box<str>)> {
        self.pattern.capture(self.path)
    }
}

impl Routes {
    /// Whether a channel's answers come by webhooks.
    pub fn has_webhooks(&self, channel: &Channel) -> bool {
        self.webhooks.contains(&channel.name)
    }

    /// Builds the table. Specificity: an exact host before `*.` (the longer one
    /// first) before any; then the path, from left to right: text before a
    /// parameter before a catch-all; then a listed method before any. The errors
    /// are all there are.
    pub fn new(routes: Vec<Arc<Route>>) -> Result<Self, Vec<RouteError>> {
        let mut table = Self::default();
        let mut errors = Vec::new();
        for (index, route) in routes.into_iter().enumerate() {
            if route.kind == Kind::Webhook {
                table.webhooks.insert(route.channel.name.clone());
            }
            let error = |message| RouteError::Pattern {
                route: index,
                message,
            };
            let pattern = Pattern::parse(&route.path).map_err(error);
            let node = table.exact.host(route.host.as_deref()).map_err(error);
            // A route that cannot be read keeps its place, so that indices hold.
            let mut kept = Pattern::default();
            match (pattern, node) {
                (Ok(pattern), Ok(node)) => {
                    let ties = node.insert(&pattern, &route.methods, index);
                    errors.extend(ties.into_iter().map(|first| RouteError::Tie {
                        first,
                        second: index,
                    }));
                    kept = pattern;
                }
                (pattern, node) => errors.extend([pattern.err(), node.err()].into_iter().flatten()),
            }
            table.all.push((route, kept));
        }
        // Of two routes that fold into one, the first one in stays: the stricter.
        for strict in [true, false] {
            for (index, (route, pattern)) in table.all.iter().enumerate() {
                if strict == (route.kind != Kind::Pass)
                    && let Ok(node) = table.folded.host(route.host.as_deref())
                {
                    node.insert(&pattern.folded(), &route.methods, index);
                }
            }
        }
        table.exact.sort();
        table.folded.sort();
        if errors.is_empty() {
            Ok(table)
        } else {
            Err(errors)
        }
    }

    /// The most specific route; the path is matched whole, as it is. Where a more
    /// specific one does not have the method, a less specific one may.
    ///
    /// The host is compared in any case and without its port. A host with a
    /// trailing dot matches nothing at all: it is another spelling of a name that
    /// may have routes of its own.
    ///
    /// A `HEAD` that would merely pass goes where its `GET` is judged: backends
    /// answer it with the headers of that very answer.
    pub fn find<'r>(&'r self, method: &Method, host: &str, path: &'r str) -> Option<Match<'r>> {
        let path = path.strip_prefix('/')?;
        let (route, pattern) = self.look(&self.exact, method, host, path)?;
        Some(Match {
            route,
            pattern,
            path,
        })
    }

    /// Whether a request that merely passes would be another, stricter route's to a
    /// backend that ignores case, a slash at the end or percent-encoding. `passing`
    /// is what [`Routes::find`] found.
    pub fn is_disguised(&self, method: &Method, host: &str, path: &str, passing: &Route) -> bool {
        let strange = |b: u8| b.is_ascii_uppercase() || b == b'%';
        let spelled = path.ends_with('/') || path.bytes().any(strange);
        if passing.kind != Kind::Pass || *passing.path == *path || !spelled {
            return false;
        }
        let folded = tree::fold(path.strip_prefix('/').unwrap_or(path));
        let meant = self.look(&self.folded, method, host, &folded);
        meant.is_some_and(|(route, _)| route.kind != Kind::Pass)
    }

    /// The route of a path without its first slash, by one of the tables.
    fn look(
        &self,
        table: &Table,
        method: &Method,
        host: &str,
        path: &str,
    ) -> Option<&(Arc<Route>, Pattern)> {
        let of = |method| self.all.get(table.find(method, host, path)?);
        let judged = |found: &&(Arc<Route>, Pattern)| found.0.kind != Kind::Pass;
        let found = of(method)?;
        if *method != Method::HEAD || judged(&found) {
            return Some(found);
        }
        of(&Method::GET).filter(judged).or(Some(found))
    }

    /// All routes.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.all.iter().map(|(route, _)| route)
    }
}

impl Table {
    /// The route of a host and a path without its first slash.
    fn find(&self, method: &Method, host: &str, path: &str) -> Option<usize> {
        let host = without_port(host);
        if host.ends_with('.') {
            return None;
        }
        let exact = || self.hosts.get(&*lower_case(host))?.find(path, method);
        let below = || {
            let mut domains = self.domains.iter();
            domains.find_map(|(domain, node)| {
                is_below(host, domain).then(|| node.find(path, method))?
            })
        };
        exact()
            .or_else(below)
            .or_else(|| self.any.find(path, method))
    }

    fn sort(&mut self) {
        self.domains
            .sort_by_key(|(domain, _)| std::cmp::Reverse(domain.len()));
    }

    /// Where the routes of a configured host go.
    fn host(&mut self, host: Option<&str>) -> Result<&mut Node, String> {
        let Some(host) = host else {
            return Ok(&mut self.any);
        };
        let host = host.to_ascii_lowercase();
        let name = host.strip_prefix("*.").unwrap_or(&host);
        let literal = name.starts_with('[') && name.ends_with(']');
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let labels = !name.split('.').any(str::is_empty);
        if !(literal || labels && name.bytes().all(plain)) {
            return Err(format!(
                "`{host}` is not a host: expected a name without port, or `*.` and a name"
            ));
        }
        let Some(domain) = host.strip_prefix('*') else {
            return Ok(self.hosts.entry(host.into()).or_default());
        };
        let place = match self
            .domains
            .iter()
            .position(|(known, _)| **known == *domain)
        {
            Some(place) => place,
            None => {
                self.domains.push((domain.into(), Node::default()));
                self.domains.len() - 1
            }
        };
        Ok(&mut self.domains[place].1)
    }
}

/// The host of a `Host` header.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Allocates only where there is an upper-case letter.
fn lower_case(host: &str) -> Cow<'_, str> {
    if host.bytes().any(|b| b.is_ascii_uppercase()) {
        host.to_ascii_lowercase().into()
    } else {
        host.into()
    }
}

/// Whether a host ends in `.example.com`, with something before it.
fn is_below(host: &str, domain: &str) -> bool {
    let (host, domain) = (host.as_bytes(), domain.as_bytes());
    host.len() > domain.len() && host[host.len() - domain.len()..].eq_ignore_ascii_case(domain)
}

#[cfg(test)]
mod tests;
