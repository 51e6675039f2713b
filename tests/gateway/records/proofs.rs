//! The proof of a website, and a service with the company's records.

use std::time::Duration;

use serde_json::{Value, json};

use super::{MATCH, Records, channel, claims, counted, open, opening, reason, record, usual};
use crate::setup::{CANARY, bot, fresh, statement};
use crate::support::{Gateway, Process, Reply, Request, gateway};

#[test]
fn whoever_is_in_the_records_counts_with_what_they_say() {
    let (gateway, records, origin) = usual(MATCH);
    let chat = fresh();
    let mut browser = gateway.browser();
    let opened = browser.send(opening(&gateway, &chat, &claims()));
    assert_eq!(opened.status, 200, "{}", opened.text());
    let asked = records.origin.last();
    assert_eq!(asked.method, "GET");
    assert_eq!(asked.target, "/api/customers?mail=alice%40example.com");
    for last in [origin.last(), {
        assert!(statement(&mut browser, &chat).contains(CANARY));
        origin.last()
    }] {
        assert_eq!(last.header("x-customer-id"), Some("alice"));
        assert_eq!(last.header("x-customer-level"), Some("verified"));
        assert_eq!(last.header("x-segment"), Some("gold"));
        assert!(!last.contains("CANARY-record"));
    }
    assert_eq!(
        (records.origin.count(), counted(&gateway, "matched")),
        (1, 1)
    );
}

#[test]
fn whoever_is_not_counts_for_nothing() {
    let (gateway, records, origin) = usual(MATCH);
    let mut other = record();
    other["phone"] = "030 123457".into();
    let mut none = record();
    none.as_object_mut().unwrap().remove("phone");
    for (reply, code) in [
        (Reply::new(404, ""), "record-missing"),
        (Reply::json(&json!([])), "record-missing"),
        (
            Reply::json(&json!([record(), record()])),
            "record-ambiguous",
        ),
        (Reply::json(&other), "record-mismatch"),
        (Reply::json(&none), "record-mismatch"),
        (Reply::json(&json!({})), "record-mismatch"),
    ] {
        records.say(reply);
        let mut claims = claims();
        // Another question each time: nothing of the last answer is known.
        claims["email"] = fresh().into();
        let refused = reason(&gateway, || {
            let refused = open(&gateway, &claims);
            assert!(!refused.contains("gold") && !refused.contains("CANARY"));
            refused
        });
        assert_eq!(refused, code);
    }
    records.say(Reply::json(&record()));
    for lacking in [
        json!({}),
        json!({"phone": "030 123456"}),
        json!({"email": "", "phone": "030 123456"}),
        json!({"email": ["alice@example.com"], "phone": "030 123456"}),
    ] {
        let asked = records.origin.count();
        let refused = reason(&gateway, || open(&gateway, &lacking));
        assert_eq!(refused, "record-missing", "{lacking}");
        assert_eq!(records.origin.count(), asked);
    }
    let lacking = json!({"email": "alice@example.com"});
    assert_eq!(
        reason(&gateway, || open(&gateway, &lacking)),
        "record-mismatch"
    );
    // A claim of the proof's own is not replaced by the records.
    let mut segment = claims();
    segment["segment"] = "basic".into();
    assert_eq!(
        reason(&gateway, || open(&gateway, &segment)),
        "record-mismatch"
    );
    assert_eq!(origin.count(), 0);
}

#[test]
fn records_that_cannot_be_asked_are_no_word_for_anybody() {
    let (gateway, records, origin) = usual(MATCH);
    for reply in [
        Reply::new(500, ""),
        Reply::new(503, ""),
        Reply::new(200, "<html>"),
        Reply::new(200, "{\"phone\": 1, \"phone\": 2}"),
        Reply::new(301, "").header("Location", "/elsewhere"),
        Reply::new(200, vec![b' '; 70 << 10]),
        Reply::json(&record()).cut(),
        Reply::raw("nonsense"),
    ] {
        records.say(reply);
        let refused = open(&gateway, &claims());
        let told = (refused.status, refused.code());
        assert_eq!(told, (503, "record-unavailable".to_owned()));
    }
    // Nothing of this is kept.
    records.say(Reply::json(&record()));
    assert_eq!(open(&gateway, &claims()).status, 200);
    assert_eq!(origin.count(), 1);
    assert_eq!(counted(&gateway, "record-unavailable"), 8);
}

#[test]
fn a_slow_directory_holds_nobody_up_for_ever() {
    let records = Records::start();
    let directory = records.directory().replace("\"2s\"", "\"50ms\"");
    let gateway = Gateway::start(&channel(&bot(), &format!("{directory}{MATCH}")));
    records.say(Reply::json(&record()).pause(Duration::from_secs(30)));
    assert_eq!(open(&gateway, &claims()).code(), "record-unavailable");
    let lax = format!("{directory}{MATCH}unreachable = \"pass\"\n");
    let gateway = Gateway::start(&channel(&bot(), &lax));
    assert_eq!(open(&gateway, &claims()).status, 200);
}

