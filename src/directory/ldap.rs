//! An LDAP server (RFC 4511): one entry is searched for, or a password is tried.
//!
//! Connections live on the runtime of [`Outbound`]. Searches share a few, which are
//! opened when they are needed; a password is tried on a connection of its own, since a
//! bind changes whose connection it is. Referrals are not followed.

use std::collections::HashMap;
use std::fmt;
use std::net::Ipv6Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ldap3::{LdapConnAsync, LdapConnSettings, LdapError, Scope, SearchEntry, SearchOptions};
use ldap3::{SearchResult, StdStream};
use rustls::ClientConfig;
use serde_json::{Map, Value};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::{Fault, Record};
use crate::outbound::{self, Outbound};
use crate::secret::Secret;

/// Longest password that is tried, in bytes.
pub const MAX_PASSWORD: usize = 1024;

/// An LDAP server. Clones share its connections.
#[derive(Clone)]
pub struct Ldap {
    /// Where it is, and how it is spoken to.
    pub server: Arc<Server>,
    tls: Option<Arc<ClientConfig>>,
    connections: Arc<Connections>,
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
    /// Longest time of one search or bind, a wait for a free connection included.
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

/// What is open, and what may be.
struct Connections {
    searches: Semaphore,
    passwords: Semaphore,
    idle: Mutex<Vec<Idle>>,
}

/// A connection that nobody uses just now.
struct Idle {
    connection: ldap3::Ldap,
    since: Instant,
}

/// How long a connection may be idle: firewalls forget those that say nothing.
const IDLE: Duration = Duration::from_secs(60);

impl Ldap {
    /// A server that nobody has called yet.
    ///
    /// # Errors
    /// When TLS cannot be spoken with its settings.
    pub fn new(server: Server) -> Result<Self, String> {
        let tls = match &server.tls {
            None => None,
            Some(tls) if tls.server_name.parse::<Ipv6Addr>().is_ok() => {
                return Err("name what its certificate is for as `server_name`".into());
            }
            Some(tls) => {
                let trusted = match &tls.ca {
                    Some(ca) => outbound::only(ca)?,
                    None => outbound::system(tls.extra_roots.as_deref())?,
                };
                Some(Arc::new(outbound::tls_config(trusted)?))
            }
        };
        Ok(Self {
            connections: Arc::new(Connections {
                searches: Semaphore::new(server.pool),
                passwords: Semaphore::new(server.pool),
                idle: Mutex::default(),
            }),
            server: Arc::new(server),
            tls,
        })
    }

    /// The one entry at or below `base` that the filter (RFC 4515) finds, with these
    /// attributes; `None` when there is none. Attributes that are not text are left out.
    ///
    /// # Errors
    /// [`Fault::Ambiguous`] when there are two.
    pub async fn find(
        &self,
        outbound: &Outbound,
        base: &str,
        filter: String,
        attributes: Vec<Box<str>>,
    ) -> Result<Option<Record>, Fault> {
        let ldap = self.clone();
        let base = base.to_owned();
        let search = async move {
            let asked = Search {
                base: &base,
                filter: &filter,
                attributes: &attributes,
            };
            ldap.search(&asked).await
        };
        outbound.run(search).await.ok_or_else(lost)?
    }

    /// Whether this is the password of the entry of this name. What a server takes for
    /// no password at all is never one (RFC 4513, section 5.1.2), and neither is what it
    /// may cut off or choke on: with a NUL, or longer than [`MAX_PASSWORD`]. Such ones are
    /// not sent.
    ///
    /// # Errors
    /// When nobody can say.
    pub async fn bind(
        &self,
        outbound: &Outbound,
        name: &str,
        password: Secret,
    ) -> Result<bool, Fault> {
        if name.is_empty() || !is_password(&password) {
            return Ok(false);
        }
        let ldap = self.clone();
        let name = name.to_owned();
        let bind = async move {
            let deadline = Instant::now() + ldap.server.timeout;
            let turn = timeout_at(deadline, ldap.connections.passwords.acquire());
            let _turn = turn.await.map_err(|_| slow())?;
            let mut connection = ldap.connect().await?;
            ldap.authenticate(&mut connection, &name, &password).await
        };
        outbound.run(bind).await.ok_or_else(lost)?
    }

