//! All routes: which of them a method, a host and a path belong to.

mod tree;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use http::Method;

use super::{Channel, Kind, Route};
use tree::{Node, Pattern};

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
pub struct Matched<'r> {
    /// The route.
    pub route: &'r Arc<Route>,
    pattern: &'r Pattern,
    /// Without its first slash.
    path: &'r str,
}

impl Matched<'_> {
    /// What its pattern captures: names and raw values. What is percent-encoded stays so.
    pub fn params(&self) -> Vec<(Box<str>, Box<str>)> {
        self.pattern.capture(self.path)
    }
}

impl Routes {
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
    pub fn find<'r>(&'r self, method: &Method, host: &str, path: &'r str) -> Option<Matched<'r>> {
        let path = path.strip_prefix('/')?;
        let (route, pattern) = self.look(&self.exact, method, host, path)?;
        Some(Matched {
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

    /// Whether a channel's answers come by webhooks.
    pub fn has_webhooks(&self, channel: &Channel) -> bool {
        self.webhooks.contains(&channel.name)
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
