//! The sample website: its front page with the chat, its session, its login page.
//!
//! The login page serves two ways in. Called plainly it opens a session of the
//! website, which chatgate looks up when a chat begins. Called by a login URL of
//! chatgate's it checks the URL's signature and sends the outcome back, signed.
//!
//! Towards a bot that answers by webhooks it is the client: see [`inbox`](super::inbox).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_SECURITY_POLICY, HOST, ORIGIN, SET_COOKIE};
use http::{HeaderValue, Method, Request, StatusCode};
use minijinja::{Environment, context};
use serde_json::json;

use super::inbox::Inboxes;
use super::logins::{Login, Place, of_channel};
use super::recent::Recent;
use super::server::{self, Page, Site};
use crate::config::Config;
use crate::login::{Outcome, SecurityKeys, page};
use crate::message::header::cookies;
use crate::message::target::pairs;
use crate::secret::{Secret, random};
use crate::time::Clock;

/// Scripts and styles of our own, and nothing from anywhere else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// The website's session cookie.
const SESSION: &str = "sid";
/// Wrong passwords after which a login URL is sent back as failed.
const ATTEMPTS: u8 = 3;

/// Someone with an account.
struct Customer {
    id: &'static str,
    name: &'static str,
    password: &'static str,
}

const CUSTOMERS: &[Customer] = &[
    Customer {
        id: "alice",
        name: "Alice",
        password: "wonderland",
    },
    Customer {
        id: "bob",
        name: "Bob",
        password: "builder",
    },
];

/// What the website knows of the gateway in front of it.
pub struct Setting {
    /// Where browsers find both.
    pub public_url: String,
    /// Where outcomes of logins go.
    pub return_url: String,
    /// The channel's name.
    pub channel: String,
    /// Shared with the channel.
    pub keys: SecurityKeys,
    /// How long a login counts; shown.
    pub authentication_timeout: Duration,
    /// How long a login URL lives; shown.
    pub token_ttl: Duration,
}

impl Setting {
    /// What the configuration says of a channel; `None` unless it has a login and both clocks.
    pub fn of(config: &Config, channel: &str) -> Option<Self> {
        let known = config.channel(channel)?;
        Some(Self {
            public_url: config.public_url.to_string(),
            return_url: config.own_url("/return/", channel),
            channel: channel.to_owned(),
            keys: known.login.as_ref()?.page()?.keys.clone(),
            authentication_timeout: known.clocks.authentication_timeout?,
            token_ttl: known.clocks.token_ttl?,
        })
    }
}

/// The website.
pub struct Website {
    setting: Setting,
    clock: Clock,
    templates: Environment<'static>,
    sessions: Mutex<Recent<&'static Customer, 1000>>,
    attempts: Mutex<Recent<u8, 1000>>,
    inboxes: Inboxes,
    /// Where customers can log in beside this website, as long as it runs.
    logins: Vec<Login>,
}

impl Website {
    /// A website without visitors yet.
    pub fn new(
        setting: Setting,
        clock: Clock,
        logins: Vec<Login>,
    ) -> Result<Self, minijinja::Error> {
        let mut templates = Environment::new();
        templates.add_template("front.html", include_str!("pages/front.html"))?;
        templates.add_template("login.html", include_str!("pages/login.html"))?;
        Ok(Self {
            setting,
            clock,
            templates,
            sessions: Mutex::default(),
            attempts: Mutex::default(),
            inboxes: Inboxes::default(),
            logins,
        })
    }

    fn front(&self, request: &Request<Bytes>) -> Page {
        let customer = self.visitor(request);
        let mut page = self.html(
            StatusCode::OK,
            "front.html",
            context! {
                customer => customer.map_or("", |customer| customer.id),
                name => customer.map(|customer| customer.name),
                public_url => &self.setting.public_url,
                authentication_timeout => spoken(self.setting.authentication_timeout),
                token_ttl => spoken(self.setting.token_ttl),
                logins => Place::ALL.map(|place| context! {
                    channel => place.channel(),
                    wants => (!self.logins.iter().any(|login| login.place == place)).then(|| place.wants()),
                }),
            },
        );
        if customer.is_none() && session(request).is_some() {
            // A session of an earlier run: chatgate would rightly refuse it.
            set_session(&mut page, None);
        }
        page
    }

    fn session(&self, request: &Request<Bytes>) -> Page {
        match self.visitor(request) {
            Some(customer) => server::json(
                StatusCode::OK,
                &json!({ "sub": customer.id, "name": customer.name }),
            ),
            None => server::json(StatusCode::UNAUTHORIZED, &json!({ "error": "no-session" })),
        }
    }

