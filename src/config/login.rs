//! `authentication_…`, `challenge`, `resume`: the mid-chat login of a channel.

use std::time::Duration;

use super::call::security_keys;
use super::channel::Shared;
use super::identity::public_key;
use super::linking::linking;
use super::login_page::login_page;
use super::oauth;
use super::oidc::provider;
use super::outcome::outcomes;
use super::reader::{Node, Table, Wrong};
use super::resume::resume;
use super::selector::Scope;
use super::server::Levels;
use super::template::{Body, answer_status, body, content_type};
use super::units::written;
use super::url::Url;
use crate::channel::TOLERANCE;
use crate::channel::template::CHALLENGE_NAMES;
use crate::channel::{Binding, ChallengeTemplate, Login, LoginPlace, Resume, SigningPage};
use crate::interaction::{Clocks, Level};
use crate::login::LoginPage;
use crate::login::page::{Label, Parameters};

/// Keys that mean nothing without a login page.
const COMPANIONS: &[&str] = &[
    "authentication_security_key",
    "authentication_return_keys",
    "authentication_parameters",
    "authentication_token_ttl",
    "challenge",
    "return_tolerance",
    "return_to",
    "interaction_label",
    "login_binding",
    "linking",
    "max_failures",
    "outcome",
    "resume",
    "replay_max_body",
    "notify",
    "release",
];

/// Keys that mean nothing without a login page of the operator's.
const OF_A_PAGE: &[&str] = &[
    "authentication_security_key",
    "authentication_return_keys",
    "authentication_parameters",
    "return_tolerance",
    "interaction_label",
];

/// Where customers can log in: at one of these.
pub(super) const PLACES: &[&str] = &["authentication_url", "oidc", "oauth", "login_page"];

const MINUTE: Duration = Duration::from_secs(60);

/// The clocks.
pub(super) fn clocks(table: &Table<'_>, levels: &Levels) -> Clocks {
    let read = |name| {
        let node = table.get(name)?;
        Some((node, node.duration()?))
    };
    let token = read("authentication_token_ttl");
    let authentication = read("authentication_timeout");
    let interaction = read("interaction_timeout");
    let absolute = read("absolute_timeout");
    let own = table.get("level_timeouts");
    let own = own.map_or(Vec::new(), |node| level_timeouts(node, levels));
    falling(&own, authentication.map(|(_, span)| span), levels);
    if let Some((limit, most)) = absolute {
        let spans = own.iter().map(|(_, node, span)| (*node, *span));
        let all = [token, authentication, interaction].into_iter().flatten();
        for (node, span) in all.chain(spans) {
            if span > most {
                let message = format!(
                    "`{}` can never run out: `absolute_timeout` is shorter",
                    node.name
                );
                node.clash(limit, message);
            }
        }
    }
    if let (Some((node, ttl)), Some((_, idle))) = (token, interaction)
        && ttl > idle
    {
        node.warn(Wrong::new(
            "an idle interaction ends before its login URL does",
            "make `interaction_timeout` the longer one",
        ));
    }
    if let (Some(node), None, None, None) = (
        PLACES.iter().find_map(|name| table.get(name)),
        token,
        interaction,
        absolute,
    ) && !table.has("authentication_token_ttl")
    {
        node.warn(Wrong::new(
            "login URLs of this channel never expire, and neither do its interactions",
            "set `authentication_token_ttl` or `interaction_timeout`",
        ));
    }
    let span = |read: Option<(Node<'_>, Duration)>| read.map(|(_, span)| span);
    Clocks {
        token_ttl: span(token),
        authentication_timeout: span(authentication),
        level_timeouts: own.iter().map(|(level, _, span)| (*level, *span)).collect(),
        interaction_timeout: span(interaction),
        absolute_timeout: span(absolute),
    }
}

type LevelTimeout<'t> = (Level, Node<'t>, Duration);

/// `[channel.NAME.level_timeouts]`.
fn level_timeouts<'t>(node: Node<'t>, levels: &Levels) -> Vec<LevelTimeout<'t>> {
    let Some(table) = node.table() else {
        return Vec::new();
    };
    let mut own: Vec<_> = (table.entries().into_iter())
        .filter_map(|entry| Some((levels.named(entry)?, entry, entry.duration()?)))
        .collect();
    own.sort_by_key(|(level, ..)| *level);
    own
}

