//! What the integration tests stand on: doubles of the two sides of the gateway, and the gateway.
//!
//! | module | what it is |
//! |---|---|
//! | [`message`] | a request to send, an answer that came, byte for byte |
//! | [`origin`] | a scripted backend over HTTP/1: answers exactly as told, keeps what it was sent |
//! | [`script`] | what it answers, what it was asked |
//! | [`h2`] | the same over HTTP/2, and an HTTP/2 client |
//! | [`websocket`] | both ends of a WebSocket, frame by frame |
//! | [`wire`] | an HTTP/1 client that sends any bytes, over TCP or TLS |
//! | [`browser`] | a client with a cookie jar, for the plot of a test |
//! | [`canaille`] | a real OpenID provider, whose customers are in a real LDAP server |
//! | [`chromium`] | a real browser, driven by the scripts of `tests/browser` |
//! | [`feed`] | a backend whose stream says what it is told, when it is told, and its listener |
//! | [`gateway`] | the gateway, in this process with a clock moved by hand, or as its own process |
//! | [`login`] | the login page's side: reads login URLs, signs returns |
//! | [`metrics`] | what the admin listener counts |
//! | [`node`] | the real backends of `tests/backends`, run by node and Python |
//! | [`postgres`] | a real PostgreSQL server |
//! | [`provider`] | an OpenID provider that lies when it is told to |
//! | [`slapd`] | a real LDAP server |
//! | [`tls`] | one certificate for everybody |
//! | [`ports`] | free ports |

#![allow(dead_code, unused_imports)]

pub mod browser;
pub mod canaille;
pub mod chromium;
pub mod feed;
pub mod gateway;
pub mod h2;
pub mod login;
pub mod message;
pub mod metrics;
pub mod node;
pub mod origin;
pub mod ports;
pub mod postgres;
pub mod provider;
pub mod script;
pub mod slapd;
pub mod tls;
pub mod websocket;
pub mod wire;

pub use browser::Browser;
pub use canaille::Canaille;
pub use feed::{Feed, Listener};
pub use gateway::{Addresses, Gateway, Process};
pub use login::{KEY, PLATFORM_KEY, Site};
pub use message::{Answer, Request};
pub use metrics::Metrics;
pub use node::{Node, Talk};
pub use origin::Origin;
pub use postgres::Postgres;
pub use provider::Provider;
pub use script::{Framing, Reply, Seen};
pub use slapd::Slapd;
pub use websocket::{Frame, SocketOrigin, WebSocket};
pub use wire::Wire;

use std::time::{Duration, Instant};

/// Nothing that a test waits for takes longer than this on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again until `look` has an answer.
///
/// # Panics
/// When [`PATIENCE`] is over; `what` says what did not happen.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "did not happen: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
