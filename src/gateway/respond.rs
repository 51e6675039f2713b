//! Every answer that chatgate makes itself, in one place: none is cached, none
//! leaks a referrer, and each leaves its connection in a state that the next
//! request can be read from.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, LOCATION,
    ORIGIN, REFERRER_POLICY, TRANSFER_ENCODING, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use crate::channel::Cors;
use crate::message::is_bodiless;
use crate::reason::Reason;

/// An answer of chatgate's own.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, without those that every reply has.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Reply {
    /// A status alone.
    pub(super) fn new(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// A refusal: the reason's status, code and message, and the request's id to
    /// ask an operator about.
    pub(super) fn refusal(reason: Reason, id: impl std::fmt::Display) -> Self {
        let body = serde_json::json!({
            "error": { "code": reason.told(), "message": reason.message() },
            "request_id": id.to_string(),
        });
        let reply = Self::json(reason.status(), &body);
        // An error is told of what came, not of what did not (RFC 6750, section 3.1).
        let challenge = match (reply.status, reason) {
            (StatusCode::UNAUTHORIZED, Reason::ProofMissing | Reason::SignatureMissing) => "Bearer",
            (StatusCode::UNAUTHORIZED, _) => "Bearer error=\"invalid_token\"",
            _ => return reply,
        };
        reply.with(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }

    /// A JSON answer.
    pub(super) fn json(status: StatusCode, body: &serde_json::Value) -> Self {
        Self {
            body: body.to_string().into(),
            ..Self::new(status)
        }
        .with(CONTENT_TYPE, HeaderValue::from_static("application/json"))
    }

    /// A 303 to a place that was configured, never taken from a request.
    pub(super) fn see_other(place: &str) -> Self {
        match HeaderValue::from_str(place) {
            Ok(place) => Self::new(StatusCode::SEE_OTHER).with(LOCATION, place),
            Err(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    /// Adds a header.
    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// Adds what a browser on another origin needs to read this answer.
    pub(super) fn with_cors(mut self, cors: Option<&Cors>, request: &HeaderMap) -> Self {
        let Some((cors, origin)) = cors.and_then(|cors| Some((cors, cors.allows(request)?))) else {
            return self;
        };
        self.headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        self.headers
            .append(VARY, HeaderValue::from_static("Origin"));
        if cors.credentials {
            self.headers.insert(
                ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            );
        }
        self
    }

    /// The answer to a CORS preflight.
    pub(super) fn preflight(cors: &Cors, request: &HeaderMap) -> Self {
        let mut reply = Self::new(StatusCode::NO_CONTENT).with_cors(Some(cors), request);
        if !reply.headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            return Self::new(StatusCode::FORBIDDEN);
        }
        if let Some(method) = request.get(ACCESS_CONTROL_REQUEST_METHOD) {
            reply
                .headers
                .insert(ACCESS_CONTROL_ALLOW_METHODS, method.clone());
        }
        let asked = request.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        let allowed = match cors.headers.is_empty() {
            true => asked,
            false => HeaderValue::from_str(&cors.headers.join(", ")).ok(),
        };
        if let Some(allowed) = allowed {
            reply.headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
        }
        reply.with(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"))
    }

    /// Writes it. A connection whose request was not read to its end is closed
    /// afterwards: what follows on it is not the next request.
    pub(super) async fn send(self, session: &mut Session) -> pingora::Result<()> {
        let Self {
            status,
            headers,
            body,
        } = self;
        let mut head = ResponseHeader::build(status, Some(headers.len() + 6))?;
        for (name, value) in &headers {
            head.append_header(name.clone(), value.clone())?;
        }
        for (name, value) in [
            (CACHE_CONTROL, "no-store"),
            (REFERRER_POLICY, "no-referrer"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ] {
            if name != REFERRER_POLICY || !headers.contains_key(REFERRER_POLICY) {
                head.insert_header(name, value)?;
            }
        }
        if status != StatusCode::NO_CONTENT {
            head.insert_header(CONTENT_LENGTH, body.len())?;
        }
        write(session, head, body).await
    }
}

/// Tells a client that waits for it to send its body (RFC 9110, section 10.1.1).
pub(super) async fn go_on(session: &mut Session) -> pingora::Result<()> {
    if session.req_header().headers.contains_key(EXPECT) {
        session.write_continue_response().await?;
    }
    Ok(())
}

/// Lets an answer without length end with the connection, for a client that does not
/// know chunks (HTTP/1.0). Behind [`super::proxy`], pingora would say that they come,
/// where the backend speaks HTTP/2. So the head is written here; of one that is
/// informational, which stands in its place, nothing is written.
pub(super) async fn without_chunks(
    session: &mut Session,
    head: &mut ResponseHeader,
) -> pingora::Result<()> {
    let method = &session.req_header().method;
    if is_bodiless(head.status) || method == Method::HEAD {
        return Ok(());
    }
    session.set_ignore_info_resp(true);
    let placeholder = ResponseHeader::build(StatusCode::EARLY_HINTS, Some(0))?;
    let mut head = std::mem::replace(head, placeholder);
    unsized_head(session, &mut head)?;
    session.write_response_header(Box::new(head), false).await
}

/// Makes the head that of a body whose length is not known.
pub(super) fn unsized_head(
    session: &mut Session,
    head: &mut ResponseHeader,
) -> pingora::Result<()> {
    head.set_version(Version::HTTP_11);
    if session.req_header().version == Version::HTTP_10 {
        head.remove_header(&TRANSFER_ENCODING);
        session.set_keepalive(None);
        return Ok(());
    }
    head.insert_header(TRANSFER_ENCODING, "chunked")
}

/// Writes a whole answer. `head` names the body's length.
pub(super) async fn write(
    session: &mut Session,
    head: ResponseHeader,
    body: Bytes,
) -> pingora::Result<()> {
    if !session.as_downstream_mut().is_body_done() {
        session.set_keepalive(None);
    }
    let bodiless = session.req_header().method == Method::HEAD || body.is_empty();
    session
        .write_response_header(Box::new(head), bodiless)
        .await?;
    if !bodiless {
        session.write_response_body(Some(body), true).await?;
    }
    Ok(())
}

impl Cors {
    /// The value of `Access-Control-Allow-Origin` for this request, if its origin is allowed.
    fn allows(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let origin = request.get(ORIGIN)?;
        if self.origins.iter().any(|allowed| allowed == origin) {
            return Some(origin.clone());
        }
        let any = self.origins.iter().any(|allowed| allowed == "*");
        (any && !self.credentials).then(|| HeaderValue::from_static("*"))
    }
}
