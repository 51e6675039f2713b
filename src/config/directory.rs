//! `[directory.NAME]`: where the company's records are.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use super::call::signer;
use super::names::{header, identifier};
use super::reader::{Node, Table, Wrong, clean};
use super::server::Server;
use super::template::{CREDENTIALS, FRAMING};
use super::url::Url;
use crate::directory::http::Sign;
use crate::directory::ldap::{self, Ldap, Tls};
#[cfg(feature = "sql")]
use crate::directory::sql::{self, Sql};
use crate::directory::{Directory, Http, Kind};

const MINUTE: Duration = Duration::from_secs(60);

/// All directories, broken ones left out; they are reported.
pub(super) struct Directories {
    known: Vec<Arc<Directory>>,
    /// Names of the broken ones too: whoever names one makes no second mistake.
    names: Vec<String>,
}

impl Directories {
    pub(super) fn read(root: &Table<'_>, server: &Server) -> Self {
        let table = root.get("directory").and_then(Node::table);
        let nodes = table.as_ref().map(Table::entries).unwrap_or_default();
        Self {
            names: nodes.iter().map(|node| node.name.to_owned()).collect(),
            known: nodes
                .into_iter()
                .filter_map(|node| directory(node, server))
                .map(Arc::new)
                .collect(),
        }
    }

    /// The directory that a string names.
    pub(super) fn find(&self, node: Node<'_>) -> Option<Arc<Directory>> {
        let text = node.text()?;
        let found = self.known.iter().find(|directory| *directory.name == *text);
        if found.is_none() && !self.names.iter().any(|name| name == text) {
            let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
            node.unknown_name(text, &names);
        }
        found.cloned()
    }

    pub(super) fn all(self) -> Vec<Arc<Directory>> {
        self.known
    }
}

fn directory(node: Node<'_>, server: &Server) -> Option<Directory> {
    type Read = fn(&Table<'_>, &Server) -> Option<Kind>;
    let kinds: [(&str, Read); 3] = [("ldap", ldap), ("sql", sql), ("http", http)];
    if let Err(wrong) = identifier(node.name) {
        node.error_key(wrong);
    }
    let table = node.table()?;
    let Some(read) = table.need("kind").and_then(|node| node.choice(&kinds)) else {
        // Which keys belong here cannot be known.
        table.entries();
        return None;
    };
    Some(Directory {
        name: node.name.into(),
        kind: read(&table, server)?,
    })
}

fn ldap(table: &Table<'_>, server: &Server) -> Option<Kind> {
    let url = table.need("url");
    let starttls = table.get("starttls");
    let (ca, server_name) = (table.get("ca"), table.get("server_name"));
    let service = service(table);
    let base = table.need("base").and_then(|node| node.parse(name));
    let bounds = bounds(table);

    let upgrade = starttls.and_then(Node::boolean).unwrap_or(false);
    let url = url.and_then(|node| Some((node.parse(address)?, node)));
    if let (Some((url, node)), Some(starttls)) = (&url, starttls.filter(|_| upgrade))
        && url.https
    {
        starttls.clash(
            *node,
            "`ldaps` is encrypted from the beginning: leave `starttls` out",
        );
    }
    let encrypted = url.as_ref().is_none_or(|(url, _)| url.https || upgrade);
    if !encrypted {
        for node in [ca, server_name].into_iter().flatten() {
            node.error_key(format!(
                "`{}` has a meaning with ldaps or `starttls` only",
                node.name
            ));
        }
    }
    if let Some((url, node)) = url.as_ref().filter(|(url, _)| !encrypted && url.exposed()) {
        let message = "passwords and records can be read and changed on the way to this server";
        let help = match url.port {
            None => "use ldaps, or starttls = true",
            Some(_) => "use ldaps and its port, or starttls = true",
        };
        node.warn(Wrong::new(message, help));
    }
    let ca = ca.map(Node::roots);
    let server_name = server_name.map(|node| {
        node.parse(|text| super::url::host(text).ok_or("this is not a host name or address"))
    });

    let (url, node) = url?;
    let bounds = bounds?;
    let tls = match encrypted {
        false => None,
        true => Some(Tls {
            starttls: !url.https,
            server_name: match server_name {
                Some(name) => name?,
                None => url.host.clone(),
            },
            ca: match ca {
                Some(ca) => Some(ca?),
                None => None,
            },
            extra_roots: server.extra_roots.clone(),
        }),
    };
    let usual = if url.https { 636 } else { 389 };
    let checked = ldap::Server {
        host: url.host,
        port: url.port.unwrap_or(usual),
        tls,
        service: service?,
        base: base?,
        pool: usize::try_from(bounds.pool).ok()?,
        connect_timeout: bounds.connect_timeout,
        timeout: bounds.timeout,
    };
    match Ldap::new(checked) {
        Ok(ldap) => Some(Kind::Ldap(Box::new(ldap))),
        Err(error) => {
            node.error(format!(
                "this server cannot be spoken to: {}",
                clean(&error)
            ));
            None
        }
    }
}

/// What is read of every directory that connections are kept to.
struct Bounds {
    pool: u32,
    connect_timeout: Duration,
    timeout: Duration,
}

fn bounds(table: &Table<'_>) -> Option<Bounds> {
    let pool = table.get("pool").map(|node| node.integer(1..=64));
    let duration = |name: &'static str, usual| {
        let set = table.get(name).and_then(|node| node.duration_up_to(MINUTE));
        set.unwrap_or(Duration::from_secs(usual))
    };
    let (connect_timeout, timeout) = (duration("connect_timeout", 3), duration("timeout", 5));
    Some(Bounds {
        pool: pool.unwrap_or(Some(4)).and_then(|n| n.try_into().ok())?,
        connect_timeout,
        timeout,
    })
}