#[test]
fn what_passes_while_the_records_are_away_passes_without_their_word() {
    let (gateway, records, origin) = usual(&format!("{MATCH}unreachable = \"pass\"\n"));
    records.say(Reply::new(503, ""));
    assert_eq!(open(&gateway, &claims()).status, 200);
    assert_eq!(origin.last().header("x-customer-id"), Some("alice"));
    assert_eq!(origin.last().header("x-segment"), None);
    assert_eq!(counted(&gateway, "passed"), 1);
    // What answers is there: no word of it is no pass.
    for reply in [
        Reply::new(500, ""),
        Reply::new(400, ""),
        Reply::new(200, "?"),
    ] {
        records.say(reply);
        assert_eq!(open(&gateway, &claims()).code(), "record-unavailable");
    }
    records.say(Reply::new(404, ""));
    assert_eq!(
        reason(&gateway, || open(&gateway, &claims())),
        "record-missing"
    );
}

#[test]
fn an_answer_counts_for_a_while() {
    let (gateway, records, _) = usual(&format!("{MATCH}cache = \"1m\"\n"));
    for _ in 0..3 {
        assert_eq!(open(&gateway, &claims()).status, 200);
    }
    assert_eq!(records.origin.count(), 1);
    // It is judged anew each time: another phone is another customer.
    let mut other = claims();
    other["phone"] = "030 99".into();
    assert_eq!(
        reason(&gateway, || open(&gateway, &other)),
        "record-mismatch"
    );
    assert_eq!(records.origin.count(), 1);
    other["email"] = "bob@example.com".into();
    assert_eq!(
        reason(&gateway, || open(&gateway, &other)),
        "record-mismatch"
    );
    assert_eq!(records.origin.count(), 2);
    gateway.clock.advance(Duration::from_secs(60));
    assert_eq!(open(&gateway, &claims()).status, 200);
    assert_eq!(records.origin.count(), 3);
    // That there is nobody is soon asked again.
    records.say(Reply::new(404, ""));
    gateway.clock.advance(Duration::from_secs(60));
    assert_eq!(
        reason(&gateway, || open(&gateway, &claims())),
        "record-missing"
    );
    assert_eq!(
        reason(&gateway, || open(&gateway, &claims())),
        "record-missing"
    );
    assert_eq!(records.origin.count(), 4);
    gateway.clock.advance(Duration::from_secs(5));
    records.say(Reply::json(&record()));
    assert_eq!(open(&gateway, &claims()).status, 200);
}

#[test]
fn every_message_with_a_proof_is_matched() {
    let route = r#"
[[channel.web.route]]
kind = "message"
path = "/say/{id}"
interaction = { path = "id" }
enforcement = "optional"
[[channel.web.route]]
kind = "message"
path = "/watch/{id}"
interaction = { path = "id" }
enforcement = "observe"
"#;
    let (gateway, records, origin) = usual(&format!("{MATCH}{route}"));
    records.say(Reply::new(404, ""));
    let chat = fresh();
    let mut browser = gateway.browser();
    let to = |path: &str| {
        let mut request = opening(&gateway, &chat, &claims());
        request.target = format!("/{path}/{chat}");
        request
    };
    assert_eq!(
        reason(&gateway, || browser.send(to("say"))),
        "record-missing"
    );
    let watched = browser.send(to("watch"));
    assert_eq!(watched.status, 200, "{}", watched.text());
    assert_eq!(origin.last().header("x-customer-id"), None);
    let anonymous = browser.post(&format!("/say/{chat}"), &json!({}));
    assert_eq!(anonymous.status, 200);
    records.say(Reply::json(&record()));
    gateway.clock.advance(Duration::from_secs(5));
    assert_eq!(browser.send(to("say")).status, 200);
    assert_eq!(origin.last().header("x-segment"), Some("gold"));
}

#[test]
fn no_value_reaches_another_record() {
    let rule = MATCH.replace(
        "/customers?mail={{ claims.email }}",
        "/customers/{{ claims.email }}",
    );
    let (gateway, records, _) = usual(&rule);
    for email in [
        "..",
        "../admin",
        "a/b",
        "a;b",
        "a\\b",
        "a?b=1",
        "a#b",
        "a\r\nX: y",
        "a\0",
    ] {
        let mut claims = claims();
        claims["email"] = email.into();
        assert_eq!(open(&gateway, &claims).code(), "record-unavailable");
    }
    assert_eq!(records.origin.count(), 0);
    let mut claims = claims();
    claims["email"] = "é&admin=1 +%".into();
    assert_eq!(open(&gateway, &claims).status, 200);
    let asked = records.origin.last();
    assert_eq!(asked.target, "/api/customers/%C3%A9%26admin%3D1%20%2B%25");
}

