//! The page that tells of every key.

use super::*;

/// Every example of the page that tells of every key, completed by what it leaves out.
#[test]
fn the_examples_of_the_page_are_good() {
    let dir = keys();
    let page = include_str!("../../../docs/configuration.md");
    let examples = page.split("```toml part\n").skip(1);
    let examples: Vec<_> = examples
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(examples.len() > 20);
    for example in examples {
        good(&completed(example), dir.path());
    }
}

fn completed(example: &str) -> String {
    let rest = [
        ("[server]", "public_url = \"http://127.0.0.1:8080\""),
        ("[[listener]]", "address = \"127.0.0.1:8080\""),
        ("[upstream.bot]", "url = \"http://127.0.0.1:5005\""),
        ("[channel.web]", "upstream = \"bot\""),
        ("[channel.web.owner]", "cookie = \"own\""),
    ];
    let login = [
        ("authentication_url", "\"https://www.example.com/login\""),
        ("authentication_security_key", "{ file = \"keys/web.key\" }"),
        ("flag", "[{ status = 401 }]"),
        ("challenge", "{ text = \"{{ login_url }}\" }"),
    ];
    let logs_in = [
        "authentication_",
        "flag]",
        "inspect]",
        "challenge]",
        "inject]",
        "side_call]",
        "resume =",
        "oidc]",
        "oauth]",
        "login_page]",
        "link]",
        "match]",
        "outcome]",
    ];
    let elsewhere = ["oidc", "oauth", "login_page"]
        .iter()
        .any(|place| example.contains(&format!("channel.web.{place}")));
    let logs_in = logs_in.iter().any(|word| example.contains(word));
    let bare = !example.starts_with('[');
    let mut text = String::new();
    for (header, key) in rest {
        let given = example.lines().any(|line| line == header);
        if !given {
            text += &format!("{header}\n{key}\n");
        }
        if header != "[channel.web]" || given {
            continue;
        }
        let wanted = |key: &str| logs_in && !(elsewhere && key.starts_with("authentication_"));
        for (key, value) in login.iter().filter(|(key, _)| wanted(key)) {
            let inside = |line: &str| {
                line.starts_with(&format!("{key} ="))
                    || line.trim_matches(['[', ']']) == format!("channel.web.{key}")
            };
            if !example.lines().any(inside) {
                text += &format!("{key} = {value}\n");
            }
        }
        if bare {
            text += example;
        }
    }
    if !bare {
        text += example;
    }
    if !example.contains("[[channel.web.route]]") {
        let proofs = example.contains("[[channel.web.identity]]");
        let enforcement = if proofs { "required" } else { "off" };
        text += "\n[[channel.web.route]]\nkind = \"message\"\npath = \"/m\"\n";
        text += "interaction = { json = \"$.sender\" }\n";
        text += &format!("enforcement = \"{enforcement}\"\n");
    }
    text
}
