//! The sample bot. It has never heard of logins: it answers, marks what is
//! private, and believes what the gateway tells it about the customer. It also
//! keeps what the agent at the desk sees.
//!
//! A message is `{"sender","message"}`, an answer `[{"recipient_id","text", …}]`,
//! on each of the four ways:
//!
//! | endpoint | |
//! |---|---|
//! | `POST /webhooks/rest/webhook` | the answer is the HTTP answer |
//! | `POST /webhooks/callback/webhook` | 202, and the answer is POSTed to the [`Callback`] |
//! | `GET /chat/{id}/socket` | a WebSocket: a text message each |
//! | `POST /webhooks/stream/webhook` | server-sent events, each with a part of the answer |
//! | `POST /chat/open` | a new conversation → `{"conversation","messages":[…]}` |
//! | `POST /chat/end` | `{"sender"}` → `{"ended":true}` |
//! | `GET /agent/conversations/{id}` | the agent's desk |

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use serde_json::{Map, Value, json};

use super::callback::Callback;
use super::logins::of_channel;
use super::recent::Recent;
use super::server::{self, Page, Site};
use crate::secret::random;
use crate::time::{Clock, Time};

/// Conversations that are remembered; the oldest go first.
const MAX_CONVERSATIONS: usize = 256;
/// Lines of one conversation that are remembered.
const MAX_LINES: usize = 200;
/// Longest conversation id and longest message, in bytes.
const MAX_TEXT: usize = 4096;

/// The bot and the agent's desk.
pub struct Bot {
    clock: Clock,
    authentication_timeout: Duration,
    callback: Callback,
    desk: Mutex<Recent<Conversation, MAX_CONVERSATIONS>>,
}

impl Bot {
    /// A bot that knows how long a login counts, for the check mark at the desk.
    pub fn new(clock: Clock, authentication_timeout: Duration, callback: Callback) -> Self {
        Self {
            clock,
            authentication_timeout,
            callback,
            desk: Mutex::default(),
        }
    }

    fn open(&self, request: &Request<Bytes>) -> Page {
        let Some(body) = object(request) else {
            return malformed();
        };
        let id = format!("c-{}", hex::encode(random::<12>()));
        let customer = Customer::of(&body, self.clock.now());
        let welcome = match &customer {
            Some(customer) => format!(
                "Welcome, {}. You came logged in, so you may ask me for your statement right away.",
                customer.name
            ),
            None => "Welcome. Say hello, or ask me for your statement.".to_owned(),
        };
        self.with(&id, |conversation| {
            conversation.customer = customer;
            conversation.say(Line::bot(&welcome, false));
        });
        server::json(
            StatusCode::OK,
            &json!({
                "conversation": id,
                "messages": [{ "recipient_id": id, "text": welcome }],
            }),
        )
    }

    fn message(&self, request: &Request<Bytes>, show: impl FnOnce(&Reply) -> Page) -> Page {
        let Some(body) = object(request) else {
            return malformed();
        };
        let reply = text(&body, "sender").and_then(|sender| self.reply(sender, &body));
        match reply {
            Some(reply) => show(&reply),
            None => malformed(),
        }
    }

    /// Answers what this conversation's customer said, if that is a message.
    fn reply(&self, conversation: &str, body: &Map<String, Value>) -> Option<Reply> {
        let message = text(body, "message")?;
        let customer = Customer::of(body, self.clock.now());
        let reply = Reply::to(conversation, message, customer.as_ref());
        self.with(conversation, |conversation| {
            conversation.ended = false;
            conversation.say(Line::customer(message, customer.as_ref()));
            conversation.say(Line::bot(&reply.text, reply.private));
            conversation.customer = customer;
        });
        Some(reply)
    }

    fn end(&self, request: &Request<Bytes>) -> Page {
        let Some(body) = object(request) else {
            return malformed();
        };
        let Some(id) = text(&body, "sender") else {
            return malformed();
        };
        self.with(id, |conversation| {
            conversation.customer = None;
            conversation.ended = true;
        });
        server::json(StatusCode::OK, &json!({ "ended": true }))
    }

