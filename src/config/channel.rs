//! `[channel.NAME]`: puts a channel together and looks for contradictions in it.

use std::sync::Arc;

use super::call::{call, security_keys};
use super::directory::Directories;
use super::flag::{flags, inspection};
use super::identity::verifiers;
use super::inject::injection;
use super::link::link;
use super::login::{clocks, login, logs_in};
use super::names::identifier;
use super::owner::{cors, owner};
use super::reader::{Node, Table, Wrong};
use super::records::matches;
use super::route::{Routing, Written, captured};
use super::server::{Levels, Server};
use super::signature::signatures;
use super::socket::socket;
use super::stream::{items, streaming};
use super::upstream::Upstreams;
use crate::channel::signature::Scheme;
use crate::channel::socket::Lapse;
use crate::channel::template::CALL_NAMES;
use crate::channel::{Binding, Channel, Enforcement, Kind, Owner, Route, Signature};
use crate::identity::Kind as Verifies;
use crate::interaction::Level;
use crate::message::select::Source;

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
    let owner_node = table.get("owner");
    let flag_node = table.get("flag");
    let inject = table.get("inject");
    let side_call = table.get("side_call");
    let records = table.get("match");
    let inspect = table.get("inspect");
    let websocket = table.get("websocket");
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
        matches: matches(records, shared.directories),
        owner: owner_node.and_then(|node| owner(node, public)),
        inject: injection(inject),
        flags: flags(flag_node, shared.levels),
        inspection: inspection(inspect),
        items: table.get("items").and_then(items),
        streaming: streaming(table.get("stream")),
        link: table
            .get("link")
            .and_then(|node| link(node, table, shared.levels)),
        login: login(table, shared),
        logout_key: table.get("logout_key").and_then(security_keys),
        side_call: side_call.and_then(|node| call(node, &call_names)),
        cors: table.get("cors").and_then(cors),
        socket: websocket.and_then(|node| socket(node, public)),
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
    if let Some(linking) = table.get("linking") {
        for written in &written {
            unsigned(linking, written);
        }
    }
    if let Some(login) = &channel.login {
        let cookie = channel.owner.as_ref().is_some_and(brought);
        let hook = |written: &Written<'_>| written.route.kind == Kind::Webhook;
        let foretold = cookie && written.iter().any(hook);
        bound(table, login.binding, cookie, foretold);
        if let Some(owner) = owner_node.filter(|_| foretold) {
            self::foretold(owner, login.binding);
        }
    }
    let judged = |written: &Written<'_>| {
        matches!(
            written.route.kind,
            Kind::Message | Kind::PreChat | Kind::Webhook
        )
    };
    // A route that could not be read may be the one that is missing.
    let lacks = |of: &dyn Fn(&Written<'_>) -> bool| complete && !written.iter().any(of);
    let identifies = identity.is_some() || logs_in;
    if let Some(flag) = flag_node.filter(|_| lacks(&judged)) {
        flag.error_key(
            "answers are judged on `message`, `webhook` and `pre-chat` routes, and this channel has none",
        );
    }
    if let Some(websocket) = websocket {
        let carries = |written: &Written<'_>| written.route.kind == Kind::Message;
        sockets(websocket, &channel, lacks(&carries));
    }
    if let Some(inspect) = inspect.filter(|_| flag_node.is_none()) {
        inspect.warn("nothing is inspected: this channel has no flag");
    }
    let demands = |written: &Written<'_>| written.route.level > Level::ANONYMOUS;
    if logs_in && flag_node.is_none() && lacks(&demands) {
        table.warn("customers are never asked to log in: this channel has no flag");
    }
    for node in [inject, side_call, records]
        .into_iter()
        .flatten()
        .filter(|_| !identifies)
    {
        let help =
            "add an [[identity]], or an `authentication_url`, or `oidc`, `oauth` or `login_page`";
        node.error_key(Wrong::new(
            format!("`{}`: nobody is ever verified on this channel", node.name),
            help,
        ));
    }
    let asks = |written: &Written<'_>| written.route.enforcement != Enforcement::Off;
    if let Some(identity) = identity.filter(|_| lacks(&asks)) {
        identity.error_key(Wrong::new(
            "no route of this channel asks for a proof",
            "add a `pre-chat` route, or set `enforcement`",
        ));
    }
    // Whoever can sign for the client's side is believed who its customers are.
    let open = |written: &Written<'_>| {
        let names = matches!(
            written.route.kind,
            Kind::PreChat | Kind::Message | Kind::Logout | Kind::End
        );
        names && written.route.signatures.verify.is_empty()
    };
    if owner_node.is_none() && identifies && written.iter().any(open) {
        let help = "add the table `owner` unless nobody can guess or choose an interaction id";
        table.warn(Wrong::new(
            "whoever names an interaction of this channel is taken for its owner",
            help,
        ));
    }
    if let (Some(Owner::Claim(_)), Some(node)) = (&channel.owner, owner_node) {
        let proves = |written: &&Written<'_>| {
            matches!(
                written.route.enforcement,
                Enforcement::Required | Enforcement::Optional
            )
        };
        let spoken = |written: &&Written<'_>| {
            matches!(written.route.kind, Kind::Message | Kind::Logout | Kind::End)
        };
        for written in written
            .iter()
            .filter(spoken)
            .filter(|written| !proves(written))
        {
            written.node.clash(
                node,
                "the owner is known by a claim, and this route does not look at proofs",
            );
        }
    }
    if complete {
        let routes: Vec<_> = written.iter().map(|written| &*written.route).collect();
        uncaptured(&channel, table, &routes);
    }
    routes.extend(written);
    channel
}

