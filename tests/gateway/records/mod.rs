//! Whoever proves something has to be in the company's records.
//!
//! | module | what |
//! |---|---|
//! | `proofs` | the proof of a website, over a service of the company's |
//! | `logins` | logins: a page's return, a provider's callback |
//! | `directory` | a real LDAP server |
//! | `databases` | SQLite, PostgreSQL |

#[cfg(feature = "sql")]
mod databases;
mod directory;
mod logins;
mod proofs;

use std::sync::{Arc, Mutex};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::setup::{self, OWNER};
use crate::support::{Answer, Gateway, Metrics, Origin, Reply, Request};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A verifier of JWTs, and a route that asks for one.
pub const PROOF: &str = r#"
[[channel.web.identity]]
name = "site"
kind = "jwt"
from = { header = "Authorization", scheme = "Bearer" }
keys = [{ algorithm = "HS256", secret = "0123456789abcdef0123456789abcdef" }]
level = "verified"
[[channel.web.route]]
kind = "pre-chat"
path = "/start/{id}"
interaction = { path = "id" }
enforcement = "required"
"#;

/// A match over HTTP: the phone has to be the same, the segment comes along.
pub const MATCH: &str = r#"
[[channel.web.match]]
name = "crm"
directory = "crm"
path = "/customers?mail={{ claims.email }}"
equal = { phone = { field = "phone", as = "phone", country = "49" } }
fetch = { segment = "class" }
"#;

/// What Alice is, and says.
pub fn claims() -> Value {
    json!({"email": "alice@example.com", "phone": "+49 (0)30 1234-56"})
}

/// What the company has on her.
pub fn record() -> Value {
    json!({"phone": "0049 30 123456", "class": "gold", "secret": "CANARY-record"})
}

/// A service with records, which answers as it is told.
#[derive(Clone)]
pub struct Records {
    pub origin: Origin,
    reply: Arc<Mutex<Reply>>,
}

impl Records {
    /// One that has Alice.
    pub fn start() -> Self {
        let reply = Arc::new(Mutex::new(Reply::json(&record())));
        let said = Arc::clone(&reply);
        let origin = Origin::start(move |_| said.lock().unwrap().clone());
        Self { origin, reply }
    }

    /// What it answers from now on.
    pub fn say(&self, reply: Reply) {
        *self.reply.lock().unwrap() = reply;
    }

    /// Its table.
    pub fn directory(&self) -> String {
        format!(
            "[directory.crm]\nkind = \"http\"\nurl = \"http://{}/api\"\ntimeout = \"2s\"\n",
            self.origin.address
        )
    }
}

/// The usual channel with these tables behind it, and the segment injected.
pub fn channel(origin: &Origin, tables: &str) -> String {
    setup::channel(
        origin,
        "resume = \"replay\"",
        &format!("{OWNER}{PROOF}{tables}"),
    )
    .replace(
        "\"X-Customer-Level\" = \"level\"",
        "\"X-Customer-Level\" = \"level\", \"X-Segment\" = \"claims.segment\"",
    )
}

/// A gateway with a match over HTTP, the records, and the backend.
pub fn usual(rule: &str) -> (Gateway, Records, Origin) {
    let (records, origin) = (Records::start(), setup::bot());
    let tables = format!("{}{rule}", records.directory());
    let gateway = Gateway::start(&channel(&origin, &tables));
    (gateway, records, origin)
}

/// A request that opens a chat with a proof of Alice with these claims.
pub fn opening(gateway: &Gateway, chat: &str, claims: &Value) -> Request {
    let mut claims = claims.clone();
    claims["sub"] = "alice".into();
    claims["exp"] = (gateway.clock.now().secs() + 3600).into();
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap();
    Request::post(&format!("/start/{chat}"), &json!({"text": "hi"}))
        .header("Authorization", &format!("Bearer {token}"))
}

/// Opens a fresh chat.
pub fn open(gateway: &Gateway, claims: &Value) -> Answer {
    let request = opening(gateway, &setup::fresh(), claims);
    gateway.browser().send(request)
}

/// How often a match ended like this.
pub fn counted(gateway: &Gateway, outcome: &str) -> u64 {
    let metrics: Metrics = gateway.metrics();
    let labels = [("channel", "web"), ("outcome", outcome)];
    metrics.sum("chatgate_record_matches", &labels) as u64
}

/// What the records said to a request that they were asked about: outside it is told
/// that they refuse, the metrics have the reason.
pub fn reason(gateway: &Gateway, ask: impl FnOnce() -> Answer) -> String {
    const REASONS: [&str; 3] = ["record-missing", "record-ambiguous", "record-mismatch"];
    let before = REASONS.map(|reason| counted(gateway, reason));
    let answer = ask();
    let code = answer.code();
    let rose: Vec<_> = (REASONS.into_iter().zip(before))
        .filter(|(reason, before)| counted(gateway, reason) > *before)
        .map(|(reason, _)| reason)
        .collect();
    if rose.is_empty() {
        return code;
    }
    assert_eq!((answer.status, &*code), (403, "record-refused"));
    assert!(REASONS.iter().all(|reason| !answer.contains(reason)));
    rose.join(" ")
}
