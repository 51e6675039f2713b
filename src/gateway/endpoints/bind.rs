//! Whose chat a login is for: the last step of a login on channels with
//! `login_binding`. The browser that logged in comes here with a ticket. It brings the
//! owner's evidence, or the customer is shown what is about to be bound and asked.

use std::sync::Arc;

use bytes::BytesMut;
use pingora::proxy::Session;

use super::super::State;
use super::super::exchange::Exchange;
use super::super::respond::{self, Reply};
use super::super::resume;
use super::resumed::evidence;
use super::{form, outcome};
use crate::channel::{Binding, Channel};
use crate::config::Config;
use crate::interaction::{Evidence, Key, TokenHash, Unbound};
use crate::login::LoginToken;
use crate::reason::Reason;
use crate::time::Time;

/// Longest answer to the page that is read.
const MAX_ANSWER: usize = 1 << 10;

/// A ticket for a login on this channel, where one is needed.
pub(super) fn ticket(channel: &Channel) -> Option<LoginToken> {
    let binding = channel.login.as_ref()?.binding;
    (binding != Binding::Off).then(LoginToken::generate)
}

/// Where the browser goes with it.
pub(super) fn url(config: &Config, ticket: &LoginToken) -> String {
    let Config {
        public_url,
        endpoints,
        ..
    } = config;
    format!("{public_url}{endpoints}/bind/{}", ticket.expose())
}

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
            Binding::Confirm => match bound.unbound(state).await {
                Ok(unbound) => {
                    exchange.reason = Reason::LoginUnbound;
                    let login = bound.channel.login.as_ref();
                    let place = login.and_then(|login| login.return_to.as_deref());
                    let page = page(&bound.channel, &unbound, state.clock.now());
                    return Reply::form(page, place);
                }
                Err(reason) => Err(reason),
            },
            Binding::SameBrowser | Binding::Off => {
                let shown = evidence(&bound.channel, &headers);
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
    respond::go_on(session).await?;
    let mut body = BytesMut::new();
    while let Some(chunk) = session.read_request_body().await? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Ok(lead_on(state, exchange, Err(Reason::BadBody)));
        }
        body.extend_from_slice(&chunk);
    }
    let foreign = form::foreign(&exchange.config, &session.req_header().headers);
    let outcome = match Bound::find(state, exchange, ticket).await {
        Ok(bound) if bound.binding() == Binding::Confirm && !foreign => {
            match &*String::from_utf8_lossy(&body) {
                "mine=yes" => bound.bind(state, exchange, None).await,
                "mine=no" => bound.disown(state).await,
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
    ticket: TokenHash,
    key: Key,
    channel: Arc<Channel>,
}

impl Bound {
    async fn find(state: &State, exchange: &mut Exchange, ticket: &str) -> Result<Self, Reason> {
        let ticket = LoginToken::parse(ticket)
            .ok_or(Reason::TokenUnknown)?
            .hash();
        let key = state.store.locate(&ticket).await?;
        let channel = exchange.config.channel(key.channel()).cloned();
        let channel = channel.ok_or(Reason::TokenUnknown)?;
        exchange.endpoint = Some(("bind", channel.name.to_string()));
        exchange.key = Some(key.clone());
        Ok(Self {
            ticket,
            key,
            channel,
        })
    }

    fn binding(&self) -> Binding {
        let login = self.channel.login.as_ref();
        // A reload may have taken the login away: then nobody is let in by a word.
        login.map_or(Binding::SameBrowser, |login| login.binding)
    }

    async fn unbound(&self, state: &State) -> Result<Unbound, Reason> {
        let now = state.clock.now();
        let look = |interaction: Option<&crate::interaction::Interaction>| {
            interaction
                .ok_or(Reason::TokenRevoked)?
                .unbound(&self.ticket, now)
        };
        let clocks = &self.channel.clocks;
        state.store.read(&self.key, clocks, now, look).await?
    }

    async fn bind(
        &self,
        state: &Arc<State>,
        exchange: &Exchange,
        evidence: Option<Evidence>,
    ) -> Result<Reason, Reason> {
        let now = state.clock.now();
        let clocks = &self.channel.clocks;
        let (redeemed, identity) = state
            .store
            .update(&self.key, clocks, now, |slot| {
                let interaction = slot.as_mut().ok_or(Reason::TokenRevoked)?;
                interaction.bind(&self.ticket, evidence, clocks, now)
            })
            .await??;
        resume::after_login(
            state,
            &exchange.config,
            &self.channel,
            &self.key,
            identity,
            redeemed,
            now,
        );
        Ok(Reason::LoginSucceeded)
    }

    async fn disown(&self, state: &State) -> Result<Reason, Reason> {
        let now = state.clock.now();
        let disown = |slot: &mut Option<crate::interaction::Interaction>| {
            slot.as_mut()
                .ok_or(Reason::TokenRevoked)?
                .disown(&self.ticket, now)
        };
        let clocks = &self.channel.clocks;
        state.store.update(&self.key, clocks, now, disown).await??;
        Ok(Reason::LoginCancelled)
    }
}

/// Tells the log and the metrics, and sends the browser on, so that the ticket leaves
/// the address bar.
fn lead_on(state: &State, exchange: &mut Exchange, outcome: Result<Reason, Reason>) -> Reply {
    let endpoint = exchange.endpoint.as_ref();
    let channel = endpoint.map_or(String::new(), |(_, channel)| channel.clone());
    outcome::note(state, exchange, "bind", &channel, outcome);
    outcome::lead_on(exchange, &channel, outcome)
}

fn page(channel: &Channel, unbound: &Unbound, now: Time) -> String {
    let name = &channel.name;
    let Unbound { code, started } = unbound;
    let ago = match now.since(*started).as_secs() / 60 {
        0 => "less than a minute ago".to_owned(),
        1 => "a minute ago".to_owned(),
        minutes if minutes < 120 => format!("{minutes} minutes ago"),
        minutes => format!("{} hours ago", minutes / 60),
    };
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>Is this your chat?</title>\
         <style>body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:15vh auto;padding:0 1rem;text-align:center}}\
         output{{display:block;font:2rem monospace;letter-spacing:.2em;margin:1rem}}\
         button{{font:inherit;padding:.5rem 1rem;margin:.25rem}}small{{color:#666}}</style></head>\
         <body><main><h1>Is this your chat?</h1>\
         <p>You are about to log in to the chat that began {ago} (<code>{name}</code>). \
         It shows this code beside the login link:</p>\
         <output>{code}</output>\
         <form method=\"post\"><button name=\"mine\" value=\"yes\">Yes, this is my chat</button>\
         <button name=\"mine\" value=\"no\">No, somebody sent me the link</button></form>\
         <p><small>If the code is another one, or you have no chat open, choose No: \
         whoever sent you the link would see what is yours.</small></p></main></body></html>"
    )
}
