//! The login at an OpenID provider or an OAuth server: there and back.

use std::sync::Arc;

use http::header::SET_COOKIE;
use http::{HeaderMap, Method, StatusCode};

use super::super::State;
use super::super::admit::Target;
use super::super::exchange::Exchange;
use super::super::respond::Reply;
use super::located::Located;
use super::{browser, outcome};
use crate::channel::{Channel, Login};
use crate::interaction::{Identity, Level};
use crate::login::LoginToken;
use crate::login::oidc::callback::Denial;
use crate::login::oidc::id_token::Wanted;
use crate::login::oidc::{Asking, Callback, Metadata, Pending, Provider, attempt};
use crate::reason::Reason;
use crate::secret::Secret;

/// The login URL of a challenge: leads on to the provider. The token stays good until
/// a login is complete, however often this is opened, and by whom.
pub(super) async fn open(
    state: &Arc<State>,
    exchange: &mut Exchange,
    at: &Located,
    headers: &HeaderMap,
    method: &Method,
) -> Reply {
    if *method == Method::HEAD {
        // Whoever only looks begins nothing.
        return Reply::new(StatusCode::NO_CONTENT);
    }
    match depart(state, exchange, at, headers).await {
        Ok(reply) => reply,
        Err(reason) => outcome::refuse(exchange, headers, reason),
    }
}

async fn depart(
    state: &State,
    exchange: &Exchange,
    at: &Located,
    headers: &HeaderMap,
) -> Result<Reply, Reason> {
    let config = &exchange.config;
    let (channel, token) = (&at.channel, &at.hash);
    let provider = provider(channel)?;
    let metadata = metadata(state, exchange, provider).await?;
    let known = browser::known(config, headers);
    let (browser, cookie) = match known {
        Some(known) => (known, None),
        None => {
            let new = LoginToken::generate();
            let cookie = browser::cookie(config, &new).ok_or(Reason::Internal)?;
            (new, Some(cookie))
        }
    };
    let pending = Pending::new(token);
    let begun = pending.attempt(browser.expose());
    let now = state.clock.now();
    let demanded = state
        .store
        .update(&at.key, &channel.clocks, now, |slot| {
            let interaction = slot.as_mut().ok_or(Reason::TokenRevoked)?;
            interaction.attempt(token, begun.clone(), now)
        })
        .await??;
    let redirect_uri = config.own_url("/callback/", &channel.name);
    let url = provider.authorization_url(&metadata, &pending, &redirect_uri, demanded);
    let reply = Reply::see_other(&url);
    Ok(match cookie {
        Some(cookie) => reply.with(SET_COOKIE, cookie),
        None => reply,
    })
}

/// The browser is back from the provider.
pub(super) async fn callback(
    state: &Arc<State>,
    exchange: &mut Exchange,
    channel: &str,
    target: &Target,
    headers: &HeaderMap,
) -> Reply {
    let query = target.query.as_deref().unwrap_or_default();
    let outcome = arrive(state, exchange, channel, query, headers).await;
    outcome::note(state, exchange, "callback", channel, outcome);
    match outcome {
        Err(
            reason @ (Reason::ProviderUnavailable
            | Reason::ProviderError
            | Reason::RecordUnavailable),
        ) => outcome::later(&exchange.config, headers, reason),
        outcome => outcome::lead_on(exchange, channel, outcome),
    }
}

async fn arrive(
    state: &Arc<State>,
    exchange: &mut Exchange,
    channel: &str,
    query: &str,
    headers: &HeaderMap,
) -> Result<Reason, Reason> {
    let channel = outcome::channel(exchange, channel)?;
    let provider = provider(&channel)?;
    let callback = Callback::read(query)?;
    let token = callback.state.token();
    let key = state.store.locate(&token).await?;
    if key.channel() != &*channel.name {
        return Err(Reason::ReturnChannel);
    }
    exchange.key = Some(key.clone());
    let config = exchange.config.clone();
    let browser = browser::known(&config, headers).ok_or(Reason::LoginBrowser)?;
    let browser = attempt::browser_hash(browser.expose());
    let metadata = metadata(state, exchange, provider).await?;
    let now = state.clock.now();
    let (demanded, seed) = state
        .store
        .update(&key, &channel.clocks, now, |slot| {
            let interaction = slot.as_mut().ok_or(Reason::TokenRevoked)?;
            interaction.end_attempt(&token, &callback.state.hash(), &browser, now)
        })
        .await??;
    if !metadata.is_of(callback.issuer.as_deref()) {
        return Err(Reason::LoginIssuer);
    }
    let login = match &callback.outcome {
        Ok(code) => {
            let identity = identify(state, exchange, &channel, &metadata, code, &seed, demanded);
            Ok(identity.await?)
        }
        Err(denial) => {
            if matches!(denial, Denial::Refused | Denial::Other) {
                tracing::warn!(
                    request_id = %exchange.id(), issuer = &*provider.issuer,
                    error = callback.error.as_deref(),
                    "the provider refuses our request: see its own log"
                );
            }
            match provider.denied(*denial) {
                reason @ (Reason::LoginCancelled | Reason::LoginFailed) => Err(reason),
                reason => return Err(reason),
            }
        }
    };
    outcome::redeem(state, exchange, &channel, token, |_| login.clone()).await
}

/// Who logged in, by the code that came back.
async fn identify(
    state: &State,
    exchange: &Exchange,
    channel: &Channel,
    metadata: &Metadata,
    code: &Secret,
    seed: &Secret,
    demanded: Level,
) -> Result<Identity, Reason> {
    let provider = provider(channel)?;
    let request_id = &*exchange.id().to_string();
    let asking = Asking {
        outbound: &state.outbound,
        request_id,
    };
    let redirect_uri = exchange.config.own_url("/callback/", &channel.name);
    let now = state.clock.now();
    let tokens = provider
        .exchange(metadata, code, seed, &redirect_uri, asking, now)
        .await?;
    if provider.oauth.is_some() {
        let claims = provider.userinfo(metadata, &tokens, asking).await?;
        return provider.vouched(claims, demanded);
    }
    let id_token = tokens.id_token.as_ref().ok_or(Reason::ProviderError)?;
    let text = std::str::from_utf8(id_token.expose()).map_err(|_| Reason::ProofMalformed)?;
    let now = state.clock.now();
    let verified = provider.verify(metadata, text, &state.caches, request_id, now);
    let (algorithm, claims) = verified.await?;
    let wanted = Wanted {
        seed,
        demanded,
        algorithm,
        access_token: tokens.access_token.as_ref(),
    };
    provider.check(&claims, &wanted, state.clock.now())?;
    let more = provider.more(metadata, &tokens, &claims, asking).await?;
    provider.identity(claims, more, demanded)
}

/// The provider of a channel; one without is told no more than an unknown one.
pub(super) fn provider(channel: &Channel) -> Result<&Provider, Reason> {
    let provider = channel.login.as_ref().and_then(Login::provider);
    provider.ok_or(Reason::ReturnChannel)
}

/// What the provider announces.
pub(super) async fn metadata(
    state: &State,
    exchange: &Exchange,
    provider: &Provider,
) -> Result<Arc<Metadata>, Reason> {
    if let Some(metadata) = &provider.oauth {
        return Ok(metadata.clone());
    }
    let now = state.clock.now();
    let (timeout, id) = (provider.timeout, exchange.id().to_string());
    state
        .providers
        .metadata(&provider.issuer, timeout, &state.outbound, &id, now)
        .await
}
