//! Requests to an upstream that no client waits behind: replays, and messages that are
//! released to a client. They go the way that all requests go there: to the same
//! address, with the same TLS settings, in the same protocol.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HOST};
use http::{Request, Response, Uri, Version};
use pingora::BError;
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::protocols::http::client::HttpSession;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::failure;
use super::peer::Peers;
use crate::channel::{Route, Upstream};
use crate::outbound::{Bounds, CallError};

/// Interim answers that are passed over.
const MOST_INTERIM: usize = 8;

/// How long a connection on which several requests can run waits for the next.
const IDLE: Duration = Duration::from_secs(30);

/// Opens connections for them, on the runtime of [`crate::outbound`].
#[derive(Default)]
pub(super) struct Resend {
    connector: OnceLock<Connector>,
    /// Of messages to clients, by upstream: one that does not answer holds up nobody who
    /// waits for another.
    turns: Mutex<HashMap<Box<str>, Arc<Semaphore>>>,
}

impl Resend {
    /// Messages to clients under way at one time to one upstream; more wait for their
    /// turn. Many login URLs may run out at once, and of each the client is told.
    const CONCURRENT: usize = 64;

    /// Waits for the turn of a message to a client, which may take long: what is to hold
    /// when it is sent is looked at after that. Customers wait for replays, and these for
    /// no turn.
    pub(super) async fn turn(&self, upstream: &Upstream) -> Option<OwnedSemaphorePermit> {
        // Nobody closes it.
        self.turns(upstream).acquire_owned().await.ok()
    }

    /// Sends a request, whose URI is path and query, to the upstream of a route; its
    /// answer, whole.
    pub(super) async fn call(
        &self,
        peers: &Peers,
        route: &Route,
        request: Request<Bytes>,
        bounds: Bounds,
    ) -> Result<Response<Bytes>, CallError> {
        let call = self.exchange(peers, route, request, bounds.max_body);
        tokio::time::timeout(bounds.timeout, call)
            .await
            .map_err(|_| CallError::Timeout)?
    }

    /// The upstreams are those of the configuration, so their number is bounded.
    fn turns(&self, upstream: &Upstream) -> Arc<Semaphore> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Semaphore::new(Self::CONCURRENT));
        turns
            .entry(upstream.name.clone())
            .or_insert_with(new)
            .clone()
    }

    async fn exchange(
        &self,
        peers: &Peers,
        route: &Route,
        request: Request<Bytes>,
        max_body: usize,
    ) -> Result<Response<Bytes>, CallError> {
        let peer = peers.of(route, false).await.map_err(failed)?;
        let connector = self.connector.get_or_init(|| Connector::new(None));
        let (mut session, _) = connector.get_http_session(&*peer).await.map_err(failed)?;
        let multiplexed = session.as_http2().is_some();
        let (head, body) = written(request, &route.upstream, multiplexed)?;
        session
            .write_request_header(Box::new(head))
            .await
            .map_err(failed)?;
        if !body.is_empty() {
            let written = session.write_request_body(body, true).await;
            written.map_err(failed)?;
        }
        session.finish_request_body().await.map_err(failed)?;
        let answer = read(&mut session, max_body).await?;
        // Of HTTP/1.1 no connection is used twice: these requests are rare.
        match multiplexed {
            true => {
                connector
                    .release_http_session(session, &*peer, Some(IDLE))
                    .await
            }
            false => session.shutdown().await,
        }
        Ok(answer)
    }
}

impl fmt::Debug for Resend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resend")
    }
}

/// The head as it goes out, and the body.
fn written(
    request: Request<Bytes>,
    upstream: &Upstream,
    multiplexed: bool,
) -> Result<(RequestHeader, Bytes), CallError> {
    let (parts, body) = request.into_parts();
    let target = parts
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let mut head = RequestHeader::build(parts.method, target.as_bytes(), None).map_err(failed)?;
    for (name, value) in &parts.headers {
        let appended = head.append_header(name.clone(), value.clone());
        appended.map_err(failed)?;
    }
    let sized = !body.is_empty() || !head.method.is_safe();
    if sized {
        let length = head.insert_header(CONTENT_LENGTH, body.len());
        length.map_err(failed)?;
    }
    let authority = match head.headers.get(HOST) {
        Some(host) => String::from_utf8_lossy(host.as_bytes()).into_owned(),
        None => upstream.authority(),
    };
    if multiplexed {
        let uri = Uri::builder()
            .scheme(upstream.scheme())
            .authority(authority)
            .path_and_query(target)
            .build();
        head.set_uri(uri.map_err(|error| CallError::Failed(error.to_string()))?);
        head.set_version(Version::HTTP_2);
        head.remove_header(&HOST);
    } else {
        head.insert_header(HOST, authority).map_err(failed)?;
    }
    Ok((head, body))
}

async fn read(session: &mut HttpSession, max_body: usize) -> Result<Response<Bytes>, CallError> {
    let mut interim = 0;
    let head = loop {
        session.read_response_header().await.map_err(failed)?;
        match session.response_header() {
            Some(head) if !head.status.is_informational() => break head,
            Some(_) if interim < MOST_INTERIM => interim += 1,
            _ => return Err(CallError::Failed("there is no answer".into())),
        }
    };
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = head.status;
    *answer.headers_mut() = head.headers.clone();
    let mut body = BytesMut::new();
    while let Some(chunk) = session.read_response_body().await.map_err(failed)? {
        if body.len() + chunk.len() > max_body {
            return Err(CallError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    *answer.body_mut() = body.freeze();
    Ok(answer)
}

fn failed(error: BError) -> CallError {
    CallError::Failed(failure::told(&error))
}
