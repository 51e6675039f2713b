//! The calls chatgate makes itself: session look-ups, records, key sets, identity
//! providers, side calls, notices. They run on a runtime of their own, since each pingora
//! service has its own and a pooled connection must not outlive the one it was
//! opened on.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http::uri::Authority;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::{self, Handle};
use tokio::sync::{Semaphore, oneshot, watch};

/// Bounds of one call.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// From asking for the call to the last byte received, a wait for its turn included.
    pub timeout: Duration,
    /// Longest answer body in bytes.
    pub max_body: usize,
}

/// Why a call yielded no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// It took longer than its bound.
    Timeout,
    /// The answer was longer than its bound.
    TooLarge,
    /// Everything else: no connection, broken TLS, broken HTTP.
    Failed(String),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("it took too long"),
            Self::TooLarge => f.write_str("the answer is too long"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl Error for CallError {}

/// The client. Dropping it ends its runtime; calls under way then fail.
pub struct Outbound {
    runtime: Handle,
    client: HttpClient,
    /// By host and port: whoever does not answer holds up nobody else.
    turns: Mutex<HashMap<String, Arc<Semaphore>>>,
    /// Dropped with the client, which ends the thread of the runtime.
    _alive: oneshot::Sender<()>,
}

impl Outbound {
    /// Calls under way at one time to one host; more wait for their turn.
    const CONCURRENT: usize = 256;

    /// Starts the runtime and the client. TLS trusts the system's roots and
    /// `extra_roots` (PEM); PEM without a certificate in it is an error.
    pub fn start(extra_roots: Option<&[u8]>) -> Result<Self, String> {
        let tls = tls_config(system(extra_roots)?)?;
        let (alive, ended) = oneshot::channel();
        let runtime = start_runtime(ended)?;
        let client = {
            // The pool's timers belong to the runtime they are made on.
            let _entered = runtime.enter();
            http_client(tls)
        };
        Ok(Self {
            runtime,
            client,
            turns: Mutex::default(),
            _alive: alive,
        })
    }

    /// Makes one call (HTTP/1.1; `http` and `https` URLs; no redirects followed).
    /// It runs to its end even if nobody waits for it any more.
    pub async fn call(
        &self,
        request: http::Request<Bytes>,
        bounds: Bounds,
    ) -> Result<http::Response<Bytes>, CallError> {
        let client = self.client.clone();
        let turns = self.turns(request.uri());
        let call = async move {
            let _turn = turns.acquire().await;
            exchange(client, request, bounds.max_body).await
        };
        self.runtime
            .spawn(async move { tokio::time::timeout(bounds.timeout, call).await })
            .await
            .map_err(|_| CallError::Failed("the client has ended".into()))?
            .map_err(|_| CallError::Timeout)?
    }

    /// The hosts are those of the configuration, so their number is bounded.
    fn turns(&self, uri: &Uri) -> Arc<Semaphore> {
        let host = uri.authority().map_or("", Authority::as_str).to_owned();
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Semaphore::new(Self::CONCURRENT));
        turns.entry(host).or_insert_with(new).clone()
    }

    /// Runs work of ours on the client's runtime; it runs to its end whoever gives up.
    /// `None` when it was lost (it panicked, or the client ended).
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        self.runtime.spawn(work).await.ok()
    }

    /// Starts work that several wait for; it runs to its end whoever gives up.
    pub fn share<T: Clone + Send + Sync + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Shared<T> {
        let (done, shared) = watch::channel(None);
        self.runtime.spawn(async move {
            let outcome = work.await;
            done.send_replace(Some(outcome));
        });
        Shared(shared)
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outbound")
    }
}

/// Work under way, and its outcome for everyone who asks.
#[derive(Clone, Debug)]
pub struct Shared<T>(watch::Receiver<Option<T>>);

impl<T: Clone> Shared<T> {
    /// The outcome; `None` when the work was lost (it panicked, or the client ended).
    pub async fn wait(mut self) -> Option<T> {
        self.0.wait_for(Option::is_some).await.ok()?.clone()
    }

    /// The outcome, if there is one by now.
    pub fn outcome(&self) -> Option<T> {
        self.0.borrow().clone()
    }

    /// Whether the work is over, or lost.
    pub fn is_over(&self) -> bool {
        self.0.borrow().is_some() || self.0.has_changed().is_err()
    }
}

type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

async fn exchange(
    client: HttpClient,
    request: http::Request<Bytes>,
    max_body: usize,
) -> Result<http::Response<Bytes>, CallError> {
    let answer = client
        .request(request.map(Full::new))
        .await
        .map_err(|error| failed(&error))?;
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, max_body)
        .collect()
        .await
        .map_err(|error| match error.is::<LengthLimitError>() {
            true => CallError::TooLarge,
            false => failed(&*error),
        })?;
    Ok(http::Response::from_parts(head, body.to_bytes()))
}

/// The error with its causes; those of the client name hosts and faults, never headers.
fn failed(error: &(dyn Error + 'static)) -> CallError {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    CallError::Failed(text)
}

/// A runtime in a thread of its own. It is dropped there too: dropping a runtime
/// inside another one panics.
fn start_runtime(ended: oneshot::Receiver<()>) -> Result<Handle, String> {
    let (ready, started) = mpsc::sync_channel(1);
    let run = move || match runtime::Builder::new_current_thread().enable_all().build() {
        Err(error) => drop(ready.send(Err(error.to_string()))),
        Ok(runtime) => {
            drop(ready.send(Ok(runtime.handle().clone())));
            // An error is what ends it: the sender was dropped.
            let _ = runtime.block_on(ended);
            runtime.shutdown_background();
        }
    };
    thread::Builder::new()
        .name("outbound".into())
        .spawn(run)
        .map_err(|error| format!("cannot start a thread: {error}"))?;
    started
        .recv()
        .map_err(|_| "the outbound thread ended at once".to_string())?
}

fn http_client(tls: ClientConfig) -> HttpClient {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(30))
        .pool_max_idle_per_host(32)
        .build(connector)
}

/// TLS for a client that trusts these roots.
pub(crate) fn tls_config(roots: RootCertStore) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// The system's roots and those of a PEM text.
pub(crate) fn system(extra: Option<&[u8]>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    // A machine without roots can still call `http` URLs, and those that `extra` vouches for.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(pem) = extra {
        add_pem(&mut roots, pem)?;
    }
    Ok(roots)
}

/// The roots of a PEM text alone.
pub(crate) fn only(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    add_pem(&mut roots, pem)?;
    Ok(roots)
}

fn add_pem(roots: &mut RootCertStore, pem: &[u8]) -> Result<(), String> {
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| format!("not PEM: {error}"))?;
        roots
            .add(certificate)
            .map_err(|error| format!("not a certificate to trust: {error}"))?;
    }
    match roots.len() > before {
        true => Ok(()),
        false => Err("there is no certificate in it".into()),
    }
}

#[cfg(test)]
pub(crate) mod tests;
