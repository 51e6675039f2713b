//! The judgement on a held answer, carried out: release, challenge or block.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, ETAG, HOST, LAST_MODIFIED, TRANSFER_ENCODING, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorType};
use serde_json::{Map, Value};

use super::State;
use super::exchange::Exchange;
use super::hold::Held;
use super::request;
use super::respond::{self, Reply};
use crate::channel::{Channel, Kind, Login, Resume, Unreadable};
use crate::decision::{self, Asker, ForAnswer};
use crate::interaction::{self, Challenge, HeldRequest, Level, TokenHash};
use crate::login::LoginToken;
use crate::login::page::LoginUrl;
use crate::message::{AnswerView, Body, edit};
use crate::reason::Reason;

/// Digests of a body that no longer is what they were made of.
const DIGESTS: &[&str] = &["content-md5", "digest", "content-digest", "repr-digest"];

/// Who an answer is for, asked anew for each: a login may have run out, or been
/// revoked, while the backend worked.
pub(super) async fn asker(state: &State, exchange: &Exchange) -> Asker {
    let Some(route) = exchange.route() else {
        return Asker::ANONYMOUS;
    };
    let channel = &route.channel;
    let Some(key) = exchange.key.as_ref().filter(|_| channel.keeps_state()) else {
        // A proof on the request itself counts for its own answer.
        let forward = exchange.forward.as_ref();
        let identity = forward.and_then(|forward| forward.identity.as_ref());
        let level = identity.map_or(Level::ANONYMOUS, |identity| identity.level);
        return Asker {
            level,
            ..Asker::ANONYMOUS
        };
    };
    let now = state.clock.now();
    let standing = state
        .store
        .read(key, &channel.clocks, now, |interaction| {
            interaction
                .map(|interaction| interaction.standing(&channel.clocks, exchange.evidence, now))
        })
        .await;
    let standing = standing.ok().flatten().unwrap_or_default();
    Asker {
        level: standing.level(),
        named: true,
        foreign: standing.foreign,
    }
}

/// Judges a held answer and writes what the customer gets.
pub(super) async fn carry_out(
    state: &Arc<State>,
    session: &mut Session,
    exchange: &mut Exchange,
    held: Held,
) -> pingora::Result<()> {
    let Some(route) = exchange.route().cloned() else {
        return Reply::refusal(Reason::Internal, &exchange.id())
            .send(session)
            .await;
    };
    let channel = &route.channel;
    let Held {
        head, body, over, ..
    } = held;
    let body = Body::new(body.freeze());
    let view = AnswerView {
        status: head.status,
        headers: &head.headers,
        body: (!over).then_some(&body),
    };

    if route.kind == Kind::PreChat
        && let Err(reason) = bind(state, exchange, &view).await
    {
        return refuse(session, exchange, channel, reason).await;
    }
    let asker = asker(state, exchange).await;
    let verdict = decision::answer(channel, &view, asker);
    match verdict {
        // What is left of it is no answer any more.
        ForAnswer::Release { .. } if over => {
            refuse(session, exchange, channel, Reason::AnswerTooLarge).await
        }
        ForAnswer::Release { reason, strip } => {
            exchange.reason = reason;
            let of_head = session.req_header().method == Method::HEAD;
            let (mut head, body) =
                released(channel, head, body.bytes().clone(), &strip, reason, of_head)?;
            exchange.add_cookie(&mut head)?;
            respond::write(session, head, body).await
        }
        ForAnswer::Block(reason) => refuse(session, exchange, channel, reason).await,
        ForAnswer::Challenge { flag, level } => {
            match challenge(state, session, exchange, &view, level).await {
                Ok(reply) => {
                    exchange.reason = Reason::Flagged;
                    tracing::debug!(request_id = %exchange.id(), flag = %channel.flags[flag].name, "challenged");
                    let reply =
                        reply.with_cors(channel.cors.as_ref(), &session.req_header().headers);
                    let reply = exchange.reply_with_cookie(reply);
                    exchange.own_status = Some(reply.status.as_u16());
                    reply.send(session).await
                }
                Err(reason) => refuse(session, exchange, channel, reason).await,
            }
        }
    }
}

