//! The login on our own page: it is shown, and what comes back is tried in the directory.
//!
//! Who asks learns the same, in the same time as far as it is ours, whether there is no
//! such customer or the password is another: where nobody was found, the password is
//! tried all the same, under a name that nobody has.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, ORIGIN, RETRY_AFTER, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use pingora::proxy::Session;

use super::super::State;
use super::super::exchange::Exchange;
use super::super::read;
use super::super::respond::Reply;
use super::located::Located;
use super::page::{Style, origin};
use super::{outcome, provider};
use crate::channel::{Channel, Login, LoginForm};
use crate::config::Config;
use crate::directory::{Fault, Ldap, Record};
use crate::interaction::{Identity, Interaction, Level};
use crate::login::LoginToken;
use crate::login::form::look::Look;
use crate::login::form::throttle::Who;
use crate::login::form::{MAX_FORM, Sent, is_sealed, seal};
use crate::message::network;
use crate::reason::Reason;
use crate::secret::{self, Secret};
use crate::telemetry::Id;

/// A login URL that leads to our own page.
pub(super) struct Asked {
    at: Located,
}

impl Asked {
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
            Err(reason) => provider::refuse(exchange, headers, reason),
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
            Ok(outcome) => self.over(state, exchange, outcome),
            Err(Denied { reason, wait }) => {
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
        let form = headers
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok());
        let form = form.and_then(|kind| kind.split(';').next()).map(str::trim);
        let form =
            form.is_some_and(|kind| kind.eq_ignore_ascii_case("application/x-www-form-urlencoded"));
        let browser = provider::cookie(headers, is_secure(config));
        let sealed = |browser| is_sealed(&browser, &self.at.hash, sent.seal());
        form && !foreign(config, headers) && browser.is_some_and(sealed)
    }

    /// Tries name and password. The inner outcome is the login URL's end, the error
    /// leaves it good.
    async fn log_in(
        &self,
        state: &Arc<State>,
        exchange: &mut Exchange,
        name: &str,
        password: Secret,
        address: Who,
    ) -> Result<Result<Reason, Reason>, Denied> {
        let (form, ldap) = self.form().ok_or(Reason::Internal)?;
        if name.is_empty() || password.is_empty() {
            return Err(Reason::LoginCredentials.into());
        }
        let now = state.clock.now();
        let throttle = &state.throttle;
        let customer = Who::name(&self.at.channel.name, name);
        let throttled = |wait| Denied {
            reason: Reason::LoginThrottled,
            wait: Some(wait),
        };
        throttle
            .take(&address, form.per_address, now)
            .map_err(throttled)?;
        let wait = throttle.take(&customer, form.per_name, now);
        wait.map_err(throttled)?;
        let clocks = &self.at.channel.clocks;
        let begun = state
            .store
            .update(&self.at.key, clocks, now, |slot| {
                let interaction = slot.as_mut().ok_or(Reason::TokenRevoked)?;
                interaction.try_login(&self.at.hash, form.max_failures, now)
            })
            .await;
        let (demanded, last) = match begun.and_then(|begun| begun) {
            Ok(begun) => begun,
            Err(reason) => return Ok(Err(reason)),
        };

        let tried = Try {
            state,
            id: exchange.id(),
            form,
            ldap,
            channel: &self.at.channel,
        };
        let mut found = tried.find(name).await;
        let mut counted = vec![(address, form.per_address), (customer, form.per_name)];
        if let Ok(found) = &mut found
            && found.denied.is_none()
        {
            // Directories know more spellings of a name than we do, and more names of a
            // customer. That these are one is told to nobody.
            let entry = Who::Entry((*self.at.channel.name).into(), found.record.name.clone());
            match throttle.take(&entry, form.per_name, now) {
                Ok(()) => counted.push((entry, form.per_name)),
                Err(_) => *found = Found::nobody(form, Reason::LoginCredentials),
            }
        }
        let right = match &found {
            Ok(found) => tried.password(found, password).await,
            Err(reason) => Err(*reason),
        };
        let known = match (&found, right) {
            (Ok(found), Ok(())) => tried.identify(name, &found.record, demanded).await,
            (_, right) => Err(right.err().unwrap_or(Reason::Internal)),
        };
        // Where the directory does not say whether a password is right, it may have been
        // wrong: whoever makes it slow has no more tries than others.
        let ours = found.is_err() || right.is_ok();
        match known {
            Ok(identity) => {
                let redeemed = self.redeem(state, exchange, Ok(identity)).await;
                if redeemed == Err(Reason::RecordUnavailable) {
                    self.untry(state).await?;
                }
                for (who, limit) in &counted {
                    match who {
                        // A record that cannot be read may be this customer's own: who
                        // logs in again and again has no more tries for that than others.
                        Who::Address(_) if redeemed == Err(Reason::RecordUnavailable) => {}
                        Who::Address(_) | Who::Ticket(_) => throttle.give_back(who, *limit),
                        Who::Name(..) | Who::Entry(..) => throttle.forget(who),
                    }
                }
                Ok(redeemed)
            }
            Err(reason @ (Reason::DirectoryUnavailable | Reason::DirectoryError)) if ours => {
                // Nobody's fault but ours.
                for (who, limit) in &counted {
                    throttle.give_back(who, *limit);
                }
                self.untry(state).await?;
                Err(reason.into())
            }
            Err(_) if last => {
                let closed = Err(Reason::LoginFailures);
                Ok(self.redeem(state, exchange, closed).await)
            }
            Err(reason) => Err(reason.into()),
        }
    }

    /// Gives the try back.
    async fn untry(&self, state: &State) -> Result<(), Denied> {
        let untry = |slot: &mut Option<Interaction>| {
            slot.as_mut()
                .map(|interaction| interaction.untry(&self.at.hash))
        };
        let (clocks, now) = (&self.at.channel.clocks, state.clock.now());
        let untried = state.store.update(&self.at.key, clocks, now, untry).await;
        untried.map(|_| ()).map_err(Denied::from)
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
        let secure = is_secure(config);
        let known = provider::cookie(headers, secure);
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
        match provider::set_cookie(&browser, secure) {
            Some(cookie) => reply.with(SET_COOKIE, cookie),
            None => reply,
        }
    }

    fn form(&self) -> Option<(&LoginForm, &Ldap)> {
        let form = self.at.channel.login.as_ref().and_then(Login::form)?;
        Some((form, form.directory.ldap()?))
    }
}

