//! SQLite: a file, opened read-only.

use std::path::Path;
use std::time::Instant;

use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteRow};
use sqlx::{Column, ConnectOptions, Row as _, TypeInfo, ValueRef};

use super::{Bounds, Fault, Row, Statement, fault, in_time, undecodable};

/// How many of SQLite's instructions are between two looks at the clock: a millisecond's.
const STEPS: i32 = 10_000;

pub(super) fn options(file: &Path, bounds: Bounds) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .read_only(true)
        .create_if_missing(false)
        .busy_timeout(bounds.timeout)
        .disable_statement_logging()
}

pub(super) fn pool(options: SqliteConnectOptions, bounds: Bounds) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(bounds.pool)
        .acquire_timeout(bounds.connect_timeout)
        .connect_lazy_with(options)
}

pub(super) async fn rows(
    pool: SqlitePool,
    bounds: Bounds,
    statement: &Statement,
    values: &[String],
) -> Result<Vec<Row>, Fault> {
    let text = statement.numbered('?');
    let mut query = sqlx::query(&text);
    for value in values {
        query = query.bind(value);
    }
    let mut connection = pool.acquire().await.map_err(fault)?;
    let deadline = Instant::now() + bounds.timeout;
    let asked = async {
        // A query runs on a thread of its own, and would go on there without anybody.
        let mut handle = connection.lock_handle().await?;
        handle.set_progress_handler(STEPS, move || Instant::now() < deadline);
        drop(handle);
        query.fetch_all(&mut *connection).await
    };
    let rows = in_time(bounds, asked).await;
    if rows.is_err() {
        // Its thread may be at the query for a moment more, or the file another one by now.
        connection.close_on_drop();
    }
    rows?.iter().map(row).collect()
}

fn row(row: &SqliteRow) -> Result<Row, Fault> {
    let column = |column: &sqlx::sqlite::SqliteColumn| {
        let (name, at) = (column.name().to_owned(), column.ordinal());
        let raw = row.try_get_raw(at).map_err(fault)?;
        if raw.is_null() {
            return Ok((name, Value::Null));
        }
        let kind = raw.type_info().name().to_owned();
        let value = match kind.as_str() {
            "INTEGER" | "INT8" | "BOOLEAN" => {
                Value::from(row.try_get_unchecked::<i64, _>(at).map_err(fault)?)
            }
            "REAL" => Value::from(row.try_get_unchecked::<f64, _>(at).map_err(fault)?),
            "BLOB" => return Err(undecodable(&name, &kind)),
            _ => Value::from(row.try_get_unchecked::<String, _>(at).map_err(fault)?),
        };
        Ok((name, value))
    };
    row.columns().iter().map(column).collect()
}

/// Result codes: <https://www.sqlite.org/rescode.html>. The messages name tables and
/// columns, not values.
pub(super) fn refusal(code: &str, message: &str) -> Fault {
    const BUSY: u32 = 5;
    const LOCKED: u32 = 6;
    const INTERRUPT: u32 = 9;
    const IO: u32 = 10;
    const CANNOT_OPEN: u32 = 14;
    let primary = code.parse::<u32>().unwrap_or_default() & 0xff;
    match primary {
        BUSY | LOCKED | INTERRUPT | IO | CANNOT_OPEN => Fault::Unavailable(message.to_owned()),
        _ => Fault::Refused(message.to_owned()),
    }
}
