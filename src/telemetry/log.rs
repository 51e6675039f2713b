//! Log lines: JSON or readable, one for each exchange whose verdict is worth a line.
//!
//! A line holds the request's id, channel, route, verdict and reason code. It
//! never holds a query, a body, a cookie, a token or a claim.

use std::borrow::Cow;
use std::fmt;
use std::io::IsTerminal;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::Metrics;
use crate::reason::Reason;

/// Sets the process's log up. `RUST_LOG` overrides the level, target by target.
pub fn init(json: bool, level: tracing::Level) {
    // Two of pingora's files quote what a peer sent.
    let directives = format!(
        "{level},pingora_core=warn,pingora_proxy=warn,pingora_pool=warn,hyper=warn,rustls=warn,\
         pingora_core::apps::http_app=off,pingora_core::protocols::http::v1::common=off"
    );
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(directives));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let set = match json {
        true => builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .try_init(),
        false => {
            let terminal = std::io::stderr().is_terminal();
            builder.with_target(false).with_ansi(terminal).try_init()
        }
    };
    if set.is_err() {
        tracing::debug!("the log was set up before");
    }
}

/// Names an exchange: when the process began (milliseconds since 1970), and the
/// exchange's number in it. Unique across restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id(pub u64, pub u64);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.0, self.1)
    }
}

/// What is said of a finished exchange.
#[derive(Debug)]
pub struct Exchanged<'a> {
    /// The request's id.
    pub id: Id,
    /// Its channel, empty where none is concerned.
    pub channel: &'a str,
    /// Its route, or the own endpoint that answered it.
    pub route: &'a str,
    /// The kind of route: bounded, for metrics.
    pub kind: &'static str,
    /// Its method, if it was admitted.
    pub method: &'a str,
    /// Its path, if it was admitted.
    pub path: &'a str,
    /// The verdict.
    pub reason: Reason,
    /// The status that the customer got.
    pub status: Option<u16>,
    /// How long it took.
    pub took: Duration,
    /// What went wrong, in words that hold nothing of what a peer sent.
    pub error: Option<String>,
}

/// Counts an exchange and writes its line. Traffic that merely passes is counted,
/// and logged at `debug`.
pub fn exchanged<'a>(metrics: &Metrics, exchange: &Exchanged<'a>) {
    metrics.exchanged(
        exchange.channel,
        exchange.kind,
        exchange.reason,
        exchange.took,
    );
    let quiet =
        exchange.error.is_none() && matches!(exchange.reason, Reason::Passed | Reason::Unflagged);
    // Left out where there is none: the paths of our own endpoints hold tokens.
    let some = |text: &'a str| (!text.is_empty()).then(|| clean(text));
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                request_id = %exchange.id,
                channel = exchange.channel,
                route = exchange.route,
                method = some(exchange.method).as_deref(),
                path = some(exchange.path).as_deref(),
                status = exchange.status,
                verdict = exchange.reason.code(),
                micros = u64::try_from(exchange.took.as_micros()).unwrap_or(u64::MAX),
                error = exchange.error.as_deref().map(clean).as_deref(),
                "exchange"
            )
        };
    }
    match exchange.reason {
        _ if quiet => line!(debug),
        // Nobody but the operator can mend these.
        Reason::UpstreamTimeout | Reason::UpstreamUnavailable | Reason::Internal => line!(warn),
        _ => line!(info),
    }
}

/// Text that cannot break a line or a terminal: controls, line and paragraph
/// separators and everything else that does not print are escaped; 512
/// characters at most.
pub fn clean(text: &str) -> Cow<'_, str> {
    const MOST: usize = 512;
    if text.len() <= MOST
        && text
            .bytes()
            .all(|byte| (0x20..0x7f).contains(&byte) && byte != b'\\')
    {
        return Cow::Borrowed(text);
    }
    text.chars()
        .take(MOST)
        .flat_map(|c| c.escape_debug())
        .collect::<String>()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_line() {
        let dirty = "a\r\nlevel=ERROR \u{1b}[31m \u{2028}\u{85}b";
        let cleaned = clean(dirty);
        assert!(
            cleaned.chars().all(|c| c == ' ' || c.is_ascii_graphic()),
            "{cleaned}"
        );
        assert!(cleaned.starts_with("a\\r\\n"));
        assert_eq!(clean("/plain/path"), "/plain/path");
    }
}
