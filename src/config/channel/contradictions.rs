//! What the parts of a channel say against each other, once all of it has been read.

use std::sync::Arc;

use super::super::reader::{Table, Wrong};
use super::super::route::{Written, captured};
use crate::channel::signature::Scheme;
use crate::channel::socket::Lapse;
use crate::channel::{Binding, Channel, Enforcement, Kind, Login, Owner, Route, Signature};
use crate::identity::Kind as Verifies;
use crate::interaction::Level;
use crate::message::select::Source;

/// A channel, and all that was written for it.
pub(super) struct Whole<'c, 't> {
    pub(super) table: &'c Table<'t>,
    pub(super) channel: &'c Channel,
    pub(super) written: &'c [Written<'t>],
    /// Whether all of its routes could be read: one that could not may be the one that
    /// seems to be missing.
    pub(super) complete: bool,
    /// Whether customers can log in.
    pub(super) logs_in: bool,
}

impl Whole<'_, '_> {
    /// Tells of all there are.
    pub(super) fn contradictions(&self) {
        self.linking();
        if let Some(login) = &self.channel.login {
            self.binding(login);
        }
        self.flags();
        self.sockets();
        self.identity();
        self.owner();
        if self.complete {
            self.captures();
        }
    }

    /// Whether no route is like this.
    fn lacks(&self, like: impl Fn(&Route) -> bool) -> bool {
        self.complete && !self.any(like)
    }

    fn any(&self, like: impl Fn(&Route) -> bool) -> bool {
        self.written.iter().any(|written| like(&written.route))
    }

    /// Whether customers are ever verified.
    fn identifies(&self) -> bool {
        self.table.get("identity").is_some() || self.logs_in
    }

    /// A platform's word counts where its signature covers it, and nobody else may speak
    /// in its place.
    fn linking(&self) {
        let Some(linking) = self.table.get("linking") else {
            return;
        };
        for written in self.written {
            if let Some(wrong) = unsigned(&written.route) {
                written.node.clash(linking, wrong);
            }
        }
    }