/// Reports a level that would end before a higher one does: what a login falls back to
/// would be over by then.
fn falling(own: &[LevelTimeout<'_>], usual: Option<Duration>, levels: &Levels) {
    let all = (1..=levels.highest().0).map(|number| {
        let named = own.iter().find(|(level, ..)| level.0 == number);
        let span = named.map(|(_, _, span)| *span).or(usual);
        (Level(number), named.map(|(_, node, _)| *node), span)
    });
    let all: Vec<_> = all.collect();
    for pair in all.windows(2) {
        let [(lower, below, least), (higher, above, most)] = pair else {
            continue;
        };
        let (Some(least), Some(node)) = (least, above.or(*below)) else {
            continue;
        };
        if most.is_none_or(|most| most > *least) {
            let (lower, higher) = (levels.name(*lower), levels.name(*higher));
            let message = format!(
                "the level `{lower}` ends before the higher `{higher}`: after {}",
                written(*least)
            );
            let help = "a login falls back to the lower level, so give that at least as long";
            node.error_key(Wrong::new(message, help));
        }
    }
}

/// The login, if there is a place for it.
pub(super) fn login(table: &Table<'_>, shared: &Shared<'_>) -> Option<Login> {
    let levels = shared.levels;
    let mut places = PLACES.iter().filter_map(|name| table.get(name));
    let Some(node) = places.next() else {
        orphans(table);
        return None;
    };
    let place = match node.name {
        "oidc" => provider(node, levels).map(|provider| LoginPlace::Provider(Box::new(provider))),
        "oauth" => oauth::server(node, levels).map(|server| LoginPlace::Provider(Box::new(server))),
        "login_page" => login_page(node, shared).map(|form| LoginPlace::Form(Box::new(form))),
        _ => page(table, node).map(|page| LoginPlace::Page(Box::new(page))),
    };
    if let Some(other) = places.next() {
        other.clash(
            node,
            format!(
                "`{}` and `{}` exclude each other: customers log in at one place",
                other.name, node.name
            ),
        );
        match other.name {
            "oidc" => drop(provider(other, levels)),
            "oauth" => drop(oauth::server(other, levels)),
            _ => drop(login_page(other, shared)),
        }
    } else if node.name != "authentication_url" {
        foreign(table, node);
    }
    let challenge = table.need("challenge");
    let return_to = table.get("return_to").map(|node| node.parse(back));
    let bindings = [
        ("off", Binding::Off),
        ("same-browser", Binding::SameBrowser),
        ("confirm", Binding::Confirm),
        ("linked", Binding::Linked),
    ];
    let binding = table
        .get("login_binding")
        .map_or(Some(Binding::Off), |node| node.choice(&bindings));
    let linking = linking(table, binding);
    let outcomes = table.get("outcome").and_then(outcomes);
    let max_failures = table
        .get("max_failures")
        .and_then(|node| node.integer(1..=100));
    let max_failures = max_failures.and_then(|most| u32::try_from(most).ok());
    let resume = resume(table);
    let owned = table.has("owner");
    let continues = match &resume {
        Some(Resume::Replay { .. } | Resume::Release(_)) => owned,
        _ => false,
    };
    let challenge = challenge.and_then(|node| self::challenge(node, continues));
    Some(Login {
        place: place?,
        challenge: challenge?,
        resume: resume?,
        binding: binding.unwrap_or_default(),
        linking,
        outcomes,
        max_failures,
        return_to: return_to
            .unwrap_or(Some("".into()))
            .filter(|text| !text.is_empty()),
    })
}

/// The operator's own page.
fn page(table: &Table<'_>, url: Node<'_>) -> Option<SigningPage> {
    let keys = table
        .need("authentication_security_key")
        .and_then(security_keys);
    let parameters = parameters(table.get("authentication_parameters"));
    let return_keys = table
        .get("authentication_return_keys")
        .and_then(|node| node.list(public_key));
    let tolerance = table
        .get("return_tolerance")
        .and_then(|node| node.duration_up_to(60 * MINUTE));
    let labels = [("hash", Label::Hash), ("id", Label::Id)];
    let label = table
        .get("interaction_label")
        .and_then(|node| node.choice(&labels));
    let page = url.private_url("authentication").and_then(|checked| {
        let page = LoginPage::new(&checked.text, parameters?, label.unwrap_or(Label::Hash));
        page.map_err(|message| url.error(message)).ok()
    });
    Some(SigningPage {
        page: page?,
        keys: keys?,
        return_keys: return_keys.unwrap_or_default(),
        tolerance: tolerance.unwrap_or(TOLERANCE),
    })
}

/// Reports what goes with a page of the operator's only.
fn foreign(table: &Table<'_>, place: Node<'_>) {
    for node in OF_A_PAGE.iter().filter_map(|name| table.get(name)) {
        let message = format!("`{}` goes with `authentication_url`", node.name);
        node.clash(place, message);
    }
}

/// Reports what means nothing without a place to log in.
fn orphans(table: &Table<'_>) {
    let found = COMPANIONS.iter().filter_map(|name| table.get(name));
    let found: Vec<_> = found.collect();
    let names: Vec<_> = found
        .iter()
        .map(|node| format!("`{}`", node.name))
        .collect();
    if let Some(first) = found.first() {
        first.error_key(Wrong::new(
            format!("{} without `authentication_url`", names.join(", ")),
            "name the page where customers log in, or write [channel.NAME.oidc], [channel.NAME.oauth] or [channel.NAME.login_page], or leave this out",
        ));
    }
}

/// Where the browser goes after a return; a fragment is welcome.
fn back(text: &str) -> Result<Box<str>, Wrong> {
    let without = text.split('#').next().unwrap_or_default();
    Url::parse(without)?;
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("this is not a URL".into());
    }
    Ok(text.into())
}

