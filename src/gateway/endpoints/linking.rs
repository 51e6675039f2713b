//! Account linking: the door that a platform opens with its way back, and the way of a
//! browser that logged in to the platform, with the ticket.

use std::sync::Arc;
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Map, Value};

use super::super::State;
use super::super::admit::Target;
use super::super::challenge::page_url;
use super::super::exchange::Exchange;
use super::super::respond::Reply;
use super::located::Located;
use super::page::Style;
use super::{bind, outcome};
use crate::channel::linking::{Back, Fetch, Way};
use crate::channel::{Channel, Linking};
use crate::interaction::Interaction;
use crate::login::form::throttle::{Limit, Who};
use crate::message::{AnswerView, Body};
use crate::outbound::Bounds;
use crate::reason::Reason;

/// Longest answer of a platform that is read, in bytes.
const MAX_ANSWER: usize = 64 << 10;
/// Longest value that is taken out of it, in bytes.
const MAX_VALUE: usize = 2 << 10;
/// How often the platform is asked for one ticket, which is good for as long.
const FETCHES: Limit = Limit {
    tries: 20,
    per: Duration::from_secs(600),
};

/// A login URL is opened. On channels whose platform says with it where to go back, that
/// is kept; then the browser goes on to the operator's page. `None` where that is not for
/// us to do: the channel's place of login answers.
pub(super) async fn open(
    state: &State,
    exchange: &mut Exchange,
    at: &Located,
    target: &Target,
    method: &Method,
) -> Option<Reply> {
    let back = linking(&at.channel)?.back()?;
    // HEAD must not redirect.
    if *method != Method::GET {
        return None;
    }
    let query = target.query.as_deref().unwrap_or_default();
    match arrive(state, exchange, at, back, query).await {
        Ok(None) => None,
        Ok(Some(page)) => Some(Reply::see_other(&page)),
        Err(reason) => {
            exchange.reason = reason;
            let place = outcome::done_path(&exchange.config, reason);
            Some(Reply::see_other(&place))
        }
    }
}

/// Keeps the way back; where the customer logs in on a page of the operator's: its URL.
async fn arrive(
    state: &State,
    exchange: &Exchange,
    at: &Located,
    back: &Back,
    query: &str,
) -> Result<Option<String>, Reason> {
    let place = back.place(query)?;
    let now = state.clock.now();
    let Located {
        token,
        hash,
        key,
        channel,
    } = at;
    let level = state
        .store
        .update(key, &channel.clocks, now, |slot| {
            let interaction = slot.as_mut().ok_or(Reason::TokenRevoked)?;
            interaction.lead_back(hash, place.clone(), now)
        })
        .await??;
    let page = channel.login.as_ref().and_then(|login| login.page());
    let config = &exchange.config;
    Ok(page.map(|page| page_url(config, page, key, token, level, now)))
}

/// The way back without a ticket, for a browser that did not log in.
pub(super) fn without(channel: &Channel, back: Option<String>) -> Option<String> {
    // The prefix may be another one since.
    let known = linking(channel)?.back()?;
    back.filter(|place| known.checked(place).is_ok())
}

/// A browser that logged in goes to the platform. The ticket stays good, so this may be
/// done again where the platform does not answer.
pub(super) async fn hand_over(
    state: &Arc<State>,
    exchange: &mut Exchange,
    at: &Located,
    headers: &HeaderMap,
) -> Reply {
    match platform(state, exchange, at).await {
        Ok(url) => {
            exchange.reason = Reason::LoginUnbound;
            Reply::see_other(&url)
        }
        Err(reason @ (Reason::LinkUnavailable | Reason::LoginThrottled)) => {
            exchange.reason = reason;
            let style = Style::of(&exchange.config, &at.channel.name, headers);
            let wait = match reason {
                Reason::LoginThrottled => "30",
                _ => "5",
            };
            outcome::page(&style, reason.status(), reason)
                .with(RETRY_AFTER, HeaderValue::from_static(wait))
        }
        Err(reason) => bind::lead_on(state, exchange, Err(reason)),
    }
}

/// Where that browser goes.
async fn platform(state: &State, exchange: &Exchange, at: &Located) -> Result<String, Reason> {
    let Located {
        token: ticket,
        hash,
        key,
        channel,
    } = at;
    let linking = linking(channel).ok_or(Reason::TokenRevoked)?;
    let now = state.clock.now();
    let look = |interaction: Option<&Interaction>| {
        let interaction = interaction.ok_or(Reason::TokenRevoked)?;
        interaction.unbound(hash, now)?;
        Ok(interaction.way_back(hash).map(String::from))
    };
    let back = state.store.read(key, &channel.clocks, now, look).await??;
    let (url, fetch) = match &linking.way {
        Way::Back(known) => {
            let place = back.ok_or(Reason::LinkTarget)?;
            return known.with_ticket(&place, ticket.expose());
        }
        Way::Url { url, fetch } => (url, fetch),
    };
    let mut values = Map::new();
    values.insert("channel".into(), (*channel.name).into());
    values.insert("interaction".into(), key.interaction().into());
    if let Some(fetch) = fetch {
        let taken = state.throttle.take(&Who::Ticket(*hash), FETCHES, now);
        taken.map_err(|_| Reason::LoginThrottled)?;
        let fetched = fetched(state, exchange, channel, fetch, &values).await?;
        values.insert("fetched".into(), fetched.into());
    }
    values.insert("ticket".into(), ticket.expose().into());
    url.render(&values).map_err(|error| {
        tracing::error!(
            request_id = %exchange.id(), channel = %channel.name, %error,
            "the platform's URL could not be written"
        );
        Reason::LinkUnavailable
    })
}

/// Asks the platform for what its URL needs.
async fn fetched(
    state: &State,
    exchange: &Exchange,
    channel: &Channel,
    fetch: &Fetch,
    values: &Map<String, Value>,
) -> Result<String, Reason> {
    let failed = |error: &dyn std::fmt::Display| {
        tracing::warn!(
            request_id = %exchange.id(), channel = %channel.name, %error,
            "the platform gives nothing to link with"
        );
        Reason::LinkUnavailable
    };
    let id = crate::secret::id("link-");
    let request = fetch.call.request(values, &id, state.clock.now());
    let request = request.map_err(|error| failed(&error))?;
    let bounds = Bounds {
        timeout: fetch.call.timeout,
        max_body: MAX_ANSWER,
    };
    let answer = state.outbound.call(request, bounds).await;
    let answer = answer.map_err(|error| failed(&error))?;
    if !answer.status().is_success() {
        return Err(failed(&answer.status()));
    }
    let body = Body::new(answer.body().clone());
    let view = AnswerView {
        status: answer.status(),
        headers: answer.headers(),
        body: Some(&body),
    };
    let value = fetch.value.answer(&view);
    let value = value.map_err(|reason| failed(&reason))?;
    let value = value.filter(|value| value.len() <= MAX_VALUE);
    value.ok_or_else(|| failed(&"its answer has no such value"))
}

fn linking(channel: &Channel) -> Option<&Linking> {
    channel.login.as_ref()?.linking.as_deref()
}
