//! Chainlit behind `conf/examples/chainlit.toml`: identity by a header, socket.io over
//! WebSocket and polling, and Chainlit's own page in a browser.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::support::login::{KEY, PLATFORM_KEY};
use crate::support::{Answer, Browser, Frame, Gateway, Node, Request, WebSocket, Wire, chromium};

/// Where socket.io is.
const SOCKET: &str = "/ws/socket.io/?EIO=4";

#[test]
fn a_verified_customer_talks_over_the_websocket_until_it_is_revoked() {
    let Some((_chainlit, gateway)) = start() else {
        return;
    };
    let (_, cookies) = customer(&gateway, "alice", "s1");
    let target = format!("{SOCKET}&transport=websocket");
    let mut socket = ask(&gateway, &target, &cookies).unwrap_or_else(|a| panic!("{}", a.text()));
    assert!(socket.hear().starts_with("0{"));
    socket.say(&format!("40{}", hello("s1")));
    assert!(socket.hear().starts_with("40{"));
    socket.say("42[\"connection_successful\"]");
    socket.say(&format!("42{}", message("good morning")));
    until(|| socket.hear(), "You are alice, and said good morning");

    revoke(&gateway, "s1");
    loop {
        let frame = socket.next();
        if frame.opcode == 8 {
            assert_eq!(frame, Frame::close(4401, "please log in again"));
            break;
        }
    }
}

#[test]
fn a_verified_customer_talks_over_long_polling() {
    let Some((_chainlit, gateway)) = start() else {
        return;
    };
    let (mut browser, _) = customer(&gateway, "bob", "s2");
    let polling = format!("{SOCKET}&transport=polling");
    let opened = browser.get(&polling);
    let opened: Value = serde_json::from_str(opened.text().strip_prefix('0').unwrap()).unwrap();
    let polling = format!("{polling}&sid={}", opened["sid"].as_str().unwrap());
    let say = |browser: &mut Browser, text: String| {
        let said =
            Request::new("POST", &polling).header("Content-Type", "text/plain;charset=UTF-8");
        assert_eq!(browser.send(said.body(text)).text(), "OK");
    };
    say(&mut browser, format!("40{}", hello("s2")));
    assert!(browser.get(&polling).text().starts_with("40{"));
    say(&mut browser, "42[\"connection_successful\"]".into());
    say(&mut browser, format!("42{}", message("good evening")));
    until(
        || browser.get(&polling).text(),
        "You are bob, and said good evening",
    );
}

#[test]
fn nobody_else_gets_in() {
    let Some((_chainlit, gateway)) = start() else {
        return;
    };
    let page = gateway.browser().get("/");
    assert!(page.status == 200 && page.contains("<html"));
    // What a client says of itself is taken off; without a proof nothing is said of it.
    let forged = Request::new("POST", "/auth/header").header("X-Customer-Id", "alice");
    assert_eq!(gateway.browser().send(forged).code(), "proof-missing");
    let around = Request::new("POST", "/auth/header/").header("X-Customer-Id", "alice");
    assert_ne!(gateway.browser().send(around).status, 200);
    let target = format!("{SOCKET}&transport=websocket");
    let refused = ask(&gateway, &target, "X-Chainlit-Session-id=s3").err();
    assert_eq!(refused.expect("refused").code(), "proof-missing");
    let polling = gateway
        .browser()
        .get(&format!("{SOCKET}&transport=polling"));
    assert_eq!(polling.code(), "proof-missing");
    // With Chainlit's own cookie alone, neither.
    let (_, cookies) = customer(&gateway, "alice", "s4");
    let theirs = cookies
        .split("; ")
        .filter(|cookie| !cookie.starts_with("site="));
    let theirs = theirs.collect::<Vec<_>>().join("; ");
    let refused = ask(&gateway, &target, &theirs).err().expect("refused");
    assert_eq!(refused.code(), "proof-missing");
    for path in [
        "/user",
        "/project/settings",
        "/project/file/f",
        "/project/thread/t",
    ] {
        let asks = Request::get(path).header("Cookie", &theirs);
        assert_eq!(
            gateway.browser().send(asks).code(),
            "proof-missing",
            "{path}"
        );
    }
}

/// Everything that a customer does on Chainlit's own page.
#[test]
fn in_a_browser() {
    if !chromium::ready() {
        return;
    }
    let Some((_chainlit, gateway)) = start() else {
        return;
    };
    let url = format!("http://{}/", gateway.at.plain);
    let [alice, bob] = ["alice", "bob"].map(|name| proof(&gateway, name, KEY));
    let stranger = proof(&gateway, "alice", PLATFORM_KEY);
    chromium::play("chainlit.mjs", &[&url, &alice, &bob, &stranger], |line| {
        revoke(&gateway, line.strip_prefix("revoke ")?);
        Some("done".into())
    });
}

fn start() -> Option<(Node, Gateway)> {
    let chainlit = Node::chainlit()?;
    let gateway = Gateway::start_file("examples/chainlit.toml", chainlit.address);
    Some((chainlit, gateway))
}

/// A browser that Chainlit knows as `name`'s, and all its cookies.
fn customer(gateway: &Gateway, name: &str, session: &str) -> (Browser, String) {
    let mut browser = gateway.browser();
    let site = proof(gateway, name, KEY);
    browser.cookies.insert("site".into(), site);
    let known = browser.send(Request::new("POST", "/auth/header"));
    assert_eq!(known.status, 200, "{}", known.text());
    browser.post("/set-session-cookie", &json!({"session_id": session}));
    let cookies = browser.cookies.iter();
    let cookies = cookies.map(|(name, value)| format!("{name}={value}"));
    let cookies = cookies.collect::<Vec<_>>().join("; ");
    (browser, cookies)
}

/// What the website says of a customer, in its cookie.
fn proof(gateway: &Gateway, name: &str, key: &str) -> String {
    let claims = json!({"sub": name, "exp": gateway.clock.now().secs() + 600});
    let key = EncodingKey::from_secret(key.as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap()
}

/// Takes a login away, as an operator does.
fn revoke(gateway: &Gateway, interaction: &str) {
    let revokes = Request::new("DELETE", &format!("/interactions/web/{interaction}"));
    let revoked = Wire::connect(gateway.at.admin).exchange(&revokes);
    assert_eq!(revoked.status, 200);
}

fn ask(gateway: &Gateway, target: &str, cookies: &str) -> Result<WebSocket, Box<Answer>> {
    let origin = format!("http://{}", gateway.at.plain);
    WebSocket::ask(
        gateway.at.plain,
        target,
        &[("Cookie", cookies), ("Origin", &origin)],
    )
}

/// What Chainlit's page says when it connects.
fn hello(session: &str) -> Value {
    json!({"sessionId": session, "clientType": "webapp", "userEnv": "{}"})
}

/// What Chainlit's page says when its customer does.
fn message(text: &str) -> Value {
    json!(["client_message", {
        "message": {
            "id": "7a0a4f3e-0a52-4c2a-8d3c-0b8a1a7c9d10", "threadId": "", "name": "user",
            "type": "user_message", "output": text, "createdAt": "2026-01-01T00:00:00Z",
        },
        "fileReferences": [],
    }])
}

/// Listens until this is said.
fn until(mut hear: impl FnMut() -> String, wanted: &str) {
    for _ in 0..50 {
        if hear().contains(wanted) {
            return;
        }
    }
    panic!("never said: {wanted}");
}
