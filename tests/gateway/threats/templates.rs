//! Values from customers and backends in every template slot.

use serde_json::{Value, json};

use crate::setup::{OWNER, channel};
use crate::support::{Answer, Gateway, Origin, Reply, Request};

/// What tries to leave the place it is put into.
const HOSTILE: &[&str] = &[
    "\"},{\"injected\":\"1",
    "\\\"}],\"injected\":[{\"x\":\"",
    "{{ login_url }}",
    "{% for x in range(99999999) %}a{% endfor %}",
    "{{ 7 * 7 }}",
    "<script>alert(1)</script>",
    "' onmouseover='alert(1)",
    "</textarea><img src=x onerror=alert(1)>",
    "\u{2028}\u{2029}\u{202e}",
    "a\tb",
    "&amp;&lt;",
    "%0d%0aX-Injected: 1",
    "\u{0}\u{1b}[31m",
    "x\r\nX-Injected: 1\r\n\r\n<b>",
];

/// A channel whose interaction id and captures come from bodies.
fn gateway(challenge: &str) -> Gateway {
    let origin = Origin::start(|seen| {
        let said = seen.json()["say"].clone();
        Reply::json(&json!({"authentication_required": true, "said": said}))
    });
    let tables = channel(&origin, "", OWNER);
    let (before, after) = tables.split_once("[channel.web.challenge]").unwrap();
    let (_, after) = after.split_once("[channel.web.inject]").unwrap();
    Gateway::start(&format!(
        r#"{before}[channel.web.challenge]
{challenge}
capture = {{ asked = {{ json = "$.ask" }}, said = {{ answer_json = "$.said" }} }}
[channel.web.inject]{after}
[[channel.web.route]]
kind = "message"
path = "/by-body"
interaction = {{ json = "$.sender" }}
"#
    ))
}

fn asked(gateway: &Gateway, value: &str) -> Answer {
    let answer = sent(gateway, value);
    assert_eq!(answer.status, 200, "{value:?}: {}", answer.text());
    answer
}

fn sent(gateway: &Gateway, value: &str) -> Answer {
    let body = json!({"sender": format!("c{value}"), "ask": value, "say": value});
    let answer = gateway.wire().exchange(&Request::post("/by-body", &body));
    assert!(answer.header("x-injected").is_none(), "{value:?}");
    answer
}

#[test]
fn json_keeps_its_form() {
    let gateway = gateway(
        r#"json = '''{"list": [{"id": "{{ interaction }}", "text": "You asked {{ capture.asked }}"}], "said": "{{ capture.said }}", "url": "{{ login_url }}"}'''"#,
    );
    for value in HOSTILE {
        let answer = asked(&gateway, value).json();
        let url = answer["url"].as_str().unwrap().to_owned();
        assert!(gateway.site.trusts(&url), "{value:?}");
        let expected: Value = json!({
            "list": [{"id": format!("c{value}"), "text": format!("You asked {value}")}],
            "said": value,
            "url": url,
        });
        assert_eq!(answer, expected, "{value:?}");
    }
}

#[test]
fn html_is_escaped() {
    let gateway = gateway(
        r#"html = '''<p title="{{ capture.asked }}">{{ capture.said }}</p><a href='{{ login_url }}'>{{ interaction }}</a>'''"#,
    );
    for value in HOSTILE {
        let text = asked(&gateway, value).text();
        assert_eq!(text.matches('<').count(), 4, "{value:?}: {text}");
        assert_eq!(text.matches('>').count(), 4, "{value:?}: {text}");
        assert_eq!(text.matches('"').count(), 2, "{value:?}: {text}");
        assert_eq!(text.matches('\'').count(), 2, "{value:?}: {text}");
    }
}

#[test]
fn a_header_is_one_header() {
    let gateway = gateway(
        r#"headers = { "X-Asked" = "asked {{ capture.asked }}", "X-Said" = "said {{ capture.said }}" }
text = "{{ login_url }}"
content_type = "text/plain""#,
    );
    for value in HOSTILE {
        let answer = sent(&gateway, value);
        // What no header can carry is not bent until one can.
        if answer.status == 403 {
            assert_eq!(answer.code(), "challenge-impossible", "{value:?}");
            assert!(value.contains(char::is_control), "{value:?}");
            continue;
        }
        assert_eq!(answer.all("x-said").count(), 1, "{value:?}");
        assert_eq!(
            answer.header("x-said"),
            Some(&*format!("said {value}")),
            "{value:?}"
        );
        assert!(
            answer.text().starts_with("http://login.example/"),
            "{value:?}"
        );
    }
}

#[test]
fn an_interaction_id_reaches_the_login_url_encoded() {
    let gateway = gateway(r#"json = '{"url": "{{ login_url }}"}'"#);
    for value in HOSTILE {
        let url = asked(&gateway, value).json()["url"]
            .as_str()
            .unwrap()
            .to_owned();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?&=%".contains(&byte);
        assert!(url.bytes().all(plain), "{url}");
        assert_eq!(url.matches('&').count(), 6, "{url}");
        assert_eq!(gateway.site.log_in(&url, "alice").status, 200);
    }
}
