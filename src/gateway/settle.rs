//! Follows the system clock, and lets nothing last longer for it.

use super::State;
use crate::time::Step;

impl State {
    /// Sets the clock by the system clock, where the two came apart. Set forward, logins
    /// and login URLs end sooner. Set back, whatever is kept is set back with the clock,
    /// so that it ends when it would have.
    pub(super) fn settle(&self) {
        match self.clock.settle() {
            None => {}
            Some(Step::Forward(by)) => tracing::warn!(
                seconds = by.as_secs_f64(),
                "the system clock is ahead: it was set, or the machine slept; logins end sooner"
            ),
            Some(Step::Back(by)) => {
                self.store.set_back(by);
                self.caches.set_back(by);
                self.providers.set_back(by);
                self.throttle.set_back(by);
                tracing::warn!(
                    seconds = by.as_secs_f64(),
                    "the system clock is behind: it was set; logins last no longer for that"
                );
            }
        }
    }
}
