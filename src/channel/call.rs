//! A request that chatgate makes to the backend: the side call, the notice after a login.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value};

use super::template::{BodyTemplate, JsonTemplate, Template};
use crate::directory::http::Sign;
use crate::login::{SecurityKeys, webhook};
use crate::message::target;
use crate::time::Time;

/// A configured request.
#[derive(Debug)]
pub struct Call {
    /// Its method.
    pub method: Method,
    /// The absolute URL, a template that escapes for URLs.
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

impl Call {
    /// The request, rendered and signed. `id` names it to its receiver: the same
    /// one when it is sent again. The signature's headers win over configured ones.
    ///
    /// Percent-encoding keeps a value in its place in the URL; one that makes the
    /// path ambiguous all the same (`..`, a slash; see [`target::check_path`]) is an
    /// error. Errors tell what failed and repeat no value.
    pub fn request(
        &self,
        values: &Map<String, Value>,
        id: &str,
        now: Time,
    ) -> Result<Request<Bytes>, String> {
        let body = match &self.body {
            Some(body) => body.render(values)?,
            None => Vec::new(),
        };
        let mut headers = HeaderMap::new();
        if let Some(body) = &self.body {
            headers.insert(header::CONTENT_TYPE, content_type(body));
        }
        for (name, template) in &self.headers {
            headers.insert(name.clone(), template.render_header(values)?);
        }
        if let Some(signer) = &self.sign {
            signer.sign(&mut headers, values, &body, id, now)?;
        }
        let mut request = Request::new(Bytes::from(body));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri(values)?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    fn uri(&self, values: &Map<String, Value>) -> Result<Uri, String> {
        let url = self.url.render(values)?;
        let uri: Uri = url.parse().map_err(|_| "its URL is not a URL")?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
            return Err("its URL is not absolute".into());
        }
        target::check_path(uri.path()).map_err(|_| "the path of its URL is ambiguous")?;
        Ok(uri)
    }
}

/// How a call is signed.
pub enum Signer {
    /// Standard Webhooks.
    Webhook(SecurityKeys),
    /// A token that stays the same, in `Authorization: Bearer`.
    Bearer(HeaderValue),
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

impl Signer {
    fn sign(
        &self,
        headers: &mut HeaderMap,
        values: &Map<String, Value>,
        body: &[u8],
        id: &str,
        now: Time,
    ) -> Result<(), String> {
        match self {
            Self::Webhook(keys) => headers.extend(webhook::sign(keys, id, now, body)),
            Self::Bearer(value) => {
                headers.insert(header::AUTHORIZATION, value.clone());
            }
            Self::Jwt {
                algorithm,
                key,
                claims,
            } => {
                let Value::Object(mut claims) = claims.render(values)? else {
                    return Err("the claims of its token are not an object".into());
                };
                claims.insert("iat".into(), now.secs().into());
                let token = jsonwebtoken::encode(&Header::new(*algorithm), &claims, key)
                    .map_err(|error| format!("its token cannot be signed: {error}"))?;
                let mut bearer = HeaderValue::try_from(format!("Bearer {token}"))
                    .map_err(|error| error.to_string())?;
                bearer.set_sensitive(true);
                headers.insert(header::AUTHORIZATION, bearer);
            }
        }
        Ok(())
    }
}

impl Sign for Signer {
    /// As calls without values are signed.
    fn sign(
        &self,
        headers: &mut HeaderMap,
        body: &[u8],
        id: &str,
        now: Time,
    ) -> Result<(), String> {
        Self::sign(self, headers, &Map::new(), body, id, now)
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Webhook(_) => "Webhook([redacted])",
            Self::Bearer(_) => "Bearer([redacted])",
            Self::Jwt { .. } => "Jwt([redacted])",
        })
    }
}

