//! The platform opens the login URL with its own way back; the ticket goes there, and
//! comes back in a signed event.

use serde_json::json;

use super::{Chat, link, opens};
use crate::support::browser::{parameter, path_of};
use crate::support::{Provider, Reply, Request};

pub const LINKING: &str = r#"back = { prefix = "https://platform.example/linking" }"#;
pub const BACK: &str = "https://platform.example/linking/?account_linking_token=a%2Bb";

fn start() -> Chat {
    Chat::start(|_| LINKING.into(), "", |_| Reply::new(200, "{}"))
}

/// The login URL as the platform opens it.
pub fn door(url: &str, back: &str) -> String {
    assert!(url.contains("/.chatgate/login/"), "{url}");
    let back = percent_encoding::utf8_percent_encode(back, percent_encoding::NON_ALPHANUMERIC);
    format!("{url}?account_linking_token=a%2Bb&redirect_uri={back}")
}

/// Where a login page was opened from the chat of a customer.
fn at_page(chat: &Chat, customer: &str) -> String {
    let url = chat.challenged("web", customer);
    let page = opens(&mut chat.gateway.browser(), &door(&url, BACK));
    assert!(chat.gateway.site.trusts(&page), "{page}");
    assert!(!page.contains("platform.example"), "{page}");
    page
}

#[test]
fn a_login_goes_back_with_a_code_that_the_platform_confirms() {
    let chat = start();
    let page = at_page(&chat, "U1");
    let place = chat.proven(&page);
    let mut browser = chat.gateway.browser();
    let there = opens(&mut browser, &place);
    let ticket = there.strip_prefix(&format!("{BACK}&authorization_code="));
    let ticket = ticket.unwrap_or_else(|| panic!("{there}")).to_owned();
    assert!(place.ends_with(&ticket));
    assert_eq!(opens(&mut browser, &place), there, "until it counts");
    assert!(!chat.linked("U9"));

    chat.links("U1", &ticket);
    assert_eq!(opens(&mut browser, &place), "/.chatgate/done/token-used");
    // The code is good once, and only there.
    chat.hear("U2", link("ok", &ticket));
    assert!(chat.linked("U1") && !chat.linked("U2"));
}

#[test]
fn a_code_in_another_customers_event_is_worth_nothing() {
    let chat = start();
    let place = chat.proven(&at_page(&chat, "attacker"));
    let there = opens(&mut chat.gateway.browser(), &place);
    let ticket = parameter(&there, "authorization_code").unwrap();
    chat.hear("victim", link("ok", &ticket));
    chat.hear("attacker", link("ok", &ticket));
    assert_eq!(chat.counted("login-succeeded"), 0.0);
    assert!(!chat.linked("victim") && !chat.linked("attacker"));
}

#[test]
fn whoever_does_not_log_in_goes_back_without_a_code() {
    let chat = start();
    let site = &chat.gateway.site;
    for (outcome, code) in [("failure", "login-failed"), ("cancel", "login-cancelled")] {
        let page = at_page(&chat, "U1");
        let answer = site.end(&page, outcome);
        assert_eq!(answer.json(), json!({"result": code, "continue": BACK}));

        let page = at_page(&chat, "U1");
        let mut claims = site.claims(&page, "alice");
        claims["outcome"] = outcome.into();
        let returned = format!("{}&return={}", site.callback(&page), site.jwt(&claims));
        let mut browser = chat.gateway.browser();
        assert_eq!(opens(&mut browser, &returned), BACK);
        assert_eq!(chat.counted(code), 2.0);
        // A return that is used up leads nobody anywhere.
        assert_eq!(opens(&mut browser, &returned), "/.chatgate/done/token-used");
    }
    // Nor does one that is not signed.
    let page = at_page(&chat, "U1");
    let forged = format!("{}&return=a.b.c", site.callback(&page));
    let landed = opens(&mut chat.gateway.browser(), &forged);
    assert!(landed.starts_with("/.chatgate/done/"), "{landed}");
}

