//! The way of a request in: address → route → body → signature → proof → interaction →
//! verdict. It ends with a reply of our own, or with an exchange that is ready to be
//! forwarded.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE};
use pingora::Error;
use pingora::proxy::Session;

use super::State;
use super::admit;
use super::body;
use super::endpoints;
use super::exchange::{Asked, Exchange};
use super::facts::{self, Proven};
use super::find::{self, Preflight};
use super::respond::Reply;
use super::{challenge, interactions, linking, read, records, release, side_call, signed};
use super::{socket, webhook};
use crate::channel::{Kind, Login, Route};
use crate::decision::{self, ForRequest, Forward};
use crate::identity::Proof;
use crate::interaction::{Identity, Key, Level};
use crate::reason::Reason;
use crate::time::Time;

/// How a request goes on.
pub(super) enum Step {
    /// To the backend.
    Forward,
    /// To the backend, as a WebSocket.
    Socket,
    /// Answered by chatgate itself.
    Reply(Reply),
}

/// Takes a request in.
pub(super) async fn arrive(
    state: &Arc<State>,
    session: &mut Session,
    exchange: &mut Exchange,
) -> pingora::Result<Step> {
    match walk(state, session, exchange).await {
        Ok(step) => Ok(step),
        Err(Stop::Refused(reason)) => {
            let headers = &session.req_header().headers;
            Ok(Step::Reply(exchange.refusal(headers, reason)))
        }
        Err(Stop::Broken(error)) => Err(error),
    }
}

/// Why a request goes no further.
enum Stop {
    /// It is answered with this.
    Refused(Reason),
    /// Its connection gave out.
    Broken(Box<Error>),
}

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Self {
        Self::Refused(reason)
    }
}

impl From<Box<Error>> for Stop {
    fn from(error: Box<Error>) -> Self {
        Self::Broken(error)
    }
}

/// The way, from its beginning to its end.
async fn walk(
    state: &Arc<State>,
    session: &mut Session,
    exchange: &mut Exchange,
) -> Result<Step, Stop> {
    let line = request_line(session);
    let target = admit::admit(session.req_header(), line.as_deref())?;
    let method = session.req_header().method.clone();
    if let Some(endpoint) = endpoints::find(&exchange.config, &target.path) {
        let reply = endpoints::serve(state, session, exchange, endpoint, &method, &target);
        // Boxed: keeps the common future small.
        return Ok(Step::Reply(Box::pin(reply).await?));
    }

    let headers = &session.req_header().headers;
    let found = find::find(&exchange.config.routes, &method, &target, headers)?;
    let unproven = match found.preflight {
        Preflight::No => false,
        Preflight::Theirs => true,
        Preflight::Ours(answer) => return Ok(Step::Reply(answer?)),
    };
    let route = found.at.route.clone();
    // Nobody reads them where a request merely passes.
    let params = match route.asks() {
        true => found.at.params(),
        false => Vec::new(),
    };
    exchange.asked = Some(Asked {
        method,
        target,
        route: route.clone(),
        params,
    });
    let opens = socket::asked(session.req_header(), &route);
    if let Some(socket) = opens {
        socket::check(session, socket)?;
    }
    let opens = opens.is_some();

    read::read_body(session, exchange, &route).await??;
    let body = exchange
        .body
        .as_ref()
        .map_or(&[][..], |body| &body.bytes()[..]);
    let headers = &session.req_header().headers;
    let now = state.clock.now();
    signed::check(&state.caches, &route, headers, body, now)?;

    if unproven {
        // The backend answers its own preflights. Those of browsers carry neither cookie
        // nor credentials, and no other does behind us; what it says is judged all the same.
        let head = session.req_header_mut();
        head.remove_header(&COOKIE);
        head.remove_header(&AUTHORIZATION);
        let headers = &session.req_header().headers;
        exchange.forward = Some(Forward::anonymous(route.kind));
        edit(exchange, headers, now)?;
        return Ok(Step::Forward);
    }
    if route.kind == Kind::Webhook {
        webhook::judge(state, session, exchange, &route).await?;
        return Ok(Step::Forward);
    }
    Ok(decide(state, session, exchange, &route, opens, now).await?)
}

/// The request line as it came; HTTP/2 has none.
fn request_line(session: &Session) -> Option<Bytes> {
    let mut line = session.as_downstream().as_http1()?.get_headers_raw_bytes();
    line.truncate(memchr::memchr(b'\n', &line).unwrap_or(line.len()));
    Some(line)
}

/// From the route to the backend: who it is, the verdict, and what follows from that.
async fn decide(
    state: &Arc<State>,
    session: &mut Session,
    exchange: &mut Exchange,
    route: &Arc<Route>,
    opens: bool,
    now: Time,
) -> Result<Step, Reason> {
    let Proven { proof, verifier } = identify(state, session, exchange, route, now).await?;
    let verdict = decision::request(decision::Known {
        route,
        proof: &proof,
        standing: &exchange.standing,
        named: exchange.key.is_some(),
        challengeable: !opens,
    });
    match verdict {
        ForRequest::Refuse(reason) => Err(reason),
        ForRequest::Challenge { level, proven } => {
            let asks = demand(state, session, exchange, route, level, proven, now);
            // Boxed: keeps the common future small.
            Ok(Step::Reply(Box::pin(asks).await?))
        }
        ForRequest::Forward(forward) => {
            if let Some(observed) = forward.observed {
                observe(state, exchange, route, observed, verifier.as_deref());
            }
            carry_out(state, session, exchange, route, forward, now).await?;
            Ok(match opens {
                true => Step::Socket,
                false => Step::Forward,
            })
        }
    }
}

