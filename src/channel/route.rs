//! A route: what happens to the requests of one kind, and what they need for that.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};

use super::{Channel, Owner, Resume, Signatures, Upstream};
use crate::identity::Verifier;
use crate::interaction::Level;
use crate::message::{Body, Selector};

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
