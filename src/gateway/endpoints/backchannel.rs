//! The logout behind the back: a provider says that a customer has logged out there
//! (OpenID Connect Back-Channel Logout 1.0).

use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use pingora::proxy::Session;

use super::super::State;
use super::super::exchange::Exchange;
use super::super::read;
use super::super::respond::Reply;
use super::provider::{metadata, provider};
use super::{logout, outcome};
use crate::channel::Login;
use crate::interaction::Identity;
use crate::message::target::pairs;
use crate::reason::Reason;

/// Longest logout request that is read.
const MAX_LOGOUT: usize = 16 << 10;

/// The provider's request (section 2.5).
pub(super) async fn posted(
    state: &Arc<State>,
    session: &mut Session,
    exchange: &mut Exchange,
    channel: &str,
) -> pingora::Result<Reply> {
    let outcome = match read::own_body(session, exchange, MAX_LOGOUT).await? {
        Some(body) => take(state, session, exchange, channel, &body).await,
        None => Err(Reason::ReturnMalformed),
    };
    Ok(answer(exchange, outcome))
}

/// Revokes every interaction of the channel that the logout token concerns.
async fn take(
    state: &Arc<State>,
    session: &Session,
    exchange: &mut Exchange,
    channel: &str,
    body: &[u8],
) -> Result<Reason, Reason> {
    let channel = &outcome::channel(exchange, channel)?;
    exchange.endpoint = Some(("backchannel-logout", channel.name.to_string()));
    let token = token(&session.req_header().headers, body)?;
    let provider = provider(channel)?;
    if provider.oauth.is_some() {
        // It signs nothing.
        return Err(Reason::ReturnChannel);
    }
    let metadata = metadata(state, exchange, provider).await?;
    let (id, now) = (exchange.id().to_string(), state.clock.now());
    let (_, claims) = provider
        .verify(&metadata, &token, &state.caches, &id, now)
        .await?;
    let logout = provider.logout(&claims, now)?;
    let name = [&*channel.name, "backchannel logout", &*logout.id];
    state.caches.replays.use_once(name, logout.expires, now)?;
    let wanted = {
        let channel = channel.clone();
        move |identity: &Identity| {
            let provider = channel.login.as_ref().and_then(Login::provider);
            provider.is_some_and(|provider| provider.concerns(&logout, identity))
        }
    };
    let keys = logout::find(state, channel, wanted).await?;
    let revoked = logout::revoke(state, channel, &keys).await?;
    tracing::info!(
        request_id = %exchange.id(), channel = %channel.name, revoked,
        "logged out by the provider"
    );
    Ok(Reason::LoggedOut)
}

fn token(headers: &HeaderMap, body: &[u8]) -> Result<String, Reason> {
    if !read::is_form(headers) {
        return Err(Reason::ReturnMalformed);
    }
    let body = std::str::from_utf8(body).map_err(|_| Reason::ReturnMalformed)?;
    let mut tokens = pairs(body)
        .into_iter()
        .filter(|(name, _)| name == "logout_token");
    match (tokens.next(), tokens.next()) {
        (Some((_, token)), None) => Ok(token),
        (None, _) => Err(Reason::ReturnMalformed),
        (Some(_), Some(_)) => Err(Reason::ReturnDuplicate),
    }
}

/// 200 or 400, and 503 where another try may succeed (section 2.8).
fn answer(exchange: &mut Exchange, outcome: Result<Reason, Reason>) -> Reply {
    let (Ok(reason) | Err(reason)) = outcome;
    exchange.reason = reason;
    match outcome {
        Ok(_) => Reply::new(StatusCode::OK),
        Err(Reason::ProviderUnavailable | Reason::StoreFull) => {
            Reply::refusal(reason, exchange.id())
        }
        Err(_) => Reply::json(
            StatusCode::BAD_REQUEST,
            &serde_json::json!({ "error": "invalid_request" }),
        ),
    }
}