/// What can be said of a channel's WebSockets once the channel is known.
fn sockets(node: Node<'_>, channel: &Channel, lost: bool) {
    if lost {
        node.error_key("sockets open on `message` routes, and this channel has none");
    }
    let Some(socket) = &channel.socket else {
        return;
    };
    let inject = &channel.inject;
    if socket.lapse == Lapse::Anonymous
        && !(inject.headers.is_empty() && inject.assertion.is_none())
    {
        let message = "the backend gets headers with the handshake only, and would take the \
                       customer for logged in as long as the socket is open";
        node.warn(Wrong::new(message, "write on_expiry = \"close\""));
    }
    let any = socket.origins.iter().any(|origin| origin == "*");
    if any && matches!(channel.owner, Some(Owner::Cookie { .. })) {
        let message = "any website could speak for the customer, whose cookie comes along";
        node.warn(Wrong::new(message, "name the origins"));
    }
}

/// Whether a browser brings along what the owner is known by, wherever it comes from.
fn brought(owner: &Owner) -> bool {
    match owner {
        Owner::Cookie { .. } => true,
        Owner::Selector(selector) => {
            let cookie = |source: &Source| matches!(source, Source::Cookie(_));
            selector.0.iter().all(cookie)
        }
        Owner::Claim(_) => false,
    }
}

/// Somebody has to say whose chat a login is for.
fn bound(table: &Table<'_>, binding: Binding, cookie: bool, foretold: bool) {
    let node = table.get("login_binding");
    match (binding, node) {
        (Binding::SameBrowser, Some(node)) if !cookie => node.error(Wrong::new(
            "the owner of this channel's interactions is not known by what a browser brings along",
            "write owner = { cookie = \"own\" }, or login_binding = \"confirm\"",
        )),
        (Binding::Off, _) => {
            let message =
                "whoever logs in with a forwarded login URL authenticates the sender's chat";
            let help = match (cookie, foretold) {
                (true, true) => "set login_binding = \"same-browser\"",
                (true, false) => "set login_binding = \"same-browser\" (or \"confirm\")",
                (false, _) => "set login_binding = \"confirm\"",
            };
            match node {
                Some(node) => node.warn(Wrong::new(message, help)),
                None => table.warn(Wrong::new(message, help)),
            }
        }
        _ => {}
    }
}

/// A webhook's login URL goes to the client, and who logs in by it does so for the browser
/// that named the chat first. No error: ids may be such that nobody can name one before
/// its customer does, and without an owner, which is worse, there is a warning, too.
fn foretold(owner: Node<'_>, binding: Binding) {
    if matches!(binding, Binding::Off | Binding::Confirm) {
        owner.warn(Wrong::new(
            "webhooks carry login URLs to the client, and whoever guessed the chat's id first \
             would have the login of who comes by them",
            "set login_binding = \"same-browser\" unless nobody can guess or choose an interaction id",
        ));
    }
}

/// A platform's word counts where its signature covers it, and nobody else may speak in
/// its place.
fn unsigned(linking: Node<'_>, written: &Written<'_>) {
    let Route {
        kind,
        signatures,
        interaction,
        ..
    } = &*written.route;
    if *kind != Kind::Message {
        return;
    }
    let token = |one: &Arc<Signature>| matches!(one.scheme, Scheme::Jwt(_));
    let (message, help) = if signatures.verify.is_empty() {
        (
            "an unsigned request could say whose login it was",
            "let this route `verify` a signature of the platform's",
        )
    } else if signatures.verify.iter().any(token) {
        (
            "a signature of kind `jwt` says nothing of the body, which says whose login it was",
            "let this route `verify` one of kind `hmac` or `standard-webhooks`",
        )
    } else if interaction.as_ref().is_some_and(|at| !at.is_in_body()) {
        (
            "the platform's signature covers the body alone: anybody could say whose word this is",
            "name a place in the body, like interaction = { json = \"$.from\" }",
        )
    } else {
        return;
    };
    written.node.clash(linking, Wrong::new(message, help));
}

/// What the whole channel reads out of paths has to be in the path of some route.
fn uncaptured(channel: &Channel, table: &Table<'_>, routes: &[&Route]) {
    let owner = match &channel.owner {
        Some(Owner::Selector(selector)) => vec![selector],
        _ => Vec::new(),
    };
    let verifiers = channel.verifiers.iter();
    let identity = verifiers.flat_map(|verifier| match &verifier.kind {
        Verifies::Jwt(jwt) => vec![&jwt.from],
        Verifies::Hmac(hmac) => vec![&hmac.identifier, &hmac.hash],
        Verifies::Session(_) => Vec::new(),
    });
    let login = channel.login.iter();
    let captures = login.flat_map(|login| &login.challenge.captures);
    for (key, selectors) in [
        ("owner", owner),
        ("identity", identity.collect()),
        (
            "challenge",
            captures.map(|(_, selector)| selector).collect(),
        ),
    ] {
        let Some(node) = table.get(key) else { continue };
        for source in selectors.iter().flat_map(|selector| &selector.0) {
            if let Source::Path(name) = source {
                captured(node, name, routes.iter().map(|route| &*route.path));
            }
        }
    }
}
