//! How the requests of one leg are signed: by a token beside the body, by a keyed
//! hash of the body, or as Standard Webhooks have it. Checks and makes them.

use std::fmt;
use std::time::Duration;

use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use http::{HeaderMap, HeaderName, HeaderValue};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value};
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};

use crate::identity::hmac::Encoding;
use crate::identity::jwt::{PinnedKey, Token};
use crate::login::{SecurityKeys, webhook};
use crate::message::header::ManagedHeaders;
use crate::reason::Reason;
use crate::secret::Secret;
use crate::time::Time;

/// How far ahead of ours a signer's clock may be.
const AHEAD: Duration = Duration::from_secs(30);

/// A signature by its name in the configuration.
#[derive(Debug)]
pub struct Signature {
    /// The name.
    pub name: Box<str>,
    /// How it is made.
    pub scheme: Scheme,
    /// Whether the same signature counts once.
    pub single_use: bool,
}

/// The kinds of signatures.
#[derive(Debug)]
pub enum Scheme {
    /// A token in a header. It says nothing of the body.
    Jwt(TokenScheme),
    /// A keyed hash of the raw body in a header.
    Hmac(HashScheme),
    /// The three `webhook-…` headers.
    StandardWebhooks {
        /// One or two keys.
        keys: SecurityKeys,
        /// How far the signer's time may be from ours.
        max_age: Duration,
    },
}

/// A token in a header: HS256, HS384, HS512.
pub struct TokenScheme {
    /// The header.
    pub header: HeaderName,
    /// What stands before the token: `Bearer`; empty for nothing.
    pub scheme: Box<str>,
    /// The algorithm.
    pub algorithm: Algorithm,
    /// One or two secrets. The first signs, both verify.
    pub secrets: Vec<Secret>,
    /// Claims that the token has, exactly so.
    pub claims: Map<String, Value>,
    /// How long it counts, from its `iat`.
    pub max_age: Duration,
}

/// A keyed hash of the body in a header.
pub struct HashScheme {
    /// The header.
    pub header: HeaderName,
    /// What stands before the hash: `sha256=`.
    pub prefix: Box<str>,
    /// How the hash is written.
    pub encoding: Encoding,
    /// The hash function.
    pub digest: Digest,
    /// One or two secrets. The first signs, both verify.
    pub secrets: Vec<Secret>,
}

/// The hash function of a keyed hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// HMAC-SHA1, for platforms that have no other.
    Sha1,
    /// HMAC-SHA256.
    Sha256,
    /// HMAC-SHA512.
    Sha512,
}

/// A signature that holds: what makes it this one, and how long it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The same for the same signature alone.
    pub id: String,
    /// When it counts no more; `None` where it bears no time.
    pub until: Option<Time>,
}

impl Signature {
    /// Checks the signature of a request, with any of its secrets and in constant
    /// time. Errors: `SignatureMissing`, `DuplicateHeader`, `SignatureMalformed`,
    /// `SignatureWrong`, `SignatureStale`, `SignatureClaim`.
    pub fn verify(&self, headers: &HeaderMap, body: &[u8], now: Time) -> Result<Held, Reason> {
        match &self.scheme {
            Scheme::Jwt(token) => token.verify(headers, body, now),
            Scheme::Hmac(hash) => hash.verify(headers, body),
            Scheme::StandardWebhooks { keys, max_age } => {
                standard(keys, headers, body, now, *max_age)
            }
        }
    }

    /// Signs a request in place of whatever signature it has. `id` names the
    /// message to its receiver: the same one when it is sent again.
    ///
    /// # Errors
    /// None that input could cause; they repeat no value.
    pub fn sign(
        &self,
        headers: &mut HeaderMap,
        body: &[u8],
        id: &str,
        now: Time,
    ) -> Result<(), String> {
        match &self.scheme {
            Scheme::Jwt(token) => {
                headers.insert(token.header.clone(), token.sign(now)?);
            }
            Scheme::Hmac(hash) => {
                headers.insert(hash.header.clone(), hash.sign(body)?);
            }
            Scheme::StandardWebhooks { keys, .. } => {
                headers.extend(webhook::sign(keys, id, now, body));
            }
        }
        Ok(())
    }

    /// The headers that it travels in.
    pub fn headers(&self) -> Vec<&str> {
        match &self.scheme {
            Scheme::Jwt(token) => vec![token.header.as_str()],
            Scheme::Hmac(hash) => vec![hash.header.as_str()],
            Scheme::StandardWebhooks { .. } => {
                vec!["webhook-id", "webhook-timestamp", "webhook-signature"]
            }
        }
    }

    /// Whether it cannot be checked, or made, without the body.
    pub fn needs_body(&self) -> bool {
        match &self.scheme {
            Scheme::Jwt(_) => self.single_use,
            Scheme::Hmac(_) | Scheme::StandardWebhooks { .. } => true,
        }
    }
}

