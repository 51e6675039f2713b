//! Our own addresses, on the listeners that customers use.
//!
//! | path below `endpoints` | what |
//! |---|---|
//! | `POST return/{channel}` | a login page's signed return, server to server |
//! | `GET return/{channel}` | the same by the customer's browser; leads on to `done` |
//! | `GET done/{code}` | a small page that says how it went |
//! | `GET`, `POST bind/{ticket}` | whose chat a login is for |
//! | `GET continue/{token}` | waits for the answer to the held request |
//! | `GET login/{token}` | a login URL that leads on to an OpenID provider, or shows our own page |
//! | `POST login/{token}` | the form on that page |
//! | `GET callback/{channel}` | the browser comes back from there |
//! | `POST backchannel-logout/{channel}` | the provider logs a customer out |
//! | `POST logout/{channel}` | the operator's server logs a customer out |
//! | `GET jwks.json` | the keys that sign assertions |

mod backchannel;
mod bind;
mod browser;
mod form;
mod linking;
mod located;
mod logout;
mod outcome;
mod page;
mod provider;
mod resumed;
mod returned;

use std::sync::Arc;

use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode};
use pingora::proxy::Session;

pub(in crate::gateway) use browser::cookie_name;
pub(in crate::gateway) use logout::revoke;

use super::State;
use super::admit::Target;
use super::exchange::Exchange;
use super::respond::Reply;
use crate::config::Config;
use crate::identity::assertion::Assertion;
use crate::reason::Reason;
use form::FormLogin;
use located::Located;

/// One of our own addresses.
pub(super) enum Endpoint {
    /// A login return to a channel.
    Return(String),
    /// The page after a login.
    Done(String),
    /// Where it is said whose chat a login is for.
    Bind(String),
    /// A `continue` URL.
    Continue(String),
    /// A login URL that leads on to a provider, or to our own page.
    Login(String),
    /// The way back from a provider.
    Callback(String),
    /// The operator's logout.
    Logout(String),
    /// A provider's logout.
    BackchannelLogout(String),
    /// The key set.
    Jwks,
    /// Nothing of ours, but under our path.
    Unknown,
}

impl Endpoint {
    /// Its name in the log, which shows no token.
    const fn name(&self) -> &'static str {
        match self {
            Self::Return(_) => "return",
            Self::Done(_) => "done",
            Self::Bind(_) => "bind",
            Self::Continue(_) => "continue",
            Self::Login(_) => "login",
            Self::Callback(_) => "callback",
            Self::Logout(_) => "logout",
            Self::BackchannelLogout(_) => "backchannel-logout",
            Self::Jwks => "jwks",
            Self::Unknown => "",
        }
    }
}

/// The endpoint at a path; `None` when the path is not ours.
pub(super) fn find(config: &Config, path: &str) -> Option<Endpoint> {
    let rest = path.strip_prefix(&*config.endpoints)?;
    let Some(rest) = rest.strip_prefix('/') else {
        return rest.is_empty().then_some(Endpoint::Unknown);
    };
    Some(match rest.split_once('/') {
        Some(("return", channel)) => Endpoint::Return(channel.to_owned()),
        Some(("done", code)) => Endpoint::Done(code.to_owned()),
        Some(("bind", ticket)) => Endpoint::Bind(ticket.to_owned()),
        Some(("continue", token)) => Endpoint::Continue(token.to_owned()),
        Some(("login", token)) => Endpoint::Login(token.to_owned()),
        Some(("callback", channel)) => Endpoint::Callback(channel.to_owned()),
        Some(("logout", channel)) => Endpoint::Logout(channel.to_owned()),
        Some(("backchannel-logout", channel)) => Endpoint::BackchannelLogout(channel.to_owned()),
        None if rest == "jwks.json" => Endpoint::Jwks,
        _ => Endpoint::Unknown,
    })
}

