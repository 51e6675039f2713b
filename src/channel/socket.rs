//! Which WebSockets a channel lets in, and what happens on an open one.

use std::time::Duration;

use http::header::ORIGIN;
use http::{HeaderMap, HeaderValue};

use super::template::{ChallengeTemplate, JsonTemplate};
use crate::message::websocket::Close;

/// The WebSockets of a channel's `message` routes.
#[derive(Debug)]
pub struct Socket {
    /// Origins of websites that may open one, as a browser writes them; `*` alone
    /// allows any.
    pub origins: Vec<HeaderValue>,
    /// Longest message that is read, in bytes.
    pub max_message: usize,
    /// What happens when the login counts no more.
    pub lapse: Lapse,
    /// What the customer gets in place of a withheld message, where that is another
    /// challenge than in place of an answer.
    pub challenge: Option<ChallengeTemplate>,
    /// What the customer gets to read after a login.
    pub on_login: Option<JsonTemplate>,
    /// How often both ends are asked whether they are there.
    pub ping: Duration,
}

/// What happens when the login of an open socket runs out or is taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lapse {
    /// The customer goes on as an anonymous one.
    Anonymous,
    /// The socket is closed.
    Close(Close),
}

/// The variables of the `on_login` template.
pub const LOGIN_NAMES: &[&str] = &[
    "channel",
    "interaction",
    "subject",
    "level",
    "claims",
    "login_time",
];

impl Socket {
    /// Whether this handshake may come from where it says. Without `Origin` it
    /// comes from no browser, which is what the check is about.
    pub fn admits(&self, headers: &HeaderMap) -> bool {
        let mut origins = headers.get_all(ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) => true,
            (Some(origin), None) => self
                .origins
                .iter()
                .any(|allowed| allowed == "*" || allowed == origin),
            (Some(_), Some(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(origins: &[&'static str]) -> Socket {
        Socket {
            origins: origins
                .iter()
                .map(|o| HeaderValue::from_static(o))
                .collect(),
            max_message: 1,
            lapse: Lapse::Anonymous,
            challenge: None,
            on_login: None,
            ping: Duration::from_secs(30),
        }
    }

    fn from(origins: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for origin in origins {
            headers.append(ORIGIN, HeaderValue::from_static(origin));
        }
        headers
    }

    #[test]
    fn only_named_websites_open_sockets() {
        let own = socket(&["https://www.example.com"]);
        assert!(own.admits(&from(&["https://www.example.com"])));
        assert!(own.admits(&from(&[])), "no browser");
        for foreign in [
            &["https://evil.example"][..],
            &["null"],
            &[""],
            &["http://www.example.com"],
            &["https://www.example.com.evil.example"],
            &["https://www.example.com", "https://evil.example"],
            &["https://www.example.com", "https://www.example.com"],
        ] {
            assert!(!own.admits(&from(foreign)), "{foreign:?}");
        }
        assert!(socket(&["*"]).admits(&from(&["https://evil.example"])));
    }
}
