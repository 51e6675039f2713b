//! Levels: how long a login counts at which, and what a route demands.

use std::time::Duration;

use serde_json::json;

use crate::setup::{CANARY, OWNER, bot, channel, channel_to, continue_url, login_url, statement};
use crate::support::login::PLATFORM_KEY;
use crate::support::{Frame, Gateway, Origin, Request, SocketOrigin, WebSocket};

const MINUTE: Duration = Duration::from_secs(60);

fn gateway(tables: &str) -> (Gateway, Origin) {
    let origin = bot();
    let tables = format!("{OWNER}[channel.web.level_timeouts]\nverified = \"5m\"\n{tables}");
    let gateway = Gateway::start(&channel(&origin, "resume = \"replay\"", &tables));
    (gateway, origin)
}

#[test]
fn a_login_counts_for_less_and_less() {
    let (gateway, origin) = gateway("");
    let mut ann = gateway.browser();
    let challenge = statement(&mut ann, "c1");
    let url = login_url(&challenge);
    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
    let fetched = |ann: &mut crate::support::Browser| ann.get(&continue_url(&challenge));
    assert!(fetched(&mut ann).contains(CANARY));
    let said = |ann: &mut crate::support::Browser| {
        ann.get("/chat/c1/hello");
        let seen = origin.last();
        let header = |name: &str| seen.header(name).map(str::to_owned);
        (header("x-customer-id"), header("x-customer-level"))
    };
    let alice = |level: &str| (Some("alice".to_owned()), Some(level.to_owned()));
    assert_eq!(said(&mut ann), alice("verified"));
    assert!(statement(&mut ann, "c1").contains(CANARY));

    gateway.clock.advance(5 * MINUTE);
    assert_eq!(said(&mut ann), alice("claimed"));
    // What only a verified customer may read is asked for anew, and what was fetched
    // with that level is nobody's any more.
    assert_eq!(fetched(&mut ann).status, 404);
    let url = login_url(&statement(&mut ann, "c1"));
    gateway.clock.advance(25 * MINUTE);
    assert_eq!(said(&mut ann), (None, None));
    // That login URL's own time is over, too.
    assert_eq!(&*gateway.site.log_in(&url, "alice").code(), "token-expired");
    let url = login_url(&statement(&mut ann, "c1"));
    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
    assert_eq!(said(&mut ann), alice("verified"));
}

/// A channel whose transfers are for verified customers only.
const TRANSFER: &str = r#"
[[channel.web.route]]
kind = "message"
path = "/transfer/{id}"
interaction = { path = "id" }
level = "verified"
"#;

#[test]
fn a_route_asks_before_the_backend_sees_anything() {
    let (gateway, origin) = gateway(TRANSFER);
    let mut ann = gateway.browser();
    let before = origin.count();
    let transfer = || Request::post("/transfer/c1", &json!({"text": "100 to Bob"}));
    let challenge = ann.send(transfer());
    assert_eq!(challenge.header("x-challenged"), Some("verified"));
    let url = login_url(&challenge);
    assert_eq!(origin.count(), before, "the backend saw it");

    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
    assert!(ann.get(&continue_url(&challenge)).contains("hello"));
    let seen = origin.last();
    assert_eq!(seen.json()["text"], "100 to Bob");
    assert_eq!(seen.header("x-customer-id"), Some("alice"));
    assert_eq!(ann.send(transfer()).json()["text"], "hello");

    // Claimed is not enough, and nobody else can have it asked for.
    gateway.clock.advance(5 * MINUTE);
    let before = origin.count();
    login_url(&ann.send(transfer()));
    let stranger = gateway.browser().send(transfer());
    assert_eq!(&*stranger.code(), "challenge-impossible");
    assert_eq!(origin.count(), before);
}

#[test]
fn a_login_that_reaches_less_sends_nothing() {
    let (gateway, origin) = gateway(TRANSFER);
    let mut ann = gateway.browser();
    let challenge = ann.get("/transfer/c1");
    let url = login_url(&challenge);
    let mut members = gateway.site.success(&url, "alice");
    members["level"] = json!("claimed");
    let callback = gateway.site.callback(&url);
    assert_eq!(gateway.site.post(&callback, &members).status, 200);
    let fetched = ann.get(&continue_url(&challenge));
    assert_eq!((fetched.status, &*fetched.code()), (410, "level-too-low"));
    assert_eq!(origin.count(), 0);
}

