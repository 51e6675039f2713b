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

    /// How long lies between the two, whichever is the earlier one.
    pub fn apart(self, other: Time) -> Duration {
        Duration::from_millis(self.0.abs_diff(other.0))
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

impl std::ops::Sub<Duration> for Time {
    type Output = Time;

    /// Stops at the epoch.
    fn sub(self, span: Duration) -> Time {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Time(self.0.saturating_sub(millis))
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
/// What others wrote a time into (a token, a signed request) can only be compared with
/// the system clock, and how long something lasts only be measured with a monotonic one.
/// This clock is both: the monotonic clock moves it, and [`Clock::off`], asked now and
/// then, tells where the two came apart: the system clock was set (NTP after a boot), or
/// the machine slept. [`Clock::set`] follows it. Forwards, lifetimes end sooner.
/// Backwards, whoever keeps a [`Time`] has to set it back by as much, or what began
/// then would last longer: see [`Step::Back`].
#[derive(Clone, Debug)]
pub struct Clock(Arc<Source>);

#[derive(Debug)]
struct Source {
    /// What the system clock said when the monotonic clock stood at zero, in
    /// milliseconds since the epoch. It wraps where that was before the epoch.
    base: AtomicU64,
    ticks: Ticks,
}

/// The monotonic clock, and the system clock beside it.
#[derive(Debug)]
enum Ticks {
    System(Instant),
    Manual {
        elapsed: AtomicU64,
        /// As `base`, but it is what the system clock says now.
        system: AtomicU64,
    },
}

/// How a clock is off, and so to be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is behind by this much.
    Forward(Duration),
    /// It is ahead by this much. A kept [`Time`] means the same instant as before once
    /// this is taken off it.
    Back(Duration),
}

impl Clock {
    /// How far the system clock may be off before this one is set by it.
    const TOLERANCE: Duration = Duration::from_secs(1);

    /// Real time.
    pub fn system() -> Self {
        Self::new(system_clock(), Ticks::System(Instant::now()))
    }

    /// A clock that stands at `start` until [`Clock::advance`] moves it.
    pub fn manual(start: Time) -> Self {
        let (elapsed, system) = (AtomicU64::new(0), AtomicU64::new(start.0));
        Self::new(start, Ticks::Manual { elapsed, system })
    }

    fn new(start: Time, ticks: Ticks) -> Self {
        let base = AtomicU64::new(start.0);
        Self(Arc::new(Source { base, ticks }))
    }

    /// The instant to hand to the core.
    pub fn now(&self) -> Time {
        let base = self.0.base.load(Ordering::Relaxed);
        Time(base.wrapping_add(self.0.ticks.elapsed()))
    }

    /// How far it is off the system clock, if that is more than a second.
    pub fn off(&self) -> Option<Step> {
        let (now, system) = (self.now(), self.0.ticks.system());
        match now.apart(system) <= Self::TOLERANCE {
            true => None,
            false if system > now => Some(Step::Forward(system.since(now))),
            false => Some(Step::Back(now.since(system))),
        }
    }

    /// Sets it.
    pub fn set(&self, step: Step) {
        let millis = |by: Duration| u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        let _ = match step {
            Step::Forward(by) => self.0.base.fetch_add(millis(by), Ordering::Relaxed),
            Step::Back(by) => self.0.base.fetch_sub(millis(by), Ordering::Relaxed),
        };
    }

    /// Moves a manual clock forward; a system clock moves by itself.
    pub fn advance(&self, span: Duration) {
        if let Ticks::Manual { elapsed, .. } = &self.0.ticks {
            let target = Time(elapsed.load(Ordering::SeqCst)) + span;
            elapsed.store(target.0, Ordering::SeqCst);
        }
    }

    /// Sets the system clock beside a manual clock, which [`Clock::off`] looks at.
    pub fn set_system(&self, time: Time) {
        if let Ticks::Manual { elapsed, system } = &self.0.ticks {
            let base = time.0.wrapping_sub(elapsed.load(Ordering::SeqCst));
            system.store(base, Ordering::SeqCst);
        }
    }
}

impl Ticks {
    /// Milliseconds of the monotonic clock.
    fn elapsed(&self) -> u64 {
        match self {
            Self::System(started) => {
                u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
            }
            Self::Manual { elapsed, .. } => elapsed.load(Ordering::SeqCst),
        }
    }

    /// The system clock.
    fn system(&self) -> Time {
        match self {
            Self::System(_) => system_clock(),
            Self::Manual { elapsed, system } => {
                let base = system.load(Ordering::SeqCst);
                Time(base.wrapping_add(elapsed.load(Ordering::SeqCst)))
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is where time comes from")]
fn system_clock() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Time::default() + since.unwrap_or_default()
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

    #[test]
    fn a_clock_follows_the_system_clock_when_it_settles() {
        let clock = Clock::manual(Time::from_secs(5000));
        let settle = || clock.off().inspect(|step| clock.set(*step));
        assert_eq!(settle(), None);
        for (system, step) in [
            (5001, None),
            (4999, None),
            (8600, Some(Step::Forward(Duration::from_secs(3600)))),
            (5000, Some(Step::Back(Duration::from_secs(3600)))),
            (0, Some(Step::Back(Duration::from_secs(5000)))),
            (9000, Some(Step::Forward(Duration::from_secs(9000)))),
        ] {
            let before = clock.now();
            clock.set_system(Time::from_secs(system));
            assert_eq!(clock.off(), step, "{system}");
            assert_eq!(clock.now(), before, "before it is set");
            assert_eq!(settle(), step, "{system}");
            assert_eq!(settle(), None, "{system}");
            let after = match step {
                Some(_) => Time::from_secs(system),
                None => before,
            };
            assert_eq!(clock.now(), after, "{system}");
        }
        // Both move on from there.
        clock.advance(Duration::from_secs(10));
        assert_eq!((clock.now(), clock.off()), (Time::from_secs(9010), None));
    }

    #[test]
    fn the_real_clock_is_the_systems() {
        assert_eq!(Clock::system().off(), None);
    }
}