/// A database. The URL is a secret where it is PostgreSQL's.
#[cfg(feature = "sql")]
fn sql(table: &Table<'_>, server: &Server) -> Option<Kind> {
    let url = table.need("url");
    let ca = table.get("ca");
    let Bounds {
        pool,
        connect_timeout,
        timeout,
    } = bounds(table)?;
    let bounds = sql::Bounds {
        pool,
        connect_timeout,
        timeout,
    };
    let node = url?;
    let open = node.hidden_text().filter(|url| url.starts_with("sqlite:"));
    let url = match open {
        Some(url) => {
            node.show();
            url.to_owned()
        }
        None => node.secret_text()?.1,
    };
    if let Some(file) = url.strip_prefix("sqlite:") {
        if let Some(ca) = ca {
            ca.error_key("`ca` has a meaning with PostgreSQL only");
        }
        let file = file.strip_prefix("//").unwrap_or(file);
        if file.is_empty() || file.contains(['?', '\0']) || file.contains(":memory:") {
            let message = "this names no file of SQLite's";
            node.error(Wrong::new(message, "write it like \"sqlite:records.db\""));
            return None;
        }
        let file = node.report().source.base().join(file);
        if !file.is_file() {
            node.warn("there is no such file yet");
        }
        return Some(Kind::Sql(Box::new(Sql::sqlite(&file, bounds))));
    }
    if !["postgres://", "postgresql://"]
        .iter()
        .any(|scheme| url.starts_with(scheme))
    {
        node.error("the URL must begin with sqlite: or postgres://");
        return None;
    }
    let roots = match ca {
        Some(ca) => Some(ca.roots()?),
        None => server.extra_roots.clone(),
    };
    let sql = Sql::postgres(&url, roots, bounds).map_err(|message| node.error(message));
    let sql = sql.ok()?;
    if sql.exposed() {
        node.warn(Wrong::new(
            "records and the password can be read and changed on the way to this database",
            "leave `sslmode` out, or write sslmode=verify-full",
        ));
    }
    Some(Kind::Sql(Box::new(sql)))
}

#[cfg(not(feature = "sql"))]
fn sql(table: &Table<'_>, _: &Server) -> Option<Kind> {
    table.entries();
    table.error(Wrong::new(
        "this chatgate was built without databases",
        "build it with the cargo feature `sql`",
    ));
    None
}

