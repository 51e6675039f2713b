//! The Standard Webhooks signature: `webhook-id`, `webhook-timestamp`,
//! `webhook-signature: v1,<base64 HMAC-SHA256 of id.timestamp.body>`.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::SecurityKeys;
use crate::reason::Reason;
use crate::time::Time;

/// The three headers for a body.
pub fn sign(
    keys: &SecurityKeys,
    id: &str,
    now: Time,
    body: &[u8],
) -> [(HeaderName, HeaderValue); 3] {
    todo!()
}

/// Checks the three headers of a body: each exactly once, the id
/// `[A-Za-z0-9_-]{1,128}`, the time within `tolerance` of `now`, one of the
/// space-separated `v1` signatures right. Errors: `ReturnMalformed`,
/// `ReturnDuplicate`, `ReturnStale`, `ReturnSignature`.
pub fn verify(
    keys: &SecurityKeys,
    headers: &HeaderMap,
    body: &[u8],
    now: Time,
    tolerance: Duration,
) -> Result<(), Reason> {
    todo!()
}
