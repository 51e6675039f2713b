//! The clocks of a channel: how long a login URL, a login and an interaction last.

use std::time::Duration;

use super::identity::Level;
use crate::time::Time;

/// The clocks of a channel. `None` means that this clock never runs out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    /// Time to live of a login token.
    pub token_ttl: Option<Duration>,
    /// How long a login counts, from the login.
    pub authentication_timeout: Option<Duration>,
    /// How long it counts at a level, where that is another time.
    pub level_timeouts: Vec<(Level, Duration)>,
    /// How long an interaction lives without a request of its owner.
    pub interaction_timeout: Option<Duration>,
    /// How long an interaction lives at all.
    pub absolute_timeout: Option<Duration>,
}

impl Clocks {
    /// The level that a login counts at: the one it reached, as long as that level's
    /// time is not over, then the next lower one whose time is not, at last
    /// [`Level::ANONYMOUS`].
    pub fn counts(&self, reached: Level, login: Time, now: Time) -> Level {
        let levels = (1..=reached.0).rev().map(Level);
        let counts = |level: &Level| !over(self.level_timeout(*level), login, now);
        levels.into_iter().find(counts).unwrap_or_default()
    }

    /// How long a login counts at this level; `None` never ends.
    pub fn level_timeout(&self, level: Level) -> Option<Duration> {
        let own = self.level_timeouts.iter().find(|(own, _)| *own == level);
        own.map(|(_, timeout)| *timeout)
            .or(self.authentication_timeout)
    }
}

/// Whether a clock that started at `start` has run out.
pub(super) fn over(timeout: Option<Duration>, start: Time, now: Time) -> bool {
    timeout.is_some_and(|timeout| now.since(start) >= timeout)
}
