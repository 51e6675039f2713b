//! PostgreSQL: read-only transactions, TLS that is verified.

use std::net::IpAddr;

use serde_json::Value;
use sqlx::postgres::{PgColumn, PgConnectOptions, PgPool, PgPoolOptions, PgRow, PgSslMode};
use sqlx::{Column, ConnectOptions, Row as _, TypeInfo, ValueRef};
use time::format_description::well_known::Rfc3339;
use time::{Date, OffsetDateTime, PrimitiveDateTime};

use super::{Bounds, Fault, Row, Statement, fault, in_time, undecodable};

pub(super) fn options(
    url: &str,
    roots: Option<Vec<u8>>,
    bounds: Bounds,
) -> Result<PgConnectOptions, String> {
    let options: PgConnectOptions = url
        .parse()
        .map_err(|_| "this is not the URL of a PostgreSQL database".to_owned())?;
    let said = ["sslmode=", "ssl-mode="]
        .iter()
        .any(|key| url.contains(key));
    let options = match said || is_here(&options) {
        true => options,
        // Else it would fall back to no TLS at all when somebody on the way says so.
        false => options.ssl_mode(PgSslMode::VerifyFull),
    };
    let options = match roots {
        Some(roots) => options.ssl_root_cert_from_pem(roots),
        None => options,
    };
    let limit = bounds.timeout.as_millis().to_string();
    Ok(options
        .application_name("chatgate")
        .options([
            ("default_transaction_read_only", "on"),
            ("statement_timeout", &limit),
        ])
        .disable_statement_logging())
}

/// Whether it is on this machine.
fn is_here(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    let loopback = |address: IpAddr| address.is_loopback();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || host.parse().is_ok_and(loopback)
}

pub(super) fn exposed(options: &PgConnectOptions) -> bool {
    let verified = matches!(options.get_ssl_mode(), PgSslMode::VerifyFull);
    !verified && !is_here(options)
}

pub(super) fn pool(options: PgConnectOptions, bounds: Bounds) -> PgPool {
    PgPoolOptions::new()
        .max_connections(bounds.pool)
        .acquire_timeout(bounds.connect_timeout)
        .connect_lazy_with(options)
}

pub(super) async fn rows(
    pool: PgPool,
    bounds: Bounds,
    statement: &Statement,
    values: &[String],
) -> Result<Vec<Row>, Fault> {
    let text = statement.numbered('$');
    // Named statements do not survive poolers between here and the server.
    let mut query = sqlx::query(&text).persistent(false);
    for value in values {
        query = query.bind(value);
    }
    let mut connection = pool.acquire().await.map_err(fault)?;
    let rows = in_time(bounds, query.fetch_all(&mut *connection)).await;
    if rows.is_err() {
        connection.close_on_drop();
    }
    rows?.iter().map(row).collect()
}

fn row(row: &PgRow) -> Result<Row, Fault> {
    row.columns()
        .iter()
        .map(|column| Ok((column.name().to_owned(), value(row, column)?)))
        .collect()
}

fn value(row: &PgRow, column: &PgColumn) -> Result<Value, Fault> {
    let at = column.ordinal();
    let raw = row.try_get_raw(at).map_err(fault)?;
    if raw.is_null() {
        return Ok(Value::Null);
    }
    let kind = column.type_info().name();
    let unreadable = || undecodable(column.name(), kind);
    Ok(match kind {
        "TEXT" | "VARCHAR" | "CHAR" | "NAME" | "UNKNOWN" | "citext" => row
            .try_get_unchecked::<String, _>(at)
            .map_err(fault)?
            .into(),
        "INT2" => row.try_get::<i16, _>(at).map_err(fault)?.into(),
        "INT4" => row.try_get::<i32, _>(at).map_err(fault)?.into(),
        "INT8" => row.try_get::<i64, _>(at).map_err(fault)?.into(),
        "BOOL" => row.try_get::<bool, _>(at).map_err(fault)?.into(),
        "FLOAT4" => f64::from(row.try_get::<f32, _>(at).map_err(fault)?).into(),
        "FLOAT8" => row.try_get::<f64, _>(at).map_err(fault)?.into(),
        "DATE" => row
            .try_get::<Date, _>(at)
            .map_err(fault)?
            .to_string()
            .into(),
        "TIMESTAMP" => {
            let when = row.try_get::<PrimitiveDateTime, _>(at).map_err(fault)?;
            let text = when
                .assume_utc()
                .format(&Rfc3339)
                .map_err(|_| unreadable())?;
            text.trim_end_matches('Z').into()
        }
        "TIMESTAMPTZ" => {
            let when = row.try_get::<OffsetDateTime, _>(at).map_err(fault)?;
            when.format(&Rfc3339).map_err(|_| unreadable())?.into()
        }
        "UUID" => {
            let bytes = raw.as_bytes().map_err(|_| unreadable())?;
            uuid(bytes).ok_or_else(unreadable)?.into()
        }
        _ => return Err(unreadable()),
    })
}

