//! What the login page sends back.
//!
//! Two forms with the same members: a signed POST from server to server, and a
//! JWT that the customer's browser carries. Both are read as strictly as can be:
//! the page knows what to send, and whatever else arrives is a mistake or an attack.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use jsonwebtoken::{Algorithm, crypto};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{LoginToken, SecurityKeys, webhook};
use crate::identity::jwt::PinnedKey;
use crate::message::json::Json;
use crate::reason::Reason;
use crate::time::Time;

/// Longest return that is read, in bytes: of a body, and of a query.
pub const MAX_LEN: usize = 16 << 10;
/// The query parameter of a callback URL that holds the login token.
pub const TOKEN: &str = "token";
/// The query parameter that a browser's return adds to the callback URL.
pub const RETURN: &str = "return";

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
pub struct Return {
    /// What makes it the same return when it comes again: the id of a POST, the hash of
    /// what is signed of a JWT.
    pub id: Box<str>,
    /// The login token.
    pub token: LoginToken,
    /// How it ended.
    pub outcome: Outcome,
    /// Who it is; always there when the outcome is success. Neither empty nor
    /// longer than 1024 bytes, and without controls.
    pub subject: Option<Box<str>>,
    /// What else the login page says.
    pub claims: Map<String, Value>,
    /// The name of the level the login reached, if the page says.
    pub level: Option<Box<str>>,
}

/// Why a return does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What its sender is told.
    pub reason: Reason,
    /// What in it cannot be read, for the log: there the page's author finds what nobody
    /// outside is told.
    pub problem: Option<Problem>,
}

/// What cannot be read of a return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub what: &'static str,
    /// Where: the name of a member or parameter, at most 64 characters, of which any can
    /// be a control.
    pub name: Box<str>,
}

/// The form of a return, server to server:
/// `{"token":"…","channel":"web","outcome":"success","subject":"alice","claims":{…},"level":"verified"}`,
/// Standard Webhooks signature in the headers. `subject` is needed for success,
/// `claims` and `level` never are. Unknown members are refused, by name in the
/// log only; duplicates are refused at any depth.
///
/// `query` is the raw query of the callback URL: empty, or `token=…` with the
/// token that the body has too. The body's counts, for it alone is signed.
///
/// # Errors
/// [`Reason::ReturnMalformed`], [`Reason::ReturnDuplicate`],
/// [`Reason::ReturnSignature`], [`Reason::ReturnStale`],
/// [`Reason::ReturnChannel`], and [`Reason::TokenUnknown`] for a token that
/// cannot be one of ours.
pub fn from_post(
    keys: &SecurityKeys,
    channel: &str,
    query: &str,
    headers: &HeaderMap,
    body: &[u8],
    now: Time,
    tolerance: Duration,
) -> Result<Return, Refused> {
    let query = Query::read(query)?;
    if query.returned.is_some() {
        return Err(malformed("a POST has no such parameter", RETURN));
    }
    if body.len() > MAX_LEN {
        return Err(malformed("too long", "body"));
    }
    webhook::verify(keys, headers, body, now, tolerance)?;
    let id = webhook::id(headers)?.into();
    Members::read(body)?.into_return(id, "subject", channel, query.token)
}

/// The form of a return by the customer's browser: the parameter `return` with a
/// JWT (HS256 with a security key, or one of the site's `keys`), claims `token`,
/// `channel`, `outcome`, `sub`, `iat`, `exp`, optional `claims` and `level`. No
/// other parameter but the callback URL's own `token`, which has to be the same;
/// none twice; no escapes, since neither value has a character that needs one.
///
/// `exp` at most `tolerance` after `iat`; `iat` at most `tolerance` ahead of `now`,
/// `exp` after it. Both are whole seconds.
///
/// # Errors
/// As [`from_post`]. A token whose algorithm or key name no key is pinned to is a
/// [`Reason::ReturnSignature`].
pub fn from_browser(
    security: &SecurityKeys,
    keys: &[PinnedKey],
    channel: &str,
    query: &str,
    now: Time,
    tolerance: Duration,
) -> Result<Return, Refused> {
    let query = Query::read(query)?;
    let Some(jwt) = query.returned else {
        return Err(malformed("missing parameter", RETURN));
    };
    let mut claims = Members::read(&verify(security, keys, jwt)?)?;
    let issued = claims.seconds("iat")?;
    let expires = claims.seconds("exp")?;
    if expires < issued || expires.since(issued) > tolerance {
        return Err(malformed("too far from `iat`", "exp"));
    }
    if issued.since(now) > tolerance || expires <= now {
        return Err(Reason::ReturnStale.into());
    }
    // Of one message some algorithms have many signatures.
    let (message, _) = jwt.rsplit_once('.').unwrap_or((jwt, ""));
    let id = hex::encode(Sha256::digest(message)).into();
    claims.into_return(id, "sub", channel, query.token)
}

impl From<Reason> for Refused {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            problem: None,
        }
    }
}

impl fmt::Debug for Return {
    /// Who it is, and the claims, are personal data; they do not belong in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Return")
            .field("outcome", &self.outcome)
            .field("level", &self.level)
            .finish_non_exhaustive()
    }
}

/// The parameters of a callback URL.
#[derive(Default)]
struct Query<'q> {
    token: Option<&'q str>,
    returned: Option<&'q str>,
}

impl<'q> Query<'q> {
    fn read(query: &'q str) -> Result<Self, Refused> {
        let mut read = Self::default();
        if query.is_empty() {
            return Ok(read);
        }
        if query.len() > MAX_LEN {
            return Err(malformed("too long", "query"));
        }
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let place = match name {
                TOKEN => &mut read.token,
                RETURN => &mut read.returned,
                _ => return Err(malformed("unknown parameter", "query")),
            };
            if place.replace(value).is_some() {
                return Err(Reason::ReturnDuplicate.into());
            }
        }
        Ok(read)
    }
}

