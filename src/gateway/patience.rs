//! How long clients are waited for: until the head of a request is there, during its
//! body, and until they read what they are sent.
//!
//! pingora limits the pause between two reads. Whoever sends a byte now and then never
//! makes one, so the whole head has a limit of its own here.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::proxy::Session;
use pingora::server::ShutdownWatch;

use super::State;
use crate::config::Timeouts;

tokio::task_local! {
    /// Whether the head of the request that this task waits for is there.
    static HEAD: Cell<bool>;
}

/// Sets the limits of a request whose head has come.
pub(super) fn begin(session: &mut Session, timeouts: &Timeouts) {
    // On HTTP/2 the head is there before the task begins.
    let _ = HEAD.try_with(|head| head.set(true));
    let session = session.as_downstream_mut();
    session.set_read_timeout(Some(timeouts.body));
    session.set_total_drain_timeout(Some(timeouts.body));
    session.set_write_timeout(Some(timeouts.write));
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

/// An application that gives up on clients that do not get to the point.
pub(super) struct Patient<A> {
    app: Arc<A>,
    state: Arc<State>,
}

impl<A> Patient<A> {
    pub(super) fn new(app: A, state: Arc<State>) -> Self {
        let app = Arc::new(app);
        Self { app, state }
    }
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> HttpServerApp for Patient<A> {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        if session.is_http2() {
            return self.app.process_new_http(session, shutdown).await;
        }
        let idle = self.state.config.load().timeouts.idle;
        if session.get_keepalive().is_some() {
            session.set_keepalive(Some(idle.as_secs().max(1)));
        }
        let exchange = async {
            tokio::select! {
                biased;
                reused = self.app.process_new_http(session, shutdown) => reused,
                () = headless(idle) => None,
            }
        };
        HEAD.scope(Cell::new(false), exchange).await
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.app.h2_options()
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        self.app.server_options()
    }

    async fn http_cleanup(&self) {
        self.app.http_cleanup().await;
    }
}

/// Returns if there is no head after this time.
async fn headless(idle: Duration) {
    tokio::time::sleep(idle).await;
    if HEAD.with(Cell::get) {
        std::future::pending().await
    }
}
