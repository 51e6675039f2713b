//! The way back from the login: forged, changed, repeated, led astray.

use std::time::Duration;

use chatgate::login::page::{LoginUrl, Parameters};
use chatgate::login::{LoginPage, LoginToken, SecurityKeys, page::Label};
use proptest::prelude::*;
use serde_json::json;

use crate::setup::{
    CANARY, OWNER, bot, challenged, channel, is_challenge, login_url, statement, usual,
};
use crate::support::{Gateway, KEY, Request};

#[test]
fn the_way_back_is_never_taken_from_the_request() {
    let origin = bot();
    let configured = "https://www.example.com/chat?x=1";
    let settings = [String::new(), format!("return_to = \"{configured}\"")];
    for settings in settings {
        let gateway = Gateway::start(&channel(&origin, &settings, OWNER));
        let ours = if settings.is_empty() {
            "/.chatgate/done/"
        } else {
            configured
        };
        for (number, payload) in [
            "https://evil.example/",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "https:evil.example",
            "http://www.example.com@evil.example",
            "javascript:alert(1)",
            "data:text/html,x",
            "%2f%2fevil.example",
            "https://evil.example%00.example.com",
            "https://www.example.com.evil.example",
            "\thttps://evil.example",
        ]
        .iter()
        .enumerate()
        {
            let (_browser, url) = challenged(&gateway, &format!("c{number}"));
            let jwt = gateway.site.jwt(&gateway.site.claims(&url, "alice"));
            let genuine = format!("{}&return={jwt}", gateway.site.callback(&url));
            let encoded: String = payload.bytes().map(|byte| format!("%{byte:02x}")).collect();
            for name in [
                "return_to",
                "redirect",
                "redirect_uri",
                "next",
                "url",
                "rd",
                "continue",
                "r",
                "state",
            ] {
                let answer = follow(
                    &gateway,
                    Request::get(&format!("{genuine}&{name}={encoded}")),
                    payload,
                );
                let place = answer.header("location").unwrap_or_default().to_owned();
                assert!(
                    place.starts_with("/.chatgate/done/return-"),
                    "{name}={payload}: {place}"
                );
            }
            let headed = Request::get(&genuine)
                .header("Referer", "https://evil.example/")
                .header("Origin", "https://evil.example")
                .header("X-Forwarded-Host", "evil.example")
                .header("Host", "evil.example");
            let answer = follow(&gateway, headed, payload);
            let place = answer.header("location").unwrap_or_default();
            assert!(place.starts_with(ours), "{payload}: {place}");
        }
        // Nor from the page's own address.
        for target in [
            "/.chatgate/done//evil.example",
            "/.chatgate/done/https:evil",
            "/.chatgate/done/x?next=//evil.example",
        ] {
            let answer = gateway.browser().get(target);
            assert!(
                answer.header("location").is_none() && !answer.contains("evil"),
                "{target}"
            );
        }
    }
}

fn follow(gateway: &Gateway, request: Request, payload: &str) -> crate::support::Answer {
    let answer = gateway.wire().exchange(&request);
    assert!(
        !answer.contains("evil.example"),
        "{payload}: {}",
        String::from_utf8_lossy(&answer.raw)
    );
    assert_eq!(answer.status, 303, "{payload}: {}", answer.text());
    answer
}

#[test]
fn a_login_url_that_was_changed_is_not_ours() {
    let (gateway, _origin) = usual();
    let (_browser, url) = challenged(&gateway, "c1");
    let site = &gateway.site;
    assert!(site.trusts(&url));
    let (base, query) = url.split_once('?').unwrap();
    let pairs: Vec<&str> = query.split('&').collect();
    let join = |pairs: &[&str]| format!("{base}?{}", pairs.join("&"));
    for index in 0..pairs.len() {
        let without: Vec<_> = pairs
            .iter()
            .enumerate()
            .filter(|(i, _)| *i != index)
            .map(|(_, p)| *p)
            .collect();
        assert!(!site.trusts(&join(&without)), "without {}", pairs[index]);
        let mut twice = pairs.clone();
        twice.insert(index, pairs[index]);
        assert!(!site.trusts(&join(&twice)), "twice {}", pairs[index]);
        let changed = format!("{}x", pairs[index]);
        let mut other = pairs.clone();
        other[index] = &changed;
        assert!(!site.trusts(&join(&other)), "{changed}");
        for second in index + 1..pairs.len() {
            let mut swapped = pairs.clone();
            swapped.swap(index, second);
            assert!(
                !site.trusts(&join(&swapped)),
                "{index} and {second} swapped"
            );
        }
    }
    for added in [
        format!("{url}&x=1"),
        format!("{url}&"),
        url.replace('?', "?x=1&"),
        url.to_uppercase(),
        base.to_owned(),
    ] {
        assert!(!site.trusts(&added), "{added}");
    }
}

