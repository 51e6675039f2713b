//! `explain` and the gateway cannot disagree: for random requests and answers,
//! what it says is what a client gets.

use std::path::Path;
use std::sync::{Arc, Mutex};

use chatgate::decision::ForAnswer;
use chatgate::gateway::explain::{self, Explanation, Supposed};
use chatgate::identity::Caches;
use chatgate::outbound::Outbound;
use chatgate::reason::Reason;
use chatgate::time::{Clock, Time};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::setup;
use crate::support::{Answer, Gateway, Origin, Reply, Request, login};

/// Marks the backend's own answer.
const BACKEND: &str = "BACKEND-5e1f";

#[derive(Clone, Debug)]
struct Case {
    /// Which of the two gateways.
    plain: bool,
    method: &'static str,
    path: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    asked: &'static str,
    status: u16,
    answer_headers: Vec<(&'static str, &'static str)>,
    body: String,
    authenticated: bool,
}

fn cases() -> impl Strategy<Value = Case> {
    let method = prop::sample::select(vec!["GET", "POST", "PUT", "OPTIONS"]);
    let path = prop::sample::select(vec![
        "/chat/ID/statement",
        "/chat/ID/a/b",
        "/chat/ID//b",
        "/chat/ID/%2e%2e/b",
        "/chat/ID/a;b",
        "/plain/x",
        "/deny",
        "/nowhere",
        "/end/ID",
        "/leave/ID",
        "/verified/ID/a",
        "/get/ID/a",
        "/get-denied",
        "/.chatgate/nothing",
    ]);
    let headers = prop::sample::subsequence(
        vec![
            ("X-Customer-Id", "mallory"),
            ("x_customer_id", "mallory"),
            ("Connection", "x-customer-id"),
            ("Upgrade", "foo"),
            ("X-Forwarded-For", "10.0.0.1"),
            ("Authorization", "Bearer a"),
            ("authorization", "Bearer b"),
            ("Content-Encoding", "gzip"),
            ("Content-Type", "application/json"),
        ],
        0..4,
    );
    let preflight = prop::sample::select(vec![
        &[][..],
        &[],
        &[("Origin", "https://shop.example")],
        &[
            ("Origin", "https://shop.example"),
            ("Access-Control-Request-Method", "GET"),
        ],
        &[
            ("Origin", "https://other.example"),
            ("Access-Control-Request-Method", "GET"),
        ],
        &[
            ("Origin", "https://shop.example"),
            ("Access-Control-Request-Method", "PUT"),
        ],
    ]);
    let asked = prop::sample::select(vec![
        "",
        "",
        "text",
        r#"{"metadata":{"customer":"mallory"}}"#,
        r#"{"metadata":{"customer":"mallory"}"#,
        "metadata.customer=mallory",
    ]);
    let request = (any::<bool>(), method, path, headers, preflight, asked);
    let status = prop::sample::select(vec![200u16, 201, 204, 401, 404, 500]);
    let answer_headers = prop::sample::subsequence(
        vec![
            ("X-Auth-Required", "yes"),
            ("X-Auth-Required", "no"),
            ("Content-Encoding", "br"),
        ],
        0..2,
    );
    let kind = prop::option::of(prop::sample::select(vec![
        "application/json",
        "application/problem+json",
        "text/plain",
        "text/html",
        "text/event-stream",
        "image/png",
        "application/json; charset=utf-16",
    ]));
    let body = prop::sample::select(vec![
        r#"{"text":"T"}"#,
        r#"{"text":"T","authentication_required":true}"#,
        r#"{"text":"T","authentication_required" : true}"#,
        r#"{"text":"T","authentication_\u0072equired":true}"#,
        r#"{"text":"T","authentication_required":false}"#,
        r#"{"text":"T","authentication_required":false,"authentication_required":true}"#,
        r#"[{"a":[{"authentication_required":true}],"text":"T"}]"#,
        r#"{"text":"T","authentication_required":true"#,
        r#"T authentication_required"#,
        "",
    ]);
    (request, status, answer_headers, kind, body, any::<bool>()).prop_map(
        |(request, status, mut answer_headers, kind, body, authenticated)| {
            let (plain, method, path, mut headers, preflight, asked) = request;
            headers.extend(preflight);
            answer_headers.extend(kind.map(|kind| ("Content-Type", kind)));
            let body = body.replace('T', BACKEND);
            Case {
                plain,
                method,
                path,
                headers,
                asked,
                status,
                answer_headers,
                body,
                authenticated,
            }
        },
    )
}

