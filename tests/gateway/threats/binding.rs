//! Login CSRF: whoever logs in with a forwarded login URL must not authenticate the
//! sender's chat.

use crate::setup::{
    CANARY, OWNER, bot, challenged, channel, continue_url, is_challenge, statement,
};
use crate::support::{Answer, Browser, Gateway, Origin, Request};

fn bound(how: &str) -> (Gateway, Origin) {
    let origin = bot();
    let settings = format!("resume = \"replay\"\nlogin_binding = \"{how}\"");
    let gateway = Gateway::start(&channel(&origin, &settings, OWNER));
    (gateway, origin)
}

/// The login page's server tells of a success; where the browser has to go.
fn ticket(gateway: &Gateway, url: &str) -> String {
    let told = gateway.site.success(url, "alice");
    let answer = gateway.site.post(&gateway.site.callback(url), &told);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["result"], "login-unbound");
    let place = answer.json()["continue"].as_str().unwrap().to_owned();
    assert!(place.contains("/.chatgate/bind/"), "{place}");
    place
}

fn lands_at(answer: &Answer) -> String {
    assert_eq!(answer.status, 303, "{}", answer.text());
    answer.header("location").unwrap().to_owned()
}

fn says(browser: &mut Browser, place: &str, word: &str) -> Answer {
    let form = Request::new("POST", crate::support::browser::path_of(place))
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(format!("mine={word}"));
    browser.send(form)
}

#[test]
fn a_login_in_browser_a_does_not_authenticate_the_chat_of_browser_b() {
    let (gateway, _origin) = bound("same-browser");
    let (mut attacker, url) = challenged(&gateway, "c1");
    // The victim has a chat of her own, and logs in with the link that was sent to her.
    let (mut victim, _own) = challenged(&gateway, "c2");
    for by_post in [true, false] {
        let place = if by_post {
            ticket(&gateway, &url)
        } else {
            let (again, url) = (statement(&mut attacker, "c1"), String::new());
            assert!(is_challenge(&again), "{url}");
            let url = crate::setup::login_url(&again);
            let jwt = gateway.site.jwt(&gateway.site.claims(&url, "alice"));
            let callback = gateway.site.callback(&url);
            lands_at(&victim.get(&format!("{callback}&return={jwt}")))
        };
        for stranger in [&mut victim, &mut gateway.browser()] {
            let landed = lands_at(&stranger.get(&place));
            assert_eq!(landed, "/.chatgate/done/wrong-browser");
            let page = stranger.get(&landed);
            assert!(page.contains("another browser"), "{}", page.text());
            // Nor does the word of a page that was never asked for count.
            let said = lands_at(&says(stranger, &place, "yes"));
            assert_eq!(said, "/.chatgate/done/wrong-browser");
        }
        let answer = statement(&mut attacker, "c1");
        assert!(is_challenge(&answer) && !answer.contains(CANARY));
    }
}

#[test]
fn the_browser_of_the_chat_binds_its_login_and_the_request_is_answered() {
    let (gateway, _origin) = bound("same-browser");
    let mut alice = gateway.browser();
    let challenge = statement(&mut alice, "c1");
    let place = ticket(&gateway, &crate::setup::login_url(&challenge));
    assert!(is_challenge(&statement(&mut gateway.browser(), "c9")));
    let landed = lands_at(&alice.get(&place));
    assert_eq!(landed, "/.chatgate/done/login-succeeded");
    assert!(alice.get(&continue_url(&challenge)).contains(CANARY));
    assert!(statement(&mut alice, "c1").contains(CANARY));
    // Once.
    assert_eq!(lands_at(&alice.get(&place)), "/.chatgate/done/token-used");
}

#[test]
fn parallel_chats_of_one_browser_do_not_break_each_other() {
    let (gateway, _origin) = bound("same-browser");
    let (mut alice, first) = challenged(&gateway, "c1");
    let second = crate::setup::login_url(&statement(&mut alice, "c2"));
    let (first, second) = (ticket(&gateway, &first), ticket(&gateway, &second));
    for place in [&second, &first] {
        let landed = lands_at(&alice.get(place));
        assert_eq!(landed, "/.chatgate/done/login-succeeded");
    }
    assert!(statement(&mut alice, "c1").contains(CANARY));
    assert!(statement(&mut alice, "c2").contains(CANARY));
    assert_eq!(alice.cookies.len(), 1, "cookies pile up");
}

