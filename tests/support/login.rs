//! The login page's side: reads login URLs, signs returns.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chatgate::login::{SecurityKeys, page, webhook};
use chatgate::time::{Clock, Time};
use serde_json::{Value, json};

use super::browser::{Browser, parameter, path_of};
use super::message::{Answer, Request};

/// The security key of every test channel.
pub const KEY: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// What a messaging platform signs with.
pub const PLATFORM_KEY: &str = "0123456789abcdef0123456789abcdef";

/// The `authentication_*` settings of a test channel, for the head of its table.
pub const LOGIN: &str = r#"
authentication_url = "http://login.example/login"
authentication_security_key = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
"#;

/// A website with a login page.
pub struct Site {
    gateway: SocketAddr,
    clock: Clock,
    keys: SecurityKeys,
}

impl Site {
    /// One that shares [`KEY`] with the gateway at this address.
    pub fn new(gateway: SocketAddr, clock: Clock) -> Self {
        Self {
            gateway,
            clock,
            keys: SecurityKeys::parse([KEY]).unwrap(),
        }
    }

    /// Whether a login URL is the gateway's own.
    pub fn trusts(&self, login_url: &str) -> bool {
        let query = login_url.split_once('?').map_or("", |(_, query)| query);
        page::verify_query(&self.keys, "signature", query)
    }

    /// Logs `subject` in, as a page that was opened by `login_url` does: checks the
    /// URL, posts the signed success. On a channel with `login_binding = "confirm"` the
    /// customer says that it is their chat.
    pub fn log_in(&self, login_url: &str, subject: &str) -> Answer {
        assert!(
            self.trusts(login_url),
            "not signed by the gateway: {login_url}"
        );
        let told = self.post(&self.callback(login_url), &self.success(login_url, subject));
        if told.status == 200
            && let Some(place) = told.json()["continue"].as_str()
        {
            let said = self.send(Request::new("POST", path_of(place)).body("mine=yes"));
            let landed = said.header("location").unwrap_or_default();
            assert!(
                said.status == 303 && !landed.contains("/done/wrong"),
                "{landed}"
            );
        }
        told
    }

    /// Ends the login of `login_url` with `failure` or `cancel`, by a signed return.
    pub fn end(&self, login_url: &str, outcome: &str) -> Answer {
        let members = json!({
            "token": parameter(login_url, "token").expect("a token"),
            "channel": parameter(login_url, "channel").expect("a channel"),
            "outcome": outcome,
        });
        self.post(&self.callback(login_url), &members)
    }

    /// The path that a login page calls back on.
    pub fn callback(&self, login_url: &str) -> String {
        let callback = parameter(login_url, "callback").expect("a callback");
        path_of(&callback).to_owned()
    }

    /// The members of a successful return.
    pub fn success(&self, login_url: &str, subject: &str) -> Value {
        json!({
            "token": parameter(login_url, "token").expect("a token"),
            "channel": parameter(login_url, "channel").expect("a channel"),
            "outcome": "success",
            "subject": subject,
        })
    }

    /// Posts a signed return.
    pub fn post(&self, callback: &str, members: &Value) -> Answer {
        self.send(self.signed(callback, members.to_string().as_bytes()))
    }

    /// A signed return that is yet to be sent.
    pub fn signed(&self, callback: &str, body: &[u8]) -> Request {
        self.signed_at(callback, body, self.clock.now())
    }

    /// The same, signed at another time.
    pub fn signed_at(&self, callback: &str, body: &[u8], at: Time) -> Request {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let id = format!("msg_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut request = Request::new("POST", callback)
            .header("Content-Type", "application/json")
            .body(body);
        for (name, value) in webhook::sign(&self.keys, &id, at, body) {
            request = request.header(name.as_str(), value.to_str().unwrap());
        }
        request
    }

    /// Sends a request to the gateway.
    pub fn send(&self, request: Request) -> Answer {
        Browser::new(self.gateway).send(request)
    }

    /// The claims of a successful return by the customer's browser.
    pub fn claims(&self, login_url: &str, subject: &str) -> Value {
        let now = self.clock.now().secs();
        json!({
            "token": parameter(login_url, "token").expect("a token"),
            "channel": parameter(login_url, "channel").expect("a channel"),
            "outcome": "success",
            "sub": subject,
            "iat": now,
            "exp": now + 60,
        })
    }

    /// An HS256 JWT with the security key.
    pub fn jwt(&self, claims: &Value) -> String {
        jwt(&json!({"alg": "HS256", "typ": "JWT"}), claims, |message| {
            self.keys.sign(message).to_vec()
        })
    }
}

/// A JWT with any header and any signature.
pub fn jwt(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}
