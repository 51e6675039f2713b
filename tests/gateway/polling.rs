//! Polled answers with many messages: only those that are flagged are withheld.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::setup::{self, CANARY, OWNER};
use crate::support::{Answer, Browser, Gateway, Origin, Reply, Seen};

const ITEMS: &str = "[channel.web.items]\nat = \"$.list\"\nid = \"$.id\"\n";

/// A gateway in front of a backend that answers with what the test puts there.
struct Polled {
    gateway: Gateway,
    ann: Browser,
    /// Its type, and what it says.
    says: Arc<Mutex<(String, Vec<u8>)>>,
}

impl Polled {
    fn new(settings: &str, tables: &str) -> Self {
        Self::altered(settings, tables, ("", ""))
    }

    /// The same with one text in the configuration in place of another.
    fn altered(settings: &str, tables: &str, (from, to): (&str, &str)) -> Self {
        let says = Arc::new(Mutex::new((String::new(), Vec::new())));
        let said = Arc::clone(&says);
        let origin = Origin::start(move |_: &Seen| {
            let (kind, body) = said.lock().unwrap().clone();
            Reply::new(200, body)
                .header("Content-Type", &kind)
                .header("ETag", "\"e\"")
        });
        let text = setup::channel(&origin, settings, &format!("{OWNER}{tables}"));
        assert!(text.contains(from));
        let gateway = Gateway::start(&text.replacen(from, to, 1));
        let ann = gateway.browser();
        Self { gateway, ann, says }
    }

    /// Asks with the backend answering this.
    fn poll(&mut self, body: &str) -> Answer {
        self.poll_as("application/json", body.as_bytes())
    }

    /// Asks with the backend answering this, in a charset.
    fn poll_in(&mut self, charset: &str, body: &[u8]) -> Answer {
        self.poll_as(&format!("application/json; charset={charset}"), body)
    }

    fn poll_as(&mut self, kind: &str, body: &[u8]) -> Answer {
        self.say(kind, body);
        let answer = self.ann.get("/chat/ann/messages");
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer
    }

    /// The backend answers this from now on.
    fn say(&self, kind: &str, body: &[u8]) {
        *self.says.lock().unwrap() = (kind.into(), body.into());
    }

    fn log_in(&self, element: &Value) {
        let url = element["challenge"].as_str().unwrap();
        assert_eq!(self.gateway.site.log_in(url, "alice").status, 200);
    }
}

