//! `[[channel.NAME.route]]`, and the table of all routes.

use std::sync::Arc;

use http::Method;

use super::reader::{Node, Report, Table, Wrong, clean, nearest};
use super::selector::Scope;
use super::server::Levels;
use super::signature::Signed;
use super::upstream::Upstreams;
use super::url::host;
use crate::channel::routes::RouteError;
use crate::channel::{Channel, Enforcement, Kind, Route, Routes, Upstream};
use crate::interaction::Level;
use crate::message::Selector;
use crate::message::select::Source;

/// Longest request body that can be read before it is forwarded, in bytes.
const BODY: u64 = 64 << 20;

const KINDS: &[(&str, Kind)] = &[
    (Kind::Pass.name(), Kind::Pass),
    (Kind::PreChat.name(), Kind::PreChat),
    (Kind::Message.name(), Kind::Message),
    (Kind::Webhook.name(), Kind::Webhook),
    (Kind::Logout.name(), Kind::Logout),
    (Kind::End.name(), Kind::End),
    (Kind::Deny.name(), Kind::Deny),
];

const ENFORCEMENTS: &[(&str, Enforcement)] = &[
    ("off", Enforcement::Off),
    ("observe", Enforcement::Observe),
    ("optional", Enforcement::Optional),
    ("required", Enforcement::Required),
];

/// A route and where it stands in the file.
pub(super) struct Written<'t> {
    pub(super) route: Arc<Route>,
    /// Its pattern.
    pub(super) node: Node<'t>,
}

/// What the routes of one channel have in common.
pub(super) struct Routing<'c> {
    pub(super) channel: &'c Arc<Channel>,
    pub(super) upstream: Option<Arc<Upstream>>,
    pub(super) endpoints: &'c str,
    pub(super) upstreams: &'c Upstreams,
    pub(super) signed: &'c Signed<'c>,
    pub(super) levels: &'c Levels,
    /// Whether the channel has verifiers, readable or not.
    pub(super) identified: bool,
    /// Whether customers of the channel log in anywhere, readable or not.
    pub(super) logs_in: bool,
}

impl Routing<'_> {
    /// The routes, and whether all of them could be read.
    pub(super) fn routes<'t>(&self, node: Node<'t>) -> (Vec<Written<'t>>, bool) {
        let tables = node.tables();
        let routes = tables.iter().filter_map(|table| self.route(table));
        let routes: Vec<_> = routes.collect();
        let complete = !tables.is_empty() && routes.len() == tables.len();
        (routes, complete)
    }

    fn route<'t>(&self, table: &Table<'t>) -> Option<Written<'t>> {
        let kind_node = table.need("kind");
        let path_node = table.need("path");
        let method = table
            .get("method")
            .map(Node::one_or_more)
            .unwrap_or_default();
        let host = table.get("host").map(|node| node.parse(pattern_host));
        let interaction = table.get("interaction");
        let enforcement = table.get("enforcement");
        let level = table.get("level");
        let max_body = table.get("max_body").and_then(|node| node.size_up_to(BODY));
        let signatures = self.signed.of(table.get("verify"), table.get("sign"));
        let upstream = table.get("upstream").map(|node| self.upstreams.find(node));
        let read_timeout = table.get("read_timeout").and_then(Node::duration);

        let kind = kind_node.and_then(|node| node.choice(KINDS));
        let path = path_node.and_then(|node| self.path(node));
        let methods = methods(&method);
        let scope = match kind {
            Some(Kind::PreChat) => Scope::Exchange,
            _ => Scope::Request,
        };
        let selector = interaction.map(|node| node.selector(scope));
        if let (Some(kind), Some(word)) = (kind, kind_node.and_then(Node::text)) {
            self.interaction(table, kind, word, interaction);
        }
        if let (Some(node), Some(Some(selector)), Some(path)) = (interaction, &selector, &path) {
            for source in &selector.0 {
                if let Source::Path(name) = source {
                    captured(node, name, [&**path]);
                }
            }
            // On a socket the messages say it.
            if self.channel.socket.is_none() || kind != Some(Kind::Message) {
                readable(node, selector, &methods);
            }
        }
        let enforcement = self.enforcement(kind, kind_node, enforcement);
        let level = level.map(|node| self.level(node, kind));
        let upstream = match upstream {
            Some(named) => named,
            None => self.upstream.clone(),
        };
        let path = path?;
        Some(Written {
            route: Arc::new(Route {
                name: format!("{} {path}", self.channel.name).into(),
                kind: kind?,
                channel: self.channel.clone(),
                upstream: upstream?,
                methods,
                host: match host {
                    Some(host) => Some(host?),
                    None => None,
                },
                path,
                interaction: selector.flatten(),
                enforcement,
                level: match level {
                    Some(level) => level?,
                    None => Level::ANONYMOUS,
                },
                signatures: signatures?,
                max_body: max_body.unwrap_or(match kind {
                    Some(Kind::Webhook) => self.channel.inspection.max_body,
                    _ => 64 << 10,
                }),
                read_timeout,
            }),
            node: path_node?,
        })
    }

    fn path(&self, node: Node<'_>) -> Option<Box<str>> {
        let own = self.endpoints;
        node.parse(|text| {
            if !text.starts_with('/') {
                return Err(Wrong::new(
                    "a path begins with /",
                    "write it like \"/chats/{id}/messages\"",
                ));
            }
            if text.contains(['?', '#']) {
                return Err(Wrong::new(
                    "only the path is matched",
                    "leave query and fragment out",
                ));
            }
            if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
                return Err("a path has no blanks or control characters".into());
            }
            let inside = text.strip_prefix(own);
            if inside.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
                return Err(Wrong::new(
                    format!("paths under {own} are chatgate's own"),
                    "set `endpoints` in [server] to move them",
                ));
            }
            Ok(text.into())
        })
    }

    fn interaction(&self, table: &Table<'_>, kind: Kind, word: &str, node: Option<Node<'_>>) {
        match (kind, node) {
            (Kind::PreChat | Kind::Message | Kind::Webhook | Kind::Logout | Kind::End, None) => {
                table.error(Wrong::new(
                    format!("a {word} route needs `interaction`: where the interaction id is"),
                    "write it like interaction = { json = \"$.sender\" }",
                ))
            }
            (Kind::Pass | Kind::Deny, Some(node)) => {
                node.error_key(format!("a {word} route has no interaction"));
            }
            _ => {}
        }
    }

    fn level(&self, node: Node<'_>, kind: Option<Kind>) -> Option<Level> {
        let level = self.levels.level(node);
        if kind.is_some_and(|kind| kind != Kind::Message) {
            node.error_key("`level` goes with message routes: only there a customer can be asked");
        } else if !self.logs_in {
            node.warn(Wrong::new(
                "this channel has no login: whoever stands lower gets a 403",
                "name the place where customers log in, if they can",
            ));
        }
        level
    }

    fn enforcement(
        &self,
        kind: Option<Kind>,
        kind_node: Option<Node<'_>>,
        node: Option<Node<'_>>,
    ) -> Enforcement {
        let usual = match kind {
            Some(Kind::PreChat) => Enforcement::Required,
            _ => Enforcement::Off,
        };
        let written = node.and_then(|node| node.choice(ENFORCEMENTS));
        let enforcement = written.unwrap_or(usual);
        if let Some(node) = node.filter(|_| kind == Some(Kind::Deny)) {
            node.error_key("a deny route lets nobody pass");
        } else if let Some(node) = node.filter(|_| kind == Some(Kind::Webhook)) {
            node.error_key(Wrong::new(
                "the backend is no customer: it proves nobody's identity",
                "check its signature with `verify`",
            ));
        } else if enforcement != Enforcement::Off
            && !self.identified
            && let Some(place) = node.or(kind_node)
        {
            place.error(Wrong::new(
                "this route asks for a proof, and the channel has no [[identity]] to check one",
                "add one, or set enforcement = \"off\"",
            ));
        }
        enforcement
    }
}

