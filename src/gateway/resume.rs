//! After a successful login: the held request is sent again, or the backend is
//! told, or nothing happens. Runs beside the return, which is answered at once.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, EXPECT, HOST};
use http::{HeaderMap, Method, Request};
use pingora::http::RequestHeader;
use serde_json::{Map, Value};

use super::State;
use super::body;
use super::busy::Busy;
use super::exchange::Exchange;
use super::inject::{self, Injected};
use super::side_call::{announce, call_values};
use super::{release, signed, unflag};
use crate::channel::{Channel, Kind, Resume, Route};
use crate::config::Config;
use crate::decision::{self, Asker, ForAnswer};
use crate::interaction::{Answer, Held, HeldRequest, Identity, Key, Redeemed, TokenHash};
use crate::message::header::HOP_BY_HOP;
use crate::message::{AnswerView, Body};
use crate::outbound::{Bounds, CallError};
use crate::reason::Reason;
use crate::telemetry::Id;
use crate::time::Time;

/// Resumes the conversation.
pub(super) fn after_login(
    state: &Arc<State>,
    exchange: &Exchange,
    channel: &Arc<Channel>,
    key: &Key,
    identity: Arc<Identity>,
    redeemed: Redeemed,
    now: Time,
) {
    let (config, request_id) = (&exchange.config, exchange.id());
    let Some(login) = &channel.login else {
        return;
    };
    match &login.resume {
        Resume::None => {}
        // A withheld answer already waits at its `continue` URL.
        Resume::Release(release) => {
            release::after_login(state, config, channel, key, *release, now)
        }
        Resume::Replay { .. } => {
            let (Some(waiting), Some(held)) = (redeemed.waiting, redeemed.held) else {
                return;
            };
            let replay = Replay {
                state: state.clone(),
                request_id,
                config: config.clone(),
                channel: channel.clone(),
                key: key.clone(),
                identity,
                waiting,
                now,
                busy: Busy::begin(state),
            };
            state.outbound.share(replay.run(held));
        }
        Resume::Notify(_) => {
            let notice = Notice {
                state: state.clone(),
                request_id,
                config: config.clone(),
                channel: channel.clone(),
                values: call_values(config, channel, key, Some(&*identity), now, "success"),
                busy: Busy::begin(state),
            };
            state.outbound.share(notice.run());
        }
    }
}

/// The backend is told that the customer logged in.
struct Notice {
    state: Arc<State>,
    /// The request that brought the login, for the log.
    request_id: Id,
    config: Arc<Config>,
    channel: Arc<Channel>,
    values: Map<String, Value>,
    busy: Busy,
}

impl Notice {
    const ATTEMPTS: u32 = 3;

    async fn run(self) {
        let told = tokio::select! {
            told = self.send() => told,
            () = self.busy.last_call(self.config.drain_timeout) => false,
        };
        let name = &self.channel.name;
        let outcome = if told { "notified" } else { "failed" };
        self.state.metrics.resumed(name, outcome);
        if !told {
            tracing::error!(request_id = %self.request_id, channel = %name, "the backend was not told of a login");
        }
    }

    /// Whether the backend took it.
    async fn send(&self) -> bool {
        let name = &self.channel.name;
        let Some(Resume::Notify(call)) = self.channel.login.as_ref().map(|login| &login.resume)
        else {
            return false;
        };
        // One id for all attempts: the backend can tell a repetition.
        let id = crate::secret::id("msg_");
        for attempt in 1..=Self::ATTEMPTS {
            let request = match call.request(&self.values, &id, self.state.clock.now()) {
                Ok(request) => request,
                Err(error) => {
                    tracing::error!(request_id = %self.request_id, channel = %name, %error, "the notice could not be made");
                    return false;
                }
            };
            let bounds = Bounds {
                timeout: call.timeout,
                max_body: 64 << 10,
            };
            match self.state.outbound.call(request, bounds).await {
                Ok(answer) if answer.status().is_success() => return true,
                Ok(answer) => tracing::warn!(
                    request_id = %self.request_id, channel = %name, attempt, status = answer.status().as_u16(), "the notice was refused"
                ),
                Err(error) => {
                    tracing::warn!(request_id = %self.request_id, channel = %name, attempt, ?error, "the notice did not arrive")
                }
            }
            if attempt < Self::ATTEMPTS {
                tokio::time::sleep(Duration::from_millis(250 << attempt)).await;
            }
        }
        false
    }
}

/// A held request on its second way.
struct Replay {
    state: Arc<State>,
    /// The request that brought the login, for the log.
    request_id: Id,
    config: Arc<Config>,
    channel: Arc<Channel>,
    key: Key,
    identity: Arc<Identity>,
    waiting: TokenHash,
    now: Time,
    busy: Busy,
}

