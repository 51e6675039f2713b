//! The smallest HTTP server that the sample bot and the sample website need.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, REFERRER_POLICY};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::time::Sleep;

use super::socket;

/// Longest request body, in bytes.
pub const MAX_BODY: usize = 64 * 1024;
/// Between two parts of an answer: long enough to be seen.
const PAUSE: Duration = Duration::from_millis(150);

/// Something that answers requests.
pub trait Site: Send + Sync + 'static {
    /// The answer. Quick: it runs on the thread that serves everybody.
    fn answer(&self, request: &Request<Bytes>) -> Page;

    /// Whether WebSockets open at this path.
    fn has_socket(&self, _path: &str) -> bool {
        false
    }

    /// What is said to a text message on the socket at this path.
    fn hear(&self, _path: &str, _message: &[u8]) -> Option<String> {
        None
    }
}

/// An answer.
pub type Page = Response<Parts>;

/// A body whose parts leave one after the other, with a pause in between.
#[derive(Default)]
pub struct Parts {
    parts: VecDeque<Bytes>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        let part = self.parts.pop_front();
        if !self.parts.is_empty() {
            self.pause = Some(Box::pin(tokio::time::sleep(PAUSE)));
        }
        Poll::Ready(part.map(|part| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.parts.iter().all(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.parts.iter().map(|part| part.len() as u64).sum())
    }
}

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
            let service = service_fn(|request| answer(&site, request));
            // A client that breaks off is no news.
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades()
                .await;
        });
    }
}

async fn answer<S: Site>(site: &Arc<S>, request: Request<Incoming>) -> Result<Page, Infallible> {
    if site.has_socket(request.uri().path()) {
        return Ok(socket::open(Arc::clone(site), request));
    }
    let (head, body) = request.into_parts();
    let page = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => site.answer(&Request::from_parts(head, body.to_bytes())),
        Err(_) => text(StatusCode::BAD_REQUEST, "The request body cannot be read."),
    };
    Ok(page)
}

/// An answer with a body of some type. Nothing here is ever to be cached or referred to.
pub fn page(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Page {
    parts(status, kind, VecDeque::from([body.into()]))
}

/// Server-sent events, each with this data.
pub fn events<'v>(data: impl IntoIterator<Item = &'v Value>) -> Page {
    let events = data.into_iter().map(|data| format!("data: {data}\n\n"));
    parts(
        StatusCode::OK,
        "text/event-stream",
        events.map(Bytes::from).collect(),
    )
}

fn parts(status: StatusCode, kind: &'static str, parts: VecDeque<Bytes>) -> Page {
    let mut page = Response::new(Parts { parts, pause: None });
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
