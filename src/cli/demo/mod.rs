//! `chatgate demo`: gateway, sample bot and sample website in one process, to
//! play with. It listens on loopback only and writes no file.
//!
//! ```text
//! browser, curl ──▶ chatgate :8080 ──┬─▶ bot      chat, and the agent's desk
//!                                    └─▶ website  front page, login page, session
//! ```

mod bot;
mod recent;
mod server;
mod website;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bot::Bot;
use website::{Setting, Website};

use crate::login::SecurityKeys;
use crate::time::Clock;

/// The channel of `conf/demo/chatgate.toml`.
const CHANNEL: &str = "web";

/// What can be chosen.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Where to listen; loopback only, since everybody knows the passwords.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// How many seconds a login counts.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub authentication_timeout: u64,
    /// How many seconds a login link works.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub token_ttl: u64,
    /// How much is logged: error, warn, info, debug, trace.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log: String,
}

/// Starts bot and website, each on a thread of its own and a free port, and
/// hands out the gateway's configuration in front of them.
///
/// # Errors
/// When a socket cannot be had, or `listen` is not a loopback address.
pub fn start(args: &Args, clock: &Clock) -> io::Result<String> {
    if !args.listen.ip().is_loopback() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the demo listens on loopback only: everybody knows its passwords",
        ));
    }
    let public_url = format!("http://{}", args.listen);
    let key = SecurityKeys::generate();
    let keys = SecurityKeys::parse([key.as_str()]).map_err(io::Error::other)?;
    let authentication_timeout = Duration::from_secs(args.authentication_timeout);

    let (listener, bot) = server::listen()?;
    server::serve(listener, Bot::new(clock.clone(), authentication_timeout))?;

    let (listener, website) = server::listen()?;
    let setting = Setting {
        return_url: format!("{public_url}/.chatgate/return/{CHANNEL}"),
        public_url: public_url.clone(),
        channel: CHANNEL.to_owned(),
        keys,
        authentication_timeout,
        token_ttl: Duration::from_secs(args.token_ttl),
    };
    let site = Website::new(setting, clock.clone()).map_err(io::Error::other)?;
    server::serve(listener, site)?;

    Ok(fill(&[
        ("public_url", &public_url),
        ("listen", &args.listen.to_string()),
        ("bot", &format!("http://{bot}")),
        ("website", &format!("http://{website}")),
        ("key", &key),
        (
            "authentication_timeout",
            &format!("{}s", args.authentication_timeout),
        ),
        ("token_ttl", &format!("{}s", args.token_ttl)),
        ("log_level", &args.log),
    ]))
}

/// `conf/demo/chatgate.toml` with its words filled in.
fn fill(words: &[(&str, &str)]) -> String {
    let template = include_str!("../../../conf/demo/chatgate.toml").to_owned();
    words.iter().fold(template, |text, (name, value)| {
        text.replace(&format!("@{name}@"), value)
    })
}
