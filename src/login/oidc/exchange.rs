//! The calls to a provider: a code for tokens, an access token for userinfo, and
//! the keys for a token's signature.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use jsonwebtoken::Header;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::{ClientAuthentication, Metadata, Provider, attempt};
use crate::identity::Caches;
use crate::identity::jwt::Token;
use crate::message::Json;
use crate::message::target::encode;
use crate::outbound::{Bounds, CallError, Outbound};
use crate::reason::Reason;
use crate::secret::{self, Secret};
use crate::time::Time;

/// Longest answer that is read, in bytes.
const MAX_BODY: usize = 64 * 1024;
/// How long a client assertion counts.
const ASSERTION: Duration = Duration::from_secs(60);

/// How a provider is asked.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// By whom.
    pub outbound: &'a Outbound,
    /// For which request, as the log names it.
    pub request_id: &'a str,
}

/// What a code was worth.
#[derive(Debug)]
pub struct Tokens {
    /// The ID token, not verified yet; always there unless it is an OAuth server.
    pub id_token: Option<Secret>,
    /// The access token, if it is one that a bearer may use.
    pub access_token: Option<Secret>,
}

impl Provider {
    /// Exchanges a code (RFC 6749, section 4.1.3; OpenID Connect Core 1.0, section 3.1.3). Errors:
    /// `LoginCode` when the provider does not take the code, `ProviderUnavailable`
    /// when it cannot be asked now, `ProviderError` for any other answer.
    pub async fn exchange(
        &self,
        metadata: &Metadata,
        code: &Secret,
        seed: &Secret,
        redirect_uri: &str,
        asking: Asking<'_>,
        now: Time,
    ) -> Result<Tokens, Reason> {
        let Asking { request_id, .. } = asking;
        let request = self.token_request(metadata, code, seed, redirect_uri, request_id, now)?;
        let answer = self.call(request, asking).await?;
        let body = object(answer.body());
        let text = |name: &str| {
            let body = body.as_ref()?;
            body.get(name)?.as_str().filter(|text| !text.is_empty())
        };
        match (answer.status(), text("error")) {
            (StatusCode::OK, _) => {}
            (StatusCode::BAD_REQUEST, Some("invalid_grant")) => return Err(Reason::LoginCode),
            (status, error) => {
                tracing::warn!(
                    request_id,
                    issuer = &*self.issuer,
                    status = status.as_u16(),
                    error = error.map_or("", known),
                    "the provider does not exchange a code"
                );
                return Err(Reason::ProviderError);
            }
        }
        let bearer = text("token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"));
        let access_token = text("access_token").filter(|_| bearer).map(Secret::new);
        let tokens = Tokens {
            id_token: text("id_token").map(Secret::new),
            access_token,
        };
        let lacks = match &self.oauth {
            None => tokens.id_token.is_none().then_some("ID token"),
            Some(_) => tokens.access_token.is_none().then_some("bearer token"),
        };
        if let Some(lacks) = lacks {
            tracing::warn!(
                request_id,
                issuer = &*self.issuer,
                error = text("error").map_or("", known),
                "the provider gives no {lacks}"
            );
            return Err(Reason::ProviderError);
        }
        Ok(tokens)
    }

    /// Asks the userinfo endpoint of an OpenID provider, where that is configured
    /// (section 5.3). What it says counts only if it speaks of the subject of the ID token.
    ///
    /// # Errors
    /// Those of [`Provider::userinfo()`], and [`Reason::ProofClaim`] where it speaks of
    /// somebody else.
    pub async fn more(
        &self,
        metadata: &Metadata,
        tokens: &Tokens,
        claims: &Map<String, Value>,
        asking: Asking<'_>,
    ) -> Result<Map<String, Value>, Reason> {
        if !self.userinfo {
            return Ok(Map::new());
        }
        let more = self.userinfo(metadata, tokens, asking).await?;
        let subject = |claims: &Map<String, Value>| {
            claims.get("sub").and_then(Value::as_str).map(str::to_owned)
        };
        match subject(&more).is_some() && subject(&more) == subject(claims) {
            true => Ok(more),
            false => Err(Reason::ProofClaim),
        }
    }

    /// Asks the userinfo endpoint whose access token it is.
    ///
    /// # Errors
    /// [`Reason::ProviderUnavailable`] when it cannot be reached, and
    /// [`Reason::ProviderError`] when there is none or it answers anything but claims.
    pub async fn userinfo(
        &self,
        metadata: &Metadata,
        tokens: &Tokens,
        asking: Asking<'_>,
    ) -> Result<Map<String, Value>, Reason> {
        let Asking { request_id, .. } = asking;
        let (Some(endpoint), Some(token)) = (&metadata.userinfo_endpoint, &tokens.access_token)
        else {
            tracing::warn!(
                request_id,
                issuer = &*self.issuer,
                "the provider offers no userinfo"
            );
            return Err(Reason::ProviderError);
        };
        let bearer = Zeroizing::new([b"Bearer ", token.expose()].concat());
        let mut bearer = HeaderValue::from_bytes(&bearer).map_err(|_| Reason::ProviderError)?;
        bearer.set_sensitive(true);
        let request = Request::get(&**endpoint)
            .header(AUTHORIZATION, bearer)
            .header(ACCEPT, "application/json")
            .body(Bytes::new())
            .map_err(|_| Reason::ProviderError)?;
        let answer = self.call(request, asking).await?;
        if answer.status() != StatusCode::OK {
            let status = answer.status().as_u16();
            tracing::warn!(
                request_id,
                issuer = &*self.issuer,
                status,
                "the provider gives no userinfo"
            );
            return Err(Reason::ProviderError);
        }
        let claims = object(answer.body()).filter(|_| says_json(&answer));
        if claims.is_none() {
            tracing::warn!(
                request_id,
                issuer = &*self.issuer,
                "userinfo is not a JSON object"
            );
        }
        claims.ok_or(Reason::ProviderError)
    }

    /// Reads a token and verifies its signature with the provider's keys; the claims
    /// are yet to be checked. Errors: those of [`Token`], and `ProviderUnavailable`
    /// when the keys cannot be had.
    pub async fn verify(
        &self,
        metadata: &Metadata,
        token: &str,
        caches: &Caches,
        request_id: &str,
        now: Time,
    ) -> Result<(jsonwebtoken::Algorithm, Map<String, Value>), Reason> {
        let token = Token::parse(token)?;
        let Some(keys) = self.keys(metadata) else {
            tracing::warn!(
                request_id,
                issuer = &*self.issuer,
                "the provider signs with no accepted algorithm"
            );
            return Err(Reason::ProviderError);
        };
        // No token of another algorithm makes us fetch anything.
        if !keys.algorithms.contains(&token.algorithm()) {
            return Err(Reason::ProofAlgorithm);
        }
        let set = caches
            .jwks
            .keys(&keys, token.kid(), &caches.outbound, now)
            .await
            .map_err(|_| Reason::ProviderUnavailable)?;
        token.verify(&set.keys)?;
        Ok((token.algorithm(), token.into_unverified_claims()))
    }

    fn token_request(
        &self,
        metadata: &Metadata,
        code: &Secret,
        seed: &Secret,
        redirect_uri: &str,
        request_id: &str,
        now: Time,
    ) -> Result<Request<Bytes>, Reason> {
        let code = std::str::from_utf8(code.expose()).map_err(|_| Reason::LoginCode)?;
        let verifier = Zeroizing::new(attempt::verifier(seed));
        let mut form = format!(
            "grant_type=authorization_code&code={}&redirect_uri={}&code_verifier={}",
            encode(code),
            encode(redirect_uri),
            &*verifier,
        );
        let mut request = Request::post(&*metadata.token_endpoint)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        match &self.authentication {
            ClientAuthentication::Basic(secret) => {
                request = request.header(AUTHORIZATION, self.basic(secret)?);
            }
            ClientAuthentication::Post(secret) => {
                let secret = Zeroizing::new(encoded(secret)?);
                form += &format!(
                    "&client_id={}&client_secret={}",
                    encode(&self.client_id),
                    &*secret
                );
            }
            ClientAuthentication::PrivateKey { .. } => {
                let assertion = self.assertion(metadata, request_id, now)?;
                form += &format!(
                    "&client_id={}&client_assertion_type={}&client_assertion={assertion}",
                    encode(&self.client_id),
                    encode("urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                );
            }
        }
        request.body(form.into()).map_err(|_| Reason::Internal)
    }

    /// RFC 6749, section 2.3.1: both are encoded before they are joined.
    fn basic(&self, secret: &Secret) -> Result<HeaderValue, Reason> {
        let secret = Zeroizing::new(encoded(secret)?);
        let pair = Zeroizing::new(format!("{}:{}", encode(&self.client_id), &*secret));
        let value = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
        let mut value = HeaderValue::from_str(&value).map_err(|_| Reason::Internal)?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// RFC 7523, section 3.
    fn assertion(
        &self,
        metadata: &Metadata,
        request_id: &str,
        now: Time,
    ) -> Result<String, Reason> {
        let ClientAuthentication::PrivateKey {
            algorithm,
            kid,
            key,
            to_endpoint,
        } = &self.authentication
        else {
            return Err(Reason::Internal);
        };
        let audience = match to_endpoint {
            true => &metadata.token_endpoint,
            false => &self.issuer,
        };
        let mut header = Header::new(*algorithm);
        header.kid = kid.as_deref().map(str::to_owned);
        let claims = json!({
            "iss": &*self.client_id,
            "sub": &*self.client_id,
            "aud": &**audience,
            "jti": URL_SAFE_NO_PAD.encode(secret::random::<16>()),
            "iat": now.secs(),
            "exp": (now + ASSERTION).secs(),
        });
        jsonwebtoken::encode(&header, &claims, key).map_err(|error| {
            tracing::error!(request_id, issuer = &*self.issuer, %error, "the client assertion cannot be signed");
            Reason::Internal
        })
    }

    /// One call. Answers that say "not now" are [`Reason::ProviderUnavailable`].
    async fn call(
        &self,
        request: Request<Bytes>,
        asking: Asking<'_>,
    ) -> Result<Response<Bytes>, Reason> {
        let Asking {
            outbound,
            request_id,
        } = asking;
        let bounds = Bounds {
            timeout: self.timeout,
            max_body: MAX_BODY,
        };
        let answer = outbound.call(request, bounds).await.map_err(|error| {
            tracing::warn!(request_id, issuer = &*self.issuer, %error, "the provider cannot be reached");
            match error {
                CallError::TooLarge => Reason::ProviderError,
                CallError::Timeout | CallError::Failed(_) => Reason::ProviderUnavailable,
            }
        })?;
        let status = answer.status();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            let status = status.as_u16();
            tracing::warn!(
                request_id,
                issuer = &*self.issuer,
                status,
                "the provider does not answer now"
            );
            return Err(Reason::ProviderUnavailable);
        }
        Ok(answer)
    }
}

/// A secret as a form writes it; the configuration sees to it that it is text.
fn encoded(secret: &Secret) -> Result<String, Reason> {
    let text = std::str::from_utf8(secret.expose()).map_err(|_| Reason::Internal)?;
    Ok(encode(text))
}

/// Whether an answer is JSON by its type: what only looks like it is not meant to be read so.
fn says_json(answer: &Response<Bytes>) -> bool {
    let kind = answer.headers().get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let kind = kind.to_ascii_lowercase();
    kind == "application/json" || kind.starts_with("application/") && kind.ends_with("+json")
}

/// A JSON object with one reading only.
pub(super) fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    match Json::parse(bytes).ok()?.views() {
        [Value::Object(object)] => Some(object.clone()),
        _ => None,
    }
}

/// An error code that somebody else wrote, for the log: itself if it looks like one.
pub(super) fn known(error: &str) -> &str {
    let plain = |b: u8| b.is_ascii_lowercase() || b == b'_';
    match (1..=64).contains(&error.len()) && error.bytes().all(plain) {
        true => error,
        false => "unreadable",
    }
}
