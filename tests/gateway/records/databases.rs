//! Records in a file of SQLite's, and in a real PostgreSQL server.

use std::path::Path;

use serde_json::json;
use sqlx::postgres::PgPool;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

use super::{channel, counted, open, reason};
use crate::setup::bot;
use crate::support::{Gateway, Origin, Postgres, tls};

/// A file with these customers: mail, phone, class.
fn fill(file: &Path, customers: &[(&str, &str, &str)]) {
    let work = async {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true);
        let pool = SqlitePool::connect_with(options).await.unwrap();
        let table = "create table customer (mail text, phone text, class text)";
        sqlx::query(table).execute(&pool).await.unwrap();
        for (mail, phone, class) in customers {
            let insert = sqlx::query("insert into customer values (?, ?, ?)");
            let insert = insert.bind(*mail).bind(*phone).bind(*class);
            insert.execute(&pool).await.unwrap();
        }
        pool.close().await;
    };
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(work);
}

fn gateway(origin: &Origin, file: &Path) -> Gateway {
    let url = format!("sqlite:{}", file.display());
    matching(origin, &format!("url = \"{url}\"\n"))
}

/// A gateway with this database.
fn matching(origin: &Origin, settings: &str) -> Gateway {
    let rule = r#"
[[channel.web.match]]
name = "crm"
directory = "crm"
query = """
    select phone, class from customer
    where lower(mail) = lower(:claims.email) and :subject <> ''
"""
equal = { phone = { field = "phone", as = "phone", country = "49" } }
fetch = { segment = "class" }
cache = "1s"
"#;
    let directory = format!("[directory.crm]\nkind = \"sql\"\n{settings}");
    Gateway::start(&channel(origin, &format!("{directory}{rule}")))
}

#[test]
fn customers_are_matched_with_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("records.db");
    fill(
        &file,
        &[
            ("Alice@Example.com", "0049 30 123456", "gold"),
            ("twins@example.com", "1234567", "a"),
            ("twins@example.com", "1234567", "b"),
        ],
    );
    let origin = bot();
    let gateway = gateway(&origin, &file);
    let opened = open(&gateway, &super::claims());
    assert_eq!(opened.status, 200, "{}", opened.text());
    assert_eq!(origin.last().header("x-segment"), Some("gold"));
    for (email, phone, code) in [
        ("alice@example.com", "030 123457", "record-mismatch"),
        ("twins@example.com", "1234567", "record-ambiguous"),
        ("bob@example.com", "030 123456", "record-missing"),
        ("' or '1' = '1", "030 123456", "record-missing"),
        (
            "x') union select '030 123456', 'gold' --",
            "030 123456",
            "record-missing",
        ),
        ("'; drop table customer; --", "030 123456", "record-missing"),
        ("%", "030 123456", "record-missing"),
        ("\0", "030 123456", "record-missing"),
    ] {
        let claims = json!({"email": email, "phone": phone});
        let refused = reason(&gateway, || open(&gateway, &claims));
        assert_eq!(refused, code, "{email}");
    }
    assert_eq!(origin.count(), 1);
    gateway.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(open(&gateway, &super::claims()).status, 200);
}

#[test]
fn a_file_that_is_not_there_is_no_record() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("records.db");
    let origin = bot();
    let gateway = gateway(&origin, &file);
    let refused = open(&gateway, &super::claims());
    assert_eq!(refused.code(), "record-unavailable");
    assert!(!file.exists());
    std::fs::write(&file, "this is no database ".repeat(64)).unwrap();
    let refused = open(&gateway, &super::claims());
    assert_eq!(refused.code(), "record-unavailable");
    // As soon as it is there, it is asked.
    std::fs::remove_file(&file).unwrap();
    fill(&file, &[("alice@example.com", "030 123456", "gold")]);
    assert_eq!(open(&gateway, &super::claims()).status, 200);
}

