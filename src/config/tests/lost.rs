//! Files that are not there: one mistake is told once, whatever depends on the file.

use std::collections::BTreeSet;

use super::*;

/// What the good configuration has in another way only.
const OTHERS: &[(&str, &str)] = &[
    ("", ""),
    (
        "client_secret = { file = \"keys/bot.key\" }\nclient_authentication = \"post\"",
        "private_key = { algorithm = \"ES256\", pem = { file = \"keys/assertion.pem\" } }",
    ),
    (
        "sign = { kind = \"webhook\", key = { file = \"keys/web.key\" } }\ntimeout",
        "sign = { kind = \"jwt\", algorithm = \"ES256\", pem = { file = \"keys/assertion.pem\" }, claims = '{}' }\ntimeout",
    ),
    (
        "kind = \"hmac\", header = \"X-Push-Signature\", secret = { file = \"keys/bot.key\" }",
        "kind = \"standard-webhooks\", key = [{ file = \"keys/web.key\" }, { file = \"keys/old.key\" }]",
    ),
    #[cfg(feature = "sql")]
    (
        "url = \"sqlite:tls/chain.pem\"",
        "url = { file = \"keys/database\" }\nca = \"tls/chain.pem\"",
    ),
];

/// Where files of `dir` are named, by offset and name.
fn named(text: &str, dir: &Path) -> Vec<(usize, String)> {
    let quoted = text.match_indices('"').filter_map(|(at, _)| {
        let name = text[at + 1..].split('"').next()?;
        let written = !text[..at].rsplit('\n').next()?.contains('#');
        (written && dir.join(name).is_file()).then(|| (at, name.to_owned()))
    });
    quoted.collect()
}

/// What is said of a configuration, by line.
fn said(text: &str, path: &Path) -> BTreeSet<(usize, String)> {
    let read = parse(text, path);
    let all = read.map_or_else(|mistakes| mistakes, |(_, warnings)| warnings);
    let line = |said: &Diagnostic| said.place.as_ref().map_or(0, |place| place.line);
    all.iter()
        .map(|said| (line(said), said.to_string()))
        .collect()
}

/// Loses the files that a good configuration names, one after the other.
fn lose_each(text: &str, dir: &Path) -> (usize, String) {
    let path = dir.join("chatgate.toml");
    let before = said(text, &path);
    let names = named(text, dir);
    let mut wrong = String::new();
    for (at, name) in &names {
        let mut lost = text.to_owned();
        lost.replace_range(at + 1..at + 1 + name.len(), &"x".repeat(name.len()));
        let line = text[..*at].matches('\n').count() + 1;
        let after = said(&lost, &path);
        let new: Vec<_> = after.difference(&before).collect();
        let once = matches!(&new[..], [(place, told)] if *place == line && told.contains("there is no file"));
        if !once {
            wrong += &format!("without {name} of line {line}: {new:#?}\n");
        }
    }
    (names.len(), wrong)
}

#[test]
fn a_file_that_is_not_there_is_one_mistake() {
    let dir = keys();
    let (mut tried, mut wrong) = (0, String::new());
    for (find, replace) in OTHERS {
        assert!(
            GOOD.contains(find),
            "{find} is not in the good configuration"
        );
        let text = GOOD.replacen(find, replace, 1);
        good(&text, dir.path());
        let (names, told) = lose_each(&text, dir.path());
        tried += names;
        wrong += &told;
    }
    assert!(tried > 100, "{tried}");
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn examples_without_a_key_make_one_mistake() {
    let dir = keys();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/examples");
    let (mut tried, mut wrong) = (0, String::new());
    for entry in fs::read_dir(examples).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        good(&text, dir.path());
        let (names, told) = lose_each(&text, dir.path());
        tried += names;
        wrong += &told;
    }
    assert!(tried > 10, "{tried}");
    assert!(wrong.is_empty(), "{wrong}");
}