    fn show_login(&self, request: &Request<Bytes>) -> Page {
        match self.asked(request) {
            Ok(login) => self.form(StatusCode::OK, login.as_ref(), None),
            Err(refusal) => *refusal,
        }
    }

    fn log_in(&self, request: &Request<Bytes>) -> Page {
        if !self.is_ours(request) {
            return server::text(StatusCode::FORBIDDEN, "This form belongs to another page.");
        }
        let login = match self.asked(request) {
            Ok(login) => login,
            Err(refusal) => return *refusal,
        };
        let form = String::from_utf8_lossy(request.body());
        let form = pairs(&form);
        let field = |name| {
            form.iter()
                .find(|(known, _)| known == name)
                .map_or("", |(_, value)| value.as_str())
        };
        if field("action") == "cancel" {
            return self.leave(login.as_ref(), Outcome::Cancel, None);
        }
        let known = CUSTOMERS.iter().find(|customer| {
            customer.id == field("username").trim()
                && Secret::new(customer.password).matches(field("password").as_bytes())
        });
        match known {
            Some(customer) => self.leave(login.as_ref(), Outcome::Success, Some(customer)),
            None if self.exhausted(login.as_ref()) => {
                self.leave(login.as_ref(), Outcome::Failure, None)
            }
            None => self.form(
                StatusCode::FORBIDDEN,
                login.as_ref(),
                Some("That is not the right user name and password."),
            ),
        }
    }

    fn log_out(&self, request: &Request<Bytes>) -> Page {
        if !self.is_ours(request) {
            return server::text(StatusCode::FORBIDDEN, "This form belongs to another page.");
        }
        if let Some(id) = session(request) {
            lock(&self.sessions).remove(id);
        }
        let mut page = server::see_other("/");
        set_session(&mut page, None);
        page
    }

    /// What the login page is called for: `None` for the website itself. A login
    /// URL that chatgate did not sign is refused.
    fn asked(&self, request: &Request<Bytes>) -> Result<Option<Asked>, Box<Page>> {
        let Some(query) = request.uri().query().filter(|query| !query.is_empty()) else {
            return Ok(None);
        };
        let refused = || {
            Box::new(self.form(
                StatusCode::BAD_REQUEST,
                None,
                Some("That login link is not one of ours, or it was damaged on the way."),
            ))
        };
        if !page::verify_query(&self.setting.keys, "signature", query) {
            return Err(refused());
        }
        let parameters = pairs(query);
        let find = |name| {
            let found = parameters.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone()).ok_or_else(refused)
        };
        if find("channel")? != self.setting.channel {
            return Err(refused());
        }
        Ok(Some(Asked {
            query: query.to_owned(),
            token: find("token")?,
            level: find("level")?,
        }))
    }

    fn exhausted(&self, login: Option<&Asked>) -> bool {
        let Some(login) = login else {
            return false;
        };
        let mut attempts = lock(&self.attempts);
        let wrong = attempts.entry(&login.token);
        *wrong = wrong.saturating_add(1);
        *wrong >= ATTEMPTS
    }

    /// The way on from the login page: back to chatgate, or to the front page.
    fn leave(
        &self,
        login: Option<&Asked>,
        outcome: Outcome,
        customer: Option<&'static Customer>,
    ) -> Page {
        if let Some(login) = login {
            return match self.signed(login, outcome, customer) {
                Some(token) => {
                    server::see_other(&format!("{}?return={token}", self.setting.return_url))
                }
                None => server::text(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "The login could not be signed.",
                ),
            };
        }
        let mut page = server::see_other("/");
        if let Some(customer) = customer {
            let id = hex::encode(random::<32>());
            set_session(&mut page, Some(&id));
            lock(&self.sessions).insert(id, customer);
        }
        page
    }

    /// The outcome as the JWT that chatgate expects of a browser.
    fn signed(
        &self,
        login: &Asked,
        outcome: Outcome,
        customer: Option<&Customer>,
    ) -> Option<String> {
        let now = self.clock.now().secs();
        let mut claims = json!({
            "token": login.token,
            "channel": self.setting.channel,
            "outcome": match outcome {
                Outcome::Success => "success",
                Outcome::Failure => "failure",
                Outcome::Cancel => "cancel",
            },
            "iat": now,
            "exp": now + 60,
        });
        if let Some(customer) = customer {
            claims["sub"] = json!(customer.id);
            claims["claims"] = json!({ "name": customer.name });
            claims["level"] = json!(login.level);
        }
        let key = self.setting.keys.iter().next()?;
        let key = jsonwebtoken::EncodingKey::from_secret(key.expose());
        jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).ok()
    }

    fn form(&self, status: StatusCode, login: Option<&Asked>, wrong: Option<&str>) -> Page {
        let action = login.map_or("/login".to_owned(), |login| {
            format!("/login?{}", login.query)
        });
        let values = context! { action, chat => login.is_some(), wrong };
        self.html(status, "login.html", values)
    }

    fn html(&self, status: StatusCode, name: &str, values: minijinja::Value) -> Page {
        let body = self
            .templates
            .get_template(name)
            .and_then(|template| template.render(values));
        let Ok(body) = body else {
            return server::text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "The page could not be made.",
            );
        };
        let mut page = server::page(status, "text/html; charset=utf-8", body);
        page.headers_mut()
            .insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        page
    }

    fn visitor(&self, request: &Request<Bytes>) -> Option<&'static Customer> {
        lock(&self.sessions).find(session(request)?).copied()
    }

    /// Whether a form came from a page of ours. Browsers say where it came from;
    /// what says nothing is no browser and carries nobody's cookies unasked.
    fn is_ours(&self, request: &Request<Bytes>) -> bool {
        if let Some(site) = request.headers().get("sec-fetch-site") {
            return site == "same-origin" || site == "none";
        }
        match request.headers().get(ORIGIN) {
            Some(origin) => origin == self.setting.public_url.as_str(),
            None => true,
        }
    }

    /// Cookies belong to one host name; `localhost` is another one than ours.
    fn elsewhere(&self, request: &Request<Bytes>) -> Option<Page> {
        let host = request.headers().get(HOST)?.to_str().ok()?;
        let path = request.uri().path_and_query()?;
        (request.method() == Method::GET && host.starts_with("localhost"))
            .then(|| server::see_other(&format!("{}{path}", self.setting.public_url)))
    }
}

