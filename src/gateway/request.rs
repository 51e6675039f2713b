//! A request on its way in: route → body → interaction → proof → records → verdict →
//! side call. Ends with a reply of our own, or with an exchange that is ready to be
//! forwarded.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::{HeaderMap, Method};
use pingora::proxy::Session;
use serde_json::{Map, Value};

use super::State;
use super::admit;
use super::body;
use super::endpoints;
use super::exchange::{Asked, Exchange};
use super::respond::Reply;
use super::{challenge, linking, read, records, release, signed, socket, webhook};
use crate::channel::{Channel, Enforcement, Kind, Login, Owner, Resume, Route};
use crate::decision::{self, ForRequest, Forward};
use crate::identity::{self, Caches, Proof};
use crate::interaction::store::Key;
use crate::interaction::{Evidence, Identity, Interaction};
use crate::login::LoginToken;
use crate::message::RequestView;
use crate::outbound::Bounds;
use crate::reason::Reason;
use crate::time::Time;

/// Longest answer of a side call that is read.
const SIDE_CALL_ANSWER: usize = 64 << 10;

/// Longest interaction id in bytes: it is kept for every conversation.
pub(super) const MAX_INTERACTION_ID: usize = 512;

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
    let line = request_line(session);
    let target = match admit::admit(session.req_header(), line.as_deref()) {
        Ok(target) => target,
        Err(reason) => return Ok(refuse(session, exchange, None, reason)),
    };
    let method = session.req_header().method.clone();
    if let Some(endpoint) = endpoints::find(&exchange.config, &target.path) {
        // In a box of its own: this future is part of every request's.
        let reply = endpoints::serve(state, session, exchange, endpoint, &method, &target);
        return Ok(Step::Reply(Box::pin(reply).await?));
    }

    let headers = &session.req_header().headers;
    let config = exchange.config.clone();
    let preflight = preflight_method(&method, headers);
    let mut found = config.routes.find(&method, &target.host, &target.path);
    let mut unproven = false;
    if let (Some(wanted), None) = (&preflight, &found) {
        // Routes list the methods of their API, and browsers ask with OPTIONS first.
        found = config.routes.find(wanted, &target.host, &target.path);
        unproven = true;
    }
    let Some(found) = found else {
        return Ok(refuse(session, exchange, None, Reason::NoRoute));
    };
    let route = found.route.clone();
    // Nobody reads them where a request merely passes.
    let params = match route.asks() {
        true => found.params(),
        false => Vec::new(),
    };
    if config
        .routes
        .is_disguised(&method, &target.host, &target.path, &route)
    {
        return Ok(refuse(session, exchange, None, Reason::AmbiguousPath));
    }
    if let (Some(cors), Some(_)) = (&route.channel.cors, &preflight) {
        return Ok(Step::Reply(Reply::preflight(cors, headers)));
    }
    if unproven && route.kind == Kind::Deny {
        return Ok(refuse(session, exchange, None, Reason::Denied));
    }
    exchange.asked = Some(Asked {
        method,
        target,
        route: route.clone(),
        params,
    });

    let opens = socket::asked(session.req_header(), &route);
    if let Some(Err(reason)) = opens.map(|opens| socket::check(session, opens)) {
        return Ok(refuse(session, exchange, Some(&route.channel), reason));
    }

    if let Err(reason) = read::read_body(session, exchange, &route).await? {
        return Ok(refuse(session, exchange, Some(&route.channel), reason));
    }
    let body = exchange.body.as_ref().map(|body| &body.bytes()[..]);
    let headers = &session.req_header().headers;
    let now = state.clock.now();
    let signed = signed::check(
        &state.caches,
        &route,
        headers,
        body.unwrap_or_default(),
        now,
    );
    if let Err(reason) = signed {
        return Ok(refuse(session, exchange, Some(&route.channel), reason));
    }
    if unproven {
        // The backend answers its own preflights, which carry neither cookie nor
        // proof. Its answer is judged all the same.
        exchange.forward = Some(Forward::anonymous(route.kind));
        return Ok(match edit(exchange, &session.req_header().headers, now) {
            Ok(()) => Step::Forward,
            Err(reason) => refuse(session, exchange, Some(&route.channel), reason),
        });
    }
    if route.kind == Kind::Webhook {
        return Ok(
            match webhook::judge(state, session, exchange, &route).await {
                Ok(()) => Step::Forward,
                Err(reason) => refuse(session, exchange, Some(&route.channel), reason),
            },
        );
    }
    match decide(state, session, exchange, &route, opens.is_some(), now).await {
        Ok(Way::Challenged(reply)) => Ok(Step::Reply(reply)),
        Ok(Way::On) if opens.is_some() => Ok(Step::Socket),
        Ok(Way::On) => Ok(Step::Forward),
        Err(reason) => Ok(refuse(session, exchange, Some(&route.channel), reason)),
    }
}

