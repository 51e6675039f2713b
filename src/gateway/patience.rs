//! How long clients are waited for: until they greet and the head of a request is there,
//! during its body, and until they read what they are sent.
//!
//! pingora limits the pause between two reads. Whoever sends a byte now and then never
//! makes one, so the whole head has a limit of its own here.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora::listeners::PreTlsProcess;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::protocols::l4::stream::Stream as TcpStream;
use pingora::protocols::{Peek, Stream};
use pingora::proxy::Session;
use pingora::server::ShutdownWatch;
use pingora::{Error, ErrorType, OrErr};

use super::{State, cork};
use crate::config::Timeouts;

tokio::task_local! {
    /// What this task, which is a connection, waits for.
    static WAITING: Waiting;
}

/// What a connection waits for.
struct Waiting {
    /// Since when for the head of a request; `None` while a request is answered. On HTTP/2,
    /// where a request is a task of its own, until the client has greeted: from then on
    /// pingora has a limit.
    head: Cell<Option<Instant>>,
    /// Whether for the client's greeting of HTTP/2.
    greeting: Cell<bool>,
}

/// Sets the limits of a request whose head has come.
pub(super) fn begin(session: &mut Session, timeouts: &Timeouts) {
    // On HTTP/2 the task is the request.
    let _ = WAITING.try_with(|waiting| waiting.head.set(None));
    let session = session.as_downstream_mut();
    session.set_read_timeout(Some(timeouts.body));
    session.set_total_drain_timeout(Some(timeouts.body));
    session.set_write_timeout(Some(timeouts.write));
}

/// The request is over, and its connection waits for the next one.
pub(super) fn end() {
    let _ = WAITING.try_with(|waiting| waiting.head.set(Some(Instant::now())));
}

/// How fast a body that streams by has to come until the backend answers: bytes a second,
/// on average. Slower than that is no network any more.
const PACE: u64 = 500;

/// How a body has come so far.
#[derive(Default)]
pub(super) struct Pace {
    since: Option<Instant>,
    bytes: u64,
}

impl Pace {
    /// Takes note of some more bytes. Whether they came fast enough, after a time in
    /// which nothing is asked of it.
    pub(super) fn took(&mut self, bytes: usize, grace: Duration) -> bool {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        let time = self.since.get_or_insert_with(Instant::now).elapsed();
        time <= grace || self.bytes >= PACE.saturating_mul(time.as_secs())
    }
}

/// Waits for a client's greeting of TLS, no longer than for the head of a request. pingora
/// waits 60 s for that and the rest of the handshake together.
pub(super) struct Hello(pub(super) Arc<State>);

#[async_trait]
impl PreTlsProcess for Hello {
    async fn process(&self, stream: &mut TcpStream) -> pingora::Result<()> {
        let idle = self.0.config.load().timeouts.idle;
        match tokio::time::timeout(idle, hello(stream)).await {
            Ok(come) => come.or_err(ErrorType::ConnectionClosed, "before a greeting of TLS"),
            Err(_) => Error::e_explain(ErrorType::TLSHandshakeTimedout, "no greeting of TLS"),
        }
    }
}

/// Returns once a first record of TLS is there as a whole (RFC 8446, section 5.1), and
/// leaves it there. What is none, the handshake refuses.
async fn hello(stream: &mut TcpStream) -> std::io::Result<()> {
    const HANDSHAKE: u8 = 22;
    const LONGEST: u16 = 1 << 14;
    let mut head = [0; 5];
    stream.try_peek(&mut head).await?;
    let [HANDSHAKE, _, _, high, low] = head else {
        return Ok(());
    };
    let length = u16::from_be_bytes([high, low]);
    if length <= LONGEST {
        let mut record = vec![0; head.len() + usize::from(length)];
        stream.try_peek(&mut record).await?;
    }
    Ok(())
}

/// An application that gives up on connections on which no request gets to the point.
pub(super) struct Patient<A> {
    app: Arc<Greeted<A>>,
    state: Arc<State>,
}

impl<A> Patient<A> {
    pub(super) fn new(app: A, state: Arc<State>) -> Self {
        let app = Arc::new(Greeted(Arc::new(app)));
        Self { app, state }
    }
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> ServerApp for Patient<A> {
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let idle = self.state.config.load().timeouts.idle;
        let connection = async {
            tokio::select! {
                biased;
                rest = cork::uncorking(self.app.process_new(stream, shutdown)) => rest,
                () = headless(idle) => None,
            }
        };
        let waiting = Waiting {
            head: Cell::new(Some(Instant::now())),
            greeting: Cell::new(false),
        };
        WAITING.scope(waiting, connection).await
    }

    async fn cleanup(&self) {
        self.app.cleanup().await;
    }
}

/// Returns once a head has been waited for that long. One timer watches all requests of a
/// connection: to set one up for each costs more than to look, now and then, how things are.
async fn headless(idle: Duration) {
    let mut due = Instant::now() + idle;
    loop {
        tokio::time::sleep_until(due.into()).await;
        let now = Instant::now();
        due = WAITING.with(|waiting| waiting.head.get()).unwrap_or(now) + idle;
        if due <= now {
            return;
        }
    }
}

/// An application that notices when a client has greeted on HTTP/2: pingora asks for the
/// options of HTTP/2 before it waits for the greeting, and for those of the server after it.
struct Greeted<A>(Arc<A>);

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> HttpServerApp for Greeted<A> {
    // Not `async`: it is one box more for every request.
    fn process_new_http<'s, 'w, 'f>(
        self: &'s Arc<Self>,
        session: ServerSession,
        shutdown: &'w ShutdownWatch,
    ) -> Pin<Box<dyn Future<Output = Option<ReusedHttpStream>> + Send + 'f>>
    where
        's: 'f,
        'w: 'f,
        Self: 'f,
    {
        self.0.process_new_http(session, shutdown)
    }

    fn h2_options(&self) -> Option<H2Options> {
        let _ = WAITING.try_with(|waiting| waiting.greeting.set(true));
        self.0.h2_options()
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        let _ = WAITING.try_with(|waiting| {
            if waiting.greeting.take() {
                waiting.head.set(None);
            }
        });
        self.0.server_options()
    }

    async fn http_cleanup(&self) {
        self.0.http_cleanup().await;
    }
}