/// Why a try did not succeed, where another one may.
struct Denied {
    reason: Reason,
    /// How long to wait before it.
    wait: Option<Duration>,
}

impl From<Reason> for Denied {
    fn from(reason: Reason) -> Self {
        let later = reason.status() == StatusCode::SERVICE_UNAVAILABLE;
        Self {
            reason,
            wait: later.then_some(Duration::from_secs(4)),
        }
    }
}

/// One try in the directory.
struct Try<'t> {
    state: &'t State,
    id: Id,
    form: &'t LoginForm,
    ldap: &'t Ldap,
    channel: &'t Channel,
}

/// Whose password is tried.
struct Found {
    record: Record,
    /// Why it does not matter whether it is right.
    denied: Option<Reason>,
}

impl Found {
    /// A name that nobody has.
    fn nobody(form: &LoginForm, reason: Reason) -> Self {
        let name = hex::encode(secret::random::<8>());
        Self {
            record: Record {
                name: format!("cn={name},{}", form.base).into(),
                ..Record::default()
            },
            denied: Some(reason),
        }
    }
}

impl Try<'_> {
    /// Whose name this is.
    async fn find(&self, name: &str) -> Result<Found, Reason> {
        let form = self.form;
        let found = match form.filter(name) {
            Ok(filter) => self.search(&form.base, filter, form.attributes()).await,
            Err(fault) => Err(fault),
        };
        match found {
            Ok(Some(record)) => Ok(Found {
                record,
                denied: None,
            }),
            Ok(None) => Ok(Found::nobody(form, Reason::LoginCredentials)),
            Err(Fault::Ambiguous) => {
                self.note(&Fault::Ambiguous);
                Ok(Found::nobody(form, Reason::DirectoryAmbiguous))
            }
            Err(fault) => Err(self.failed(&fault)),
        }
    }

    /// Tries the password.
    async fn password(&self, found: &Found, password: Secret) -> Result<(), Reason> {
        let outbound = &self.state.outbound;
        let bound = self.ldap.bind(outbound, &found.record.name, password).await;
        let bound = bound.map_err(|fault| self.failed(&fault))?;
        match found.denied {
            Some(reason) => Err(reason),
            None if !bound => Err(Reason::LoginCredentials),
            None => Ok(()),
        }
    }

    /// Who it is, whose password was right.
    async fn identify(
        &self,
        name: &str,
        record: &Record,
        demanded: Level,
    ) -> Result<Identity, Reason> {
        let form = self.form;
        if let Some(group) = &form.group {
            let member = match group.filter(name, &record.name) {
                Ok(filter) => self.search(&group.base, filter, Vec::new()).await,
                Err(fault) => Err(fault),
            };
            match member {
                // In two groups is in one.
                Ok(Some(_)) | Err(Fault::Ambiguous) => {}
                Ok(None) => return Err(Reason::LoginGroup),
                Err(fault) => return Err(self.failed(&fault)),
            }
        }
        let identity = form.identity(record, demanded);
        let identity = identity.map_err(|fault| self.failed(&fault))?;
        match identity.level < demanded {
            true => Err(Reason::LoginLevel),
            false => Ok(identity),
        }
    }

    async fn search(
        &self,
        base: &str,
        filter: String,
        attributes: Vec<Box<str>>,
    ) -> Result<Option<Record>, Fault> {
        let outbound = &self.state.outbound;
        self.ldap.find(outbound, base, filter, attributes).await
    }

    fn failed(&self, fault: &Fault) -> Reason {
        self.note(fault);
        match fault {
            Fault::Unavailable(_) => Reason::DirectoryUnavailable,
            Fault::Refused(_) => Reason::DirectoryError,
            Fault::Ambiguous => Reason::DirectoryAmbiguous,
        }
    }

    fn note(&self, fault: &Fault) {
        let (channel, directory) = (&self.channel.name, &self.form.directory.name);
        tracing::warn!(
            request_id = %self.id, %channel, %directory, %fault,
            "a login could not be looked up"
        );
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

fn is_secure(config: &Config) -> bool {
    config.public_url.starts_with("https://")
}
