//! The login page's return: token, signature, time, single use, and then the
//! interaction counts as authenticated.

use std::sync::Arc;

use bytes::BytesMut;
use http::StatusCode;
use http::header::CONTENT_ENCODING;
use pingora::proxy::Session;

use super::super::State;
use super::super::admit::Target;
use super::super::exchange::Exchange;
use super::super::respond::{self, Reply};
use super::super::resume;
use super::bind;
use crate::channel::{Channel, Login};
use crate::config::Config;
use crate::interaction::{Evidence, Held, Identity, Level};
use crate::login::{Outcome, Return, returned};
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
    if session.req_header().headers.contains_key(CONTENT_ENCODING) {
        return Ok(answer(
            state,
            exchange,
            channel,
            Err(Reason::ReturnMalformed),
        ));
    }
    respond::go_on(session).await?;
    let mut body = BytesMut::new();
    while let Some(chunk) = session.read_request_body().await? {
        if body.len() + chunk.len() > MAX_RETURN {
            return Ok(answer(
                state,
                exchange,
                channel,
                Err(Reason::ReturnMalformed),
            ));
        }
        body.extend_from_slice(&chunk);
    }
    let outcome = match login_of(exchange, channel) {
        Err(reason) => Err(reason),
        Ok((channel, login)) => {
            let now = state.clock.now();
            let headers = &session.req_header().headers;
            let query = target.query.as_deref().unwrap_or_default();
            match returned::from_post(
                &login.keys,
                &channel.name,
                query,
                headers,
                &body,
                now,
                login.tolerance,
            ) {
                Ok(returned) => redeem(state, exchange, &channel, returned).await,
                Err(reason) => Err(reason),
            }
        }
    };
    Ok(answer(state, exchange, channel, outcome))
}

/// A return by the customer's browser. Ends in a 303 in any case, so that token
/// and proof leave the address bar.
pub(super) async fn by_browser(
    state: &Arc<State>,
    exchange: &mut Exchange,
    channel: &str,
    target: &Target,
) -> Reply {
    let mut place = None;
    let outcome = match login_of(exchange, channel) {
        Err(reason) => Err(reason),
        Ok((channel, login)) => {
            place = login.return_to.clone();
            let now = state.clock.now();
            let query = target.query.as_deref().unwrap_or_default();
            match returned::from_browser(
                &login.keys,
                &login.return_keys,
                &channel.name,
                query,
                now,
                login.tolerance,
            ) {
                Ok(returned) => redeem(state, exchange, &channel, returned).await,
                Err(reason) => Err(reason),
            }
        }
    };
    note(state, exchange, channel, outcome);
    if let Some(url) = &exchange.bind_url {
        return Reply::see_other(url);
    }
    match (outcome, place) {
        (Ok(_), Some(place)) => Reply::see_other(&place),
        (Ok(reason) | Err(reason), _) => Reply::see_other(&format!(
            "{}/done/{}",
            exchange.config.endpoints,
            reason.code()
        )),
    }
}

/// The page after a login. Shows nothing that came with the request.
pub(super) fn done(code: &str) -> Reply {
    let Some(reason) = Reason::ALL.iter().find(|reason| reason.code() == code) else {
        return Reply::new(StatusCode::NOT_FOUND);
    };
    let (title, text) = match reason {
        Reason::LoginSucceeded => (
            "You are logged in",
            "You can close this page and return to your chat.",
        ),
        Reason::LoginCancelled => (
            "Login cancelled",
            "Nothing was shared. You can return to your chat.",
        ),
        Reason::LoginFailed => (
            "The login did not succeed",
            "You can return to your chat and ask again.",
        ),
        Reason::WrongBrowser => (
            "This login belongs to a chat in another browser",
            "Nothing was shared. Open the login link in the browser that your chat is in.",
        ),
        Reason::TokenExpired | Reason::TokenUsed | Reason::TokenRevoked => (
            "This login link is no longer valid",
            "Return to your chat and ask again: you will get a new link.",
        ),
        _ => (
            "The login could not be completed",
            "Return to your chat and ask again.",
        ),
    };
    Reply::page(
        StatusCode::OK,
        format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{title}</title>\
             <style>body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:20vh auto;padding:0 1rem;text-align:center}}\
             small{{color:#666}}</style></head><body><main><h1>{title}</h1><p>{text}</p>\
             <p><small>{code}</small></p></main></body></html>"
        ),
    )
}

