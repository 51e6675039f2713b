//! Against `oidc-provider`, a certified provider.

use super::{code, depart, outcome, two_channels};
use crate::setup::{CANARY, bot, is_challenge, login_url, statement};
use crate::support::browser::{parameter, path_of};
use crate::support::{Answer, Browser, Node, Process, Request, eventually, node, ports};

/// A gateway with two channels whose customers log in at one provider: `web` proves
/// itself by a secret, `app` by a key.
fn start() -> Option<(Process, Node)> {
    if !node::ready() {
        return None;
    }
    let address = ports::free();
    let origin = bot();
    let key = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/p256-b.pem");
    let channels = two_channels(&origin);
    let tables = format!(
        r#"{channels}
[channel.web.oidc]
issuer = "http://{address}"
client_id = "chatgate-web"
client_secret = "a secret: 50% +/="
scopes = ["email"]
claims = ["email"]
userinfo = true
max_age = "5m"
prompt = "login"
[channel.app.oidc]
issuer = "http://{address}"
client_id = "chatgate-app"
private_key = {{ algorithm = "ES256", pem = {{ file = "{key}" }} }}
"#
    );
    let process = Process::start(&tables);
    let endpoints = format!("http://{}/.chatgate", process.at.plain);
    let provider = Node::provider(address, &endpoints);
    Some((process, provider))
}

/// Goes through the provider's pages until they lead back to the gateway.
fn walk(customer: &mut Browser, there: &str, name: &str) -> String {
    let mut answer = customer.get(there);
    for _ in 0..12 {
        if answer.status == 303 || answer.status == 302 {
            let place = answer.header("location").unwrap().to_owned();
            if place.contains("/.chatgate/") {
                return place;
            }
            answer = customer.get(&place);
            continue;
        }
        answer = submit(customer, &answer, name);
    }
    panic!("the provider's pages have no end: {}", answer.text());
}

fn submit(customer: &mut Browser, page: &Answer, name: &str) -> Answer {
    let text = page.text();
    assert_eq!(page.status, 200, "{text}");
    let after = |mark: &str| {
        let (_, rest) = text.split_once(mark).unwrap_or_else(|| panic!("{text}"));
        rest.split('"').next().unwrap().to_owned()
    };
    let prompt = after("name=\"prompt\" value=\"");
    let target = path_of(&after("<form autocomplete=\"off\" action=\"")).to_owned();
    let request = Request::new("POST", &target)
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(format!("prompt={prompt}&login={name}&password=x"));
    customer.send(request)
}

#[test]
fn a_customer_logs_in_at_a_real_provider_and_is_logged_out_by_it() {
    let Some((gateway, provider)) = start() else {
        return;
    };
    let mut browser = gateway.at.browser();
    let mut customer = Browser::new(provider.address);
    let url = login_url(&statement(&mut browser, "c1"));
    let there = depart(&mut browser, &url);
    let back = walk(&mut customer, &there, "alice");
    assert!(parameter(&back, "iss").is_some(), "{back}");
    let ended = outcome(&mut browser, &back);
    assert_eq!(
        ended,
        "login-succeeded",
        "{}\n{}",
        provider.output(),
        gateway.log()
    );
    assert!(statement(&mut browser, "c1").contains(CANARY));
    assert_eq!(outcome(&mut browser, &back), "token-used");

    // The other channel, the other way to prove who asks; the session is there already.
    let url = login_url(&browser.get("/app/chat/c1/statement"));
    let there = depart(&mut browser, &url);
    let back = walk(&mut customer, &there, "alice");
    let ended = outcome(&mut browser, &back);
    assert_eq!(
        ended,
        "login-succeeded",
        "{}\n{}",
        provider.output(),
        gateway.log()
    );
    assert!(browser.get("/app/chat/c1/statement").contains(CANARY));

    // A code that was used is taken from nobody: neither there nor here.
    let mut bob = gateway.at.browser();
    let url = login_url(&statement(&mut bob, "c2"));
    let there = depart(&mut bob, &url);
    let state = |url: &str| parameter(url, "state").unwrap();
    let swapped = back
        .replace(&state(&back), &state(&there))
        .replace("/callback/app", "/callback/web");
    assert_eq!(outcome(&mut bob, &swapped), "login-code");
    let there = depart(&mut bob, &url);
    let back = walk(&mut Browser::new(provider.address), &there, "bob");
    assert_eq!(outcome(&mut bob, &back), "login-succeeded");

    // Alice logs out at the provider; both channels hear of it, and bob stays.
    let page = customer.get("/session/end");
    let text = page.text();
    let (_, rest) = text.split_once("name=\"xsrf\" value=\"").expect("a form");
    let xsrf = rest.split('"').next().unwrap();
    let request = Request::new("POST", "/session/end/confirm")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(format!("xsrf={xsrf}&logout=yes"));
    let answer = customer.send(request);
    assert!(answer.status < 400, "{}", answer.text());
    eventually("the logout", || {
        let web = is_challenge(&statement(&mut browser, "c1"));
        let app = is_challenge(&browser.get("/app/chat/c1/statement"));
        (web && app).then_some(())
    });
    assert!(statement(&mut bob, "c2").contains(CANARY));
}

#[test]
fn a_customer_may_turn_back_at_a_real_provider() {
    let Some((gateway, provider)) = start() else {
        return;
    };
    let mut browser = gateway.at.browser();
    let mut customer = Browser::new(provider.address);
    let url = login_url(&statement(&mut browser, "c1"));
    let there = depart(&mut browser, &url);
    let place = customer.get(&there).header("location").unwrap().to_owned();
    let mut place = format!("{}/abort", path_of(&place));
    while !place.contains("/.chatgate/") {
        let answer = customer.get(&place);
        let next = answer.header("location");
        place = next
            .unwrap_or_else(|| panic!("{}", answer.text()))
            .to_owned();
    }
    assert_eq!(parameter(&place, "error").as_deref(), Some("access_denied"));
    assert_eq!(outcome(&mut browser, &place), "login-cancelled");
    assert_eq!(code(&browser.get(&url)), "token-used");
    assert!(is_challenge(&statement(&mut browser, "c1")));
}
