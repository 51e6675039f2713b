//! Where the backend itself sends a login link, a login URL of ours goes in its place.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use pingora::proxy::Session;

use super::State;
use super::challenge;
use super::exchange::Exchange;
use crate::channel::Channel;
use crate::decision::{self, Asker};
use crate::interaction::Leg;
use crate::message::Body;
use crate::reason::Reason;

/// The body with our login URL, without coding, and that this is a challenge; `None` when it has no
/// such link, or when nobody could log in by ours: then it stays as it is. How the login
/// ended is told on `leg`, or sent to the client that gets the link.
#[expect(clippy::too_many_arguments, reason = "one of them for each side of it")]
pub(super) async fn rewrite(
    state: &Arc<State>,
    session: &Session,
    exchange: &mut Exchange,
    channel: &Channel,
    headers: &HeaderMap,
    body: &Bytes,
    asker: Asker,
    leg: Option<Leg>,
) -> Result<Option<Bytes>, Reason> {
    let Some(link) = &channel.link else {
        return Ok(None);
    };
    let body = Body::of(headers, body.clone(), channel.inspection.max_body);
    let Some(level) = decision::link(channel, headers, &body, asker) else {
        return Ok(None);
    };
    let url = challenge::url(state, session, exchange, level, leg).await?;
    exchange.reason = Reason::LinkRewritten;
    Ok(link.replace(headers, &body, &url))
}
