//! `[channel.NAME.login_page]`: our own page as the login of a channel.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::channel::Shared;
use super::directory::name;
use super::reader::{Node, Table, Wrong, clean};
use crate::channel::LoginForm;
use crate::channel::form::{FILTER_NAMES, GROUP_NAMES, Group};
use crate::channel::template::{Escape, Template};
use crate::directory::Directory;
use crate::directory::ldap::is_filter;
use crate::login::form::look::{Colour, Logo, Look};
use crate::login::form::texts::{Language, Texts};
use crate::login::form::throttle::Limit;

const HOUR: Duration = Duration::from_secs(3600);
/// More files than this are not translations.
const MOST_LANGUAGES: usize = 200;

/// The page.
pub(super) fn login_page(node: Node<'_>, shared: &Shared<'_>) -> Option<LoginForm> {
    let table = node.table()?;
    let directory = table.need("directory").and_then(|node| {
        let found = shared.directories.find(node)?;
        if found.ldap().is_none() {
            node.error(Wrong::new(
                "passwords can be tried in a directory of kind `ldap` only",
                "name one of those",
            ));
            return None;
        }
        Some(found)
    });
    let filter = table
        .need("filter")
        .and_then(|node| filter(node, FILTER_NAMES));
    let base = table.get("base").map(|node| node.parse(name));
    let subject = table.need("subject").and_then(attribute);
    let claims = table.get("claims").map(claims);
    let group = group(&table);
    let level = table.get("level").map(|node| {
        let level = shared.levels.level(node)?;
        if level < shared.levels.highest() {
            let reached = shared.levels.name(level);
            node.warn(Wrong::new(
                format!("no login reaches a level above `{reached}`"),
                "a flag that demands more asks for a login that cannot succeed",
            ));
        }
        Some(level)
    });
    let max_failures = table.get("max_failures").map(|node| node.integer(1..=100));
    let (per_name, per_address) = throttle(table.get("throttle"));
    let look = look(&table);

    let directory: Arc<Directory> = directory?;
    let usual = &directory.ldap()?.server.base;
    let below = |base: Option<Option<Box<str>>>| base.unwrap_or_else(|| Some(usual.clone()));
    Some(LoginForm {
        base: below(base)?,
        filter: filter?,
        subject: subject?,
        claims: claims.unwrap_or(Some(Vec::new()))?,
        group: match group? {
            Some((base, filter)) => Some(Group {
                base: below(base)?,
                filter,
            }),
            None => None,
        },
        level: match level {
            Some(level) => Some(level?),
            None => None,
        },
        max_failures: max_failures
            .unwrap_or(Some(5))
            .and_then(|most| u32::try_from(most).ok())?,
        per_name,
        per_address,
        look: look?,
        directory,
    })
}

/// A filter whose variables are escaped, so that it is the same filter for everybody.
fn filter(node: Node<'_>, names: &[&str]) -> Option<Template> {
    let template = node.template(Escape::Ldap, names)?;
    let rendered = |value: &str| {
        let values = names
            .iter()
            .map(|name| (name.to_string(), Value::from(value)));
        template
            .render(&values.collect::<Map<_, _>>())
            .unwrap_or_default()
    };
    if !is_filter(&rendered("x")) {
        node.error(Wrong::new(
            "this is not an LDAP filter",
            "write it like \"(&(objectClass=person)(uid={{ username }}))\"",
        ));
        return None;
    }
    if rendered("x") == rendered("y") {
        node.error("this finds the same entry whoever asks: put a variable in it");
        return None;
    }
    Some(template)
}

/// The outer `None` is a mistake.
type Written = (Option<Option<Box<str>>>, Template);
fn group(table: &Table<'_>) -> Option<Option<Written>> {
    let (node, base) = (table.get("group"), table.get("group_base"));
    let read = base.map(|node| node.parse(name));
    match (node, base) {
        (Some(node), _) => Some(Some((read, filter(node, GROUP_NAMES)?))),
        (None, None) => Some(None),
        (None, Some(base)) => {
            base.error_key("`group_base` without `group`");
            None
        }
    }
}

/// `{ email = "mail" }`.
fn claims(node: Node<'_>) -> Option<Vec<(Box<str>, Box<str>)>> {
    let nodes = node.table()?.entries();
    let wanted = nodes.len();
    let read = nodes.into_iter().filter_map(|node| {
        let legal = |c: char| !c.is_control() && !c.is_whitespace();
        if node.name.is_empty() || node.name.len() > 128 || !node.name.chars().all(legal) {
            node.error_key("this is not the name of a claim");
            return None;
        }
        Some((node.name.into(), attribute(node)?))
    });
    let claims: Vec<_> = read.collect();
    (claims.len() == wanted).then_some(claims)
}

