//! Listeners, reload, drain: the life of the process.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use http::Response;
use pingora::apps::HttpServerOptions;
use pingora::apps::http_app::{HttpServer, ServeHttp};
use pingora::listeners::tls::TlsSettings;
use pingora::protocols::http::ServerSession;
use pingora::proxy::http_proxy;
use pingora::server::configuration::ServerConf;
use pingora::server::{
    ListenFds, RunArgs, Server, ShutdownSignal, ShutdownSignalWatch, ShutdownWatch,
};
use pingora::services;
use pingora::services::background::{BackgroundService, background_service};
use pingora::services::listening::Service;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::State;
use super::certificate::Certificate;
use super::notice;
use super::patience::Patient;
use super::peer::Peers;
use super::proxy::Proxy;
use super::release::Releases;
use super::socket::Sockets;
use crate::admin;
use crate::config::{self, Config, Listener};
use crate::identity::Caches;
use crate::interaction::{Interaction, Key, Store};
use crate::login::form::throttle::Throttle;
use crate::login::oidc::Providers;
use crate::outbound::Outbound;
use crate::telemetry::Metrics;
use crate::time::Clock;

/// How often interactions that have run out are dropped.
const SWEEP: Duration = Duration::from_secs(10);
/// How many login URLs that ran out are given up in one go.
const OVERDUE: usize = 10_000;

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
    outlive_hangups()?;
    let outbound = Arc::new(Outbound::start(config.extra_roots.as_deref())?);
    let drain = config.drain_timeout;
    let idle = config.timeouts.idle;
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
        logouts: tokio::sync::Mutex::default(),
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
    let phase = Arc::new(Phase::default());

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
    let mut public = Service::new("gateway".into(), Patient::new(app, state.clone()));
    let mut tls = certificates.iter();
    for listener in &listeners {
        let address = listener.address.to_string();
        match tls_settings(listener, &mut tls)? {
            None => public.add_tcp(&address),
            Some(settings) => public.add_tls_with_settings(&address, None, settings),
        }
    }
    server.add_service(public);
    if let Some(address) = admin {
        let app = HttpServer::new_app(Admin {
            state: state.clone(),
            phase: phase.clone(),
        });
        let mut private = Service::new("admin".into(), app);
        private.add_tcp(&address.to_string());
        server.add_service(UntilTheEnd::new(private));
    }
    let owns_process = stop.is_none();
    let keeper = Keeper {
        state: state.clone(),
        source,
        certificates,
        phase: phase.clone(),
        owns_process,
    };
    server.add_service(background_service("keeper", keeper));

    phase.ready.store(true, Ordering::SeqCst);
    let signal = Signal { stop, state, phase };
    server.run(RunArgs {
        shutdown_signal: Box::new(signal),
    });
    Ok(())
}

/// From the first moment on SIGHUP does not end the process, which it would by
/// default until [`Keeper`] listens to it: whoever reloads does not know how far we are.
fn outlive_hangups() -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    // Once taken over, a signal stays taken over for the life of the process.
    let taken = runtime.block_on(async { signal(SignalKind::hangup()) });
    taken.map(drop).map_err(|error| error.to_string())
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

/// Where the process is in its life.
#[derive(Debug, Default)]
struct Phase {
    ready: AtomicBool,
    draining: AtomicBool,
}

/// The private listener.
struct Admin {
    state: Arc<State>,
    phase: Arc<Phase>,
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let head = session.req_header();
        let ready =
            self.phase.ready.load(Ordering::SeqCst) && !self.phase.draining.load(Ordering::SeqCst);
        self.state
            .metrics
            .gauges(self.state.store.len(), self.state.store.bytes());
        let asked = admin::Asked::read(&head.method, head.uri.path());
        let revoked = match &asked {
            admin::Asked::Revoke(key) => self.revoke(key).await,
            _ => false,
        };
        admin::respond(&asked, ready, revoked, &self.state.metrics)
    }
}

/// A service that pingora does not stop when the drain begins: as long as requests
/// are under way somebody has to answer `/readyz` and `/metrics`.
struct UntilTheEnd {
    service: Service<HttpServer<Admin>>,
    never: watch::Sender<bool>,
}

impl UntilTheEnd {
    fn new(service: Service<HttpServer<Admin>>) -> Self {
        let never = watch::Sender::new(false);
        Self { service, never }
    }
}

#[async_trait]
impl services::Service for UntilTheEnd {
    async fn start_service(
        &mut self,
        fds: Option<ListenFds>,
        _shutdown: ShutdownWatch,
        listeners_per_fd: usize,
    ) {
        let shutdown = self.never.subscribe();
        services::Service::start_service(&mut self.service, fds, shutdown, listeners_per_fd).await;
    }

    fn name(&self) -> &str {
        services::Service::name(&self.service)
    }
}

