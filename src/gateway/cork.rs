//! What a request writes to the backend in one go leaves in one packet.
//!
//! pingora sends the head of a request off before it looks at the body. Where the body
//! is there already, as it mostly is, the backend is woken twice and reads twice. So the
//! connection is corked (`TCP_CORK`, tcp(7)) until the task that writes to it has nothing
//! more to do for now. Nothing waits for a body that is still to come.
//! `benches/README.md` tells what that saves.

use std::cell::Cell;
use std::os::fd::RawFd;
use std::pin::pin;

tokio::task_local! {
    /// The connection that was corked while this task was polled.
    static CORKED: Cell<Option<RawFd>>;
}

/// Holds what is written to a connection back until the task has to wait. Does nothing in
/// a task that does not run under [`uncorking`].
pub(super) fn cork(connection: RawFd) {
    let _ = CORKED.try_with(|corked| {
        if set(connection, true)
            && let Some(former) = corked.replace(Some(connection))
            && former != connection
        {
            set(former, false);
        }
    });
}

/// Runs a task whose connections are let go of whenever it waits.
pub(super) async fn uncorking<F: Future>(task: F) -> F::Output {
    let task = async {
        let mut task = pin!(task);
        std::future::poll_fn(|context| {
            let polled = task.as_mut().poll(context);
            if let Some(connection) = CORKED.with(Cell::take) {
                set(connection, false);
            }
            polled
        })
        .await
    };
    CORKED.scope(Cell::new(None), task).await
}

/// Whether it could be done. Where the connection is closed by now, nothing is done, and
/// neither where its number is another's: that one has no cork to be taken off.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "pingora lends the number of a connection only")]
fn set(connection: RawFd, corked: bool) -> bool {
    let corked = libc::c_int::from(corked);
    // SAFETY: the pointer is to a `c_int` that outlives the call, and its size is given.
    let done = unsafe {
        libc::setsockopt(
            connection,
            libc::IPPROTO_TCP,
            libc::TCP_CORK,
            (&raw const corked).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    done == 0
}

#[cfg(not(target_os = "linux"))]
fn set(_: RawFd, _: bool) -> bool {
    false
}
