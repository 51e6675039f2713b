//! How a login ended, told in the chat: on every way that messages come.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chatgate::login::{SecurityKeys, webhook};
use serde_json::{Value, json};

use crate::setup::{CANARY, OWNER, bot, channel, channel_to, continue_url, login_url, statement};
use crate::support::login::KEY;
use crate::support::{
    Browser, Feed, Gateway, Listener, Origin, Process, Reply, Request, Seen, Site, SocketOrigin,
    WebSocket, eventually,
};
use crate::webhooks;

/// What the chat is told. The failure is a text, the rest is JSON.
const OUTCOME: &str = r#"
[channel.web.outcome]
success = { json = '{"told": "{{ outcome }}", "who": "{{ subject }}"}' }
failure = { text = "That did not work, {{ interaction }}" }
cancel = { json = '{"told": "{{ outcome }}"}' }
timeout = { json = '{"told": "{{ outcome }}"}' }
"#;

/// What has `[channel.web.release]`.
const RELEASE: &str = "resume = \"release\"";

const TTL: Duration = Duration::from_secs(600);

fn over_http(settings: &str, outcome: &str) -> (Gateway, Origin) {
    let origin = bot();
    let settings = format!("resume = \"replay\"\n{settings}");
    let tables = format!("{OWNER}{outcome}");
    let gateway = Gateway::start(&channel(&origin, &settings, &tables));
    (gateway, origin)
}

/// Ends the login of this URL in one of the ways that are no success.
fn end(gateway: &Gateway, login_url: &str, outcome: &str) -> String {
    let told = gateway.site.end(login_url, outcome);
    assert_eq!(told.status, 200, "{}", told.text());
    told.json()["result"].as_str().unwrap().to_owned()
}

