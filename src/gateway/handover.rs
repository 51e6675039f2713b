//! Messages that a login let go, out of the store and not yet with the customer. Each
//! arrives, goes back into the store, or is a dead letter: none is lost without a word.

use std::sync::Arc;

use super::State;
use super::exchange::Exchange;
use crate::channel::{Channel, Login, Route};
use crate::interaction::{Evidence, HandedOut, Key};
use crate::reason::Reason;
use crate::telemetry::Id;

/// What is on its way to a customer, oldest first. Dropped, it is dead letters.
#[derive(Default)]
pub(super) struct Handovers(Vec<Handover>);

impl Handovers {
    /// Adds what was taken out of the store for this exchange.
    pub(super) fn add(&mut self, state: &Arc<State>, exchange: &Exchange, handed: HandedOut) {
        if !handed.messages.is_empty() {
            self.0.extend(Handover::new(state, exchange, handed));
        }
    }

    /// All of it was written to the customer's connection, or not.
    pub(super) async fn settle(&mut self, written: bool) {
        match written {
            true => self.arrived(),
            false => self.put_back().await,
        }
    }

    /// All of it is on the customer's connection.
    pub(super) fn arrived(&mut self) {
        self.0.drain(..).for_each(Handover::arrived);
    }

    /// It is not: what the customer may still read comes with the next answer, stream or
    /// socket.
    pub(super) async fn put_back(&mut self) {
        // The newest first: what is put back stands before all that waits.
        while let Some(handover) = self.0.pop() {
            handover.put_back().await;
        }
    }
}

/// What one look into the store handed out.
struct Handover {
    state: Arc<State>,
    route: Arc<Route>,
    key: Key,
    evidence: Evidence,
    id: Id,
    handed: HandedOut,
}

impl Handover {
    fn new(state: &Arc<State>, exchange: &Exchange, handed: HandedOut) -> Option<Self> {
        Some(Self {
            state: state.clone(),
            route: exchange.route()?.clone(),
            key: exchange.key.clone()?,
            evidence: exchange.evidence,
            id: exchange.id(),
            handed,
        })
    }

    fn arrived(mut self) {
        let messages = std::mem::take(&mut self.handed.messages);
        for _ in messages.iter().filter(|message| !message.is_notice()) {
            let name = &self.channel().name;
            self.state.metrics.resumed(name, "released");
        }
    }

    async fn put_back(mut self) {
        let channel = &self.route.channel;
        let release = channel.login.as_ref().and_then(Login::release);
        let bounds = release.copied().unwrap_or_default().bounds;
        let (clocks, now) = (&channel.clocks, self.state.clock.now());
        let store = &self.state.store;
        let lost = store.update(&self.key, clocks, now, |slot| {
            let handed = self.handed.clone();
            match slot {
                Some(interaction) => {
                    interaction.put_back(handed, &bounds, clocks, self.evidence, now)
                }
                None => handed.messages,
            }
        });
        if let Ok(lost) = lost.await {
            let back = self.handed.messages.len() - lost.len();
            tracing::info!(
                request_id = %self.id, channel = %self.channel().name, back,
                "the customer was gone: released messages wait again"
            );
            self.handed.messages = lost;
        }
    }

    fn channel(&self) -> &Channel {
        &self.route.channel
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        for message in &self.handed.messages {
            let channel = &self.channel().name;
            let reason = Reason::ReleaseFailed.code();
            if message.is_notice() {
                tracing::error!(
                    request_id = %self.id, %channel, reason,
                    "dead letter: the client was not told how a login ended"
                );
            } else {
                self.state.metrics.resumed(channel, "failed");
                tracing::error!(
                    request_id = %self.id, %channel, reason,
                    "dead letter: a released message was not delivered"
                );
            }
        }
    }
}