/// The request line as it came; HTTP/2 has none.
fn request_line(session: &Session) -> Option<Bytes> {
    let mut line = session.as_downstream().as_http1()?.get_headers_raw_bytes();
    line.truncate(memchr::memchr(b'\n', &line).unwrap_or(line.len()));
    Some(line)
}

fn refuse(
    session: &Session,
    exchange: &mut Exchange,
    channel: Option<&Arc<Channel>>,
    reason: Reason,
) -> Step {
    exchange.reason = reason;
    let cors = channel.and_then(|channel| channel.cors.as_ref());
    let reply = Reply::refusal(reason, exchange.id());
    let reply = reply.with_cors(cors, &session.req_header().headers);
    // The interaction may be tied to the new cookie already.
    Step::Reply(exchange.reply_with_cookie(reply))
}

/// The method that a CORS preflight asks for.
fn preflight_method(method: &Method, headers: &HeaderMap) -> Option<Method> {
    if method != Method::OPTIONS || !headers.contains_key(ORIGIN) {
        return None;
    }
    Method::from_bytes(headers.get(ACCESS_CONTROL_REQUEST_METHOD)?.as_bytes()).ok()
}

/// Where a request goes that is not refused.
enum Way {
    /// On to the backend.
    On,
    /// No further: the customer has to log in first.
    Challenged(Reply),
}