/// The channel and its login; an unknown channel is told no more than a wrong one.
fn login_of(exchange: &Exchange, name: &str) -> Result<(Arc<Channel>, LoginRef), Reason> {
    let channel = exchange.config.channel(name).ok_or(Reason::ReturnChannel)?;
    match channel.login {
        Some(_) => Ok((channel.clone(), LoginRef(channel.clone()))),
        None => Err(Reason::ReturnChannel),
    }
}

/// A channel that is known to have a login.
struct LoginRef(Arc<Channel>);

impl std::ops::Deref for LoginRef {
    type Target = Login;

    fn deref(&self) -> &Login {
        match &self.0.login {
            Some(login) => login,
            None => unreachable!("login_of has looked"),
        }
    }
}

/// Consumes the token and marks the interaction.
async fn redeem(
    state: &Arc<State>,
    exchange: &mut Exchange,
    channel: &Arc<Channel>,
    returned: Return,
) -> Result<Reason, Reason> {
    let now = state.clock.now();
    let hash = returned.token.hash();
    let key = state.store.locate(&hash).await?;
    if key.channel() != &*channel.name {
        return Err(Reason::ReturnChannel);
    }
    exchange.key = Some(key.clone());
    let ticket = bind::ticket(channel);
    let redeemed = state
        .store
        .update(&key, &channel.clocks, now, |slot| {
            let interaction = slot.as_mut().ok_or(Reason::TokenRevoked)?;
            if let Some(ticket) = ticket
                .as_ref()
                .filter(|_| returned.outcome == Outcome::Success)
                && let Some(level) = interaction.demanded(&hash)
                && let Ok(identity) = identity(&exchange.config, &returned, level)
            {
                interaction.prove(&hash, Arc::new(identity), ticket.hash(), now)?;
                return Ok(None);
            }
            let redeemed = interaction.redeem(&hash, now)?;
            let logged_in = match returned.outcome {
                Outcome::Success => {
                    identity(&exchange.config, &returned, redeemed.level).and_then(|identity| {
                        let identity = Arc::new(identity);
                        // The token speaks for the owner.
                        interaction.log_in(
                            identity.clone(),
                            &channel.clocks,
                            Evidence::Unasked,
                            now,
                        )?;
                        Ok(identity)
                    })
                }
                Outcome::Failure | Outcome::Cancel => Err(returned.outcome.reason()),
            };
            // What is still withheld now asks for more than this login reaches.
            let failed = match (&logged_in, &redeemed.held) {
                (Err(reason), _) => Some(*reason),
                (Ok(_), None) => Some(Reason::Flagged),
                (Ok(_), Some(_)) => None,
            };
            if let (Some(reason), Some(waiting)) = (failed, &redeemed.waiting) {
                interaction.resolve(waiting, Held::Failed(reason));
            }
            Ok::<_, Reason>(Some((redeemed, logged_in)))
        })
        .await??;
    let Some(redeemed) = redeemed else {
        exchange.bind_url = ticket.map(|ticket| bind::url(&exchange.config, &ticket));
        return Ok(Reason::LoginUnbound);
    };

    match redeemed {
        (redeemed, Ok(identity)) => {
            resume::after_login(
                state,
                &exchange.config,
                channel,
                &key,
                identity,
                redeemed,
                now,
            );
            Ok(Reason::LoginSucceeded)
        }
        // Validly signed and told: the login page did its part.
        (_, Err(reason @ (Reason::LoginFailed | Reason::LoginCancelled))) => Ok(reason),
        (_, Err(reason)) => Err(reason),
    }
}

/// The identity that a return vouches for. Without a level of its own it reached
/// the one that was demanded; a level that is not configured is none of ours.
fn identity(config: &Config, returned: &Return, demanded: Level) -> Result<Identity, Reason> {
    let level = match &returned.level {
        Some(name) => config.level(name).ok_or(Reason::ReturnMalformed)?,
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
    note(state, exchange, channel, outcome);
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

fn note(state: &State, exchange: &mut Exchange, channel: &str, outcome: Result<Reason, Reason>) {
    let (Ok(reason) | Err(reason)) = outcome;
    exchange.reason = reason;
    let known = exchange
        .config
        .channel(channel)
        .map_or("", |channel| &*channel.name);
    state.metrics.returned(known, reason);
    exchange.endpoint = Some(("return", known.to_owned()));
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