/// Answers.
pub(super) async fn serve(
    state: &Arc<State>,
    session: &mut Session,
    exchange: &mut Exchange,
    endpoint: Endpoint,
    method: &Method,
    target: &Target,
) -> pingora::Result<Reply> {
    exchange.endpoint = Some((endpoint.name(), String::new()));
    let get = matches!(*method, Method::GET | Method::HEAD);
    Ok(match endpoint {
        Endpoint::Return(channel) if *method == Method::POST => {
            returned::posted(state, session, exchange, &channel, target).await?
        }
        Endpoint::Return(channel) if *method == Method::GET => {
            returned::by_browser(state, exchange, &channel, target).await
        }
        Endpoint::Return(_) => not_allowed("GET, POST"),
        Endpoint::Done(code) if get => {
            let headers = &session.req_header().headers;
            outcome::done(&exchange.config, headers, &code, target)
        }
        Endpoint::Bind(ticket) if *method == Method::GET => {
            bind::asked(state, session, exchange, &ticket).await
        }
        Endpoint::Bind(ticket) if *method == Method::POST => {
            bind::answered(state, session, exchange, &ticket).await?
        }
        Endpoint::Bind(_) => not_allowed("GET, POST"),
        Endpoint::Continue(token) if get || *method == Method::OPTIONS => {
            resumed::wait(state, session, exchange, &token, method).await
        }
        Endpoint::Login(token) if get || *method == Method::POST => {
            login(state, session, exchange, &token, method, target).await?
        }
        Endpoint::Callback(channel) if *method == Method::GET => {
            let headers = session.req_header().headers.clone();
            provider::callback(state, exchange, &channel, target, &headers).await
        }
        Endpoint::BackchannelLogout(channel) if *method == Method::POST => {
            backchannel::posted(state, session, exchange, &channel).await?
        }
        Endpoint::Logout(channel) if *method == Method::POST => {
            logout::posted(state, session, exchange, &channel).await?
        }
        Endpoint::Logout(_) | Endpoint::BackchannelLogout(_) => not_allowed("POST"),
        Endpoint::Jwks if get => jwks(&exchange.config),
        Endpoint::Done(_)
        | Endpoint::Continue(_)
        | Endpoint::Login(_)
        | Endpoint::Callback(_)
        | Endpoint::Jwks => not_allowed("GET"),
        Endpoint::Unknown => {
            exchange.reason = Reason::NoRoute;
            Reply::refusal(Reason::NoRoute, exchange.id())
        }
    })
}

/// A login URL: the place of login, or the way there.
async fn login(
    state: &Arc<State>,
    session: &mut Session,
    exchange: &mut Exchange,
    token: &str,
    method: &Method,
    target: &Target,
) -> pingora::Result<Reply> {
    let headers = session.req_header().headers.clone();
    let at = match Located::find(state, exchange, "login", token).await {
        Ok(at) => at,
        Err(reason) => return Ok(outcome::refuse(exchange, &headers, reason)),
    };
    if let Some(reply) = linking::open(state, exchange, &at, target, method).await {
        return Ok(reply);
    }
    let sends = *method == Method::POST;
    Ok(match FormLogin::new(at) {
        Ok(form) if sends => form.take(state, session, exchange).await?,
        Ok(form) => form.show(state, exchange, &headers).await,
        Err(_) if sends => not_allowed("GET"),
        Err(at) => provider::open(state, exchange, &at, &headers, method).await,
    })
}

fn not_allowed(allow: &'static str) -> Reply {
    Reply::new(StatusCode::METHOD_NOT_ALLOWED).with(ALLOW, HeaderValue::from_static(allow))
}

/// The public keys of every channel's assertion.
fn jwks(config: &Config) -> Reply {
    let channels = config.channels.iter();
    let assertions = channels.filter_map(|channel| channel.inject.assertion.as_ref());
    let mut reply = Reply::json(StatusCode::OK, &Assertion::jwks(assertions));
    reply.headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/jwk-set+json"),
    );
    reply
}
