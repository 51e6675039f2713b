//! Looks the website's own session up at the website.

use std::time::Duration;

/// A verifier by session cookie.
#[derive(Debug)]
pub struct Session {
    /// The website's session cookie; sent on, alone, as `Cookie`.
    pub cookie: Box<str>,
    /// Asked with GET; a 2xx JSON object is the claims, 401/403/404 an unknown session.
    pub url: Box<str>,
    /// The claim with the subject.
    pub subject: Box<str>,
    /// How long an answer counts; also a refusal, but at most 5 s.
    pub cache: Duration,
    /// How long the website may take.
    pub timeout: Duration,
}

/// Look-ups by channel, URL and SHA-256 of the cookie; concurrent ones become one.
#[derive(Debug, Default)]
pub struct SessionCache {
    _todo: (),
}
