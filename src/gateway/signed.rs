//! Signed legs: what came is checked before anything else is decided on it, what
//! leaves is signed after everything else was done to it.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request};
use pingora::http::RequestHeader;
use pingora::proxy::Session;

use super::exchange::Exchange;
use crate::channel::{Route, Signatures};
use crate::identity::Caches;
use crate::login::webhook;
use crate::reason::Reason;
use crate::time::Time;

/// Checks the signature of a request that was read as far as its signature needs it.
pub(super) fn check(
    caches: &Caches,
    route: &Route,
    headers: &HeaderMap,
    body: &[u8],
    now: Time,
) -> Result<(), Reason> {
    let Some((signature, held)) = route.signatures.check(headers, body, now)? else {
        return Ok(());
    };
    if !signature.single_use {
        return Ok(());
    }
    // No verifier has a name with a blank in it.
    let scope = format!("signature {}", signature.name);
    let name = [&*route.channel.name, &scope, &held.id];
    let used = match held.until {
        Some(until) => caches.replays.use_once(name, until, now),
        None => caches.replays.use_once_untimed(name, now),
    };
    used.map_err(|reason| match reason {
        Reason::ProofReplayed => Reason::SignatureReplayed,
        other => other,
    })
}

/// Takes the signature off that came, under whatever spelling, and signs what leaves.
pub(super) fn sign(
    head: &mut RequestHeader,
    session: &Session,
    exchange: &Exchange,
    now: Time,
) -> Result<(), Reason> {
    let Some(route) = exchange.route() else {
        return Ok(());
    };
    let signatures = &route.signatures;
    strip(head, signatures);
    let Some(signature) = &signatures.sign else {
        return Ok(());
    };
    let body = exchange.whole().map(|body| &body[..]);
    // A sender that names its message does so for whoever receives it, too.
    let named = session.req_header().headers.get(webhook::ID);
    let named = named.filter(|_| !signatures.verify.is_empty());
    let id = match named.and_then(|id| id.to_str().ok()) {
        Some(id) => id.to_owned(),
        None => format!("msg_{}", exchange.id()),
    };
    let mut headers = HeaderMap::new();
    let signed = signature.sign(&mut headers, body.unwrap_or_default(), &id, now);
    signed.map_err(|error| {
        tracing::error!(request_id = %exchange.id(), %error, "the request could not be signed");
        Reason::Internal
    })?;
    for (name, value) in &headers {
        let inserted = head.insert_header(name.clone(), value.clone());
        inserted.map_err(|_| Reason::Internal)?;
    }
    Ok(())
}

/// The same for a request that chatgate itself sends again.
pub(super) fn resign(
    request: &mut Request<Bytes>,
    route: &Route,
    id: &str,
    now: Time,
) -> Result<(), Reason> {
    let signatures = &route.signatures;
    let doomed: Vec<HeaderName> = covered(request.headers(), signatures).collect();
    for name in doomed {
        request.headers_mut().remove(name);
    }
    let Some(signature) = &signatures.sign else {
        return Ok(());
    };
    let body = request.body().clone();
    let signed = signature.sign(request.headers_mut(), &body, id, now);
    signed.map_err(|error| {
        tracing::error!(route = %route.name, %error, "the request could not be signed");
        Reason::Internal
    })
}

fn strip(head: &mut RequestHeader, signatures: &Signatures) {
    let doomed: Vec<HeaderName> = covered(&head.headers, signatures).collect();
    for name in &doomed {
        head.remove_header(name);
    }
}

fn covered<'h>(
    headers: &'h HeaderMap,
    signatures: &'h Signatures,
) -> impl Iterator<Item = HeaderName> + 'h {
    let covers = |name: &&HeaderName| signatures.headers.covers(name.as_str());
    headers.keys().filter(covers).cloned()
}
