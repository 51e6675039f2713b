//! What may be seen nowhere: secrets, tokens, and the sides of a withheld answer.

use std::collections::BTreeSet;

use serde_json::json;

use crate::setup::{
    self, CANARY, OWNER, bot, challenged, channel, continue_url, fresh, is_challenge, logged_in,
    login_url, statement, usual,
};
use crate::support::{Answer, Framing, Gateway, KEY, Origin, Reply, Request, gateway};

fn sealed(answer: &Answer, shown: &str) {
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{shown}");
    assert_eq!(
        answer.header("referrer-policy"),
        Some("no-referrer"),
        "{shown}"
    );
    assert_eq!(
        answer.header("x-content-type-options"),
        Some("nosniff"),
        "{shown}"
    );
}

#[test]
fn our_own_answers_are_kept_by_no_cache_and_give_no_referrer() {
    let (gateway, _origin) = usual();
    for (method, target) in [
        ("GET", "/deny"),
        ("GET", "/nowhere"),
        ("GET", "/a//b"),
        ("POST", "/.chatgate/return/web"),
        ("GET", "/.chatgate/return/web?return=x"),
        ("GET", "/.chatgate/done/login-succeeded"),
        ("GET", "/.chatgate/continue/x"),
        ("PUT", "/.chatgate/return/web"),
        ("GET", "/.chatgate/x"),
        ("GET", "/chat/c1/statement"),
        ("HEAD", "/deny"),
    ] {
        let answer = gateway.wire().exchange(&Request::new(method, target));
        sealed(&answer, target);
    }
    let (mut browser, url) = challenged(&gateway, "c2");
    let jwt = gateway.site.jwt(&gateway.site.claims(&url, "alice"));
    let answer = browser.get(&format!("{}&return={jwt}", gateway.site.callback(&url)));
    // The proof leaves the address bar.
    assert_eq!(answer.status, 303);
    assert_eq!(
        answer.header("location"),
        Some("/.chatgate/done/login-succeeded")
    );
    sealed(&answer, "return");
    let page = browser.get("/.chatgate/done/login-succeeded");
    sealed(&page, "page");
    assert!(
        page.header("content-security-policy")
            .unwrap()
            .contains("default-src 'none'")
    );
    // What needed the login is kept by no shared cache either.
    let answer = statement(&mut browser, "c2");
    assert!(answer.contains(CANARY));
    assert_eq!(answer.header("cache-control"), Some("private, no-store"));
}

#[test]
fn what_needed_the_login_is_kept_by_no_cache_though_nothing_is_taken_off_it() {
    let origin = Origin::start(|seen| {
        let reply = match seen.target.rsplit('/').next() {
            Some("head") => Reply::new(200, CANARY).header("X-Auth-Required", "yes"),
            Some("open") => Reply::new(200, "open"),
            Some("long") => Reply::json(&json!({"fill": CANARY.repeat(1000)})),
            _ => Reply::json(&json!({"authentication_required": true, "secret": CANARY})),
        };
        reply.header("Cache-Control", "public, max-age=1000")
    });
    let tables = "[channel.web.inspect]\nmax_body = \"1KiB\"\n";
    let text = channel(&origin, "", &format!("{OWNER}{tables}"));
    let gateway = Gateway::start(&text.replace("strip = true\n", ""));
    let mut browser = gateway.browser();
    let open = browser.get("/chat/c1/open");
    assert_eq!(open.text(), "open");
    // The first one sets the owner's cookie.
    let open = browser.get("/chat/c1/open");
    assert_eq!(open.header("cache-control"), Some("public, max-age=1000"));
    let url = login_url(&browser.get("/chat/c1/statement"));
    assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
    for path in ["statement", "head", "long"] {
        let answer = browser.get(&format!("/chat/c1/{path}"));
        assert!(answer.contains(CANARY), "{path}");
        let cached: Vec<_> = answer.all("cache-control").collect();
        assert_eq!(cached, ["private, no-store"], "{path}");
    }
}

#[test]
fn only_what_the_template_names_comes_of_a_withheld_answer() {
    let origin = Origin::start(|seen| {
        let size: usize = seen.target.rsplit('/').next().unwrap().parse().unwrap();
        let body = json!({"authentication_required": true, "fill": CANARY.repeat(size)});
        let mut reply = Reply::new(200 + (size % 4) as u16, body.to_string())
            .header("Content-Type", "application/json")
            .header("Cache-Control", "public, max-age=1000")
            .header("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT");
        for name in [
            "Set-Cookie",
            "ETag",
            "Link",
            "Location",
            "Content-Location",
            "Content-Disposition",
            "Refresh",
            "Server-Timing",
            "Server",
            "Via",
            "WWW-Authenticate",
            "Authentication-Info",
            "X-Custom",
            "Content-Language",
            "Digest",
            "Content-MD5",
            "Alt-Svc",
            "Trailer",
            "Age",
            "Expires",
            "Vary",
            "Warning",
            "Retry-After",
            "Access-Control-Allow-Origin",
            "Access-Control-Expose-Headers",
            "Clear-Site-Data",
        ] {
            reply = reply.header(name, CANARY);
        }
        reply.reason = CANARY.into();
        reply
            .framing(Framing::Chunked)
            .trailer("X-End", CANARY)
            .after(103, &[("Link", CANARY)])
    });
    let gateway = Gateway::start(&channel(&origin, "interaction_label = \"hash\"", OWNER));
    let mut lengths = BTreeSet::new();
    let mut names = BTreeSet::new();
    for size in 0..20 {
        for by_h2 in [false, true] {
            let request = Request::get(&format!("/chat/{}/{size}", fresh()));
            let answer = match by_h2 {
                true => gateway.h2().exchange(&request),
                false => gateway.wire().exchange(&request),
            };
            assert!(is_challenge(&answer) && answer.whole, "{}", answer.text());
            assert!(
                !answer.contains(CANARY) && !answer.contains("Nov 1994"),
                "{:?}",
                answer.headers
            );
            assert_eq!(answer.status, 200);
            assert!(answer.interim.is_empty() && answer.trailers.is_empty());
            lengths.insert(answer.body.len());
            names.insert(
                answer
                    .headers
                    .iter()
                    .map(|(name, _)| name.to_lowercase())
                    .collect::<Vec<_>>(),
            );
        }
    }
    assert_eq!(lengths.len(), 1, "the length tells: {lengths:?}");
    assert!(names.len() <= 2, "the headers tell: {names:?}");
}

