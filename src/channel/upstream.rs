//! A backend and how to reach it.

use std::time::Duration;

/// A backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// The operator's name for it.
    pub name: Box<str>,
    /// Host name or address; an IPv6 address without brackets.
    pub host: Box<str>,
    /// Port.
    pub port: u16,
    /// TLS, when the URL was `https`.
    pub tls: Option<Tls>,
    /// Whether it speaks HTTP/2 (over cleartext: by prior knowledge).
    pub http2: bool,
    /// Time to establish a connection.
    pub connect_timeout: Duration,
    /// Longest pause while it answers.
    pub read_timeout: Duration,
}

/// TLS towards a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The name on its certificate.
    pub server_name: Box<str>,
    /// Roots to trust instead of the system's, PEM.
    pub ca: Option<Vec<u8>>,
    /// Whether its certificate is checked; `check` warns where it is not.
    pub verify: bool,
}

impl Upstream {
    /// `http://host:port` or `https://…`, without a trailing slash.
    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme(), self.authority())
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// `host:port`, as a `Host` header names it.
    pub fn authority(&self) -> String {
        let host = self
            .tls
            .as_ref()
            .map_or(&*self.host, |tls| &*tls.server_name);
        // An IPv6 address stands in brackets in a URL.
        if host.contains(':') {
            return format!("[{host}]:{}", self.port);
        }
        format!("{host}:{}", self.port)
    }
}