/// Who the request is from and which interaction it belongs to, which from now on
/// knows of it.
async fn identify(
    state: &Arc<State>,
    session: &mut Session,
    exchange: &mut Exchange,
    route: &Arc<Route>,
    now: Time,
) -> Result<Proven, Reason> {
    let channel = &route.channel;
    let headers = &session.req_header().headers;
    let view = exchange.view(headers).ok_or(Reason::Internal)?;
    let mut proven = facts::prove(&state.caches, route, &view, now).await;
    if !channel.matches.is_empty()
        && let Proof::Valid(identity) = &proven.proof
    {
        let matched = records::check(state, exchange, channel, identity.clone(), now);
        // Boxed: keeps the common future small.
        proven.proof = match Box::pin(matched).await {
            Ok(identity) => Proof::Valid(identity),
            Err(reason) => Proof::Invalid(reason),
        };
    }
    let facts = facts::gather(route, &view, &proven.proof)?;
    let word = linking::word(route, &view);
    exchange.evidence = facts.evidence;
    exchange.new_cookie = facts.new_cookie;
    exchange.key = facts.interaction.map(|id| Key::new(&channel.name, &id));
    if let Some(word) = word {
        // Boxed: keeps the common future small.
        Box::pin(linking::hear(state, exchange, channel, word, now)).await;
    }
    if let Some(key) = exchange.key.as_ref().filter(|_| channel.keeps_state()) {
        let evidence = exchange.evidence;
        exchange.standing = interactions::touch(state, channel, key, evidence, now).await;
    }
    if exchange.standing.foreign {
        // Two first requests at once both come without a cookie. The one that comes
        // second must not replace the one that the chat now belongs to.
        exchange.new_cookie = None;
    }
    Ok(proven)
}

/// The route demands more: the customer has to log in first.
async fn demand(
    state: &Arc<State>,
    session: &Session,
    exchange: &mut Exchange,
    route: &Route,
    level: Level,
    proven: Option<Arc<Identity>>,
    now: Time,
) -> Result<Reply, Reason> {
    if let (Some(key), Some(identity)) = (&exchange.key, &proven) {
        let (channel, evidence) = (&route.channel, exchange.evidence);
        interactions::log_in(state, channel, key, evidence, identity, now).await?;
    }
    exchange.reason = Reason::LevelDemanded;
    challenge::demand(state, session, exchange, level).await
}

/// Tells what an observing route would have refused with.
fn observe(
    state: &State,
    exchange: &Exchange,
    route: &Route,
    observed: Reason,
    verifier: Option<&str>,
) {
    let channel = &route.channel.name;
    state.metrics.observed(channel, observed);
    tracing::info!(
        request_id = %exchange.id(), %channel, route = %route.name,
        reason = observed.code(), verifier, "observed: would have been refused"
    );
}

/// Does what has to be done before the backend gets the request.
async fn carry_out(
    state: &Arc<State>,
    session: &mut Session,
    exchange: &mut Exchange,
    route: &Arc<Route>,
    forward: Forward,
    now: Time,
) -> Result<(), Reason> {
    let channel = &route.channel;
    exchange.reason = forward.reason;
    if forward.log_in
        && let (Some(key), Some(identity)) = (&exchange.key, &forward.identity)
    {
        let evidence = exchange.evidence;
        interactions::log_in(state, channel, key, evidence, identity, now).await?;
        exchange.login_time = Some(now);
        if let Some(release) = channel.login.as_ref().and_then(Login::release) {
            release::after_login(state, &exchange.config, channel, key, *release, now);
        }
    }
    interactions::remember(state, session, exchange, route, now).await;
    if forward.announce
        && let (Some(key), Some(identity)) = (&exchange.key, &forward.identity)
    {
        let login_time = exchange.login_time.or(exchange.standing.login_time);
        let login_time = login_time.unwrap_or(now);
        let (id, config) = (exchange.id(), &exchange.config);
        side_call::announce(state, id, config, channel, key, identity, login_time).await?;
    }
    if forward.end
        && let Some(key) = &exchange.key
    {
        let end = |slot: &mut Option<_>| *slot = None;
        state.store.update(key, &channel.clocks, now, end).await?;
    }
    if forward.log_out
        && let Some(key) = &exchange.key
    {
        endpoints::revoke(state, channel, std::slice::from_ref(key)).await?;
    }
    exchange.forward = Some(forward);
    edit(exchange, &session.req_header().headers, now)
}

/// Takes the managed members out of a body that was read, and puts those of the
/// customer in.
fn edit(exchange: &mut Exchange, headers: &HeaderMap, now: Time) -> Result<(), Reason> {
    let Some(body) = &exchange.body else {
        return Ok(());
    };
    let injected = exchange.injected(now);
    let members = injected
        .as_ref()
        .map(|injected| injected.members())
        .unwrap_or_default();
    exchange.edited = body::edit_body(&exchange.config, headers, body.bytes(), &members)?;
    Ok(())
}
