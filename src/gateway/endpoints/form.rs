//! The login on our own page: it is shown, and what comes back is tried in the directory.
//!
//! Who asks learns the same, in the same time as far as it is ours, whether there is no
//! such customer or the password is another: where nobody was found, the password is
//! tried all the same, under a name that nobody has.

mod tries;

use std::sync::Arc;
use std::time::Duration;

use http::header::{ORIGIN, RETRY_AFTER, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use pingora::proxy::Session;

use super::super::State;
use super::super::exchange::Exchange;
use super::super::read;
use super::super::respond::Reply;
use super::located::Located;
use super::page::{Style, origin};
use super::{browser, outcome};
use crate::channel::{Login, LoginForm};
use crate::config::Config;
use crate::directory::Ldap;
use crate::interaction::{Identity, Interaction};
use crate::login::LoginToken;
use crate::login::form::look::Look;
use crate::login::form::throttle::Who;
use crate::login::form::{MAX_FORM, Sent, is_sealed, seal};
use crate::message::network;
use crate::reason::Reason;
use crate::secret::Secret;
use tries::{Failed, Taken, Try};

/// A login URL that leads to our own page.
pub(super) struct FormLogin {
    at: Located,
}

impl FormLogin {
    /// A login URL of a channel with such a page; any other is given back.
    pub(super) fn new(at: Located) -> Result<Self, Located> {
        match at.channel.login.as_ref().and_then(Login::form) {
            Some(_) => Ok(Self { at }),
            None => Err(at),
        }
    }

    /// Shows the page. Whoever only looks changes nothing.
    pub(super) async fn show(
        &self,
        state: &State,
        exchange: &mut Exchange,
        headers: &HeaderMap,
    ) -> Reply {
        let now = state.clock.now();
        let clocks = &self.at.channel.clocks;
        let look = |interaction: Option<&Interaction>| {
            let interaction = interaction.ok_or(Reason::TokenRevoked)?;
            interaction.open(&self.at.hash, now)
        };
        let open = state.store.read(&self.at.key, clocks, now, look).await;
        match open.and_then(|open| open) {
            Ok(_) => self.page(exchange, headers, "", None),
            Err(reason) => outcome::refuse(exchange, headers, reason),
        }
    }

    /// Takes what the customer sent.
    pub(super) async fn take(
        &self,
        state: &Arc<State>,
        session: &mut Session,
        exchange: &mut Exchange,
    ) -> pingora::Result<Reply> {
        let Some(body) = read::own_body(session, exchange, MAX_FORM).await? else {
            return Ok(self.over(state, exchange, Err(Reason::BadBody)));
        };
        let headers = session.req_header().headers.clone();
        let Some(sent) = Sent::read(&body) else {
            return Ok(self.over(state, exchange, Err(Reason::BadBody)));
        };
        if !self.is_ours(&exchange.config, &headers, &sent) {
            let name = match &sent {
                Sent::Credentials { name, .. } => name,
                Sent::Cancelled { .. } => "",
            };
            return Ok(self.again(state, exchange, &headers, name, Reason::LoginForged));
        }
        let peer = session.client_addr().and_then(|address| address.as_inet());
        let peer = peer.map_or([0, 0, 0, 0].into(), |address| address.ip());
        let client = network::client(peer, &headers, &exchange.config.trusted_proxies);
        let (name, password) = match sent {
            Sent::Cancelled { .. } => {
                let denied = Err(Reason::LoginCancelled);
                let outcome = self.redeem(state, exchange, denied).await;
                return Ok(self.over(state, exchange, outcome));
            }
            Sent::Credentials { name, password, .. } => (name, password),
        };
        let tried = self
            .log_in(state, exchange, &name, password, Who::address(client))
            .await;
        Ok(match tried {
            Tried::Over(outcome) => self.over(state, exchange, outcome),
            Tried::Denied(reason, wait) => {
                let reply = self.again(state, exchange, &headers, &name, reason);
                let wait = wait.map(|wait| wait.as_secs() + 1);
                match wait.map(HeaderValue::from) {
                    Some(wait) => reply.with(RETRY_AFTER, wait),
                    None => reply,
                }
            }
        })
    }

    /// Whether the form comes from the page, in the browser that it was made for.
    fn is_ours(&self, config: &Config, headers: &HeaderMap, sent: &Sent) -> bool {
        let browser = browser::known(config, headers);
        let sealed = |browser| is_sealed(&browser, &self.at.hash, sent.seal());
        read::is_form(headers) && !foreign(config, headers) && browser.is_some_and(sealed)
    }

    /// Tries name and password.
    async fn log_in(
        &self,
        state: &Arc<State>,
        exchange: &mut Exchange,
        name: &str,
        password: Secret,
        address: Who,
    ) -> Tried {
        let Some((form, ldap)) = self.form() else {
            return Reason::Internal.into();
        };
        if name.is_empty() || password.is_empty() {
            return Reason::LoginCredentials.into();
        }
        let now = state.clock.now();
        let customer = Who::name(&self.at.channel.name, name);
        let mut taken = Taken::new(&state.throttle, now);
        for (who, limit) in [(address, form.per_address), (customer, form.per_name)] {
            if let Err(wait) = taken.take(who, limit) {
                return Tried::Denied(Reason::LoginThrottled, Some(wait));
            }
        }
        let clocks = &self.at.channel.clocks;
        let begun = state.store.update(&self.at.key, clocks, now, |slot| {
            let interaction = slot.as_mut().ok_or(Reason::TokenRevoked)?;
            interaction.try_login(&self.at.hash, form.max_failures, now)
        });
        let (demanded, last) = match begun.await.and_then(|begun| begun) {
            Ok(begun) => begun,
            Err(reason) => return Tried::Over(Err(reason)),
        };
        let attempt = Try {
            state,
            id: exchange.id(),
            form,
            ldap,
            channel: &self.at.channel,
        };
        match attempt.run(name, password, demanded, &mut taken).await {
            Ok(identity) => self.succeed(state, exchange, identity, taken).await,
            Err(Failed { reason, ours: true }) => {
                taken.give_back();
                let untried = self.untry(state).await;
                untried.err().unwrap_or(reason).into()
            }
            Err(_) if last => {
                let closed = Err(Reason::LoginFailures);
                Tried::Over(self.redeem(state, exchange, closed).await)
            }
            Err(Failed { reason, .. }) => reason.into(),
        }
    }

    /// The password was right.
    async fn succeed(
        &self,
        state: &Arc<State>,
        exchange: &mut Exchange,
        identity: Identity,
        taken: Taken<'_>,
    ) -> Tried {
        let redeemed = self.redeem(state, exchange, Ok(identity)).await;
        let unread = redeemed == Err(Reason::RecordUnavailable);
        if unread && let Err(reason) = self.untry(state).await {
            return reason.into();
        }
        taken.succeeded(unread);
        Tried::Over(redeemed)
    }

    /// Gives the try back.
    async fn untry(&self, state: &State) -> Result<(), Reason> {
        let untry = |slot: &mut Option<Interaction>| {
            slot.as_mut()
                .map(|interaction| interaction.untry(&self.at.hash))
        };
        let (clocks, now) = (&self.at.channel.clocks, state.clock.now());
        let untried = state.store.update(&self.at.key, clocks, now, untry).await;
        untried.map(|_| ())
    }

    async fn redeem(
        &self,
        state: &Arc<State>,
        exchange: &mut Exchange,
        login: Result<Identity, Reason>,
    ) -> Result<Reason, Reason> {
        let login = |_| login.clone();
        outcome::redeem(state, exchange, &self.at.channel, self.at.hash, login).await
    }

    /// The end of the login URL, or of nothing: the browser is sent on.
    fn over(
        &self,
        state: &State,
        exchange: &mut Exchange,
        outcome: Result<Reason, Reason>,
    ) -> Reply {
        outcome::note(state, exchange, "login", &self.at.channel.name, outcome);
        outcome::lead_on(exchange, &self.at.channel.name, outcome)
    }

    /// The page again, with what was wrong.
    fn again(
        &self,
        state: &State,
        exchange: &mut Exchange,
        headers: &HeaderMap,
        name: &str,
        reason: Reason,
    ) -> Reply {
        outcome::note(state, exchange, "login", &self.at.channel.name, Err(reason));
        self.page(exchange, headers, name, Some(reason))
    }

    fn page(
        &self,
        exchange: &Exchange,
        headers: &HeaderMap,
        name: &str,
        wrong: Option<Reason>,
    ) -> Reply {
        let config = &exchange.config;
        let known = browser::known(config, headers);
        let browser = known.unwrap_or_else(LoginToken::generate);
        let style = Style::of(config, &self.at.channel.name, headers);
        let language = &*style.language;
        let seal = seal(&browser, &self.at.hash);
        let body = Look::form(language, &seal, name, wrong.map(notice));
        let status = match wrong {
            None => StatusCode::OK,
            // Whose name has two records is told to nobody.
            Some(Reason::DirectoryAmbiguous) => Reason::LoginCredentials.status(),
            Some(reason) => reason.status(),
        };
        let reply = style.asked(status, language.say("log-in"), &body);
        match browser::cookie(config, &browser) {
            Some(cookie) => reply.with(SET_COOKIE, cookie),
            None => reply,
        }
    }

    fn form(&self) -> Option<(&LoginForm, &Ldap)> {
        let form = self.at.channel.login.as_ref().and_then(Login::form)?;
        Some((form, form.directory.ldap()?))
    }
}

/// What came of a try.
enum Tried {
    /// The login URL has come to its end, and how.
    Over(Result<Reason, Reason>),
    /// It may be tried again, after so long where there is a wait.
    Denied(Reason, Option<Duration>),
}

impl From<Reason> for Tried {
    fn from(reason: Reason) -> Self {
        let later = reason.status() == StatusCode::SERVICE_UNAVAILABLE;
        Self::Denied(reason, later.then_some(Duration::from_secs(4)))
    }
}

/// What a customer is told of it.
fn notice(reason: Reason) -> &'static str {
    match reason {
        Reason::LoginThrottled => "throttled",
        Reason::LoginForged => "stale",
        Reason::LoginGroup | Reason::LoginLevel => "not-allowed",
        Reason::DirectoryUnavailable | Reason::DirectoryError | Reason::Internal => "unavailable",
        _ => "wrong",
    }
}

/// Whether a page of another site sent a form: browsers tell of one or the other, and
/// newer ones of both.
pub(super) fn foreign(config: &Config, headers: &HeaderMap) -> bool {
    let own = origin(&config.public_url).unwrap_or_default();
    let other = |value: &HeaderValue| !value.as_bytes().eq_ignore_ascii_case(own.as_bytes());
    let cross = |value: &HeaderValue| value != "same-origin";
    headers.get_all(ORIGIN).iter().any(other) || headers.get_all("sec-fetch-site").iter().any(cross)
}
