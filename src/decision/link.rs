//! What to do with a login link of the backend's own.

use http::HeaderMap;

use super::Asker;
use crate::channel::Channel;
use crate::interaction::Level;
use crate::message::Body;

/// The level that the login has to reach by the login URL of ours that goes in the place
/// of the backend's own. `None` where the body has no such link, or where nobody could log
/// in by ours: then it stays as it is.
pub fn link(channel: &Channel, headers: &HeaderMap, body: &Body, asker: Asker) -> Option<Level> {
    if channel.login.is_none() || !asker.named || asker.foreign {
        return None;
    }
    Some(channel.link_in(headers, body)?.level)
}
