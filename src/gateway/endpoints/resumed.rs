//! The `continue` URL: waits for the answer to the held request, for its owner.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderName, RETRY_AFTER};
use http::{HeaderValue, Method, StatusCode};
use pingora::proxy::Session;

use super::super::State;
use super::super::exchange::Exchange;
use super::super::notice;
use super::super::respond::Reply;
use super::located::Located;
use crate::channel::{Channel, Ended, Owner};
use crate::interaction::{Answer, Evidence, Held};
use crate::message::select::Source;
use crate::message::{RequestView, Selector};
use crate::reason::Reason;

/// How long one request waits before it is told to ask again.
const PATIENCE: Duration = Duration::from_secs(25);

/// Waits for the answer, at most [`PATIENCE`]; 202 means ask again.
pub(super) async fn wait(
    state: &Arc<State>,
    session: &mut Session,
    exchange: &mut Exchange,
    token: &str,
    method: &Method,
) -> Reply {
    let Some(at) = Located::find_held(state, exchange, token).await else {
        exchange.reason = Reason::NothingHeld;
        return Reply::refusal(Reason::NothingHeld, exchange.id());
    };
    let channel = &at.channel;
    let headers = session.req_header().headers.clone();
    if *method == Method::OPTIONS {
        return match &channel.cors {
            Some(cors) => Reply::preflight(cors, &headers),
            None => Reply::new(StatusCode::NO_CONTENT),
        };
    }
    at.note(exchange, "continue");
    let evidence = evidence(channel, &headers);
    let reply = match look(state, &at, evidence).await {
        Ok(reply) => reply,
        Err(reason) => {
            exchange.reason = reason;
            if let Some(told) = told(state, exchange, &at, reason) {
                return told.with_cors(channel.cors.as_ref(), &headers);
            }
            let mut reply = Reply::refusal(reason, exchange.id());
            if reason != Reason::NothingHeld {
                reply.status = StatusCode::GONE;
            }
            reply
        }
    };
    reply.with_cors(channel.cors.as_ref(), &headers)
}

/// What the channel tells the chat of a login that ended without an answer.
fn told(state: &State, exchange: &Exchange, at: &Located, reason: Reason) -> Option<Reply> {
    let ended = Ended::of(reason)?;
    let config = &exchange.config;
    let (body, kind) = notice::text(state, config, &at.channel, &at.key, ended, None)?;
    Some(Reply {
        status: StatusCode::OK,
        headers: [(CONTENT_TYPE, kind)].into_iter().collect(),
        body,
    })
}

/// The owner's evidence, as far as it can come with a request that is not one of
/// the channel's own. Where it cannot, the token in the URL is the evidence.
pub(super) fn evidence(channel: &Channel, headers: &http::HeaderMap) -> Evidence {
    let view = RequestView {
        method: &Method::GET,
        path: "",
        query: None,
        headers,
        params: &[],
        body: None,
    };
    match &channel.owner {
        Some(owner @ Owner::Cookie { .. }) => {
            let hash = owner.evidence(&view, None).ok().flatten();
            hash.into()
        }
        Some(owner @ Owner::Selector(selector)) if selector.in_headers() => {
            let hash = owner.evidence(&view, None).ok().flatten();
            hash.into()
        }
        _ => Evidence::Unasked,
    }
}

async fn look(state: &State, at: &Located, evidence: Evidence) -> Result<Reply, Reason> {
    let (key, clocks) = (&at.key, &at.channel.clocks);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let rung = state.store.bell(key).notified();
        tokio::pin!(rung);
        // Listening before looking: a change in between is not missed.
        rung.as_mut().enable();
        let now = state.clock.now();
        let held = state
            .store
            .read(key, clocks, now, |interaction| {
                let interaction = interaction.ok_or(Reason::NothingHeld)?;
                interaction
                    .waiting(&at.hash, clocks, evidence, now)
                    .cloned()
            })
            .await??;
        match held {
            Held::Answer(_, answer) => return Ok(reply(*answer)),
            Held::Failed(reason) => return Err(reason),
            Held::Request(_) | Held::Withheld(..) | Held::Replaying => {}
        }
        if tokio::time::timeout_at(deadline, rung).await.is_err() {
            let waiting = Reply::json(
                StatusCode::ACCEPTED,
                &serde_json::json!({ "status": "waiting" }),
            );
            return Ok(waiting.with(RETRY_AFTER, HeaderValue::from_static("0")));
        }
    }
}

/// The backend's own answer, to whoever asked for it.
fn reply(answer: Answer) -> Reply {
    const OURS: &[&str] = &[
        "content-length",
        "transfer-encoding",
        "connection",
        "cache-control",
        "referrer-policy",
        "x-content-type-options",
    ];
    let Answer {
        status,
        mut headers,
        body,
    } = answer;
    let ours: Vec<HeaderName> = headers
        .keys()
        .filter(|name| OURS.contains(&name.as_str()))
        .cloned()
        .collect();
    for name in ours {
        headers.remove(name);
    }
    Reply {
        status,
        headers,
        body,
    }
}

impl Selector {
    /// Whether the value is in a header, cookie or the like that comes with any
    /// request of the same client.
    fn in_headers(&self) -> bool {
        self.0
            .iter()
            .all(|source| matches!(source, Source::Header { .. } | Source::Cookie(_)))
    }
}
