//! The samples for authors of login pages do what the page says of them: they
//! take a login URL of ours and no other, and what they send back counts.

#[path = "../docs/samples/login_page.rs"]
mod login_page;
#[path = "support/mod.rs"]
mod support;

use std::process::{Command, Output};
use std::time::Duration;

use chatgate::login::page::{Label, LoginUrl, Parameters, verify_query};
use chatgate::login::{LoginPage, LoginToken, Outcome, Return, SecurityKeys, returned};
use chatgate::reason::Reason;
use chatgate::time::{Clock, Time};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;

use support::{Origin, Reply};

const CHANNEL: &str = "web";
const TOLERANCE: Duration = Duration::from_secs(300);

/// The samples that are programs.
const PROGRAMS: [(&str, &str); 3] = [
    ("bash", "login_page.sh"),
    ("python3", "login_page.py"),
    ("node", "login_page.mjs"),
];

#[test]
fn programs_take_our_login_url_and_no_other() {
    let setup = Setup::new();
    let query = setup.query("https://chat.example.com/.chatgate/return/web");
    let tampered = tampered(&query);
    for program in Program::all() {
        program.expect("check", &[&query], &setup.key, true);
        for other in &tampered {
            program.expect("check", &[other], &setup.key, false);
        }
        // Whoever has another key is somebody else; a second one is a rotation.
        let other = SecurityKeys::generate();
        program.expect("check", &[&query], &other, false);
        program.expect("check", &[&query], &format!("{other} {}", setup.key), true);
    }
}