/// A flagged element.
fn secret(id: u32) -> String {
    format!(r#"{{"id":{id},"text":"{CANARY}","authentication_required":true}}"#)
}

fn list(answer: &Answer) -> Vec<Value> {
    answer.json()["list"].as_array().unwrap().clone()
}

#[test]
fn what_is_not_flagged_passes_byte_for_byte() {
    let mut polled = Polled::new("", ITEMS);
    let plain = r#"{"mark": "1", "list": [ {"id":1, "n":1.50} , 2 ] }"#;
    let answer = polled.poll(plain);
    assert_eq!(
        (answer.text().as_str(), answer.header("etag")),
        (plain, Some("\"e\""))
    );

    let body = format!(
        r#"{{"mark": "2", "list": [ {{"id":1, "n":1.50}} ,{}, 2 ,{} ], "z":1e2 }}"#,
        secret(7),
        secret(8)
    );
    let answer = polled.poll(&body);
    let text = answer.text();
    assert!(!answer.contains(CANARY), "{text}");
    assert!(
        text.starts_with(r#"{"mark": "2", "list": [ {"id":1, "n":1.50} ,{"challenge":"#),
        "{text}"
    );
    assert!(text.ends_with(r#", 2 ], "z":1e2 }"#), "{text}");
    // One URL for both; what tells of the backend's bytes is gone.
    assert_eq!(text.matches("\"challenge\"").count(), 1);
    assert_eq!(answer.header("etag"), None);
    assert_eq!(answer.header("cache-control"), Some("private, no-store"));
}

#[test]
fn asking_again_revokes_no_login_url() {
    for items in [ITEMS, "[channel.web.items]\nat = \"$.list\"\n"] {
        let mut polled = Polled::new("", items);
        let body = format!(r#"{{"list":[{},{{"id":2}}]}}"#, secret(1));
        let first = list(&polled.poll(&body));
        for _ in 0..3 {
            assert_eq!(polled.poll(&body).text(), r#"{"list":[{"id":2}]}"#);
        }
        // Another message that is flagged asks anew; then neither is asked for again.
        let more = format!(r#"{{"list":[{},{}]}}"#, secret(1), secret(3));
        let second = list(&polled.poll(&more));
        assert_eq!(second.len(), 1);
        assert_eq!(polled.poll(&more).text(), r#"{"list":[]}"#);
        let old = polled
            .gateway
            .site
            .log_in(first[0]["challenge"].as_str().unwrap(), "alice");
        assert_eq!(old.status, 401);
        // A URL that was not used in time is replaced.
        polled.gateway.clock.advance(Duration::from_secs(10 * 60));
        let third = list(&polled.poll(&more));
        polled.log_in(&third[0]);

        // The backend repeats what was withheld.
        let shown = polled.poll(&more);
        assert_eq!(list(&shown).len(), 2);
        assert!(shown.contains(CANARY) && !shown.contains("authentication_required"));
        polled.gateway.clock.advance(Duration::from_secs(30 * 60));
        let again = polled.poll(&more);
        assert!(!again.contains(CANARY) && list(&again)[0]["challenge"].is_string());
    }
}

#[test]
fn what_was_withheld_comes_with_the_next_answer_after_the_login() {
    let mut polled = Polled::new("resume = \"release\"", ITEMS);
    let body = format!(r#"{{"list":[{},{{"id":2}},{}]}}"#, secret(1), secret(3));
    let challenge = list(&polled.poll(&body)).remove(0);
    assert_eq!(polled.poll(r#"{"list":[]}"#).text(), r#"{"list":[]}"#);
    polled.log_in(&challenge);

    // A stranger gets none of it, and takes none of it away.
    polled.say("application/json", br#"{"list":[]}"#);
    let eve = polled.gateway.browser().get("/chat/ann/messages");
    assert_eq!(eve.text(), r#"{"list":[]}"#);
    // Nor does an answer without the array.
    assert_eq!(polled.poll(r#"{"ok":true}"#).text(), r#"{"ok":true}"#);

    // What the backend repeats by itself does not come twice.
    let next = polled.poll(&format!(r#"{{"list":[ {} , 5]}}"#, secret(3)));
    let ids: Vec<_> = list(&next)
        .iter()
        .map(|element| element["id"].clone())
        .collect();
    assert_eq!(ids, [json!(1), json!(3), Value::Null]);
    assert!(next.contains(CANARY) && !next.contains("authentication_required"));
    assert_eq!(polled.poll(r#"{"list":[]}"#).text(), r#"{"list":[]}"#);
}

#[test]
fn a_flag_may_be_named_from_the_answers_top_or_the_elements() {
    let flags = "[[channel.web.flag]]\nname = \"a\"\njson = \"$.list[*].private\"\n[[channel.web.flag]]\nname = \"b\"\njson = \"$.meta.private\"\n[[channel.web.flag]]\nname = \"c\"\njson = \"$.list[1].late\"\n";
    let mut polled = Polled::new("", &format!("{ITEMS}{flags}"));
    for flagged in [
        format!(r#"{{"private":1,"text":"{CANARY}"}}"#),
        format!(r#"{{"meta":{{"private":1}},"text":"{CANARY}"}}"#),
    ] {
        let answer = polled.poll(&format!(r#"{{"list":[{{"id":1}},{flagged}]}}"#));
        assert!(!answer.contains(CANARY), "{}", answer.text());
        assert_eq!(list(&answer)[0], json!({"id": 1}));
        assert!(
            list(&answer)[1]["challenge"].is_string(),
            "{}",
            answer.text()
        );
    }
    // Around the elements, or where no single one has it: the whole answer.
    for body in [
        format!(r#"{{"list":[1],"text":"{CANARY}","meta":{{"private":1}}}}"#),
        format!(r#"{{"list":[1,{{"late":1,"text":"{CANARY}"}}]}}"#),
    ] {
        let answer = polled.poll(&body);
        assert!(
            setup::is_challenge(&answer) && !answer.contains(CANARY),
            "{}",
            answer.text()
        );
    }
}

#[test]
fn what_readers_differ_in_does_not_pass() {
    let mut polled = Polled::new(
        "",
        &format!("{ITEMS}[[channel.web.flag]]\nname = \"b\"\njson = \"$.meta.private\"\n"),
    );
    let body =
        format!(r#"{{"list":[1],"l\u0069st":[{{"meta":{{"private":1}},"text":"{CANARY}"}}]}}"#);
    polled.say("application/json", body.as_bytes());
    let answer = polled.ann.get("/chat/ann/messages");
    assert_eq!(answer.code(), "answer-malformed", "{}", answer.text());
    // Somebody else's chat stays somebody else's.
    let challenge = polled.poll(&format!(r#"{{"list":[{}]}}"#, secret(1)));
    polled.log_in(&list(&challenge)[0]);
    let eve = polled.gateway.browser().get("/chat/ann/messages");
    assert!(
        !eve.contains(CANARY) && eve.code() == "not-owner",
        "{}",
        eve.text()
    );
}

#[test]
fn what_was_withheld_comes_in_every_charset() {
    let mut polled = Polled::new("resume = \"release\"", ITEMS);
    let flagged =
        "{\"id\":1,\"text\":\"\u{20ac}7 \u{1f389} caf\u{e9}\",\"authentication_required\":true}";
    let challenge = polled.poll_in("utf-8", format!(r#"{{"list":[{flagged}]}}"#).as_bytes());
    let url = challenge.json()["list"][0]["challenge"].clone();
    let told = polled.gateway.site.log_in(url.as_str().unwrap(), "alice");
    assert_eq!(told.status, 200);

    // Here an e with an accent is one byte, and an emoji none at all.
    let next = polled.poll_in(
        "windows-1252",
        b"{\"list\":[{\"id\":2,\"text\":\"caf\xe9\"}]}",
    );
    let wide: String = next.body.iter().map(|byte| char::from(*byte)).collect();
    let wide: Value = serde_json::from_str(&wide).unwrap();
    assert_eq!(wide["list"][0]["text"], "\u{20ac}7 \u{1f389} caf\u{e9}");
    assert_eq!(wide["list"][1]["text"], "caf\u{e9}");
    let after = polled.poll_in("utf-8", br#"{"list":[]}"#);
    assert_eq!(after.text(), r#"{"list":[]}"#, "once");
}

/// Ours and the backend's texts in an answer of one byte a character that has ASCII alone,
/// of which nobody knows what the other bytes stand for.
#[test]
fn what_is_put_into_a_charset_of_one_byte_is_right_in_each() {
    let text = "\"text\": \"Schl\u{fc}ssel, \u{20ac}\", \"challenge\":";
    let mut polled = Polled::altered("resume = \"release\"", ITEMS, ("\"challenge\":", text));
    let flagged = |id: u32, text: &[u8]| {
        let before = format!(r#"{{"list":[{{"id":{id},"authentication_required":true,"text":""#);
        [before.as_bytes(), text, br#""}]}"#].concat()
    };
    // Ours: a challenge in place of a message in ASCII.
    let challenge = polled.poll_in("windows-1251", &flagged(1, b"plain"));
    assert!(challenge.body.is_ascii(), "{}", challenge.text());
    let challenge = challenge.json()["list"][0].clone();
    assert_eq!(challenge["text"], "Schl\u{fc}ssel, \u{20ac}");
    // The backend's, one in UTF-8 and one in that charset.
    polled.poll_in("utf-8", &flagged(2, "caf\u{e9}".as_bytes()));
    let latest = polled.poll_in("windows-1251", &flagged(3, b"\xcf\xf0\xe8"));
    let url = latest.json()["list"][0]["challenge"].clone();
    let url = url.as_str().unwrap();
    assert_eq!(polled.gateway.site.log_in(url, "alice").status, 200);
    let next = polled.poll_in("windows-1251", br#"{"list":[{"id":4}]}"#);
    let wide: String = next.body.iter().map(|byte| char::from(*byte)).collect();
    let wide: Value = serde_json::from_str(&wide).unwrap();
    let texts: Vec<_> = (0..3).map(|at| wide["list"][at]["text"].clone()).collect();
    assert_eq!(texts, ["plain", "caf\u{e9}", "\u{cf}\u{f0}\u{e8}"]);
    assert!(next.body.windows(3).any(|part| part == b"\xcf\xf0\xe8"));
    assert!(!next.body.contains(&0xe9), "{wide}");
}

#[test]
fn an_answer_that_cannot_be_made_takes_no_message_with_it() {
    let tables = format!("{ITEMS}[channel.web.outcome]\ncancel = {{ text = \"No login\" }}\n");
    // What the backend said is in a header, and not everything can be.
    let header = r#"headers = { "X-Challenged" = "{{ level }}" }"#;
    let said = "headers = { \"X-Challenged\" = \"{{ capture.said }}\" }\n\
                capture = { said = { answer_json = \"$.said\" } }";
    let mut polled = Polled::altered("", &tables, (header, said));
    let challenge = polled.poll(&format!(r#"{{"said":"a","list":[{}]}}"#, secret(1)));
    let url = list(&challenge)[0]["challenge"].clone();
    let url = url.as_str().unwrap();
    let told = polled.gateway.site.end(url, "cancel");
    assert_eq!(told.status, 200, "{}", told.text());

    let broken = format!(r#"{{"said":"a\nb","list":[{}]}}"#, secret(2));
    polled.say("application/json", broken.as_bytes());
    let broken = polled.ann.get("/chat/ann/messages");
    assert_eq!(broken.code(), "challenge-impossible", "{}", broken.text());
    let next = polled.poll(r#"{"list":[{"id":3}]}"#);
    assert_eq!(list(&next), [json!("No login"), json!({"id": 3})]);
    let after = polled.poll(r#"{"list":[]}"#);
    assert_eq!(after.text(), r#"{"list":[]}"#, "once");
}

#[test]
fn elements_in_a_stream_are_judged_where_the_answer_names_the_interaction() {
    let kind = |seen: &Seen| seen.target.replacen("/open/", "application/", 1);
    let origin = Origin::start(move |seen| {
        let mark = if kind(seen).ends_with("seq") {
            "\u{1e}"
        } else {
            ""
        };
        let message = json!({"activities": [{"text": CANARY, "protected": true}]});
        Reply::new(200, format!("{mark}{message}\n"))
            .header("Content-Type", &kind(seen))
            .header("X-Id", "77")
    });
    let tables = r#"
[channel.web.items]
at = "$.activities"
[[channel.web.flag]]
name = "protected"
json = "$.protected"
[[channel.web.route]]
kind = "pre-chat"
path = "/open/{x}"
enforcement = "off"
interaction = { answer_header = "X-Id" }
"#;
    let gateway = Gateway::start(&setup::channel(&origin, "", &format!("{OWNER}{tables}")));
    for kind in ["json", "x-ndjson", "json-seq"] {
        let answer = gateway.browser().get(&format!("/open/{kind}"));
        assert!(!answer.contains(CANARY), "{kind}: {}", answer.text());
    }
    assert_eq!(origin.count(), 3);
}
