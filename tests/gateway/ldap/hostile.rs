//! Forms that are forged, guessed, or sent too often.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use super::{Visitor, counted, encode, gateway, leads, notice, posted, tables};
use crate::setup::{CANARY, bot, continue_url, statement};
use crate::support::browser::path_of;
use crate::support::slapd::PASSWORD;
use crate::support::{Gateway, Request, Slapd, login};

const WRONG: &str = "User name and password do not match.";

#[test]
fn nobody_learns_who_is_a_customer() {
    let Some((gateway, _slapd)) =
        gateway("max_failures = 100\nthrottle = { user = 100, address = 1000 }")
    else {
        return;
    };
    let mut mallory = Visitor::new(&gateway, "c1");
    let mut seen = Vec::new();
    for (name, password) in [
        ("alice", "wrong"),
        ("nobody", "wrong"),
        ("nobody", PASSWORD),
        // Two customers have this address; the password is right for both.
        ("shared@example.com", "carol-password"),
        ("*", PASSWORD),
        ("a*", PASSWORD),
        (")(uid=*", PASSWORD),
        ("alice)(objectClass=*", PASSWORD),
        ("alice\0", PASSWORD),
        ("\u{1F600}é", PASSWORD),
        // An anonymous bind, which this server would take.
        ("alice", ""),
        ("", ""),
    ] {
        let answer = mallory.log_in(name, password);
        assert_eq!((answer.status, &*notice(&answer)), (422, WRONG), "{name}");
        assert!(answer.header("retry-after").is_none());
        // All that differs is the name, which stands there again.
        let escaped = answer.text();
        let (before, rest) = escaped.split_once("name=\"username\" value=\"").unwrap();
        let (_, after) = rest.split_once('"').unwrap();
        let mut headers = answer.headers.clone();
        headers.retain(|(name, _)| {
            !name.eq_ignore_ascii_case("content-length") && !name.eq_ignore_ascii_case("date")
        });
        seen.push(format!("{headers:?}{before}{after}"));
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "{seen:#?}");
    assert_eq!(counted(&gateway, "directory-ambiguous"), 1.0);
    assert!(!statement(&mut mallory.browser, "c1").contains(CANARY));
}

#[test]
fn a_form_of_another_site_or_browser_is_not_tried() {
    let Some((gateway, _slapd)) = gateway("max_failures = 2") else {
        return;
    };
    let mut alice = Visitor::new(&gateway, "c1");
    let seal = alice.seal();
    let right = alice.form("alice", PASSWORD);
    let good = || right.clone();
    let fields = format!("username=alice&password={}", encode(PASSWORD));
    // Another login URL of the same browser has another seal.
    let second = Visitor::new(&gateway, "c2").seal();
    let forged = [
        good().header("Origin", "https://evil.example"),
        good().header("Origin", "null"),
        good().header("Sec-Fetch-Site", "cross-site"),
        good().header("Sec-Fetch-Site", "same-site"),
        good().header("Sec-Fetch-Site", "none"),
        posted(&alice.url, &format!("{fields}&seal={second}")),
        posted(&alice.url, &format!("{fields}&seal=")),
        posted(
            &alice.url,
            &format!("{fields}&seal={}", seal.to_lowercase()),
        ),
        Request::new("POST", path_of(&alice.url))
            .header("Content-Type", "text/plain")
            .body(format!("{fields}&seal={seal}")),
        Request::new("POST", path_of(&alice.url)).body(format!("{fields}&seal={seal}")),
    ];
    for form in forged {
        let shown = format!("{form:?}");
        let answer = alice.browser.send(form);
        assert_eq!(answer.status, 403, "{shown}");
        assert!(notice(&answer).contains("open for too long"));
        assert!(!answer.contains("p%C3%A4ss") && !answer.contains("päss"));
    }
    // Without its cookie, and with another one.
    let cookie = alice.browser.cookies.remove("chatgate-login").unwrap();
    assert_eq!(alice.browser.send(good()).status, 403);
    alice
        .browser
        .cookies
        .insert("chatgate-login".into(), "x".into());
    assert_eq!(alice.browser.send(good()).status, 403);
    for body in [
        "",
        "seal=x",
        &format!("{fields}&{fields}&seal={seal}"),
        &"x".repeat(20_000),
    ] {
        assert_eq!(
            leads(&alice.browser.send(posted(&alice.url, body))),
            "bad-body"
        );
    }
    assert_eq!(counted(&gateway, "login-forged"), 12.0);
    // Nothing of that counted, and the page is good as it is.
    alice
        .browser
        .cookies
        .insert("chatgate-login".into(), cookie);
    let form = alice
        .form("alice", PASSWORD)
        .header("Origin", &format!("http://{}", gateway.at.plain))
        .header("Sec-Fetch-Site", "same-origin");
    assert_eq!(leads(&alice.send(form)), "login-succeeded");
}

