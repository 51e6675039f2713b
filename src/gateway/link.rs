//! Where the backend itself sends a login link, a login URL of ours goes in its place.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use pingora::proxy::Session;

use super::State;
use super::challenge;
use super::exchange::Exchange;
use crate::channel::Channel;
use crate::decision::Asker;
use crate::message::Body;
use crate::reason::Reason;

/// The body with our login URL, without coding, and that this is a challenge; `None` when it has no
/// such link, or when nobody could log in by ours: then it stays as it is.
pub(super) async fn rewrite(
    state: &Arc<State>,
    session: &Session,
    exchange: &mut Exchange,
    channel: &Channel,
    headers: &HeaderMap,
    body: &Bytes,
    asker: Asker,
) -> Result<Option<Bytes>, Reason> {
    let Some(link) = &channel.link else {
        return Ok(None);
    };
    let body = Body::of(headers, body.clone(), channel.inspection.max_body);
    if channel.login.is_none() || asker.foreign || !asker.named || !link.is_in(headers, &body) {
        return Ok(None);
    }
    let url = challenge::url(state, session, exchange, link.level).await?;
    exchange.reason = Reason::LinkRewritten;
    Ok(link.replace(headers, &body, &url))
}