    /// Somebody has to say whose chat a login is for.
    fn binding(&self, login: &Login) {
        let cookie = self.channel.owner.as_ref().is_some_and(brought);
        let foretold = cookie && self.any(|route| route.kind == Kind::Webhook);
        let node = self.table.get("login_binding");
        match (login.binding, node) {
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
                    None => self.table.warn(Wrong::new(message, help)),
                }
            }
            _ => {}
        }
        // A webhook's login URL goes to the client, and who logs in by it does so for the
        // browser that named the chat first. No error: ids may be such that nobody can name
        // one before its customer does, and without an owner, which is worse, there is a
        // warning, too.
        if foretold
            && matches!(login.binding, Binding::Off | Binding::Confirm)
            && let Some(owner) = self.table.get("owner")
        {
            owner.warn(Wrong::new(
                "webhooks carry login URLs to the client, and whoever guessed the chat's id first \
                 would have the login of who comes by them",
                "set login_binding = \"same-browser\" unless nobody can guess or choose an interaction id",
            ));
        }
    }

    /// Flags need answers to be judged, and the other way round.
    fn flags(&self) {
        let judged =
            |route: &Route| matches!(route.kind, Kind::Message | Kind::PreChat | Kind::Webhook);
        let flag = self.table.get("flag");
        if let Some(flag) = flag.filter(|_| self.lacks(judged)) {
            flag.error_key(
                "answers are judged on `message`, `webhook` and `pre-chat` routes, and this channel has none",
            );
        }
        if flag.is_some() {
            return;
        }
        if let Some(inspect) = self.table.get("inspect") {
            inspect.warn("nothing is inspected: this channel has no flag");
        }
        if self.logs_in && self.lacks(|route| route.level > Level::ANONYMOUS) {
            self.table
                .warn("customers are never asked to log in: this channel has no flag");
        }
    }

    /// What can be said of WebSockets.
    fn sockets(&self) {
        let Some(node) = self.table.get("websocket") else {
            return;
        };
        if self.lacks(|route| route.kind == Kind::Message) {
            node.error_key("sockets open on `message` routes, and this channel has none");
        }
        let Some(socket) = &self.channel.socket else {
            return;
        };
        let inject = &self.channel.inject;
        if socket.lapse == Lapse::Anonymous
            && !(inject.headers.is_empty() && inject.assertion.is_none())
        {
            let message = "the backend gets headers with the handshake only, and would take the \
                           customer for logged in as long as the socket is open";
            node.warn(Wrong::new(message, "write on_expiry = \"close\""));
        }
        let any = socket.origins.iter().any(|origin| origin == "*");
        if any && matches!(self.channel.owner, Some(Owner::Cookie { .. })) {
            let message = "any website could speak for the customer, whose cookie comes along";
            node.warn(Wrong::new(message, "name the origins"));
        }
    }

    /// Nothing can be told of a customer whom nobody verifies, and proofs have to be asked for.
    fn identity(&self) {
        let needs = ["inject", "side_call", "match"].map(|name| self.table.get(name));
        for node in needs.into_iter().flatten().filter(|_| !self.identifies()) {
            let help = "add an [[identity]], or an `authentication_url`, or `oidc`, `oauth` or `login_page`";
            node.error_key(Wrong::new(
                format!("`{}`: nobody is ever verified on this channel", node.name),
                help,
            ));
        }
        let asks = |route: &Route| route.enforcement != Enforcement::Off;
        if let Some(identity) = self.table.get("identity").filter(|_| self.lacks(asks)) {
            identity.error_key(Wrong::new(
                "no route of this channel asks for a proof",
                "add a `pre-chat` route, or set `enforcement`",
            ));
        }
    }

    /// Who is believed to be the owner, and by what.
    fn owner(&self) {
        // Whoever can sign for the client's side is believed who its customers are.
        let open = |route: &Route| {
            let names = matches!(
                route.kind,
                Kind::PreChat | Kind::Message | Kind::Logout | Kind::End
            );
            names && route.signatures.verify.is_empty()
        };
        let owner = self.table.get("owner");
        if owner.is_none() && self.identifies() && self.any(open) {
            self.table.warn(Wrong::new(
                "whoever names an interaction of this channel is taken for its owner",
                "add the table `owner` unless nobody can guess or choose an interaction id",
            ));
        }
        let (Some(Owner::Claim(_)), Some(owner)) = (&self.channel.owner, owner) else {
            return;
        };
        for written in self.written {
            let Route {
                kind, enforcement, ..
            } = &*written.route;
            let spoken = matches!(kind, Kind::Message | Kind::Logout | Kind::End);
            let proves = matches!(enforcement, Enforcement::Required | Enforcement::Optional);
            if spoken && !proves {
                written.node.clash(
                    owner,
                    "the owner is known by a claim, and this route does not look at proofs",
                );
            }
        }
    }

    /// What the whole channel reads out of paths has to be in the path of some route.
    fn captures(&self) {
        let owner = match &self.channel.owner {
            Some(Owner::Selector(selector)) => vec![selector],
            _ => Vec::new(),
        };
        let verifiers = self.channel.verifiers.iter();
        let identity = verifiers.flat_map(|verifier| match &verifier.kind {
            Verifies::Jwt(jwt) => vec![&jwt.from],
            Verifies::Hmac(hmac) => vec![&hmac.identifier, &hmac.hash],
            Verifies::Session(_) => Vec::new(),
        });
        let login = self.channel.login.iter();
        let captures = login.flat_map(|login| &login.challenge.captures);
        for (key, selectors) in [
            ("owner", owner),
            ("identity", identity.collect()),
            (
                "challenge",
                captures.map(|(_, selector)| selector).collect(),
            ),
        ] {
            let Some(node) = self.table.get(key) else {
                continue;
            };
            for source in selectors.iter().flat_map(|selector| &selector.0) {
                if let Source::Path(name) = source {
                    let paths = self.written.iter().map(|written| &*written.route.path);
                    captured(node, name, paths);
                }
            }
        }
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

/// What is wrong where a platform's word comes on this route, if anything is.
fn unsigned(route: &Route) -> Option<Wrong> {
    let Route {
        kind,
        signatures,
        interaction,
        ..
    } = route;
    let token = |one: &Arc<Signature>| matches!(one.scheme, Scheme::Jwt(_));
    let (message, help) = if *kind != Kind::Message {
        return None;
    } else if signatures.verify.is_empty() {
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
        return None;
    };
    Some(Wrong::new(message, help))
}
