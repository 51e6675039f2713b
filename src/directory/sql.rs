//! A database: SQLite, a file that is only ever read, or PostgreSQL.
//!
//! Values go to the database as parameters, never as part of a query's text.

mod postgres;
mod sqlite;
mod statement;

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Map, Value};
use sqlx::postgres::{PgConnectOptions, PgPool};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tokio::time::timeout;

pub use statement::Statement;

use super::{Fault, Record};

/// A database. Connections are opened when they are needed, on the runtime that asks.
pub struct Sql {
    source: Source,
    bounds: Bounds,
    open: OnceLock<Pool>,
}

/// How much is asked of a database at one time, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Most connections.
    pub pool: u32,
    /// Longest time until a connection is free or open.
    pub connect_timeout: Duration,
    /// Longest time of one query.
    pub timeout: Duration,
}

enum Source {
    Sqlite(SqliteConnectOptions),
    Postgres(PgConnectOptions),
}

#[derive(Clone)]
enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Sql {
    /// A file of SQLite's, which has to be there when it is asked.
    pub fn sqlite(file: &Path, bounds: Bounds) -> Self {
        Self::new(Source::Sqlite(sqlite::options(file, bounds)), bounds)
    }

    /// A PostgreSQL server, by its URL (`postgres://…`). TLS is verified unless the URL
    /// says otherwise, or the server is on this machine; PEM `roots` are trusted beside
    /// the system's.
    ///
    /// # Errors
    /// When it is no such URL; the text does not repeat it.
    pub fn postgres(url: &str, roots: Option<Vec<u8>>, bounds: Bounds) -> Result<Self, String> {
        let options = postgres::options(url, roots, bounds)?;
        Ok(Self::new(Source::Postgres(options), bounds))
    }

    /// Whether records and passwords can be read on the way to the database.
    pub fn exposed(&self) -> bool {
        match &self.source {
            Source::Sqlite(_) => false,
            Source::Postgres(options) => postgres::exposed(options),
        }
    }

    fn new(source: Source, bounds: Bounds) -> Self {
        Self {
            source,
            bounds,
            open: OnceLock::new(),
        }
    }

    /// The row that a query finds.
    pub(super) async fn find(
        &self,
        statement: &Statement,
        values: &[String],
        fields: &[Box<str>],
    ) -> Result<Option<Record>, Fault> {
        let rows = match self.open.get_or_init(|| self.connect()).clone() {
            Pool::Sqlite(pool) => sqlite::rows(pool, self.bounds, statement, values).await?,
            Pool::Postgres(pool) => postgres::rows(pool, self.bounds, statement, values).await?,
        };
        let mut rows = rows.into_iter();
        match (rows.next(), rows.next()) {
            (None, _) => Ok(None),
            (Some(row), None) => record(row, fields).map(Some),
            (Some(_), Some(_)) => Err(Fault::Ambiguous),
        }
    }

    fn connect(&self) -> Pool {
        match &self.source {
            Source::Sqlite(options) => Pool::Sqlite(sqlite::pool(options.clone(), self.bounds)),
            Source::Postgres(options) => {
                Pool::Postgres(postgres::pool(options.clone(), self.bounds))
            }
        }
    }
}

impl fmt::Debug for Sql {
    /// The URL has a password in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.source {
            Source::Sqlite(_) => "Sql(sqlite)",
            Source::Postgres(_) => "Sql(postgres)",
        })
    }
}

/// A row as it came: names and values, in order.
type Row = Vec<(String, Value)>;

/// The fields of a row that were asked for. Databases do not agree on the case of names.
fn record(row: Row, fields: &[Box<str>]) -> Result<Record, Fault> {
    let mut found = Map::new();
    for field in fields {
        let exact = row.iter().find(|(name, _)| *name == **field);
        let (_, value) = exact
            .or_else(|| {
                row.iter()
                    .find(|(name, _)| name.eq_ignore_ascii_case(field))
            })
            .ok_or_else(|| Fault::Refused(format!("the query yields no column `{field}`")))?;
        found.insert(field.to_string(), value.clone());
    }
    Ok(Record {
        name: "".into(),
        fields: found,
    })
}

/// A query that has its time.
async fn in_time<T>(
    bounds: Bounds,
    query: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Fault> {
    match timeout(bounds.timeout, query).await {
        Ok(done) => done.map_err(fault),
        Err(_) => Err(Fault::Unavailable("the query took too long".into())),
    }
}

/// What a database says may repeat what a customer wrote: only what cannot is passed on.
fn fault(error: sqlx::Error) -> Fault {
    use sqlx::Error;
    match error {
        Error::Database(error) => {
            let code = error.code().unwrap_or_default().into_owned();
            let sqlite = error.as_error().is::<sqlx::sqlite::SqliteError>();
            match sqlite {
                true => sqlite::refusal(&code, error.message()),
                false => postgres::refusal(&code, error.message()),
            }
        }
        Error::ColumnDecode { index, .. } => {
            Fault::Refused(format!("column {index} cannot be read: cast it to text"))
        }
        Error::Io(error) => Fault::Unavailable(error.to_string()),
        Error::Tls(error) => Fault::Unavailable(format!("TLS: {error}")),
        Error::PoolTimedOut => Fault::Unavailable("no connection in time".into()),
        Error::PoolClosed | Error::WorkerCrashed => Fault::Unavailable("it was closed".into()),
        Error::Protocol(_) => Fault::Unavailable("it does not speak the protocol".into()),
        _ => Fault::Refused("the query could not be made".into()),
    }
}

fn undecodable(column: &str, kind: &str) -> Fault {
    Fault::Refused(format!(
        "column `{column}` is of the type {kind}: cast it to text"
    ))
}

#[cfg(test)]
mod tests;