const ROUTES: &str = r#"
[[channel.web.route]]
kind = "logout"
path = "/leave/{id}"
interaction = { path = "id" }
[[channel.web.route]]
kind = "message"
path = "/verified/{id}/a"
interaction = { path = "id" }
level = "verified"
[[channel.web.route]]
kind = "message"
path = "/get/{id}/a"
method = "GET"
interaction = { path = "id" }
[[channel.web.route]]
kind = "deny"
path = "/get-denied"
method = "GET"
"#;

/// Another gateway: nothing is injected, bodies are read all the same, and browsers on
/// another site may ask.
fn plain(tables: &str) -> String {
    let member = "members = { \"metadata.customer\" = \"subject\" }\n";
    assert!(tables.contains(member));
    let cors = "[channel.web.cors]\norigins = [\"https://shop.example\"]\n";
    let challenge = "[channel.web.challenge]\n";
    let capture = format!("{challenge}capture = {{ a = {{ json = \"$.a\" }} }}\n");
    tables
        .replace(member, "")
        .replace(challenge, &capture)
        .replace("[channel.web.owner]", &format!("{cors}[channel.web.owner]"))
}

#[test]
fn explain_says_what_the_gateway_does() {
    let script = Arc::new(Mutex::new(Reply::new(200, "")));
    let scripted = script.clone();
    let origin = Origin::start(move |_| scripted.lock().unwrap().clone());
    let tables = setup::channel(&origin, "", &format!("{}{ROUTES}", setup::OWNER));
    let plain = plain(&tables);
    let sides = [&tables, &plain].map(|tables| (Gateway::start(tables), Explainer::new(tables)));

    let mut runner = TestRunner::new(Config {
        cases: 1000,
        ..Config::default()
    });
    let outcome = runner.run(&cases(), |case| {
        let (gateway, explainer) = &sides[usize::from(case.plain)];
        let chat = setup::fresh();
        let mut browser = gateway.browser();
        if case.authenticated {
            *script.lock().unwrap() = Reply::new(401, "");
            let url = setup::login_url(&setup::statement(&mut browser, &chat));
            prop_assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
        }

        let mut reply = Reply::new(
            case.status,
            if case.status == 204 { "" } else { &case.body },
        );
        for (name, value) in &case.answer_headers {
            reply = reply.header(name, value);
        }
        *script.lock().unwrap() = reply;
        let target = case.path.replace("ID", &chat);
        let mut request = Request::new(case.method, &target).body(case.asked);
        for (name, value) in &case.headers {
            request = request.header(name, value);
        }
        let before = origin.count();
        let got = browser.send(request);
        let reached = origin.count() > before;

        let said = explainer.explain(&case, &target, gateway.at.plain.to_string());
        agree(&said, &got, reached, &case)
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

/// Whether the explanation is what happened.
fn agree(
    said: &Explanation,
    got: &Answer,
    reached: bool,
    case: &Case,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(said.forwarded, reached, "{}", said);
    if let Some(status) = said.answered {
        prop_assert_eq!(got.status, status.as_u16(), "{}", said);
        return Ok(());
    }
    if said.challenged.is_some() {
        prop_assert!(setup::is_challenge(got), "{}\n{}", said, got.text());
        return Ok(());
    }
    if !said.forwarded {
        let reason = said.request.expect("a refusal has a reason");
        prop_assert_eq!(got.status, reason.status().as_u16(), "{}", said);
        prop_assert_eq!(got.code(), reason.code(), "{}", said);
        return Ok(());
    }
    consistent(said)?;
    match &said.answer {
        Some(ForAnswer::Challenge { .. }) => {
            let in_stream = is_stream(got) && got.text().contains("\"challenge\"");
            prop_assert!(
                setup::is_challenge(got) || in_stream,
                "{}\n{}",
                said,
                got.text()
            );
            prop_assert!(!got.contains(BACKEND), "{}", said);
        }
        Some(ForAnswer::Block(reason)) => {
            // The head may have left before its coding turns out to be none.
            let breaks_off = *reason == Reason::AnswerUndecodable && got.body.is_empty();
            let in_stream = is_stream(got) && (got.contains(reason.code()) || breaks_off);
            prop_assert!(got.code() == reason.code() || in_stream, "{}", said);
            prop_assert!(!got.contains(BACKEND), "{}", said);
        }
        Some(ForAnswer::Release { .. }) | None => {
            prop_assert_eq!(got.status, case.status, "{}", said);
            let carries = case.body.contains(BACKEND) && case.status != 204;
            prop_assert_eq!(got.contains(BACKEND), carries, "{}\n{}", said, got.text());
        }
    }
    Ok(())
}

/// Whether what the flags are said to find is what the verdict is made of.
fn consistent(said: &Explanation) -> Result<(), TestCaseError> {
    let lines = || said.steps.iter().filter(|(name, _)| *name == "flag");
    let any = |word: &str| lines().any(|(_, text)| text.contains(word));
    if lines().next().is_none() {
        return Ok(());
    }
    let (matches, unjudged) = (any(": matches"), any("cannot be judged"));
    match &said.answer {
        Some(ForAnswer::Challenge { .. }) => prop_assert!(matches, "{}", said),
        Some(ForAnswer::Block(_)) => prop_assert!(matches || unjudged, "{}", said),
        Some(ForAnswer::Release { reason, .. }) => {
            let unflagged = *reason == Reason::Unflagged;
            // What a login suffices for in any case need not be judged.
            prop_assert!(!(matches && unflagged), "{}", said);
            prop_assert!(matches || unjudged || unflagged, "{}", said);
        }
        None => {}
    }
    Ok(())
}

/// In a stream, what stands in a message's place is a message.
fn is_stream(got: &Answer) -> bool {
    got.header("content-type") == Some("text/event-stream")
}

/// The explaining side: the same configuration, no gateway.
struct Explainer {
    config: chatgate::config::Config,
    caches: Caches,
    runtime: tokio::runtime::Runtime,
}

impl Explainer {
    fn new(tables: &str) -> Self {
        let head = "[server]\npublic_url = \"http://127.0.0.1:1\"\n[[listener]]\naddress = \"127.0.0.1:1\"\n";
        let (config, _) =
            chatgate::config::parse(format!("{head}{tables}"), Path::new("explained.toml"))
                .unwrap_or_else(|mistakes| panic!("{}", mistakes[0]));
        Self {
            config,
            caches: Caches::new(Arc::new(Outbound::start(None).unwrap())),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
        }
    }

    fn explain(&self, case: &Case, target: &str, host: String) -> Explanation {
        let owned = |headers: &[(&str, &str)]| {
            headers
                .iter()
                .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
                .collect::<Vec<_>>()
        };
        let mut headers = owned(&case.headers);
        headers.push(("Host".into(), host.into_bytes()));
        let request = explain::Request {
            method: case.method.into(),
            target: target.into(),
            headers,
            body: case.asked.into(),
        };
        let answer = explain::Answer {
            status: case.status,
            headers: owned(&case.answer_headers),
            body: if case.status == 204 {
                Vec::new()
            } else {
                case.body.clone().into_bytes()
            },
        };
        let supposed = Supposed {
            subject: case.authenticated.then(|| "alice".into()),
            level: None,
            since: Default::default(),
            foreign: false,
        };
        let now = Clock::manual(Time::from_secs(1_800_000_000)).now();
        let said = explain::explain(
            &self.config,
            &self.caches,
            &request,
            Some(&answer),
            &supposed,
            now,
        );
        self.runtime.block_on(said).unwrap()
    }
}

/// The security key is in the tables: the test channel's is no secret.
#[test]
fn an_explanation_shows_no_secret() {
    let origin = setup::bot();
    let explainer = Explainer::new(&setup::channel(&origin, "", setup::OWNER));
    let case = Case {
        plain: false,
        method: "GET",
        path: "/chat/c1/statement",
        headers: vec![
            ("Authorization", "Bearer SECRET-BEARER"),
            ("Cookie", "chatgate=SECRET-COOKIE"),
        ],
        asked: "",
        status: 200,
        answer_headers: vec![],
        body: "{}".into(),
        authenticated: true,
    };
    let said = explainer
        .explain(&case, case.path, "localhost".into())
        .to_string();
    assert!(said.contains("authenticated as alice"), "{said}");
    for secret in ["SECRET", login::KEY] {
        assert!(!said.contains(secret), "{said}");
    }
}
