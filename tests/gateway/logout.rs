//! Logging out: by a route, and by the operator's server.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chatgate::login::{SecurityKeys, webhook};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use crate::setup::{CANARY, OWNER, bot, channel, channel_to, logged_in, statement};
use crate::support::login::jwt;
use crate::support::{Answer, Gateway, Origin, Request, SocketOrigin, WebSocket};

/// A key for logouts alone.
const OTHER_KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";

const DEMANDS: &str = r#"
[[channel.web.route]]
kind = "message"
path = "/verified/{id}"
interaction = { path = "id" }
level = "verified"
"#;

const ROUTE: &str = r#"
[[channel.web.route]]
kind = "logout"
method = "POST"
path = "/leave/{id}"
interaction = { path = "id" }
"#;

fn gateway() -> (Gateway, Origin) {
    let origin = bot();
    let tables = format!("{OWNER}{ROUTE}");
    let gateway = Gateway::start(&channel(&origin, "resume = \"replay\"", &tables));
    (gateway, origin)
}

/// Sends a signed logout.
fn log_out(gateway: &Gateway, members: &Value) -> Answer {
    gateway.site.post("/.chatgate/logout/web", members)
}

#[test]
fn a_route_takes_the_login_away_and_nothing_else() {
    let (gateway, origin) = gateway();
    let mut ann = logged_in(&gateway, "c1");
    let leave = || Request::post("/leave/c1", &json!({}));
    // Somebody else's browser logs nobody out.
    gateway.browser().send(leave());
    assert_eq!(origin.last().header("x-customer-id"), None);
    assert!(statement(&mut ann, "c1").contains(CANARY));

    assert_eq!(ann.send(leave()).status, 200);
    let seen = origin.last();
    assert_eq!(seen.header("x-customer-id"), Some("alice"), "who leaves");
    assert!(!statement(&mut ann, "c1").contains(CANARY));
    ann.get("/chat/c1/hello");
    assert_eq!(origin.last().header("x-customer-id"), None);
    // The interaction goes on: it is still hers alone, and alice's alone.
    let url = crate::setup::login_url(&statement(&mut ann, "c1"));
    assert_eq!(&*gateway.site.log_in(&url, "bob").code(), "subject-changed");
    let url = crate::setup::login_url(&statement(&mut ann, "c1"));
    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
    assert!(statement(&mut ann, "c1").contains(CANARY));
}

#[test]
fn the_operators_server_logs_out_whom_it_names() {
    let (gateway, _origin) = gateway();
    let mut chats = ["l1", "l2"].map(|chat| (chat, logged_in(&gateway, chat)));
    let mut open = |chat: usize| {
        let (name, browser) = &mut chats[chat];
        statement(browser, name).contains(CANARY)
    };
    let nobody = json!({"channel": "web", "subject": "bob"});
    assert_eq!(log_out(&gateway, &nobody).json()["revoked"], 0);
    let one = json!({"channel": "web", "interaction": "l1"});
    assert_eq!(log_out(&gateway, &one).json()["revoked"], 1);
    assert_eq!([open(0), open(1)], [false, true]);
    let all = json!({"channel": "web", "subject": "alice"});
    assert_eq!(log_out(&gateway, &all).status, 200);
    assert!(!open(1));
    assert!(gateway.metrics().sum("chatgate_revocations", &[]) >= 2.0);
}

#[test]
fn a_session_is_told_by_its_claim() {
    let (gateway, _origin) = gateway();
    let mut browsers = ["s1", "s2"].map(|chat| {
        let mut browser = gateway.browser();
        let url = crate::setup::login_url(&statement(&mut browser, chat));
        let mut members = gateway.site.success(&url, "alice");
        members["claims"] = json!({ "sid": format!("session-{chat}") });
        let told = gateway.site.post(&gateway.site.callback(&url), &members);
        assert_eq!(told.status, 200);
        (chat, browser)
    });
    let one = json!({"channel": "web", "session": "session-s1"});
    assert_eq!(log_out(&gateway, &one).json()["revoked"], 1);
    let open = browsers
        .each_mut()
        .map(|(chat, browser)| statement(browser, chat).contains(CANARY));
    assert_eq!(open, [false, true]);
}

