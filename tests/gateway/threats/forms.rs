//! Forms: what a backend folds into a managed member is not the client's to say.

use crate::setup::{OWNER, bot, channel, fresh, is_challenge, logged_in, usual};
use crate::support::message::contains;
use crate::support::{Gateway, Request};

const URLENCODED: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data; boundary=----WebKitFormBoundary7MA4";

fn part(disposition: &str, content: &str) -> String {
    let head = format!("Content-Disposition: form-data; {disposition}");
    format!("------WebKitFormBoundary7MA4\r\n{head}\r\n\r\n{content}\r\n")
}

const END: &str = "------WebKitFormBoundary7MA4--\r\n";

/// Names that some reader folds into `metadata.customer`.
const NAMES: &[&str] = &[
    "metadata[customer]",
    "metadata.customer",
    "Metadata[CUSTOMER]",
    "metadata[customer][id]",
    "metadata%5Bcustomer%5D",
    "%6detadata[cust%6fmer]",
];

fn post(target: &str, kind: &str, body: impl Into<Vec<u8>>) -> Request {
    let request = Request::new("POST", target).body(body);
    match kind {
        "" => request,
        kind => request.header("Content-Type", kind),
    }
}

#[test]
fn the_clients_copy_of_a_managed_field_is_gone() {
    let (gateway, origin) = usual();
    let mut wire = gateway.wire();
    for name in NAMES {
        let text = part("name=\"text\"", "a & b = c\r\n\u{0}");
        let forged = part(&format!("name=\"{name}\""), "spoofed");
        for target in ["/chat/c1/ask", "/plain/x", "/end/c2"] {
            for (kind, body, left) in [
                (
                    URLENCODED,
                    format!("a=%31&{name}=spoofed&b="),
                    "a=%31&b=".to_owned(),
                ),
                ("", format!("{name}=spoofed;b=+"), "b=+".to_owned()),
                (
                    MULTIPART,
                    format!("{text}{forged}{END}"),
                    format!("{text}{END}"),
                ),
            ] {
                let shown = format!("{body} as {kind} to {target}");
                assert_eq!(
                    wire.exchange(&post(target, kind, body)).status,
                    200,
                    "{shown}"
                );
                assert_eq!(
                    String::from_utf8(origin.last().body).unwrap(),
                    left,
                    "{shown}"
                );
            }
        }
    }
}

#[test]
fn a_form_with_two_readings_is_refused() {
    let (gateway, origin) = usual();
    let forged = part("name=\"metadata[customer]\"", "spoofed");
    let lines = forged.replace("\r\n", "\n");
    for (kind, body) in [
        (MULTIPART, lines.clone() + END),
        (MULTIPART, part("name=\"text\"", &lines) + END),
        (MULTIPART, forged.replace("name=", "name*=utf-8''") + END),
        (
            MULTIPART,
            forged.replace("form-data; ", "form-data;\r\n ") + END,
        ),
        (MULTIPART, forged.clone()),
        ("multipart/form-data", forged.clone() + END),
        (
            "multipart/form-data; boundary=x; boundary=y",
            forged.clone() + END,
        ),
        (
            "multipart/form-data; boundary=x; charset=utf-7",
            forged.clone() + END,
        ),
        (URLENCODED, r#"{"a":"&metadata[customer]=spoofed"}"#.into()),
    ] {
        for target in ["/chat/c1/ask", "/plain/x"] {
            let answer = gateway.wire().exchange(&post(target, kind, body.clone()));
            assert_eq!(
                (answer.status, &*answer.code()),
                (400, "bad-body"),
                "{kind} {body}"
            );
        }
    }
    let seen = origin.seen();
    assert!(!seen.iter().any(|seen| seen.contains("spoofed")));
}

#[test]
fn the_backend_reads_the_verified_customer_from_a_form() {
    let (gateway, origin) = usual();
    let chat = fresh();
    let mut browser = logged_in(&gateway, &chat);
    let target = format!("/chat/{chat}/ask");
    let text = part("name=\"text\"", "hi");
    let file = part(
        "name=\"f\"; filename=\"metadata[customer]\"\r\nContent-Type: image/png",
        "\u{89}PNG\r\n",
    );
    let (theirs, ours) = (
        part("name=\"metadata.customer\"", "eve"),
        part("name=\"metadata[customer]\"", "alice"),
    );
    for (kind, body, left) in [
        (
            URLENCODED,
            "metadata[customer]=eve&text=hi".into(),
            "text=hi&metadata%5Bcustomer%5D=alice".into(),
        ),
        (
            URLENCODED,
            "text=hi".into(),
            "text=hi&metadata%5Bcustomer%5D=alice".into(),
        ),
        (
            MULTIPART,
            format!("{text}{theirs}{file}{END}"),
            format!("{ours}{text}{file}{END}"),
        ),
        (
            MULTIPART,
            format!("{text}{END}"),
            format!("{ours}{text}{END}"),
        ),
    ] {
        let body: String = body;
        let left: String = left;
        assert_eq!(
            browser.send(post(&target, kind, body)).status,
            200,
            "{left}"
        );
        assert_eq!(String::from_utf8(origin.last().body).unwrap(), left);
        assert_eq!(
            origin.last().header("content-length"),
            Some(&*left.len().to_string())
        );
    }
}

#[test]
fn an_upload_streams_by_without_its_managed_part() {
    let (gateway, origin) = usual();
    let file = part("name=\"f\"; filename=\"x\"", &"\r\n--x".repeat(1 << 20));
    let body = part("name=\"metadata[customer]\"", "spoofed") + &file + END;
    let answer = gateway
        .wire()
        .exchange(&post("/plain/upload", MULTIPART, body));
    assert_eq!(answer.status, 200);
    assert!(origin.last().body == (file + END).as_bytes());

    let text = format!("text={}", "x".repeat(3 << 20));
    let body = format!("metadata.customer=spoofed&{text}");
    let answer = gateway
        .wire()
        .exchange(&post("/plain/upload", URLENCODED, body));
    assert_eq!(answer.status, 200);
    assert!(origin.last().body == text.as_bytes());
    assert!(
        !origin
            .seen()
            .iter()
            .any(|seen| contains(&seen.raw, "spoofed"))
    );
}

#[test]
fn a_form_names_the_interaction() {
    let origin = bot();
    let route = "[[channel.web.route]]\nkind = \"message\"\npath = \"/talk/{*rest}\"\ninteraction = { form = \"sender\" }\n";
    let gateway = Gateway::start(&channel(&origin, "", &format!("{route}{OWNER}")));
    let chat = fresh();
    let sender = part("name=\"sender\"", &chat);
    let mut browser = gateway.browser();
    for (kind, body, status) in [
        (MULTIPART, format!("{sender}{END}"), 200),
        (URLENCODED, format!("sender={chat}"), 200),
        (MULTIPART, format!("{sender}{sender}{END}"), 400),
        (MULTIPART, sender.clone(), 400),
        (URLENCODED, format!("sender={chat}&sender={chat}"), 400),
    ] {
        let answer = browser.send(post("/talk/statement", kind, body.clone()));
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        if status == 200 {
            assert_eq!(answer.json()["interaction"], *chat);
            assert!(is_challenge(&answer));
        }
    }
}
