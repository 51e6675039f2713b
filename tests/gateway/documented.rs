//! The documentation cannot rot: its configurations load, its tables are complete.

use std::fs;
use std::path::{Path, PathBuf};

use chatgate::config;
use chatgate::reason::Reason;

/// What a fragment of a page leaves out.
const REST: &[(&str, &str)] = &[
    ("[server]", "public_url = \"http://127.0.0.1:8080\"\n"),
    ("[[listener]]", "address = \"127.0.0.1:8080\"\n"),
    ("[upstream.bot]", "url = \"http://127.0.0.1:5005\"\n"),
    (
        "[channel.web]",
        "upstream = \"bot\"\nauthentication_url = \"https://login.example/\"\n\
         authentication_security_key = { env = \"CHATGATE_WEB_KEY\" }\n",
    ),
    ("[channel.web.owner]", "cookie = \"own\"\n"),
    ("[[channel.web.flag]]", "name = \"f\"\njson = \"$..flag\"\n"),
    (
        "[channel.web.challenge]",
        "json = '{ \"url\": \"{{ login_url }}\" }'\n",
    ),
    (
        "[[channel.web.route]]",
        "kind = \"message\"\npath = \"/m\"\ninteraction = { json = \"$.sender\" }\n",
    ),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(root().join("docs")).unwrap();
    let mut pages: Vec<_> = docs
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "md"))
        .collect();
    pages.push(root().join("README.md"));
    pages.sort();
    pages
}

#[test]
fn every_configuration_in_the_documentation_loads() {
    let directory = tempfile::tempdir().unwrap();
    let mut seen = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for block in text.split("```toml\n").skip(1) {
            let block = block.split("```").next().unwrap();
            seen += 1;
            let whole = with_keys(&complete(block), directory.path());
            if let Err(mistakes) = config::parse(&whole, &directory.path().join("page.toml")) {
                panic!("{}: {}\n{block}", page.display(), mistakes[0]);
            }
        }
    }
    assert!(seen > 10, "the pages have {seen} configurations");
}

/// The fragment with whatever it leaves out.
fn complete(block: &str) -> String {
    if block.contains("[server]") {
        return block.to_owned();
    }
    let mut whole = String::new();
    for (header, keys) in REST {
        let given = block.lines().any(|line| line.trim() == *header);
        if !given {
            whole += &format!("{header}\n{keys}");
        }
        if *header == "[channel.web]" && block.contains("[channel.web.notify]") {
            whole += "resume = \"notify\"\n";
        }
    }
    if block.contains("[[channel.web.identity]]") && !block.contains("kind = \"pre-chat\"") {
        // A verifier that no route asks is a mistake.
        whole += "enforcement = \"optional\"\n";
    }
    whole + block
}

/// Secrets from the environment become files that are there.
fn with_keys(text: &str, directory: &Path) -> String {
    let key = directory.join("web.key");
    fs::write(&key, "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n").unwrap();
    let secret = directory.join("secret.key");
    fs::write(&secret, "0123456789abcdef0123456789abcdef\n").unwrap();
    let pem = root().join("tests/keys/p256-a.pem");
    let mut text = text.replace("{ env = \"CHATGATE_CRM_URL\" }", "\"sqlite:records.db\"");
    for (name, path) in [
        ("WEB_KEY", &key),
        ("ASSERTION_KEY", &pem),
        ("SITE_KEY", &secret),
        ("WIDGET_KEY", &secret),
        ("BOT_KEY", &secret),
        ("LDAP_PASSWORD", &secret),
        ("OAUTH_SECRET", &secret),
        ("OIDC_SECRET", &secret),
    ] {
        let file = format!("{{ file = \"{}\" }}", path.display());
        text = text.replace(&format!("{{ env = \"CHATGATE_{name}\" }}"), &file);
    }
    text
}

/// `CHATGATE_WRITE_DOCS=1 cargo test reason_codes` writes the page anew.
#[test]
fn the_page_of_reason_codes_is_complete() {
    let page = root().join("docs/reason-codes.md");
    let mut expected = String::from(
        "# Reason codes\n\n\
         Every verdict has one, and it is stable: in the log (`verdict`), in metrics\n\
         (`reason`), in answers of chatgate's own (`error.code`). What the customer reads\n\
         beside it tells an attacker nothing.\n\n\
         | code | status | meaning |\n|---|---|---|\n",
    );
    for reason in Reason::ALL {
        let (code, status) = (reason.code(), reason.status().as_u16());
        let outside = match reason.told() {
            told if told == code => String::new(),
            told => format!(" Outside it is told as `{told}`."),
        };
        let meaning = reason.meaning().trim();
        expected += &format!("| `{code}` | {status} | {meaning}{outside} |\n");
    }
    if std::env::var_os("CHATGATE_WRITE_DOCS").is_some() {
        fs::write(&page, &expected).unwrap();
    }
    let written = fs::read_to_string(&page).unwrap();
    assert!(
        written == expected,
        "docs/reason-codes.md is not what the code says"
    );
}

#[test]
fn every_metric_is_documented() {
    let page = fs::read_to_string(root().join("docs/operating.md")).unwrap();
    let metrics = chatgate::telemetry::Metrics::new().text();
    let names = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "));
    for name in names.filter_map(|line| line.split(' ').next()) {
        assert!(page.contains(name), "{name} is not in docs/operating.md");
    }
}

#[test]
fn links_lead_somewhere() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let path = link.split('#').next().unwrap();
            if path.is_empty() || path.contains("://") {
                continue;
            }
            let target = page.parent().unwrap().join(path);
            assert!(target.exists(), "{}: {link}", page.display());
        }
    }
}