#[test]
fn a_logout_that_is_forged_late_or_repeated_does_nothing() {
    let (gateway, _origin) = gateway();
    let mut ann = logged_in(&gateway, "c1");
    let path = "/.chatgate/logout/web";
    let body = json!({"channel": "web", "interaction": "c1"}).to_string();
    let signed = |body: &str| gateway.site.signed(path, body.as_bytes());
    let mut other = signed(&body);
    other.body = body.replace("c1", "c2").into_bytes();
    let code = |request| gateway.site.send(request).code().to_string();
    assert_eq!(code(other), "return-signature");
    assert_eq!(
        code(Request::new("POST", path).body(&*body)),
        "return-malformed"
    );
    let early = chatgate::time::Time::from_secs(gateway.clock.now().secs() - 301);
    let late = gateway.site.signed_at(path, body.as_bytes(), early);
    assert_eq!(code(late), "return-stale");
    let elsewhere = signed(&body.replace("web", "app"));
    assert_eq!(code(elsewhere), "return-channel");
    let unknown = gateway
        .site
        .signed("/.chatgate/logout/app", body.as_bytes());
    assert_eq!(code(unknown), "return-channel");
    let encoded = signed(&body).header("Content-Encoding", "gzip");
    assert_eq!(code(encoded), "return-malformed");
    let long = format!("{body}{}", " ".repeat(16 << 10));
    assert_eq!(code(signed(&long)), "return-malformed");
    assert_eq!(gateway.site.send(Request::get(path)).status, 405);
    assert!(statement(&mut ann, "c1").contains(CANARY));

    let once = signed(&body);
    let again = once.clone();
    assert_eq!(gateway.site.send(once).json()["revoked"], 1);
    let mut ann = logged_in_again(&gateway, ann);
    let refused = gateway.site.send(again);
    assert_eq!((refused.status, &*refused.code()), (409, "logout-repeated"));
    assert!(statement(&mut ann, "c1").contains(CANARY));
}

/// Each remembers what was used for itself, whatever the operator calls it.
#[test]
fn no_proof_uses_up_a_logout() {
    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    let origin = bot();
    let verifier = format!(
        r#"
[[channel.web.identity]]
name = "logout"
kind = "jwt"
from = {{ header = "Authorization", scheme = "Bearer" }}
keys = [{{ algorithm = "HS256", secret = "{SECRET}" }}]
single_use = true
[[channel.web.route]]
kind = "pre-chat"
path = "/start/{{id}}"
interaction = {{ path = "id" }}
"#
    );
    let gateway = Gateway::start(&channel(&origin, "", &format!("{OWNER}{verifier}")));
    let members = json!({"channel": "web", "interaction": "c1"});
    let path = "/.chatgate/logout/web";
    let logout = gateway.site.signed(path, members.to_string().as_bytes());
    let id = logout.headers.iter().find(|(name, _)| name == "webhook-id");
    let exp = gateway.clock.now().secs() + 300;
    let claims = json!({"sub": "alice", "exp": exp, "jti": id.unwrap().1});
    let token = jwt(&json!({"alg": "HS256"}), &claims, |message| {
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let mac = jsonwebtoken::crypto::sign(message, &key, Algorithm::HS256).unwrap();
        URL_SAFE_NO_PAD.decode(mac).unwrap()
    });
    let start = Request::post("/start/c1", &json!({}));
    let proven = start.header("Authorization", &format!("Bearer {token}"));
    assert_eq!(gateway.browser().send(proven).status, 200);
    assert_eq!(origin.last().header("x-customer-id"), Some("alice"));
    let told = gateway.site.send(logout);
    assert_eq!((told.status, &told.json()["revoked"]), (200, &json!(1)));
}

#[test]
fn an_open_socket_ends_at_once() {
    let origin = SocketOrigin::start();
    let tables = format!("{OWNER}[channel.web.websocket]\non_expiry = \"close\"\n{DEMANDS}");
    let key = format!("logout_key = \"{OTHER_KEY}\"");
    let gateway = Gateway::start(&channel_to(&origin.upstream(), &key, &tables));
    let mut ann = gateway.browser();
    let url = crate::setup::login_url(&ann.get("/verified/c1"));
    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
    let (name, value) = ann.cookies.first_key_value().unwrap();
    let cookie = format!("{name}={value}");
    let opened = WebSocket::ask(gateway.at.plain, "/chat/c1/ws", &[("Cookie", &cookie)]);
    let mut customer = opened.unwrap_or_else(|answer| panic!("{}", answer.text()));
    let mut backend = origin.accept();
    customer.say("hello");
    assert_eq!(backend.hear(), "hello");

    // The channel has a key of its own for logouts: the page's does not do.
    let members = json!({"channel": "web", "subject": "alice"});
    let refused = log_out(&gateway, &members);
    assert_eq!(&*refused.code(), "return-signature");
    let keys = SecurityKeys::parse([OTHER_KEY]).unwrap();
    let body = members.to_string();
    let mut request = Request::new("POST", "/.chatgate/logout/web").body(&*body);
    for (name, value) in webhook::sign(&keys, "msg_own", gateway.clock.now(), body.as_bytes()) {
        request = request.header(name.as_str(), value.to_str().unwrap());
    }
    assert_eq!(gateway.site.send(request).json()["revoked"], 1);
    assert_eq!(customer.next().code(), Some(4401));
    assert_eq!(backend.next().code(), Some(1001));
}

fn logged_in_again(
    gateway: &Gateway,
    mut browser: crate::support::Browser,
) -> crate::support::Browser {
    let url = crate::setup::login_url(&statement(&mut browser, "c1"));
    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
    browser
}
