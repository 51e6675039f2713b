//! The challenge: a new login URL, in the channel's own format.

use std::sync::Arc;

use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue, StatusCode};
use pingora::proxy::Session;
use serde_json::{Map, Value};

use super::State;
use super::exchange::Exchange;
use super::respond::Reply;
use super::{kept, webhook};
use crate::channel::{ChallengeTemplate, Channel, Login, Resume, SigningPage};
use crate::config::Config;
use crate::interaction::{self, Bounds, Challenge, Held, Key, Leg, Level, Withheld};
use crate::login::LoginToken;
use crate::login::page::LoginUrl;
use crate::message::AnswerView;
use crate::reason::Reason;
use crate::time::Time;

/// Makes the login URL and the answer that carries it.
pub(super) async fn challenge(
    state: &Arc<State>,
    session: &Session,
    exchange: &Exchange,
    answer: &AnswerView<'_>,
    level: Level,
) -> Result<Reply, Reason> {
    let held = kept::behind_url(session, exchange, answer, level);
    ask(state, session, exchange, answer, level, held, None).await
}

/// The challenge of a route that demands a level: there is no answer that it stands for.
pub(super) async fn demand(
    state: &Arc<State>,
    session: &Session,
    exchange: &mut Exchange,
    level: Level,
) -> Result<Reply, Reason> {
    let none = HeaderMap::new();
    let answer = AnswerView::message(&none, None);
    let reply = challenge(state, session, exchange, &answer, level).await?;
    Ok(exchange.dress(reply, &session.req_header().headers))
}

/// The same in the place of a message that is one of several: itself it does not wait
/// behind the `continue` URL.
pub(super) async fn challenge_message(
    state: &Arc<State>,
    session: &Session,
    exchange: &Exchange,
    answer: &AnswerView<'_>,
    level: Level,
    leg: Leg,
) -> Result<Reply, Reason> {
    let held = kept::request(session, exchange).map(Held::from);
    ask(state, session, exchange, answer, level, held, Some(leg)).await
}

/// The challenge, with what waits for the login behind the `continue` URL; the outcome
/// is told on `leg`, or sent to the client that gets the challenge.
pub(super) async fn ask(
    state: &Arc<State>,
    session: &Session,
    exchange: &Exchange,
    answer: &AnswerView<'_>,
    level: Level,
    held: Option<Held>,
    leg: Option<Leg>,
) -> Result<Reply, Reason> {
    let (channel, login) = exchange.login()?;
    let now = state.clock.now();
    let tells = login.outcomes.is_some();
    let client = exchange.to_client() && (tells || login.release().is_some());
    let message = client
        .then(|| kept::message(session, exchange, answer, level))
        .flatten();
    let came = message.as_ref().map(|message| message.headers.clone());
    let leg = message.as_ref().map(|message| message.leg.clone()).or(leg);
    let message = message.zip(login.release().map(|release| release.bounds));
    let urls = issue(state, exchange, level, held, message, now).await?;
    let values = values(exchange, session, answer, &urls, level, now)?;
    let reply = exchange.template(login).reply(&values).map_err(|error| {
        tracing::error!(
            request_id = %exchange.id(), channel = %channel.name, %error,
            "the challenge could not be written"
        );
        Reason::ChallengeImpossible
    })?;
    if let Some(leg) = leg.filter(|_| tells) {
        // The outcome goes where the challenge goes, and tells no more of what is withheld.
        let headers = came.map(|came| webhook::addressed(reply.headers.clone(), &came));
        let envelope = Withheld {
            headers: headers.unwrap_or_default(),
            ..Withheld::notice(leg)
        };
        address(state, exchange, &envelope, now).await?;
    }
    let level = exchange.config.level_name(level);
    Ok(step_up(reply, answer, level, &urls.login))
}

/// A new login URL in place of the backend's own. What the backend says then is no
/// answer yet: with `replay` the customer's request is held. The outcome is told as
/// that of [`ask`] is.
pub(super) async fn url(
    state: &Arc<State>,
    session: &Session,
    exchange: &Exchange,
    level: Level,
    leg: Option<Leg>,
) -> Result<String, Reason> {
    let (_, login) = exchange.login()?;
    // On a socket the request is the handshake.
    let waits = !exchange.to_client() && !exchange.socket;
    let held = waits.then(|| kept::request(session, exchange)).flatten();
    let held = held.map(Held::from);
    let now = state.clock.now();
    let urls = issue(state, exchange, level, held, None, now).await?;
    let asked = exchange.asked.as_ref().filter(|_| exchange.to_client());
    let envelope = match asked {
        Some(asked) => Some(Withheld {
            headers: webhook::addressed(HeaderMap::new(), &kept::headers(session)),
            ..Withheld::notice(kept::to_client(asked))
        }),
        None => leg.map(Withheld::notice),
    };
    if let Some(envelope) = envelope.filter(|_| login.outcomes.is_some()) {
        address(state, exchange, &envelope, now).await?;
    }
    Ok(urls.login)
}

/// What a challenge says.
struct Urls {
    login: String,
    /// Empty where nothing waits.
    resume: String,
    /// What the login shows, too, for comparison.
    code: String,
}