#[test]
fn channels_share_no_answer() {
    let (records, origin) = (Records::start(), bot());
    let web = channel(&origin, &format!("{}{MATCH}", records.directory()));
    let app = channel(&origin, MATCH)
        .replace("channel.web", "channel.app")
        .replace("\"/", "\"/app/")
        .replace("/app/customers", "/customers");
    let app = app.replace(&origin.upstream("bot"), "");
    let gateway = Gateway::start(&format!("{web}{app}"));
    assert_eq!(open(&gateway, &claims()).status, 200);
    let mut request = opening(&gateway, &fresh(), &claims());
    request.target = format!("/app{}", request.target);
    records.say(Reply::new(404, ""));
    assert_eq!(gateway.browser().send(request).code(), "record-refused");
    assert_eq!(records.origin.count(), 2);
}

#[test]
fn matches_follow_one_another() {
    let second = r#"
[[channel.web.match]]
name = "class"
directory = "crm"
path = "/classes/{{ claims.segment }}"
"#;
    let (gateway, records, origin) = usual(&format!("{MATCH}{second}"));
    assert_eq!(open(&gateway, &claims()).status, 200);
    assert_eq!(records.origin.last().target, "/api/classes/gold");
    let (gateway, records, _) = usual(&format!("{second}{MATCH}"));
    assert_eq!(
        reason(&gateway, || open(&gateway, &claims())),
        "record-missing"
    );
    assert_eq!((records.origin.count(), origin.count()), (0, 1));
}

#[test]
fn who_asks_is_proven_to_the_records() {
    let (records, origin) = (Records::start(), bot());
    let directory = format!(
        "{}headers = {{ \"X-Api-Key\" = \"CANARY-key\" }}\nsign = {{ kind = \"jwt\", algorithm = \"HS256\", \
         secret = \"0123456789abcdef0123456789abcdef\", claims = '{{\"iss\": \"chatgate\"}}' }}\n",
        records.directory()
    );
    let gateway = Gateway::start(&channel(&origin, &format!("{directory}{MATCH}")));
    assert_eq!(open(&gateway, &claims()).status, 200);
    let asked = records.origin.last();
    assert_eq!(asked.header("x-api-key"), Some("CANARY-key"));
    let token = asked.header("authorization").unwrap();
    assert!(token.starts_with("Bearer ey"), "{token}");
}

/// Claims and records are personal data: no log has them, at no level.
#[test]
fn the_log_tells_which_claim_and_not_what_it_says() {
    let (records, origin) = (Records::start(), bot());
    let tables = format!("{}{MATCH}", records.directory());
    let process = Process::start(&channel(&origin, &tables));
    let claims = json!({
        "sub": "alice", "exp": 4_000_000_000_u64, "email": "CANARY-mail", "phone": "030 777001"
    });
    let key = jsonwebtoken::EncodingKey::from_secret(super::SECRET.as_bytes());
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    let token = jsonwebtoken::encode(&header, &claims, &key).unwrap();
    let request =
        Request::post("/start/c1", &json!({})).header("Authorization", &format!("Bearer {token}"));
    let refused = crate::support::Browser::new(process.at.plain).send(request);
    assert_eq!(refused.code(), "record-refused");
    let log = process.end();
    let line = log
        .lines()
        .find(|line| line.contains("refused by the records"));
    let line: Value = serde_json::from_str(line.expect("a line")).unwrap();
    let line = line.to_string();
    assert!(
        line.contains("\"phone\"") && line.contains("record-mismatch"),
        "{line}"
    );
    for secret in ["CANARY", "777001", "123456"] {
        let told = log
            .lines()
            .find(|line| line.contains(secret) && !line.contains("0123456789"));
        assert!(told.is_none(), "{told:?}");
    }
}

#[test]
fn check_and_explain_tell_of_it() {
    let (records, origin) = (Records::start(), bot());
    let config = format!(
        "[server]\npublic_url = \"http://127.0.0.1:1\"\n[[listener]]\naddress = \"127.0.0.1:1\"\n{}",
        channel(
            &origin,
            &format!("{}{MATCH}unreachable = \"pass\"\n", records.directory())
        )
    );
    let (config, warnings) = gateway::read(&config);
    let summary = chatgate::cli::check::summary(&config);
    assert!(
        summary.contains("match crm in crm, equal phone, fetches segment, passes while"),
        "{summary}"
    );
    assert!(
        warnings
            .iter()
            .any(|warning| warning.contains("nobody is compared"))
    );
    assert_eq!(records.origin.count(), 0);
}