    /// A search, on a connection that is open if there is one. One that turns out to be
    /// broken is replaced, once.
    async fn search(&self, asked: &Search<'_>) -> Result<Option<Record>, Fault> {
        let deadline = Instant::now() + self.server.timeout;
        let turn = timeout_at(deadline, self.connections.searches.acquire());
        let _turn = turn.await.map_err(|_| slow())?;
        if let Some(mut connection) = self.connections.take() {
            match timeout_at(deadline, asked.send(&mut connection)).await {
                Ok(Ok(found)) => {
                    self.connections.keep(connection);
                    return asked.read(found);
                }
                Ok(Err(error)) => tracing::debug!(%error, "a directory's connection was broken"),
                Err(_) => return Err(slow()),
            }
        }
        let mut connection = self.connect().await?;
        if let Some((name, password)) = &self.server.service
            && !self.authenticate(&mut connection, name, password).await?
        {
            return Err(Fault::Refused(
                "it does not take `bind_dn` and `bind_password`".into(),
            ));
        }
        let deadline = Instant::now() + self.server.timeout;
        let found = timeout_at(deadline, asked.send(&mut connection))
            .await
            .map_err(|_| slow())?
            .map_err(|error| match error {
                LdapError::FilterParsing => Fault::Refused("the filter is none".into()),
                error => Fault::Unavailable(error.to_string()),
            })?;
        self.connections.keep(connection);
        asked.read(found)
    }

    /// A new connection, TLS included, nobody's yet.
    async fn connect(&self) -> Result<ldap3::Ldap, Fault> {
        let Server { host, port, .. } = &*self.server;
        let open = async {
            let stream = TcpStream::connect((&**host, *port)).await?;
            stream.set_nodelay(true)?;
            let settings =
                LdapConnSettings::new().set_std_stream(StdStream::Tcp(stream.into_std()?));
            // The stream is there: the URL says what is spoken, and with whom.
            let (settings, url) = match (&self.server.tls, &self.tls) {
                (Some(tls), Some(config)) => (
                    settings
                        .set_config(config.clone())
                        .set_starttls(tls.starttls),
                    match tls.starttls {
                        true => format!("ldap://{}", tls.server_name),
                        false => format!("ldaps://{}", tls.server_name),
                    },
                ),
                _ => (settings, "ldap://localhost".to_owned()),
            };
            LdapConnAsync::with_settings(settings, &url).await
        };
        let opened = tokio::time::timeout(self.server.connect_timeout, open).await;
        let (driver, connection) = opened
            .map_err(|_| Fault::Unavailable("it takes too long to connect".into()))?
            .map_err(|error| Fault::Unavailable(error.to_string()))?;
        tokio::spawn(async move {
            if let Err(error) = driver.drive().await {
                tracing::debug!(%error, "a directory's connection broke");
            }
        });
        Ok(connection)
    }

    /// Whether the connection is now that of this name.
    async fn authenticate(
        &self,
        connection: &mut ldap3::Ldap,
        name: &str,
        password: &Secret,
    ) -> Result<bool, Fault> {
        let Ok(text) = std::str::from_utf8(password.expose()) else {
            return Ok(false);
        };
        let deadline = Instant::now() + self.server.timeout;
        let bound = timeout_at(deadline, connection.simple_bind(name, text))
            .await
            .map_err(|_| slow())?
            .map_err(|error| Fault::Unavailable(error.to_string()))?;
        match bound.rc {
            0 => Ok(true),
            // Where it is told that an entry is locked, expired or not there (RFC 4511,
            // appendix A), it is told to nobody else.
            INVALID_CREDENTIALS | 19 | 32 | 34 | 48 | 50 | 53 => Ok(false),
            code => Err(fault(code)),
        }
    }
}

impl fmt::Debug for Ldap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ldap({:?})", self.server)
    }
}