async fn refuse(
    session: &mut Session,
    exchange: &mut Exchange,
    channel: &Channel,
    reason: Reason,
) -> pingora::Result<()> {
    exchange.reason = reason;
    let reply = Reply::refusal(reason, &exchange.id())
        .with_cors(channel.cors.as_ref(), &session.req_header().headers);
    let reply = exchange.reply_with_cookie(reply);
    exchange.own_status = Some(reply.status.as_u16());
    reply.send(session).await
}

/// Binds a proven identity to an interaction that only the answer names.
async fn bind(
    state: &State,
    exchange: &mut Exchange,
    answer: &AnswerView<'_>,
) -> Result<(), Reason> {
    let Some(route) = exchange.route().cloned() else {
        return Ok(());
    };
    let (None, Some(selector), true) = (
        &exchange.key,
        &route.interaction,
        answer.status.is_success(),
    ) else {
        return Ok(());
    };
    let Some(id) = selector.answer(answer)? else {
        return Ok(());
    };
    let key = interaction::Key::new(&route.channel.name, &id);
    let now = state.clock.now();
    let proven = exchange.forward.as_ref().filter(|forward| forward.log_in);
    match proven.and_then(|forward| forward.identity.clone()) {
        Some(identity) => {
            request::log_in(
                state,
                &route.channel,
                &key,
                exchange.evidence,
                &identity,
                now,
            )
            .await?;
        }
        None => {
            request::touch(state, &route.channel, &key, exchange.evidence, now).await;
        }
    }
    exchange.key = Some(key);
    Ok(())
}

/// The released answer: whole, with its own length, the flags taken off.
fn released(
    channel: &Channel,
    head: ResponseHeader,
    body: Bytes,
    strip: &[usize],
    reason: Reason,
    of_head: bool,
) -> pingora::Result<(ResponseHeader, Bytes)> {
    let (headers, body) = stripped(channel, head.headers.clone(), body, strip);
    let mut released = ResponseHeader::build(head.status, Some(headers.len() + 2))?;
    for (name, value) in &headers {
        released.append_header(name.clone(), value.clone())?;
    }
    if reason == Reason::Authenticated {
        // Protected content belongs into no cache but the customer's own memory.
        released.insert_header(CACHE_CONTROL, "private, no-store")?;
    }
    released.set_version(Version::HTTP_11);
    released.remove_header(&TRANSFER_ENCODING);
    let bodiless = head.status == StatusCode::NO_CONTENT || head.status == StatusCode::NOT_MODIFIED;
    if !bodiless && !of_head {
        released.insert_header(CONTENT_LENGTH, body.len())?;
    }
    Ok((released, body))
}

/// Headers and body without the flags at these places in the channel.
pub(super) fn stripped(
    channel: &Channel,
    mut headers: HeaderMap,
    mut body: Bytes,
    strip: &[usize],
) -> (HeaderMap, Bytes) {
    for flag in strip.iter().filter_map(|index| channel.flags.get(*index)) {
        if let Some((name, _)) = &flag.header {
            headers.remove(name);
        }
        if let Some(condition) = &flag.json
            && let Ok(Some(edited)) = edit::remove_selected(&body, &condition.path)
        {
            body = edited.into();
            headers.remove(ETAG);
            for name in DIGESTS {
                headers.remove(*name);
            }
        }
    }
    (headers, body)
}

/// Takes off what tells of a body that cannot be judged, because it was not sent:
/// its length, its validators, its digests.
pub(super) fn forget_body(head: &mut ResponseHeader) {
    for name in [CONTENT_LENGTH, ETAG, LAST_MODIFIED] {
        head.remove_header(&name);
    }
    for name in DIGESTS {
        head.remove_header(*name);
    }
}