impl Admin {
    /// Takes the identity away. Whether there was such an interaction.
    async fn revoke(&self, key: &Key) -> bool {
        let config = self.state.config.load_full();
        let Some(channel) = config.channel(key.channel()) else {
            return false;
        };
        let now = self.state.clock.now();
        let revoked = self
            .state
            .store
            .update(key, &channel.clocks, now, |slot| {
                slot.as_mut().map(Interaction::log_out).is_some()
            })
            .await;
        tracing::info!(channel = %channel.name, revoked = revoked.is_ok_and(|found| found), "revocation");
        revoked.is_ok_and(|found| found)
    }
}

/// What has to be done now and then: reload on SIGHUP, drop what has run out.
struct Keeper {
    state: Arc<State>,
    source: Option<PathBuf>,
    certificates: Vec<Arc<Certificate>>,
    phase: Arc<Phase>,
    owns_process: bool,
}

#[async_trait]
impl BackgroundService for Keeper {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let mut hangup = match signal(SignalKind::hangup()) {
            Ok(hangup) => hangup,
            Err(error) => return tracing::error!(%error, "SIGHUP cannot be listened to"),
        };
        let mut sweep = tokio::time::interval(SWEEP);
        loop {
            tokio::select! {
                _ = sweep.tick() => self.sweep(),
                _ = hangup.recv() => self.reload(),
                _ = shutdown.changed() => return self.drain().await,
            }
        }
    }
}

impl Keeper {
    /// Waits for the requests under way. pingora would sleep through the whole
    /// grace period, even with nothing left to do.
    async fn drain(&self) {
        while self.state.in_flight.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tracing::info!("drained");
        if self.owns_process {
            std::process::exit(0);
        }
    }

    fn sweep(&self) {
        let config = self.state.config.load_full();
        let clocks = |channel: &str| config.channel(channel).map(|channel| &channel.clocks);
        let dropped = self.state.store.sweep(self.state.clock.now(), clocks);
        if dropped > 0 {
            tracing::debug!(dropped, "interactions have run out");
        }
        let late = self.state.store.overdue(OVERDUE, self.state.clock.now());
        if late.is_empty() {
            return;
        }
        let (state, config) = (self.state.clone(), config.clone());
        let give_up = async move {
            for key in late {
                if let Some(channel) = config.channel(key.channel()) {
                    notice::give_up(&state, &config, channel, &key).await;
                }
            }
        };
        self.state.outbound.share(give_up);
    }

    /// All or nothing: a configuration with a mistake changes nothing.
    fn reload(&self) {
        let Some(source) = &self.source else {
            return;
        };
        let (config, warnings) = match config::load(source) {
            Ok(loaded) => loaded,
            Err(mistakes) => {
                let (errors, warnings): (Vec<_>, Vec<_>) =
                    mistakes.iter().partition(|mistake| mistake.is_error());
                for warning in warnings {
                    let help = warning.help.as_deref();
                    tracing::warn!(place = %warning.whereabouts(), help, "{}", warning.message);
                }
                for mistake in &errors {
                    let help = mistake.help.as_deref();
                    tracing::error!(place = %mistake.whereabouts(), help, "{}", mistake.message);
                }
                self.state.metrics.reloaded(false);
                return tracing::error!(
                    mistakes = errors.len(),
                    "the configuration was not reloaded: the old one stays"
                );
            }
        };
        for warning in &warnings {
            let help = warning.help.as_deref();
            tracing::warn!(place = %warning.whereabouts(), help, "{}", warning.message);
        }
        if config.levels != self.state.config.load().levels {
            self.state.metrics.reloaded(false);
            return tracing::error!(
                "the configuration was not reloaded: interactions have a level of the old \
                 [identity] levels, which change only with a restart"
            );
        }
        let fresh: Result<Vec<_>, _> = self
            .certificates
            .iter()
            .map(|certificate| certificate.read_again())
            .collect();
        let fresh = match fresh {
            Ok(fresh) => fresh,
            Err(error) => {
                self.state.metrics.reloaded(false);
                return tracing::error!(
                    error,
                    "the configuration was not reloaded: the old one stays"
                );
            }
        };
        for (certificate, fresh) in self.certificates.iter().zip(fresh) {
            certificate.set(fresh);
        }
        let old = self.state.config.swap(Arc::new(config));
        if old.needs_restart(&self.state.config.load()) {
            tracing::warn!(
                "something was changed that needs a restart: listeners, [admin], [log], [store], \
                 workers, drain_timeout, timeouts.idle or extra_roots"
            );
        }
        self.state.metrics.reloaded(true);
        let draining = self.phase.draining.load(Ordering::SeqCst);
        tracing::info!(draining, "the configuration was reloaded");
    }
}

/// Says when to end.
struct Signal {
    stop: Option<Stop>,
    state: Arc<State>,
    phase: Arc<Phase>,
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
        self.phase.draining.store(true, Ordering::SeqCst);
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
