//! `explain` and the gateway cannot disagree: for random requests and answers,
//! what it says is what a client gets.

use std::path::Path;
use std::sync::{Arc, Mutex};

use chatgate::decision::ForAnswer;
use chatgate::gateway::explain::{self, Explanation, Supposed};
use chatgate::identity::Caches;
use chatgate::outbound::Outbound;
use chatgate::time::{Clock, Time};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::setup;
use crate::support::{Answer, Gateway, Origin, Reply, Request, login};

/// Marks the backend's own answer.
const BACKEND: &str = "BACKEND-5e1f";

#[derive(Clone, Debug)]
struct Case {
    method: &'static str,
    path: &'static str,
    headers: Vec<(&'static str, &'static str)>,
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
        ],
        0..4,
    );
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
    (
        method,
        path,
        headers,
        status,
        answer_headers,
        kind,
        body,
        any::<bool>(),
    )
        .prop_map(
            |(method, path, headers, status, mut answer_headers, kind, body, authenticated)| {
                answer_headers.extend(kind.map(|kind| ("Content-Type", kind)));
                let body = body.replace('T', BACKEND);
                Case {
                    method,
                    path,
                    headers,
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
"#;

#[test]
fn explain_says_what_the_gateway_does() {
    let script = Arc::new(Mutex::new(Reply::new(200, "")));
    let scripted = script.clone();
    let origin = Origin::start(move |_| scripted.lock().unwrap().clone());
    let tables = setup::channel(&origin, "", &format!("{}{ROUTES}", setup::OWNER));
    let gateway = Gateway::start(&tables);
    let explainer = Explainer::new(&tables);

    let mut runner = TestRunner::new(Config {
        cases: 1000,
        ..Config::default()
    });
    let outcome = runner.run(&cases(), |case| {
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
        let mut request = Request::new(case.method, &target);
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
            let in_stream = is_stream(got) && got.contains(reason.code());
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
            body: Vec::new(),
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
        method: "GET",
        path: "/chat/c1/statement",
        headers: vec![
            ("Authorization", "Bearer SECRET-BEARER"),
            ("Cookie", "chatgate=SECRET-COOKIE"),
        ],
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
