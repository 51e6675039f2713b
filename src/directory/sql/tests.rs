use serde_json::json;
use tempfile::TempDir;

use super::*;

const BOUNDS: Bounds = Bounds {
    pool: 2,
    connect_timeout: Duration::from_secs(10),
    timeout: Duration::from_secs(10),
};

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread();
    runtime_of(runtime).block_on(work)
}

fn runtime_of(mut builder: tokio::runtime::Builder) -> tokio::runtime::Runtime {
    builder.enable_all().build().unwrap()
}

/// A file with three customers, two of whom share an address.
fn file() -> (TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("records.db");
    run(async {
        let options = SqliteConnectOptions::new()
            .filename(&file)
            .create_if_missing(true);
        let pool = SqlitePool::connect_lazy_with(options);
        for statement in [
            "create table customer (mail text, Phone text, no integer, born date, score real, photo blob, note text)",
            "insert into customer values ('alice@example.com', '030 1', 7, '1970-01-31', 1.5, x'00', null)",
            "insert into customer values ('twins@example.com', '1', 8, null, null, null, null)",
            "insert into customer values ('twins@example.com', '2', 9, null, null, null, null)",
        ] {
            sqlx::query(statement).execute(&pool).await.unwrap();
        }
        pool.close().await;
    });
    (directory, file)
}

fn find(file: &Path, query: &str, value: &str, fields: &[&str]) -> Result<Option<Record>, Fault> {
    let statement = Statement::parse(query).unwrap();
    let fields: Vec<Box<str>> = fields.iter().map(|field| (*field).into()).collect();
    let sql = Sql::sqlite(file, BOUNDS);
    run(sql.find(&statement, &[value.to_owned()], &fields))
}

#[test]
fn one_row_is_the_record() {
    let (_directory, file) = file();
    let query =
        "select mail, phone, no, born, score, note from customer where mail = :claims.email";
    let fields = ["mail", "phone", "no", "born", "score", "note"];
    let found = find(&file, query, "alice@example.com", &fields);
    assert_eq!(
        Value::Object(found.unwrap().unwrap().fields),
        json!({"mail": "alice@example.com", "phone": "030 1", "no": 7, "born": "1970-01-31", "score": 1.5, "note": null})
    );
    assert_eq!(find(&file, query, "nobody@example.com", &fields), Ok(None));
    let two = find(&file, query, "twins@example.com", &fields);
    assert_eq!(two, Err(Fault::Ambiguous));
}

#[test]
fn a_value_is_never_part_of_the_query() {
    let (_directory, file) = file();
    let query = "select no from customer where mail = :subject";
    for value in [
        "' or '1'='1",
        "alice@example.com' --",
        "alice@example.com'; drop table customer; --",
        "alice@example.com\0",
        "%",
        "?1",
        ":subject",
        "\\",
    ] {
        assert_eq!(find(&file, query, value, &["no"]), Ok(None), "{value}");
    }
    assert!(
        find(&file, query, "alice@example.com", &["no"])
            .unwrap()
            .is_some()
    );
}

#[test]
fn the_file_is_only_read() {
    let (directory, file) = file();
    let statement = "select no from customer where mail = :subject";
    let sql = Sql::sqlite(&file, BOUNDS);
    let Pool::Sqlite(pool) = run(async { sql.connect() }) else {
        panic!("another database")
    };
    let error = run(sqlx::query("delete from customer").execute(&pool)).unwrap_err();
    assert!(error.to_string().contains("readonly"), "{error}");
    // And never made.
    let missing = directory.path().join("missing.db");
    let found = find(&missing, statement, "x", &[]);
    assert!(matches!(found, Err(Fault::Unavailable(_))), "{found:?}");
    assert!(!missing.exists());
}

#[test]
fn what_cannot_be_read_is_a_fault() {
    let (directory, file) = file();
    for (query, fields) in [
        ("select photo from customer where no = :subject", ["photo"]),
        ("select no from customer where no = :subject", ["number"]),
        (
            "select nothing from customer where no = :subject",
            ["nothing"],
        ),
        ("select no from customers where no = :subject", ["no"]),
    ] {
        let found = find(&file, query, "7", &fields);
        assert!(
            matches!(found, Err(Fault::Refused(_))),
            "{query}: {found:?}"
        );
    }
    let garbage = directory.path().join("garbage.db");
    std::fs::write(&garbage, "this is no database".repeat(100)).unwrap();
    let found = find(
        &garbage,
        "select no from customer where no = :subject",
        "7",
        &["no"],
    );
    assert!(matches!(found, Err(Fault::Refused(_))), "{found:?}");
}

#[test]
fn a_query_has_its_time() {
    let (_directory, file) = file();
    let bounds = Bounds {
        pool: 1,
        // Less than a connection that is closed has for its end.
        connect_timeout: Duration::from_secs(3),
        timeout: Duration::from_millis(200),
    };
    let endless = "with recursive n(i) as (select 1 union all select i + 1 from n) \
                   select count(*) as no from n where i > 0 and :subject = 'x'";
    let endless = Statement::parse(endless).unwrap();
    let quick = Statement::parse("select :subject as no").unwrap();
    let sql = Sql::sqlite(&file, bounds);
    run(async {
        let find = async |statement| sql.find(statement, &["x".into()], &["no".into()]).await;
        let found = find(&endless).await;
        assert!(matches!(found, Err(Fault::Unavailable(_))), "{found:?}");
        // No thread is at it any more: there may be one connection, and it can be had.
        let found = find(&quick).await;
        assert!(matches!(found, Ok(Some(_))), "{found:?}");
    });
}

#[test]
fn a_database_prints_no_url() {
    let sql = Sql::postgres("postgres://u:canary@127.0.0.1/crm", None, BOUNDS).unwrap();
    assert_eq!(format!("{sql:?}"), "Sql(postgres)");
    let error = Sql::postgres("postgres://u:canary@127.0.0.1:x/crm", None, BOUNDS);
    assert!(!error.unwrap_err().contains("canary"));
}
