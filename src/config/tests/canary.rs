//! Secrets are never shown, and no input panics.

use proptest::prelude::*;

use super::*;

const CANARY: &str = "canaryCANARY0123456789canaryCANARY0123456789canaryCANARY0123456789";

fn clean(mistakes: &[Diagnostic]) -> bool {
    let shown = check::shown(mistakes);
    let shown = format!("{shown}{mistakes:?}").to_lowercase();
    !shown.contains("canary")
}

/// Every place of a secret, with the canary written right into it.
fn inline() -> String {
    let mut text = GOOD.to_owned();
    for name in ["site", "widget", "bot"] {
        let file = format!("{{ file = \"keys/{name}.key\" }}");
        text = text.replace(&file, &format!("\"{CANARY}{name}\" # {CANARY}"));
    }
    // A comment would swallow the rest of an inline table.
    text.replace(&format!(" # {CANARY}"), "")
}

#[test]
fn a_good_configuration_keeps_its_secrets() {
    let dir = keys();
    let (config, warnings) = good(&inline(), dir.path());
    assert!(
        !warnings.is_empty() && clean(&warnings),
        "{}",
        check::shown(&warnings)
    );
    let shown = format!("{config:?} {}", check::summary(&config)).to_lowercase();
    assert!(!shown.contains("canary"));
    let key = fs::read_to_string(dir.path().join("keys/web.key")).unwrap();
    assert!(!shown.contains(&key.trim().to_lowercase()));
}

#[test]
fn secrets_from_the_environment_are_kept_too() {
    let dir = keys();
    // cargo sets it for tests: what matters is that its value stays out of sight.
    let value = env!("CARGO_PKG_DESCRIPTION").to_owned();
    let text = GOOD.replace(
        "{ file = \"keys/bot.key\" }",
        "{ env = \"CARGO_PKG_DESCRIPTION\" }",
    );
    let (config, warnings) = good(&text, dir.path());
    assert_eq!(warnings, Vec::new());
    assert!(!format!("{config:?}").contains(&value));
    let text = GOOD.replace(
        "authentication_security_key = { file = \"keys/web.key\" }",
        "authentication_security_key = { env = \"CARGO_PKG_DESCRIPTION\" }",
    );
    let mistakes = parse(text, &dir.path().join("x.toml")).unwrap_err();
    assert!(
        !check::shown(&mistakes).contains(&value),
        "{}",
        check::shown(&mistakes)
    );
}

/// Mistakes on the line of a secret, in its name, in its own syntax.
#[test]
fn no_mistake_gives_a_secret_away() {
    let dir = keys();
    let path = dir.path().join("x.toml");
    let site = format!("secret = \"{CANARY}site\"");
    for (find, replace) in [
        (&*site, format!("secrte = \"{CANARY}\"")),
        (&*site, format!("secret = [\"{CANARY}\"]")),
        (&*site, format!("secret = {{ fiel = \"{CANARY}\" }}")),
        (&*site, format!("secret = {{ env = \"{CANARY}\" }}")),
        (
            &*site,
            format!("secret = {{ env = \"{CANARY} {CANARY}\" }}"),
        ),
        (
            &*site,
            "secret = { env = \"CANARY2CANARY3CANARY4\" }".into(),
        ),
        (
            &*site,
            "secret = { env = \"KEY_CANARYCANARYCANARY\" }".into(),
        ),
        (&*site, "secret = { env = \"CANARY\" }".into()),
        (&*site, format!("secret = \"{CANARY}\", kid = 7")),
        (&*site, format!("secret = \"{CANARY}\", pem = \"{CANARY}\"")),
        (&*site, "secret = \"canary\"".into()),
        (&*site, format!("secret = \"{CANARY}")),
        (&*site, format!("secret = {CANARY}")),
        (&*site, format!("secret = \"\"\"\n{CANARY}")),
        (&*site, format!("secret = '''\n{CANARY}\n")),
        (&*site, format!("secret {CANARY}")),
        (&*site, format!("secret = \"\\q{CANARY}\"")),
        (
            &*site,
            format!("secret = \"{CANARY}\", secret = \"{CANARY}\""),
        ),
        (
            "authentication_security_key = { file = \"keys/web.key\" }",
            format!("authentication_securty_key = \"{CANARY}\" # {CANARY}"),
        ),
        (
            "authentication_security_key = { file = \"keys/web.key\" }",
            format!("authentication_security_key = \"whsec_{CANARY}!\""),
        ),
        (
            "authentication_security_key = { file = \"keys/web.key\" }",
            format!("authentication_security_key = [\"whsec_{CANARY}\", 7]"),
        ),
        (
            "key = { file = \"keys/assertion.pem\" }",
            format!("key = \"-----BEGIN PRIVATE KEY-----\\n{CANARY}\\n-----END PRIVATE KEY-----\""),
        ),
        (
            "headers = { \"X-Session\" = \"{{ interaction }}\" }",
            format!("headers = {{ \"Authorization\" = \"Bearer {CANARY} {{{{ x\" }}"),
        ),
        (
            "drain_timeout = \"10s\"",
            format!("drain_timeout = 7 # {CANARY}"),
        ),
    ] {
        let text = inline();
        assert!(text.contains(find), "{find}");
        let text = text.replacen(find, &replace, 1);
        let mistakes = parse(text, &path).expect_err(&replace);
        assert!(clean(&mistakes), "{replace}\n{}", check::shown(&mistakes));
    }
}

/// Words that the grammar of the configuration is made of.
fn word() -> impl Strategy<Value = String> {
    let words: Vec<String> = GOOD
        .split_inclusive(['\n', ' ', '{', '}', '[', ']', '"', '=', ','])
        .map(str::to_owned)
        .collect();
    prop_oneof![
        8 => proptest::sample::select(words),
        1 => "\\PC{0,6}",
        1 => Just("{{ ".into()),
        1 => Just("\u{0}\u{1b}[".into()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(words in proptest::collection::vec(word(), 0..80)) {
        if let Err(mistakes) = parse(words.concat(), Path::new("x.toml")) {
            prop_assert!(!check::shown(&mistakes).is_empty());
        }
    }

    /// One line taken out, doubled or changed: nothing panics, and whatever is
    /// shown holds no secret.
    #[test]
    fn no_change_panics_or_gives_a_secret_away(
        line in 0..GOOD.lines().count(),
        way in 0..4,
        at in 0..60_usize,
        noise in "\\PC{0,4}",
    ) {
        let text = inline();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        match way {
            0 => { lines.remove(line); }
            1 => lines.insert(line, lines[line].clone()),
            2 => {
                let chars: Vec<char> = lines[line].chars().collect();
                let at = at.min(chars.len());
                lines[line] = chars[..at].iter().collect::<String>() + &noise + &chars[at..].iter().collect::<String>();
            }
            _ => lines[line] = lines[line].chars().skip(at).collect(),
        }
        let dir = Path::new("/nonexistent/x.toml");
        let mistakes = parse(lines.join("\n"), dir).map_or_else(|mistakes| mistakes, |(_, warnings)| warnings);
        prop_assert!(clean(&mistakes), "{}", check::shown(&mistakes));
    }
}