impl Site for Website {
    fn answer(&self, request: &Request<Bytes>) -> Page {
        if let Some(page) = self.elsewhere(request) {
            return page;
        }
        let (method, uri) = (request.method(), request.uri());
        let (_, path) = of_channel(uri.path());
        if let (&Method::GET, Some(key)) = (method, uri.path().strip_prefix("/client/inbox/")) {
            return self.inboxes.read(key, uri.query().unwrap_or_default());
        }
        match (method, uri.path()) {
            (&Method::POST, "/client/inbox") => self.inboxes.open(request.body()),
            (&Method::POST, _) if path == "/client/messages" => {
                self.inboxes.deliver(request.body())
            }
            (&Method::GET, "/") => self.front(request),
            (&Method::GET, "/login") => self.show_login(request),
            (&Method::POST, "/login") => self.log_in(request),
            (&Method::POST, "/logout") => self.log_out(request),
            (&Method::GET, "/session") => self.session(request),
            (&Method::GET, "/demo.css") => {
                let style = include_str!("pages/demo.css");
                server::page(StatusCode::OK, "text/css; charset=utf-8", style)
            }
            (&Method::GET, "/demo.js") => {
                let script = include_str!("pages/demo.js");
                server::page(StatusCode::OK, "text/javascript; charset=utf-8", script)
            }
            (&Method::GET, "/icon.svg") => {
                let icon = include_str!("pages/icon.svg");
                server::page(StatusCode::OK, "image/svg+xml", icon)
            }
            _ => server::text(StatusCode::NOT_FOUND, "Not found."),
        }
    }
}

/// What a login URL of chatgate's asks for.
struct Asked {
    query: String,
    token: String,
    level: String,
}

fn session(request: &Request<Bytes>) -> Option<&str> {
    cookies(request.headers(), SESSION).next()
}

fn set_session(page: &mut Page, id: Option<&str>) {
    let cookie = match id {
        Some(id) => format!("{SESSION}={id}; Path=/; HttpOnly; SameSite=Lax"),
        None => format!("{SESSION}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"),
    };
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        page.headers_mut().insert(SET_COOKIE, cookie);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A span as people say it.
fn spoken(span: Duration) -> String {
    let secs = span.as_secs();
    match (secs % 60, secs / 60) {
        (0, 1) => "1 minute".to_owned(),
        (0, minutes) if minutes > 0 => format!("{minutes} minutes"),
        _ => format!("{secs} seconds"),
    }
}

#[cfg(test)]
mod tests;
