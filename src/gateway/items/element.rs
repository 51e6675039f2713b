//! An element of an answer with many messages.

use bytes::Bytes;
use http::HeaderMap;
use sha2::{Digest, Sha256};

use crate::channel::Items;
use crate::interaction::MessageHash;
use crate::message::{AnswerView, Body, Json};

/// What tells an element from others.
pub(super) struct Element {
    pub id: Box<str>,
    pub hash: MessageHash,
}

impl Items {
    /// What tells an element from others: its id, or all of it.
    pub(super) fn tell(&self, element: &[u8]) -> Element {
        let body = Body::new(Bytes::copy_from_slice(element));
        let headers = HeaderMap::new();
        let view = AnswerView::message(&headers, Some(&body));
        let id = self.id.as_ref();
        let id = id.and_then(|id| id.answer(&view).ok().flatten());
        let digest = match &id {
            Some(id) => Sha256::new().chain_update(b"id:").chain_update(id),
            None => Sha256::new().chain_update(b"all:").chain_update(element),
        };
        let mut hash = [0; 16];
        hash.copy_from_slice(&digest.finalize()[..16]);
        Element {
            id: id.unwrap_or_else(|| hex::encode(hash)).into(),
            hash: MessageHash(hash),
        }
    }
}

/// A message of ours as an element; a text is one as a JSON string.
pub(super) fn element(body: &Bytes) -> Vec<u8> {
    match Json::parse(body) {
        Ok(_) => body.to_vec(),
        Err(_) => serde_json::Value::from(String::from_utf8_lossy(body))
            .to_string()
            .into_bytes(),
    }
}
