//! A real OpenID provider whose customers are in a real LDAP server: Canaille, and `slapd`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use super::browser::path_of;
use super::message::{Answer, Request};
use super::node::Node;
use super::slapd::{More, PEOPLE, Slapd};
use super::{Browser, ports};

/// The secret of its client `chatgate-web`. Not every form of it is the same encoded.
pub const SECRET: &str = "a secret: 50% +/=";

/// As whom it reads and writes.
const MANAGER: &str = "cn=canaille,dc=example,dc=com";
const MANAGER_PASSWORD: &str = "manager-canary";
/// Where it keeps what it writes.
const OAUTH: &str = "ou=oauth,dc=example,dc=com";

/// A running provider. It can be started again, and has new keys then.
pub struct Canaille {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where its customers are.
    pub slapd: Slapd,
    directory: TempDir,
    server: Option<Node>,
}

impl Canaille {
    /// An address for one. `None` where its packages (`.ci/setup canaille`) or the LDAP
    /// server are not installed: they are many, and not to be had everywhere.
    pub fn address() -> Option<SocketAddr> {
        if !program().is_file() || !Path::new("/usr/sbin/slapd").is_file() {
            eprintln!("skipped: no Python packages in tests/provider/canaille, or no slapd");
            return None;
        }
        Some(ports::free())
    }

    /// Starts one on an address of [`Canaille::address`], for clients whose endpoints
    /// are below this URL: `chatgate-web` with [`SECRET`], `chatgate-app` with the key `p256-b`.
    pub fn start(address: SocketAddr, endpoints: &str) -> Self {
        let schema = schema();
        let slapd = Slapd::with(&More {
            schema: &format!(
                "include {}\nmodulepath /usr/lib/ldap\nmoduleload memberof",
                schema.display()
            ),
            database: &format!("rootdn \"{MANAGER}\"\nrootpw {MANAGER_PASSWORD}\noverlay memberof"),
            entries: &entries(endpoints),
        });
        let slapd = slapd.expect("slapd");
        let directory = tempfile::tempdir().unwrap();
        let settings = format!(
            r#"SECRET_KEY = "0123456789abcdef0123456789abcdef"
SERVER_NAME = "{address}"
PREFERRED_URL_SCHEME = "http"
[CANAILLE]
DATABASE = "ldap"
JAVASCRIPT = false
[CANAILLE_LDAP]
URI = "ldap://{}"
ROOT_DN = "dc=example,dc=com"
BIND_DN = "{MANAGER}"
BIND_PW = "{MANAGER_PASSWORD}"
USER_BASE = "{PEOPLE}"
GROUP_BASE = "ou=groups,dc=example,dc=com"
[CANAILLE_OIDC]
"#,
            slapd.plain
        );
        std::fs::write(directory.path().join("canaille.toml"), settings).unwrap();
        let mut canaille = Self {
            address,
            slapd,
            directory,
            server: None,
        };
        canaille.restart();
        canaille
    }

    /// Starts it again. Without keys of the operator's it makes new ones.
    pub fn restart(&mut self) {
        drop(self.server.take());
        let mut command = Command::new(program());
        command
            // Without a worker of its own, so that it ends with this process.
            .args(["run", "--workers", "0", "--bind", &self.address.to_string()])
            .env(
                "CANAILLE_CONFIG",
                self.directory.path().join("canaille.toml"),
            )
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(self.directory.path());
        self.server = Some(Node::run("canaille", &mut command, self.address));
    }

    /// What it printed since it was started.
    pub fn output(&self) -> String {
        self.server.as_ref().map(Node::output).unwrap_or_default()
    }

    /// A customer goes through its pages from `there` until they lead elsewhere: where to.
    /// Whoever is logged in already is not asked for a name. `answer` is what is said to the
    /// question for consent, `accept` or `deny`.
    ///
    /// # Panics
    /// When the pages have no end, as with a wrong password.
    pub fn walk(
        &self,
        customer: &mut Browser,
        there: &str,
        who: (&str, &str),
        answer: &str,
    ) -> String {
        let own = format!("http://{}/", self.address);
        let mut at = there.to_owned();
        let mut page = customer.get(&at);
        for _ in 0..12 {
            if let Some(place) = page.header("location") {
                let place = place.to_owned();
                if !place.starts_with(&own) && !place.starts_with('/') {
                    return place;
                }
                page = customer.get(&place);
                at = place;
                continue;
            }
            page = submit(customer, &at, &page, who, answer);
        }
        panic!("the pages have no end: {}\n{}", page.text(), self.output());
    }
}

/// Fills in what a page asks for.
fn submit(
    customer: &mut Browser,
    at: &str,
    page: &Answer,
    (name, password): (&str, &str),
    answer: &str,
) -> Answer {
    let text = page.text();
    assert_eq!(page.status, 200, "{text}");
    let after = |mark: &str| {
        let (_, rest) = text.split_once(mark).unwrap_or_else(|| panic!("{text}"));
        rest.split('"').next().unwrap().to_owned()
    };
    let token = after("name=\"csrf_token\" value=\"");
    let (field, value) = if text.contains("name=\"login\"") {
        ("login", name)
    } else if text.contains("name=\"password\"") {
        ("password", password)
    } else {
        assert!(text.contains("name=\"answer\""), "{text}");
        ("answer", answer)
    };
    let action = after("action=\"").replace("&amp;", "&");
    let action = if action.is_empty() { at } else { &action };
    let value = chatgate::message::target::encode(value);
    let request = Request::new("POST", path_of(action))
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(format!("csrf_token={token}&{field}={value}"));
    customer.send(request)
}

/// What `canaille install` and `canaille create client` write.
fn entries(endpoints: &str) -> String {
    let unit =
        |dn: &str, name: &str| format!("dn: {dn}\nobjectClass: organizationalUnit\nou: {name}\n\n");
    let mut entries = unit(OAUTH, "oauth");
    for name in ["tokens", "authorizations", "clients", "consents"] {
        entries += &unit(&format!("ou={name},{OAUTH}"), name);
    }
    let key = super::provider::jwk("p256-b");
    for (channel, proof) in [
        (
            "web",
            format!(
                "oauthClientSecret: {SECRET}\noauthTokenEndpointAuthMethod: client_secret_basic"
            ),
        ),
        (
            "app",
            format!(
                "oauthJWK: {}\noauthTokenEndpointAuthMethod: private_key_jwt",
                json!({"keys": [key]})
            ),
        ),
    ] {
        let dn = format!("oauthClientID=chatgate-{channel},ou=clients,{OAUTH}");
        entries += &format!(
            "dn: {dn}\nobjectClass: oauthClient\noauthClientID: chatgate-{channel}\n\
             oauthClientName: Chat {channel}\noauthAudience: {dn}\n\
             oauthRedirectURIs: {endpoints}/callback/{channel}\n\
             oauthGrantType: authorization_code\noauthResponseType: code\n\
             oauthScope: openid\noauthScope: email\noauthScope: profile\n{proof}\n\n"
        );
    }
    entries
}

fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/provider/canaille/.venv")
}

fn program() -> PathBuf {
    home().join("bin/canaille")
}

/// The schema that it brings, below a directory named after the Python there.
fn schema() -> PathBuf {
    let pythons = std::fs::read_dir(home().join("lib")).unwrap();
    let found = pythons.map(|python| {
        let packages = python.unwrap().path().join("site-packages");
        packages.join("canaille/backends/ldap/schemas/oauth2-openldap.schema")
    });
    found
        .into_iter()
        .find(|path| path.is_file())
        .expect("its schema")
}
