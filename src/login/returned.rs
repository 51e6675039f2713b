//! What the login page sends back.

use std::time::Duration;

use http::HeaderMap;
use serde_json::{Map, Value};

use super::{LoginToken, SecurityKeys};
use crate::identity::jwt::PinnedKey;
use crate::reason::Reason;
use crate::time::Time;

/// How a login ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The customer logged in.
    Success,
    /// The customer could not log in.
    Failure,
    /// The customer did not want to.
    Cancel,
}

/// A return whose signature, time and channel hold. The token is yet to be redeemed.
#[derive(Debug)]
pub struct Return {
    /// The login token.
    pub token: LoginToken,
    /// How it ended.
    pub outcome: Outcome,
    /// Who it is; always there when the outcome is success.
    pub subject: Option<Box<str>>,
    /// What else the login page says.
    pub claims: Map<String, Value>,
    /// The name of the level the login reached, if the page says.
    pub level: Option<Box<str>>,
}

/// The form of a return, server to server:
/// `{"token":"…","channel":"web","outcome":"success","subject":"alice","claims":{…},"level":"verified"}`,
/// Standard Webhooks signature in the headers. Unknown members are refused by
/// name in the log only; duplicates are refused.
pub fn from_post(
    keys: &SecurityKeys,
    channel: &str,
    headers: &HeaderMap,
    body: &[u8],
    now: Time,
    tolerance: Duration,
) -> Result<Return, Reason> {
    todo!()
}

/// The form of a return by the customer's browser: the parameter `return` with a
/// JWT (HS256 with a security key, or one of the site's `keys`), claims `token`,
/// `channel`, `outcome`, `sub`, `iat`, `exp`, optional `claims` and `level`. No
/// other parameter, none twice. `exp` at most `tolerance` after `iat`.
pub fn from_browser(
    security: &SecurityKeys,
    keys: &[PinnedKey],
    channel: &str,
    query: &str,
    now: Time,
    tolerance: Duration,
) -> Result<Return, Reason> {
    todo!()
}
