//! The loop of an open socket.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use super::ends::{Backend, Customer, Turn};
use crate::channel::{Channel, Route, Socket};
use crate::gateway::State;
use crate::gateway::exchange::Exchange;
use crate::gateway::handover::Handovers;
use crate::interaction::{Identity, Key, Level, Standing};
use crate::message::websocket::{Close, Event, Violation};
use crate::reason::Reason;
use crate::secret;
use crate::time::Time;

/// How often an idle socket looks whether its login still counts.
const TICK: Duration = Duration::from_millis(500);
/// How long the other end may take to say goodbye, too.
const GOODBYE: Duration = Duration::from_secs(5);
/// The same when the end is ours: nothing that comes meanwhile is listened to.
const CUT: Duration = Duration::from_secs(1);
/// How many pings in a row may stay without any sign of life.
const UNHEARD: u8 = 2;

/// An open socket.
pub(super) struct Relay<'x> {
    pub(super) state: &'x Arc<State>,
    pub(super) exchange: &'x mut Exchange,
    pub(super) route: Arc<Route>,
    pub(super) channel: Arc<Channel>,
    /// How the interaction stood when it was last looked at.
    pub(super) standing: Standing,
    /// What the handshake proved, and when, until the interaction is known.
    pub(super) proven: Option<(Arc<Identity>, Time)>,
    /// What the customer said last.
    pub(super) last: Option<Bytes>,
    /// The customer was asked to log in, and has not done so.
    pub(super) asked: Option<Challenged>,
    /// What was said and may not have left yet, of messages that nobody else has.
    pub(super) unsaid: Handovers,
    /// It ends with a word of ours: nobody is listened to any more.
    cut: bool,
    /// When it ends in any case.
    end: Option<Instant>,
    /// When the process ends.
    drain: Option<Instant>,
    /// Since when both ends were not asked whether they are there.
    pinged: Time,
    /// What our pings carry, to know their pongs.
    beat: [u8; 8],
    unheard: [u8; 2],
}

/// A challenge that the customer got.
pub(super) struct Challenged {
    /// The level that a login has to reach.
    pub(super) level: Level,
    /// Until when the login URL counts; `None` never ends.
    pub(super) until: Option<Time>,
    /// Whether the customer said nothing since.
    pub(super) fresh: bool,
    /// What is said to the backend again after the login.
    pub(super) replay: Option<Bytes>,
}

/// What becomes of a message.
pub(super) enum Way {
    /// This goes on.
    On(Bytes),
    /// It is dropped.
    Drop,
    /// It ends the socket.
    Close(Close),
}

impl<'x> Relay<'x> {
    /// The relay of an admitted request; `None` without a route with sockets.
    pub(super) fn new(state: &'x Arc<State>, exchange: &'x mut Exchange) -> Option<Self> {
        let route = exchange.route()?.clone();
        let channel = route.channel.clone();
        channel.socket.as_ref()?;
        let now = state.clock.now();
        let identity = exchange.forward.as_ref().and_then(|f| f.identity.clone());
        let proven = match &exchange.key {
            Some(_) => None,
            None => identity.clone().map(|identity| (identity, now)),
        };
        let mut standing = exchange.standing.clone();
        if let (Some(_), Some(at)) = (&exchange.key, exchange.login_time.take()) {
            standing.identity = identity;
            standing.login_time = Some(at);
        }
        exchange.socket = true;
        Some(Self {
            state,
            exchange,
            route,
            channel,
            standing,
            proven,
            last: None,
            asked: None,
            unsaid: Handovers::default(),
            cut: false,
            end: None,
            drain: None,
            pinged: now,
            beat: secret::random(),
            unheard: [0; 2],
        })
    }

    /// Longest message, in bytes.
    pub(super) fn cap(&self) -> usize {
        self.socket().map_or(0, |socket| socket.max_message)
    }

    pub(super) fn socket(&self) -> Option<&Socket> {
        self.channel.socket.as_ref()
    }

    pub(super) fn key(&self) -> Option<&Key> {
        self.exchange.key.as_ref()
    }

    /// Relays until the socket ends. `false` when something did not reach the customer.
    pub(super) async fn run(mut self, mut customer: Customer<'_>, mut backend: Backend) -> bool {
        let mut draining = self.state.draining.subscribe();
        let mut drains = true;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // What a socket before this one left behind.
        self.release(&mut customer).await;
        // It may have spoken with its handshake.
        self.backend_spoke(&mut customer, &mut backend).await;
        while !self.is_over(&customer, &backend) {
            // Nobody is read faster than the other end takes it.
            let (hears, reads) = (!backend.is_full(), !customer.is_full());
            tokio::select! {
                turn = customer.turn(hears) => match turn {
                    Turn::Written if customer.owes() => {}
                    Turn::Written => self.unsaid.arrived(),
                    Turn::Moving => self.unheard[0] = 0,
                    Turn::Read => self.customer_spoke(&mut customer, &mut backend).await,
                    Turn::Gone => {
                        customer.give_up();
                        self.unsaid.put_back().await;
                        backend.silent = true;
                        self.ends_in(CUT);
                    }
                },
                turn = backend.turn(reads) => match turn {
                    Turn::Written => {}
                    Turn::Moving => self.unheard[1] = 0,
                    Turn::Read => self.backend_spoke(&mut customer, &mut backend).await,
                    Turn::Gone => {
                        backend.give_up();
                        customer.silent = true;
                        self.ends_in(CUT);
                    }
                },
                () = self.rung(), if self.asked.is_some() => {
                    self.look(&mut customer, &mut backend).await;
                }
                _ = tick.tick() => {
                    self.look(&mut customer, &mut backend).await;
                    self.ping(&mut customer, &mut backend);
                }
                () = drained(&mut draining), if drains => {
                    drains = false;
                    let left = self.exchange.config.drain_timeout.saturating_sub(CUT * 2);
                    self.drain = Some(Instant::now() + left);
                }
                () = until(self.drain) => {
                    self.drain = None;
                    let close = Close::new(1001, "the gateway is going away");
                    self.close(&mut customer, &mut backend, close);
                }
                () = until(self.end) => break,
            }
        }
        let delivered = !customer.is_full();
        self.unsaid.put_back().await;
        let _ = tokio::time::timeout(CUT, backend.shut_down()).await;
        delivered
    }

