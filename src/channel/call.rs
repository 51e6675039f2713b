//! A request that chatgate makes to the backend: the side call, the notice after a login.

use std::time::Duration;

use http::{HeaderName, Method};
use jsonwebtoken::{Algorithm, EncodingKey};

use super::template::{BodyTemplate, JsonTemplate, Template};
use crate::login::SecurityKeys;

/// A configured request.
#[derive(Debug)]
pub struct Call {
    /// Its method.
    pub method: Method,
    /// The absolute URL; values in it are percent-encoded.
    pub url: Template,
    /// Its headers.
    pub headers: Vec<(HeaderName, Template)>,
    /// Its body.
    pub body: Option<BodyTemplate>,
    /// How it is signed.
    pub sign: Option<Signer>,
    /// How long it may take.
    pub timeout: Duration,
}

/// How a call is signed.
pub enum Signer {
    /// Standard Webhooks.
    Webhook(SecurityKeys),
    /// A JWT in `Authorization: Bearer`; `iat` is added to the claims.
    Jwt {
        /// Its algorithm.
        algorithm: Algorithm,
        /// Its key.
        key: EncodingKey,
        /// Its claims.
        claims: JsonTemplate,
    },
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Webhook(_) => "Webhook([redacted])",
            Self::Jwt { .. } => "Jwt([redacted])",
        })
    }
}
impl Call {
    #[allow(missing_docs)]
    pub fn request(
        &self,
        _: &serde_json::Map<String, serde_json::Value>,
        _: &str,
        _: crate::time::Time,
    ) -> Result<http::Request<bytes::Bytes>, String> {
        Err(String::new())
    }
}
