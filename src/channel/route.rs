//! Routes: which channel, and which kind of request, a method, host and path belong to.

use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::{Channel, Upstream};
use crate::message::Selector;

/// What happens on a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Passes untouched, managed headers removed.
    Pass,
    /// Opens a chat: the proof is verified, the interaction bound.
    PreChat,
    /// Carries messages: answers are judged.
    Message,
    /// Ends the interaction: its state goes.
    End,
    /// Refused.
    Deny,
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
    /// Methods; empty means any.
    pub methods: Vec<Method>,
    /// Lower-case host, or `*.example.com`; `None` means any.
    pub host: Option<Box<str>>,
    /// The pattern, `matchit` syntax: `/chats/{id}/messages`, `/{*rest}`.
    pub path: Box<str>,
    /// Where the interaction id is.
    pub interaction: Option<Selector>,
    /// Whether a proof is asked for.
    pub enforcement: Enforcement,
    /// Longest request body that is read where the route needs it read, in bytes (at most 64 KiB).
    pub max_body: usize,
    /// Longest pause of the upstream, where it differs from the upstream's own.
    pub read_timeout: Option<Duration>,
}

/// All routes, ready to be asked.
#[derive(Debug, Default)]
pub struct Routes {
    _todo: (),
}

/// Two routes that match the same requests, by their index.
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

/// A matched route and what its pattern captured.
#[derive(Debug)]
pub struct Match<'r> {
    /// The route.
    pub route: &'r Arc<Route>,
    /// Captured names and raw values.
    pub params: Vec<(Box<str>, Box<str>)>,
}

impl Routes {
    /// Builds the table. Specificity: an exact host before `*.` before any; then
    /// the path (`matchit`: static before parameter before catch-all); then a
    /// listed method before any.
    pub fn new(routes: Vec<Arc<Route>>) -> Result<Self, Vec<RouteError>> {
        todo!()
    }

    /// The most specific route; the path is matched whole, as it is.
    pub fn find(&self, method: &Method, host: &str, path: &str) -> Option<Match<'_>> {
        todo!()
    }

    /// All routes.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        std::iter::empty()
    }
}
