//! A message of the customer's: whose it is, managed members off, those of the
//! verified customer on.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;

use super::ends::{Backend, Customer};
use super::relay::{Relay, Way};
use crate::channel::socket::Lapse;
use crate::channel::{Owner, Unreadable};
use crate::decision::{self, ForRequest};
use crate::gateway::body::edit_text;
use crate::gateway::facts::MAX_INTERACTION_ID;
use crate::gateway::interactions::{log_in, touch};
use crate::gateway::side_call::announce;
use crate::identity::Proof;
use crate::interaction::{Evidence, Identity, Key, Level};
use crate::message::opening::{Opening, may_come_to_object, may_have_object};
use crate::message::websocket::{Close, Event};
use crate::message::{Body, Selector};
use crate::reason::Reason;
use crate::time::Time;

/// Longest message that is kept, in bytes.
const REMEMBERED: usize = 64 << 10;

/// Whether a lenient reader may find an object in a message, which is text or not.
fn may_be_object(message: &[u8], text: bool) -> bool {
    text && message.contains(&b'{') || may_have_object(message)
}

impl Relay<'_> {
    /// Hands a message on to the backend, or not.
    pub(super) async fn customer_said(
        &mut self,
        event: Event,
        customer: &mut Customer<'_>,
        backend: &mut Backend,
    ) {
        let (message, text) = match event {
            Event::Text(message) => (message, true),
            Event::Binary(message) => (message, false),
            Event::Piece(piece) => {
                // Nobody could take managed members out of it, or see whom it names. Some
                // backends read JSON in binary messages, too.
                let matters = self.is_named_in_messages() || self.manages();
                if piece.text || matters && piece.first && may_come_to_object(&piece.bytes) {
                    self.note(Reason::BodyTooLarge);
                    let close = Close::new(1009, "the message is too long");
                    return self.close(customer, backend, close);
                }
                return backend.say(&Event::Piece(piece));
            }
            _ => return,
        };
        // A login may have begun or ended since; what follows from it comes first.
        self.look(customer, backend).await;
        match self.admit(customer, message.clone(), text).await {
            Way::On(edited) => {
                self.note(Reason::Passed);
                self.remember(&message);
                if let Some(asked) = &mut self.asked {
                    asked.fresh = false;
                }
                backend.say(&match text {
                    true => Event::Text(edited),
                    false => Event::Binary(edited),
                });
            }
            Way::Drop => {}
            Way::Close(close) => self.close(customer, backend, close),
        }
    }

    /// Keeps what a challenge may need of the customer's last message: the message
    /// alone, not the read that it came with.
    fn remember(&mut self, message: &[u8]) {
        let kept = self.channel.login.is_some() && message.len() <= REMEMBERED;
        self.last = kept.then(|| Bytes::copy_from_slice(message));
    }

    /// What of a message, which is text or not, goes to the backend.
    pub(super) async fn admit(
        &mut self,
        customer: &Customer<'_>,
        message: Bytes,
        text: bool,
    ) -> Way {
        let read = self.read(&customer.session.req_header().headers, &message, text);
        let way = match read {
            Ok(first) => self.decide(message, text, first).await,
            Err(reason) => Err(reason),
        };
        way.unwrap_or_else(|reason| {
            self.note(reason);
            match reason {
                Reason::BadBody => Way::Drop,
                Reason::ProofMissing => match self.socket().map(|socket| &socket.lapse) {
                    Some(Lapse::Close(close)) => Way::Close(close.clone()),
                    _ => Way::Close(Close::new(1008, reason.told())),
                },
                _ if reason.status().is_server_error() => {
                    Way::Close(Close::new(1011, reason.told()))
                }
                _ => Way::Close(Close::new(1008, reason.told())),
            }
        })
    }

    /// Whether the interaction is named in messages: what is no JSON to us may name another
    /// one to a lenient backend.
    fn is_named_in_messages(&self) -> bool {
        let selector = self.route.interaction.as_ref();
        selector.is_some_and(Selector::needs_body)
    }

    fn manages(&self) -> bool {
        !self.exchange.config.managed_members.is_empty()
    }

    /// Reads a message. Whether it is the first that names the interaction.
    fn read(&mut self, headers: &HeaderMap, message: &Bytes, text: bool) -> Result<bool, Reason> {
        let named = self.is_named_in_messages();
        let object = may_be_object(message, text);
        let forged = || object && self.exchange.config.managed_members.may_be_in(message);
        let edited = self.manages() && (Opening::is_json(message) || forged());
        if !(named && (text || object) || edited) {
            return Ok(false);
        }
        let body = Body::new(message.clone());
        if body.json().is_err() {
            return match self.channel.inspection.malformed {
                Unreadable::Block => Err(Reason::BadBody),
                Unreadable::Release => Ok(false),
            };
        }
        self.exchange.body = Some(body);
        let first = match named {
            true => self.name_interaction(headers),
            false => Ok(false),
        };
        self.exchange.body = None;
        first
    }

    async fn decide(&mut self, message: Bytes, text: bool, first: bool) -> Result<Way, Reason> {
        let now = self.state.clock.now();
        let proof = self.proven(now).map_or(Proof::Absent, Proof::Valid);
        if first {
            self.proven = None;
        }
        let channel = self.channel.clone();
        let evidence = self.exchange.evidence;
        if let Some(key) = self.exchange.key.as_ref().filter(|_| channel.keeps_state()) {
            self.standing = touch(self.state, &channel, key, evidence, now).await;
        }
        let verdict = decision::request(decision::Known {
            route: &self.route,
            proof: &proof,
            standing: &self.standing,
            named: self.exchange.key.is_some(),
            challengeable: false,
        });
        let forward = match verdict {
            ForRequest::Forward(forward) => forward,
            ForRequest::Refuse(reason) => return Err(reason),
            ForRequest::Challenge { .. } => return Err(Reason::LevelTooLow),
        };
        if let (Some(key), Some(identity)) = (self.exchange.key.clone(), &forward.identity) {
            if forward.log_in {
                log_in(self.state, &channel, &key, evidence, identity, now).await?;
                self.standing.identity = Some(identity.clone());
                self.standing.login_time = Some(now);
            }
            if forward.announce {
                let (id, config) = (self.exchange.id(), &self.exchange.config);
                let since = self.standing.login_time.unwrap_or(now);
                announce(self.state, id, config, &channel, &key, identity, since).await?;
                self.standing.unannounced = false;
            }
        }
        self.exchange.forward = Some(forward);
        self.exchange.standing = self.standing.clone();
        let injected = self.exchange.injected(now);
        let members = injected
            .as_ref()
            .map(|injected| injected.members())
            .unwrap_or_default();
        let edited = match may_be_object(&message, text) {
            true => edit_text(&self.exchange.config, &message, &members)?,
            false => None,
        };
        Ok(Way::On(edited.unwrap_or(message)))
    }

    /// Finds out which interaction the message names, where messages do. Whether
    /// it was not known before.
    fn name_interaction(&mut self, headers: &HeaderMap) -> Result<bool, Reason> {
        let view = self.exchange.view(headers).ok_or(Reason::Internal)?;
        let selector = self.route.interaction.as_ref();
        let found = selector
            .map(|selector| selector.request(&view))
            .transpose()?;
        let Some(id) = found.flatten() else {
            return Ok(false);
        };
        if id.len() > MAX_INTERACTION_ID {
            return Err(Reason::NoInteraction);
        }
        match &self.exchange.key {
            Some(key) if key.interaction() == id => return Ok(false),
            // What was said to one customer would be another's to read.
            Some(_) => return Err(Reason::AmbiguousValue),
            None => {}
        }
        if let (Evidence::Missing, Some(owner @ Owner::Selector(_))) =
            (self.exchange.evidence, &self.channel.owner)
        {
            self.exchange.evidence = owner.evidence(&view, None)?.into();
        }
        self.exchange.key = Some(Key::new(&self.channel.name, &id));
        Ok(true)
    }

    /// The customer that the handshake proved, at the level that this counts at now;
    /// only asked as long as the interaction is not known.
    pub(super) fn proven(&self, now: Time) -> Option<Arc<Identity>> {
        // Before it was proven: the clock was set back, and how far is not known here.
        let (identity, at) = self.proven.as_ref().filter(|(_, at)| *at <= now)?;
        match self.channel.clocks.counts(identity.level, *at, now) {
            Level::ANONYMOUS => None,
            level if level == identity.level => Some(identity.clone()),
            level => Some(Arc::new(identity.at(level))),
        }
    }
}