fn names(parameters: &Parameters) -> impl Iterator<Item = &str> {
    [
        &parameters.token,
        &parameters.callback,
        &parameters.channel,
        &parameters.interaction,
        &parameters.time,
        &parameters.level,
    ]
    .into_iter()
    .flatten()
    .chain([&parameters.signature])
    .map(|name| &**name)
}

fn parameters(node: Option<Node<'_>>) -> Option<Parameters> {
    let table = node.map(Node::table);
    let table = match &table {
        Some(None) => return None,
        Some(Some(table)) => Some(table),
        None => None,
    };
    let mut taken: Vec<(Box<str>, Node<'_>)> = Vec::new();
    let mut read = |name: &'static str| -> Option<Box<str>> {
        let Some(node) = table.and_then(|table| table.get(name)) else {
            return Some(name.into());
        };
        let text = node.parse(parameter)?;
        if text.is_empty() {
            return None;
        }
        if let Some((_, other)) = taken.iter().find(|(known, _)| *known == text) {
            node.clash(*other, "two parameters have the same name");
        }
        taken.push((text.clone(), node));
        Some(text)
    };
    let parameters = Parameters {
        token: read("token"),
        callback: read("callback"),
        channel: read("channel"),
        interaction: read("interaction"),
        time: read("time"),
        level: read("level"),
        signature: read("signature").unwrap_or_default(),
    };
    if let Some(table) = table {
        if parameters.token.is_none() && parameters.callback.is_none() {
            table.error("the login page needs `token` or `callback` to answer");
        }
        if parameters.signature.is_empty() {
            table
                .error("`signature` cannot be left out: without it a login URL could be anybody's");
        }
        // A default can meet a name that was given to another parameter.
        let mut all: Vec<_> = names(&parameters).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        if all.len() < count && taken.len() < count {
            table.error("a name given here is the usual name of another parameter");
        }
    }
    Some(parameters)
}

fn parameter(text: &str) -> Result<Box<str>, &'static str> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    if text.len() > 64 || !text.bytes().all(legal) {
        return Err("a parameter's name has letters, digits and -._~ only");
    }
    Ok(text.into())
}

fn challenge(node: Node<'_>, continues: bool) -> Option<ChallengeTemplate> {
    let table = node.table()?;
    let status = table.get("status").map(answer_status);
    let (captures, names) = captured(&table);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let headers = table
        .get("headers")
        .and_then(|node| node.header_templates(&names));
    let body = challenging(&table, &names, continues)?;
    let mut headers = headers.unwrap_or_default();
    headers.extend(content_type(&body.content_type));
    Some(ChallengeTemplate {
        status: status.unwrap_or(Some(http::StatusCode::OK))?,
        headers,
        body: body.template,
        captures,
    })
}

/// A challenge that is a message, with a body and nothing else.
pub(super) fn message_challenge(node: Node<'_>) -> Option<ChallengeTemplate> {
    let table = node.table()?;
    if let Some(kind) = table.get("content_type") {
        kind.error_key("a message has no content type");
    }
    let (captures, names) = captured(&table);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Some(ChallengeTemplate {
        status: http::StatusCode::OK,
        headers: Vec::new(),
        body: challenging(&table, &names, false)?.template,
        captures,
    })
}

/// The captures of a challenge, and the variables that it has with them.
fn captured(table: &Table<'_>) -> (Vec<(Box<str>, crate::message::Selector)>, Vec<String>) {
    let captures = table.get("capture").map(captures).unwrap_or_default();
    let fixed = CHALLENGE_NAMES.iter().map(|name| (*name).to_owned());
    let names = fixed
        .filter(|name| name != "capture" || !captures.is_empty())
        .chain(captures.iter().map(|(name, _)| format!("capture.{name}")))
        .collect();
    (captures, names)
}

/// The body of a challenge.
fn challenging(table: &Table<'_>, names: &[&str], continues: bool) -> Option<Body> {
    let body = body(table, names)?;
    if !body.mentions("login_url") {
        let help = "put {{ login_url }} where the customer can see it";
        table.warn(Wrong::new(
            "the challenge does not say where to log in",
            help,
        ));
    }
    if body.mentions("continue_url") && !continues {
        let help = "set resume = \"replay\" or \"release\" and an `owner`, or leave it out";
        table.warn(Wrong::new("nothing will ever wait at `continue_url`", help));
    }
    Some(body)
}

fn captures(node: Node<'_>) -> Vec<(Box<str>, crate::message::Selector)> {
    let Some(table) = node.table() else {
        return Vec::new();
    };
    let mut captures = Vec::new();
    for node in table.entries() {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let begins = |b: &u8| b.is_ascii_alphabetic() || *b == b'_';
        if !node.name.bytes().all(legal) || !node.name.as_bytes().first().is_some_and(begins) {
            node.error_key("a capture's name is a variable: letters, digits and _");
        }
        let selector = node.selector(Scope::Exchange);
        captures.extend(selector.map(|selector| (node.name.into(), selector)));
    }
    captures
}

/// Whether customers of this channel log in anywhere.
pub(super) fn logs_in(table: &Table<'_>) -> bool {
    PLACES.iter().any(|name| table.has(name))
}
