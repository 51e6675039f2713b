//! Calls to real servers in this process, and the servers for others to test with.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Mutex;

use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;

use super::*;

const BOUNDS: Bounds = Bounds {
    timeout: Duration::from_secs(10),
    max_body: 1024,
};

/// An HTTP server on loopback. It keeps the heads of all requests and answers by a function.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    heads: Arc<Mutex<Vec<http::request::Parts>>>,
    runtime: Option<runtime::Runtime>,
}

impl Server {
    /// Starts one on a runtime of its own. The function may block its answer on a future.
    pub(crate) fn start<F, A>(answer: F) -> Self
    where
        F: Fn(usize) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime
            .block_on(TcpListener::bind(("127.0.0.1", 0)))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = heads.clone();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, answer) = (seen.clone(), answer.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let count = {
                        let mut seen = seen.lock().unwrap();
                        seen.push(request.into_parts().0);
                        seen.len()
                    };
                    let answer = answer(count);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self {
            address,
            heads,
            runtime: Some(runtime),
        }
    }

    /// One that always answers the same.
    pub(crate) fn answering(status: u16, body: &'static str) -> Self {
        Self::start(move |_| async move { answer(status, body) })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How many requests came.
    pub(crate) fn count(&self) -> usize {
        self.heads.lock().unwrap().len()
    }

    /// The head of request number `index`.
    pub(crate) fn head(&self, index: usize) -> http::request::Parts {
        self.heads.lock().unwrap()[index].clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub(crate) fn answer(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .body(Full::new(body.into()))
        .unwrap()
}

fn get(url: &str) -> Request<Bytes> {
    Request::get(url).body(Bytes::new()).unwrap()
}

/// Runs on a runtime that is not the client's, as the gateway does.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

fn call(request: Request<Bytes>, bounds: Bounds) -> Result<Response<Bytes>, CallError> {
    let outbound = Outbound::start(None).unwrap();
    block_on(outbound.call(request, bounds))
}

#[test]
fn an_answer_arrives_whole() {
    let server = Server::answering(201, "hello");
    let answer = call(get(&server.url("/x?y=1")), BOUNDS).unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert_eq!(answer.body(), "hello");
    let head = server.head(0);
    assert_eq!(head.uri, "/x?y=1");
    assert_eq!(head.headers["host"], server.address.to_string());
}

#[test]
fn redirects_are_not_followed() {
    let server = Server::start(|_| async {
        let mut answer = answer(302, "");
        answer
            .headers_mut()
            .insert("location", http::HeaderValue::from_static("/elsewhere"));
        answer
    });
    let answer = call(get(&server.url("/")), BOUNDS).unwrap();
    assert_eq!(answer.status(), StatusCode::FOUND);
    assert_eq!(server.count(), 1);
}

#[test]
fn a_body_over_the_bound_is_refused() {
    let server = Server::answering(200, "12345");
    let bounds = |max_body| Bounds { max_body, ..BOUNDS };
    assert!(call(get(&server.url("/")), bounds(5)).is_ok());
    assert_eq!(
        call(get(&server.url("/")), bounds(4)).unwrap_err(),
        CallError::TooLarge
    );
}

#[test]
fn a_server_that_never_answers_times_out() {
    let server = Server::start(|_| std::future::pending());
    let bounds = Bounds {
        timeout: Duration::from_millis(50),
        ..BOUNDS
    };
    assert_eq!(
        call(get(&server.url("/")), bounds).unwrap_err(),
        CallError::Timeout
    );
}

#[test]
fn nobody_there_is_an_error_and_so_are_odd_urls() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let gone = listener.local_addr().unwrap();
    drop(listener);
    for url in [&*format!("http://{gone}/"), "/relative", "ftp://127.0.0.1/"] {
        let error = call(get(url), BOUNDS).unwrap_err();
        assert!(matches!(error, CallError::Failed(_)), "{url}: {error}");
    }
}

/// A host that does not answer has a bounded share, and the others have theirs.
#[test]
fn waiting_for_a_turn_counts_and_each_host_has_its_own() {
    let (busy, idle) = (Server::answering(200, ""), Server::answering(200, ""));
    let outbound = Outbound::start(None).unwrap();
    let call = |server: &Server, timeout| {
        let bounds = Bounds { timeout, ..BOUNDS };
        block_on(outbound.call(get(&server.url("/")), bounds)).map(drop)
    };
    let turns = outbound.turns(get(&busy.url("/other")).uri());
    let all = u32::try_from(Outbound::CONCURRENT).unwrap();
    let taken = block_on(turns.acquire_many(all)).unwrap();
    let brief = Duration::from_millis(50);
    assert_eq!(call(&busy, brief), Err(CallError::Timeout));
    assert_eq!(busy.count(), 0);
    assert_eq!(call(&idle, BOUNDS.timeout), Ok(()));
    drop(taken);
    assert_eq!(call(&busy, BOUNDS.timeout), Ok(()));
}

#[test]
fn dropping_it_inside_a_runtime_does_not_panic() {
    block_on(async {
        let outbound = Outbound::start(None).unwrap();
        let shared = outbound.share(std::future::pending::<()>());
        let lost = outbound.runtime.spawn(std::future::pending::<()>());
        drop(outbound);
        assert!(lost.await.is_err());
        assert_eq!(shared.wait().await, None);
    });
}

#[test]
fn shared_work_is_done_once_for_all() {
    let outbound = Outbound::start(None).unwrap();
    let shared = outbound.share(async { 7 });
    block_on(async {
        assert_eq!(shared.clone().wait().await, Some(7));
        assert!(shared.is_over());
        assert_eq!(shared.wait().await, Some(7));
    });
}

#[test]
fn roots_must_be_certificates() {
    for pem in [
        "",
        "garbage",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        assert!(Outbound::start(Some(pem.as_bytes())).is_err(), "{pem:?}");
    }
}

#[test]
fn tls_trusts_the_extra_roots_and_nobody_unknown() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_string()]).unwrap();
    let address = tls_server(cert.der().clone(), signing_key.serialize_der());
    let url = format!("https://localhost:{}/", address.port());

    let trusting = Outbound::start(Some(cert.pem().as_bytes())).unwrap();
    let answer = block_on(trusting.call(get(&url), BOUNDS)).unwrap();
    assert_eq!(answer.status(), StatusCode::OK);

    let stranger = Outbound::start(None).unwrap();
    let refused = block_on(stranger.call(get(&url), BOUNDS)).unwrap_err();
    assert!(matches!(refused, CallError::Failed(_)), "{refused}");
}

/// A TLS server that answers 200 without a body; it lives as long as the tests.
fn tls_server(certificate: CertificateDer<'static>, key: Vec<u8>) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], PrivateKeyDer::try_from(key).unwrap())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        block_on(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let handshake = acceptor.accept(stream);
                tokio::spawn(async move {
                    let stream = TokioIo::new(handshake.await.ok()?);
                    let service = service_fn(|_: Request<Incoming>| async {
                        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
                    });
                    let connection = hyper::server::conn::http1::Builder::new();
                    connection.serve_connection(stream, service).await.ok()
                });
            }
        });
    });
    address
}