/// RFC 9562, section 4.
fn uuid(bytes: &[u8]) -> Option<String> {
    let hex = hex::encode(<[u8; 16]>::try_from(bytes).ok()?);
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| hex.get(part).unwrap_or_default());
    Some(parts.join("-"))
}

/// SQLSTATE: <https://www.postgresql.org/docs/current/errcodes-appendix.html>. Messages
/// of class 42 name tables and columns; others may repeat a value.
pub(super) fn refusal(code: &str, message: &str) -> Fault {
    let class = code.get(..2).unwrap_or_default();
    match class {
        // Connection, resources, the operator's or the clock's interruption.
        "08" | "53" | "57" | "58" => Fault::Unavailable(format!("SQLSTATE {code}")),
        "42" => Fault::Refused(format!("SQLSTATE {code}: {message}")),
        _ => Fault::Refused(format!("SQLSTATE {code}")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn read(url: &str) -> PgConnectOptions {
        let bounds = Bounds {
            pool: 4,
            connect_timeout: Duration::from_secs(3),
            timeout: Duration::from_millis(2500),
        };
        options(url, None, bounds).unwrap()
    }

    #[test]
    fn tls_is_verified_unless_the_url_says_otherwise() {
        for (url, exposed, mode) in [
            (
                "postgres://u:p@db.internal/crm",
                false,
                PgSslMode::VerifyFull,
            ),
            (
                "postgres://u:p@db.internal/crm?sslmode=disable",
                true,
                PgSslMode::Disable,
            ),
            (
                "postgres://u:p@db.internal/crm?sslmode=require",
                true,
                PgSslMode::Require,
            ),
            (
                "postgres://u:p@db.internal/crm?sslmode=verify-full",
                false,
                PgSslMode::VerifyFull,
            ),
            (
                "postgres://u:p@127.0.0.1:5433/crm",
                false,
                PgSslMode::Prefer,
            ),
            ("postgres://u@[::1]/crm", false, PgSslMode::Prefer),
            (
                "postgres:///crm?host=/run/postgresql",
                false,
                PgSslMode::Prefer,
            ),
        ] {
            let options = read(url);
            assert_eq!(super::exposed(&options), exposed, "{url}");
            let found = format!("{:?}", options.get_ssl_mode());
            assert_eq!(found, format!("{mode:?}"), "{url}");
        }
    }

    #[test]
    fn sessions_only_read() {
        let options = read("postgres://u:p@db.internal/crm");
        let said = options.get_options().unwrap();
        assert!(said.contains("default_transaction_read_only=on"), "{said}");
        assert!(said.contains("statement_timeout=2500"), "{said}");
    }

    #[test]
    fn what_may_repeat_a_value_is_not_passed_on() {
        let said = "invalid input syntax for type integer: \"canary\"";
        assert!(!refusal("22P02", said).to_string().contains("canary"));
        let told = refusal("42P01", "relation \"custmers\" does not exist");
        assert!(told.to_string().contains("custmers"));
        assert!(matches!(refusal("57014", ""), Fault::Unavailable(_)));
        assert!(matches!(refusal("22P02", ""), Fault::Refused(_)));
    }

    #[test]
    fn a_uuid_is_written_as_usual() {
        let bytes: Vec<u8> = (0..16).collect();
        assert_eq!(
            uuid(&bytes).unwrap(),
            "00010203-0405-0607-0809-0a0b0c0d0e0f"
        );
        assert_eq!(uuid(&bytes[..15]), None);
    }
}
