//! Messages that a login let go, where the customer is gone when they are written: they
//! come with the next answer, stream or socket, or are reported.

use std::any::Any;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::setup::{self, CANARY, OWNER};
use crate::sockets;
use crate::streams::Gzip;
use crate::support::{Browser, Feed, Gateway, Listener, Origin, Reply, Request, Seen, eventually};

/// More than the buffers on the way to a customer take.
const LONG: usize = 8 << 20;

fn flagged(id: u32) -> String {
    format!(r#"{{"id":{id},"text":"{CANARY}","authentication_required":true}}"#)
}

fn ids(answer: &str) -> Vec<Value> {
    let answer: Value = serde_json::from_str(answer).unwrap();
    let elements = answer["list"].as_array().unwrap().iter();
    elements.map(|element| element["id"].clone()).collect()
}

/// Of the messages of the channel that were let go.
fn resumed(gateway: &Gateway, outcome: &str) -> f64 {
    let labels = [("channel", "web"), ("outcome", outcome)];
    gateway.metrics().sum("chatgate_resumes", &labels)
}

/// A customer with two withheld messages, who has logged in and polls, but does not read
/// the answer that brings them.
fn polling() -> (Gateway, Browser, Listener, Arc<Mutex<String>>) {
    let body = Arc::new(Mutex::new(String::new()));
    let said = Arc::clone(&body);
    let origin = Origin::start(move |_: &Seen| {
        Reply::new(200, said.lock().unwrap().clone()).header("Content-Type", "application/json")
    });
    let tables = format!(
        "{OWNER}[channel.web.items]\nat = \"$.list\"\nid = \"$.id\"\n\
         [channel.web.inspect]\nmax_body = \"16MiB\"\n"
    );
    let gateway = Gateway::start(&setup::channel(&origin, "resume = \"release\"", &tables));
    let mut ann = gateway.browser();
    *body.lock().unwrap() = format!(r#"{{"list":[{},{}]}}"#, flagged(1), flagged(2));
    let challenge = ann.get("/chat/ann/messages").json();
    let url = challenge["list"][0]["challenge"].as_str().unwrap();
    assert_eq!(gateway.site.log_in(url, "alice").status, 200);
    *body.lock().unwrap() = json!({"list": [{"id": 3, "text": "x".repeat(LONG)}]}).to_string();
    let unread = Listener::open(gateway.plain, "/chat/ann/messages", &ann);
    *body.lock().unwrap() = r#"{"list":[]}"#.into();
    (gateway, ann, unread, body)
}

#[test]
fn what_a_polling_customer_did_not_get_comes_with_the_next_answer() {
    let (gateway, mut ann, unread, body) = polling();
    assert_eq!(ann.get("/chat/ann/messages").text(), r#"{"list":[]}"#);
    drop(unread);
    *body.lock().unwrap() = r#"{"list":[{"id":4}]}"#.into();
    let shown = eventually("the messages come again", || {
        let answer = ann.get("/chat/ann/messages").text();
        answer.contains(CANARY).then_some(answer)
    });
    assert_eq!(ids(&shown), [1, 2, 4]);
    assert_eq!(ids(&ann.get("/chat/ann/messages").text()), [4], "once");
    assert_eq!(resumed(&gateway, "released"), 2.0);
    assert_eq!(resumed(&gateway, "failed"), 0.0);
}

#[test]
fn what_nobody_may_get_any_more_is_reported() {
    let (gateway, mut ann, unread, _) = polling();
    sockets::revoke(&gateway, "ann");
    drop(unread);
    eventually("the loss is counted", || {
        (resumed(&gateway, "failed") == 2.0).then_some(())
    });
    assert_eq!(resumed(&gateway, "released"), 0.0);
    assert_eq!(ann.get("/chat/ann/messages").text(), r#"{"list":[]}"#);
}

#[test]
fn what_was_a_customers_is_not_the_next_ones_at_the_same_browser() {
    let (gateway, mut browser, unread, body) = polling();
    assert_eq!(browser.get("/end/ann").status, 200);
    gateway.clock.advance(Duration::from_secs(1));
    *body.lock().unwrap() = format!(r#"{{"list":[{}]}}"#, flagged(4));
    let challenge = browser.get("/chat/ann/messages").json();
    let url = challenge["list"][0]["challenge"].as_str().unwrap();
    assert_eq!(gateway.site.log_in(url, "bob").status, 200);
    *body.lock().unwrap() = r#"{"list":[{"id":5}]}"#.into();
    assert_eq!(ids(&browser.get("/chat/ann/messages").text()), [4, 5]);
    drop(unread);
    eventually("the loss is counted", || {
        (resumed(&gateway, "failed") == 2.0).then_some(())
    });
    assert_eq!(ids(&browser.get("/chat/ann/messages").text()), [5]);
    assert_eq!(resumed(&gateway, "released"), 1.0);
}

const OUTCOME: &str = "[channel.web.outcome]\nsuccess = { json = '{\"id\": 0}' }\n";

/// A customer with two withheld events, who has logged in and opens a stream in this
/// version of HTTP, but does not read what it says.
fn streaming(version: &str) -> (Gateway, Browser, Box<dyn Any>) {
    let body = Arc::new(Mutex::new(String::new()));
    let said = Arc::clone(&body);
    let origin = Origin::start(move |_: &Seen| {
        Reply::new(200, said.lock().unwrap().clone()).header("Content-Type", "text/event-stream")
    });
    let tables = format!("{OWNER}{OUTCOME}[channel.web.stream]\nmax_event = \"16MiB\"\n");
    let gateway = Gateway::start(&setup::channel(&origin, "resume = \"release\"", &tables));
    let mut ann = gateway.browser();
    let padded = |id| {
        let padding = "p".repeat(50 << 10);
        let flagged = flagged(id).replace('{', &format!("{{\"padding\":\"{padding}\","));
        format!("data: {flagged}\n\n")
    };
    *body.lock().unwrap() = padded(1) + &padded(2);
    let challenge = ann.get("/chat/ann/events").text();
    let challenge: Value =
        serde_json::from_str(challenge.trim().trim_matches(|c| c != '{' && c != '}')).unwrap();
    let url = challenge["challenge"].as_str().unwrap();
    assert_eq!(gateway.site.log_in(url, "alice").status, 200);
    *body.lock().unwrap() = format!("data: {}\n\n", "x".repeat(LONG));
    let unread: Box<dyn Any> = match version {
        "2" => {
            let cookies = ann.cookies.iter();
            let cookies: Vec<_> = cookies
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            let request = Request::get("/chat/ann/events").header("Cookie", &cookies.join("; "));
            Box::new(gateway.h2().exchange_unread(&request))
        }
        _ => Box::new(Listener::open(gateway.plain, "/chat/ann/events", &ann)),
    };
    eventually("they are on their way", || {
        let held = gateway.metrics().sum("chatgate_store_bytes", &[]);
        (held < 50e3).then_some(())
    });
    *body.lock().unwrap() = "data: {\"id\":3}\n\n".into();
    (gateway, ann, unread)
}

/// The ids of events.
fn events(text: &str) -> Vec<u64> {
    let events = text.split_terminator("\n\n");
    let data = events.map(|event| event.strip_prefix("data: ").unwrap());
    data.map(|data| {
        serde_json::from_str::<Value>(data).unwrap()["id"]
            .as_u64()
            .unwrap()
    })
    .collect()
}

#[test]
fn what_a_stream_could_not_say_is_said_by_the_next() {
    for version in ["1.1", "2"] {
        let (gateway, mut ann, unread) = streaming(version);
        assert_eq!(resumed(&gateway, "released"), 0.0, "{version}");
        drop(unread);
        let shown = eventually("the messages come again", || {
            let said = ann.get("/chat/ann/events").text();
            said.contains(CANARY).then_some(said)
        });
        assert_eq!(events(&shown), [0, 1, 2, 3], "{version}");
        assert_eq!(events(&ann.get("/chat/ann/events").text()), [3], "once");
        assert_eq!(resumed(&gateway, "released"), 2.0, "{version}");
        assert_eq!(resumed(&gateway, "failed"), 0.0, "{version}");
    }
}

#[test]
fn what_no_stream_may_say_any_more_is_reported() {
    let (gateway, mut ann, unread) = streaming("1.1");
    sockets::revoke(&gateway, "ann");
    drop(unread);
    eventually("the loss is counted", || {
        (resumed(&gateway, "failed") == 2.0).then_some(())
    });
    assert_eq!(resumed(&gateway, "released"), 0.0);
    // How a login ended was withheld from nobody.
    assert_eq!(events(&ann.get("/chat/ann/events").text()), [0, 3]);
}

#[test]
fn what_passes_right_before_a_stream_breaks_off_arrives() {
    let feed = Feed::start("text/event-stream\r\nContent-Encoding: gzip");
    let tables = setup::channel(&feed.origin, "resume = \"release\"", OWNER);
    let gateway = Gateway::start(&tables);
    let mut ann = gateway.browser();
    ann.get("/chat/ann/hello");
    let mut stream = Listener::open(gateway.plain, "/chat/ann/events", &ann);
    let mut gzip = Gzip::default();
    feed.say(gzip.next(&format!("data: {}\n\n", flagged(1))));
    let challenge = stream.event();
    let challenge: Value =
        serde_json::from_str(challenge.trim().trim_start_matches("data: ")).unwrap();
    let url = challenge["challenge"].as_str().unwrap();
    assert_eq!(gateway.site.log_in(url, "alice").status, 200);
    // Before anything of it is written, all of it is there.
    feed.say_all(&[&gzip.next("data: {\"id\":2}\n\n"), b"this is no gzip"]);
    assert_eq!(events(&stream.rest()), [1, 2]);
    eventually("it is counted", || {
        (resumed(&gateway, "released") == 1.0).then_some(())
    });
    let mut again = Listener::open(gateway.plain, "/chat/ann/events", &ann);
    feed.say(Gzip::default().next("data: {\"id\":3}\n\n"));
    assert_eq!(events(&again.event()), [3], "once");
    assert_eq!(resumed(&gateway, "failed"), 0.0);
}

#[test]
fn what_a_socket_could_not_say_is_said_by_the_next() {
    let tables = format!("{OWNER}[channel.web.websocket]\nmax_message = \"16MiB\"\n");
    let (gateway, origin) = sockets::with("resume = \"release\"", &tables);
    let (mut customer, mut backend) = sockets::open(&gateway, &origin, "c1");
    customer.say("hello");
    backend.hear();
    let secret = "x".repeat(100 << 10);
    for text in ["one", "two"] {
        let mut said = sockets::flagged(text);
        said["padding"] = secret.clone().into();
        backend.say_json(&said);
    }
    let url = sockets::challenged(&mut customer);
    let cookie = customer.cookie();
    let held = |gateway: &Gateway| gateway.metrics().sum("chatgate_store_bytes", &[]);
    eventually("both are withheld", || {
        (held(&gateway) > 200e3).then_some(())
    });
    std::thread::scope(|scope| {
        let mut says = backend.copy();
        scope.spawn(move || says.say(&"y".repeat(LONG)));
        customer.peek();
        assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
        eventually("they are let go", || (held(&gateway) < 50e3).then_some(()));
        assert_eq!(resumed(&gateway, "released"), 0.0);
        drop(customer);
    });
    drop(backend);
    eventually("they wait again", || (held(&gateway) > 200e3).then_some(()));
    let cookie = [("Cookie", &*cookie)];
    let (mut customer, _backend) = sockets::open_with(&gateway, &origin, "/chat/c1/ws", &cookie);
    for text in ["one", "two"] {
        assert_eq!(customer.hear_json()["text"], text);
    }
    eventually("they are counted", || {
        (resumed(&gateway, "released") == 2.0).then_some(())
    });
    assert_eq!(resumed(&gateway, "failed"), 0.0);
}