/// The same for customers of a website, which proves less.
fn weak() -> String {
    format!(
        r#"{OWNER}
[[channel.web.identity]]
name = "site"
kind = "jwt"
from = {{ query = "token" }}
keys = [{{ algorithm = "HS256", secret = "{PLATFORM_KEY}" }}]
level = "claimed"
{TRANSFER}enforcement = "optional"
"#
    )
}

/// Such a proof.
fn token(gateway: &Gateway) -> String {
    let claims = json!({"sub": "alice", "exp": gateway.clock.now().secs() + 3600});
    let key = jsonwebtoken::EncodingKey::from_secret(PLATFORM_KEY.as_bytes());
    jsonwebtoken::encode(&Default::default(), &claims, &key).unwrap()
}

#[test]
fn a_weak_proof_is_bound_before_the_login() {
    let origin = bot();
    let gateway = Gateway::start(&channel(&origin, "", &weak()));
    let mut ann = gateway.browser();
    let url = login_url(&ann.get(&format!("/transfer/c1?token={}", token(&gateway))));
    let other = gateway.site.log_in(&url, "bob");
    assert_eq!(&*other.code(), "subject-changed");
    assert_eq!(origin.count(), 0);
}

#[test]
fn where_nobody_can_log_in_a_route_refuses() {
    let origin = bot();
    let tables = format!(
        "{}[channel.app]\nupstream = \"bot\"\n[[channel.app.route]]\nkind = \"message\"\n\
         path = \"/app/{{id}}\"\ninteraction = {{ path = \"id\" }}\nlevel = \"claimed\"\n",
        channel(&origin, "", OWNER)
    );
    let gateway = Gateway::start(&tables);
    let refused = gateway.browser().get("/app/c1");
    assert_eq!((refused.status, &*refused.code()), (403, "level-too-low"));
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_socket_of_such_a_route_is_for_those_who_stand_there() {
    let origin = SocketOrigin::start();
    let tables = format!(
        "{OWNER}[channel.web.level_timeouts]\nverified = \"5m\"\n[channel.web.websocket]\n{TRANSFER}"
    );
    let gateway = Gateway::start(&channel_to(&origin.upstream(), "", &tables));
    let refused = WebSocket::ask(gateway.at.plain, "/transfer/c1", &[]).err();
    assert_eq!(&*refused.expect("refused").code(), "level-too-low");

    let mut ann = gateway.browser();
    let url = login_url(&ann.get("/transfer/c2"));
    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
    let (name, value) = ann.cookies.first_key_value().unwrap();
    let cookie = format!("{name}={value}");
    let opened = WebSocket::ask(gateway.at.plain, "/transfer/c2", &[("Cookie", &cookie)]);
    let mut customer = opened.unwrap_or_else(|answer| panic!("{}", answer.text()));
    let mut backend = origin.accept();
    customer.say("hello");
    assert_eq!(backend.hear(), "hello");
    gateway.clock.advance(5 * MINUTE);
    assert_eq!(customer.next(), Frame::close(1008, "level-too-low"));
}

#[test]
fn a_weaker_login_in_its_place_keeps_no_socket_open() {
    let origin = SocketOrigin::start();
    let tables = format!(
        "{}[channel.web.level_timeouts]\nverified = \"5m\"\n[channel.web.websocket]\n",
        weak()
    );
    let gateway = Gateway::start(&channel_to(&origin.upstream(), "", &tables));
    // The second comes before the socket looks, most times.
    for chat in ["/transfer/c1", "/transfer/c2", "/transfer/c3"] {
        let mut ann = gateway.browser();
        let url = login_url(&ann.get(chat));
        assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
        let (name, value) = ann.cookies.first_key_value().unwrap();
        let cookie = format!("{name}={value}");
        let opened = WebSocket::ask(gateway.at.plain, chat, &[("Cookie", &cookie)]);
        let mut customer = opened.unwrap_or_else(|answer| panic!("{}", answer.text()));
        let mut backend = origin.accept();
        customer.say("hello");
        assert_eq!(backend.hear(), "hello");
        let weaker = format!("{chat}?token={}", token(&gateway));
        gateway.clock.advance(5 * MINUTE);
        login_url(&ann.get(&weaker));
        assert_eq!(customer.next(), Frame::close(1008, "level-too-low"));
    }
}
