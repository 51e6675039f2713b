//! The channel's login page, and the URL that leads there.

use crate::login::{LoginToken, SecurityKeys};
use crate::time::Time;

/// The names of the parameters that chatgate adds to the authentication URL.
/// A parameter without a name is left out; `token` or `callback` must have one.
#[derive(Clone, Debug)]
pub struct Parameters {
    /// The bare login token.
    pub token: Option<Box<str>>,
    /// The complete callback URL, token included.
    pub callback: Option<Box<str>>,
    /// The channel's name.
    pub channel: Option<Box<str>>,
    /// The interaction's label.
    pub interaction: Option<Box<str>>,
    /// Seconds since the Unix epoch at which the URL was made.
    pub time: Option<Box<str>>,
    /// The demanded level's name.
    pub level: Option<Box<str>>,
    /// The signature; always the last parameter.
    pub signature: Box<str>,
}

/// How an interaction is named on the login page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// A short keyed hash: tells two chats apart and reveals nothing.
    Hash,
    /// The interaction id itself.
    Id,
}

/// Where customers log in.
#[derive(Clone, Debug)]
pub struct LoginPage {
    /// The authentication URL, absolute, `http` or `https`, without fragment.
    pub url: Box<str>,
    /// Parameter names.
    pub parameters: Parameters,
    /// What names the interaction.
    pub label: Label,
}

/// The values in one login URL.
#[derive(Clone, Copy, Debug)]
pub struct LoginUrl<'a> {
    /// The new token.
    pub token: &'a LoginToken,
    /// The callback, without the token: `{public_url}/.chatgate/return/{channel}`.
    pub callback: &'a str,
    /// The channel's name.
    pub channel: &'a str,
    /// The interaction id.
    pub interaction: &'a str,
    /// The demanded level's name.
    pub level: &'a str,
    /// Now.
    pub now: Time,
}

impl LoginPage {
    /// The complete, signed login URL. The signature is the last parameter:
    /// hex of HMAC-SHA256, with the security key, over `login-url:` and the raw
    /// query string before `&signature=`.
    pub fn url(&self, keys: &SecurityKeys, values: &LoginUrl<'_>) -> String {
        todo!()
    }

    /// The label of an interaction.
    pub fn label(&self, keys: &SecurityKeys, channel: &str, interaction: &str) -> String {
        todo!()
    }
}

/// What a login page does with the URL it was called by: whether the signature in
/// the raw query holds. `chatgate` itself needs it for tests and the demo.
pub fn verify_query(keys: &SecurityKeys, parameter: &str, query: &str) -> bool {
    todo!()
}
