//! Listeners, and the life of the process from its start to its end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::apps::HttpServerOptions;
use pingora::listeners::tls::TlsSettings;
use pingora::listeners::{L4BufferSettings, ListenerConfig, Listeners, TcpSocketOptions};
use pingora::protocols::TcpKeepalive;
use pingora::proxy::http_proxy;
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server, ShutdownSignal, ShutdownSignalWatch};
use pingora::services::background::background_service;
use pingora::services::listening::Service;
use tokio::signal::unix::{self, SignalKind, signal};
use tokio::sync::{Mutex, watch};

use super::State;
use super::admin::Admin;
use super::certificate::Certificate;
use super::keeper::Keeper;
use super::patience::{Hello, Patient};
use super::peer::Peers;
use super::proxy::Proxy;
use super::release::Releases;
use super::socket::Sockets;
use crate::config::{Config, Listener};
use crate::identity::Caches;
use crate::interaction::Store;
use crate::login::form::throttle::Throttle;
use crate::login::oidc::Providers;
use crate::outbound::Outbound;
use crate::telemetry::Metrics;
use crate::time::Clock;

/// What a connection of a client buffers. Requests are rarely longer than this. Of answers
/// pingora's own buffer keeps little: what is in it waits for more.
const BUFFERS: L4BufferSettings = L4BufferSettings {
    read: Some(32 << 10),
    write: None,
};

/// What to serve.
#[derive(Debug)]
pub struct Options {
    /// The configuration to begin with.
    pub config: Config,
    /// The file that SIGHUP reads again; `None` ignores SIGHUP.
    pub source: Option<PathBuf>,
    /// Time.
    pub clock: Clock,
    /// Stops the gateway from inside the process; `None` listens to SIGTERM and SIGINT.
    pub stop: Option<Stop>,
}

/// Stops a gateway that runs inside another program.
#[derive(Clone, Debug)]
pub struct Stop(watch::Sender<bool>);

impl Stop {
    /// A switch that has not been pressed.
    pub fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Ends the gateway: new connections are refused, requests under way have
    /// the configured time.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}

/// Serves until it is told to end. Blocks.
///
/// # Errors
/// When a certificate cannot be read or the client for our own calls cannot start.
///
/// # Panics
/// When an address cannot be listened on: pingora reports that by a panic.
pub fn serve(options: Options) -> Result<(), String> {
    let Options {
        config,
        source,
        clock,
        stop,
    } = options;
    let hangups = hangups()?;
    let outbound = Arc::new(Outbound::start(config.extra_roots.as_deref())?);
    let drain = config.drain_timeout;
    let idle = config.timeouts.idle;
    let sockets = sockets(config.timeouts.write);
    let admin = config.admin;
    let listeners = config.listeners.clone();
    let workers = config.workers;
    let certificates = listeners
        .iter()
        .filter_map(|listener| listener.tls.as_ref())
        .map(|(chain, key)| Certificate::load(chain, key).map(Arc::new))
        .collect::<Result<Vec<_>, _>>()?;
    let state = Arc::new(State {
        store: Store::memory(config.limits),
        config: ArcSwap::from_pointee(config),
        caches: Caches::new(outbound.clone()),
        throttle: Throttle::default(),
        providers: Providers::default(),
        logouts: Mutex::default(),
        outbound,
        peers: Peers::default(),
        resend: Default::default(),
        started: clock.now(),
        clock,
        metrics: Metrics::new(),
        releases: Releases::default(),
        in_flight: AtomicUsize::new(0),
        draining: watch::Sender::new(false),
    });

    let mut server =
        Server::new_with_opt_and_conf(None, server_conf(workers, drain, stop.is_some()));
    server.bootstrap();
    let proxy = Proxy {
        state: state.clone(),
        sockets: Sockets::default(),
    };
    let mut app = http_proxy(&server.configuration, proxy);
    let mut http = HttpServerOptions::default();
    http.h2_idle_timeout = Some(idle);
    app.server_options = Some(http);
    let mut public = Listeners::new();
    public.set_pre_tls_callback(Arc::new(Hello(state.clone())));
    let mut tls = certificates.iter();
    for listener in &listeners {
        let mut endpoint = ListenerConfig::tcp(listener.address.to_string())
            .tcp_socket_options(sockets.clone())
            .l4_buffer(BUFFERS);
        if let Some(settings) = tls_settings(listener, &mut tls)? {
            endpoint = endpoint.tls(settings);
        }
        public.add_listener(endpoint);
    }
    let app = Patient::new(app, state.clone());
    server.add_service(Service::with_listeners("gateway".into(), public, app));
    if let Some(address) = admin {
        server.add_service(Admin::service(&state, address));
    }
    let owns_process = stop.is_none();
    let keeper = Keeper {
        state: state.clone(),
        hangups: Mutex::new(hangups),
        source,
        certificates,
        owns_process,
    };
    server.add_service(background_service("keeper", keeper));

    let signal = Signal { stop, state };
    server.run(RunArgs {
        shutdown_signal: Box::new(signal),
    });
    Ok(())
}

/// From the first moment on SIGHUP does not end the process, which it would by default,
/// but waits until [`Keeper`] listens: whoever reloads does not know how far we are.
fn hangups() -> Result<unix::Signal, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    // What comes is handed on by whichever runtime there is by then.
    let hangups = runtime.block_on(async { signal(SignalKind::hangup()) });
    hangups.map_err(|error| error.to_string())
}

