//! After a login: the messages that were withheld on the way to the client go
//! there, oldest first, each until the client takes it or the attempts are used up.
//! What the backend sends meanwhile waits for them, and so does the end of the process.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use tokio::sync::watch;

use super::busy::Busy;
use super::{State, resume, signed};
use crate::channel::{Channel, Kind, Login, Release, Route};
use crate::config::Config;
use crate::interaction::{Evidence, HandedOut, Key, Leg, Withheld};
use crate::outbound::Bounds;
use crate::reason::Reason;
use crate::time::Time;

/// Longest answer of a client that is read: nothing in it matters.
const ANSWER: usize = 64 << 10;

/// Releases under way, by conversation.
#[derive(Debug, Default)]
pub struct Releases(watch::Sender<HashMap<Key, usize>>);

impl Releases {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Waits until none is under way for this conversation, or for so long.
    pub(super) async fn over(&self, key: &Key, most: Duration) {
        let mut releases = self.0.subscribe();
        let over = releases.wait_for(|releases| !releases.contains_key(key));
        if tokio::time::timeout(most, over).await.is_err() {
            tracing::warn!(channel = %key.channel(), "a message goes before those that are being released");
        }
    }
}

/// A release under way.
struct UnderWay {
    state: Arc<State>,
    key: Key,
    busy: Busy,
}

impl UnderWay {
    fn begin(state: &Arc<State>, key: &Key) -> Self {
        let releases = &state.releases.0;
        releases.send_modify(|releases| *releases.entry(key.clone()).or_default() += 1);
        Self {
            state: state.clone(),
            key: key.clone(),
            busy: Busy::begin(state),
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.state.releases.0.send_modify(|releases| {
            let left = releases.get_mut(&self.key).map(|count| {
                *count -= 1;
                *count
            });
            if left == Some(0) {
                releases.remove(&self.key);
            }
        });
    }
}

/// Delivers what a login lets go; runs beside the one who caused it.
pub(super) fn after_login(
    state: &Arc<State>,
    config: &Arc<Config>,
    channel: &Arc<Channel>,
    key: &Key,
    release: Release,
    now: Time,
) {
    let delivery = Delivery {
        state: state.clone(),
        config: config.clone(),
        channel: channel.clone(),
        key: key.clone(),
        release,
        under_way: UnderWay::begin(state, key),
    };
    let outbound = state.outbound.clone();
    outbound.share(delivery.run(now));
}

/// Sends one message of ours to the client, with the same attempts.
pub(super) fn send(
    state: &Arc<State>,
    config: &Arc<Config>,
    channel: &Arc<Channel>,
    key: &Key,
    message: Withheld,
) {
    let release = channel.login.as_ref().and_then(Login::release);
    let delivery = Delivery {
        state: state.clone(),
        config: config.clone(),
        channel: channel.clone(),
        key: key.clone(),
        release: release.copied().unwrap_or_default(),
        under_way: UnderWay::begin(state, key),
    };
    let outbound = state.outbound.clone();
    outbound.share(async move {
        let id = crate::secret::id("msg_");
        let outcome = tokio::select! {
            outcome = delivery.deliver(&message, &id) => outcome,
            () = delivery.last_call() => Err(Reason::ReleaseFailed),
        };
        if let Err(reason) = outcome {
            tracing::error!(
                channel = %delivery.channel.name, message = %id, reason = reason.code(),
                "dead letter: the client was not told how a login ended"
            );
        }
    });
}

struct Delivery {
    state: Arc<State>,
    config: Arc<Config>,
    channel: Arc<Channel>,
    key: Key,
    release: Release,
    under_way: UnderWay,
}

impl Delivery {
    async fn run(self, now: Time) {
        let clocks = &self.channel.clocks;
        let webhooks = |leg: &Leg| matches!(leg, Leg::Webhook { .. });
        let released = self
            .state
            .store
            .update(&self.key, clocks, now, |slot| match slot {
                // The token, or the proof, spoke for the owner.
                Some(interaction) => interaction.release(webhooks, clocks, Evidence::Unasked, now),
                None => HandedOut::default(),
            })
            .await;
        let (mut end, mut ended) = (pin!(self.last_call()), false);
        for message in released.unwrap_or_default().messages {
            let id = crate::secret::id("msg_");
            let outcome = match ended {
                true => Err(Reason::ReleaseFailed),
                false => tokio::select! {
                    outcome = self.deliver(&message, &id) => outcome,
                    () = &mut end => {
                        ended = true;
                        Err(Reason::ReleaseFailed)
                    }
                },
            };
            let name = &self.channel.name;
            match outcome {
                Ok(()) => self.state.metrics.resumed(name, "released"),
                Err(reason) => {
                    self.state.metrics.resumed(name, "failed");
                    tracing::error!(
                        channel = %name, message = %id, reason = reason.code(),
                        "dead letter: a released message was not delivered"
                    );
                }
            }
        }
    }

    async fn last_call(&self) {
        let busy = &self.under_way.busy;
        busy.last_call(self.config.drain_timeout).await;
    }

    /// Sends a message until the client takes it. A login that counts no more ends
    /// it, too.
    async fn deliver(&self, message: &Withheld, id: &str) -> Result<(), Reason> {
        let Leg::Webhook { method, target } = &message.leg else {
            return Err(Reason::Internal);
        };
        let mut pause = self.release.pause;
        for attempt in 1..=self.release.attempts {
            if attempt > 1 {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            let route = self.route(method, target, message)?;
            let _turn = self.state.resend.turn(&route.upstream).await;
            if !self.reached(message).await {
                return Err(Reason::Flagged);
            }
            let request = self.request(&route, method, target, message, id)?;
            let bounds = Bounds {
                timeout: self.release.timeout,
                max_body: ANSWER,
            };
            let state = &self.state;
            match state
                .resend
                .call(&state.peers, &route, request, bounds)
                .await
            {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) => tracing::warn!(
                    channel = %self.channel.name, message = %id, attempt,
                    status = answer.status().as_u16(), "the client refused a released message"
                ),
                Err(error) => tracing::warn!(
                    channel = %self.channel.name, message = %id, attempt, %error,
                    "a released message did not arrive"
                ),
            }
        }
        Err(Reason::ReleaseFailed)
    }

    /// Whether the customer still has the level that the message asks for.
    async fn reached(&self, message: &Withheld) -> bool {
        let clocks = &self.channel.clocks;
        let now = self.state.clock.now();
        let level = self
            .state
            .store
            .read(&self.key, clocks, now, |interaction| {
                let interaction = interaction?;
                Some(interaction.standing(clocks, Evidence::Unasked, now).level())
            })
            .await;
        level
            .ok()
            .flatten()
            .is_some_and(|level| message.level <= level)
    }

    fn route(
        &self,
        method: &Method,
        target: &str,
        message: &Withheld,
    ) -> Result<Arc<Route>, Reason> {
        let (config, channel) = (&self.config, &self.channel);
        let found = resume::route(config, channel, method, target, &message.headers);
        found
            .filter(|route| route.kind == Kind::Webhook)
            .ok_or(Reason::NoRoute)
    }

    fn request(
        &self,
        route: &Route,
        method: &Method,
        target: &str,
        message: &Withheld,
        id: &str,
    ) -> Result<Request<Bytes>, Reason> {
        let mut request = Request::builder()
            .method(method.clone())
            .uri(target)
            .body(message.body.clone())
            .map_err(|_| Reason::Internal)?;
        *request.headers_mut() = message.headers.clone();
        signed::resign(&mut request, route, id, self.state.clock.now())?;
        Ok(request)
    }
}