#[test]
fn the_continue_url_answers_with_it() {
    let (gateway, _origin) = over_http("", OUTCOME);
    let mut ann = gateway.browser();
    for (outcome, kind, said) in [
        (
            "failure",
            "text/plain; charset=utf-8",
            "That did not work, c1",
        ),
        ("cancel", "application/json", r#"{"told":"cancel"}"#),
        ("timeout", "application/json", r#"{"told":"timeout"}"#),
        ("success", "application/json", ""),
    ] {
        let challenge = statement(&mut ann, "c1");
        let url = login_url(&challenge);
        match outcome {
            "timeout" => gateway.clock.advance(TTL),
            "success" => assert_eq!(gateway.site.log_in(&url, "alice").status, 200),
            outcome => drop(end(&gateway, &url, outcome)),
        }
        let told = ann.get(&continue_url(&challenge));
        assert_eq!(told.status, 200, "{outcome}");
        assert_eq!(told.header("content-type"), Some(kind), "{outcome}");
        match outcome {
            "success" => assert!(told.contains(CANARY), "the answer itself"),
            _ => assert_eq!(told.text(), said, "{outcome}"),
        }
        // It is for the owner.
        let stranger = gateway.browser().get(&continue_url(&challenge));
        assert_eq!(stranger.status, 404);
    }
}

#[test]
fn without_a_template_it_is_a_code() {
    let (gateway, _origin) = over_http("", "");
    let mut ann = gateway.browser();
    let challenge = statement(&mut ann, "c1");
    end(&gateway, &login_url(&challenge), "cancel");
    let told = ann.get(&continue_url(&challenge));
    assert_eq!((told.status, &*told.code()), (410, "login-cancelled"));
}

#[test]
fn failures_close_a_login_url_only_when_there_are_too_many() {
    let (gateway, _origin) = over_http("max_failures = 3", OUTCOME);
    let mut ann = gateway.browser();
    let challenge = statement(&mut ann, "c1");
    let url = login_url(&challenge);
    assert_eq!(end(&gateway, &url, "failure"), "login-failed");
    assert_eq!(end(&gateway, &url, "failure"), "login-failed");
    // So the third may succeed.
    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
    assert!(ann.get(&continue_url(&challenge)).contains(CANARY));

    let mut ben = gateway.browser();
    let challenge = statement(&mut ben, "c2");
    let url = login_url(&challenge);
    for code in ["login-failed", "login-failed", "login-failures"] {
        assert_eq!(end(&gateway, &url, "failure"), code);
    }
    assert_eq!(&*gateway.site.log_in(&url, "alice").code(), "token-used");
    let told = ben.get(&continue_url(&challenge));
    assert_eq!(told.text(), "That did not work, c2");
    // Cancelling closes it at once; so does a failure where nothing is said of how many.
    let url = login_url(&statement(&mut ben, "c2"));
    assert_eq!(end(&gateway, &url, "cancel"), "login-cancelled");
    assert_eq!(&*gateway.site.log_in(&url, "alice").code(), "token-used");
}

#[test]
fn a_failure_that_comes_again_counts_once() {
    let (gateway, _origin) = over_http("max_failures = 2", OUTCOME);
    let mut ann = gateway.browser();
    let challenge = statement(&mut ann, "c1");
    let url = login_url(&challenge);
    let callback = gateway.site.callback(&url);
    let mut members = gateway.site.success(&url, "alice");
    members["outcome"] = "failure".into();
    let sent = gateway
        .site
        .signed(&callback, members.to_string().as_bytes());
    for _ in 0..5 {
        let told = gateway.site.send(sent.clone());
        assert_eq!(told.status, 200, "{}", told.text());
        assert_eq!(told.json()["result"], "login-failed");
    }
    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
    // A token that is spent is told so, as ever.
    assert_eq!(&*gateway.site.send(sent).code(), "token-used");

    // The same by the customer's browser.
    let url = login_url(&statement(&mut gateway.browser(), "c2"));
    let mut claims = gateway.site.claims(&url, "alice");
    claims["outcome"] = "failure".into();
    let back = |claims: &Value| {
        let jwt = gateway.site.jwt(claims);
        format!("{}&return={jwt}", gateway.site.callback(&url))
    };
    let failed = back(&claims);
    for _ in 0..5 {
        let told = gateway.browser().get(&failed);
        assert_eq!(
            told.header("location"),
            Some("/.chatgate/done/login-failed")
        );
    }
    claims["exp"] = (claims["exp"].as_u64().unwrap() + 1).into();
    let told = gateway.browser().get(&back(&claims));
    let closed = "/.chatgate/done/login-failures";
    assert_eq!(told.header("location"), Some(closed), "another one");
}

#[test]
fn ids_of_failures_are_those_of_one_login_url() {
    let (gateway, _origin) = over_http("max_failures = 2", OUTCOME);
    let keys = SecurityKeys::parse([KEY]).unwrap();
    let fail = |url: &str, id: &str| {
        let mut members = gateway.site.success(url, "alice");
        members["outcome"] = "failure".into();
        let (body, now) = (members.to_string(), gateway.clock.now());
        let callback = gateway.site.callback(url);
        let mut request = Request::new("POST", &callback).body(body.as_bytes());
        for (name, value) in webhook::sign(&keys, id, now, body.as_bytes()) {
            request = request.header(name.as_str(), value.to_str().unwrap());
        }
        let told = gateway.site.send(request);
        told.json()["result"].as_str().unwrap().to_owned()
    };
    // A page that counts the tries of each login URL.
    for chat in ["c1", "c2"] {
        let url = login_url(&statement(&mut gateway.browser(), chat));
        assert_eq!(fail(&url, "try-1"), "login-failed");
        assert_eq!(fail(&url, "try-1"), "login-failed");
        assert_eq!(fail(&url, "try-2"), "login-failures", "{chat}");
    }
}

#[test]
fn an_open_socket_says_it_at_once() {
    let origin = SocketOrigin::start();
    let tables = format!("{OWNER}{OUTCOME}[channel.web.websocket]\n");
    let gateway = Gateway::start(&channel_to(&origin.upstream(), "", &tables));
    let customer = WebSocket::ask(gateway.at.plain, "/chat/c1/ws", &[]);
    let mut customer = customer.unwrap_or_else(|answer| panic!("{}", answer.text()));
    let mut backend = origin.accept();
    let mut stranger = WebSocket::ask(gateway.at.plain, "/chat/c1/ws", &[])
        .unwrap_or_else(|answer| panic!("{}", answer.text()));
    let mut other = origin.accept();
    let flagged = json!({"text": CANARY, "authentication_required": true});
    for (outcome, said) in [
        ("failure", "That did not work, c1"),
        ("cancel", r#"{"told":"cancel"}"#),
        ("timeout", r#"{"told":"timeout"}"#),
        ("success", r#"{"told":"success","who":"alice"}"#),
    ] {
        backend.say_json(&flagged);
        let challenge: Value = serde_json::from_str(&customer.hear()).unwrap();
        let url = challenge["challenge"].as_str().unwrap();
        match outcome {
            "timeout" => gateway.clock.advance(TTL),
            "success" => assert_eq!(gateway.site.log_in(url, "alice").status, 200),
            outcome => drop(end(&gateway, url, outcome)),
        }
        assert_eq!(customer.hear(), said, "{outcome}");
    }
    // Nobody else hears of it.
    other.say("done");
    assert_eq!(stranger.hear(), "done");
}

#[test]
fn a_stream_says_it_before_its_next_event() {
    let feed = Feed::start("text/event-stream");
    let tables = format!("{OWNER}{OUTCOME}");
    let gateway = Gateway::start(&channel(&feed.origin, "", &tables));
    let mut ann = gateway.browser();
    ann.get("/chat/ann/hello");
    let mut stream = Listener::open(gateway.plain, "/chat/ann/events", &ann);
    let flagged = json!({"text": CANARY, "authentication_required": true});
    for outcome in ["cancel", "timeout"] {
        feed.say(format!("data: {flagged}\n\n"));
        let event = stream.event();
        let challenge = event.strip_prefix("data: ").expect("data");
        let challenge: Value = serde_json::from_str(challenge).unwrap();
        match outcome {
            "timeout" => gateway.clock.advance(TTL),
            _ => drop(end(
                &gateway,
                challenge["challenge"].as_str().unwrap(),
                outcome,
            )),
        }
        feed.say("data: {}\n\n");
        let told = format!("data: {{\"told\":\"{outcome}\"}}\n\n");
        assert_eq!(stream.event(), told);
        assert_eq!(stream.event(), "data: {}\n\n");
    }
}

#[test]
fn a_polled_answer_brings_it_as_one_more_element() {
    let body = Arc::new(Mutex::new(String::new()));
    let said = Arc::clone(&body);
    let origin = Origin::start(move |_: &Seen| {
        Reply::new(200, said.lock().unwrap().clone()).header("Content-Type", "application/json")
    });
    let tables = format!("{OWNER}{OUTCOME}[channel.web.items]\nat = \"$.list\"\n");
    let gateway = Gateway::start(&channel(&origin, "", &tables));
    let poll = |browser: &mut Browser, list: &str| {
        *body.lock().unwrap() = format!("{{\"list\":[{list}]}}");
        let answer = browser.get("/chat/ann/messages");
        answer.json()["list"].as_array().unwrap().clone()
    };
    let mut ann = gateway.browser();
    let flagged = format!("{{\"text\":\"{CANARY}\",\"authentication_required\":true}}");
    for outcome in ["failure", "cancel", "timeout"] {
        let list = poll(&mut ann, &flagged);
        let url = list[0]["challenge"].as_str().unwrap();
        match outcome {
            "timeout" => gateway.clock.advance(TTL),
            outcome => drop(end(&gateway, url, outcome)),
        }
        let told = match outcome {
            "failure" => json!("That did not work, ann"),
            outcome => json!({ "told": outcome }),
        };
        assert_eq!(poll(&mut gateway.browser(), "1"), [json!(1)], "a stranger");
        assert_eq!(poll(&mut ann, "1"), [told, json!(1)]);
        assert_eq!(poll(&mut ann, "1"), [json!(1)], "told once");
    }
}

#[test]
fn a_client_of_webhooks_is_sent_it() {
    let api = Origin::start(|_| Reply::new(202, ""));
    let refusals = Mutex::new(1);
    // The client is away once.
    let client = Origin::start(move |seen: &Seen| {
        let mut left = refusals.lock().unwrap();
        match seen.json()["told"].is_string() && *left > 0 {
            true => {
                *left -= 1;
                Reply::new(503, "")
            }
            false => Reply::new(200, "taken"),
        }
    });
    let tables = webhooks::channel(&api, &client, "", OUTCOME, "");
    let gateway = Gateway::start(&tables);
    let hook = webhooks::hook(&webhooks::protected("c", "one"));
    let sent = hook.header("Authorization", "Bearer k");
    let sent = sent.header("X-Preview", CANARY);
    assert_eq!(gateway.browser().send(sent).status, 200);
    let challenge = client.last();
    let url = webhooks::login_url(&challenge);
    end(&gateway, &url, "cancel");
    let told = eventually("the client is told", || {
        let told = |seen: &&Seen| seen.json()["told"] == "cancel";
        let all = client.seen();
        (all.iter().filter(told).count() == 2).then(|| all.last().cloned())?
    });
    assert_eq!((told.method.as_str(), &*told.target), ("POST", "/hook/c"));
    // The head is the challenge's: that of what is withheld would tell of it.
    assert_eq!(told.all("content-type").count(), 1);
    assert_eq!(told.header("content-type"), Some("application/json"));
    assert_eq!(told.header("authorization"), Some("Bearer k"));
    assert_eq!(told.header("x-challenge"), challenge.header("x-challenge"));
    assert!(!told.contains(CANARY));
}

/// What the backend sends, and what becomes of it.
const LINK: &str = "[channel.web.link]\nprefix = \"https://bot.example/log-in\"\n";

/// The login URL in the place of the backend's own link.
fn rewritten(said: &str) -> String {
    let (_, url) = said.split_once("Go to ").expect("a link");
    let url = url.split(['"', ' ']).next().unwrap();
    assert!(!url.contains("bot.example"), "{said}");
    url.to_owned()
}

#[test]
fn it_is_told_after_a_link_of_the_backends_own() {
    let linking = json!({"customer_id": "c", "text": ["Go to https://bot.example/log-in now"]});
    let tables = format!("{OWNER}{OUTCOME}{LINK}");

    let origin = SocketOrigin::start();
    let sockets = format!("{tables}[channel.web.websocket]\n");
    let gateway = Gateway::start(&channel_to(&origin.upstream(), "", &sockets));
    let customer = WebSocket::ask(gateway.at.plain, "/chat/c1/ws", &[]);
    let mut customer = customer.unwrap_or_else(|answer| panic!("{}", answer.text()));
    let mut backend = origin.accept();
    backend.say_json(&linking);
    end(&gateway, &rewritten(&customer.hear()), "cancel");
    assert_eq!(customer.hear(), r#"{"told":"cancel"}"#);

    let feed = Feed::start("text/event-stream");
    let gateway = Gateway::start(&channel(&feed.origin, "", &tables));
    let mut ann = gateway.browser();
    ann.get("/chat/ann/hello");
    let mut stream = Listener::open(gateway.plain, "/chat/ann/events", &ann);
    feed.say(format!("data: {linking}\n\n"));
    end(&gateway, &rewritten(&stream.event()), "cancel");
    feed.say("data: {}\n\n");
    assert_eq!(stream.event(), "data: {\"told\":\"cancel\"}\n\n");

    let elements = linking.clone();
    let origin = Origin::start(move |_: &Seen| Reply::json(&json!({"list": [elements]})));
    let items = format!("{tables}[channel.web.items]\nat = \"$.list\"\n");
    let gateway = Gateway::start(&channel(&origin, "", &items));
    let mut ann = gateway.browser();
    let answer = ann.get("/chat/ann/messages").text();
    end(&gateway, &rewritten(&answer), "cancel");
    let list = ann.get("/chat/ann/messages").json()["list"].clone();
    assert_eq!(list[0], json!({"told": "cancel"}));

    let api = Origin::start(|_| Reply::new(202, ""));
    let client = Origin::start(|_| Reply::new(200, "taken"));
    let tables = format!("{OUTCOME}{LINK}");
    let gateway = Gateway::start(&webhooks::channel(&api, &client, "", &tables, ""));
    let sent = webhooks::hook(&linking).header("Authorization", "Bearer k");
    let sent = sent.header("X-Preview", CANARY);
    assert_eq!(gateway.browser().send(sent).status, 200);
    end(
        &gateway,
        &rewritten(&String::from_utf8_lossy(&client.last().body)),
        "cancel",
    );
    let told = eventually("the client is told", || {
        let told = |seen: &Seen| seen.json()["told"] == "cancel";
        client.seen().into_iter().find(told)
    });
    assert_eq!((told.method.as_str(), &*told.target), ("POST", "/hook/c"));
    assert_eq!(told.header("authorization"), Some("Bearer k"));
    assert_eq!(told.header("content-type"), Some("application/json"));
    assert!(
        !told.contains(CANARY),
        "that of the link may not be for everybody"
    );
}

#[test]
fn many_logins_that_end_at_once_do_not_flood_the_client() {
    const MANY: usize = 100;
    const MOST: usize = 64;
    let api = Origin::start(|_| Reply::new(202, ""));
    let (open, gate) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let (opened, arrived) = (Arc::clone(&open), Arc::clone(&gate));
    let client = Origin::start(move |seen: &Seen| {
        if seen.json()["told"].is_string() {
            arrived.fetch_add(1, Ordering::SeqCst);
            eventually("the client wakes up", || {
                opened.load(Ordering::SeqCst).then_some(())
            });
        }
        Reply::new(200, "taken")
    });
    let tables = format!("{OUTCOME}[channel.web.release]\ntimeout = \"60s\"\n");
    let gateway = Gateway::start(&webhooks::channel(&api, &client, RELEASE, &tables, ""));
    for number in 0..MANY {
        let hook = webhooks::hook(&webhooks::protected(&format!("c{number}"), "one"));
        assert_eq!(gateway.browser().send(hook).status, 200);
        let challenge = client
            .seen()
            .into_iter()
            .rfind(|seen| !seen.json()["told"].is_string());
        end(
            &gateway,
            &webhooks::login_url(&challenge.unwrap()),
            "cancel",
        );
    }
    eventually("as many as may", || {
        (gate.load(Ordering::SeqCst) >= MOST).then_some(())
    });
    // Were there more, they would have come by now.
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(gate.load(Ordering::SeqCst), MOST);
    open.store(true, Ordering::SeqCst);
    eventually("all are told", || {
        (gate.load(Ordering::SeqCst) == MANY).then_some(())
    });
}

#[test]
fn a_process_that_ends_says_whom_it_could_not_tell() {
    let api = Origin::start(|_| Reply::new(202, ""));
    let client = Origin::start(|seen: &Seen| match seen.json()["told"].is_string() {
        true => Reply::new(503, ""),
        false => Reply::new(200, "taken"),
    });
    let tables = format!("{OUTCOME}[channel.web.release]\nattempts = 10\npause = \"1s\"\n");
    let mut process = Process::start(&webhooks::channel(&api, &client, RELEASE, &tables, ""));
    let hook = webhooks::hook(&webhooks::protected("c", "one"));
    assert_eq!(process.at.browser().send(hook).status, 200);
    let url = webhooks::login_url(&client.last());
    let site = Site::new(process.at.plain, chatgate::time::Clock::system());
    assert_eq!(site.end(&url, "cancel").status, 200);
    eventually("the first try", || (client.count() >= 2).then_some(()));
    process.signal("TERM");
    eventually("it ends", || process.ended());
    let log = process.end();
    let line = log.lines().find(|line| line.contains("dead letter"));
    let line = line.unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains("release-failed"), "{line}");
}
