//! How a login ended: the interaction is marked, the log and the metrics are told,
//! and the customer sees a page. The same for every kind of login page.

use std::sync::Arc;

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, StatusCode};
use minijinja::HtmlEscape;

use super::super::State;
use super::super::admit::Target;
use super::super::exchange::Exchange;
use super::super::respond::Reply;
use super::super::{notice, records, resume};
use super::linking;
use super::page::Style;
use crate::channel::{Binding, Channel, Ended, Login};
use crate::config::Config;
use crate::interaction::{Identity, Key, Level, Step, TokenHash};
use crate::login::LoginToken;
use crate::login::returned::{Problem, Refused};
use crate::reason::Reason;

/// The channel of this name.
pub(super) fn channel(exchange: &Exchange, name: &str) -> Result<Arc<Channel>, Reason> {
    let channel = exchange.config.channel(name);
    channel.cloned().ok_or(Reason::ReturnChannel)
}

/// Consumes the token and marks the interaction, or makes a ticket where it has yet to
/// be said whose chat it is: `login` gives the identity for the
/// level that was demanded, or says why there is none. The chat is told.
pub(super) async fn redeem(
    state: &Arc<State>,
    exchange: &mut Exchange,
    channel: &Arc<Channel>,
    token: TokenHash,
    login: impl Fn(Level) -> Result<Identity, Reason> + Send + Sync,
) -> Result<Reason, Reason> {
    let key = state.store.locate(&token).await?;
    if key.channel() != &*channel.name {
        return Err(Reason::ReturnChannel);
    }
    exchange.key = Some(key.clone());
    let matched = match channel.matches.is_empty() {
        true => None,
        false => Box::pin(by_records(state, exchange, channel, &key, &token, &login)).await?,
    };
    // Who logged in, as far as the records know them.
    let login = |level| {
        let identity = login(level)?;
        match &matched {
            Some((asked, matched)) if *asked == identity => matched.clone(),
            _ if channel.matches.is_empty() => Ok(Arc::new(identity)),
            _ => Err(Reason::RecordUnavailable),
        }
    };
    let ticket = self::ticket(channel);
    let most = channel.login.as_ref().and_then(|login| login.max_failures);
    let mut back = None;
    // Records may have been asked until now.
    let now = state.clock.now();
    let redeemed = state
        .store
        .update(&key, &channel.clocks, now, |slot| {
            let interaction = slot.as_mut().ok_or(Reason::TokenRevoked)?;
            back = interaction.way_back(&token).map(String::from);
            let ticket = ticket.as_ref().map(LoginToken::hash);
            interaction.come_back(&token, login, ticket, most, &channel.clocks, now)
        })
        .await?;
    let config = exchange.config.clone();
    if !matches!(redeemed, Ok(Step::Unbound | Step::Again)) {
        // Without a login the browser goes back as it came; with one, by its ticket.
        exchange.bind_url = linking::without(channel, back);
    }
    let (ended, identity) = match &redeemed {
        Ok(Step::Ended(_, Ok(identity))) => (Some(Ended::Success), Some(&**identity)),
        Ok(Step::Ended(_, Err(reason))) | Err(reason) => (Ended::of(*reason), None),
        Ok(Step::Unbound | Step::Again) => (None, None),
    };
    if let Some(ended) = ended {
        notice::tell(state, &config, channel, &key, ended, identity).await;
    }

    match redeemed? {
        Step::Unbound => {
            exchange.bind_url = ticket.map(|ticket| config.own_url("/bind/", ticket.expose()));
            Ok(Reason::LoginUnbound)
        }
        Step::Again => Ok(Reason::LoginFailed),
        Step::Ended(redeemed, Ok(identity)) => {
            resume::after_login(state, exchange, channel, &key, identity, *redeemed, now);
            Ok(Reason::LoginSucceeded)
        }
        // Validly signed and told: the login page did its part.
        Step::Ended(
            _,
            Err(reason @ (Reason::LoginFailed | Reason::LoginFailures | Reason::LoginCancelled)),
        ) => Ok(reason),
        Step::Ended(_, Err(reason)) => Err(reason),
    }
}

/// Asked of the records, and what they made of it.
type Matched = (Identity, Result<Arc<Identity>, Reason>);

/// What the records say of who logged in; nothing of a token that is not outstanding,
/// or of a login that failed. Records that cannot be asked end the return before it
/// spends anything: [`Reason::RecordUnavailable`].
async fn by_records(
    state: &State,
    exchange: &Exchange,
    channel: &Channel,
    key: &Key,
    token: &TokenHash,
    login: &(impl Fn(Level) -> Result<Identity, Reason> + Send + Sync),
) -> Result<Option<Matched>, Reason> {
    let now = state.clock.now();
    let demanded = state
        .store
        .update(key, &channel.clocks, now, |slot| {
            slot.as_ref()
                .and_then(|interaction| interaction.demanded(token))
        })
        .await?;
    let Some(Ok(identity)) = demanded.map(login) else {
        return Ok(None);
    };
    let asked = Arc::new(identity.clone());
    match records::check(state, exchange, channel, asked, now).await {
        Err(Reason::RecordUnavailable) => Err(Reason::RecordUnavailable),
        matched => Ok(Some((identity, matched))),
    }
}