#[test]
fn a_token_that_is_not_ours_leads_nowhere() {
    let Some(slapd) = Slapd::start() else { return };
    let page = tables(&bot(), "", "", &slapd.table(""));
    let gateway = Gateway::start(&page);
    let mut alice = Visitor::new(&gateway, "c1");
    let forged = format!("/.chatgate/login/{}", "A".repeat(43));
    for url in [&*forged, "/.chatgate/login/x", "/.chatgate/login/"] {
        assert_eq!(leads(&alice.browser.get(url)), "token-unknown");
        let form = alice.form("alice", PASSWORD);
        let answer = alice.browser.send(Request {
            target: url.to_owned(),
            ..form
        });
        assert_eq!(leads(&answer), "token-unknown");
    }
    // A login URL of a channel whose customers log in elsewhere has no form.
    let elsewhere = Gateway::start(
        &page
            .split("[channel.web.login_page]")
            .next()
            .unwrap()
            .replace(
                "[channel.web]\n",
                &format!("[channel.web]\n{}", login::LOGIN),
            ),
    );
    let (mut browser, url) = crate::setup::challenged(&elsewhere, "c1");
    let token = crate::support::browser::parameter(&url, "token").unwrap();
    let answer = browser.get(&format!("/.chatgate/login/{token}"));
    assert!(!answer.contains("<form"), "{}", answer.text());
}

#[test]
fn a_login_url_is_closed_after_so_many_failures() {
    let Some((gateway, _slapd)) = gateway("max_failures = 3") else {
        return;
    };
    let mut mallory = Visitor::new(&gateway, "c1");
    for _ in 0..2 {
        assert_eq!(mallory.log_in("alice", "wrong").status, 422);
    }
    assert_eq!(leads(&mallory.log_in("alice", "wrong")), "login-failures");
    assert_eq!(leads(&mallory.log_in("alice", PASSWORD)), "token-used");
    let waiting = mallory.browser.get(&continue_url(&mallory.challenge));
    assert_eq!((waiting.status, &*waiting.code()), (410, "login-failures"));
    assert!(!statement(&mut mallory.browser, "c1").contains(CANARY));
}

#[test]
fn a_name_is_not_tried_too_often_however_it_is_written() {
    let Some((gateway, _slapd)) =
        gateway("throttle = { user = 3, address = 1000, per = \"30m\" }\nmax_failures = 100")
    else {
        return;
    };
    for (n, name) in ["alice", "ALICE", " alice "].iter().enumerate() {
        let mut mallory = Visitor::new(&gateway, &format!("c{n}"));
        assert_eq!(mallory.log_in(name, "wrong").status, 422);
    }
    // Nor does the right password help, nor whether there is such a customer.
    let mut mallory = Visitor::new(&gateway, "c9");
    for name in ["alice", "nobody"] {
        if name == "nobody" {
            for _ in 0..3 {
                assert_eq!(mallory.log_in(name, "wrong").status, 422);
            }
        }
        let answer = mallory.log_in(name, PASSWORD);
        assert_eq!(answer.status, 429);
        assert_eq!(answer.header("retry-after"), Some("601"));
        assert!(notice(&answer).contains("too many"));
    }
    // Others are not concerned, and it is over some time.
    let mut bob = Visitor::new(&gateway, "c10");
    assert_eq!(leads(&bob.log_in("bob", "bob-password")), "login-succeeded");
    gateway.clock.advance(Duration::from_secs(600));
    let mut alice = Visitor::new(&gateway, "c11");
    assert_eq!(leads(&alice.log_in("alice", PASSWORD)), "login-succeeded");
    // Whoever knows the password has all tries again.
    let mut alice = Visitor::new(&gateway, "c12");
    for _ in 0..3 {
        assert_eq!(alice.log_in("alice", "wrong").status, 422);
    }
}

