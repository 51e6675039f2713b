//! Prometheus metrics. Labels are channels, verdicts and reason codes: bounded,
//! and nothing that a client chooses.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

use crate::channel::Route;
use crate::reason::Reason;

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    exchanges: Family<Verdict, Counter>,
    observed: Family<Code, Counter>,
    events: Family<Code, Counter>,
    challenges: Family<Channel, Counter>,
    returns: Family<Code, Counter>,
    matches: Family<Outcome, Counter>,
    revocations: Family<Channel, Counter>,
    resumes: Family<Outcome, Counter>,
    messages: Family<Code, Counter>,
    sockets: Family<Channel, Gauge>,
    failures: Family<Code, Counter>,
    reloads: Family<Reload, Counter>,
    durations: Histogram,
    interactions: Gauge,
    bytes: Gauge,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Verdict {
    channel: String,
    kind: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Code {
    channel: String,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Channel {
    channel: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    channel: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reload {
    result: &'static str,
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("chatgate");
        let all = &mut registry;
        let buckets = [
            0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
        ];
        let durations = Histogram::new(buckets);
        Self {
            exchanges: new(
                all,
                "exchanges",
                "Requests by channel, kind of route and verdict",
            ),
            observed: new(all, "observed", "Verdicts that were only observed"),
            events: new(
                all,
                "events",
                "Messages of streamed and polled answers by verdict",
            ),
            challenges: new(all, "challenges", "Login URLs made"),
            returns: new(
                all,
                "login_returns",
                "Returns of login pages by reason code",
            ),
            matches: new(
                all,
                "record_matches",
                "Matches with the company's records by outcome",
            ),
            revocations: new(all, "revocations", "Logins that were taken away"),
            resumes: new(all, "resumes", "What became of conversations after a login"),
            messages: new(
                all,
                "socket_messages",
                "WebSocket messages by channel and verdict",
            ),
            sockets: new(all, "sockets", "Open WebSockets"),
            failures: new(
                all,
                "upstream_failures",
                "Requests that the backend did not answer",
            ),
            reloads: new(all, "reloads", "Reloads of the configuration"),
            durations: add(
                all,
                "exchange_duration_seconds",
                "From request to answer, judged exchanges",
                durations,
            ),
            interactions: new(all, "interactions", "Interactions in the store"),
            bytes: new(all, "store_bytes", "Bytes in the store"),
            registry,
        }
    }

    /// A request and its verdict.
    pub fn exchanged(&self, channel: &str, kind: &'static str, reason: Reason, took: Duration) {
        let verdict = Verdict {
            channel: channel.to_owned(),
            kind,
            reason: reason.code(),
        };
        self.exchanges.get_or_create(&verdict).inc();
        if reason != Reason::Passed && kind != "socket" {
            self.durations.observe(took.as_secs_f64());
        }
    }

    /// A verdict that was only observed.
    pub fn observed(&self, channel: &str, reason: Reason) {
        self.observed.get_or_create(&code(channel, reason)).inc();
    }

    /// A message of a streamed answer or an element of a polled one, and its verdict.
    pub fn event(&self, channel: &str, reason: Reason) {
        self.events.get_or_create(&code(channel, reason)).inc();
    }

    /// A login URL was made.
    pub fn challenged(&self, channel: &str) {
        self.challenges.get_or_create(&own(channel)).inc();
    }

    /// A login page returned.
    pub fn returned(&self, channel: &str, reason: Reason) {
        self.returns.get_or_create(&code(channel, reason)).inc();
    }

    /// The company's records were asked, and had their say.
    pub fn matched(&self, channel: &str, outcome: &'static str) {
        self.matches.get_or_create(&ended(channel, outcome)).inc();
    }

    /// A logout ended this many logins.
    pub fn revoked(&self, channel: &str, count: usize) {
        self.revocations
            .get_or_create(&own(channel))
            .inc_by(count as u64);
    }

    /// A conversation was resumed, or not.
    pub fn resumed(&self, channel: &str, outcome: &'static str) {
        self.resumes.get_or_create(&ended(channel, outcome)).inc();
    }

    /// A WebSocket message and its verdict.
    pub fn message(&self, channel: &str, reason: Reason) {
        self.messages.get_or_create(&code(channel, reason)).inc();
    }

    /// A WebSocket is open as long as the value lives.
    pub fn socket(&self, channel: &str) -> OpenSocket {
        let open = self.sockets.get_or_create_owned(&own(channel));
        open.inc();
        OpenSocket(open)
    }

    /// The backend did not answer.
    pub fn failed(&self, route: Option<&Route>, reason: Reason) {
        let channel = route.map_or("", |route| &*route.channel.name);
        self.failures.get_or_create(&code(channel, reason)).inc();
    }

    /// The configuration was reloaded, or not.
    pub fn reloaded(&self, done: bool) {
        let result = if done { "done" } else { "refused" };
        self.reloads.get_or_create(&Reload { result }).inc();
    }

    /// What the store holds.
    pub fn gauges(&self, interactions: usize, bytes: usize) {
        self.interactions
            .set(i64::try_from(interactions).unwrap_or(i64::MAX));
        self.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// The OpenMetrics text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(_) => String::new(),
        }
    }
}

/// Counts an open WebSocket.
#[derive(Debug)]
pub struct OpenSocket(Gauge);

impl Drop for OpenSocket {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// A metric at zero, registered.
fn new<M: Metric + Clone + Default>(all: &mut Registry, name: &str, help: &str) -> M {
    add(all, name, help, M::default())
}

fn add<M: Metric + Clone>(all: &mut Registry, name: &str, help: &str, metric: M) -> M {
    all.register(name, help, metric.clone());
    metric
}

fn own(channel: &str) -> Channel {
    Channel {
        channel: channel.to_owned(),
    }
}

fn ended(channel: &str, outcome: &'static str) -> Outcome {
    Outcome {
        channel: channel.to_owned(),
        outcome,
    }
}

fn code(channel: &str, reason: Reason) -> Code {
    Code {
        channel: channel.to_owned(),
        reason: reason.code(),
    }
}