/// A ticket for a login on this channel, where one is needed.
fn ticket(channel: &Channel) -> Option<LoginToken> {
    let binding = channel.login.as_ref()?.binding;
    (binding != Binding::Off).then(LoginToken::generate)
}

/// Why a signed message is refused; the log is told what in it cannot be read.
pub(super) fn unread(
    exchange: &Exchange,
    channel: &Channel,
    refused: Refused,
    line: &'static str,
) -> Reason {
    if let Some(Problem { what, name }) = refused.problem {
        tracing::info!(
            request_id = %exchange.id(), channel = %channel.name, reason = refused.reason.code(),
            ?name, problem = what, "{line}"
        );
    }
    refused.reason
}

/// Tells the log and the metrics.
pub(super) fn note(
    state: &State,
    exchange: &mut Exchange,
    endpoint: &'static str,
    channel: &str,
    outcome: Result<Reason, Reason>,
) {
    let (Ok(reason) | Err(reason)) = outcome;
    exchange.reason = reason;
    let known = exchange
        .config
        .channel(channel)
        .map_or("", |channel| &*channel.name);
    state.metrics.returned(known, reason);
    exchange.endpoint = Some((endpoint, known.to_owned()));
}

/// Sends the browser on, so that what it brought leaves the address bar.
pub(super) fn lead_on(
    exchange: &Exchange,
    channel: &str,
    outcome: Result<Reason, Reason>,
) -> Reply {
    if let Some(url) = &exchange.bind_url {
        return Reply::see_other(url);
    }
    let config = &exchange.config;
    let login = config
        .channel(channel)
        .and_then(|channel| channel.login.as_ref());
    let place = login.and_then(|login| login.return_to.as_deref());
    match (outcome, place) {
        (Ok(_), Some(place)) => Reply::see_other(place),
        (Ok(reason) | Err(reason), _) => {
            let place = done_path(config, reason);
            match login.and_then(Login::form) {
                // There the page has the looks of the channel.
                Some(_) => Reply::see_other(&format!("{place}?channel={channel}")),
                None => Reply::see_other(&place),
            }
        }
    }
}

/// A login URL that leads nowhere.
pub(super) fn refuse(exchange: &mut Exchange, headers: &HeaderMap, reason: Reason) -> Reply {
    exchange.reason = reason;
    match reason {
        Reason::ProviderUnavailable | Reason::ProviderError => {
            later(&exchange.config, headers, reason)
        }
        _ => Reply::see_other(&done_path(&exchange.config, reason)),
    }
}

/// Not now: the same URL may work in a moment.
pub(super) fn later(config: &Config, headers: &HeaderMap, reason: Reason) -> Reply {
    let style = Style::of(config, "", headers);
    page(&style, reason.status(), reason).with(RETRY_AFTER, HeaderValue::from_static("5"))
}

/// Where the page of [`done`] is.
pub(super) fn done_path(config: &Config, reason: Reason) -> String {
    format!("{}/done/{}", config.endpoints, reason.told())
}

/// The page after a login, by its reason's code. Shows nothing that came with the request.
pub(super) fn done(config: &Config, headers: &HeaderMap, code: &str, target: &Target) -> Reply {
    let Some(reason) = Reason::ALL.iter().find(|reason| reason.told() == code) else {
        return Reply::new(StatusCode::NOT_FOUND);
    };
    let query = target.query.as_deref().unwrap_or_default();
    let channel = query.strip_prefix("channel=").unwrap_or_default();
    page(
        &Style::of(config, channel, headers),
        StatusCode::OK,
        *reason,
    )
}

/// The page that says how it went.
pub(super) fn page(style: &Style<'_>, status: StatusCode, reason: Reason) -> Reply {
    let (title, text) = match reason {
        Reason::LoginSucceeded => ("succeeded", "succeeded-text"),
        Reason::LoginCancelled => ("cancelled", "cancelled-text"),
        Reason::LoginFailed | Reason::LoginFailures => ("failed", "failed-text"),
        Reason::TokenExpired | Reason::TokenUsed | Reason::TokenRevoked => ("spent", "spent-text"),
        Reason::LinkTarget => ("link-target", "link-target-text"),
        Reason::LinkUnavailable | Reason::LoginThrottled => ("later", "link-later-text"),
        Reason::ProviderUnavailable | Reason::ProviderError | Reason::RecordUnavailable => {
            ("later", "later-text")
        }
        Reason::WrongBrowser => ("other-browser", "other-browser-text"),
        Reason::SubjectChanged => ("other-customer", "other-customer-text"),
        Reason::LoginLevel => ("stronger", "stronger-text"),
        // One text, as there is one code: what the records know stays with them.
        Reason::RecordMissing | Reason::RecordAmbiguous | Reason::RecordMismatch => {
            ("unmatched", "unmatched-text")
        }
        Reason::LoginStale
        | Reason::LoginState
        | Reason::LoginBrowser
        | Reason::LoginCode
        | Reason::LoginNonce => ("incomplete", "interrupted-text"),
        _ => ("incomplete", "incomplete-text"),
    };
    let language = &style.language;
    let text = HtmlEscape(language.say(text));
    let body = format!("<p>{text}</p><p><small>{}</small></p>", reason.told());
    style.said(status, language.say(title), &body)
}
