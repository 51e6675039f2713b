//! `chatgate demo`: gateway, sample bot and sample website in one process, to
//! play with. It listens on loopback only and leaves no file behind.
//!
//! ```text
//! browser, curl ──▶ chatgate :8080 ──┬─▶ bot      chat, and the agent's desk
//!                                    └─▶ website  front page, login page, session
//! bot ──webhook───▶ chatgate :8080 ────▶ website  the client that the bot writes to
//! ```

mod bot;
mod callback;
mod inbox;
mod logins;
mod recent;
mod server;
mod socket;
mod website;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use bot::Bot;
use callback::Callback;
use website::{Setting, Website};

use logins::Login;
pub use logins::Place;

use super::check::shown;
use crate::config::{self, Config, Diagnostic};
use crate::gateway::{self, Options};
use crate::login::SecurityKeys;
use crate::secret::{Secret, random};
use crate::telemetry;
use crate::time::Clock;

/// What can be chosen. Durations are written as in the configuration.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Where to listen; loopback only, since everybody knows the passwords.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// How long a login counts.
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    pub authentication_timeout: String,
    /// How long a login link works.
    #[arg(long, value_name = "DURATION", default_value = "2m")]
    pub token_ttl: String,
    /// Where customers can log in [default: wherever this machine has something for it].
    #[arg(long = "login", value_name = "PLACE")]
    pub logins: Vec<Place>,
    /// How much is logged: error, warn, info (every exchange, the page's own polling too), debug, trace.
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    pub log: String,
}

/// Starts everything, says where it is, and serves until it is told to end.
///
/// # Errors
/// As [`start`] and [`gateway::serve`].
pub fn run(args: &Args) -> Result<(), String> {
    let clock = Clock::system();
    let config = start(args, &clock)?;
    telemetry::init(config.log.json, config.log.level);
    println!("{}", welcome(args));
    gateway::serve(Options {
        config,
        source: None,
        clock,
        stop: None,
    })
}

/// What a newcomer needs to know.
fn welcome(args: &Args) -> String {
    let Args {
        listen,
        authentication_timeout,
        token_ttl,
        ..
    } = args;
    format!(
        "
  chatgate demo

  Open           http://{listen}/
  Log in as      alice, with the password wonderland
  Clocks         a login counts for {authentication_timeout}, a login link works for {token_ttl}
  Or with curl   curl -b jar -c jar http://{listen}/webhooks/rest/webhook \\
                   -H 'Content-Type: application/json' -d '{{\"sender\":\"me\",\"message\":\"statement\"}}'

  Ctrl-C ends it. With --log info, each exchange and its verdict is shown here.
"
    )
}

/// Starts bot and website, each on a thread of its own and a free port, and
/// hands out the configuration of the gateway in front of them.
///
/// # Errors
/// In words for whoever typed the command: a socket cannot be had, `listen` is
/// not a loopback address, a duration or log level cannot be read.
pub fn start(args: &Args, clock: &Clock) -> Result<Config, String> {
    if !args.listen.ip().is_loopback() {
        return Err("the demo listens on loopback only: everybody knows its passwords".into());
    }
    // Found out here, it can be said in words.
    TcpListener::bind(args.listen).map_err(|error| {
        let listen = args.listen;
        format!("cannot listen on {listen}: {error}; choose another place with --listen")
    })?;
    let no_socket = |error| format!("no free port on loopback: {error}");
    let (bot_socket, bot) = server::listen().map_err(no_socket)?;
    let (site_socket, site) = server::listen().map_err(no_socket)?;

    let webhook_key = hex::encode(random::<32>());
    let public_url = format!("http://{}", args.listen);
    let logins = logins(args, &format!("{public_url}/.chatgate"))?;
    let mut words = vec![
        ("public_url", public_url),
        ("listen", args.listen.to_string()),
        ("bot", format!("http://{bot}")),
        ("website", format!("http://{site}")),
        ("key", SecurityKeys::generate()),
        ("webhook_key", webhook_key.clone()),
        (
            "authentication_timeout",
            args.authentication_timeout.clone(),
        ),
        ("token_ttl", args.token_ttl.clone()),
        ("log_level", args.log.clone()),
    ];
    words.extend(logins.iter().flat_map(|login| login.words.clone()));
    let places: Vec<_> = logins.iter().map(|login| login.place).collect();
    let text = fill(&places, &words);
    // The warnings are of the keys in the text; this text is in no file.
    let (config, _) =
        config::parse(text, Path::new("conf/demo/chatgate.toml")).map_err(|mistakes| {
            let errors: Vec<_> = mistakes.into_iter().filter(Diagnostic::is_error).collect();
            format!("the demo cannot start like this\n{}", shown(&errors))
        })?;

    let setting =
        Setting::of(&config, Place::Page.channel()).ok_or("the channel has no login and clocks")?;
    let callback = Callback::new(args.listen, Secret::new(webhook_key));
    let bot = Bot::new(clock.clone(), setting.authentication_timeout, callback);
    let site = Website::new(setting, clock.clone(), logins).map_err(|error| error.to_string())?;
    let no_thread = |error| format!("cannot start: {error}");
    server::serve(bot_socket, bot).map_err(no_thread)?;
    server::serve(site_socket, site).map_err(no_thread)?;
    Ok(config)
}