/// The signatures of one route.
#[derive(Debug, Default)]
pub struct Signatures {
    /// Any of these has to hold; none is asked for where it is empty.
    pub verify: Vec<std::sync::Arc<Signature>>,
    /// How requests leave.
    pub sign: Option<std::sync::Arc<Signature>>,
    /// The headers of all of them, which the receiver sees from chatgate alone.
    pub headers: ManagedHeaders,
}

impl Signatures {
    /// Those of a route.
    pub fn new(
        verify: Vec<std::sync::Arc<Signature>>,
        sign: Option<std::sync::Arc<Signature>>,
    ) -> Self {
        let headers = verify.iter().chain(&sign).flat_map(|one| one.headers());
        Self {
            headers: ManagedHeaders::new(headers),
            verify,
            sign,
        }
    }

    /// Checks a request: the signature that holds, if any is asked for. Where none
    /// does, the reason of the first one that is there at all.
    pub fn check(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: Time,
    ) -> Result<Option<(&Signature, Held)>, Reason> {
        let mut worst = None;
        for signature in &self.verify {
            match signature.verify(headers, body, now) {
                Ok(held) => return Ok(Some((signature, held))),
                Err(reason) if worst.is_none_or(|worst| worst == Reason::SignatureMissing) => {
                    worst = Some(reason);
                }
                Err(_) => {}
            }
        }
        worst.map_or(Ok(None), Err)
    }

    /// Whether they depend on the body.
    pub fn need_body(&self) -> bool {
        self.verify
            .iter()
            .chain(&self.sign)
            .any(|one| one.needs_body())
    }
}

impl TokenScheme {
    fn verify(&self, headers: &HeaderMap, body: &[u8], now: Time) -> Result<Held, Reason> {
        let text = single(headers, &self.header)?;
        let text = self.token(text).ok_or(Reason::SignatureMalformed)?;
        let token = Token::parse(text).map_err(|reason| match reason {
            Reason::ProofAlgorithm => Reason::SignatureWrong,
            _ => Reason::SignatureMalformed,
        })?;
        // Every secret is tried, so that the time does not tell which one it was.
        let holds = self
            .keys()
            .iter()
            .fold(false, |holds, key| token.verify([key]).is_ok() | holds);
        if !holds {
            return Err(Reason::SignatureWrong);
        }
        let claims = token.into_unverified_claims();
        let equal = |(name, value): (&String, &Value)| claims.get(name) == Some(value);
        // Meant for somebody else (RFC 7519, section 4.1.3).
        let addressed = claims.contains_key("aud") && !self.claims.contains_key("aud");
        if !self.claims.iter().all(equal) || addressed {
            return Err(Reason::SignatureClaim);
        }
        let issued = time(claims.get("iat"))?.ok_or(Reason::SignatureClaim)?;
        let until = issued + self.max_age;
        let until = time(claims.get("exp"))?.map_or(until, |exp| exp.min(until));
        let from = time(claims.get("nbf"))?.map_or(issued, |nbf| nbf.max(issued));
        if now >= until || from.since(now) > AHEAD {
            return Err(Reason::SignatureStale);
        }
        // Without a name of its own, a token of the same second may be another message's.
        let id = match claims.get("jti") {
            Some(Value::String(jti)) => digest([b"jti", jti.as_bytes()]),
            _ => digest([text.as_bytes(), body]),
        };
        Ok(Held {
            id,
            until: Some(until),
        })
    }

    fn sign(&self, now: Time) -> Result<HeaderValue, String> {
        let mut claims = self.claims.clone();
        claims.insert("iat".into(), now.secs().into());
        let secret = self.secrets.first().ok_or("there is no secret")?;
        let key = EncodingKey::from_secret(secret.expose());
        let token = jsonwebtoken::encode(&Header::new(self.algorithm), &claims, &key)
            .map_err(|error| format!("the token cannot be signed: {error}"))?;
        sensitive(match &*self.scheme {
            "" => token,
            scheme => format!("{scheme} {token}"),
        })
    }

    /// The token behind the scheme, whose case does not count (RFC 9110, section 11.1).
    fn token<'t>(&self, text: &'t str) -> Option<&'t str> {
        if self.scheme.is_empty() {
            return Some(text);
        }
        let (scheme, token) = text.split_once(' ')?;
        let named = scheme.eq_ignore_ascii_case(&self.scheme);
        named.then(|| token.trim_start_matches(' '))
    }

    fn keys(&self) -> Vec<PinnedKey> {
        let key = |secret: &Secret| PinnedKey {
            kid: None,
            algorithm: self.algorithm,
            key: jsonwebtoken::DecodingKey::from_secret(secret.expose()),
        };
        self.secrets.iter().map(key).collect()
    }
}

