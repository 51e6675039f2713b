//! The route that a request belongs to. A browser asks with `OPTIONS` first whether a
//! page of another origin may send a request (CORS): a preflight that no route lists
//! belongs to the route of the request that it asks for.

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::{HeaderMap, Method};

use super::admit::Target;
use super::respond::Reply;
use crate::channel::routes::Matched;
use crate::channel::{Kind, Routes};
use crate::reason::Reason;

/// What a request found.
pub(super) struct Found<'r> {
    /// Its route.
    pub at: Matched<'r>,
    /// Whose it is to answer, if it is a preflight.
    pub preflight: Preflight,
}

/// Who answers a preflight.
pub(super) enum Preflight {
    /// It is none, or one that its route takes as it takes any request.
    No,
    /// Chatgate does.
    Ours(Result<Reply, Reason>),
    /// The backend does. It carries neither cookie nor proof.
    Theirs,
}

/// Finds the route.
pub(super) fn find<'r>(
    routes: &'r Routes,
    method: &Method,
    target: &'r Target,
    headers: &HeaderMap,
) -> Result<Found<'r>, Reason> {
    let Target { host, path, .. } = target;
    let wanted = wanted(method, headers);
    let listed = routes.find(method, host, path);
    let unlisted = listed.is_none();
    let at = listed.or_else(|| routes.find(wanted.as_ref()?, host, path));
    let at = at.ok_or(Reason::NoRoute)?;
    if routes.is_disguised(method, host, path, at.route) {
        return Err(Reason::AmbiguousPath);
    }
    let preflight = match (&at.route.channel.cors, wanted) {
        (Some(cors), Some(_)) => Preflight::Ours(Ok(Reply::preflight(cors, headers))),
        _ if !unlisted => Preflight::No,
        _ if at.route.kind == Kind::Deny => Preflight::Ours(Err(Reason::Denied)),
        _ => Preflight::Theirs,
    };
    Ok(Found { at, preflight })
}

/// The method that a preflight asks for.
fn wanted(method: &Method, headers: &HeaderMap) -> Option<Method> {
    if method != Method::OPTIONS || !headers.contains_key(ORIGIN) {
        return None;
    }
    Method::from_bytes(headers.get(ACCESS_CONTROL_REQUEST_METHOD)?.as_bytes()).ok()
}