impl Connections {
    /// One that is open, the latest used first.
    fn take(&self) -> Option<ldap3::Ldap> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain_mut(|idle| idle.since.elapsed() < IDLE && !idle.connection.is_closed());
        idle.pop().map(|idle| idle.connection)
    }

    /// There are never more than may search at one time.
    fn keep(&self, connection: ldap3::Ldap) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(Idle {
            connection,
            since: Instant::now(),
        });
    }
}

/// What is searched for.
struct Search<'s> {
    base: &'s str,
    filter: &'s str,
    attributes: &'s [Box<str>],
}

impl Search<'_> {
    async fn send(&self, connection: &mut ldap3::Ldap) -> Result<SearchResult, LdapError> {
        // Two are enough to see that it is not one.
        let options = SearchOptions::new().sizelimit(2);
        let mut attributes: Vec<&str> = self.attributes.iter().map(|name| &**name).collect();
        if attributes.is_empty() {
            // RFC 4511, section 4.5.1.8: none, where nothing would mean all.
            attributes.push("1.1");
        }
        connection
            .with_search_options(options)
            .search(self.base, Scope::Subtree, self.filter, attributes)
            .await
    }

    fn read(&self, found: SearchResult) -> Result<Option<Record>, Fault> {
        let SearchResult(entries, result) = found;
        match result.rc {
            0 => {}
            SIZE_LIMIT_EXCEEDED => return Err(Fault::Ambiguous),
            code => return Err(fault(code)),
        }
        let mut entries = entries
            .into_iter()
            .filter(|entry| !entry.is_ref() && !entry.is_intermediate());
        match (entries.next(), entries.next()) {
            (None, _) => Ok(None),
            (Some(entry), None) => Ok(Some(self.record(SearchEntry::construct(entry)))),
            (Some(_), Some(_)) => Err(Fault::Ambiguous),
        }
    }

    /// Attributes under the names that they were asked for by: a server writes them as
    /// it likes (RFC 4512, section 2.5).
    fn record(&self, entry: SearchEntry) -> Record {
        let named: HashMap<String, Vec<String>> = entry
            .attrs
            .into_iter()
            .map(|(name, values)| (name.to_ascii_lowercase(), values))
            .collect();
        let fields = self.attributes.iter().filter_map(|name| {
            let values = named.get(&name.to_ascii_lowercase())?;
            let value = match &values[..] {
                [] => return None,
                [value] => Value::from(value.as_str()),
                values => Value::from(values),
            };
            Some((name.to_string(), value))
        });
        Record {
            fields: fields.collect::<Map<_, _>>(),
            name: entry.dn.into(),
        }
    }
}

const SIZE_LIMIT_EXCEEDED: u32 = 4;
const INVALID_CREDENTIALS: u32 = 49;

/// What a result code other than success says of the server (RFC 4511, appendix A.2).
/// Its own text is not repeated: it may name what a customer wrote.
fn fault(code: u32) -> Fault {
    match code {
        3 | 11 => Fault::Unavailable(format!("it found no time (result code {code})")),
        51 | 52 => Fault::Unavailable(format!("it is busy (result code {code})")),
        8 | 13 => Fault::Refused(format!("it wants TLS (result code {code})")),
        10 => Fault::Refused("it refers to another server (result code 10)".into()),
        32 => Fault::Refused("the base is not there (result code 32)".into()),
        code => Fault::Refused(format!("result code {code}")),
    }
}

fn slow() -> Fault {
    Fault::Unavailable("it takes too long".into())
}

/// The call's task ended before its time: the process ends, or the answer could not be read.
fn lost() -> Fault {
    Fault::Unavailable("the call was lost".into())
}

/// Text as a value in a filter: whatever it is, it stays a value (RFC 4515, section 3).
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for b in text.bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'@' => {
                escaped.push(char::from(b));
            }
            b => escaped.push_str(&format!("\\{b:02x}")),
        }
    }
    escaped
}

/// Whether this can be a password; see [`Ldap::bind`].
fn is_password(password: &Secret) -> bool {
    (1..=MAX_PASSWORD).contains(&password.len()) && !password.expose().contains(&0)
}

/// Whether this is a filter.
pub fn is_filter(text: &str) -> bool {
    text.starts_with('(') && ldap3::parse_filter(text).is_ok()
}

#[cfg(test)]
mod tests;
