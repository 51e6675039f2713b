//! Logins that end because somebody outside the chat says so: the operator's own
//! logout, and what a provider's has in common with it.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::header::CONTENT_ENCODING;
use pingora::proxy::Session;

use super::super::State;
use super::super::exchange::Exchange;
use super::super::read;
use super::super::respond::Reply;
use super::outcome;
use crate::channel::Channel;
use crate::interaction::{Identity, Interaction, Key};
use crate::login::logout::{self, Whom};
use crate::reason::Reason;

/// A logout from the operator's server.
pub(super) async fn posted(
    state: &Arc<State>,
    session: &mut Session,
    exchange: &mut Exchange,
    channel: &str,
) -> pingora::Result<Reply> {
    let outcome = match read::own_body(session, exchange, logout::MAX_LEN).await? {
        Some(body) => take(state, session, exchange, channel, &body).await,
        None => Err(Reason::ReturnMalformed),
    };
    exchange.reason = outcome.err().unwrap_or(Reason::LoggedOut);
    Ok(match outcome {
        Ok(revoked) => Reply::json(StatusCode::OK, &serde_json::json!({ "revoked": revoked })),
        Err(reason) => Reply::refusal(reason, exchange.id()),
    })
}

async fn take(
    state: &Arc<State>,
    session: &Session,
    exchange: &mut Exchange,
    channel: &str,
    body: &[u8],
) -> Result<usize, Reason> {
    let channel = outcome::channel(exchange, channel)?;
    exchange.endpoint = Some(("logout", channel.name.to_string()));
    // One without a key is told no more than an unknown one.
    let (keys, tolerance) = channel.logout_keys().ok_or(Reason::ReturnChannel)?;
    let headers = &session.req_header().headers;
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(Reason::ReturnMalformed);
    }
    let now = state.clock.now();
    let logout = logout::read(keys, &channel.name, headers, body, now, tolerance);
    let logout = logout.map_err(|refused| {
        outcome::unread(exchange, &channel, refused, "a logout cannot be read")
    })?;
    // Signed at most `tolerance` ahead, it is stale as long after that.
    let expires = now + (tolerance * 2 + Duration::from_secs(1));
    // No verifier has a name with a blank in it.
    let name = [&*channel.name, "operator logout", &*logout.id];
    let first = state.caches.replays.use_once(name, expires, now);
    first.map_err(|reason| match reason {
        Reason::ProofReplayed => Reason::LogoutRepeated,
        reason => reason,
    })?;
    let keys = match logout.whom {
        Whom::Interaction(id) => vec![Key::new(&channel.name, &id)],
        whom => find(state, &channel, move |identity| whom.concerns(identity)).await?,
    };
    let revoked = revoke(state, &channel, &keys).await?;
    tracing::info!(
        request_id = %exchange.id(), channel = %channel.name, revoked,
        "logged out by the operator"
    );
    Ok(revoked)
}

/// Takes the logins of these interactions away; open sockets and streams see it at
/// once. How many there were.
pub(in crate::gateway) async fn revoke(
    state: &State,
    channel: &Channel,
    keys: &[Key],
) -> Result<usize, Reason> {
    let now = state.clock.now();
    let mut revoked = 0;
    for key in keys {
        let changed = state.store.update(key, &channel.clocks, now, |slot| {
            slot.as_mut().map(Interaction::log_out)
        });
        revoked += usize::from(changed.await?.is_some());
    }
    state.metrics.revoked(&channel.name, revoked);
    Ok(revoked)
}

/// The interactions of the channel whose customer is the one looked for.
///
/// A look at all interactions takes its time: it is done by a thread that serves
/// nobody else, one look at a time.
pub(super) async fn find(
    state: &Arc<State>,
    channel: &Arc<Channel>,
    wanted: impl Fn(&Identity) -> bool + Send + 'static,
) -> Result<Vec<Key>, Reason> {
    let _turn = state.logouts.lock().await;
    let (state, channel) = (state.clone(), channel.clone());
    tokio::task::spawn_blocking(move || state.store.find(&channel.name, wanted))
        .await
        .map_err(|_| Reason::Internal)
}