#[test]
fn customers_are_matched_with_a_server() {
    let Some(mut server) = Postgres::start() else {
        return;
    };
    let url = server.url("127.0.0.1", "");
    let fill = async {
        let pool = PgPool::connect(&url).await.ok()?;
        for statement in [
            "create table customer (mail varchar(80) unique, phone text, class name, no int, born date)",
            "insert into customer values ('Alice@Example.com', '0049 30 123456', 'gold', 7, '1970-01-31')",
        ] {
            sqlx::query(statement).execute(&pool).await.unwrap();
        }
        pool.close().await;
        Some(())
    };
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    assert!(runtime.block_on(fill).is_some());

    let origin = bot();
    let ca = tls::certificate().chain.display();
    for (url, ca) in [
        (server.url("127.0.0.1", ""), String::new()),
        (
            server.url("localhost", "?sslmode=verify-full"),
            format!("ca = \"{ca}\"\n"),
        ),
    ] {
        let gateway = matching(&origin, &format!("url = \"{url}\"\n{ca}"));
        let opened = open(&gateway, &super::claims());
        assert_eq!(opened.status, 200, "{}", opened.text());
        assert_eq!(origin.last().header("x-segment"), Some("gold"));
        for email in ["' or '1' = '1", "bob@example.com", "%"] {
            let claims = json!({"email": email, "phone": "1"});
            let refused = reason(&gateway, || open(&gateway, &claims));
            assert_eq!(refused, "record-missing", "{email}");
        }
        // PostgreSQL has no such text.
        let refused = open(&gateway, &json!({"email": "\0", "phone": "1"}));
        assert_eq!(refused.code(), "record-unavailable");
    }
    // Somebody else's certificate.
    let url = server.url("localhost", "?sslmode=verify-full");
    let gateway = matching(&origin, &format!("url = \"{url}\"\n"));
    assert_eq!(
        open(&gateway, &super::claims()).code(),
        "record-unavailable"
    );

    // Other types, and what a query could otherwise do.
    let url = server.url("127.0.0.1", "");
    let asked = |query: &str, equal: &str| {
        let rule = format!(
            "[[channel.web.match]]\nname = \"crm\"\ndirectory = \"crm\"\nquery = \"\"\"{query}\"\"\"\nequal = {{ {equal} }}\n"
        );
        let directory = format!("[directory.crm]\nkind = \"sql\"\nurl = \"{url}\"\n");
        let gateway = Gateway::start(&channel(&origin, &format!("{directory}{rule}")));
        let claims = json!({"no": 7, "born": "1970-01-31", "email": "x"});
        open(&gateway, &claims).code()
    };
    let same = "born = { field = \"born\", as = \"date\" }, no = { field = \"no\" }";
    let by_number = "select no, born from customer where no = :claims.no::int";
    assert_eq!(asked(by_number, same), "");
    let by_text = "select no, born from customer where no = :claims.no";
    assert_eq!(asked(by_text, same), "record-unavailable");
    let cast = "select no, born from customer where no = :claims.email::int";
    assert_eq!(asked(cast, same), "record-unavailable");
    let changes = "with d as (delete from customer where mail <> :claims.email returning no, born) select * from d";
    assert_eq!(asked(changes, same), "record-unavailable");
    let sequence = "select set_config('transaction_read_only', 'off', false) as no, born from customer where :claims.email <> ''";
    assert_ne!(asked(sequence, same), "");
    assert_eq!(asked(by_number, same), "");

    // The server dies and comes back: only the time in between is lost.
    let gateway = matching(&origin, &format!("url = \"{url}\"\n"));
    assert_eq!(open(&gateway, &super::claims()).status, 200);
    server.kill();
    gateway.clock.advance(std::time::Duration::from_secs(1));
    let refused = open(&gateway, &super::claims());
    assert_eq!(refused.code(), "record-unavailable");
    assert_eq!(counted(&gateway, "record-unavailable"), 1);
}
