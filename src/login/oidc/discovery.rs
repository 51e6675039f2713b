//! What a provider announces of itself (OpenID Connect Discovery 1.0, section 4),
//! fetched when needed and kept.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::exchange::object;
use crate::outbound::{Bounds, Outbound, Shared};
use crate::reason::Reason;
use crate::time::Time;

/// The endpoints of a provider and what it can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Its issuer identifier, if it has one.
    pub issuer: Option<Box<str>>,
    /// Where browsers are sent.
    pub authorization_endpoint: Box<str>,
    /// Where a code is exchanged.
    pub token_endpoint: Box<str>,
    /// Its keys, if it signs anything.
    pub jwks_uri: Option<Box<str>>,
    /// Where more is told of a customer.
    pub userinfo_endpoint: Option<Box<str>>,
    /// The algorithms of its ID tokens that are known here; `None` where it does not say.
    pub algorithms: Option<Vec<Algorithm>>,
    /// Whether it names itself in every callback (RFC 9207).
    pub names_itself: bool,
}

impl Metadata {
    /// Reads a discovery document. It has to be that of `issuer`, byte for byte, and an
    /// issuer on https has all its endpoints there.
    pub fn parse(json: &[u8], issuer: &str) -> Result<Self, String> {
        let document = object(json).ok_or("this is not a JSON object with one reading")?;
        let text = |name: &str| document.get(name).and_then(Value::as_str);
        if text("issuer") != Some(issuer) {
            return Err("it is another issuer's: `issuer` has to be the same text".into());
        }
        let secure = issuer.starts_with("https://");
        let endpoint = |name: &str| match document.get(name) {
            None => Ok(None),
            Some(value) => self::endpoint(value, secure)
                .map(Some)
                .map_err(|fault| format!("{name} {fault}")),
        };
        let need = |name: &str| endpoint(name)?.ok_or_else(|| format!("there is no {name}"));
        Ok(Self {
            issuer: Some(issuer.into()),
            authorization_endpoint: need("authorization_endpoint")?,
            token_endpoint: need("token_endpoint")?,
            jwks_uri: Some(need("jwks_uri")?),
            userinfo_endpoint: endpoint("userinfo_endpoint")?,
            algorithms: algorithms(&document),
            names_itself: document.get("authorization_response_iss_parameter_supported")
                == Some(&Value::Bool(true)),
        })
    }

    /// Whether a callback with this `iss` is of this provider (RFC 9207, section 2.4).
    pub fn is_of(&self, issuer: Option<&str>) -> bool {
        match (&self.issuer, issuer) {
            (None, _) => true,
            (Some(own), Some(named)) => **own == *named,
            (Some(_), None) => !self.names_itself,
        }
    }
}

fn endpoint(value: &Value, secure: bool) -> Result<Box<str>, &'static str> {
    let text = value.as_str().ok_or("is not a text")?;
    let uri: Uri = text.parse().map_err(|_| "is not a URL")?;
    let authority = uri.authority().ok_or("is not an absolute URL")?;
    match uri.scheme_str() {
        Some("https") => {}
        Some("http") if !secure => {}
        _ => return Err("is not on https"),
    }
    let plain = |b: u8| b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b);
    if authority.as_str().contains('@') || text.contains('#') || !text.bytes().all(plain) {
        return Err("is not a plain URL");
    }
    Ok(text.into())
}

/// Known algorithms only: others, `none` first of all, are nothing to us.
fn algorithms(document: &Map<String, Value>) -> Option<Vec<Algorithm>> {
    let named = document.get("id_token_signing_alg_values_supported")?;
    let named = named.as_array()?.iter().filter_map(Value::as_str);
    Some(
        named
            .filter_map(|name| Algorithm::from_str(name).ok())
            .collect(),
    )
}

/// What providers announce, by issuer. Lives as long as the process.
///
/// Nothing runs by itself: a document is fetched when a login asks for it and it is
/// older than [`Providers::REFRESH`]. A fetch that fails leaves the old one in service;
/// the next is begun no sooner than [`Providers::COOLDOWN`] after it.
#[derive(Debug, Default)]
pub struct Providers {
    known: Mutex<HashMap<Box<str>, Entry>>,
}

#[derive(Debug, Default)]
struct Entry {
    metadata: Option<Arc<Metadata>>,
    /// When it was asked for.
    since: Time,
    /// The last fetch, and when it was begun.
    fetch: Option<(Time, Shared<Option<Arc<Metadata>>>)>,
}

impl Providers {
    /// How long a document is taken as it is.
    pub const REFRESH: Duration = Duration::from_secs(60 * 60);
    /// Between two fetches of one document.
    pub const COOLDOWN: Duration = Duration::from_secs(2);
    const MAX_BODY: usize = 256 * 1024;