fn content_type(body: &BodyTemplate) -> HeaderValue {
    HeaderValue::from_static(match body {
        BodyTemplate::Json(_) => "application/json",
        BodyTemplate::Text(_) => "text/plain; charset=utf-8",
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::template::{CALL_NAMES, Escape};
    use super::*;
    use crate::identity::jwt::{PinnedKey, Token};

    const NOW: Time = Time::from_secs(1_614_265_330);
    const SECRET: &[u8; 32] = &[7; 32];

    fn text(text: &str) -> Template {
        Template::parse(text, Escape::None, CALL_NAMES).unwrap()
    }

    fn json_body(text: &str) -> JsonTemplate {
        JsonTemplate::parse(text, CALL_NAMES).unwrap()
    }

    fn call(url: &str) -> Call {
        Call {
            method: Method::POST,
            url: Template::parse(url, Escape::Url, CALL_NAMES).unwrap(),
            headers: Vec::new(),
            body: None,
            sign: None,
            timeout: Duration::from_secs(5),
        }
    }

    fn values() -> Map<String, Value> {
        let values = json!({
            "channel": "web",
            "interaction": "chat 1/2?x#y&z=ü",
            "subject": "al\"ice",
            "level": "verified",
            "claims": { "city": "Köln / Bonn", "age": 7 },
            "login_time": 1_614_265_000,
        });
        values.as_object().unwrap().clone()
    }

    fn request(call: &Call) -> Request<Bytes> {
        call.request(&values(), "msg_1", NOW).unwrap()
    }

    #[test]
    fn values_cannot_leave_their_place_in_the_url() {
        let call = call(
            "http://127.0.0.1:5005/x?chat={{ interaction }}&city={{ claims.city }}&age={{ claims.age }}",
        );
        assert_eq!(
            request(&call).uri().to_string(),
            "http://127.0.0.1:5005/x?chat=chat%201%2F2%3Fx%23y%26z%3D%C3%BC&city=K%C3%B6ln%20%2F%20Bonn&age=7"
        );
    }

    #[test]
    fn values_that_make_a_path_ambiguous_are_refused() {
        let call = call("http://127.0.0.1/users/{{ subject }}/note");
        for subject in ["..", ".", "", "a/b", "a\\b", "a;b", "a%2fb", "a\0"] {
            let mut values = values();
            values.insert("subject".into(), subject.into());
            let error = call.request(&values, "msg_1", NOW).unwrap_err();
            assert!(error.contains("path"), "{subject:?}: {error}");
        }
        let uri = request(&call).uri().to_string();
        assert_eq!(uri, "http://127.0.0.1/users/al%22ice/note");
    }

    #[test]
    fn a_url_has_to_be_absolute() {
        for url in ["/relative", "ftp://127.0.0.1/", "http//x", ""] {
            assert!(call(url).request(&values(), "msg_1", NOW).is_err(), "{url}");
        }
    }

    #[test]
    fn body_headers_and_method() {
        let mut call = call("http://127.0.0.1/");
        call.method = Method::PUT;
        call.body = Some(BodyTemplate::Json(json_body(
            r#"{"CustomerId": "{{ subject }}", "all": "{{ claims }}"}"#,
        )));
        call.headers = vec![(HeaderName::from_static("x-session"), text("{{ level }}"))];
        let sent = request(&call);
        assert_eq!(sent.method(), Method::PUT);
        assert_eq!(sent.headers()["content-type"], "application/json");
        assert_eq!(sent.headers()["x-session"], "verified");
        assert_eq!(
            serde_json::from_slice::<Value>(sent.body()).unwrap(),
            json!({ "CustomerId": "al\"ice", "all": { "city": "Köln / Bonn", "age": 7 } })
        );

        let other = (header::CONTENT_TYPE, text("application/vnd.x+json"));
        call.headers = vec![other];
        assert_eq!(
            request(&call).headers()["content-type"],
            "application/vnd.x+json"
        );

        call.headers.clear();
        call.body = Some(BodyTemplate::Text(text("hello {{ level }}")));
        let sent = request(&call);
        assert_eq!(sent.body(), "hello verified");
        assert_eq!(sent.headers()["content-type"], "text/plain; charset=utf-8");

        call.body = None;
        let sent = request(&call);
        assert!(sent.body().is_empty() && sent.headers().is_empty());
    }

    /// The vector of the Standard Webhooks specification.
    #[test]
    fn a_webhook_signature_covers_the_body() {
        let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let mut call = call("http://127.0.0.1/");
        call.body = Some(BodyTemplate::Text(text("{\"test\": 2432232314}")));
        call.sign = Some(Signer::Webhook(SecurityKeys::parse([key]).unwrap()));
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let sent = call.request(&values(), id, NOW).unwrap();
        assert_eq!(sent.headers()["webhook-id"], id);
        assert_eq!(sent.headers()["webhook-timestamp"], "1614265330");
        assert_eq!(
            sent.headers()["webhook-signature"],
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn a_token_has_the_claims_and_the_time() {
        let mut call = call("http://127.0.0.1/");
        call.headers = vec![(header::AUTHORIZATION, text("Basic x"))];
        call.sign = Some(Signer::Jwt {
            algorithm: Algorithm::HS256,
            key: EncodingKey::from_secret(SECRET),
            claims: json_body(r#"{"iss": "{{ channel }}", "iat": 1}"#),
        });
        let sent = request(&call);
        let bearer = sent.headers()["authorization"].to_str().unwrap();
        let token = Token::parse(bearer.strip_prefix("Bearer ").unwrap()).unwrap();
        let key = PinnedKey::from_secret(None, Algorithm::HS256, SECRET).unwrap();
        assert_eq!(token.verify([&key]), Ok(()));
        assert_eq!(
            Value::Object(token.into_unverified_claims()),
            json!({ "iss": "web", "iat": NOW.secs() })
        );
        assert_eq!(format!("{:?}", call.sign), "Some(Jwt([redacted]))");
        assert!(sent.headers()["authorization"].is_sensitive());
    }
}
