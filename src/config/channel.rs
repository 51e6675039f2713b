//! `[channel.NAME]`: puts a channel together.

mod contradictions;

use std::sync::Arc;

use contradictions::Whole;

use super::call::{call, security_keys};
use super::directory::Directories;
use super::flag::{flags, inspection};
use super::identity::verifiers;
use super::inject::injection;
use super::link::link;
use super::login::{clocks, login, logs_in};
use super::names::identifier;
use super::owner::{cors, owner};
use super::reader::{Node, Table};
use super::records::matches;
use super::route::{Routing, Written};
use super::server::{Levels, Server};
use super::signature::signatures;
use super::socket::socket;
use super::stream::{items, streaming};
use super::upstream::Upstreams;
use crate::channel::Channel;
use crate::channel::template::CALL_NAMES;

/// What channels refer to.
pub(super) struct Shared<'c> {
    pub(super) server: &'c Server,
    pub(super) levels: &'c Levels,
    pub(super) upstreams: &'c Upstreams,
    pub(super) directories: &'c Directories,
}

/// All channels, and their routes as they were written.
pub(super) fn channels<'t>(
    root: &Table<'t>,
    shared: &Shared<'_>,
) -> (Vec<Arc<Channel>>, Vec<Written<'t>>) {
    let table = root.need("channel").and_then(Node::table);
    let mut channels = Vec::new();
    let mut routes = Vec::new();
    for node in table.as_ref().map(Table::entries).unwrap_or_default() {
        if let Err(wrong) = identifier(node.name) {
            node.error_key(wrong);
        }
        if let Some(table) = node.table() {
            channels.push(channel(node, &table, shared, &mut routes));
        }
    }
    if let Some(table) = table.filter(|_| channels.is_empty()) {
        table.error("there is no channel: write [channel.NAME]");
    }
    (channels, routes)
}

fn channel<'t>(
    node: Node<'t>,
    table: &Table<'t>,
    shared: &Shared<'_>,
    routes: &mut Vec<Written<'t>>,
) -> Arc<Channel> {
    let upstream = table
        .need("upstream")
        .map(|node| shared.upstreams.find(node));
    let identity = table.get("identity");
    let call_names: Vec<&str> = CALL_NAMES
        .iter()
        .copied()
        .filter(|name| *name != "outcome")
        .collect();
    let public = shared.server.public_url.as_ref();
    let channel = Arc::new(Channel {
        name: node.name.into(),
        clocks: clocks(table, shared.levels),
        verifiers: verifiers(identity, shared.levels),
        matches: matches(table.get("match"), shared.directories),
        owner: table.get("owner").and_then(|node| owner(node, public)),
        inject: injection(table.get("inject")),
        flags: flags(table.get("flag"), shared.levels),
        inspection: inspection(table.get("inspect")),
        items: table.get("items").and_then(items),
        streaming: streaming(table.get("stream")),
        link: table
            .get("link")
            .and_then(|node| link(node, table, shared.levels)),
        login: login(table, shared),
        logout_key: table.get("logout_key").and_then(security_keys),
        side_call: table
            .get("side_call")
            .and_then(|node| call(node, &call_names)),
        cors: table.get("cors").and_then(cors),
        socket: table.get("websocket").and_then(|node| socket(node, public)),
    });
    let signed = signatures(table.get("signature"));
    let logs_in = logs_in(table);
    let routing = Routing {
        channel: &channel,
        upstream: upstream.flatten(),
        endpoints: &shared.server.endpoints,
        upstreams: shared.upstreams,
        signed: &signed,
        levels: shared.levels,
        identified: identity.is_some(),
        logs_in,
    };
    let (written, complete) = match table.need("route") {
        Some(node) => routing.routes(node),
        None => (Vec::new(), false),
    };

    if complete {
        signed.unused(written.iter().map(|written| &written.route.signatures));
    }
    let whole = Whole {
        table,
        channel: &channel,
        written: &written,
        complete,
        logs_in,
    };
    whole.contradictions();
    routes.extend(written);
    channel
}