#[test]
fn the_way_back_leads_to_the_platform_or_nowhere() {
    let chat = start();
    let url = chat.challenged("web", "U1");
    let mut browser = chat.gateway.browser();
    for back in [
        "https://evil.example/linking",
        "//evil.example",
        "/linking",
        "javascript:alert(1)",
        "http://platform.example/linking",
        "https://platform.example.evil.example/linking",
        "https://platform.example@evil.example/linking",
        "https://a@platform.example/linking",
        "https://platform.example:8443/linking",
        "https://platform.example\\@evil.example/linking",
        "https://platform.example/linking2",
        "https://platform.example/linking/../evil",
        "https://platform.example/linking/%2e%2e/evil",
        "https://platform.example/linking#x",
        "https://platform.example/linking\r\nLocation: https://evil.example",
        // A code is there already, in all its spellings.
        "https://platform.example/linking?authorization_code=x",
        "https://platform.example/linking?a=1&authorization%5fcode=x",
        "https://platform.example/linking?AUTHORIZATION_CODE=x",
        "https://platform.example/linking?authorization_code[]=x",
        "https://platform.example/linking?a=1;authorization_code=x",
        "",
    ] {
        let landed = opens(&mut browser, &door(&url, back));
        assert_eq!(landed, "/.chatgate/done/link-target", "{back:?}");
    }
    assert!(
        browser
            .get("/.chatgate/done/link-target")
            .contains("button in your chat")
    );
    // Opened by hand.
    assert_eq!(opens(&mut browser, &url), "/.chatgate/done/link-target");
    // Twice, in any spelling and order.
    for more in [
        "redirect_uri=x",
        "redirect_uri=",
        "redirect%5furi=x",
        "redirect_uri",
    ] {
        let twice = format!("{}&{more}", door(&url, BACK));
        assert_eq!(
            opens(&mut browser, &twice),
            "/.chatgate/done/return-duplicate",
            "{more}"
        );
        let (path, query) = twice.split_once('?').unwrap();
        let twice = format!("{path}?{more}&{query}");
        assert_eq!(
            opens(&mut browser, &twice),
            "/.chatgate/done/return-duplicate",
            "{more}"
        );
    }
    // Nothing was consumed by it, and whoever only looks consumes nothing either.
    let looks = Request::new("HEAD", path_of(&door(&url, BACK)));
    assert_eq!(chat.post(looks).status, 204);
    let page = opens(&mut browser, &door(&url, BACK));
    let there = opens(&mut browser, &chat.proven(&page));
    assert!(there.starts_with(BACK), "{there}");
}

#[test]
fn a_login_without_a_way_back_goes_nowhere() {
    let chat = start();
    // The page was never opened through the door: its URL was made up of the token.
    let url = chat.challenged("web", "U1");
    let token = url.rsplit('/').next().unwrap();
    let site = &chat.gateway.site;
    let told = json!({"token": token, "channel": "web", "outcome": "success", "subject": "alice"});
    let callback = format!("/.chatgate/return/web?token={token}");
    let answer = site.post(&callback, &told);
    let place = answer.json()["continue"].as_str().unwrap().to_owned();
    let landed = opens(&mut chat.gateway.browser(), &place);
    assert_eq!(landed, "/.chatgate/done/link-target");
    assert!(!chat.linked("U1"));
}

#[test]
fn a_door_opens_as_long_as_its_login_url_counts() {
    let chat = start();
    let mut browser = chat.gateway.browser();
    let old = chat.challenged("web", "U1");
    let url = chat.challenged("web", "U1");
    assert_eq!(
        opens(&mut browser, &door(&old, BACK)),
        "/.chatgate/done/token-revoked"
    );
    // The button is pressed again: the latest way back is the one that counts.
    opens(&mut browser, &door(&url, BACK));
    let latest = "https://platform.example/linking?account_linking_token=2";
    let page = opens(&mut browser, &door(&url, latest));
    let place = chat.proven(&page);
    assert_eq!(
        opens(&mut browser, &door(&url, BACK)),
        "/.chatgate/done/token-used"
    );
    let there = opens(&mut browser, &place);
    assert!(
        there.starts_with(&format!("{latest}&authorization_code=")),
        "{there}"
    );
    chat.gateway
        .clock
        .advance(std::time::Duration::from_secs(600));
    assert_eq!(opens(&mut browser, &place), "/.chatgate/done/token-expired");
    let url = chat.challenged("web", "U1");
    chat.gateway
        .clock
        .advance(std::time::Duration::from_secs(600));
    assert_eq!(
        opens(&mut browser, &door(&url, BACK)),
        "/.chatgate/done/token-expired"
    );
}

#[test]
fn customers_may_log_in_at_a_provider() {
    let provider = Provider::start();
    let login = format!("\n{}", provider.table("web", ""));
    let chat = Chat::start(|_| LINKING.into(), &login, |_| Reply::new(200, "{}"));
    let mut browser = chat.gateway.browser();
    let url = chat.challenged("web", "U1");
    assert_eq!(opens(&mut browser, &url), "/.chatgate/done/link-target");
    let there = opens(&mut browser, &door(&url, BACK));
    assert!(!there.contains("platform.example"), "{there}");
    let callback = provider.log_in(&there);
    // Not in another browser.
    let foreign = opens(&mut chat.gateway.browser(), &callback);
    assert_eq!(foreign, "/.chatgate/done/login-browser");
    let place = opens(&mut browser, &callback);
    let there = opens(&mut browser, &place);
    let ticket = parameter(&there, "authorization_code").unwrap();
    chat.hear("U1", link("ok", &ticket));
    assert!(chat.linked("U1"));

    let url = chat.challenged("web", "U2");
    let there = opens(&mut browser, &door(&url, BACK));
    let issuer = provider.issuer();
    let denied = provider.back(&there, &[("error", "access_denied"), ("iss", &issuer)]);
    assert_eq!(opens(&mut browser, &denied), BACK);
}