#[test]
fn a_return_that_was_changed_is_refused() {
    let (gateway, _origin) = usual();
    let (mut browser, url) = challenged(&gateway, "c1");
    let site = &gateway.site;
    let callback = site.callback(&url);
    let members = site.success(&url, "alice");
    let body = members.to_string();
    let genuine = site.signed(&callback, body.as_bytes());
    let refused = |request: &Request, shown: &str| {
        let answer = gateway.wire().exchange(request);
        assert!(
            (400..500).contains(&answer.status),
            "{shown}: {} {}",
            answer.status,
            answer.text()
        );
        assert!(!answer.code().is_empty(), "{shown}");
    };
    for (name, value) in members.as_object().unwrap() {
        let mut other = members.clone();
        other[name] = json!(format!("{}x", value.as_str().unwrap()));
        let mut request = genuine.clone();
        request.body = other.to_string().into();
        refused(&request, &format!("changed {name} under the old signature"));
        let signed = |body: &str| site.signed(&callback, body.as_bytes());
        let mut less = members.clone();
        less.as_object_mut().unwrap().remove(name);
        refused(&signed(&less.to_string()), &format!("without {name}"));
        let twice = format!("{{\"{name}\":{value},{}", &body[1..]);
        refused(&signed(&twice), &format!("twice {name}"));
        if name != "subject" {
            refused(
                &signed(&other.to_string()),
                &format!("changed {name}, signed"),
            );
        }
        for odd in [
            json!(null),
            json!(1),
            json!([value]),
            json!({"a": value}),
            json!(""),
        ] {
            let mut other = members.clone();
            other[name] = odd;
            refused(&signed(&other.to_string()), &format!("odd {other}"));
        }
    }
    for odd in [
        "",
        "null",
        "[]",
        "{}",
        "x",
        &body[1..],
        &format!("{body}{body}"),
        &format!("[{body}]"),
    ] {
        refused(&site.signed(&callback, odd.as_bytes()), odd);
    }
    let mut unknown = members.clone();
    unknown["admin"] = json!(true);
    refused(
        &site.signed(&callback, unknown.to_string().as_bytes()),
        "an unknown member",
    );
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let place = genuine
            .headers
            .iter()
            .position(|(known, _)| known == name)
            .unwrap();
        let mut request = genuine.clone();
        request.headers.remove(place);
        refused(&request, &format!("without {name}"));
        let mut request = genuine.clone();
        request.headers.push(request.headers[place].clone());
        refused(&request, &format!("twice {name}"));
        let mut request = genuine.clone();
        request.headers[place].1 += "1";
        refused(&request, &format!("changed {name}"));
    }
    for odd in [
        format!("{callback}&token=x"),
        format!("{callback}&x=1"),
        format!("{callback}x"),
        callback.replace("token=", "return="),
        callback.replace("/web", "/other"),
        callback.replace("/web", "/"),
        callback.replace("/web", "/WEB"),
    ] {
        refused(&site.signed(&odd, body.as_bytes()), &odd);
    }
    for minutes in [-60, -6, 6, 60_i64] {
        let millis = gateway
            .clock
            .now()
            .millis()
            .saturating_add_signed(minutes * 60_000);
        let at = chatgate::time::Time::from_millis(millis);
        refused(
            &site.signed_at(&callback, body.as_bytes(), at),
            &format!("{minutes} min off"),
        );
    }
    assert!(is_challenge(&browser.get("/chat/c2/statement")));
    // None of it used the token up.
    assert_eq!(gateway.wire().exchange(&genuine).status, 200);
    assert!(statement(&mut browser, "c1").contains(CANARY));
}

#[test]
fn a_browsers_return_that_was_changed_is_refused() {
    let (gateway, _origin) = usual();
    let (mut browser, url) = challenged(&gateway, "c1");
    let site = &gateway.site;
    let callback = site.callback(&url);
    let claims = site.claims(&url, "alice");
    let place = |query: &str| {
        let answer = gateway.browser().get(&format!("{callback}{query}"));
        assert_eq!(answer.status, 303, "{query}");
        answer.header("location").unwrap().to_owned()
    };
    let refused = |query: &str| {
        let place = place(query);
        assert!(!place.contains("login-succeeded"), "{query}: {place}");
        assert!(!place.contains("eyJ"), "the proof stays in the address bar");
    };
    let jwt = site.jwt(&claims);
    for (name, value) in claims.as_object().unwrap() {
        for odd in [
            json!(null),
            json!("x"),
            json!([value]),
            json!({}),
            json!(true),
            json!(1e300),
            json!(-1),
            json!(0),
        ] {
            if name == "sub" && odd == "x" {
                continue;
            }
            let mut other = claims.clone();
            other[name] = odd;
            refused(&format!("&return={}", site.jwt(&other)));
        }
        let mut less = claims.clone();
        less.as_object_mut().unwrap().remove(name);
        refused(&format!("&return={}", site.jwt(&less)));
    }
    for query in [
        String::new(),
        "&return=".into(),
        format!("&return={jwt}&return={jwt}"),
        format!("&return={jwt}&x=1"),
        format!("&return={jwt}&token=x"),
        format!("&return={}", &jwt[..jwt.len() - 2]),
        format!("&return={jwt}x"),
        format!("&return={jwt}="),
        format!("&Return={jwt}"),
        format!("&return={}", jwt.replace('.', "%2e")),
        format!("&return={jwt}.x"),
    ] {
        refused(&query);
    }
    assert!(is_challenge(&browser.get("/chat/c2/statement")));
    assert!(place(&format!("&return={jwt}")).contains("login-succeeded"));
    assert!(statement(&mut browser, "c1").contains(CANARY));
}