/// A connection whose client reads nothing for so long is closed by the kernel. pingora
/// limits how long the body of an answer may take, and no answer of a head alone.
fn sockets(unread: Duration) -> TcpSocketOptions {
    let mut options = TcpSocketOptions::default();
    options.tcp_keepalive = Some(TcpKeepalive {
        // As Linux has them.
        idle: Duration::from_secs(7200),
        interval: Duration::from_secs(75),
        count: 9,
        #[cfg(target_os = "linux")]
        user_timeout: unread,
    });
    options
}

fn server_conf(workers: Option<usize>, drain: Duration, embedded: bool) -> ServerConf {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    ServerConf {
        threads: workers.unwrap_or(cores),
        // A request stays on its thread: fewer wake-ups, measured in benches/README.md.
        // Not inside another program: there pingora keeps a worker's runtime under a
        // thread id that is used again, and a second gateway would spawn its accept
        // loop onto the runtime of one that has ended.
        work_stealing: embedded,
        // The longest drain; `Keeper` ends the process as soon as nothing is under way.
        grace_period_seconds: Some(drain.as_secs()),
        graceful_shutdown_timeout_seconds: Some(1),
        upstream_keepalive_pool_size: 512,
        ..ServerConf::default()
    }
}

fn tls_settings<'c>(
    listener: &Listener,
    certificates: &mut impl Iterator<Item = &'c Arc<Certificate>>,
) -> Result<Option<TlsSettings>, String> {
    let Some((chain, key)) = &listener.tls else {
        return Ok(None);
    };
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let mut settings =
        TlsSettings::intermediate(&text(chain), &text(key)).map_err(|error| error.to_string())?;
    if let Some(certificate) = certificates.next() {
        settings.set_cert_resolver(certificate.clone());
    }
    if listener.http2 {
        settings.enable_h2();
    }
    Ok(Some(settings))
}

/// Says when to end.
struct Signal {
    stop: Option<Stop>,
    state: Arc<State>,
}

#[async_trait]
impl ShutdownSignalWatch for Signal {
    async fn recv(&self) -> ShutdownSignal {
        match &self.stop {
            Some(stop) => {
                let _ = stop.0.subscribe().wait_for(|stop| *stop).await;
            }
            None => self.asked_by_system().await,
        }
        self.state.draining.send_replace(true);
        let under_way = self.state.in_flight.load(Ordering::SeqCst);
        tracing::info!(under_way, "draining");
        ShutdownSignal::GracefulTerminate
    }
}

impl Signal {
    async fn asked_by_system(&self) {
        let (terminate, interrupt) = (
            signal(SignalKind::terminate()),
            signal(SignalKind::interrupt()),
        );
        let (Ok(mut terminate), Ok(mut interrupt)) = (terminate, interrupt) else {
            tracing::error!("signals cannot be listened to");
            return std::future::pending().await;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_hangup_before_anybody_listens_is_not_lost() {
        let mut hangups = hangups().unwrap();
        let id = std::process::id().to_string();
        let sent = Command::new("kill").args(["-s", "HUP", &id]).status();
        assert!(sent.unwrap().success());
        let later = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let came = async { tokio::time::timeout(Duration::from_secs(60), hangups.recv()).await };
        assert_eq!(later.unwrap().block_on(came), Ok(Some(())));
    }
}
