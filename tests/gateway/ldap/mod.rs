//! The company's records in LDAP, and the login page whose customers live there.
//!
//! | module | what |
//! |---|---|
//! | `directory` | the client against a real slapd: TLS, two records, a server that dies or says nothing |
//! | `page` | customers log in on our own page |
//! | `hostile` | forms that are forged, guessed, or sent too often |

mod directory;
mod hostile;
mod page;

use crate::setup::{self, OWNER, bot, login_url, statement};
use crate::support::browser::path_of;
use crate::support::{Answer, Browser, Gateway, Origin, Request, Slapd, login};

/// The login page of most tests: whoever has an entry with this `uid` or `mail`.
pub const FILTER: &str =
    "(&(objectClass=inetOrgPerson)(|(uid={{ username }})(mail={{ username }})))";

/// The channel that most tests use, with its login on our own page. `settings` go into
/// the channel's table, `page` into that of the page; `directory` is its table.
pub fn tables(origin: &Origin, settings: &str, page: &str, directory: &str) -> String {
    let channel = setup::channel(origin, settings, OWNER).replace(login::LOGIN, "");
    format!(
        "{channel}\n[channel.web.login_page]\ndirectory = \"people\"\nfilter = \"{FILTER}\"\n\
         subject = \"uid\"\n{page}\n{directory}"
    )
}

/// A gateway in front of the usual bot, whose customers live in a real slapd.
pub fn gateway(page: &str) -> Option<(Gateway, Slapd)> {
    let slapd = Slapd::start()?;
    let tables = tables(&bot(), "resume = \"replay\"", page, &slapd.table(""));
    Some((Gateway::start(&tables), slapd))
}

/// A customer before the login page.
pub struct Visitor {
    /// Their browser.
    pub browser: Browser,
    /// The challenge that they came with.
    pub challenge: Answer,
    /// The login URL.
    pub url: String,
    /// The page as they last saw it.
    pub page: Answer,
}

impl Visitor {
    /// Whose chat asks for a login, and who follows the link.
    pub fn new(gateway: &Gateway, chat: &str) -> Self {
        let mut browser = gateway.browser();
        let challenge = statement(&mut browser, chat);
        let url = login_url(&challenge);
        Self {
            challenge,
            ..Self::before(browser, &url)
        }
    }

    /// Who follows a login URL, from wherever.
    pub fn before(mut browser: Browser, url: &str) -> Self {
        let page = browser.get(url);
        assert_eq!(page.status, 200, "{}", page.text());
        Self {
            browser,
            challenge: page.clone(),
            url: url.to_owned(),
            page,
        }
    }

    /// What ties the page to this browser.
    pub fn seal(&self) -> String {
        let text = self.page.text();
        let (_, rest) = text.split_once("name=\"seal\" value=\"").expect("a form");
        rest.split('"').next().unwrap().to_owned()
    }

    /// A form that is yet to be sent.
    pub fn form(&self, name: &str, password: &str) -> Request {
        let fields = [
            ("username", name),
            ("password", password),
            ("seal", &self.seal()),
        ]
        .map(|(key, value)| format!("{key}={}", encode(value)));
        posted(&self.url, &fields.join("&"))
    }

    /// Sends name and password; the answer, which is the page from now on if it is one.
    pub fn log_in(&mut self, name: &str, password: &str) -> Answer {
        let form = self.form(name, password);
        self.send(form)
    }

    /// Sends a form.
    pub fn send(&mut self, form: Request) -> Answer {
        let answer = self.browser.send(form);
        if answer.contains("name=\"seal\"") {
            self.page = answer.clone();
        }
        answer
    }
}

/// A form as browsers send it.
pub fn posted(url: &str, body: &str) -> Request {
    Request::new("POST", path_of(url))
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(body)
}

pub fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Where an answer leads: a code of our own page, or the whole place.
pub fn leads(answer: &Answer) -> String {
    assert_eq!(answer.status, 303, "{}", answer.text());
    let place = answer.header("location").unwrap();
    let code = place.strip_prefix("/.chatgate/done/");
    // The page has the looks of the channel where that is known.
    let code = code.map(|code| code.trim_end_matches("?channel=web"));
    code.unwrap_or(place).to_owned()
}

/// What the page says was wrong.
pub fn notice(answer: &Answer) -> String {
    let text = answer.text();
    let (_, rest) = text
        .split_once("id=\"notice\">")
        .unwrap_or_else(|| panic!("no notice: {text}"));
    rest.split('<').next().unwrap().to_owned()
}

/// How often a login on the channel ended so.
pub fn counted(gateway: &Gateway, reason: &str) -> f64 {
    let labels = [("channel", "web"), ("reason", reason)];
    gateway.metrics().sum("chatgate_login_returns", &labels)
}
