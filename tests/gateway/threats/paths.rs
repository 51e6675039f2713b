//! Spellings of a path that two readers read differently.

use crate::setup::{OWNER, bot, channel, is_challenge, usual};
use crate::support::{Gateway, Request};

#[test]
fn ambiguous_spellings_are_refused_before_anything_else() {
    let (gateway, origin) = usual();
    for target in [
        "//deny",
        "/deny//",
        "/plain//deny",
        "/./deny",
        "/plain/.",
        "/plain/..",
        "/plain/../deny",
        "/plain/%2e%2e/deny",
        "/plain/%2E%2E/deny",
        "/plain/.%2e/deny",
        "/plain/%2e/deny",
        "/%2e/deny",
        "/plain/..%2fdeny",
        "/plain%2f..%2fdeny",
        "/plain/%2f",
        "/plain/%2F",
        "/plain/%5c",
        "/plain/%5C..%5Cdeny",
        "/plain\\..\\deny",
        "/plain/\\deny",
        "/deny;x",
        "/deny;jsessionid=1",
        "/plain/..;/deny",
        "/;/deny",
        "/deny%3bx",
        "/deny%00",
        "/plain/%00",
        "/deny%0a",
        "/deny%0d%0a",
        "/deny%09",
        "/deny%7f",
        "/plain/%c0%af",
        "/plain/%c0%ae%c0%ae/deny",
        "/plain/%e0%80%af",
        "/plain/%f0%80%80%af",
        "/plain/%ff",
        "/plain/%",
        "/plain/%2",
        "/plain/%zz",
        "/plain/%u002e",
        "/%64eny",
        "/d%65ny",
        "/plain/%41",
        "/plain/%7e",
        "/deny#",
        "/deny#x",
        "/plain/x#/../../deny",
        "/plain/x?a#b",
        "/#/deny",
        "*",
        "http://127.0.0.1/deny",
        "http://other.example/plain/x",
        "plain/x",
        "/plain/\u{fe}",
    ] {
        for method in ["GET", "POST", "OPTIONS"] {
            let request = Request::new(method, target);
            let answer = gateway.wire().exchange(&request);
            assert_eq!(answer.status, 400, "{method} {target}: {}", answer.text());
        }
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn what_is_decided_on_is_forwarded_byte_for_byte() {
    let (gateway, origin) = usual();
    let mut wire = gateway.wire();
    let mut h2 = gateway.h2();
    for target in [
        "/plain/x",
        "/plain/a%20b",
        "/plain/a+b",
        "/plain/~a_b-c.d",
        "/plain/a:b@c!$&'()*,=d",
        "/plain/%E2%82%AC",
        "/plain/a%3Ab",
        "/plain/...",
        "/plain/..x",
        "/plain/x.",
        "/plain/DENY",
        "/plain/x?",
        "/plain/x?a=//../%2e;%00",
        "/plain/x?/deny",
        "/plain/x??",
        "/plain/x?q=%zz",
        "/plain/deny/",
    ] {
        for by_h2 in [false, true] {
            origin.clear();
            let request = Request::get(target);
            let answer = if by_h2 {
                h2.exchange(&request)
            } else {
                wire.exchange(&request)
            };
            assert_eq!(answer.status, 200, "{target}: {}", answer.text());
            assert_eq!(origin.last().target, target);
        }
    }
}

#[test]
fn a_pattern_matches_the_whole_path_and_only_the_path() {
    let (gateway, origin) = usual();
    let mut browser = gateway.browser();
    for target in ["/deny", "/deny?", "/deny?x=/plain/y", "/deny?/plain/x"] {
        assert_eq!(browser.get(target).code(), "denied", "{target}");
    }
    for target in [
        "/",
        "/denyx",
        "/deny/",
        "/x/deny",
        "/DENY",
        "/Plain/x",
        "/plainx/y",
        "/x/plain/y",
        "/chat/c1",
        "/chat",
        "/?/plain/x",
        "/x?/plain/x",
    ] {
        assert_eq!(browser.get(target).code(), "no-route", "{target}");
    }
    assert_eq!(origin.count(), 0);
    assert!(is_challenge(&browser.get("/chat/c1/statement?x=/plain/y")));
}

#[test]
fn a_head_is_judged_under_every_spelling_that_its_get_is() {
    let origin = bot();
    let tables = format!(
        "{OWNER}[[channel.web.route]]\nkind = \"message\"\nmethod = \"GET\"\n\
         path = \"/chats/{{id}}/messages\"\ninteraction = {{ path = \"id\" }}\n\
         [[channel.web.route]]\nkind = \"pass\"\npath = \"/{{*rest}}\"\n"
    );
    let gateway = Gateway::start(&channel(&origin, "", &tables));
    for method in ["GET", "HEAD"] {
        for target in ["/Chats/7/messages", "/chats/7/messages/"] {
            let answer = gateway.wire().exchange(&Request::new(method, target));
            assert_eq!(answer.status, 400, "{method} {target}");
        }
        let asked = Request::new(method, "/chats/7/messages");
        assert_eq!(gateway.wire().exchange(&asked).status, 200, "{method}");
    }
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_dot_in_a_pattern_is_a_dot() {
    let origin = bot();
    let tables = format!(
        "{OWNER}[[channel.web.route]]\nkind = \"pass\"\npath = \"/v1.0/status\"\n\
         [[channel.web.route]]\nkind = \"deny\"\nhost = \"*.example.com\"\npath = \"/v1.0/status\"\n"
    );
    let gateway = Gateway::start(&channel(&origin, "", &tables));
    let code = |host: &str, target: &str| {
        gateway
            .wire()
            .exchange(&Request::get(target).header("Host", host))
            .code()
    };
    assert_eq!(code("x", "/v1.0/status"), "");
    assert_eq!(code("x", "/v1x0/status"), "no-route");
    for host in ["a.example.com", "A.EXAMPLE.COM", "a.example.com:8080"] {
        assert_eq!(code(host, "/v1.0/status"), "denied", "{host}");
    }
    for host in ["example.com", "axexample.com", "a.example.com.evil.example"] {
        assert_eq!(code(host, "/v1.0/status"), "", "{host}");
    }
    for host in ["", "a b", "a/b", "user@a.example.com", "a.example.com/x"] {
        assert_eq!(
            gateway
                .wire()
                .exchange(&Request::get("/v1.0/status").header("Host", host))
                .status,
            400,
            "{host}"
        );
    }
}

#[test]
fn http_1_1_without_a_host_is_refused() {
    let (gateway, origin) = usual();
    let mut wire = gateway.wire();
    wire.send("GET /plain/x HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert_eq!(wire.answer("GET").status, 400);
    assert_eq!(origin.count(), 0);
}
