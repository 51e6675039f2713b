//! Free ports, for servers that take a number and cannot be given a socket.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};

/// A loopback address that nobody listens on.
///
/// Taken from below the range that the system picks client ports from, and never
/// twice in one process, so no test takes another one's address in the moment
/// between asking and binding. Asked by connecting: a listener of our own would live
/// on for a moment in a child process that another test forks just then.
pub fn free() -> SocketAddr {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 22_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(613);
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + start.wrapping_add(step) % COUNT;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, u16::try_from(port).unwrap()));
        if TcpStream::connect(address).is_err() {
            return address;
        }
    }
    panic!("no free port");
}
