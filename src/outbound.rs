//! The calls chatgate makes itself: session look-ups, key sets, side calls,
//! replays, notices. They run on a runtime of their own, since each pingora
//! service has its own and a pooled connection must not outlive the one it was
//! opened on.

use std::time::Duration;

use bytes::Bytes;

/// Bounds of one call.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// From the first byte sent to the last received.
    pub timeout: Duration,
    /// Longest answer body in bytes.
    pub max_body: usize,
}

/// Why a call yielded no answer.
#[derive(Debug)]
pub enum CallError {
    /// It took longer than its bound.
    Timeout,
    /// The answer was longer than its bound.
    TooLarge,
    /// Everything else: no connection, broken TLS, broken HTTP.
    Failed(String),
}

/// The client.
#[derive(Debug)]
pub struct Outbound {
    _todo: (),
}

impl Outbound {
    /// Starts the runtime and the client. TLS trusts the system's roots and
    /// `extra_roots` (PEM).
    pub fn start(extra_roots: Option<&[u8]>) -> Result<Self, String> {
        todo!()
    }

    /// Makes one call (HTTP/1.1; `http` and `https` URLs; no redirects followed).
    pub async fn call(
        &self,
        request: http::Request<Bytes>,
        bounds: Bounds,
    ) -> Result<http::Response<Bytes>, CallError> {
        todo!()
    }
}