    /// Everything that the customer has said by now.
    async fn customer_spoke(&mut self, customer: &mut Customer<'_>, backend: &mut Backend) {
        self.unheard[0] = 0;
        loop {
            match customer.decoder.next() {
                Ok(None) => return,
                Ok(Some(Event::Close(close))) => {
                    customer.silent = true;
                    if !self.cut {
                        backend.say(&Event::Close(close));
                    }
                    return self.ends_in(GOODBYE);
                }
                Ok(Some(_)) if self.cut => {}
                Ok(Some(Event::Pong(beat))) if *beat == self.beat => {}
                Ok(Some(event @ (Event::Ping(_) | Event::Pong(_)))) => backend.say(&event),
                Ok(Some(event)) => self.customer_said(event, customer, backend).await,
                Err(violation) => {
                    customer.silent = true;
                    self.violated(customer, backend, "customer", violation);
                }
            }
        }
    }

    /// Everything that the backend has said by now.
    async fn backend_spoke(&mut self, customer: &mut Customer<'_>, backend: &mut Backend) {
        self.unheard[1] = 0;
        loop {
            match backend.decoder.next() {
                Ok(None) => return,
                Ok(Some(Event::Close(close))) => {
                    backend.silent = true;
                    if !self.cut {
                        customer.say(&Event::Close(close));
                    }
                    return self.ends_in(GOODBYE);
                }
                Ok(Some(_)) if self.cut => {}
                Ok(Some(Event::Pong(beat))) if *beat == self.beat => {}
                Ok(Some(event @ (Event::Ping(_) | Event::Pong(_)))) => customer.say(&event),
                Ok(Some(event)) => self.backend_said(event, customer, backend).await,
                Err(violation) => {
                    backend.silent = true;
                    self.violated(customer, backend, "backend", violation);
                }
            }
        }
    }

    fn violated(
        &mut self,
        customer: &mut Customer<'_>,
        backend: &mut Backend,
        who: &str,
        violation: Violation,
    ) {
        tracing::info!(
            request_id = %self.exchange.id(), channel = %self.channel.name, who,
            what = violation.what, "a socket was closed: the protocol was violated"
        );
        let close = Close::new(violation.code, violation.what);
        self.close(customer, backend, close);
    }

    /// Ends the socket with a word of ours.
    pub(super) fn close(
        &mut self,
        customer: &mut Customer<'_>,
        backend: &mut Backend,
        close: Close,
    ) {
        if self.cut {
            return;
        }
        self.cut = true;
        customer.say(&Event::Close(Some(close)));
        // What the customer did is not for the backend to know.
        backend.say(&Event::Close(Some(Close::new(1001, "going away"))));
        backend.silent = true;
        self.ends_in(CUT);
    }

    /// Counts a message, and says so in the log when it did not simply pass.
    pub(super) fn note(&mut self, reason: Reason) {
        self.exchange.reason = reason;
        self.state.metrics.message(&self.channel.name, reason);
        if matches!(
            reason,
            Reason::Passed | Reason::Unflagged | Reason::Authenticated
        ) {
            return;
        }
        tracing::info!(
            request_id = %self.exchange.id(), channel = %self.channel.name,
            route = %self.route.name, verdict = reason.code(), "message"
        );
    }

    /// Whether nothing that is said now would be listened to by the customer.
    pub(super) fn has_closed(&self, customer: &Customer<'_>) -> bool {
        self.cut || customer.silent
    }

    /// Whether both ends have said all they had to say.
    fn is_over(&self, customer: &Customer<'_>, backend: &Backend) -> bool {
        customer.silent && backend.silent && !customer.is_full() && !backend.is_full()
    }

    /// Ends it by then, if not before.
    fn ends_in(&mut self, time: Duration) {
        let by = Instant::now() + time;
        self.end = Some(self.end.map_or(by, |end| end.min(by)));
    }

    /// Rings when the interaction has changed.
    async fn rung(&self) {
        match self.key() {
            Some(key) => self.state.store.bell(key).notified().await,
            None => std::future::pending().await,
        }
    }

    /// Keeps the connections alive, and finds out which one is not.
    fn ping(&mut self, customer: &mut Customer<'_>, backend: &mut Backend) {
        let now = self.state.clock.now();
        let Some(socket) = self.channel.socket.as_ref().filter(|_| !self.cut) else {
            return;
        };
        // Where the clock was set back, nobody waits until it has caught up.
        if self.pinged <= now && now.since(self.pinged) < socket.ping {
            return;
        }
        self.pinged = now;
        if self.unheard.iter().any(|unheard| *unheard >= UNHEARD) {
            tracing::debug!(request_id = %self.exchange.id(), "an end of a socket is gone");
            return self.ends_in(Duration::ZERO);
        }
        self.unheard = self.unheard.map(|unheard| unheard + 1);
        let ping = Event::Ping(Bytes::copy_from_slice(&self.beat));
        customer.say(&ping);
        backend.say(&ping);
    }
}

/// When the process was told to end.
async fn drained(draining: &mut watch::Receiver<bool>) {
    let _ = draining.wait_for(|draining| *draining).await;
}

/// That instant, if there is one.
async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
