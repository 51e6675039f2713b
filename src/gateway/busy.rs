//! What has to end before the process does.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::State;

/// Work is given up this long before the process exits.
const MARGIN: Duration = Duration::from_millis(300);

/// Keeps a process that was told to end from doing so, within its drain timeout.
pub(super) struct Busy(Arc<State>);

impl Busy {
    /// Work begins.
    pub(super) fn begin(state: &Arc<State>) -> Self {
        state.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(state.clone())
    }

    /// The process that it keeps.
    pub(super) fn state(&self) -> &State {
        &self.0
    }

    /// Waits until the process is about to exit whatever is under way.
    pub(super) async fn last_call(&self, drain_timeout: Duration) {
        let mut draining = self.0.draining.subscribe();
        let _ = draining.wait_for(|draining| *draining).await;
        tokio::time::sleep(drain_timeout.saturating_sub(MARGIN)).await;
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