/// Builds the table of all routes; ties and broken patterns are reported at their places.
pub(super) fn table(report: &Report<'_>, written: &[Written<'_>]) -> Routes {
    let routes = written
        .iter()
        .map(|written| written.route.clone())
        .collect();
    let errors = match Routes::new(routes) {
        Ok(routes) => return routes,
        Err(errors) => errors,
    };
    for error in errors {
        match error {
            RouteError::Pattern { route, message } => match written.get(route) {
                Some(written) => written.node.error(message),
                None => report.error(0..0, message),
            },
            RouteError::Tie { first, second } => match (written.get(first), written.get(second)) {
                (Some(first), Some(second)) => {
                    let help = "let one differ in host, path or method, or remove it";
                    let message = "two routes match the same requests and neither is more specific";
                    second.node.clash(first.node, Wrong::new(message, help));
                }
                _ => report.error(0..0, "two routes match the same requests"),
            },
        }
    }
    Routes::default()
}

fn methods(nodes: &[Node<'_>]) -> Vec<Method> {
    let mut methods = Vec::new();
    for node in nodes {
        let Some(method) = node.method() else {
            continue;
        };
        if methods.contains(&method) {
            node.error(format!("`{method}` is named twice"));
            continue;
        }
        methods.push(method);
    }
    methods
}

fn pattern_host(text: &str) -> Result<Box<str>, Wrong> {
    let wrong = || {
        Wrong::new(
            "this is not a host name",
            "write it like \"chat.example.com\" or \"*.example.com\", without port",
        )
    };
    match text.strip_prefix("*.") {
        Some(rest) => Ok(format!("*.{}", host(rest).ok_or_else(wrong)?).into()),
        None => host(text).ok_or_else(wrong),
    }
}

/// A path selector must name what one of the patterns captures.
pub(super) fn captured<'p>(node: Node<'_>, name: &str, paths: impl IntoIterator<Item = &'p str>) {
    let paths: Vec<&str> = paths.into_iter().collect();
    let names: Vec<&str> = paths.iter().copied().flat_map(parameters).collect();
    if names.contains(&name) {
        return;
    }
    let which = match paths.len() {
        1 => "the path of this route has no",
        _ => "no path of this channel has",
    };
    let message = format!("{which} {{{}}}", clean(name));
    match nearest(name, names.iter().copied()) {
        Some(near) => node.error(Wrong::new(message, format!("did you mean `{near}`?"))),
        None => node.error(message),
    }
}

/// A body selector needs a request that can have a body.
fn readable(node: Node<'_>, selector: &Selector, methods: &[Method]) {
    let bodiless = |method: &Method| matches!(*method, Method::GET | Method::HEAD);
    let in_body = |source: &Source| matches!(source, Source::Json(_) | Source::Form(_));
    if !methods.is_empty() && methods.iter().all(bodiless) && selector.0.iter().all(in_body) {
        node.error("requests of this method have no body to look into");
    }
}

/// The names in `/{name}/{*rest}`.
fn parameters(path: &str) -> Vec<&str> {
    path.split('{')
        .skip(1)
        .filter_map(|rest| rest.split_once('}'))
        .map(|(name, _)| name.trim_start_matches('*'))
        .collect()
}