impl Replay {
    async fn run(self, held: HeldRequest) {
        let sent = tokio::select! {
            sent = self.send(held) => sent,
            () = self.busy.last_call(self.config.drain_timeout) => Err(Reason::UpstreamTimeout),
        };
        let outcome = match sent {
            Ok(answer) => {
                self.state.metrics.resumed(&self.channel.name, "replayed");
                Held::Answer(self.identity.level, Box::new(answer))
            }
            Err(reason) => {
                tracing::warn!(request_id = %self.request_id, channel = %self.channel.name, reason = reason.code(), "the held request could not be answered");
                self.state.metrics.resumed(&self.channel.name, "failed");
                Held::Failed(reason)
            }
        };
        let now = self.state.clock.now();
        let kept = self
            .state
            .store
            .update(&self.key, &self.channel.clocks, now, |slot| {
                if let Some(interaction) = slot.as_mut() {
                    interaction.resolve(&self.waiting, outcome.clone());
                }
            })
            .await;
        if let Err(reason) = kept {
            tracing::warn!(request_id = %self.request_id, channel = %self.channel.name, reason = reason.code(), "the answer could not be kept");
        }
    }

    async fn send(&self, held: HeldRequest) -> Result<Answer, Reason> {
        let route = self.route(&held)?;
        if self.identity.level < route.level {
            return Err(Reason::LevelTooLow);
        }
        if self.channel.side_call.is_some() {
            announce(
                &self.state,
                self.request_id,
                &self.config,
                &self.channel,
                &self.key,
                &self.identity,
                self.now,
            )
            .await?;
        }
        let request = self.request(&route, held)?;
        let timeout = route.read_timeout.unwrap_or(route.upstream.read_timeout);
        let bounds = Bounds {
            timeout,
            max_body: self.channel.inspection.max_body,
        };
        let answer = self.state.resend.call(&self.state.peers, &route, request, bounds).await.map_err(|error| match error {
            CallError::Timeout => Reason::UpstreamTimeout,
            CallError::TooLarge => Reason::AnswerTooLarge,
            CallError::Failed(error) => {
                tracing::warn!(request_id = %self.request_id, channel = %self.channel.name, %error, "the upstream could not be reached");
                Reason::UpstreamUnavailable
            }
        })?;
        self.judge(answer)
    }

    /// The route of the held request, under the configuration of today.
    fn route(&self, held: &HeldRequest) -> Result<Arc<Route>, Reason> {
        let found = route(
            &self.config,
            &self.channel,
            &held.method,
            &held.target,
            &held.headers,
        );
        found
            .filter(|route| matches!(route.kind, Kind::Message | Kind::PreChat))
            .ok_or(Reason::NoRoute)
    }

    fn request(&self, route: &Route, held: HeldRequest) -> Result<Request<Bytes>, Reason> {
        let injected = Injected {
            config: &self.config,
            channel: &self.channel,
            interaction: self.key.interaction(),
            identity: &self.identity,
            login_time: self.now,
            now: self.now,
        };
        let edited = body::edit_body(&self.config, &held.headers, &held.body, &injected.members())?;

        let mut head = RequestHeader::build(held.method.clone(), held.target.as_bytes(), None)
            .map_err(|_| Reason::Internal)?;
        for (name, value) in &held.headers {
            head.append_header(name.clone(), value.clone())
                .map_err(|_| Reason::Internal)?;
        }
        inject::strip(&mut head, &self.config, false);
        inject::ask_for_readable(&mut head, &self.channel).map_err(|_| Reason::Internal)?;

        let mut request = Request::builder()
            .method(held.method)
            .uri(&*held.target)
            .body(edited.unwrap_or(held.body))
            .map_err(|_| Reason::Internal)?;
        for (name, value) in &head.headers {
            if ![CONTENT_LENGTH, EXPECT].contains(name) && !HOP_BY_HOP.contains(&name.as_str()) {
                request.headers_mut().append(name.clone(), value.clone());
            }
        }
        for (name, value) in injected.headers()? {
            request.headers_mut().insert(name, value);
        }
        let id = crate::secret::id("msg_");
        signed::resign(&mut request, route, &id, self.state.clock.now())?;
        Ok(request)
    }

    /// The second answer is judged like the first; only a released one is kept.
    fn judge(&self, answer: http::Response<Bytes>) -> Result<Answer, Reason> {
        let (head, bytes) = answer.into_parts();
        let body = Body::of(&head.headers, bytes, self.channel.inspection.max_body);
        let view = AnswerView {
            status: head.status,
            headers: &head.headers,
            body: Some(&body),
        };
        let asker = Asker {
            level: self.identity.level,
            named: true,
            foreign: false,
        };
        match decision::answer(&self.channel, &view, asker) {
            ForAnswer::Release { strip, .. } => {
                let (headers, body) = unflag::stripped(&self.channel, head.headers, &body, &strip);
                Ok(Answer {
                    status: head.status,
                    headers: end_to_end(headers),
                    body,
                })
            }
            ForAnswer::Challenge { .. } => Err(Reason::Flagged),
            ForAnswer::Block(reason) => Err(reason),
        }
    }
}

/// The route of a request that was kept, under the configuration of today: after a
/// reload its place may be another channel's, or closed.
pub(super) fn route(
    config: &Config,
    channel: &Channel,
    method: &Method,
    target: &str,
    headers: &HeaderMap,
) -> Option<Arc<Route>> {
    let path = target.split('?').next().unwrap_or_default();
    let host = headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let found = config.routes.find(method, host, path)?;
    let own = found.route.channel.name == channel.name;
    own.then(|| found.route.clone())
}

/// Without the headers of one connection only.
pub(super) fn end_to_end(mut headers: HeaderMap) -> HeaderMap {
    for name in HOP_BY_HOP {
        headers.remove(*name);
    }
    headers
}
