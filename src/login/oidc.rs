//! OpenID Connect as the login of a channel: the authorisation code flow with PKCE
//! (OpenID Connect Core 1.0, RFC 7636, RFC 9207, RFC 9700), and OAuth 2.0 alone
//! (RFC 6749): there the endpoints are configured and not discovered, no token is
//! signed, and who logged in is what the userinfo endpoint says.
//!
//! | module | what it is |
//! |---|---|
//! | [`discovery`] | what the provider announces of itself, fetched and kept |
//! | [`attempt`] | what one attempt to log in sends out and wants back |
//! | [`callback`] | the parameters that the browser brings back |
//! | [`exchange`] | the calls: code for tokens, tokens for userinfo |
//! | [`id_token`] | what an ID token has to say |
//! | [`logout`] | what a logout token has to say |
//!
//! Tokens are read, and their signatures verified, by [`crate::identity`], which
//! reads those of websites, too: one strict reader, one cache of key sets.

pub mod attempt;
pub mod callback;
pub mod discovery;
pub mod exchange;
pub mod id_token;
pub mod logout;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Map, Value};

pub use attempt::Pending;
pub use callback::Callback;
pub use discovery::{Metadata, Providers};
pub use exchange::Asking;

use crate::identity::jwks::JwksUrl;
use crate::interaction::Level;
use crate::message::target::encode;
use crate::secret::Secret;

/// Claims that speak of the token and not of the customer.
const OF_THE_TOKEN: &[&str] = &[
    "iss", "aud", "exp", "iat", "nbf", "jti", "nonce", "at_hash", "c_hash", "azp",
];

/// An OpenID provider or an OAuth server, as a channel uses it.
#[derive(Debug)]
pub struct Provider {
    /// Its issuer identifier, compared byte for byte; the authorisation URL of an OAuth
    /// server that has none.
    pub issuer: Box<str>,
    /// The endpoints of an OAuth server; those of an OpenID provider are discovered.
    pub oauth: Option<Arc<Metadata>>,
    /// What it knows us by.
    pub client_id: Box<str>,
    /// How we prove to be that client.
    pub authentication: ClientAuthentication,
    /// Scopes, separated by blanks; `openid` among them, unless it is an OAuth server.
    pub scopes: Box<str>,
    /// The claim with the subject.
    pub subject: Box<str>,
    /// The claims that are kept; `None` keeps all but those about the token itself.
    pub claims: Option<Vec<Box<str>>>,
    /// Whether the userinfo endpoint is asked, too.
    pub userinfo: bool,
    /// What a login there establishes.
    pub levels: Reached,
    /// How long ago the customer may have been asked for credentials.
    pub max_age: Option<Duration>,
    /// `prompt` values, separated by blanks.
    pub prompt: Option<Box<str>>,
    /// Tolerance for the times in tokens.
    pub leeway: Duration,
    /// Accepted algorithms of its signatures; asymmetric ones.
    pub algorithms: Vec<Algorithm>,
    /// How long each call to it may take.
    pub timeout: Duration,
}

/// How a client proves who it is at the token endpoint (OpenID Connect Core 1.0, section 9).
pub enum ClientAuthentication {
    /// `client_secret_basic`.
    Basic(Secret),
    /// `client_secret_post`.
    Post(Secret),
    /// `private_key_jwt`.
    PrivateKey {
        /// Its algorithm.
        algorithm: Algorithm,
        /// The key's name at the provider.
        kid: Option<Box<str>>,
        /// The key.
        key: Box<EncodingKey>,
        /// Whether the assertion is meant for the token endpoint's URL, as older
        /// providers want it, and not for the issuer.
        to_endpoint: bool,
    },
}

impl fmt::Debug for ClientAuthentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic(_) => "Basic([redacted])",
            Self::Post(_) => "Post([redacted])",
            Self::PrivateKey { .. } => "PrivateKey([redacted])",
        })
    }
}

/// Which level a login reaches, by what the ID token says of it.
#[derive(Clone, Debug, Default)]
pub struct Reached {
    /// `acr` values by the level that they reach, lowest level first.
    pub acr: Vec<(Level, Vec<Box<str>>)>,
    /// `amr` values, any of which reaches the level.
    pub amr: Vec<(Level, Vec<Box<str>>)>,
    /// What a login reaches that has none of these. `None`: what was demanded.
    pub otherwise: Option<Level>,
}