    fn watch(&self, id: &str) -> Page {
        let now = self.clock.now();
        let desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(conversation) = desk.find(id) else {
            return server::json(StatusCode::NOT_FOUND, &json!({ "error": "not-found" }));
        };
        let customer = conversation.customer.as_ref();
        let left = customer
            .map(|customer| (customer.since + self.authentication_timeout).since(now))
            .filter(|left| !left.is_zero());
        let view = json!({
            "conversation": id,
            "ended": conversation.ended,
            "authenticated": left.is_some(),
            "seconds_in_all": self.authentication_timeout.as_secs(),
            "seconds_left": left.map_or(0, |left| left.as_millis().div_ceil(1000)),
            "customer": customer.map(|customer| json!({
                "id": customer.id,
                "name": customer.name,
                "told": customer.told,
            })),
            "lines": conversation.lines.iter().map(Line::json).collect::<Vec<_>>(),
        });
        server::json(StatusCode::OK, &view)
    }

    fn with(&self, id: &str, change: impl FnOnce(&mut Conversation)) {
        let mut desk = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
        change(desk.entry(id));
    }
}

impl Site for Bot {
    fn answer(&self, request: &Request<Bytes>) -> Page {
        let (prefix, path) = of_channel(request.uri().path());
        if let Some(id) = path.strip_prefix("/agent/conversations/") {
            return match *request.method() {
                Method::GET => self.watch(id),
                _ => server::text(StatusCode::METHOD_NOT_ALLOWED, "GET only."),
            };
        }
        match (request.method(), path) {
            (&Method::POST, "/webhooks/rest/webhook") => self.message(request, |reply| {
                server::json(StatusCode::OK, &reply.whole())
            }),
            (&Method::POST, "/webhooks/callback/webhook") => self.message(request, |reply| {
                self.callback.send(prefix, &reply.whole());
                server::json(StatusCode::ACCEPTED, &json!({ "accepted": true }))
            }),
            (&Method::POST, "/webhooks/stream/webhook") => {
                self.message(request, |reply| server::events(&reply.parts()))
            }
            (&Method::POST, "/chat/open") => self.open(request),
            (&Method::POST, "/chat/end") => self.end(request),
            _ => server::text(StatusCode::NOT_FOUND, "Not found."),
        }
    }

    fn has_socket(&self, path: &str) -> bool {
        of_socket(path).is_some()
    }

    fn hear(&self, path: &str, message: &[u8]) -> Option<String> {
        let body = serde_json::from_slice(message).ok()?;
        let reply = self.reply(of_socket(path)?, &body)?;
        Some(reply.whole().to_string())
    }
}

/// Whose socket a path leads to.
fn of_socket(path: &str) -> Option<&str> {
    let (_, path) = of_channel(path);
    let id = path.strip_prefix("/chat/")?.strip_suffix("/socket")?;
    (!id.is_empty() && id.len() <= MAX_TEXT && !id.contains('/')).then_some(id)
}

/// What the bot says, and whether only a customer who is known may read it.
struct Reply {
    conversation: String,
    text: String,
    private: bool,
}

impl Reply {
    /// The answer in one.
    fn whole(&self) -> Value {
        self.saying(&self.text, self.private)
    }

    /// The answer in parts; before a private one there is one for everybody.
    fn parts(&self) -> Vec<Value> {
        let words: Vec<_> = self.text.split_inclusive(' ').collect();
        let opening = self.private.then(|| self.saying("One moment. ", false));
        let parts = words.chunks(words.len().div_ceil(3).max(1));
        let parts = parts.map(|words| self.saying(&words.concat(), self.private));
        opening.into_iter().chain(parts).collect()
    }

    fn saying(&self, text: &str, private: bool) -> Value {
        let mut answer = json!({ "recipient_id": self.conversation, "text": text });
        if private {
            answer["custom"] = json!({ "authentication_required": true });
        }
        json!([answer])
    }