/// Opens the places where customers log in: those that were asked for, or all that
/// can be had. The website's own page is always one.
fn logins(args: &Args, endpoints: &str) -> Result<Vec<Login>, String> {
    let mut open = vec![Place::Page.open(endpoints)?];
    for place in [Place::Ldap, Place::Oidc] {
        let asked = args.logins.contains(&place);
        if asked && !place.is_there() {
            return Err(place.wants().into());
        }
        let usual = args.logins.is_empty() && place.is_there();
        if !(asked || usual) {
            continue;
        }
        match place.open(endpoints) {
            Ok(login) => open.push(login),
            Err(why) if asked => return Err(why),
            Err(why) => eprintln!("no login by {}: {why}", place.channel()),
        }
    }
    Ok(open)
}

/// The configuration, with a channel for each place, and its words filled in.
fn fill(places: &[Place], words: &[(&str, String)]) -> String {
    let channel = |place: &Place| {
        include_str!("../../../conf/demo/channel.toml")
            .replace("@login@", place.keys().trim_end())
            .replace("@channel@", place.channel())
            .replace("@prefix@", place.prefix())
    };
    let channels: Vec<_> = places.iter().map(channel).collect();
    let tables: String = places.iter().map(|place| place.table()).collect();
    let template = include_str!("../../../conf/demo/chatgate.toml")
        .replace("@directory@", &tables)
        .replace("@channels@", &channels.join("\n"));
    words.iter().fold(template, |text, (name, value)| {
        text.replace(&format!("@{name}@"), value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Severity;

    fn args(listen: &str) -> Args {
        Args {
            listen: listen.parse().unwrap(),
            authentication_timeout: "60s".into(),
            token_ttl: "2m".into(),
            logins: vec![Place::Page],
            log: "info".into(),
        }
    }

    #[test]
    fn the_configuration_has_no_mistake_and_warns_of_its_keys() {
        let words = [
            ("public_url", "http://127.0.0.1:8080".to_owned()),
            ("listen", "127.0.0.1:8080".to_owned()),
            ("bot", "http://127.0.0.1:5005".to_owned()),
            ("website", "http://127.0.0.1:8081".to_owned()),
            ("key", SecurityKeys::generate()),
            ("webhook_key", hex::encode(random::<32>())),
            ("authentication_timeout", "60s".to_owned()),
            ("token_ttl", "2m".to_owned()),
            ("log_level", "info".to_owned()),
            ("issuer", "http://127.0.0.1:3000".to_owned()),
            ("client_secret", "not a secret".to_owned()),
            ("ldap", "127.0.0.1:389".to_owned()),
            ("ldap_password", "not a secret".to_owned()),
        ];
        let text = fill(&Place::ALL, &words);
        let (_, warnings) = config::parse(text, Path::new("demo.toml"))
            .map_err(|mistakes| shown(&mistakes))
            .unwrap();
        let of_a_key = |warning: &Diagnostic| {
            warning.severity == Severity::Warning
                && warning
                    .message
                    .contains("is written into the configuration itself")
        };
        assert!(warnings.iter().all(of_a_key), "{}", shown(&warnings));
    }

    #[test]
    fn what_cannot_be_started_is_told_in_words() {
        let clock = Clock::system();
        let open = start(&args("0.0.0.0:0"), &clock).unwrap_err();
        assert!(open.contains("loopback"));
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = taken.local_addr().unwrap().to_string();
        assert!(
            start(&args(&taken), &clock).is_err(),
            "the socket is closed"
        );
        let mut odd = args("127.0.0.1:0");
        odd.token_ttl = "two minutes".into();
        assert!(start(&odd, &clock).unwrap_err().contains("two minutes"));
    }
}
