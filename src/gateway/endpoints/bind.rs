//! Whose chat a login is for: the last step of a login on channels with
//! `login_binding`. The browser that logged in comes here with a ticket. It brings the
//! owner's evidence, or the customer is shown what is about to be bound and asked.

use std::sync::Arc;

use http::StatusCode;
use minijinja::HtmlEscape;
use pingora::proxy::Session;

use super::super::State;
use super::super::exchange::Exchange;
use super::super::read;
use super::super::respond::Reply;
use super::super::{notice, resume};
use super::located::Located;
use super::page::Style;
use super::resumed::evidence;
use super::{form, linking, outcome};
use crate::channel::{Binding, Channel, Ended};
use crate::config::Config;
use crate::interaction::{Evidence, Unbound};
use crate::reason::Reason;
use crate::time::Time;

/// Longest answer to the page that is read.
const MAX_ANSWER: usize = 1 << 10;

/// A browser comes with a ticket.
pub(super) async fn asked(
    state: &Arc<State>,
    session: &Session,
    exchange: &mut Exchange,
    ticket: &str,
) -> Reply {
    let headers = session.req_header().headers.clone();
    let outcome = match Bound::find(state, exchange, ticket).await {
        Err(reason) => Err(reason),
        Ok(bound) => match bound.binding() {
            Binding::Linked => {
                return linking::hand_over(state, exchange, &bound.at, &headers).await;
            }
            Binding::Confirm => match bound.unbound(state).await {
                Ok(unbound) => {
                    exchange.reason = Reason::LoginUnbound;
                    let style = Style::of(&exchange.config, &bound.at.channel.name, &headers);
                    return page(&style, &bound.at.channel, &unbound, state.clock.now());
                }
                Err(reason) => Err(reason),
            },
            Binding::SameBrowser | Binding::Off => {
                let shown = evidence(&bound.at.channel, &headers);
                bound.bind(state, exchange, Some(shown)).await
            }
        },
    };
    lead_on(state, exchange, outcome)
}

/// The customer answers the page.
pub(super) async fn answered(
    state: &Arc<State>,
    session: &mut Session,
    exchange: &mut Exchange,
    ticket: &str,
) -> pingora::Result<Reply> {
    let Some(body) = read::own_body(session, exchange, MAX_ANSWER).await? else {
        return Ok(lead_on(state, exchange, Err(Reason::BadBody)));
    };
    let foreign = form::foreign(&exchange.config, &session.req_header().headers);
    let outcome = match Bound::find(state, exchange, ticket).await {
        Ok(bound) if bound.binding() == Binding::Confirm && !foreign => {
            match &*String::from_utf8_lossy(&body) {
                "mine=yes" => bound.bind(state, exchange, None).await,
                "mine=no" => bound.disown(state, &exchange.config).await,
                _ => Err(Reason::BadBody),
            }
        }
        Ok(_) => Err(Reason::WrongBrowser),
        Err(reason) => Err(reason),
    };
    Ok(lead_on(state, exchange, outcome))
}

/// A ticket, and the chat that its login is about to be bound to.
struct Bound {
    at: Located,
}

impl Bound {
    async fn find(state: &State, exchange: &mut Exchange, ticket: &str) -> Result<Self, Reason> {
        let at = Located::find(state, exchange, "bind", ticket).await?;
        Ok(Self { at })
    }

    fn binding(&self) -> Binding {
        let login = self.at.channel.login.as_ref();
        // A reload may have taken the login away: then nobody is let in by a word.
        login.map_or(Binding::SameBrowser, |login| login.binding)
    }

    async fn unbound(&self, state: &State) -> Result<Unbound, Reason> {
        let now = state.clock.now();
        let look = |interaction: Option<&crate::interaction::Interaction>| {
            interaction
                .ok_or(Reason::TokenRevoked)?
                .unbound(&self.at.hash, now)
        };
        let clocks = &self.at.channel.clocks;
        state.store.read(&self.at.key, clocks, now, look).await?
    }

    async fn bind(
        &self,
        state: &Arc<State>,
        exchange: &Exchange,
        evidence: Option<Evidence>,
    ) -> Result<Reason, Reason> {
        let now = state.clock.now();
        let clocks = &self.at.channel.clocks;
        let bound = state
            .store
            .update(&self.at.key, clocks, now, |slot| {
                let interaction = slot.as_mut().ok_or(Reason::TokenRevoked)?;
                interaction.bind(&self.at.hash, evidence, clocks, now)
            })
            .await?;
        let (config, channel, key) = (&exchange.config, &self.at.channel, &self.at.key);
        notice::tell_bound(state, config, channel, key, &bound).await;
        let (redeemed, identity) = bound?;
        resume::after_login(state, exchange, channel, key, identity, redeemed, now);
        Ok(Reason::LoginSucceeded)
    }

    async fn disown(&self, state: &Arc<State>, config: &Arc<Config>) -> Result<Reason, Reason> {
        let now = state.clock.now();
        let disown = |slot: &mut Option<crate::interaction::Interaction>| {
            slot.as_mut().ok_or(Reason::TokenRevoked)?.disown(
                &self.at.hash,
                Reason::LoginCancelled,
                now,
            )
        };
        let clocks = &self.at.channel.clocks;
        state
            .store
            .update(&self.at.key, clocks, now, disown)
            .await??;
        let (channel, key) = (&self.at.channel, &self.at.key);
        notice::tell(state, config, channel, key, Ended::Cancel, None).await;
        Ok(Reason::LoginCancelled)
    }
}

/// Tells the log and the metrics, and sends the browser on, so that the ticket leaves
/// the address bar.
pub(super) fn lead_on(
    state: &State,
    exchange: &mut Exchange,
    outcome: Result<Reason, Reason>,
) -> Reply {
    let endpoint = exchange.endpoint.as_ref();
    let channel = endpoint.map_or(String::new(), |(_, channel)| channel.clone());
    outcome::note(state, exchange, "bind", &channel, outcome);
    outcome::lead_on(exchange, &channel, outcome)
}

fn page(style: &Style<'_>, channel: &Channel, unbound: &Unbound, now: Time) -> Reply {
    let Unbound { code, started } = unbound;
    let language = &style.language;
    let say = |name: &str| HtmlEscape(language.say(name)).to_string();
    let ago = match now.since(*started).as_secs() / 60 {
        0 => say("ago-now"),
        1 => say("ago-minute"),
        minutes if minutes < 120 => say("ago-minutes").replace("{n}", &minutes.to_string()),
        minutes => say("ago-hours").replace("{n}", &(minutes / 60).to_string()),
    };
    let text = say("whose-text")
        .replace("{ago}", &ago)
        .replace("{channel}", &format!("<code>{}</code>", channel.name));
    let body = format!(
        "<p>{text}</p><output>{code}</output>\
         <form method=\"post\"><button class=\"main\" name=\"mine\" value=\"yes\">{}</button>\
         <button name=\"mine\" value=\"no\">{}</button></form><p><small>{}</small></p>",
        say("mine"),
        say("not-mine"),
        say("whose-warning"),
    );
    style.asked(StatusCode::OK, language.say("whose"), &body)
}