impl HashScheme {
    fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<Held, Reason> {
        let text = single(headers, &self.header)?;
        let hash = text
            .strip_prefix(&*self.prefix)
            .and_then(|hash| self.encoding.decode(hash))
            .filter(|hash| !hash.is_empty())
            .ok_or(Reason::SignatureMalformed)?;
        let holds = self.secrets.iter().fold(false, |holds, secret| {
            self.digest.verifies(secret, body, &hash) | holds
        });
        if !holds {
            return Err(Reason::SignatureWrong);
        }
        Ok(Held {
            id: digest([b"hmac", &hash]),
            until: None,
        })
    }

    fn sign(&self, body: &[u8]) -> Result<HeaderValue, String> {
        let secret = self.secrets.first().ok_or("there is no secret")?;
        let hash = self.encoding.encode(&self.digest.of(secret, body));
        sensitive(format!("{}{hash}", self.prefix))
    }
}

impl Digest {
    /// Whether `hash`, whole, is the HMAC of `body`. An empty secret vouches for nothing.
    fn verifies(self, secret: &Secret, body: &[u8], hash: &[u8]) -> bool {
        fn check<M: Mac + KeyInit>(key: &[u8], body: &[u8], hash: &[u8]) -> bool {
            let mac = <M as Mac>::new_from_slice(key);
            mac.is_ok_and(|mac| mac.chain_update(body).verify_slice(hash).is_ok())
        }
        let key = secret.expose();
        !key.is_empty()
            && match self {
                Self::Sha1 => check::<Hmac<Sha1>>(key, body, hash),
                Self::Sha256 => check::<Hmac<Sha256>>(key, body, hash),
                Self::Sha512 => check::<Hmac<Sha512>>(key, body, hash),
            }
    }

    fn of(self, secret: &Secret, body: &[u8]) -> Vec<u8> {
        #[expect(clippy::expect_used, reason = "no input reaches it")]
        fn mac<M: Mac + KeyInit>(key: &[u8], body: &[u8]) -> Vec<u8> {
            let mac = <M as Mac>::new_from_slice(key).expect("HMAC takes a key of any length");
            mac.chain_update(body).finalize().into_bytes().to_vec()
        }
        let key = secret.expose();
        match self {
            Self::Sha1 => mac::<Hmac<Sha1>>(key, body),
            Self::Sha256 => mac::<Hmac<Sha256>>(key, body),
            Self::Sha512 => mac::<Hmac<Sha512>>(key, body),
        }
    }
}

impl fmt::Debug for TokenScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenScheme({}, {:?})", self.header, self.algorithm)
    }
}

impl fmt::Debug for HashScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HashScheme({}, {:?})", self.header, self.digest)
    }
}

fn standard(
    keys: &SecurityKeys,
    headers: &HeaderMap,
    body: &[u8],
    now: Time,
    max_age: Duration,
) -> Result<Held, Reason> {
    let id = single(headers, &webhook::ID)?;
    single(headers, &webhook::TIMESTAMP)?;
    single(headers, &webhook::SIGNATURE)?;
    webhook::verify(keys, headers, body, now, max_age).map_err(|refused| match refused.reason {
        Reason::ReturnDuplicate => Reason::DuplicateHeader,
        Reason::ReturnSignature => Reason::SignatureWrong,
        Reason::ReturnStale => Reason::SignatureStale,
        _ => Reason::SignatureMalformed,
    })?;
    Ok(Held {
        id: digest([b"webhook", id.as_bytes()]),
        // Its time may be as far ahead of ours as behind.
        until: Some(now + max_age + max_age),
    })
}

/// The one value of a header.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<&'h str, Reason> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or(Reason::SignatureMissing)?;
    if values.next().is_some() {
        return Err(Reason::DuplicateHeader);
    }
    value.to_str().map_err(|_| Reason::SignatureMalformed)
}

/// A whole number of seconds, and no more than a time can have.
fn time(claim: Option<&Value>) -> Result<Option<Time>, Reason> {
    let Some(claim) = claim else {
        return Ok(None);
    };
    let secs = claim.as_u64().filter(|secs| *secs < 1_000_000_000_000);
    secs.map(|secs| Some(Time::from_secs(secs)))
        .ok_or(Reason::SignatureClaim)
}

/// A hash of two texts; no two different pairs have the same input.
fn digest([first, second]: [&[u8]; 2]) -> String {
    let hash = Sha256::new()
        .chain_update((first.len() as u64).to_be_bytes())
        .chain_update(first)
        .chain_update(second);
    hex::encode(hash.finalize())
}

fn sensitive(text: String) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::try_from(text).map_err(|error| error.to_string())?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests;
