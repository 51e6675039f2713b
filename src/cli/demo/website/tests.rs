//! The website alone, asked without a socket.

use http::header::LOCATION;
use http_body_util::BodyExt;

use super::*;
use crate::login::page::{Label, LoginUrl, Parameters};
use crate::login::{LoginPage, LoginToken, returned};
use crate::time::Time;

const ALICE: &str = "username=alice&password=wonderland";

fn website() -> Website {
    let setting = Setting {
        public_url: "http://127.0.0.1:8080".to_owned(),
        return_url: "http://127.0.0.1:8080/.chatgate/return/web".to_owned(),
        channel: "web".to_owned(),
        keys: SecurityKeys::parse([SecurityKeys::generate().as_str()]).unwrap(),
        authentication_timeout: Duration::from_secs(60),
        token_ttl: Duration::from_secs(90),
    };
    Website::new(setting, Clock::manual(Time::from_secs(1000)), Vec::new()).unwrap()
}

fn call(site: &Website, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Page {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = Bytes::copy_from_slice(body.as_bytes());
    site.answer(&request.body(body).unwrap())
}

fn header(page: &Page, name: impl http::header::AsHeaderName) -> &str {
    page.headers().get(name).map_or("", |v| v.to_str().unwrap())
}

fn html(page: Page) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let body = runtime.block_on(page.into_body().collect()).unwrap();
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}

/// Path and query of a login URL as chatgate makes it, and the token in it.
fn login_url(site: &Website, channel: &str) -> (String, LoginToken) {
    let parameters = Parameters {
        callback: None,
        ..Parameters::default()
    };
    let page = LoginPage::new("http://127.0.0.1:8080/login", parameters, Label::Hash).unwrap();
    let token = LoginToken::generate();
    let values = LoginUrl {
        token: &token,
        callback: "",
        channel,
        interaction: "c-1",
        level: "verified",
        now: site.clock.now(),
    };
    let url = page.url(&site.setting.keys, &values);
    (url["http://127.0.0.1:8080".len()..].to_owned(), token)
}

fn returned(site: &Website, page: &Page) -> returned::Return {
    assert_eq!(page.status(), StatusCode::SEE_OTHER);
    let query = header(page, LOCATION)
        .strip_prefix("http://127.0.0.1:8080/.chatgate/return/web?")
        .expect("back to chatgate");
    let tolerance = Duration::from_secs(300);
    returned::from_browser(
        &site.setting.keys,
        &[],
        "web",
        query,
        site.clock.now(),
        tolerance,
    )
    .expect("a valid return")
}

#[test]
fn a_session_is_opened_looked_up_and_ended() {
    let site = website();
    let anonymous = call(&site, "GET", "/session", &[], "");
    assert_eq!(anonymous.status(), StatusCode::UNAUTHORIZED);
    let page = call(&site, "POST", "/login", &[], ALICE);
    assert_eq!(header(&page, LOCATION), "/");
    let cookie = header(&page, SET_COOKIE);
    assert!(cookie.contains("HttpOnly; SameSite=Lax"));
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let with = [("cookie", cookie.as_str())];
    let session = html(call(&site, "GET", "/session", &with, ""));
    assert_eq!(session, r#"{"sub":"alice","name":"Alice"}"#);
    let front = html(call(&site, "GET", "/", &with, ""));
    assert!(front.contains(r#"data-customer="alice""#) && front.contains("90 seconds"));
    call(&site, "POST", "/logout", &with, "");
    let after = call(&site, "GET", "/session", &with, "");
    assert_eq!(after.status(), StatusCode::UNAUTHORIZED);
}

#[test]
fn a_session_of_an_earlier_run_is_taken_away() {
    let page = call(&website(), "GET", "/", &[("cookie", "sid=stale")], "");
    assert!(header(&page, SET_COOKIE).contains("Max-Age=0"));
}

#[test]
fn a_login_url_leads_back_with_the_outcome() {
    let site = website();
    let (url, token) = login_url(&site, "web");
    let form = html(call(&site, "GET", &url, &[], ""));
    assert!(form.contains("signature=") && form.contains("in the chat"));
    let back = call(&site, "POST", &url, &[], ALICE);
    assert!(back.headers().get(SET_COOKIE).is_none());
    let back = returned(&site, &back);
    assert_eq!(back.token.expose(), token.expose());
    assert_eq!(back.outcome, Outcome::Success);
    assert_eq!(back.subject.as_deref(), Some("alice"));
    assert_eq!(back.claims["name"], "Alice");
    assert_eq!(back.level.as_deref(), Some("verified"));
}

#[test]
fn cancelling_and_guessing_lead_back_without_a_subject() {
    let site = website();
    let (url, _) = login_url(&site, "web");
    let back = call(&site, "POST", &url, &[], &format!("{ALICE}&action=cancel"));
    let back = returned(&site, &back);
    assert_eq!((back.outcome, back.subject), (Outcome::Cancel, None));
    let wrong = "username=alice&password=guess";
    for _ in 1..ATTEMPTS {
        let form = call(&site, "POST", &url, &[], wrong);
        assert_eq!(form.status(), StatusCode::FORBIDDEN);
    }
    let back = returned(&site, &call(&site, "POST", &url, &[], wrong));
    assert_eq!((back.outcome, back.subject), (Outcome::Failure, None));
}

#[test]
fn a_login_url_that_is_not_chatgates_is_refused() {
    let site = website();
    let (url, _) = login_url(&site, "web");
    let changed = url.replace("verified", "verifiee");
    let longer = format!("{url}&x=y");
    let (other, _) = login_url(&site, "other");
    for url in [changed.as_str(), &longer, &other, "/login?token=x"] {
        for method in ["GET", "POST"] {
            let page = call(&site, method, url, &[], ALICE);
            assert_eq!(page.status(), StatusCode::BAD_REQUEST, "{url}");
        }
    }
}

#[test]
fn a_form_on_a_foreign_page_changes_nothing() {
    let site = website();
    let (url, _) = login_url(&site, "web");
    for foreign in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "http://evil.example"),
        ("origin", "null"),
    ] {
        for target in ["/login", &url, "/logout"] {
            let page = call(&site, "POST", target, &[foreign], ALICE);
            assert_eq!(page.status(), StatusCode::FORBIDDEN);
        }
    }
    for own in [
        ("sec-fetch-site", "same-origin"),
        ("origin", "http://127.0.0.1:8080"),
    ] {
        let page = call(&site, "POST", "/login", &[own], ALICE);
        assert_eq!(page.status(), StatusCode::SEE_OTHER);
    }
}

#[test]
fn pages_run_nothing_foreign_and_repeat_nothing_unescaped() {
    let site = website();
    let page = call(&site, "GET", "/login?%22%3E%3Cscript%3E", &[], "");
    assert!(header(&page, CONTENT_SECURITY_POLICY).starts_with("default-src 'none'"));
    assert!(!html(page).contains("<script"));
    for target in ["/", "/demo.js", "/demo.css", "/icon.svg"] {
        let body = html(call(&site, "GET", target, &[], ""));
        let ours = ["http://www.w3.org/", "http://127.0.0.1:8080/"];
        let ours = ours.map(|known| body.matches(known).count());
        let foreign = body.matches("://").count() - ours.iter().sum::<usize>();
        assert_eq!(foreign, 0, "{target}");
    }
}

#[test]
fn localhost_is_sent_to_where_the_cookies_are() {
    let page = call(
        &website(),
        "GET",
        "/login?a=b",
        &[("host", "localhost:8080")],
        "",
    );
    assert_eq!(header(&page, LOCATION), "http://127.0.0.1:8080/login?a=b");
}
