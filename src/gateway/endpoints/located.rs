//! A token in one of our URLs, and the chat that it is of.

use std::sync::Arc;

use super::super::State;
use super::super::exchange::Exchange;
use crate::channel::Channel;
use crate::interaction::{Key, TokenHash};
use crate::login::LoginToken;
use crate::reason::Reason;

/// A token that we made, and where it leads.
pub(super) struct Located {
    /// As it is in the URL.
    pub token: LoginToken,
    /// Its hash, by which the interaction knows it.
    pub hash: TokenHash,
    /// The interaction that it belongs to.
    pub key: Key,
    /// Its channel.
    pub channel: Arc<Channel>,
}

impl Located {
    /// The chat of a login token or a ticket; the exchange is this endpoint's from now
    /// on. [`Reason::TokenUnknown`], also where the channel is gone, and what
    /// [`crate::interaction::Store::locate`] says of a token that is spent.
    pub(super) async fn find(
        state: &State,
        exchange: &mut Exchange,
        endpoint: &'static str,
        token: &str,
    ) -> Result<Self, Reason> {
        let token = LoginToken::parse(token).ok_or(Reason::TokenUnknown)?;
        let key = state.store.locate(&token.hash()).await?;
        let located = Self::new(exchange, token, key).ok_or(Reason::TokenUnknown)?;
        located.note(exchange, endpoint);
        Ok(located)
    }

    /// The chat of a `continue` URL's token.
    pub(super) async fn find_held(state: &State, exchange: &Exchange, token: &str) -> Option<Self> {
        let token = LoginToken::parse(token)?;
        let key = state.store.locate_held(&token.hash()).await?;
        Self::new(exchange, token, key)
    }

    /// The exchange is this endpoint's, and concerns this chat.
    pub(super) fn note(&self, exchange: &mut Exchange, endpoint: &'static str) {
        exchange.endpoint = Some((endpoint, self.channel.name.to_string()));
        exchange.key = Some(self.key.clone());
    }

    fn new(exchange: &Exchange, token: LoginToken, key: Key) -> Option<Self> {
        let channel = exchange.config.channel(key.channel())?.clone();
        let hash = token.hash();
        Some(Self {
            token,
            hash,
            key,
            channel,
        })
    }
}