/// An attribute description (RFC 4512, section 2.5), without options.
fn attribute(node: Node<'_>) -> Option<Box<str>> {
    node.parse(|text| {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
        let begins = |b: &u8| b.is_ascii_alphanumeric();
        if !text.bytes().all(legal) || !text.as_bytes().first().is_some_and(begins) {
            return Err("this is not the name of an attribute");
        }
        Ok(text.into())
    })
}

/// `{ user = 10, address = 50, per = "10m" }`.
fn throttle(node: Option<Node<'_>>) -> (Limit, Limit) {
    let table = node.and_then(Node::table);
    let get = |name| table.as_ref().and_then(|table| table.get(name));
    let tries = |name, usual| {
        let read = get(name).and_then(|node| node.integer(1..=100_000));
        read.and_then(|tries| u32::try_from(tries).ok())
            .unwrap_or(usual)
    };
    let per = get("per").and_then(|node| node.duration_up_to(24 * HOUR));
    let per = per.unwrap_or(HOUR / 6);
    let limit = |tries| Limit { tries, per };
    (limit(tries("user", 10)), limit(tries("address", 50)))
}

fn look(table: &Table<'_>) -> Option<Look> {
    let title = table.get("title").map(Node::word);
    let logo = table.get("logo").map(|node| node.parse(Logo::parse));
    let colour = table.get("colour").map(|node| {
        let wrong = || Wrong::new("this is not a colour", "write it like \"#1f5fa8\"");
        node.parse(|text| Colour::parse(text).ok_or_else(wrong))
    });
    let translations = table.get("translations").map(translations);
    let languages = table.get("languages");
    let mut texts = Texts::built_in();
    if let Some(more) = translations {
        texts = texts.with(more?);
    }
    if let Some(node) = languages {
        texts = only(node, texts)?;
    }
    let usual = Look::default();
    Some(Look {
        title: match title {
            Some(title) => Some(title?),
            None => None,
        },
        logo: match logo {
            Some(logo) => Some(logo?),
            None => None,
        },
        colour: colour.unwrap_or(Some(usual.colour))?,
        texts,
    })
}

/// The languages that are offered, the first of them to everybody else.
fn only(node: Node<'_>, texts: Texts) -> Option<Texts> {
    let nodes = node.one_or_more();
    let tags: Vec<_> = nodes.iter().filter_map(|node| node.text()).collect();
    if tags.is_empty() || tags.len() < nodes.len() {
        return None;
    }
    let known: Vec<String> = texts.tags().map(str::to_owned).collect();
    match texts.only(&tags) {
        Ok(texts) => Some(texts),
        Err(tag) => {
            let wrong = nodes
                .into_iter()
                .find(|node| node.hidden_text() == Some(tag));
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let help = format!(
                "there are {}; more come from `translations`",
                known.join(", ")
            );
            let message = format!("there are no texts in `{}`", clean(tag));
            wrong.unwrap_or(node).error(Wrong::new(message, help));
            None
        }
    }
}

/// The files of a directory: `nl.json`, `pt-br.json`.
fn translations(node: Node<'_>) -> Option<Vec<Language>> {
    let path = node.path()?;
    let shown = clean(&path.display().to_string());
    let files = match std::fs::read_dir(&path) {
        Ok(files) => files,
        Err(error) => {
            node.error(format!("cannot read the directory {shown}: {error}"));
            return None;
        }
    };
    let mut languages = Vec::new();
    let files = files.filter_map(Result::ok).map(|file| file.path());
    let json = |path: &std::path::PathBuf| path.extension().is_some_and(|kind| kind == "json");
    for path in files.filter(json).take(MOST_LANGUAGES) {
        let tag = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        let read = match tag.is_empty() || !tag.bytes().all(legal) {
            true => Err("its name is no language tag".to_owned()),
            false => std::fs::read_to_string(&path)
                .map_err(|error| error.to_string())
                .and_then(|text| Language::read(tag, &text)),
        };
        match read {
            Ok(language) => languages.push(language),
            Err(why) => {
                let file = clean(&path.display().to_string());
                node.error(format!("{file}: {}", clean(&why)));
                return None;
            }
        }
    }
    if languages.is_empty() {
        node.error(Wrong::new(
            format!("there are no texts in {shown}"),
            "write a file for each language, like nl.json",
        ));
        return None;
    }
    languages.sort_by(|one, other| one.tag.cmp(&other.tag));
    Some(languages)
}
