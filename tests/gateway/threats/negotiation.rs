//! Content negotiation: the same answer in a type in which no flag can be seen.

use crate::setup::{self, CANARY, OWNER, channel, fresh, login_url};
use crate::support::{Gateway, Origin, Reply, Request};

/// An origin that renders its answers, flagged ones too, in the type that is asked for.
fn negotiating() -> Origin {
    Origin::start(|seen| {
        let accepted: Vec<_> = seen.all("accept").collect();
        let accepted = accepted.join(",").to_lowercase();
        let rendered = [
            (
                "application/xml",
                format!("<a><text>{CANARY}</text><flag>true</flag></a>"),
            ),
            ("text/html", format!("<p>{CANARY}")),
            ("text/*", format!("{CANARY}: log in first")),
            (
                "application/yaml",
                format!("text: {CANARY}\nauthentication_required: true\n"),
            ),
            (
                "application/msgpack",
                format!("\u{2}text{CANARY}authentication_required"),
            ),
            (
                "text/csv",
                format!("text,authentication_required\n{CANARY},true\n"),
            ),
        ];
        let asked = rendered
            .into_iter()
            .find(|(kind, _)| accepted.contains(kind));
        match asked {
            Some((kind, text)) => Reply::new(200, text).header("Content-Type", kind),
            None => setup::answer(seen),
        }
    })
}

#[test]
fn a_client_chooses_no_type_that_is_not_judged() {
    let origin = negotiating();
    let gateway = Gateway::start(&channel(&origin, "resume = \"replay\"", OWNER));
    let accepts: &[&[&str]] = &[
        &["application/xml"],
        &["text/html;q=1.0, application/json;q=0.1"],
        &["TEXT/HTML, application/yaml, */*;q=0.1"],
        &["text/*"],
        &["application/json", "application/msgpack"],
        &["text/csv", "application/xml"],
        &["application/json;a=text/html"],
    ];
    for accepts in accepts {
        let ask = || {
            let request = Request::get(&format!("/chat/{}/statement", fresh()));
            let add = |request: Request, accept: &&str| request.header("Accept", accept);
            accepts.iter().fold(request, add)
        };
        let request = ask();
        for answer in [
            gateway.wire().exchange(&request),
            gateway.h2().exchange(&request),
        ] {
            assert!(!answer.contains(CANARY), "{accepts:?}: {}", answer.text());
        }
        // Sent again after the login, it asks for no more.
        let mut browser = gateway.browser();
        origin.clear();
        let challenge = browser.send(ask());
        assert_eq!(
            gateway.site.log_in(&login_url(&challenge), "alice").status,
            200
        );
        let answer = browser.get(&setup::continue_url(&challenge));
        assert_eq!(
            answer.json()["text"],
            format!("statement {CANARY}"),
            "{accepts:?}"
        );
        assert_eq!(origin.count(), 2, "{accepts:?}");
    }
    // What can be judged is asked for as the client does, and so is all on other routes.
    let asks = |target: &str, accept: &str| {
        gateway
            .wire()
            .exchange(&Request::get(target).header("Accept", accept));
        let seen = origin.last();
        seen.all("accept").map(str::to_owned).collect::<Vec<_>>()
    };
    for accept in ["*/*", "application/problem+json;q=0.5, image/*"] {
        assert_eq!(asks("/chat/c1/ask", accept), [accept]);
    }
    assert_eq!(asks("/plain/x", "text/html"), ["text/html"]);
    gateway.wire().exchange(&Request::get("/chat/c1/ask"));
    assert_eq!(origin.last().header("accept"), None);
}
