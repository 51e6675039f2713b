//! Records in a real LDAP server.

use std::time::Duration;

use serde_json::json;

use super::{channel, open, reason};
use crate::setup::bot;
use crate::support::{Gateway, Slapd};

#[test]
fn customers_are_matched_with_a_directory() {
    let Some(slapd) = Slapd::start() else {
        return;
    };
    let rule = r#"
[[channel.web.match]]
name = "person"
directory = "people"
filter = "(&(objectClass=inetOrgPerson)(mail={{ claims.email }}))"
equal = { number = { field = "employeeNumber" }, mobile = { field = "mobile", as = "digits" } }
fetch = { segment = "cn" }
cache = "1s"
"#;
    let origin = bot();
    let tables = format!("{}{rule}", slapd.table(""));
    let gateway = Gateway::start(&channel(&origin, &tables));
    let ask = |email: &str, number: u32, mobile: &str| {
        open(
            &gateway,
            &json!({"email": email, "number": number, "mobile": mobile}),
        )
    };
    // One of the two numbers that she has there is enough.
    for mobile in ["1", "2"] {
        let opened = ask("alice@example.com", 17, mobile);
        assert_eq!(opened.status, 200, "{}", opened.text());
        assert_eq!(origin.last().header("x-segment"), Some("alice"));
    }
    for (email, number, mobile, code) in [
        ("alice@example.com", 18, "1", "record-mismatch"),
        ("alice@example.com", 17, "3", "record-mismatch"),
        // He has neither.
        ("bob@example.com", 17, "1", "record-mismatch"),
        ("shared@example.com", 17, "1", "record-ambiguous"),
        ("nobody@example.com", 17, "1", "record-missing"),
        ("*", 17, "1", "record-missing"),
        ("alice@example.com)(uid=*", 17, "1", "record-missing"),
        ("x)(|(uid=alice", 17, "1", "record-missing"),
        ("\\2a", 17, "1", "record-missing"),
    ] {
        let refused = reason(&gateway, || ask(email, number, mobile));
        assert_eq!(refused, code, "{email}");
    }
    slapd.die();
    gateway.clock.advance(Duration::from_secs(1));
    let away = ask("alice@example.com", 17, "1");
    assert_eq!(
        (away.status, away.code()),
        (503, "record-unavailable".to_owned())
    );
    slapd.come_back();
    assert_eq!(ask("alice@example.com", 17, "1").status, 200);
}
