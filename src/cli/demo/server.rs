//! The smallest HTTP server that the sample bot and the sample website need.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, REFERRER_POLICY};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;

/// Longest request body, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// Something that answers requests.
pub trait Site: Send + Sync + 'static {
    /// The answer. Quick: it runs on the thread that serves everybody.
    fn answer(&self, request: &Request<Bytes>) -> Page;
}

/// An answer.
pub type Page = Response<Full<Bytes>>;

/// A socket on a free loopback port, and where it is.
pub fn listen() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Serves `site` on a thread of its own, until the process ends.
pub fn serve(listener: TcpListener, site: impl Site) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let listener = {
        let _context = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    let site = Arc::new(site);
    std::thread::Builder::new().spawn(move || runtime.block_on(accept(listener, site)))?;
    Ok(())
}

async fn accept<S: Site>(listener: tokio::net::TcpListener, site: Arc<S>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, for one; spinning would not help.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let site = Arc::clone(&site);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(&*site, request));
            // A client that breaks off is no news.
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(site: &impl Site, request: Request<Incoming>) -> Result<Page, Infallible> {
    let (head, body) = request.into_parts();
    let page = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => site.answer(&Request::from_parts(head, body.to_bytes())),
        Err(_) => text(StatusCode::BAD_REQUEST, "The request body cannot be read."),
    };
    Ok(page)
}

/// An answer with a body of some type. Nothing here is ever to be cached or referred to.
pub fn page(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Page {
    let mut page = Response::new(Full::new(body.into()));
    *page.status_mut() = status;
    let headers = page.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(
        "x-content-type-options",
        HeaderValue::from_static("nosniff"),
    );
    page
}

/// Plain text.
pub fn text(status: StatusCode, text: &'static str) -> Page {
    page(status, "text/plain; charset=utf-8", text)
}

/// JSON.
pub fn json(status: StatusCode, value: &Value) -> Page {
    page(status, "application/json", value.to_string())
}

/// Sends the browser elsewhere, with GET.
pub fn see_other(location: &str) -> Page {
    let mut page = text(StatusCode::SEE_OTHER, "");
    match HeaderValue::from_str(location) {
        Ok(location) => page.headers_mut().insert(LOCATION, location),
        Err(_) => return text(StatusCode::BAD_REQUEST, "There is no such place."),
    };
    page
}
