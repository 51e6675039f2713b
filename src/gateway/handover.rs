//! Messages that a login let go, out of the store and not yet with the customer. Each
//! arrives, goes back into the store, or is a dead letter: none is lost without a word.

use std::sync::Arc;

use super::State;
use super::exchange::Exchange;
use crate::channel::{Channel, Login, Route};
use crate::interaction::{Evidence, Key, Level, Withheld};
use crate::reason::Reason;
use crate::telemetry::Id;

/// Messages on their way, oldest first. Dropped, they are dead letters.
pub(super) struct Handover {
    state: Arc<State>,
    route: Arc<Route>,
    key: Key,
    evidence: Evidence,
    id: Id,
    messages: Vec<Withheld>,
}

impl Handover {
    /// Of messages that were taken out of the store for this exchange; `None` of none.
    pub(super) fn new(
        state: &Arc<State>,
        exchange: &Exchange,
        messages: Vec<Withheld>,
    ) -> Option<Self> {
        if messages.is_empty() {
            return None;
        }
        Some(Self {
            state: state.clone(),
            route: exchange.route()?.clone(),
            key: exchange.key.clone()?,
            evidence: exchange.evidence,
            id: exchange.id(),
            messages,
        })
    }

    /// They were written to the customer's connection, or that failed.
    pub(super) async fn settle(self, written: bool) {
        match written {
            true => self.arrived(),
            false => self.put_back().await,
        }
    }

    /// They are on the customer's connection.
    pub(super) fn arrived(mut self) {
        let messages = std::mem::take(&mut self.messages);
        for _ in messages.iter().filter(|message| is_withheld(message)) {
            let name = &self.channel().name;
            self.state.metrics.resumed(name, "released");
        }
    }

    /// They are not: those that the customer may still read come with the next answer,
    /// stream or socket.
    pub(super) async fn put_back(mut self) {
        let channel = &self.route.channel;
        let release = channel.login.as_ref().and_then(Login::release);
        let bounds = release.copied().unwrap_or_default().bounds;
        let (clocks, now) = (&channel.clocks, self.state.clock.now());
        let store = &self.state.store;
        let lost = store.update(&self.key, clocks, now, |slot| {
            let messages = self.messages.clone();
            match slot {
                Some(interaction) => {
                    interaction.put_back(messages, &bounds, clocks, self.evidence, now)
                }
                None => messages,
            }
        });
        if let Ok(lost) = lost.await {
            let back = self.messages.len() - lost.len();
            tracing::info!(
                request_id = %self.id, channel = %self.channel().name, back,
                "the customer was gone: released messages wait again"
            );
            self.messages = lost;
        }
    }

    fn channel(&self) -> &Channel {
        &self.route.channel
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        for message in &self.messages {
            let channel = &self.channel().name;
            let reason = Reason::ReleaseFailed.code();
            if is_withheld(message) {
                self.state.metrics.resumed(channel, "failed");
                tracing::error!(
                    request_id = %self.id, %channel, reason,
                    "dead letter: a released message was not delivered"
                );
            } else {
                tracing::error!(
                    request_id = %self.id, %channel, reason,
                    "dead letter: the client was not told how a login ended"
                );
            }
        }
    }
}

/// Whether it was withheld from somebody; a notice never was.
fn is_withheld(message: &Withheld) -> bool {
    message.level > Level::ANONYMOUS
}