#[test]
fn a_customer_is_not_tried_too_often_by_whatever_name() {
    let Some((gateway, _slapd)) =
        gateway("throttle = { user = 3, address = 1000, per = \"30m\" }\nmax_failures = 100")
    else {
        return;
    };
    let names = ["alice", "alice@example.com", "al\u{ff49}ce"];
    let mut mallory = Visitor::new(&gateway, "c1");
    for name in names {
        assert_eq!(mallory.log_in(name, "wrong").status, 422);
    }
    // That these are one customer is not told either.
    for name in names {
        let answer = mallory.log_in(name, PASSWORD);
        assert_eq!((answer.status, &*notice(&answer)), (422, WRONG), "{name}");
    }
    gateway.clock.advance(Duration::from_secs(600));
    let mut alice = Visitor::new(&gateway, "c2");
    assert_eq!(
        leads(&alice.log_in("alice@example.com", PASSWORD)),
        "login-succeeded"
    );
}

/// An LDAP server that finds the same entry for everybody, and does not say whether a
/// password is right.
fn hesitant() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let message = |id: u8, operation: &[u8]| {
        let inside = [&[2, 1, id], operation].concat();
        [&[0x30, inside.len() as u8], &inside[..]].concat()
    };
    let answer = move |request: &[u8]| {
        // RFC 4511, section 4.2: a short message has its number at the same place.
        let long = usize::from(request[1] & 0x80 != 0) * usize::from(request[1] & 0x7f);
        let (id, operation) = (request[4 + long], request[5 + long]);
        let uid = b"\x30\x0c\x04\x03uid\x31\x05\x04\x03ann";
        let entry = [&b"\x64\x17\x04\x05cn=an\x30\x0e"[..], uid].concat();
        let done = b"\x65\x07\x0a\x01\x00\x04\x00\x04\x00";
        let found = [message(id, &entry), message(id, done)].concat();
        (operation == 0x63).then_some(found)
    };
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                while stream.read(&mut request).is_ok_and(|length| length > 7) {
                    if let Some(found) = answer(&request) {
                        stream.write_all(&found).unwrap();
                    }
                }
            });
        }
    });
    at
}

#[test]
fn a_server_that_hesitates_gives_no_more_tries() {
    let directory = format!(
        "[directory.people]\nkind = \"ldap\"\nurl = \"ldap://{}\"\nbase = \"dc=example,dc=com\"\n\
         timeout = \"500ms\"",
        hesitant()
    );
    let origin = bot();
    let gateway = Gateway::start(&tables(&origin, "", "max_failures = 2", &directory));
    let mut mallory = Visitor::new(&gateway, "c1");
    assert_eq!(mallory.log_in("ann", "first").status, 503);
    assert_eq!(leads(&mallory.log_in("ann", "second")), "login-failures");
}

#[test]
fn a_client_does_not_try_too_often_whatever_it_says_it_is() {
    let Some(slapd) = Slapd::start() else { return };
    let page = "throttle = { user = 1000, address = 3 }\nmax_failures = 100";
    let tables = tables(&bot(), "", page, &slapd.table(""));
    for (server, behind) in [("", 429), ("trusted_proxies = [\"127.0.0.0/8\"]", 422)] {
        let gateway = Gateway::start_with(server, &tables);
        let mut mallory = Visitor::new(&gateway, "c1");
        for n in 0..4 {
            let from = format!("192.0.2.{n}");
            let form = mallory
                .form(&format!("user{n}"), "wrong")
                .header("X-Forwarded-For", &from);
            let expected = if n < 3 { 422 } else { behind };
            assert_eq!(mallory.send(form).status, expected, "{n}");
        }
    }
}
