use clap::Parser;
use http::HeaderMap;

use super::*;
use crate::login::page::{Label, LoginUrl, Parameters};
use crate::login::{LoginPage, Return};

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const CALLBACK: &str = "https://chat.example.com/.chatgate/return/web";
const NOW: Time = Time::from_secs(1_614_265_330);
const TOLERANCE: Duration = Duration::from_secs(300);

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
}

fn args(given: &[&str]) -> Args {
    let words = ["sign"].iter().chain(given);
    Command::try_parse_from(words).unwrap().args
}

fn token() -> String {
    "A".repeat(43)
}

fn keys() -> SecurityKeys {
    SecurityKeys::parse([KEY]).unwrap()
}

fn login_url(parameters: Parameters) -> String {
    let page = LoginPage::new("https://login.example.com/in", parameters, Label::Hash);
    let token = LoginToken::parse(&token()).unwrap();
    let values = LoginUrl {
        token: &token,
        callback: CALLBACK,
        channel: "web",
        interaction: "C1",
        level: "verified",
        now: NOW,
    };
    page.unwrap().url(&keys(), &values)
}

fn accepted(signed: &Signed) -> Return {
    let got = match signed {
        Signed::Post { url, headers, body } => {
            let headers: HeaderMap = headers.iter().cloned().collect();
            let query = url.strip_prefix(&format!("{CALLBACK}?")).unwrap();
            returned::from_post(
                &keys(),
                "web",
                query,
                &headers,
                body.as_bytes(),
                NOW,
                TOLERANCE,
            )
        }
        Signed::Browser { url } => {
            let query = url.strip_prefix(&format!("{CALLBACK}?")).unwrap();
            returned::from_browser(&keys(), &[], "web", query, NOW, TOLERANCE)
        }
    };
    got.unwrap()
}

#[test]
fn every_way_to_name_the_login_makes_a_return_that_counts() {
    let full = login_url(Parameters::default());
    let bare = login_url(Parameters {
        callback: None,
        ..Parameters::default()
    });
    let callback = format!("{CALLBACK}?token={}", token());
    let token = token();
    let given: [&[&str]; 4] = [
        &[&full],
        &[&callback],
        &[&bare, "--callback", CALLBACK],
        &[&token, "--callback", CALLBACK],
    ];
    for given in given {
        for form in [None, Some("--browser")] {
            let all = [given, &["--key", KEY, "-s", "alice"], form.as_slice()].concat();
            let signed = Signed::new(&args(&all), None, NOW).unwrap();
            let got = accepted(&signed);
            assert_eq!(got.outcome, returned::Outcome::Success);
            assert_eq!(got.subject.as_deref(), Some("alice"));
            assert_eq!(got.token.expose(), token);
        }
    }
}

#[test]
fn outcome_claims_and_level_are_said() {
    let callback = format!("{CALLBACK}?token={}", token());
    let more = [
        callback.as_str(),
        "--key",
        KEY,
        "--outcome",
        "cancel",
        "--level",
        "claimed",
        "--claims",
        r#"{"email":"o'hara@example.com"}"#,
    ];
    let signed = Signed::new(&args(&more), None, NOW).unwrap();
    let got = accepted(&signed);
    assert_eq!(got.outcome, returned::Outcome::Cancel);
    assert_eq!((got.subject, got.level.as_deref()), (None, Some("claimed")));
    assert_eq!(got.claims["email"], "o'hara@example.com");
    let text = signed.to_string();
    assert!(text.starts_with("curl -sS 'https://chat.example.com/"));
    assert!(text.contains(r"o'\''hara@example.com"), "{text}");
}

#[test]
fn what_is_missing_is_named() {
    let callback = format!("{CALLBACK}?token={}", token());
    let token = token();
    let cases: [(&[&str], &str); 6] = [
        (&[&callback], "--subject"),
        (&[&token, "-s", "a", "--channel", "web"], "--callback"),
        (&[&token, "-s", "a"], "--channel"),
        (&["https://x.example/?a=b", "-s", "a"], "login token"),
        (&["nonsense", "-s", "a"], "login token"),
        (&[&callback, "-s", "a", "--claims", "[]"], "--claims"),
    ];
    for (given, word) in cases {
        let all = [given, &["--key", KEY]].concat();
        let refused = Signed::new(&args(&all), None, NOW).map(|_| ());
        assert!(refused.as_ref().unwrap_err().contains(word), "{refused:?}");
    }
    let refused = Signed::new(
        &args(&[&callback, "-s", "a", "--key", "whsec_x"]),
        None,
        NOW,
    );
    assert!(refused.is_err());
}

/// Two channels; the parameters of the first one have names of their own.
fn config() -> Config {
    let channel = |name: &str, more: &str| {
        format!(
            r#"
            [channel.{name}]
            upstream = "bot"
            authentication_url = "https://login.example.com/{name}"
            authentication_security_key = "{KEY}"
            interaction_timeout = "1h"
            return_tolerance = "30s"
            {more}
            [channel.{name}.challenge]
            text = "{{{{ login_url }}}}"
            [[channel.{name}.route]]
            kind = "pass"
            path = "/{name}"
            "#
        )
    };
    let names = r#"authentication_parameters = { callback = "", token = "t", channel = "" }"#;
    let text = format!(
        r#"
        [server]
        public_url = "https://chat.example.com"
        [[listener]]
        address = "127.0.0.1:8080"
        [upstream.bot]
        url = "http://127.0.0.1:5005"
        {}{}"#,
        channel("web", names),
        channel("app", "")
    );
    let read = crate::config::parse(text, Path::new("chatgate.toml"));
    let (config, _) = read.unwrap_or_else(|wrong| panic!("{}", check::shown(&wrong)));
    config
}

#[test]
fn a_configuration_says_key_names_and_place() {
    let config = config();
    let login = config.channel("web").unwrap().login.as_ref();
    let web = login.unwrap().page().unwrap();
    let token = LoginToken::parse(&token()).unwrap();
    let values = LoginUrl {
        token: &token,
        callback: CALLBACK,
        channel: "web",
        interaction: "C1",
        level: "verified",
        now: NOW,
    };
    let url = web.page.url(&web.keys, &values);
    assert!(!url.contains("callback") && url.contains("?t="));
    for form in [None, Some("--browser")] {
        let given = [&url, "-c", "x", "-s", "alice"];
        let given = [&given, form.as_slice()].concat();
        accepted(&Signed::new(&args(&given), Some(&config), NOW).unwrap());
    }

    let refused = |given: &[&str]| {
        let given = [given, &["-c", "x", "-s", "alice"]].concat();
        let signed = Signed::new(&args(&given), Some(&config), NOW);
        signed.map(|_| ()).unwrap_err()
    };
    assert!(refused(&[token.expose()]).contains("--channel"));
    assert!(refused(&[token.expose(), "--channel", "sms"]).contains("sms"));
}

#[test]
fn a_key_may_be_in_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    fs::write(&path, format!("{KEY}\n")).unwrap();
    let callback = format!("{CALLBACK}?token={}", token());
    let given = [&callback, "-s", "alice", "--key", path.to_str().unwrap()];
    accepted(&Signed::new(&args(&given), None, NOW).unwrap());
}