    /// The clock was set back: a document is as old as before.
    pub fn set_back(&self, by: Duration) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in known.values_mut() {
            entry.since = entry.since - by;
            if let Some((begun, _)) = &mut entry.fetch {
                *begun = *begun - by;
            }
        }
    }

    /// What an issuer announces. Error: [`Reason::ProviderUnavailable`] when it was
    /// never heard of and cannot be had now. The log has the request for which it was
    /// asked last.
    pub async fn metadata(
        &self,
        issuer: &str,
        timeout: Duration,
        outbound: &Arc<Outbound>,
        request_id: &str,
        now: Time,
    ) -> Result<Arc<Metadata>, Reason> {
        let fetch = self.with_entry(issuer, |entry| {
            let fresh = entry.metadata.is_some() && now.apart(entry.since) < Self::REFRESH;
            if fresh {
                return None;
            }
            match &entry.fetch {
                Some((_, fetch)) if !fetch.is_over() => Some(fetch.clone()),
                Some((begun, _)) if now.apart(*begun) < Self::COOLDOWN => None,
                _ => {
                    let bounds = Bounds {
                        timeout,
                        max_body: Self::MAX_BODY,
                    };
                    let fetch = fetch(issuer.into(), bounds, outbound.clone(), request_id.into());
                    let fetch = outbound.share(fetch);
                    entry.fetch = Some((now, fetch.clone()));
                    Some(fetch)
                }
            }
        });
        let known = self.with_entry(issuer, |entry| entry.metadata.clone());
        if let Some(fetch) = fetch {
            match known {
                // The old one serves; whoever comes after the fetch gets the new one.
                Some(known) => return Ok(known),
                None => drop(fetch.wait().await),
            }
        }
        self.with_entry(issuer, |entry| entry.metadata.clone())
            .ok_or(Reason::ProviderUnavailable)
    }

    fn with_entry<T>(&self, issuer: &str, work: impl FnOnce(&mut Entry) -> T) -> T {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = known.entry(issuer.into()).or_default();
        if let Some((begun, fetch)) = &entry.fetch
            && let Some(Some(metadata)) = fetch.outcome()
        {
            entry.since = *begun;
            entry.metadata = Some(metadata);
        }
        work(entry)
    }
}

async fn fetch(
    issuer: Box<str>,
    bounds: Bounds,
    outbound: Arc<Outbound>,
    request_id: Box<str>,
) -> Option<Arc<Metadata>> {
    match try_fetch(&issuer, bounds, &outbound).await {
        Ok(metadata) => Some(Arc::new(metadata)),
        Err(error) => {
            tracing::warn!(
                request_id = &*request_id,
                issuer = &*issuer,
                error,
                "the provider cannot be discovered"
            );
            None
        }
    }
}

async fn try_fetch(issuer: &str, bounds: Bounds, outbound: &Outbound) -> Result<Metadata, String> {
    let issuer_path = issuer.trim_end_matches('/');
    let request = Request::get(format!("{issuer_path}/.well-known/openid-configuration"))
        .header(header::ACCEPT, "application/json")
        .body(Bytes::new())
        .map_err(|error| error.to_string())?;
    let answer = outbound
        .call(request, bounds)
        .await
        .map_err(|error| error.to_string())?;
    match answer.status() {
        StatusCode::OK => Metadata::parse(answer.body(), issuer),
        status => Err(format!("the answer is {status}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ISSUER: &str = "https://op.example/t1";

    fn document() -> Value {
        json!({
            "issuer": ISSUER,
            "authorization_endpoint": "https://op.example/auth?tenant=1",
            "token_endpoint": "https://op.example/token",
            "jwks_uri": "https://op.example/jwks",
            "id_token_signing_alg_values_supported": ["none", "RS256", "ES512", "HS256"],
            "authorization_response_iss_parameter_supported": true,
        })
    }

    fn parse(document: &Value) -> Result<Metadata, String> {
        Metadata::parse(document.to_string().as_bytes(), ISSUER)
    }

    #[test]
    fn reads_what_is_announced() {
        let metadata = parse(&document()).unwrap();
        assert_eq!(metadata.userinfo_endpoint, None);
        assert!(metadata.names_itself);
        let algorithms = metadata.algorithms.unwrap();
        assert_eq!(algorithms, [Algorithm::RS256, Algorithm::HS256]);
    }

    #[test]
    fn a_document_of_somebody_else_is_refused() {
        for (name, value) in [
            ("issuer", json!("https://op.example/t1/")),
            ("issuer", json!("https://op.example/t2")),
            ("issuer", json!(null)),
            ("token_endpoint", json!("http://op.example/token")),
            ("token_endpoint", json!("/token")),
            ("token_endpoint", json!("https://a@op.example/token")),
            ("token_endpoint", json!(7)),
            ("jwks_uri", json!("file:///etc/passwd")),
            ("authorization_endpoint", json!("javascript:alert(1)")),
            ("authorization_endpoint", json!("https://op.example/a#b")),
            (
                "authorization_endpoint",
                json!("https://op.example/\r\nX: y"),
            ),
            ("userinfo_endpoint", json!("ftp://op.example/")),
        ] {
            let mut changed = document();
            changed[name] = value.clone();
            assert!(parse(&changed).is_err(), "{name} = {value}");
        }
        for name in [
            "issuer",
            "authorization_endpoint",
            "token_endpoint",
            "jwks_uri",
        ] {
            let mut less = document();
            less.as_object_mut().unwrap().remove(name);
            assert!(parse(&less).is_err(), "without {name}");
        }
        let twice = document()
            .to_string()
            .replacen('{', "{\"issuer\":\"x\",", 1);
        assert!(Metadata::parse(twice.as_bytes(), ISSUER).is_err());
        assert!(Metadata::parse(b"[]", ISSUER).is_err());
    }
}
