//! What happens on an open socket when a login begins to count, or ends.

use super::ends::{Backend, Customer};
use super::relay::{Relay, Way};
use crate::channel::socket::Lapse;
use crate::channel::{Enforcement, Login};
use crate::gateway::notice;
use crate::gateway::side_call::call_values;
use crate::interaction::{HandedOut, Leg, Level, Standing};
use crate::message::websocket::{Close, Event};
use crate::reason::Reason;

impl Relay<'_> {
    /// Looks how the interaction stands now, and acts on what has changed.
    pub(super) async fn look(&mut self, customer: &mut Customer<'_>, backend: &mut Backend) {
        if self.has_closed(customer) {
            return;
        }
        let now = self.state.clock.now();
        let Some(key) = self.key().filter(|_| self.channel.keeps_state()) else {
            let counts = self.proven(now);
            let fallen = (self.proven.as_ref())
                .filter(|(known, _)| counts.as_ref().is_none_or(|now| now.level < known.level));
            if let Some((_, at)) = fallen {
                self.proven = counts.map(|identity| (identity, *at));
                self.lapse(customer, backend);
            }
            return;
        };
        let (clocks, evidence) = (&self.channel.clocks, self.exchange.evidence);
        let standing = self
            .state
            .store
            .read(key, clocks, now, |interaction| {
                interaction.map(|interaction| interaction.standing(clocks, evidence, now))
            })
            .await;
        let standing: Standing = match standing {
            Ok(standing) => standing.unwrap_or_default(),
            Err(_) => return,
        };
        let config = &self.exchange.config;
        let due = notice::due(
            self.state,
            config,
            &self.channel,
            key,
            evidence,
            &Leg::Socket,
        );
        let due = due.await;
        self.hand_over(due, customer);
        let before = std::mem::replace(&mut self.standing, standing);
        let logged_in = self.standing.identity.is_some()
            && (before.identity.is_none() || before.login_time != self.standing.login_time);
        if self.standing.level() < before.level() {
            // Also where a weaker login came in its place before anybody looked.
            self.lapse(customer, backend);
        } else if logged_in {
            self.welcome(before.level(), customer, backend).await;
        }
    }

    /// The login counts no more, or for less: it ran out, or was taken away.
    fn lapse(&mut self, customer: &mut Customer<'_>, backend: &mut Backend) {
        tracing::info!(request_id = %self.exchange.id(), channel = %self.channel.name, "the login of a socket has ended");
        let close = match self.socket().map(|socket| &socket.lapse) {
            Some(Lapse::Close(close)) => close.clone(),
            // Nobody is anonymous where a proof is required.
            _ if self.route.enforcement == Enforcement::Required
                && self.level() == Level::ANONYMOUS =>
            {
                Close::new(1008, Reason::ProofMissing.code())
            }
            _ if self.level() < self.route.level => Close::new(1008, Reason::LevelTooLow.code()),
            _ => return,
        };
        self.close(customer, backend, close);
    }

    /// The level of what was shown, as far as it counts.
    fn level(&self) -> Level {
        let proven = self.proven.as_ref().map(|(identity, _)| identity.level);
        proven.unwrap_or_default().max(self.standing.level())
    }

    /// A login began to count.
    async fn welcome(&mut self, before: Level, customer: &mut Customer<'_>, backend: &mut Backend) {
        let asked = self
            .asked
            .take_if(|asked| asked.level <= self.standing.level());
        if asked.is_some() || self.standing.level() > before {
            self.greet(customer);
        }
        self.release(customer).await;
        let Some(replay) = asked.and_then(|asked| asked.replay) else {
            return;
        };
        match self.admit(customer, replay, true).await {
            Way::On(message) => {
                self.state.metrics.resumed(&self.channel.name, "replayed");
                backend.say(&Event::Text(message));
            }
            Way::Drop => self.state.metrics.resumed(&self.channel.name, "failed"),
            Way::Close(close) => {
                self.state.metrics.resumed(&self.channel.name, "failed");
                self.close(customer, backend, close);
            }
        }
    }

    /// Says what was withheld, as far as the login that counts reaches.
    pub(super) async fn release(&mut self, customer: &mut Customer<'_>) {
        let releases = self.channel.login.as_ref().and_then(Login::release);
        let (Some(_), Some(_), Some(key)) = (releases, &self.standing.identity, self.key()) else {
            return;
        };
        if self.has_closed(customer) {
            return;
        }
        let (clocks, evidence) = (&self.channel.clocks, self.exchange.evidence);
        let now = self.state.clock.now();
        let released = self
            .state
            .store
            .update(key, clocks, now, |slot| {
                let interaction = slot.as_mut();
                interaction.map(|i| i.release(|leg| *leg == Leg::Socket, clocks, evidence, now))
            })
            .await;
        self.hand_over(released.ok().flatten().unwrap_or_default(), customer);
    }

    /// Says what the store has no more.
    fn hand_over(&mut self, handed: HandedOut, customer: &mut Customer<'_>) {
        for message in &handed.messages {
            customer.say(&Event::Text(message.body.clone()));
        }
        self.unsaid.add(self.state, self.exchange, handed);
    }

    /// Says what the channel says after a login.
    fn greet(&self, customer: &mut Customer<'_>) {
        let template = self.socket().and_then(|socket| socket.on_login.as_ref());
        let (Some(template), Some(key)) = (template, self.key()) else {
            return;
        };
        let identity = self.standing.identity.as_deref();
        let since = self.standing.login_time.unwrap_or_default();
        let config = &self.exchange.config;
        let values = call_values(config, &self.channel, key, identity, since, "success");
        match template.render(&values) {
            Ok(greeting) => customer.say(&Event::Text(greeting.to_string().into())),
            Err(error) => {
                tracing::error!(channel = %self.channel.name, %error, "`on_login` could not be written");
            }
        }
    }
}
