//! The login at an OpenID provider.
//!
//! | module | what |
//! |---|---|
//! | `flow` | there and back, tabs, denials, levels, a provider that is away |
//! | `hostile` | what comes back is forged, replayed, or somebody else's |
//! | `logout` | the provider logs a customer out |
//! | `real` | against `oidc-provider`, a certified one |
//! | `canaille` | against Canaille, whose customers are in an LDAP server |

mod canaille;
mod flow;
mod hostile;
mod logout;
mod real;

use crate::setup::{self, OWNER, bot, login_url, statement};
use crate::support::browser::path_of;
use crate::support::{Answer, Browser, Gateway, Origin, Provider, login};

/// The channel that most tests use, with its login at a provider.
pub fn tables(origin: &Origin, provider: &Provider, settings: &str, oidc: &str) -> String {
    let channel = setup::channel(origin, settings, OWNER).replace(login::LOGIN, "");
    format!("{channel}\n{}", provider.table("web", oidc))
}

/// A gateway in front of the usual bot, which replays after a login at a provider.
pub fn gateway(oidc: &str) -> (Gateway, Provider) {
    let provider = Provider::start();
    let tables = tables(&bot(), &provider, "resume = \"replay\"", oidc);
    (Gateway::start(&tables), provider)
}

/// A customer on the way to the provider: the browser, the login URL, and the
/// authorization URL that it leads to.
pub fn departed(gateway: &Gateway, chat: &str) -> (Browser, String, String) {
    let mut browser = gateway.browser();
    let url = login_url(&statement(&mut browser, chat));
    let there = depart(&mut browser, &url);
    (browser, url, there)
}

/// Where a login URL leads.
pub fn depart(browser: &mut Browser, login_url: &str) -> String {
    let answer = browser.get(login_url);
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    answer.header("location").unwrap().to_owned()
}

/// How a callback ended: the code of the page that it leads to, or of the page itself.
pub fn outcome(browser: &mut Browser, callback: &str) -> String {
    code(&browser.get(path_of(callback)))
}

/// The reason code in an answer to a browser.
pub fn code(answer: &Answer) -> String {
    match answer.header("location") {
        Some(place) => {
            assert_eq!(answer.status, 303);
            let code = place.strip_prefix("/.chatgate/done/");
            code.unwrap_or_else(|| panic!("leads to {place}"))
                .to_owned()
        }
        None => {
            let text = answer.text();
            let rest = text.split_once("<small>").map_or(&*text, |(_, rest)| rest);
            let code = rest.split('<').next().unwrap_or_default();
            format!("{} {code}", answer.status)
        }
    }
}

/// Each of these errors, the outcome that it has to be, and whether the login URL stays
/// good. `more` is what else the server says.
pub fn denied(
    gateway: &Gateway,
    server: &Provider,
    more: &[(&str, &str)],
    cases: &[(&str, &str, bool)],
) {
    for (number, (error, wanted, keeps)) in cases.iter().enumerate() {
        let (mut browser, url, there) = departed(gateway, &format!("c{number}"));
        let said = [&[("error", *error), ("error_description", "<b>")], more].concat();
        let answer = browser.get(path_of(&server.back(&there, &said)));
        assert_eq!(code(&answer), *wanted, "{error}");
        assert!(!answer.contains("<b>") && !answer.contains("<script>"));
        if !keeps {
            assert_eq!(code(&browser.get(&url)), "token-used");
            continue;
        }
        assert!(answer.header("retry-after").is_some());
        let again = server.log_in(&depart(&mut browser, &url));
        assert_eq!(outcome(&mut browser, &again), "login-succeeded");
    }
}

/// Two channels that lack a provider: `web`, and `app` below `/app`. The bot is told the
/// customer's mail, too.
fn two_channels(origin: &Origin) -> String {
    let inject = "\"X-Customer-Id\" = \"subject\"";
    let web = setup::channel(origin, "", OWNER)
        .replace(login::LOGIN, "")
        .replace(inject, &format!("{inject}, \"X-Mail\" = \"claims.email\""));
    let app = web
        .replace("channel.web", "channel.app")
        .replace("path = \"/", "path = \"/app/")
        .replace(&origin.upstream("bot"), "");
    format!("{web}\n{app}")
}