#[test]
fn programs_never_send_anywhere_but_to_a_callback_of_ours() {
    let setup = Setup::new();
    let origin = Origin::start(|_| Reply::json(&json!({"result": "login-succeeded"})));
    let query = setup.query(&format!("http://{}/.chatgate/return/web", origin.address));
    let unsigned = query.replace("level=verified", "level=claimed");
    for program in Program::all() {
        for action in ["post", "browser"] {
            program.expect(action, &[&unsigned, "success", "alice"], &setup.key, false);
        }
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn what_programs_post_counts() {
    let setup = Setup::new();
    let origin = Origin::start(|_| Reply::json(&json!({"result": "login-succeeded"})));
    let query = setup.query(&format!("http://{}/.chatgate/return/web", origin.address));
    for program in Program::all() {
        for (given, outcome, subject) in OUTCOMES {
            let given = [&[query.as_str()], *given].concat();
            let said = program.expect("post", &given, &setup.key, true);
            assert!(said.contains("login-succeeded"), "{said}");

            let seen = origin.last();
            assert_eq!(seen.method, "POST");
            assert_eq!(seen.header("content-type"), Some("application/json"));
            let (_, query) = seen.target.split_once('?').unwrap();
            let headers = seen.headers.iter().map(|(name, value)| {
                let name = HeaderName::try_from(name).unwrap();
                (name, HeaderValue::try_from(value).unwrap())
            });
            let got = setup.posted(query, &headers.collect(), &seen.body);
            setup.assert(got.unwrap(), *outcome, *subject);
        }
    }
}

#[test]
fn a_subject_is_quoted_or_refused() {
    let setup = Setup::new();
    let query = setup.query("https://chat.example.com/.chatgate/return/web");
    let odd = r#"O'Hara","level":"x\ é"#;
    for program in Program::all() {
        let quotes = program.interpreter != "bash";
        let url = program.expect("browser", &[&query, "success", odd], &setup.key, quotes);
        if quotes {
            let got = setup.carried(url.trim_end()).unwrap();
            assert_eq!((got.subject.as_deref(), got.level), (Some(odd), None));
        } else {
            assert_eq!(url, "");
        }
    }
}

#[test]
fn programs_notice_a_refusal() {
    let setup = Setup::new();
    let origin = Origin::start(|_| {
        Reply::json(&json!({"error": {"code": "token-used", "message": "x"}})).status(401)
    });
    let query = setup.query(&format!("http://{}/.chatgate/return/web", origin.address));
    for program in Program::all() {
        program.expect("post", &[&query, "success", "alice"], &setup.key, false);
    }
}

#[test]
fn what_programs_send_by_the_browser_counts() {
    let setup = Setup::new();
    let query = setup.query("https://chat.example.com/.chatgate/return/web");
    for program in Program::all() {
        for (given, outcome, subject) in OUTCOMES {
            let given = [&[query.as_str()], *given].concat();
            let url = program.expect("browser", &given, &setup.key, true);
            let got = setup.carried(url.trim_end());
            setup.assert(got.unwrap(), *outcome, *subject);
        }
    }
}

#[test]
fn the_rust_sample_does_the_same() {
    let setup = Setup::new();
    let query = setup.query("https://chat.example.com/.chatgate/return/web");
    let page = login_page::LoginPage::new(&[&setup.key]).unwrap();
    let other = SecurityKeys::generate();

    for other in tampered(&query) {
        assert!(page.check_login_url(&other).is_none(), "{other}");
    }
    let stranger = login_page::LoginPage::new(&[&other]).unwrap();
    assert!(stranger.check_login_url(&query).is_none());
    let rotating = login_page::LoginPage::new(&[&other, &setup.key]).unwrap();
    assert!(rotating.check_login_url(&query).is_some());

    let login = page.check_login_url(&query).unwrap();
    let claims = json!({"email": "alice@example.com"});
    let result = json!({"outcome": "success", "subject": "alice", "claims": claims});
    let request = page.post_return(&login, result).unwrap();
    let query = request.uri().query().unwrap();
    let got = setup.posted(query, request.headers(), request.body().as_bytes());
    let got = got.unwrap();
    assert_eq!(got.claims["email"], "alice@example.com");
    setup.assert(got, Outcome::Success, Some("alice"));

    let url = page.browser_return(&login, json!({"outcome": "success", "sub": "alice"}));
    let got = setup.carried(&url).unwrap();
    setup.assert(got, Outcome::Success, Some("alice"));
}

#[test]
fn the_page_quotes_the_samples() {
    let page = read("docs/login-pages.md");
    for sample in ["sh", "py", "mjs", "rs"] {
        let name = format!("login_page.{sample}");
        let text = read(&format!("docs/samples/{name}"));
        let start = page.find(&format!("[`{name}`](samples/{name})"));
        let quoted = &page[start.unwrap_or_else(|| panic!("{name} is not linked"))..];
        let (_, quoted) = quoted.split_once("\n```").unwrap();
        let (_, quoted) = quoted.split_once('\n').unwrap();
        assert!(
            quoted.starts_with(&format!("{text}```\n")),
            "{name} is quoted otherwise than it is"
        );
    }
}

#[test]
fn the_page_names_every_code_that_a_login_page_can_get() {
    let page = read("docs/login-pages.md");
    // What a provider's login, and one on a page of ours, ends with, and a stream.
    let others = [
        Reason::LoginState,
        Reason::LoginBrowser,
        Reason::LoginIssuer,
        Reason::LoginCode,
        Reason::LoginNonce,
        Reason::LoginStale,
        Reason::LoginLevel,
        Reason::LoginEnded,
        Reason::LoginCredentials,
        Reason::LoginGroup,
        Reason::LoginThrottled,
        Reason::LoginForged,
    ];
    let ours = |reason: &&Reason| {
        let code = reason.code();
        if others.contains(reason) {
            return false;
        }
        ["return-", "token-", "login-"]
            .iter()
            .any(|start| code.starts_with(start))
            || **reason == Reason::SubjectChanged
    };
    for reason in Reason::ALL.iter().filter(ours) {
        let row = format!("| `{}` | {} |", reason.code(), reason.status().as_u16());
        assert!(page.contains(&row), "{row}");
    }
}

/// Arguments, the outcome they mean, and the subject.
type Case = (&'static [&'static str], Outcome, Option<&'static str>);

const OUTCOMES: &[Case] = &[
    (&["success", "alice"], Outcome::Success, Some("alice")),
    (&["failure"], Outcome::Failure, None),
    (&["cancel"], Outcome::Cancel, None),
];

/// A sample that is a program.
struct Program {
    interpreter: &'static str,
    name: &'static str,
}

impl Program {
    /// Those whose interpreter is on this machine; with `CHATGATE_TEST_BACKENDS`
    /// set, as `make test` does, all have to be.
    fn all() -> Vec<Self> {
        let there = |(interpreter, _): &(&str, &str)| {
            let found = Command::new(interpreter).arg("--version").output().is_ok();
            let wanted = std::env::var_os("CHATGATE_TEST_BACKENDS").is_some();
            assert!(found || !wanted, "{interpreter} is missing");
            if !found {
                eprintln!("skipped: no {interpreter}");
            }
            found
        };
        PROGRAMS
            .into_iter()
            .filter(there)
            .map(|(interpreter, name)| Self { interpreter, name })
            .collect()
    }

    /// Runs it, and says what it printed.
    fn expect(&self, action: &str, given: &[&str], keys: &str, success: bool) -> String {
        let Output {
            status,
            stdout,
            stderr,
        } = Command::new(self.interpreter)
            .arg(format!("docs/samples/{}", self.name))
            .arg(action)
            .args(given)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("CHATGATE_KEYS", keys)
            .env("NO_PROXY", "*")
            .env("no_proxy", "*")
            .output()
            .unwrap();
        let said = String::from_utf8(stdout).unwrap();
        assert_eq!(
            status.success(),
            success,
            "{} {action} {given:?}: {said}{}",
            self.name,
            String::from_utf8_lossy(&stderr)
        );
        said
    }
}

/// A channel's side of a login.
struct Setup {
    key: String,
    keys: SecurityKeys,
    token: LoginToken,
    now: Time,
}

impl Setup {
    fn new() -> Self {
        let key = SecurityKeys::generate();
        Self {
            keys: SecurityKeys::parse([key.as_str()]).unwrap(),
            key,
            token: LoginToken::generate(),
            now: Clock::system().now(),
        }
    }

    /// The raw query of a login URL.
    fn query(&self, callback: &str) -> String {
        let parameters = Parameters::default();
        let page = LoginPage::new(
            "https://login.example.com/?lang=en",
            parameters,
            Label::Hash,
        );
        let values = LoginUrl {
            token: &self.token,
            callback,
            channel: CHANNEL,
            interaction: "C 1 & more",
            level: "verified",
            now: self.now,
        };
        let url = page.unwrap().url(&self.keys, &values);
        let (_, query) = url.split_once('?').unwrap();
        assert!(verify_query(&self.keys, "signature", query));
        query.to_owned()
    }

    fn posted(&self, query: &str, headers: &HeaderMap, body: &[u8]) -> Result<Return, Reason> {
        let (keys, now) = (&self.keys, self.now);
        let read = returned::from_post(keys, CHANNEL, query, headers, body, now, TOLERANCE);
        read.map_err(|refused| refused.reason)
    }

    fn carried(&self, url: &str) -> Result<Return, Reason> {
        let (_, query) = url.split_once('?').unwrap();
        let read = returned::from_browser(&self.keys, &[], CHANNEL, query, self.now, TOLERANCE);
        read.map_err(|refused| refused.reason)
    }

    fn assert(&self, got: Return, outcome: Outcome, subject: Option<&str>) {
        assert_eq!(got.outcome, outcome);
        assert_eq!(got.subject.as_deref(), subject);
        assert_eq!(got.token.hash(), self.token.hash());
    }
}

/// What an attacker might make of a login URL.
fn tampered(query: &str) -> Vec<String> {
    let (signed, signature) = query.rsplit_once("&signature=").unwrap();
    vec![
        query.replace("level=verified", "level=claimed"),
        query.replace("chat.example.com", "evil.example.com"),
        query.replace("lang=en&", ""),
        format!("{query}&callback=https%3A%2F%2Fevil.example.com"),
        format!("callback=https%3A%2F%2Fevil.example.com&{query}"),
        format!("{query}&signature={signature}"),
        format!("{signed}&signature="),
        format!("{signed}&signature={}", "0".repeat(64)),
        signed.to_owned(),
        String::new(),
    ]
}

fn read(path: &str) -> String {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(root.join(path)).unwrap()
}