/// Makes the login URL, and keeps what waits for the login.
async fn issue(
    state: &Arc<State>,
    exchange: &Exchange,
    level: Level,
    held: Option<Held>,
    message: Option<(Withheld, Bounds)>,
    now: Time,
) -> Result<Urls, Reason> {
    let (channel, login) = exchange.login()?;
    let key = exchange.key.as_ref().ok_or(Reason::ChallengeImpossible)?;

    let token = LoginToken::generate();
    let outstanding = Challenge {
        token: token.hash(),
        level,
        created: now,
        ttl: channel.clocks.token_ttl,
    };
    let (waiting, held) = match held {
        Some(held) => {
            let token = LoginToken::generate();
            let hash = token.hash();
            (Some(token), Some((hash, held)))
        }
        None => (None, None),
    };
    // The request that this answers came on another way.
    let latest = matches!(login.resume, Resume::Replay { .. }) && exchange.to_client();
    let latest = latest.then(|| LoginToken::generate().hash());
    let kept = state
        .store
        .update(key, &channel.clocks, now, |slot| {
            let interaction = slot.get_or_insert_with(|| interaction::Interaction::new(now));
            let latest = latest.and_then(|token| {
                let request = interaction.latest()?.clone();
                Some((token, Held::from(request)))
            });
            let held = latest.or_else(|| held.clone());
            interaction.challenge(outstanding.clone(), held, exchange.evidence)?;
            let lost = message.as_ref().and_then(|(message, bounds)| {
                let kept = interaction.withhold(message.clone(), bounds, exchange.evidence);
                kept.err()
            });
            Ok(lost)
        })
        .await?;
    if let Some(reason) = kept? {
        tracing::error!(
            request_id = %exchange.id(), channel = %channel.name, reason = reason.code(),
            "a withheld message is lost"
        );
    }
    state.metrics.challenged(&channel.name);

    let config = &exchange.config;
    let login = login_url(config, login, key, &token, level, now);
    let resume = waiting.map_or(String::new(), |token| {
        config.own_url("/continue/", token.expose())
    });
    Ok(Urls {
        login,
        resume,
        code: token.hash().code(),
    })
}

/// Notes where the outcome of the login is told.
async fn address(
    state: &State,
    exchange: &Exchange,
    envelope: &Withheld,
    now: Time,
) -> Result<(), Reason> {
    let route = exchange.route().ok_or(Reason::Internal)?;
    let key = exchange.key.as_ref().ok_or(Reason::ChallengeImpossible)?;
    let clocks = &route.channel.clocks;
    let note = state.store.update(key, clocks, now, |slot| {
        if let Some(interaction) = slot {
            interaction.address(envelope.clone());
        }
    });
    note.await
}

/// Where the customer logs in: the operator's page, or our own address that leads on
/// to the provider, or takes a note of how it was opened.
fn login_url(
    config: &Config,
    login: &Login,
    key: &Key,
    token: &LoginToken,
    level: Level,
    now: Time,
) -> String {
    let back = login.linking.as_ref().and_then(|linking| linking.back());
    match login.page() {
        Some(page) if back.is_none() => page_url(config, page, key, token, level, now),
        _ => config.own_url("/login/", token.expose()),
    }
}

/// The operator's page, by a signed URL.
pub(super) fn page_url(
    config: &Config,
    signing: &SigningPage,
    key: &Key,
    token: &LoginToken,
    level: Level,
    now: Time,
) -> String {
    let values = LoginUrl {
        token,
        callback: &config.own_url("/return/", key.channel()),
        channel: key.channel(),
        interaction: key.interaction(),
        level: config.level_name(level),
        now,
    };
    signing.page.url(&signing.keys, &values)
}

fn values(
    exchange: &Exchange,
    session: &Session,
    answer: &AnswerView<'_>,
    urls: &Urls,
    level: Level,
    now: Time,
) -> Result<Map<String, Value>, Reason> {
    let (channel, login) = exchange.login()?;
    let mut values = Map::new();
    values.insert("login_url".into(), urls.login.as_str().into());
    values.insert("continue_url".into(), urls.resume.as_str().into());
    values.insert("code".into(), urls.code.as_str().into());
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
    for (name, selector) in &exchange.template(login).captures {
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

impl Exchange {
    /// The channel, and its login.
    fn login(&self) -> Result<(&Channel, &Login), Reason> {
        let channel = &self.route().ok_or(Reason::Internal)?.channel;
        let login = channel.login.as_ref();
        Ok((channel, login.ok_or(Reason::ChallengeImpossible)?))
    }

    /// What the customer is asked to log in with: on a socket that may be another
    /// thing than in an answer.
    fn template<'c>(&'c self, login: &'c Login) -> &'c ChallengeTemplate {
        let sockets = self.route().and_then(|route| route.channel.socket.as_ref());
        let own = sockets.and_then(|sockets| sockets.challenge.as_ref());
        own.filter(|_| self.socket).unwrap_or(&login.challenge)
    }
}

impl ChallengeTemplate {
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
