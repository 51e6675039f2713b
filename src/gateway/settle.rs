//! Follows the system clock, and lets nothing last longer for it.

use super::State;
use crate::time::Step;

impl State {
    /// Sets the clock by the system clock, where the two came apart. Set forward, logins
    /// and login URLs end sooner; used proofs are remembered as long as without that, for
    /// a wrong time may be mended. Set back, whatever is kept is set back with the clock,
    /// so that it ends when it would have. What was under way meanwhile, and so is kept
    /// with a time that lies ahead, is found by the next sweep of the store.
    pub(super) fn settle(&self) {
        match self.clock.off() {
            None => {}
            Some(step @ Step::Forward(by)) => {
                // Before it: what has run out by the new time is not forgotten meanwhile.
                self.caches.set_forward(by, self.clock.now());
                self.clock.set(step);
                tracing::warn!(
                    seconds = by.as_secs_f64(),
                    "the system clock is ahead: it was set, or the machine slept; logins end sooner"
                );
            }
            Some(step @ Step::Back(by)) => {
                self.clock.set(step);
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
