//! The demo, played by a script with a cookie jar, by curl, and in a browser.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use chatgate::cli::demo::{self, Args, Place};
use chatgate::gateway::{self, Options, Stop};
use chatgate::time::{Clock, Time};
use serde_json::{Value, json};
use support::{Browser, Request, WebSocket, chromium, eventually, ports};

const MESSAGE: &str = "/webhooks/rest/webhook";
const STREAM: &str = "/webhooks/stream/webhook";
const CALLBACK: &str = "/webhooks/callback/webhook";
const ALICE: &str = "username=alice&password=wonderland";
const SECRET: &str = "1,204.30";

/// The demo in this process, with a clock that is moved by hand.
struct Demo {
    address: SocketAddr,
    clock: Clock,
    stop: Stop,
}

impl Demo {
    fn start() -> Self {
        Self::with(
            vec![Place::Page],
            Clock::manual(Time::from_secs(1_800_000_000)),
        )
    }

    fn with(logins: Vec<Place>, clock: Clock) -> Self {
        let address = ports::free();
        let stop = Stop::new();
        let args = Args {
            listen: address,
            authentication_timeout: "60s".into(),
            token_ttl: "2m".into(),
            logins,
            log: "warn".into(),
        };
        let options = Options {
            config: demo::start(&args, &clock).unwrap(),
            source: None,
            clock: clock.clone(),
            stop: Some(stop.clone()),
        };
        std::thread::spawn(move || gateway::serve(options).unwrap());
        // An answer, not a connection: the socket by which the demo looks whether the
        // place is free may live on for a moment in a child that another test forks.
        eventually("the demo answers", || {
            let mut stream = TcpStream::connect(address).ok()?;
            let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).ok()?;
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line).ok()?;
            line.starts_with("HTTP/1.1 200").then_some(())
        });
        Self {
            address,
            clock,
            stop,
        }
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Whether the agent sees the check mark.
    fn marked(&self, conversation: &str) -> bool {
        let view = Browser::new(self.address).get(&format!("/agent/conversations/{conversation}"));
        view.json()["authenticated"] == true
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

fn say(customer: &mut Browser, sender: &str, message: &str) -> Value {
    let answer = customer.post(MESSAGE, &json!({ "sender": sender, "message": message }));
    assert_eq!(answer.status, 200);
    answer.json()
}

/// Fills in the login form at `url`, and follows where it leads.
fn log_in(customer: &mut Browser, url: &str, form: &str) -> u16 {
    let form = Request::new("POST", support::browser::path_of(url))
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(form);
    let mut answer = customer.send(form);
    while answer.status == 303 {
        answer = customer.get(answer.header("location").unwrap());
    }
    answer.status
}

fn login_url(challenge: &Value) -> &str {
    assert!(!challenge.to_string().contains("balance"));
    challenge[0]["custom"]["login_url"]
        .as_str()
        .expect("a challenge")
}

fn continue_url(challenge: &Value) -> &str {
    challenge[0]["custom"]["continue_url"]
        .as_str()
        .expect("a challenge")
}

#[test]
fn mid_chat_login() {
    let demo = Demo::start();
    let mut alice = Browser::new(demo.address);
    let hello = say(&mut alice, "s1", "hello");
    assert_eq!(hello[0]["text"], "Hello! I do not know who you are.");
    assert!(!demo.marked("s1"));

    let challenge = say(&mut alice, "s1", "statement");
    let form = alice.get(login_url(&challenge));
    assert_eq!(form.status, 200);
    assert_eq!(
        log_in(
            &mut alice,
            login_url(&challenge),
            "username=alice&password=guess"
        ),
        403
    );
    assert!(!demo.marked("s1"));
    assert_eq!(
        log_in(
            &mut alice,
            login_url(&challenge),
            "username=alice&password=wonderland"
        ),
        200
    );

    let answer = alice.get(continue_url(&challenge)).json();
    assert!(answer[0]["text"].as_str().unwrap().contains(SECRET));
    assert!(answer.to_string().find("authentication_required").is_none());
    assert!(demo.marked("s1"));
    let again = say(&mut alice, "s1", "statement");
    assert!(again[0]["text"].as_str().unwrap().contains(SECRET));

    demo.clock.advance(Duration::from_secs(61));
    assert!(!demo.marked("s1"));
    login_url(&say(&mut alice, "s1", "statement"));
}

#[test]
fn somebody_else_gets_nothing_by_the_id_of_the_chat() {
    let demo = Demo::start();
    let mut alice = Browser::new(demo.address);
    let challenge = say(&mut alice, "s1", "statement");
    log_in(
        &mut alice,
        login_url(&challenge),
        "username=alice&password=wonderland",
    );
    assert!(
        say(&mut alice, "s1", "statement")
            .to_string()
            .contains(SECRET)
    );

    let mut mallory = Browser::new(demo.address);
    let stolen = mallory.post(
        MESSAGE,
        &json!({ "sender": "s1", "message": "statement",
        "metadata": { "authenticated": true, "customer": "alice" } }),
    );
    assert!(!stolen.text().contains(SECRET));
    assert!(
        !mallory
            .get(continue_url(&challenge))
            .text()
            .contains(SECRET)
    );
}

#[test]
fn pre_chat_login_logout_and_end() {
    let demo = Demo::start();
    let mut bob = Browser::new(demo.address);
    assert_eq!(
        log_in(&mut bob, "/login", "username=bob&password=builder"),
        200
    );
    let chat = bob.post("/chat/open", &json!({})).json();
    let id = chat["conversation"].as_str().unwrap();
    assert!(demo.marked(id));
    assert!(
        say(&mut bob, id, "statement")
            .to_string()
            .contains("bricks")
    );

    bob.post("/chat/end", &json!({ "sender": id }));
    assert!(!demo.marked(id));
    login_url(&say(&mut bob, id, "statement"));

    bob.send(Request::new("POST", "/logout"));
    let chat = bob.post("/chat/open", &json!({})).json();
    assert!(!demo.marked(chat["conversation"].as_str().unwrap()));
}

#[test]
fn a_cancelled_login_and_a_late_one_open_nothing() {
    let demo = Demo::start();
    let mut alice = Browser::new(demo.address);
    let challenge = say(&mut alice, "s1", "statement");
    log_in(&mut alice, login_url(&challenge), "action=cancel");
    let answer = alice.get(continue_url(&challenge));
    assert!(answer.text().contains("cancelled"), "{}", answer.text());
    assert!(!demo.marked("s1"));

    let challenge = say(&mut alice, "s1", "statement");
    demo.clock.advance(Duration::from_secs(121));
    log_in(
        &mut alice,
        login_url(&challenge),
        "username=alice&password=wonderland",
    );
    assert!(!demo.marked("s1"));
    login_url(&say(&mut alice, "s1", "statement"));
}

#[test]
fn the_same_by_server_sent_events() {
    let demo = Demo::start();
    let mut alice = Browser::new(demo.address);
    let hello = stream(&mut alice, "s1", "hello");
    assert!(hello.len() > 1, "in several events");
    assert_eq!(said(&hello), "Hello! I do not know who you are.");

    let asked = stream(&mut alice, "s1", "statement");
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert_eq!(asked[0][0]["text"], "One moment. ");
    assert_eq!(log_in(&mut alice, login_url(&asked[1]), ALICE), 200);
    let answer = events(&alice.get(continue_url(&asked[1])).text());
    assert!(said(&answer).contains(SECRET), "{answer:?}");
    assert!(demo.marked("s1"));
    assert!(said(&stream(&mut alice, "s1", "statement")).contains(SECRET));
    let mut mallory = Browser::new(demo.address);
    assert!(!said(&stream(&mut mallory, "s1", "statement")).contains(SECRET));

    demo.clock.advance(Duration::from_secs(61));
    assert!(!demo.marked("s1"));
    login_url(&stream(&mut alice, "s1", "statement")[1]);
}

#[test]
fn the_same_on_a_socket() {
    let demo = Demo::start();
    let mut alice = Browser::new(demo.address);
    let (chat, mut socket) = open_socket(&demo, &mut alice);
    socket.say_json(&json!({ "message": "hello" }));
    let hello = socket.hear_json();
    assert_eq!(hello[0]["text"], "Hello! I do not know who you are.");

    socket.say_json(&json!({ "message": "statement" }));
    let challenge = socket.hear_json();
    assert_eq!(log_in(&mut alice, login_url(&challenge), ALICE), 200);
    assert_eq!(socket.hear_json()[0]["custom"]["logged_in"], true);
    let answer = socket.hear();
    assert!(answer.contains(SECRET) && !answer.contains("authentication_required"));
    assert!(demo.marked(&chat));
    socket.say_json(&json!({ "message": "statement" }));
    assert!(socket.hear().contains(SECRET));

    demo.clock.advance(Duration::from_secs(61));
    assert!(!demo.marked(&chat));
    socket.say_json(&json!({ "message": "statement" }));
    login_url(&socket.hear_json());
}

#[test]
fn the_same_by_webhooks() {
    let demo = Demo::start();
    let mut alice = Browser::new(demo.address);
    let chat = alice.post("/chat/open", &json!({})).json();
    let chat = chat["conversation"].as_str().unwrap();
    let mut inbox = Inbox::open(&mut alice, chat);
    assert_eq!(
        inbox.after(&mut alice, "hello")[0]["text"],
        "Hello! I do not know who you are."
    );

    let challenge = inbox.after(&mut alice, "statement");
    assert_eq!(log_in(&mut alice, login_url(&challenge), ALICE), 200);
    let answer = inbox.next(&mut alice).to_string();
    assert!(answer.contains(SECRET) && !answer.contains("authentication_required"));
    assert!(demo.marked(chat));
    assert!(
        inbox
            .after(&mut alice, "statement")
            .to_string()
            .contains(SECRET)
    );

    let mut mallory = Browser::new(demo.address);
    let stolen = mallory.post("/client/inbox", &json!({ "conversation": chat }));
    assert_eq!(stolen.status, 409);
    let forged = json!([{ "recipient_id": chat, "text": "Send me your password." }]);
    assert_eq!(mallory.post("/client/messages", &forged).status, 401);

    demo.clock.advance(Duration::from_secs(61));
    assert!(!demo.marked(chat));
    login_url(&inbox.after(&mut alice, "statement"));
}

/// What the website keeps for one chat, and how much of it was read.
struct Inbox {
    chat: String,
    key: String,
    seen: usize,
}

impl Inbox {
    fn open(customer: &mut Browser, chat: &str) -> Self {
        let opened = customer.post("/client/inbox", &json!({ "conversation": chat }));
        Self {
            chat: chat.to_owned(),
            key: opened.json()["inbox"].as_str().unwrap().to_owned(),
            seen: 0,
        }
    }

    /// What comes after saying this.
    fn after(&mut self, customer: &mut Browser, message: &str) -> Value {
        let message = json!({ "sender": self.chat, "message": message });
        assert_eq!(customer.post(CALLBACK, &message).status, 202);
        self.next(customer)
    }

    fn next(&mut self, customer: &mut Browser) -> Value {
        let target = format!("/client/inbox/{}?after={}", self.key, self.seen);
        self.seen += 1;
        eventually("a message comes", || {
            customer.get(&target).json().get(0).cloned()
        })
    }
}

/// A chat and its socket, opened as a browser does.
fn open_socket(demo: &Demo, customer: &mut Browser) -> (String, WebSocket) {
    let chat = customer.post("/chat/open", &json!({})).json();
    let chat = chat["conversation"].as_str().unwrap().to_owned();
    let cookies = customer.cookies.iter();
    let cookies: Vec<_> = cookies
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let headers = [
        ("Cookie", &*cookies.join("; ")),
        ("Origin", &format!("http://{}", demo.address)),
    ];
    let socket = WebSocket::ask(demo.address, &format!("/chat/{chat}/socket"), &headers);
    (
        chat,
        socket.unwrap_or_else(|answer| panic!("{}", answer.text())),
    )
}

/// The data of each event of a streamed answer.
fn stream(customer: &mut Browser, sender: &str, message: &str) -> Vec<Value> {
    let answer = customer.post(STREAM, &json!({ "sender": sender, "message": message }));
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    events(&answer.text())
}

fn events(stream: &str) -> Vec<Value> {
    let data = |event: &str| {
        let lines = event.lines().filter_map(|line| line.strip_prefix("data:"));
        lines.collect::<String>()
    };
    let events = stream.split_terminator("\n\n").map(data);
    events
        .map(|data| serde_json::from_str(&data).unwrap())
        .collect()
}

fn said(events: &[Value]) -> String {
    let texts = events.iter().filter_map(|event| event[0]["text"].as_str());
    texts.collect()
}

/// The script on the page, as it stands there.
#[test]
fn with_curl() {
    let wanted = std::env::var_os("CHATGATE_TEST_BROWSER").is_some();
    if !wanted && Command::new("curl").arg("--version").output().is_err() {
        eprintln!("skipped: no curl");
        return;
    }
    let demo = Demo::start();
    let page = Browser::new(demo.address).get("/").text();
    let (_, script) = page.split_once("<pre id=\"curl\" tabindex=\"0\">").unwrap();
    let (script, _) = script.split_once("</pre>").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let done = Command::new("bash")
        .args(["-euc", script])
        .env("no_proxy", "*")
        .current_dir(&directory)
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(said.contains("Hello! I do not know who you are."));
    assert_eq!(said.matches(SECRET).count(), 2, "{said}");
    let challenge = std::fs::read_to_string(directory.path().join("challenge")).unwrap();
    assert!(!challenge.contains("whose to show") && !challenge.contains(SECRET));
}

#[test]
fn in_a_browser() {
    if chromium::ready() {
        play(&Demo::start(), &[]);
    }
}

/// A provider and a directory have clocks of their own: so this one is not moved.
#[test]
fn at_other_places_in_a_browser() {
    let places = [(Place::Ldap, "ldap"), (Place::Oidc, "oidc")];
    let there = places.iter().filter(|(place, _)| place.is_there());
    let (places, names): (Vec<_>, Vec<_>) = there.copied().unzip();
    let wanted = std::env::var_os("CHATGATE_TEST_BROWSER").is_some();
    assert!(places.len() == 2 || !wanted, "run `.ci/setup slapd node`");
    if chromium::ready() && !places.is_empty() {
        play(&Demo::with(places, Clock::system()), &names);
    }
}

/// Plays the demo in a browser, with logins at the website's page or at these places.
fn play(demo: &Demo, places: &[&str]) {
    let url = demo.url();
    let arguments = [&[&*url], places].concat();
    chromium::play("demo.mjs", &arguments, |line| {
        let seconds = line.strip_prefix("advance ")?.parse().unwrap();
        demo.clock.advance(Duration::from_secs(seconds));
        Some("done".into())
    });
}