/// A service over HTTP.
fn http(table: &Table<'_>, _: &Server) -> Option<Kind> {
    let url = table.need("url");
    let headers = table.get("headers").map(headers);
    let sign = table.get("sign").map(|node| signer(node, &[]));
    let timeout = table
        .get("timeout")
        .and_then(|node| node.duration_up_to(MINUTE));
    let node = url?;
    let url = node.private_url("records")?;
    if url.query.is_some() {
        let help = "say in the `path` of a match what to ask for";
        node.error(Wrong::new("a directory's URL has no query", help));
        return None;
    }
    let sign: Option<Box<dyn Sign>> = match sign {
        Some(sign) => Some(Box::new(sign?)),
        None => None,
    };
    Some(Kind::Http(Box::new(Http {
        url: url.text.trim_end_matches('/').into(),
        headers: headers.unwrap_or(Some(HeaderMap::new()))?,
        sign,
        timeout: timeout.unwrap_or(Duration::from_secs(5)),
    })))
}

/// Headers whose values are text, or secrets: `{ file = "…" }`, `{ env = "…" }`.
fn headers(node: Node<'_>) -> Option<HeaderMap> {
    let table = node.table()?;
    let mut headers = HeaderMap::new();
    for node in table.entries() {
        let name = match header(node.name) {
            Ok(name) => name,
            Err(wrong) => {
                node.error_key(wrong);
                continue;
            }
        };
        if FRAMING.contains(&name.as_str()) {
            node.error_key(format!("`{name}` follows from the request"));
        }
        let secret = node.is_table() || CREDENTIALS.contains(&name.as_str());
        let text = match secret {
            true => node.secret_text().map(|(_, text)| text),
            false => node.text().map(str::to_owned),
        };
        let Some(text) = text else {
            continue;
        };
        match HeaderValue::from_str(&text) {
            Ok(mut value) => {
                value.set_sensitive(secret);
                if headers.insert(name, value).is_some() {
                    node.error_key("this header is named twice");
                }
            }
            Err(_) => node.error("a header cannot carry this text"),
        }
    }
    Some(headers)
}

/// `bind_dn` and `bind_password`, both or none. The outer `None` is a mistake.
fn service(table: &Table<'_>) -> Option<Option<(Box<str>, crate::secret::Secret)>> {
    let (dn, password) = (table.get("bind_dn"), table.get("bind_password"));
    let read = (
        dn.map(Node::word),
        password.map(|node| node.secret_text().map(|(secret, _)| secret)),
    );
    match (read, dn.or(password)) {
        ((Some(dn), Some(password)), _) => Some(Some((dn?, password?))),
        ((None, None), _) => Some(None),
        ((Some(_), None), Some(node)) => {
            // A name without a password is an anonymous bind (RFC 4513, section 5.1.2).
            node.error_key("`bind_dn` without `bind_password`");
            None
        }
        (_, Some(node)) => {
            node.error_key("`bind_password` without `bind_dn`");
            None
        }
        (_, None) => None,
    }
}

/// `ldap://host:port` or `ldaps://…`; the scheme of what is returned is `https` for `ldaps`.
fn address(text: &str) -> Result<Url, Wrong> {
    let help = "write it like \"ldaps://ldap.example.com\"";
    let wrong = |message: &str| Wrong::new(message, help);
    let web = match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("ldap") => format!("http://{rest}"),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("ldaps") => format!("https://{rest}"),
        _ => return Err(wrong("the URL must begin with ldap:// or ldaps://")),
    };
    let url = Url::parse(&web).map_err(|found| wrong(&found.message))?;
    if url.path.len() > 1 || url.query.is_some() {
        return Err(Wrong::new(
            "scheme, host and port only",
            "say in `base` where to search",
        ));
    }
    Ok(url)
}

/// A distinguished name (RFC 4514), looked at from afar: the server reads it.
pub(super) fn name(text: &str) -> Result<Box<str>, Wrong> {
    if !text.contains('=') || text.chars().any(char::is_control) {
        return Err(Wrong::new(
            "this is not the name of an entry",
            "write it like \"ou=people,dc=example,dc=com\"",
        ));
    }
    Ok(text.into())
}
