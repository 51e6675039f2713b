//! The login at an OpenID provider or an OAuth server: there, back, and the logout
//! behind the back.

use std::sync::Arc;

use http::header::{CONTENT_TYPE, RETRY_AFTER, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use pingora::proxy::Session;

use super::super::State;
use super::super::admit::Target;
use super::super::exchange::Exchange;
use super::super::read;
use super::super::respond::Reply;
use super::located::Located;
use super::page::Style;
use super::{logout, outcome};
use crate::channel::{Channel, Login};
use crate::config::Config;
use crate::interaction::{Identity, Level};
use crate::login::LoginToken;
use crate::login::oidc::id_token::Wanted;
use crate::login::oidc::{Callback, Metadata, Pending, Provider, attempt};
use crate::message::header::raw_cookies;
use crate::message::target::pairs;
use crate::reason::Reason;
use crate::secret::Secret;

/// Longest logout request that is read.
const MAX_LOGOUT: usize = 16 << 10;

/// The name of the cookie by which a browser is known again. One is enough for all
/// the logins that it has open.
pub(in crate::gateway) const fn cookie_name(secure: bool) -> &'static str {
    match secure {
        true => "__Host-chatgate-login",
        false => "chatgate-login",
    }
}

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
        Err(reason) => refuse(exchange, headers, reason),
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
    let metadata = metadata(state, provider).await?;
    let secure = config.public_url.starts_with("https://");
    let known = cookie(headers, secure);
    let (browser, known) = match known {
        Some(known) => (known, true),
        None => (LoginToken::generate(), false),
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
    if known {
        return Ok(reply);
    }
    let cookie = set_cookie(&browser, secure).ok_or(Reason::Internal)?;
    Ok(reply.with(SET_COOKIE, cookie))
}

/// The cookie by which a browser is known again from now on.
pub(super) fn set_cookie(browser: &LoginToken, secure: bool) -> Option<HeaderValue> {
    let (name, value) = (cookie_name(secure), browser.expose());
    let secure = if secure { "; Secure" } else { "" };
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}");
    let mut cookie = HeaderValue::from_str(&cookie).ok()?;
    cookie.set_sensitive(true);
    Some(cookie)
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
        ) => later(&exchange.config, headers, reason),
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
    let secure = config.public_url.starts_with("https://");
    let browser = cookie(headers, secure).ok_or(Reason::LoginBrowser)?;
    let browser = attempt::browser_hash(browser.expose());
    let metadata = metadata(state, provider).await?;
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
            let redirect_uri = config.own_url("/callback/", &channel.name);
            let identity = identify(
                state,
                provider,
                &metadata,
                code,
                &seed,
                &redirect_uri,
                demanded,
            );
            Ok(identity.await?)
        }
        Err(denial) => match provider.denied(*denial) {
            reason @ (Reason::LoginCancelled | Reason::LoginFailed) => Err(reason),
            reason => return Err(reason),
        },
    };
    outcome::redeem(state, exchange, &channel, token, |_| login.clone()).await
}

/// Who logged in, by the code that came back.
async fn identify(
    state: &State,
    provider: &Provider,
    metadata: &Metadata,
    code: &Secret,
    seed: &Secret,
    redirect_uri: &str,
    demanded: Level,
) -> Result<Identity, Reason> {
    let outbound = &state.outbound;
    let now = state.clock.now();
    let tokens = provider
        .exchange(metadata, code, seed, redirect_uri, outbound, now)
        .await?;
    if provider.oauth.is_some() {
        let claims = provider.userinfo(metadata, &tokens, outbound).await?;
        return provider.vouched(claims, demanded);
    }
    let id_token = tokens.id_token.as_ref().ok_or(Reason::ProviderError)?;
    let text = std::str::from_utf8(id_token.expose()).map_err(|_| Reason::ProofMalformed)?;
    let (algorithm, claims) = provider.verify(metadata, text, &state.caches, now).await?;
    let wanted = Wanted {
        seed,
        demanded,
        algorithm,
        access_token: tokens.access_token.as_ref(),
    };
    provider.check(&claims, &wanted, state.clock.now())?;
    let more = provider.more(metadata, &tokens, &claims, outbound).await?;
    provider.identity(claims, more, demanded)
}

