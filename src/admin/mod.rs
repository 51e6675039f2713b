//! The private listener: is it alive, is it ready, what has it counted.

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{Method, Response, StatusCode};

use crate::telemetry::Metrics;

/// Answers a request to the private listener.
///
/// `/livez` is 200 while the process runs; `/readyz` is 200 while it takes
/// traffic and 503 before that and while it drains; `/metrics` is OpenMetrics.
pub fn respond(method: &Method, path: &str, ready: bool, metrics: &Metrics) -> Response<Vec<u8>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut refused = answer(StatusCode::METHOD_NOT_ALLOWED, TEXT, String::new());
        refused
            .headers_mut()
            .insert(ALLOW, http::HeaderValue::from_static("GET"));
        return refused;
    }
    match (path, ready) {
        ("/livez", _) => answer(StatusCode::OK, TEXT, "alive\n".into()),
        ("/readyz", true) => answer(StatusCode::OK, TEXT, "ready\n".into()),
        ("/readyz", false) => answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, "draining\n".into()),
        ("/metrics", _) => answer(StatusCode::OK, OPEN_METRICS, metrics.text()),
        _ => answer(
            StatusCode::NOT_FOUND,
            TEXT,
            "/livez /readyz /metrics\n".into(),
        ),
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
        let ask = |path, ready| respond(&Method::GET, path, ready, &metrics).status();
        assert_eq!(ask("/readyz", true), StatusCode::OK);
        assert_eq!(ask("/readyz", false), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(ask("/livez", false), StatusCode::OK);
        assert_eq!(ask("/other", true), StatusCode::NOT_FOUND);
        assert_eq!(
            respond(&Method::POST, "/livez", true, &metrics).status(),
            StatusCode::METHOD_NOT_ALLOWED
        );
    }
}