impl Reached {
    /// The level that these claims reach.
    pub fn level(&self, claims: &Map<String, Value>, demanded: Level) -> Level {
        let acr = claims.get("acr").and_then(Value::as_str);
        let amr = claims.get("amr").and_then(Value::as_array);
        let says = |value: &str| acr == Some(value);
        let used = |value: &str| amr.is_some_and(|used| used.iter().any(|method| method == value));
        let by_acr = self
            .acr
            .iter()
            .filter(|(_, values)| values.iter().any(|value| says(value)));
        let by_amr = self
            .amr
            .iter()
            .filter(|(_, values)| values.iter().any(|value| used(value)));
        let named = by_acr.chain(by_amr).map(|(level, _)| *level).max();
        named
            .max(Some(self.otherwise.unwrap_or(demanded)))
            .unwrap_or(demanded)
    }

    /// The `acr` values that satisfy a demand, weakest first.
    fn wanted(&self, demanded: Level) -> impl Iterator<Item = &str> {
        self.acr
            .iter()
            .filter(move |(level, _)| *level >= demanded)
            .flat_map(|(_, values)| values)
            .map(|value| &**value)
    }

    /// The highest level that a login can reach; `None` where it is whatever is demanded.
    pub fn highest(&self) -> Option<Level> {
        let named = self.acr.iter().chain(&self.amr).map(|(level, _)| *level);
        named.chain([self.otherwise?]).max()
    }
}

impl Provider {
    /// The URL that the customer's browser is sent to.
    pub fn authorization_url(
        &self,
        metadata: &Metadata,
        pending: &Pending,
        redirect_uri: &str,
        demanded: Level,
    ) -> String {
        let acr: Vec<&str> = self.levels.wanted(demanded).collect();
        let acr = (!acr.is_empty()).then(|| acr.join(" "));
        let max_age = self.max_age.map(|age| age.as_secs().to_string());
        let (nonce, challenge) = (pending.nonce(), pending.code_challenge());
        // Nothing that an OAuth server signs could say it again.
        let nonce = self.oauth.is_none().then_some(&*nonce);
        let scopes = Some(&*self.scopes).filter(|scopes| !scopes.is_empty());
        let pairs = [
            ("response_type", Some("code")),
            ("client_id", Some(&*self.client_id)),
            ("redirect_uri", Some(redirect_uri)),
            ("scope", scopes),
            ("state", Some(pending.state())),
            ("nonce", nonce),
            ("code_challenge", Some(&*challenge)),
            ("code_challenge_method", Some("S256")),
            ("acr_values", acr.as_deref()),
            ("max_age", max_age.as_deref()),
            ("prompt", self.prompt.as_deref()),
        ];
        let mut url = String::from(&*metadata.authorization_endpoint);
        for (name, value) in pairs {
            let Some(value) = value else { continue };
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(name);
            url.push('=');
            url.push_str(&encode(value));
        }
        url
    }

    /// The provider's keys: read for the algorithms that it announces and the
    /// operator accepts. `None` when these have none in common, or there are no keys.
    pub fn keys(&self, metadata: &Metadata) -> Option<JwksUrl> {
        let url = metadata.jwks_uri.clone()?;
        let announced = |algorithm: &&Algorithm| {
            let known = metadata.algorithms.as_ref();
            known.is_none_or(|known| known.contains(*algorithm))
        };
        let algorithms: Vec<_> = self.algorithms.iter().filter(announced).copied().collect();
        (!algorithms.is_empty()).then(|| JwksUrl {
            url,
            algorithms,
            refresh: Duration::from_secs(10 * 60),
            cooldown: Duration::from_secs(10),
        })
    }

    /// The claims that are kept of a customer, and what a logout goes by: the
    /// provider's name for the session, and for the customer where ours is another.
    /// An OAuth server logs nobody out.
    fn keep(&self, claims: &Map<String, Value>) -> Map<String, Value> {
        let wanted = |name: &str| match &self.claims {
            Some(wanted) => wanted.iter().any(|known| **known == *name),
            None => !OF_THE_TOKEN.contains(&name) && name != "sub",
        };
        let logout = |name: &str| {
            self.oauth.is_none() && (name == "sid" || name == "sub" && *self.subject != *"sub")
        };
        claims
            .iter()
            .filter(|(name, _)| wanted(name) || logout(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }
}

#[cfg(test)]
mod tests;