/// Releases what is held of an answer that went over the cap, and lets the rest
/// stream. `None` when the verdict withholds it all the same, or when an interaction
/// that only the rest names could not be bound. The hook that calls
/// this cannot wait: a head that cannot be written at once gives the connection up.
pub(super) fn release_oversize(
    session: &mut Session,
    exchange: &mut Exchange,
) -> pingora::Result<Option<Bytes>> {
    let Some(route) = exchange.route().cloned() else {
        return Ok(None);
    };
    let Some(held) = exchange.hold.peek() else {
        return Ok(None);
    };
    let blocks = route.channel.inspection.oversize == Unreadable::Block;
    if blocks && exchange.binds_from_answer() {
        return Ok(None);
    }
    let view = AnswerView {
        status: held.head.status,
        headers: &held.head.headers,
        body: None,
    };
    let ForAnswer::Release { reason, .. } = decision::answer(&route.channel, &view, exchange.asker)
    else {
        return Ok(None);
    };
    let Some(held) = exchange.hold.end() else {
        return Ok(None);
    };
    exchange.reason = reason;
    let Held { mut head, body, .. } = *held;
    exchange.add_cookie(&mut head)?;
    let mut write = std::pin::pin!(session.write_response_header(Box::new(head), false));
    match write.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(())) => Ok(Some(body.freeze())),
        Poll::Ready(Err(error)) => Err(error),
        Poll::Pending => {
            exchange.broken = true;
            Error::e_explain(ErrorType::WriteError, "the customer does not read")
                .map_err(|e: Box<Error>| e.into_down())
        }
    }
}

/// Makes the login URL and the answer that carries it.
async fn challenge(
    state: &Arc<State>,
    session: &Session,
    exchange: &Exchange,
    answer: &AnswerView<'_>,
    level: Level,
) -> Result<Reply, Reason> {
    let route = exchange.route().ok_or(Reason::Internal)?;
    let channel = &route.channel;
    let login = channel.login.as_ref().ok_or(Reason::ChallengeImpossible)?;
    let key = exchange.key.as_ref().ok_or(Reason::ChallengeImpossible)?;
    let now = state.clock.now();

    let token = LoginToken::generate();
    let outstanding = Challenge {
        token: token.hash(),
        level,
        created: now,
        ttl: channel.clocks.token_ttl,
    };
    let (waiting, held) = hold_request(session, exchange, login);
    let kept = state
        .store
        .update(key, &channel.clocks, now, |slot| {
            let interaction = slot.get_or_insert_with(|| interaction::Interaction::new(now));
            interaction.challenge(outstanding.clone(), held.clone(), exchange.evidence)
        })
        .await?;
    kept?;
    state.metrics.challenged(&channel.name);

    let config = &exchange.config;
    let callback = format!(
        "{}{}/return/{}",
        config.public_url, config.endpoints, channel.name
    );
    let login_url = login.page.url(
        &login.keys,
        &LoginUrl {
            token: &token,
            callback: &callback,
            channel: &channel.name,
            interaction: key.interaction(),
            level: config.level_name(level),
            now,
        },
    );
    let continue_url = waiting.map_or(String::new(), |token| {
        format!(
            "{}{}/continue/{}",
            config.public_url,
            config.endpoints,
            token.expose()
        )
    });
    let values = values(
        exchange,
        session,
        answer,
        login,
        &login_url,
        &continue_url,
        level,
        now,
    )?;
    let reply = login.challenge.reply(&values).map_err(|error| {
        tracing::error!(channel = %channel.name, %error, "the challenge could not be written");
        Reason::ChallengeImpossible
    })?;
    Ok(step_up(reply, answer, config.level_name(level), &login_url))
}

/// The request to send again after the login, and the token of its `continue` URL.
fn hold_request(
    session: &Session,
    exchange: &Exchange,
    login: &Login,
) -> (Option<LoginToken>, Option<(TokenHash, HeldRequest)>) {
    let (Resume::Replay { max_body }, Some(asked)) = (&login.resume, &exchange.asked) else {
        return (None, None);
    };
    let body = exchange
        .body
        .as_ref()
        .map(|body| body.bytes().clone())
        .unwrap_or_default();
    if body.len() > *max_body {
        return (None, None);
    }
    let token = LoginToken::generate();
    let target = match &asked.target.query {
        Some(query) => format!("{}?{query}", asked.target.path),
        None => asked.target.path.clone(),
    };
    let head = session.req_header();
    let mut headers = head.headers.clone();
    if let (None, Some(authority)) = (headers.get(HOST), head.uri.authority()) {
        // HTTP/2 names the host in `:authority`; the route may depend on it.
        let host = HeaderValue::from_str(authority.as_str()).ok();
        host.map(|host| headers.insert(HOST, host));
    }
    let held = HeldRequest {
        method: asked.method.clone(),
        target: target.into(),
        headers,
        body,
    };
    let hash = token.hash();
    (Some(token), Some((hash, held)))
}

