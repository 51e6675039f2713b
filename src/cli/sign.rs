//! `chatgate sign`: makes what a login page would send back, or a logout, for trying
//! things out.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use super::say;
use crate::channel::{Channel, Login};
use crate::cli::check;
use crate::config::Config;
use crate::login::page::callback_url;
use crate::login::{LoginToken, SecurityKeys, returned, webhook};
use crate::message::target::pairs;
use crate::secret;
use crate::time::{Clock, Time};

/// How long a browser's return is valid, unless the channel tolerates less.
const VALID: Duration = Duration::from_secs(120);

/// Make a valid return of a login page, for trying things out.
///
/// Prints a curl command that posts it, or the URL that a browser would be sent to.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The login URL, the callback URL out of it, or the bare token
    #[arg(required_unless_present = "logout", conflicts_with = "logout")]
    pub login: Option<String>,
    /// Make a logout instead: `subject=alice`, `interaction=…` or `session=…`
    #[arg(long, value_name = "WHOM", requires = "channel", conflicts_with_all = ["browser", "subject", "claims", "level"])]
    pub logout: Option<String>,
    /// Take key, parameter names and our own address from this configuration
    #[arg(long, short, value_name = "FILE", conflicts_with = "key")]
    pub config: Option<PathBuf>,
    /// The security key, or a file that holds it
    #[arg(long, short, value_name = "KEY|FILE")]
    pub key: Option<String>,
    /// The channel; unset: as the URL says, or the only one with a login
    #[arg(long)]
    pub channel: Option<String>,
    /// Where to return to; unset: as the URL or the configuration says
    #[arg(long, value_name = "URL")]
    pub callback: Option<String>,
    /// How the login ended
    #[arg(long, value_enum, default_value_t = Outcome::Success)]
    pub outcome: Outcome,
    /// Who it is; needed for success
    #[arg(long, short)]
    pub subject: Option<String>,
    /// What else is known, a JSON object
    #[arg(long, value_name = "JSON")]
    pub claims: Option<String>,
    /// The level that the login reached
    #[arg(long)]
    pub level: Option<String>,
    /// The URL of a return by the browser, instead of a POST
    #[arg(long)]
    pub browser: bool,
}

/// How a login ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Outcome {
    /// The customer logged in
    Success,
    /// The customer could not log in
    Failure,
    /// The customer did not want to
    Cancel,
}

/// Prints the return.
pub fn run(args: &Args) -> Result<(), String> {
    let config = args.config.as_deref().map(load).transpose()?;
    let now = Clock::system().now();
    let signed = match &args.logout {
        Some(whom) => Signed::logout(args, config.as_ref(), whom, now)?,
        None => Signed::new(args, config.as_ref(), now)?,
    };
    say(&format!("{signed}\n"));
    Ok(())
}

/// A return, ready to be sent.
enum Signed {
    Post {
        url: String,
        headers: Vec<(HeaderName, HeaderValue)>,
        body: String,
    },
    Browser {
        url: String,
    },
}

impl Signed {
    fn new(args: &Args, config: Option<&Config>, now: Time) -> Result<Self, String> {
        let Place {
            token,
            channel,
            callback,
        } = Place::find(args, config)?;
        let page = |channel: &Channel| {
            let page = channel.login.as_ref().and_then(Login::page);
            page.map(|page| (page.keys.clone(), page.tolerance))
        };
        let (keys, valid) = keys(args, config, &channel, "no login page", page)?;
        let url = callback_url(&callback, &token);
        let mut members = members(args)?;
        members.insert("token".into(), token.expose().into());
        members.insert("channel".into(), channel.into());

        if !args.browser {
            return Ok(Self::post(url, &keys, members, now));
        }
        if let Some(subject) = members.remove("subject") {
            members.insert("sub".into(), subject);
        }
        members.insert("iat".into(), now.secs().into());
        members.insert("exp".into(), (now + valid).secs().into());
        let jwt = jwt(&keys, &Value::Object(members));
        let url = format!("{url}&{}={jwt}", returned::RETURN);
        Ok(Self::Browser { url })
    }

