//! Instants as the core sees them: it never asks what time it is, it is told.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ::time::OffsetDateTime;
use ::time::format_description::well_known::Rfc3339;

/// Milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(u64);

impl Time {
    /// An instant by its milliseconds since the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// An instant by its seconds since the Unix epoch.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch.
    pub const fn secs(self) -> u64 {
        self.0 / 1000
    }

    /// How long ago `earlier` was; zero when it lies ahead.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Time {
    type Output = Time;

    /// Saturates instead of wrapping: a huge time to live means "never".
    fn add(self, span: Duration) -> Time {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Time(self.0.saturating_add(millis))
    }
}

impl fmt::Display for Time {
    /// RFC 3339 in UTC, to the second.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = i64::try_from(self.secs()).unwrap_or(i64::MAX);
        match OffsetDateTime::from_unix_timestamp(secs).map(|t| t.format(&Rfc3339)) {
            Ok(Ok(text)) => f.write_str(&text),
            _ => f.write_str("never"),
        }
    }
}

/// Where the gateway gets the time from.
///
/// The system clock is read once; after that a monotonic clock moves it, so a
/// step of the system clock neither revives nor ends an interaction.
#[derive(Clone, Debug)]
pub enum Clock {
    /// Real time: the epoch offset at start, and the monotonic instant it belongs to.
    System(Time, Instant),
    /// A clock that tests move by hand.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// Real time from now on.
    #[expect(clippy::disallowed_methods, reason = "this is where time comes from")]
    pub fn system() -> Self {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self::System(Time::default() + wall, Instant::now())
    }

    /// A clock that stands at `start` until [`Clock::advance`] moves it.
    pub fn manual(start: Time) -> Self {
        Self::Manual(Arc::new(AtomicU64::new(start.0)))
    }

    /// The instant to hand to the core.
    pub fn now(&self) -> Time {
        match self {
            Self::System(wall, started) => *wall + started.elapsed(),
            Self::Manual(millis) => Time(millis.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock forward; a system clock moves by itself.
    pub fn advance(&self, span: Duration) {
        if let Self::Manual(millis) = self {
            let target = Time(millis.load(Ordering::SeqCst)) + span;
            millis.store(target.0, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_rfc_3339() {
        assert_eq!(
            Time::from_secs(1_614_265_330).to_string(),
            "2021-02-25T15:02:10Z"
        );
    }

    #[test]
    fn a_huge_span_saturates() {
        assert_eq!(
            Time::from_secs(1) + Duration::MAX,
            Time::from_millis(u64::MAX)
        );
    }

    #[test]
    fn a_manual_clock_moves_only_by_hand() {
        let clock = Clock::manual(Time::from_secs(5));
        assert_eq!(clock.now(), clock.now());
        clock.advance(Duration::from_secs(2));
        assert_eq!(clock.now(), Time::from_secs(7));
    }
}