/// The provider logs a customer out (OpenID Connect Back-Channel Logout 1.0, section 2.5).
pub(super) async fn log_out(
    state: &Arc<State>,
    session: &mut Session,
    exchange: &mut Exchange,
    channel: &str,
) -> pingora::Result<Reply> {
    let Some(body) = read::own_body(session, exchange, MAX_LOGOUT).await? else {
        return Ok(logout_answer(exchange, Err(Reason::ReturnMalformed)));
    };
    let form = session.req_header().headers.get(CONTENT_TYPE).cloned();
    let outcome = match outcome::channel(exchange, channel) {
        Err(reason) => Err(reason),
        Ok(channel) => {
            exchange.endpoint = Some(("backchannel-logout", channel.name.to_string()));
            let token = logout_token(form.as_ref(), &body);
            match token {
                Ok(token) => revoke(state, exchange, &channel, &token).await,
                Err(reason) => Err(reason),
            }
        }
    };
    Ok(logout_answer(exchange, outcome))
}

/// Revokes every interaction of the channel that the token concerns.
async fn revoke(
    state: &Arc<State>,
    exchange: &Exchange,
    channel: &Arc<Channel>,
    token: &str,
) -> Result<Reason, Reason> {
    let provider = provider(channel)?;
    if provider.oauth.is_some() {
        // It signs nothing.
        return Err(Reason::ReturnChannel);
    }
    let metadata = metadata(state, provider).await?;
    let now = state.clock.now();
    let (_, claims) = provider
        .verify(&metadata, token, &state.caches, now)
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

fn logout_token(content_type: Option<&HeaderValue>, body: &[u8]) -> Result<String, Reason> {
    let kind = content_type.and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    if !kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")) {
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
fn logout_answer(exchange: &mut Exchange, outcome: Result<Reason, Reason>) -> Reply {
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

/// The provider of a channel; one without is told no more than an unknown one.
fn provider(channel: &Channel) -> Result<&Provider, Reason> {
    let provider = channel.login.as_ref().and_then(Login::provider);
    provider.ok_or(Reason::ReturnChannel)
}

async fn metadata(state: &State, provider: &Provider) -> Result<Arc<Metadata>, Reason> {
    if let Some(metadata) = &provider.oauth {
        return Ok(metadata.clone());
    }
    let now = state.clock.now();
    let timeout = provider.timeout;
    state
        .providers
        .metadata(&provider.issuer, timeout, &state.outbound, now)
        .await
}

/// The browser's cookie, if it brings exactly one of ours.
pub(super) fn cookie(headers: &HeaderMap, secure: bool) -> Option<LoginToken> {
    let mut values = raw_cookies(headers, cookie_name(secure));
    match (values.next(), values.next()) {
        (Some(value), None) => LoginToken::parse(std::str::from_utf8(value).ok()?),
        _ => None,
    }
}

/// A login URL that leads nowhere.
pub(super) fn refuse(exchange: &mut Exchange, headers: &HeaderMap, reason: Reason) -> Reply {
    exchange.reason = reason;
    match reason {
        Reason::ProviderUnavailable | Reason::ProviderError => {
            later(&exchange.config, headers, reason)
        }
        _ => {
            let place = format!("{}/done/{}", exchange.config.endpoints, reason.told());
            Reply::see_other(&place)
        }
    }
}

/// Not now: the same URL may work in a moment.
fn later(config: &Config, headers: &HeaderMap, reason: Reason) -> Reply {
    let style = Style::of(config, "", headers);
    outcome::page(&style, reason.status(), reason).with(RETRY_AFTER, HeaderValue::from_static("5"))
}