#[allow(clippy::too_many_arguments)]
fn values(
    exchange: &Exchange,
    session: &Session,
    answer: &AnswerView<'_>,
    login: &Login,
    login_url: &str,
    continue_url: &str,
    level: Level,
    now: crate::time::Time,
) -> Result<Map<String, Value>, Reason> {
    let route = exchange.route().ok_or(Reason::Internal)?;
    let channel = &route.channel;
    let mut values = Map::new();
    values.insert("login_url".into(), login_url.into());
    values.insert("continue_url".into(), continue_url.into());
    let (expires_at, expires_in) = match channel.clocks.token_ttl {
        Some(ttl) => (
            Value::from((now + ttl).to_string()),
            Value::from(ttl.as_secs()),
        ),
        None => (Value::from("never"), Value::Null),
    };
    values.insert("expires_at".into(), expires_at);
    values.insert("expires_in".into(), expires_in);
    values.insert("channel".into(), (*channel.name).into());
    values.insert(
        "interaction".into(),
        exchange
            .key
            .as_ref()
            .map_or("", |key| key.interaction())
            .into(),
    );
    values.insert("level".into(), exchange.config.level_name(level).into());
    let view = exchange
        .view(&session.req_header().headers)
        .ok_or(Reason::Internal)?;
    let mut captures = Map::new();
    for (name, selector) in &login.challenge.captures {
        // A capture that is not there, or is ambiguous, is empty: the customer
        // must get a login URL in any case.
        let found = selector.request(&view).ok().flatten();
        let found = found.or_else(|| selector.answer(answer).ok().flatten());
        captures.insert(name.to_string(), found.unwrap_or_default().into());
    }
    values.insert("capture".into(), captures.into());
    Ok(values)
}

/// Where the flag was a 401, the challenge is one for machines, too (RFC 9470).
fn step_up(reply: Reply, answer: &AnswerView<'_>, level: &str, login_url: &str) -> Reply {
    if answer.status != StatusCode::UNAUTHORIZED || reply.headers.contains_key(WWW_AUTHENTICATE) {
        return reply;
    }
    let text = format!(
        "Bearer error=\"insufficient_user_authentication\", \
         error_description=\"A login is required\", acr_values=\"{level}\", login_uri=\"{login_url}\""
    );
    match HeaderValue::from_str(&text) {
        Ok(value) => reply.with(WWW_AUTHENTICATE, value),
        Err(_) => reply,
    }
}

impl crate::channel::ChallengeTemplate {
    /// Renders the answer.
    fn reply(&self, values: &Map<String, Value>) -> Result<Reply, String> {
        let mut headers = HeaderMap::new();
        for (name, template) in &self.headers {
            headers.append(name.clone(), template.render_header(values)?);
        }
        Ok(Reply {
            status: self.status,
            headers,
            body: self.body.render(values)?.into(),
        })
    }
}

impl Exchange {
    /// Puts the owner's cookie on a backend's answer, where one has to be set. A
    /// cache that kept it would make strangers the owners of one chat.
    pub(super) fn add_cookie(&self, head: &mut ResponseHeader) -> pingora::Result<()> {
        if let Some(value) = self.cookie_header() {
            head.append_header(http::header::SET_COOKIE, value)?;
            head.insert_header(CACHE_CONTROL, "private, no-store")?;
        }
        Ok(())
    }

    /// The reply with the owner's cookie on it, where one has to be set.
    pub(super) fn reply_with_cookie(&self, reply: Reply) -> Reply {
        match self.cookie_header() {
            Some(value) => reply.with(http::header::SET_COOKIE, value),
            None => reply,
        }
    }

    /// `Set-Cookie` for the owner's cookie: one for the browser, not one per chat.
    pub(super) fn cookie_header(&self) -> Option<HeaderValue> {
        let value = self.new_cookie.as_ref()?;
        let crate::channel::Owner::Cookie { secure } = self.route()?.channel.owner.as_ref()? else {
            return None;
        };
        let name = crate::channel::Owner::cookie_name(*secure);
        let secure = if *secure { "; Secure" } else { "" };
        HeaderValue::from_str(&format!(
            "{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}"
        ))
        .ok()
    }
}
