//! What the process does beside its requests: it reloads, drops what has run out, and
//! ends once nothing is under way.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::signal::unix::Signal;
use tokio::sync::Mutex;

use super::State;
use super::certificate::Certificate;
use super::notice;
use crate::config;

/// How often interactions that have run out are dropped.
const SWEEP: Duration = Duration::from_secs(10);
/// How many login URLs that ran out are given up in one go.
const OVERDUE: usize = 10_000;

/// What has to be done now and then: reload on SIGHUP, drop what has run out.
pub(super) struct Keeper {
    pub state: Arc<State>,
    /// The times that SIGHUP came.
    pub hangups: Mutex<Signal>,
    /// The file that SIGHUP reads again.
    pub source: Option<PathBuf>,
    /// Those of the listeners, which are read again with it.
    pub certificates: Vec<Arc<Certificate>>,
    /// Whether the process ends with the gateway.
    pub owns_process: bool,
}

#[async_trait]
impl BackgroundService for Keeper {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let mut hangups = self.hangups.lock().await;
        let mut sweep = tokio::time::interval(SWEEP);
        loop {
            tokio::select! {
                _ = sweep.tick() => self.sweep(),
                _ = hangups.recv() => self.reload(),
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
        self.state.settle();
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
                 workers, drain_timeout, timeouts.idle, timeouts.write or extra_roots"
            );
        }
        self.state.metrics.reloaded(true);
        let draining = *self.state.draining.borrow();
        tracing::info!(draining, "the configuration was reloaded");
    }
}