#[test]
fn a_configuration_prints_no_secret() {
    let origin = bot();
    let secret = "canary-0123456789abcdef0123456789";
    let tables = format!(
        "{OWNER}[[channel.web.identity]]\nname = \"site\"\nkind = \"jwt\"\nfrom = {{ cookie = \"x\" }}\n\
         keys = [{{ algorithm = \"HS256\", secret = \"{secret}\" }}]\n\
         [[channel.web.route]]\nkind = \"pre-chat\"\npath = \"/start/{{id}}\"\n\
         interaction = {{ path = \"id\" }}\n\
         [channel.web.side_call]\nurl = \"http://127.0.0.1:1/\"\njson = '{{}}'\n\
         sign = {{ kind = \"jwt\", algorithm = \"HS256\", secret = \"{secret}\", claims = '{{}}' }}\n\
         [[channel.web.identity]]\nname = \"widget\"\nkind = \"hmac\"\nidentifier = {{ query = \"a\" }}\n\
         hash = {{ query = \"b\" }}\nsecret = \"{secret}\"\n"
    );
    let text = format!(
        "[server]\npublic_url = \"http://127.0.0.1:1\"\n[[listener]]\naddress = \"127.0.0.1:1\"\n{}",
        channel(&origin, "", &tables)
    );
    let printed = format!("{:?}", gateway::parse(&text));
    let raw = KEY.trim_start_matches("whsec_");
    for secret in [secret, raw, "0123456789abcdef0123456789abcdef"] {
        assert!(!printed.contains(secret));
        let bytes = format!("{:?}", secret.as_bytes());
        assert!(!printed.contains(bytes.trim_matches(['[', ']'])));
    }
}

#[test]
fn continue_urls_and_tokens_are_not_guessable_and_not_alike() {
    let (gateway, _origin) = usual();
    let mut seen = BTreeSet::new();
    for chat in 0..50 {
        let mut browser = gateway.browser();
        let challenge = statement(&mut browser, &format!("c{chat}"));
        for url in [login_url(&challenge), continue_url(&challenge)] {
            let token = crate::support::browser::parameter(&url, "token")
                .unwrap_or_else(|| url.rsplit('/').next().unwrap().to_owned());
            assert!(token.len() >= 43, "{token}");
            assert!(seen.insert(token), "a token came twice");
        }
        let cookie = browser.cookies.values().next().unwrap();
        assert!(cookie.len() >= 22 && seen.insert(cookie.clone()));
    }
    let challenge = setup::statement(&mut gateway.browser(), "c99");
    let token = login_url(&challenge);
    // The one token does not do the other's work.
    let token = crate::support::browser::parameter(&token, "token").unwrap();
    assert_eq!(
        gateway
            .browser()
            .get(&format!("/.chatgate/continue/{token}"))
            .code(),
        "nothing-held"
    );
}

#[test]
fn an_owners_cookie_is_out_of_a_scripts_reach() {
    let origin = bot();
    let owner = "[channel.web.owner]\ncookie = \"own\"\n";
    let gateway = Gateway::start(&channel(&origin, "", owner));
    let answer = gateway.h2().exchange(&Request::get("/chat/c1/ask"));
    let cookie = answer.header("set-cookie").unwrap().to_owned();
    assert!(cookie.starts_with("__Host-chatgate="), "{cookie}");
    let attributes: Vec<_> = cookie.split("; ").skip(1).collect();
    for attribute in ["Path=/", "HttpOnly", "Secure"] {
        assert!(attributes.contains(&attribute), "{cookie}");
    }
    assert!(
        attributes.iter().any(|a| a.starts_with("SameSite=")),
        "{cookie}"
    );
    assert!(
        !attributes.iter().any(|a| a.starts_with("Domain")),
        "{cookie}"
    );
    // A customer who has it gets no other.
    let (usual, _origin) = usual();
    let mut browser = logged_in(&usual, "c1");
    assert!(browser.get("/chat/c1/ask").header("set-cookie").is_none());
}