    /// A logout, as the operator's server sends it.
    fn logout(args: &Args, config: Option<&Config>, whom: &str, now: Time) -> Result<Self, String> {
        let channel = args.channel.as_deref().unwrap_or_default();
        let (name, value) = whom.split_once('=').unwrap_or_default();
        if !["interaction", "subject", "session"].contains(&name) || value.is_empty() {
            return Err("--logout: write subject=…, interaction=… or session=…".into());
        }
        let own = |channel: &Channel| {
            let keys = channel.logout_keys();
            keys.map(|(keys, tolerance)| (keys.clone(), tolerance))
        };
        let (keys, _) = keys(args, config, channel, "no key for logouts", own)?;
        let own = config.map(|config| config.own_url("/logout/", channel));
        let url = (args.callback.clone().or(own))
            .ok_or("--callback is needed: nothing else says where to send it")?;
        let members = Map::from_iter([
            ("channel".to_owned(), channel.into()),
            (name.to_owned(), value.into()),
        ]);
        Ok(Self::post(url, &keys, members, now))
    }

    fn post(url: String, keys: &SecurityKeys, members: Map<String, Value>, now: Time) -> Self {
        let body = Value::Object(members).to_string();
        let id = secret::id("msg_");
        let headers = webhook::sign(keys, &id, now, body.as_bytes()).into();
        Self::Post { url, headers, body }
    }
}

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (url, headers, body) = match self {
            Self::Browser { url } => return f.write_str(url),
            Self::Post { url, headers, body } => (url, headers, body),
        };
        writeln!(f, "curl -sS {} \\", quoted(url))?;
        writeln!(f, "  -H 'content-type: application/json' \\")?;
        for (name, value) in headers {
            let value = value.to_str().unwrap_or_default();
            writeln!(f, "  -H {} \\", quoted(&format!("{name}: {value}")))?;
        }
        write!(f, "  --data-raw {}", quoted(body))
    }
}

/// What the return is for.
struct Place {
    token: LoginToken,
    channel: String,
    /// Without the token.
    callback: String,
}

impl Place {
    fn find(args: &Args, config: Option<&Config>) -> Result<Self, String> {
        let known = config.and_then(|config| known(args, config));
        let names = known
            .and_then(|channel| channel.login.as_ref())
            .and_then(|login| login.page())
            .map(|signing| signing.page.parameters.clone())
            .unwrap_or_default();
        let login = args.login.as_deref().unwrap_or_default();
        let (address, query) = login.split_once('?').unwrap_or((login, ""));
        let values = pairs(query);
        let value = |name: &Option<Box<str>>| {
            let name = name.as_deref()?;
            let (_, value) = values.iter().find(|(known, _)| known == name)?;
            Some(value.as_str())
        };

        // Three ways to say it: a login URL with a callback in it, a login URL with
        // the bare token, a callback URL. Only a login URL is signed.
        let inside = value(&names.callback).and_then(|url| url.split_once("?token="));
        let signed = value(&Some(names.signature.clone())).is_some();
        let (found, token) = match inside {
            Some((callback, token)) => (Some(callback), token),
            None if signed => (None, value(&names.token).unwrap_or_default()),
            None if query.is_empty() => (None, login),
            None => (
                Some(address),
                value(&Some(returned::TOKEN.into())).unwrap_or_default(),
            ),
        };
        let token = LoginToken::parse(token)
            .ok_or("neither a login URL, nor a callback URL, nor a login token")?;

        let found = args.callback.as_deref().or(found);
        let last = |url: &str| url.rsplit_once('/').map(|(_, last)| last.to_owned());
        let channel = args
            .channel
            .clone()
            .or_else(|| value(&names.channel).map(Into::into))
            .or_else(|| known.map(|channel| channel.name.to_string()))
            .or_else(|| found.and_then(last))
            .ok_or("--channel is needed: nothing else says which one")?;
        let callback = found
            .map(Into::into)
            .or_else(|| config.map(|config| config.own_url("/return/", &channel)))
            .ok_or("--callback is needed: nothing else says where to return to")?;
        Ok(Self {
            token,
            channel,
            callback,
        })
    }
}

