//! The company's own records: where they are, and how one is found.
//!
//! One file per kind. What is asked differs from kind to kind; what comes back is the
//! same for all: one [`Record`], none, or a [`Fault`].

pub mod http;
pub mod ldap;
pub mod pattern;
#[cfg(feature = "sql")]
pub mod sql;

use std::error::Error;
use std::fmt;

use serde_json::{Map, Value};

pub use self::http::Http;
pub use ldap::Ldap;
pub use pattern::{Mistake, Pattern};
#[cfg(feature = "sql")]
pub use sql::{Sql, Statement};

use crate::outbound::Outbound;
use crate::time::Time;

/// One configured directory.
#[derive(Debug)]
pub struct Directory {
    /// Its name: `[a-z0-9_-]`.
    pub name: Box<str>,
    /// What it is.
    pub kind: Kind,
}

/// What a directory is.
#[derive(Debug)]
pub enum Kind {
    /// An LDAP server.
    Ldap(Box<Ldap>),
    /// A database.
    #[cfg(feature = "sql")]
    Sql(Box<Sql>),
    /// A service that answers with JSON.
    Http(Box<Http>),
}

impl Directory {
    /// The LDAP server, where it is one.
    pub fn ldap(&self) -> Option<&Ldap> {
        match &self.kind {
            Kind::Ldap(ldap) => Some(ldap),
            _ => None,
        }
    }

    /// The record that a query with these values finds, `fields` of it.
    ///
    /// To be asked on the runtime of `outbound`: connections belong to the runtime that
    /// they were opened on.
    pub async fn find(
        &self,
        query: &Query,
        values: &[String],
        fields: &[Box<str>],
        outbound: &Outbound,
        now: Time,
    ) -> Result<Option<Record>, Fault> {
        match (&self.kind, query) {
            (Kind::Ldap(ldap), Query::Filter(filter, base)) => {
                let base = base.as_deref().unwrap_or(&ldap.server.base);
                let filter = filter.fill(values);
                ldap.find(outbound, base, filter, fields.to_vec()).await
            }
            #[cfg(feature = "sql")]
            (Kind::Sql(sql), Query::Statement(statement)) => {
                sql.find(statement, values, fields).await
            }
            (Kind::Http(http), Query::Path(path)) => {
                http.find(&path.fill(values), fields, outbound, now).await
            }
            _ => Err(Fault::Refused("it is not asked this way".into())),
        }
    }
}

/// What a directory is asked, but for the values: these never become part of its text.
#[derive(Clone, Debug)]
pub enum Query {
    /// A search filter, and where to search if not below the server's `base`.
    Filter(Pattern, Option<Box<str>>),
    /// A statement with named parameters.
    #[cfg(feature = "sql")]
    Statement(Statement),
    /// A path, and perhaps a query, below the service's URL.
    Path(Pattern),
}

impl Query {
    /// The names of the values that it takes, in order, and where they stand.
    pub fn names(&self) -> &[(Box<str>, usize)] {
        match self {
            Self::Filter(pattern, _) | Self::Path(pattern) => pattern.names(),
            #[cfg(feature = "sql")]
            Self::Statement(statement) => statement.names(),
        }
    }
}

/// What a directory has on one person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// What the directory itself knows it by: the distinguished name in LDAP. Empty
    /// where a directory has no such thing.
    pub name: Box<str>,
    /// The fields that were asked for and are there, each under the name that it was
    /// asked for by. A field with several values is an array.
    pub fields: Map<String, Value>,
}

/// Why a directory gave no answer. The texts are for the log: they name hosts and
/// faults, never a password or what a customer wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is down, too slow, or not the one that it should be.
    Unavailable(String),
    /// It answers, and does not do what it is asked: something is configured wrongly.
    Refused(String),
    /// It has more than one record where one decides.
    Ambiguous,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(why) => write!(f, "the directory is not available: {why}"),
            Self::Refused(why) => write!(f, "the directory refuses: {why}"),
            Self::Ambiguous => f.write_str("there is more than one record"),
        }
    }
}

impl Error for Fault {}