/// The payload of a JWT (RFC 7515 compact form) whose signature holds. Its header
/// chooses among the keys pinned to its algorithm; it never chooses the algorithm of a key.
fn verify(security: &SecurityKeys, keys: &[PinnedKey], jwt: &str) -> Result<Vec<u8>, Refused> {
    let decode = |part| {
        let bytes = URL_SAFE_NO_PAD.decode(part);
        bytes.map_err(|_| malformed("not base64url", RETURN))
    };
    let parts: Vec<&str> = jwt.split('.').collect();
    let &[header, payload, signature] = &*parts else {
        return Err(malformed("not a JWT", RETURN));
    };
    let message = &jwt.as_bytes()[..header.len() + 1 + payload.len()];
    let (header, payload) = (decode(header)?, decode(payload)?);
    let mac = decode(signature)?;

    let Members(header) = Members::read(&header)?;
    // RFC 7515, 4.1.11: what says it must be understood, and is not, is refused.
    if header.contains_key("crit") {
        return Err(malformed("extensions are not understood", "crit"));
    }
    let Some(algorithm) = header.get("alg").and_then(Value::as_str) else {
        return Err(malformed("missing or no text", "alg"));
    };
    if algorithm == "HS256" && security.verify(message, &mac) {
        return Ok(payload);
    }
    let algorithm: Algorithm = algorithm.parse().map_err(|_| Reason::ReturnSignature)?;
    let named = |key: &PinnedKey| match (header.get("kid"), &key.kid) {
        (Some(token), Some(kid)) => token.as_str() == Some(kid),
        _ => true,
    };
    let right = keys
        .iter()
        .filter(|key| key.algorithm == algorithm && named(key))
        .any(|key| crypto::verify(signature, message, &key.key, key.algorithm).unwrap_or(false));
    if right {
        Ok(payload)
    } else {
        Err(Reason::ReturnSignature.into())
    }
}

/// The members of a return; those that are read are taken out, so that what is
/// left over is unknown.
pub(super) struct Members(Map<String, Value>);

impl Members {
    /// Reads an object in which no member is given twice.
    pub(super) fn read(json: &[u8]) -> Result<Self, Refused> {
        let json = Json::parse(json).map_err(|_| malformed("not JSON", "return"))?;
        match json.views() {
            [Value::Object(members)] => Ok(Self(members.clone())),
            [_] => Err(malformed("not an object", "return")),
            _ => Err(Reason::ReturnDuplicate.into()),
        }
    }

    fn into_return(
        mut self,
        id: Box<str>,
        subject: &str,
        channel: &str,
        token: Option<&str>,
    ) -> Result<Return, Refused> {
        let text = self.need("token")?;
        let named = self.need("channel")?;
        let outcome = match &*self.need("outcome")? {
            "success" => Outcome::Success,
            "failure" => Outcome::Failure,
            "cancel" => Outcome::Cancel,
            other => return Err(malformed("unknown outcome", other)),
        };
        let subject = match outcome {
            Outcome::Success => Some(self.need(subject)?),
            _ => self.text(subject)?,
        };
        let level = self.text("level")?;
        let claims = match self.0.remove("claims") {
            None => Map::new(),
            Some(Value::Object(claims)) => claims,
            Some(_) => return Err(malformed("not an object", "claims")),
        };
        self.end()?;
        if *named != *channel {
            return Err(Reason::ReturnChannel.into());
        }
        let parsed = LoginToken::parse(&text).ok_or(Reason::TokenUnknown)?;
        if token.is_some_and(|other| !same(&parsed, other)) {
            return Err(malformed("not the one of the URL", "token"));
        }
        Ok(Return {
            id,
            token: parsed,
            outcome,
            subject,
            claims,
            level,
        })
    }

    /// Whether all of them were read.
    pub(super) fn end(&self) -> Result<(), Refused> {
        match self.0.keys().next() {
            Some(name) => Err(malformed("unknown member", name)),
            None => Ok(()),
        }
    }

    /// A text that has to be there.
    pub(super) fn need(&mut self, name: &str) -> Result<Box<str>, Refused> {
        let text = self.text(name)?;
        text.ok_or_else(|| malformed("missing", name))
    }

    /// A text, if it is there: not empty, at most 1024 bytes, no controls.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<Box<str>>, Refused> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(Value::String(text))
                if (1..=1024).contains(&text.len()) && !text.chars().any(char::is_control) =>
            {
                Ok(Some(text.into()))
            }
            Some(_) => Err(malformed("not a usable text", name)),
        }
    }

    /// A time in whole seconds since the Unix epoch.
    fn seconds(&mut self, name: &str) -> Result<Time, Refused> {
        let number = self.0.remove(name).as_ref().and_then(Value::as_u64);
        let number = number.ok_or_else(|| malformed("missing or not whole seconds", name))?;
        Ok(Time::from_secs(number))
    }
}

fn same(token: &LoginToken, other: &str) -> bool {
    LoginToken::parse(other).is_some_and(|other| other.hash() == token.hash())
}

/// What cannot be read. A `name` that is not our own comes from behind a signature that
/// holds.
pub(crate) fn malformed(what: &'static str, name: &str) -> Refused {
    Refused {
        reason: Reason::ReturnMalformed,
        problem: Some(Problem {
            what,
            name: name.chars().take(64).collect(),
        }),
    }
}

#[cfg(test)]
mod tests;