    fn to(conversation: &str, message: &str, customer: Option<&Customer>) -> Self {
        let conversation = conversation.to_owned();
        let words = message.to_lowercase();
        let asks = |word| {
            words
                .split(|c: char| !c.is_alphanumeric())
                .any(|w| w == word)
        };
        if asks("statement") {
            return Self {
                conversation,
                text: statement(customer),
                private: true,
            };
        }
        let text = match customer {
            Some(customer) if asks("hello") || asks("hi") => format!("Hello, {}!", customer.name),
            None if asks("hello") || asks("hi") => "Hello! I do not know who you are.".to_owned(),
            _ => "I know two things: hello and statement.".to_owned(),
        };
        Self {
            conversation,
            text,
            private: false,
        }
    }
}

fn statement(customer: Option<&Customer>) -> String {
    let Some(customer) = customer else {
        return "A statement is private, and I do not know whose to show.".to_owned();
    };
    let lines = match &*customer.id {
        "alice" => {
            "tea party 18.00, croquet club 42.50, pocket watch repair 7.20; balance 1,204.30"
        }
        "bob" => "bricks 310.00, mortar 95.40, a new spanner 12.60; balance 82.00",
        _ => "nothing yet; balance 0.00",
    };
    format!("Here is your statement, {}: {lines}.", customer.name)
}

/// What the gateway told the bot with one request.
#[derive(Clone)]
struct Customer {
    id: String,
    name: String,
    since: Time,
    told: Value,
}

impl Customer {
    /// The customer in `metadata`. The bot believes it, because the gateway removes
    /// whatever a client wrote there.
    fn of(body: &Map<String, Value>, now: Time) -> Option<Self> {
        let told = body.get("metadata")?;
        if told.get("authenticated") != Some(&Value::Bool(true)) {
            return None;
        }
        let id = told.get("customer")?.as_str()?.to_owned();
        let name = told
            .get("name")
            .and_then(Value::as_str)
            .map_or_else(|| id.clone(), str::to_owned);
        let since = told
            .get("login_time")
            .and_then(Value::as_u64)
            .map_or(now, Time::from_secs);
        Some(Self {
            id,
            name,
            since,
            told: told.clone(),
        })
    }
}

/// What the agent sees.
#[derive(Default)]
struct Conversation {
    lines: VecDeque<Line>,
    /// Who the latest message came from, as far as the bot was told.
    customer: Option<Customer>,
    ended: bool,
}

impl Conversation {
    fn say(&mut self, line: Line) {
        if self.lines.len() >= MAX_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }
}

struct Line {
    text: String,
    from_bot: bool,
    /// The customer's name if the bot was told it with this line.
    verified: Option<String>,
    private: bool,
}

impl Line {
    fn bot(text: &str, private: bool) -> Self {
        Self {
            text: text.to_owned(),
            from_bot: true,
            verified: None,
            private,
        }
    }

    fn customer(text: &str, customer: Option<&Customer>) -> Self {
        Self {
            text: text.to_owned(),
            from_bot: false,
            verified: customer.map(|customer| customer.name.clone()),
            private: false,
        }
    }

    fn json(&self) -> Value {
        json!({
            "from": if self.from_bot { "bot" } else { "customer" },
            "text": self.text,
            "verified": self.verified,
            "private": self.private,
        })
    }
}

fn object(request: &Request<Bytes>) -> Option<Map<String, Value>> {
    serde_json::from_slice(request.body()).ok()
}

fn text<'b>(body: &'b Map<String, Value>, name: &str) -> Option<&'b str> {
    let text = body.get(name)?.as_str()?;
    (!text.is_empty() && text.len() <= MAX_TEXT).then_some(text)
}

fn malformed() -> Page {
    let error = json!({ "error": "bad-request", "expected": { "sender": "…", "message": "…" } });
    server::json(StatusCode::BAD_REQUEST, &error)
}

#[cfg(test)]
mod tests;
