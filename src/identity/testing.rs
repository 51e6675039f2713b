//! What the tests of verifiers share.

use std::sync::LazyLock;

use tokio::runtime;

use super::*;

/// Empty caches; the client is one for all tests.
pub(super) fn caches() -> Caches {
    Caches::new(outbound())
}

pub(super) fn outbound() -> Arc<Outbound> {
    static OUTBOUND: LazyLock<Arc<Outbound>> =
        LazyLock::new(|| Arc::new(Outbound::start(None).unwrap()));
    OUTBOUND.clone()
}

/// Runs on a runtime that is not the client's, as the gateway does.
pub(super) fn run<T>(future: impl Future<Output = T>) -> T {
    runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}