/// Everything between the route and the backend.
async fn decide(
    state: &Arc<State>,
    session: &mut Session,
    exchange: &mut Exchange,
    route: &Arc<Route>,
    socket: bool,
    now: Time,
) -> Result<Way, Reason> {
    let channel = &route.channel;
    let proven = match route.enforcement {
        Enforcement::Off => Proven::default(),
        _ => {
            // A session cannot be lent across a wait.
            let headers = session.req_header().headers.clone();
            let view = exchange.view(&headers).ok_or(Reason::Internal)?;
            let mut proven = prove(&state.caches, route, &view, now).await;
            if !channel.matches.is_empty() {
                let proof = std::mem::replace(&mut proven.proof, Proof::Absent);
                let matched = records::proven(state, exchange, channel, proof, now);
                proven.proof = Box::pin(matched).await;
            }
            proven
        }
    };
    let headers = &session.req_header().headers;
    let view = exchange.view(headers).ok_or(Reason::Internal)?;
    let facts = gather(route, &view, proven)?;
    let word = linking::word(route, &view);
    exchange.evidence = facts.evidence;
    exchange.new_cookie = facts.new_cookie;
    exchange.key = facts.interaction.map(|id| Key::new(&channel.name, &id));
    if let Some(word) = word {
        // In a box of its own: such requests are few.
        Box::pin(linking::hear(state, exchange, channel, word, now)).await;
    }
    exchange.standing = match &exchange.key {
        Some(key) if channel.keeps_state() => {
            touch(state, channel, key, exchange.evidence, now).await
        }
        _ => Default::default(),
    };
    if exchange.standing.foreign {
        // Two first requests at once both come without a cookie. The one that comes
        // second must not replace the one that the chat now belongs to.
        exchange.new_cookie = None;
    }

    let asked = decision::Asked {
        route,
        proof: &facts.proof,
        standing: &exchange.standing,
        named: exchange.key.is_some(),
        challengeable: !socket,
    };
    let forward = match decision::request(asked) {
        ForRequest::Forward(forward) => forward,
        ForRequest::Refuse(reason) => return Err(reason),
        ForRequest::Challenge { level, proven } => {
            if let (Some(key), Some(identity)) = (&exchange.key, &proven) {
                log_in(state, channel, key, exchange.evidence, identity, now).await?;
            }
            exchange.reason = Reason::LevelDemanded;
            let asks = challenge::demand(state, session, exchange, level);
            // In a box of its own: this future is part of every request's.
            return Box::pin(asks).await.map(Way::Challenged);
        }
    };
    exchange.reason = forward.reason;
    if let Some(observed) = forward.observed {
        state.metrics.observed(&channel.name, observed);
        tracing::info!(
            request_id = %exchange.id(), channel = %channel.name, route = %route.name,
            reason = observed.code(), verifier = facts.verifier, "observed: would have been refused"
        );
    }

    if forward.log_in
        && let (Some(key), Some(identity)) = (&exchange.key, &forward.identity)
    {
        log_in(state, channel, key, exchange.evidence, identity, now).await?;
        exchange.login_time = Some(now);
        if let Some(release) = channel.login.as_ref().and_then(Login::release) {
            release::after_login(state, &exchange.config, channel, key, *release, now);
        }
    }
    remember(state, session, exchange, route, now).await;
    if forward.announce
        && let (Some(key), Some(identity)) = (&exchange.key, &forward.identity)
    {
        let login_time = exchange
            .login_time
            .or(exchange.standing.login_time)
            .unwrap_or(now);
        announce(
            state,
            &exchange.config,
            channel,
            key,
            identity,
            login_time,
            now,
        )
        .await?;
    }
    if forward.end
        && let Some(key) = &exchange.key
    {
        state
            .store
            .update(key, &channel.clocks, now, |slot| *slot = None)
            .await?;
    }
    if forward.log_out
        && let Some(key) = &exchange.key
    {
        endpoints::revoke(state, channel, std::slice::from_ref(key)).await?;
    }
    exchange.forward = Some(forward);
    edit(exchange, &session.req_header().headers, now)?;
    Ok(Way::On)
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

/// The interaction that a request names.
pub(super) fn interaction(route: &Route, view: &RequestView<'_>) -> Result<Option<String>, Reason> {
    let found = match &route.interaction {
        Some(selector) => selector.request(view)?,
        None => None,
    };
    match found {
        Some(id) if id.len() > MAX_INTERACTION_ID => Err(Reason::NoInteraction),
        found => Ok(found),
    }
}

/// What a request says of interaction, owner and customer.
pub(super) struct Gathered {
    pub interaction: Option<String>,
    pub evidence: Evidence,
    pub new_cookie: Option<String>,
    pub proof: Proof,
    pub verifier: Option<String>,
}

/// What the verifiers say.
pub(super) struct Proven {
    proof: Proof,
    verifier: Option<String>,
}

impl Default for Proven {
    fn default() -> Self {
        Self {
            proof: Proof::Absent,
            verifier: None,
        }
    }
}

/// Asks the verifiers.
pub(super) async fn prove(
    caches: &Caches,
    route: &Route,
    view: &RequestView<'_>,
    now: Time,
) -> Proven {
    let channel = &route.channel;
    if route.enforcement == Enforcement::Off {
        return Proven::default();
    }
    let (proof, verifier) =
        identity::verify(&channel.verifiers, &channel.name, view, caches, now).await;
    Proven {
        proof,
        verifier: verifier.map(str::to_owned),
    }
}

/// Asks selectors and the owner's evidence.
pub(super) fn gather(
    route: &Route,
    view: &RequestView<'_>,
    proven: Proven,
) -> Result<Gathered, Reason> {
    let Proven { proof, verifier } = proven;
    let channel = &route.channel;
    let interaction = interaction(route, view)?;
    let proven = match &proof {
        Proof::Valid(identity) => Some(&**identity),
        _ => None,
    };
    let (evidence, new_cookie) = match &channel.owner {
        None => (Evidence::Unasked, None),
        // Nothing is asked of an interaction here.
        Some(_) if route.kind == Kind::Pass && interaction.is_none() => (Evidence::Missing, None),
        Some(owner) => match (owner.evidence(view, proven)?, owner) {
            (Some(hash), _) => (Evidence::Shown(hash), None),
            (None, Owner::Cookie { .. }) if route.kind != Kind::Pass => {
                // 256 random bits, in the form of a login token.
                let value = LoginToken::generate().expose().to_owned();
                (Evidence::Shown(Owner::of_cookie(&value)), Some(value))
            }
            (None, _) => (Evidence::Missing, None),
        },
    };
    Ok(Gathered {
        interaction,
        evidence,
        new_cookie,
        proof,
        verifier,
    })
}

/// Notes the request on its interaction. A store that is full leaves the customer
/// anonymous; it never refuses the message.
pub(super) async fn touch(
    state: &State,
    channel: &Channel,
    key: &Key,
    evidence: Evidence,
    now: Time,
) -> crate::interaction::Standing {
    let noted = state
        .store
        .update(key, &channel.clocks, now, |slot| {
            slot.get_or_insert_with(|| Interaction::new(now))
                .touch(&channel.clocks, evidence, now)
        })
        .await;
    noted.unwrap_or_else(|reason| {
        tracing::warn!(channel = %channel.name, reason = reason.code(), "the interaction could not be noted");
        Default::default()
    })
}

/// Keeps a customer's message where the answer to it comes by a webhook, which does
/// not say what it answers.
async fn remember(state: &State, session: &Session, exchange: &Exchange, route: &Route, now: Time) {
    let channel = &route.channel;
    let Some(Resume::Replay { max_body }) = channel.login.as_ref().map(|login| &login.resume)
    else {
        return;
    };
    let Some(key) = exchange
        .key
        .as_ref()
        .filter(|_| route.kind == Kind::Message && exchange.config.routes.has_webhooks(channel))
    else {
        return;
    };
    let Some(message) = challenge::request(session, exchange, *max_body) else {
        return;
    };
    let kept = state
        .store
        .update(key, &channel.clocks, now, |slot| match slot {
            Some(interaction) => interaction.remember(message.clone(), exchange.evidence),
            None => Ok(()),
        })
        .await;
    if let Err(reason) = kept {
        tracing::warn!(channel = %channel.name, reason = reason.code(), "the message could not be kept");
    }
}

/// Binds a proven identity to its interaction.
pub(super) async fn log_in(
    state: &State,
    channel: &Channel,
    key: &Key,
    evidence: Evidence,
    identity: &Arc<Identity>,
    now: Time,
) -> Result<(), Reason> {
    if !channel.keeps_state() {
        return Ok(());
    }
    state
        .store
        .update(key, &channel.clocks, now, |slot| {
            let interaction = slot.get_or_insert_with(|| Interaction::new(now));
            interaction.log_in(identity.clone(), &channel.clocks, evidence, now)
        })
        .await?
}

/// Makes the side call, and notes that it was made.
pub(super) async fn announce(
    state: &State,
    config: &crate::config::Config,
    channel: &Channel,
    key: &Key,
    identity: &Arc<Identity>,
    login_time: Time,
    now: Time,
) -> Result<(), Reason> {
    let Some(call) = &channel.side_call else {
        return Ok(());
    };
    let values = call_values(config, channel, key, Some(identity), login_time, "success");
    let id = format!("side-{}", hex::encode(crate::secret::random::<12>()));
    let request = call.request(&values, &id, now).map_err(|error| {
        tracing::error!(channel = %channel.name, %error, "the side call could not be made");
        Reason::SideCallFailed
    })?;
    let bounds = Bounds {
        timeout: call.timeout,
        max_body: SIDE_CALL_ANSWER,
    };
    match state.outbound.call(request, bounds).await {
        Ok(answer) if answer.status().is_success() => {}
        Ok(answer) => {
            tracing::warn!(channel = %channel.name, status = answer.status().as_u16(), "the side call was refused");
            return Err(Reason::SideCallFailed);
        }
        Err(error) => {
            tracing::warn!(channel = %channel.name, ?error, "the side call did not complete");
            return Err(Reason::SideCallFailed);
        }
    }
    state
        .store
        .update(key, &channel.clocks, now, |slot| {
            if let Some(interaction) = slot {
                interaction.announced(identity, &channel.clocks, now);
            }
        })
        .await
}

/// The variables of call templates.
pub(super) fn call_values(
    config: &crate::config::Config,
    channel: &Channel,
    key: &Key,
    identity: Option<&Identity>,
    login_time: Time,
    outcome: &str,
) -> Map<String, Value> {
    let mut values = Map::new();
    values.insert("channel".into(), (*channel.name).into());
    values.insert("interaction".into(), key.interaction().into());
    values.insert(
        "subject".into(),
        identity.map_or("", Identity::subject).into(),
    );
    let level = identity.map_or("anonymous", |identity| config.level_name(identity.level));
    values.insert("level".into(), level.into());
    values.insert(
        "claims".into(),
        identity.map(Identity::claims).unwrap_or_default().into(),
    );
    values.insert("login_time".into(), login_time.secs().into());
    values.insert("outcome".into(), outcome.into());
    values
}

impl Channel {
    /// Whether its interactions are worth remembering.
    pub(super) fn keeps_state(&self) -> bool {
        self.login.is_some() || !self.verifiers.is_empty()
    }
}
