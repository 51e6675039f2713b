//! An LDAP server (RFC 4511): one entry is searched for, or a password is tried.

use std::time::Duration;

use crate::secret::Secret;

/// An LDAP server.
#[derive(Debug)]
pub struct Ldap {
    /// Where it is, and how it is spoken to.
    pub server: Server,
}

/// Where an LDAP server is, and how it is spoken to.
#[derive(Debug)]
pub struct Server {
    /// Host name or address, an IPv6 address without brackets.
    pub host: Box<str>,
    /// Port.
    pub port: u16,
    /// TLS; `None` speaks in the clear.
    pub tls: Option<Tls>,
    /// Whom the searches are made as: a name and its password. `None` searches anonymously.
    pub service: Option<(Box<str>, Secret)>,
    /// The entry below which is searched where nothing else is said.
    pub base: Box<str>,
    /// Connections for searches, at most; as many again try passwords.
    pub pool: usize,
    /// Longest time until a connection is open, TLS and the bind of `service` included.
    pub connect_timeout: Duration,
    /// Longest time of one search or bind.
    pub timeout: Duration,
}

/// How TLS is spoken.
#[derive(Debug)]
pub struct Tls {
    /// Whether the connection begins in the clear (RFC 4511, section 4.14).
    pub starttls: bool,
    /// The name that the certificate has to have.
    pub server_name: Box<str>,
    /// PEM roots that are trusted in place of the system's.
    pub ca: Option<Vec<u8>>,
    /// PEM roots that are trusted beside the system's.
    pub extra_roots: Option<Vec<u8>>,
}

impl Ldap {
    /// A server that nobody has called yet.
    ///
    /// # Errors
    /// When TLS cannot be spoken with its settings.
    pub fn new(server: Server) -> Result<Self, String> {
        Ok(Self { server })
    }
}