/// The channel whose login it is, as far as the address tells: the one named, else
/// the only one whose page it is, else the only one with a login.
fn known<'c>(args: &Args, config: &'c Config) -> Option<&'c Channel> {
    if let Some(name) = &args.channel {
        return config.channel(name).map(AsRef::as_ref);
    }
    let address = |url: &'c str| url.split_once('?').map_or(url, |(address, _)| address);
    let login = args.login.as_deref().unwrap_or_default();
    let (called, _) = login.split_once('?').unwrap_or_default();
    let pages = || {
        let channels = config.channels.iter().map(AsRef::as_ref);
        channels.filter_map(|channel: &Channel| {
            Some((channel, &*channel.login.as_ref()?.page()?.page.url))
        })
    };
    only(pages().filter(|(_, url)| address(url) == called))
        .or_else(|| only(pages()))
        .map(|(channel, _)| channel)
}

fn only<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    let first = items.next();
    first.filter(|_| items.next().is_none())
}

fn keys(
    args: &Args,
    config: Option<&Config>,
    channel: &str,
    lacks: &str,
    of: impl Fn(&Channel) -> Option<(SecurityKeys, Duration)>,
) -> Result<(SecurityKeys, Duration), String> {
    if let Some(key) = &args.key {
        let keys = SecurityKeys::parse([key.as_str()]);
        let keys = if key.starts_with("whsec_") {
            keys
        } else {
            let text = fs::read_to_string(key).map_err(|error| format!("--key: {error}"))?;
            SecurityKeys::parse([text.as_str()])
        };
        return Ok((keys?, VALID));
    }
    let config = config.ok_or("--config or --key is needed")?;
    let known = config.channel(channel);
    let known = known.ok_or_else(|| format!("there is no channel {channel:?}"))?;
    let (keys, tolerance) =
        of(known).ok_or_else(|| format!("the channel {channel:?} has {lacks}"))?;
    Ok((keys, tolerance.min(VALID)))
}

fn members(args: &Args) -> Result<Map<String, Value>, String> {
    let outcome = match args.outcome {
        Outcome::Success if args.subject.is_none() => {
            return Err("--subject is needed: a success says who it is".into());
        }
        Outcome::Success => "success",
        Outcome::Failure => "failure",
        Outcome::Cancel => "cancel",
    };
    let mut members = Map::new();
    members.insert("outcome".into(), outcome.into());
    if let Some(subject) = &args.subject {
        members.insert("subject".into(), subject.as_str().into());
    }
    if let Some(claims) = &args.claims {
        let claims: Map<String, Value> = serde_json::from_str(claims)
            .map_err(|error| format!("--claims: a JSON object is needed: {error}"))?;
        members.insert("claims".into(), claims.into());
    }
    if let Some(level) = &args.level {
        members.insert("level".into(), level.as_str().into());
    }
    Ok(members)
}

fn jwt(keys: &SecurityKeys, payload: &Value) -> String {
    let header = json!({"alg": "HS256", "typ": "JWT"});
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&header), part(payload));
    let mac = URL_SAFE_NO_PAD.encode(keys.sign(message.as_bytes()));
    format!("{message}.{mac}")
}

/// One word of a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn load(path: &Path) -> Result<Config, String> {
    match crate::config::load(path) {
        Ok((config, _)) => Ok(config),
        Err(diagnostics) => Err(check::shown(&diagnostics)),
    }
}

#[cfg(test)]
mod tests;
