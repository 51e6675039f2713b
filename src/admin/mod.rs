//! The private listener: is it alive, is it ready, what has it counted; and the
//! revocation of an interaction.

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{Method, Response, StatusCode};

use crate::interaction::Key;
use crate::message::target;
use crate::telemetry::Metrics;

/// What a request to the private listener asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// `GET /livez`: does the process run?
    Live,
    /// `GET /readyz`: does it take traffic?
    Ready,
    /// `GET /metrics`.
    Metrics,
    /// `DELETE /interactions/{channel}/{interaction}`: take the identity away.
    Revoke(Key),
    /// A path that is here, by another method than this.
    WrongMethod(&'static str),
    /// Anything else.
    Unknown,
}

impl Asked {
    /// Reads a request. The interaction id is percent-decoded.
    pub fn read(method: &Method, path: &str) -> Self {
        let get = matches!(*method, Method::GET | Method::HEAD);
        if let Some((channel, id)) = path
            .strip_prefix("/interactions/")
            .and_then(|rest| rest.split_once('/'))
        {
            return match *method {
                Method::DELETE => Self::Revoke(Key::new(channel, &target::decode(id))),
                _ => Self::WrongMethod("DELETE"),
            };
        }
        match path {
            "/livez" if get => Self::Live,
            "/readyz" if get => Self::Ready,
            "/metrics" if get => Self::Metrics,
            "/livez" | "/readyz" | "/metrics" => Self::WrongMethod("GET"),
            _ => Self::Unknown,
        }
    }
}

/// Answers everything but [`Asked::Revoke`], which the gateway carries out first:
/// `revoked` is what came of it.
pub fn respond(asked: &Asked, ready: bool, revoked: bool, metrics: &Metrics) -> Response<Vec<u8>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    const HELP: &str = "/livez /readyz /metrics /interactions/{channel}/{interaction}\n";
    match asked {
        Asked::Live => answer(StatusCode::OK, TEXT, "alive\n".into()),
        Asked::Ready if ready => answer(StatusCode::OK, TEXT, "ready\n".into()),
        Asked::Ready => answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, "draining\n".into()),
        Asked::Metrics => answer(StatusCode::OK, OPEN_METRICS, metrics.text()),
        Asked::Revoke(_) if revoked => answer(StatusCode::OK, TEXT, "revoked\n".into()),
        Asked::Revoke(_) => answer(StatusCode::NOT_FOUND, TEXT, "no such interaction\n".into()),
        Asked::WrongMethod(allow) => {
            let mut refused = answer(StatusCode::METHOD_NOT_ALLOWED, TEXT, String::new());
            refused
                .headers_mut()
                .insert(ALLOW, http::HeaderValue::from_static(allow));
            refused
        }
        Asked::Unknown => answer(StatusCode::NOT_FOUND, TEXT, HELP.into()),
    }
}

fn answer(status: StatusCode, kind: &'static str, body: String) -> Response<Vec<u8>> {
    let length = http::HeaderValue::from(body.len());
    let mut response = Response::new(body.into_bytes());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    headers.insert(http::header::CONTENT_LENGTH, length);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_follows_the_drain() {
        let metrics = Metrics::new();
        let ask = |method, path, ready| {
            respond(&Asked::read(&method, path), ready, false, &metrics).status()
        };
        assert_eq!(ask(Method::GET, "/readyz", true), StatusCode::OK);
        assert_eq!(
            ask(Method::GET, "/readyz", false),
            StatusCode::SERVICE_UNAVAILABLE
        );
        assert_eq!(ask(Method::GET, "/livez", false), StatusCode::OK);
        assert_eq!(ask(Method::GET, "/other", true), StatusCode::NOT_FOUND);
        assert_eq!(
            ask(Method::POST, "/livez", true),
            StatusCode::METHOD_NOT_ALLOWED
        );
    }

    #[test]
    fn an_interaction_is_revoked_by_its_decoded_id() {
        let asked = Asked::read(&Method::DELETE, "/interactions/web/a%2Fb%20c");
        assert_eq!(asked, Asked::Revoke(Key::new("web", "a/b c")));
        let asked = Asked::read(&Method::GET, "/interactions/web/a");
        assert_eq!(asked, Asked::WrongMethod("DELETE"));
    }
}