#[test]
fn the_customer_is_asked_whose_chat_it_is() {
    let (gateway, _origin) = bound("confirm");
    let (mut alice, url) = challenged(&gateway, "c1");
    let place = ticket(&gateway, &url);
    // The login may be in another browser: the telephone, say.
    let mut phone = gateway.browser();
    let page = phone.get(&place);
    assert_eq!(page.status, 200);
    assert!(page.contains("Is this your chat?"), "{}", page.text());
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("frame-ancestors 'none'") && policy.contains("form-action 'self'"));
    // With `no-referrer`, browsers send its form with `Origin: null`, which is refused.
    let policies: Vec<_> = page.all("referrer-policy").collect();
    assert_eq!(policies, ["same-origin"]);
    assert!(!statement(&mut alice, "c1").contains(CANARY), "unasked");

    // That question made another login URL; the login under way goes on beside it.
    assert_eq!(
        lands_at(&says(&mut phone, &place, "yes")),
        "/.chatgate/done/login-succeeded"
    );
    assert!(statement(&mut alice, "c1").contains(CANARY));

    let url = crate::setup::login_url(&statement(&mut alice, "c2"));
    let place = ticket(&gateway, &url);
    for odd in ["", "maybe", "yes&mine=no"] {
        let landed = lands_at(&says(&mut phone, &place, odd));
        assert_eq!(landed, "/.chatgate/done/bad-body", "{odd}");
    }
    let elsewhere = Request::new("POST", crate::support::browser::path_of(&place))
        .header("Origin", "https://evil.example")
        .body("mine=yes");
    let landed = lands_at(&phone.send(elsewhere));
    assert_eq!(landed, "/.chatgate/done/wrong-browser");
    let landed = lands_at(&says(&mut phone, &place, "yes"));
    assert_eq!(landed, "/.chatgate/done/login-succeeded");
    assert!(statement(&mut alice, "c2").contains(CANARY));
}

#[test]
fn a_customer_who_was_sent_the_link_says_no() {
    let (gateway, _origin) = bound("confirm");
    let (mut attacker, url) = challenged(&gateway, "c1");
    let place = ticket(&gateway, &url);
    let mut victim = gateway.browser();
    assert_eq!(
        lands_at(&says(&mut victim, &place, "no")),
        "/.chatgate/done/login-cancelled"
    );
    let landed = lands_at(&says(&mut victim, &place, "yes"));
    assert_eq!(landed, "/.chatgate/done/token-used");
    assert!(!statement(&mut attacker, "c1").contains(CANARY));
}

#[test]
fn the_page_and_the_chat_show_one_code() {
    let origin = bot();
    let file = channel(&origin, "login_binding = \"confirm\"", OWNER);
    let file = file.replacen("{{ login_url }}", "{{ login_url }} code={{ code }};", 1);
    let gateway = Gateway::start(&file);
    let mut alice = gateway.browser();
    let challenge = statement(&mut alice, "c1").text();
    let code = challenge.split("code=").nth(1).unwrap();
    let code = &code[..code.find(';').unwrap()];
    assert_eq!(code.len(), 6, "{challenge}");
    let from = challenge.find("http").unwrap();
    let url = &challenge[from..from + challenge[from..].find(" code").unwrap()];
    let page = alice.get(&ticket(&gateway, &url.replace("\\u0026", "&")));
    assert!(page.contains(&format!("<output>{code}</output>")));
}

#[test]
fn a_login_that_failed_needs_nobody_to_bind_it() {
    let (gateway, _origin) = bound("same-browser");
    let (mut alice, url) = challenged(&gateway, "c1");
    let answer = gateway.site.end(&url, "cancel");
    assert_eq!(answer.json()["result"], "login-cancelled");
    assert!(answer.json().get("continue").is_none());
    assert!(!statement(&mut alice, "c1").contains(CANARY));
}
