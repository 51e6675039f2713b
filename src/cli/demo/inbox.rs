//! The website as the client of a bot that answers by webhooks: what comes is kept
//! in the conversation's inbox, and the page picks it up there.
//!
//! | endpoint | |
//! |---|---|
//! | `POST /client/inbox` | `{"conversation"}` → `{"inbox"}`, a key for whoever asks first |
//! | `GET /client/inbox/{key}?after=N` | the messages behind the first N |
//! | `POST /client/messages` | the bot's, through chatgate: `[{"recipient_id", …}]` |

use std::sync::{Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use serde_json::{Value, json};

use super::recent::Recent;
use super::server::{self, Page};
use crate::message::target::pairs;
use crate::secret::random;

/// Inboxes that are kept; the oldest go first.
const MAX_INBOXES: usize = 256;
/// Messages that one inbox holds.
const MAX_MESSAGES: usize = 400;

/// All inboxes.
#[derive(Default)]
pub struct Inboxes(Mutex<State>);

#[derive(Default)]
struct State {
    /// By conversation. Its id is no secret; the key is.
    keys: Recent<String, MAX_INBOXES>,
    messages: Recent<Vec<Value>, MAX_INBOXES>,
}

impl Inboxes {
    /// Opens the inbox of a conversation.
    pub fn open(&self, body: &[u8]) -> Page {
        let body: Option<Value> = serde_json::from_slice(body).ok();
        let Some(conversation) = body.as_ref().and_then(|body| body["conversation"].as_str())
        else {
            return refused(StatusCode::BAD_REQUEST, "Which conversation?");
        };
        let mut state = self.state();
        if state.keys.find(conversation).is_some() {
            return refused(StatusCode::CONFLICT, "Somebody has that inbox.");
        }
        let key = hex::encode(random::<16>());
        state.keys.insert(conversation.to_owned(), key.clone());
        state.messages.insert(key.clone(), Vec::new());
        server::json(StatusCode::OK, &json!({ "inbox": key }))
    }

    /// What is in the inbox with this key.
    pub fn read(&self, key: &str, query: &str) -> Page {
        let after = pairs(query)
            .iter()
            .find(|(name, _)| name == "after")
            .and_then(|(_, value)| value.parse().ok())
            .unwrap_or(0);
        match self.state().messages.find(key) {
            Some(messages) => {
                let messages: Vec<_> = messages.iter().skip(after).collect();
                server::json(StatusCode::OK, &json!(messages))
            }
            None => refused(StatusCode::NOT_FOUND, "There is no such inbox."),
        }
    }

    /// Takes a message of the bot's.
    pub fn deliver(&self, body: &[u8]) -> Page {
        let Ok(message) = serde_json::from_slice::<Value>(body) else {
            return refused(StatusCode::BAD_REQUEST, "That is no message.");
        };
        let mut state = self.state();
        let conversation = message[0]["recipient_id"].as_str().unwrap_or_default();
        let Some(key) = state.keys.find(conversation).cloned() else {
            return refused(StatusCode::NOT_FOUND, "Nobody is here.");
        };
        let messages = state.messages.entry(&key);
        if messages.len() >= MAX_MESSAGES {
            return refused(StatusCode::INSUFFICIENT_STORAGE, "The inbox is full.");
        }
        messages.push(message);
        server::json(StatusCode::OK, &json!({ "taken": true }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused(status: StatusCode, why: &str) -> Page {
    server::json(status, &json!({ "error": { "message": why } }))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn read(page: Page) -> Value {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let body = runtime.block_on(page.into_body().collect()).unwrap();
        serde_json::from_slice(&body.to_bytes()).unwrap()
    }

    #[test]
    fn an_inbox_is_whose_who_asked_first() {
        let inboxes = Inboxes::default();
        let message = br#"[{"recipient_id":"c","text":"hello"}]"#;
        assert_eq!(inboxes.deliver(message).status(), StatusCode::NOT_FOUND);
        let key = read(inboxes.open(br#"{"conversation":"c"}"#));
        let key = key["inbox"].as_str().unwrap();
        let again = inboxes.open(br#"{"conversation":"c"}"#);
        assert_eq!(again.status(), StatusCode::CONFLICT);
        assert_eq!(inboxes.deliver(message).status(), StatusCode::OK);
        assert_eq!(read(inboxes.read(key, ""))[0][0]["text"], "hello");
        assert_eq!(read(inboxes.read(key, "after=1")), json!([]));
        assert_eq!(inboxes.read("c", "").status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let inboxes = Inboxes::default();
        for body in [&b""[..], b"{}", b"[]", br#"[{"recipient_id":1}]"#] {
            assert!(inboxes.deliver(body).status().is_client_error());
            assert!(inboxes.open(body).status().is_client_error());
        }
    }
}
