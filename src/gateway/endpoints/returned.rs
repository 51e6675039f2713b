//! The login page's return: token, signature, time, single use, and then the
//! interaction counts as authenticated.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, StatusCode};
use pingora::proxy::Session;

use super::super::State;
use super::super::admit::Target;
use super::super::exchange::Exchange;
use super::super::read;
use super::super::respond::Reply;
use super::outcome;
use crate::channel::{Channel, Login, SigningPage};
use crate::config::Config;
use crate::interaction::{Identity, Level};
use crate::login::returned::{self, Refused};
use crate::login::{Outcome, Return};
use crate::reason::Reason;

/// Longest return that is read.
const MAX_RETURN: usize = returned::MAX_LEN;

/// A return from the login page's server.
pub(super) async fn posted(
    state: &Arc<State>,
    session: &mut Session,
    exchange: &mut Exchange,
    channel: &str,
    target: &Target,
) -> pingora::Result<Reply> {
    let body = match session.req_header().headers.contains_key(CONTENT_ENCODING) {
        true => Err(returned::malformed("encoded", "body")),
        false => {
            let body = read::own_body(session, exchange, MAX_RETURN).await?;
            body.ok_or_else(|| returned::malformed("too long, in bytes or in coming", "body"))
        }
    };
    let headers = session.req_header().headers.clone();
    let outcome = take_post(state, exchange, channel, target, &headers, body).await;
    Ok(answer(state, exchange, channel, outcome))
}

async fn take_post(
    state: &Arc<State>,
    exchange: &mut Exchange,
    channel: &str,
    target: &Target,
    headers: &HeaderMap,
    body: Result<Bytes, Refused>,
) -> Result<Reason, Reason> {
    let channel = outcome::channel(exchange, channel)?;
    let page = page(&channel)?;
    let body = body.map_err(|refused| unread(exchange, &channel, refused))?;
    let query = target.query.as_deref().unwrap_or_default();
    let returned = returned::from_post(
        &page.keys,
        &channel.name,
        query,
        headers,
        &body,
        state.clock.now(),
        page.tolerance,
    );
    let returned = returned.map_err(|refused| unread(exchange, &channel, refused))?;
    redeem(state, exchange, &channel, returned).await
}

/// A return by the customer's browser. Ends in a 303 in any case, so that token
/// and proof leave the address bar.
pub(super) async fn by_browser(
    state: &Arc<State>,
    exchange: &mut Exchange,
    channel: &str,
    target: &Target,
) -> Reply {
    let outcome = take_browser(state, exchange, channel, target).await;
    outcome::note(state, exchange, "return", channel, outcome);
    outcome::lead_on(exchange, channel, outcome)
}

async fn take_browser(
    state: &Arc<State>,
    exchange: &mut Exchange,
    channel: &str,
    target: &Target,
) -> Result<Reason, Reason> {
    let channel = outcome::channel(exchange, channel)?;
    let page = page(&channel)?;
    let query = target.query.as_deref().unwrap_or_default();
    let returned = returned::from_browser(
        &page.keys,
        &page.return_keys,
        &channel.name,
        query,
        state.clock.now(),
        page.tolerance,
    );
    let returned = returned.map_err(|refused| unread(exchange, &channel, refused))?;
    redeem(state, exchange, &channel, returned).await
}

/// The login page; a channel without one is told no more than an unknown one.
fn page(channel: &Channel) -> Result<&SigningPage, Reason> {
    let page = channel.login.as_ref().and_then(Login::page);
    page.ok_or(Reason::ReturnChannel)
}

/// Why a return is refused; the log is told what in it cannot be read.
fn unread(exchange: &Exchange, channel: &Channel, refused: Refused) -> Reason {
    outcome::unread(exchange, channel, refused, "a login return cannot be read")
}

/// Redeems the token of a return whose signature holds.
async fn redeem(
    state: &Arc<State>,
    exchange: &mut Exchange,
    channel: &Arc<Channel>,
    returned: Return,
) -> Result<Reason, Reason> {
    if returned.outcome == Outcome::Failure && is_repeated(state, channel, &returned).await? {
        return Ok(Reason::LoginFailed);
    }
    let config = exchange.config.clone();
    if returned.outcome == Outcome::Success {
        // What is wrong with it is found out before the token is spent.
        let checked = identity(&config, &returned, Level::ANONYMOUS);
        checked.map_err(|refused| unread(exchange, channel, refused))?;
    }
    let login = |demanded| match returned.outcome {
        Outcome::Success => {
            identity(&config, &returned, demanded).map_err(|refused| refused.reason)
        }
        Outcome::Failure | Outcome::Cancel => Err(returned.outcome.reason()),
    };
    outcome::redeem(state, exchange, channel, returned.token.hash(), login).await
}

/// Whether this failure was counted before: a page sends a return again that was not
/// answered, and so may whoever overheard it. Nothing to ask where the first closes the
/// login URL.
async fn is_repeated(state: &State, channel: &Channel, failed: &Return) -> Result<bool, Reason> {
    let login = channel.login.as_ref();
    let counts = login.filter(|login| login.max_failures.is_some());
    let Some(page) = counts.and_then(Login::page) else {
        return Ok(false);
    };
    // Of a token that does not count, nothing need be remembered.
    let token = failed.token.hash();
    state.store.locate(&token).await?;
    let now = state.clock.now();
    // Signed at most `tolerance` ahead, it is stale as long after that.
    let expires = now + (page.tolerance * 2 + Duration::from_secs(1));
    // A page may give ids that are good for one login URL: another's failures are others.
    let id = format!("{} {}", hex::encode(token.0), failed.id);
    let name = [&*channel.name, "login failure", &*id];
    match state.caches.replays.use_once(name, expires, now) {
        Err(Reason::ProofReplayed) => Ok(true),
        used => used.map(|()| false),
    }
}

/// The identity that a return vouches for. Without a level of its own it reached
/// the one that was demanded; a level that is not configured is none of ours.
fn identity(config: &Config, returned: &Return, demanded: Level) -> Result<Identity, Refused> {
    let level = match &returned.level {
        Some(name) => config
            .level(name)
            .ok_or_else(|| returned::malformed("unknown level", "level"))?,
        None => demanded,
    };
    let subject = returned.subject.as_deref().ok_or(Reason::ReturnMalformed)?;
    Ok(Identity::new(subject, level, &returned.claims))
}

fn answer(
    state: &State,
    exchange: &mut Exchange,
    channel: &str,
    outcome: Result<Reason, Reason>,
) -> Reply {
    outcome::note(state, exchange, "return", channel, outcome);
    match outcome {
        Ok(reason) => {
            let mut told = serde_json::json!({ "result": reason.code() });
            if let Some(url) = &exchange.bind_url {
                told["continue"] = url.as_str().into();
            }
            Reply::json(StatusCode::OK, &told)
        }
        Err(reason) => Reply::refusal(reason, exchange.id()),
    }
}

impl Outcome {
    /// The reason code of this outcome.
    fn reason(self) -> Reason {
        match self {
            Outcome::Success => Reason::LoginSucceeded,
            Outcome::Failure => Reason::LoginFailed,
            Outcome::Cancel => Reason::LoginCancelled,
        }
    }
}