#[test]
fn nothing_counts_twice() {
    let (gateway, _origin) = usual();
    let site = &gateway.site;
    let (mut browser, older) = challenged(&gateway, "c1");
    let newer = login_url(&statement(&mut browser, "c1"));
    assert_eq!(site.log_in(&older, "alice").code(), "token-revoked");

    let callback = site.callback(&newer);
    let request = site.signed(
        &callback,
        site.success(&newer, "alice").to_string().as_bytes(),
    );
    assert_eq!(site.send(request.clone()).status, 200);
    assert_eq!(site.send(request).code(), "token-used");
    assert_eq!(site.log_in(&newer, "alice").code(), "token-used");
    let jwt = site.jwt(&site.claims(&newer, "alice"));
    let answer = gateway.browser().get(&format!("{callback}&return={jwt}"));
    assert_eq!(
        answer.header("location"),
        Some("/.chatgate/done/token-used")
    );

    let (_, late) = challenged(&gateway, "c2");
    gateway.clock.advance(Duration::from_secs(10 * 60 + 1));
    assert_eq!(site.log_in(&late, "alice").code(), "token-expired");
    let (mut ended, revoked) = challenged(&gateway, "c3");
    ended.send(Request::new("POST", "/end/c3"));
    assert_eq!(site.log_in(&revoked, "alice").code(), "token-revoked");
    assert!(is_challenge(&statement(&mut ended, "c3")));

    // Neither a failure nor a cancellation is a login, and both use the token up.
    for (outcome, chat) in [("failure", "c4"), ("cancel", "c5")] {
        let (mut browser, url) = challenged(&gateway, chat);
        assert_eq!(site.end(&url, outcome).status, 200, "{outcome}");
        assert_eq!(site.log_in(&url, "alice").code(), "token-used", "{outcome}");
        assert!(is_challenge(&statement(&mut browser, chat)), "{outcome}");
    }
}

#[test]
fn a_return_counts_at_its_own_channel_only() {
    let origin = bot();
    let first = channel(&origin, "", OWNER);
    let second = first
        .replace("channel.web", "channel.app")
        .replace("path = \"/", "path = \"/app/")
        .replace(&origin.upstream("bot"), "");
    let gateway = Gateway::start(&format!("{first}{second}"));
    let site = &gateway.site;
    let (mut browser, url) = challenged(&gateway, "c1");
    let elsewhere = site.callback(&url).replace("/return/web", "/return/app");
    let mut members = site.success(&url, "alice");
    assert_eq!(site.post(&elsewhere, &members).code(), "return-channel");
    members["channel"] = json!("app");
    let code = site.post(&elsewhere, &members).code();
    assert!(
        ["return-channel", "token-unknown"].contains(&code.as_str()),
        "{code}"
    );
    assert!(is_challenge(&statement(&mut browser, "c1")));
}

proptest! {
    /// What is signed names its fields without doubt: two sets of values never
    /// yield one message.
    #[test]
    fn two_sets_of_values_never_share_a_signature(
        a in prop::array::uniform3("[a-c&=%?/ é#]{0,6}"),
        b in prop::array::uniform3("[a-c&=%?/ é#]{0,6}"),
    ) {
        let keys = SecurityKeys::parse([KEY]).unwrap();
        let login = LoginPage::new("http://x.example/", Parameters::default(), Label::Id).unwrap();
        let token = LoginToken::generate();
        let signature = |values: &[String; 3]| {
            let url = login.url(&keys, &LoginUrl {
                token: &token,
                callback: "http://y.example/",
                channel: &values[0],
                interaction: &values[1],
                level: &values[2],
                now: chatgate::time::Time::from_secs(1),
            });
            url.rsplit_once("signature=").unwrap().1.to_owned()
        };
        prop_assert_eq!(signature(&a) == signature(&b), a == b);
    }
}

#[test]
fn a_level_that_nobody_knows_costs_no_token() {
    let (gateway, _origin) = usual();
    let (mut browser, url) = challenged(&gateway, "c1");
    let callback = gateway.site.callback(&url);
    for level in ["anonymous", "best", ""] {
        let mut success = gateway.site.success(&url, "alice");
        success["level"] = level.into();
        let told = gateway.site.post(&callback, &success);
        assert_eq!(
            (told.status, told.code()),
            (400, "return-malformed".into()),
            "{level}"
        );
    }
    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
    assert!(statement(&mut browser, "c1").contains(CANARY));
}
