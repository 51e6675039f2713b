//! A stream that cannot be read, where streams end with the login of their customer: it
//! passes chunk by chunk as it comes, as long as the login counts.

use http::Method;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH};
use pingora::Error;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use super::{ENDED, at_once, has_ended};
use crate::decision::Asker;
use crate::gateway::State;
use crate::gateway::exchange::Exchange;
use crate::gateway::{respond, verdict};
use crate::interaction::Level;
use crate::reason::Reason;

/// The level of whom the latest chunk was for.
pub(in crate::gateway) struct Watch(Level);

impl Watch {
    /// Takes a stream over; `head` becomes the head of one that may end at any time.
    pub(in crate::gateway) fn begin(
        session: &mut Session,
        head: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> pingora::Result<()> {
        head.remove_header(&CONTENT_LENGTH);
        head.insert_header(CACHE_CONTROL, "private, no-store")?;
        if session.req_header().method == Method::HEAD {
            return Ok(());
        }
        respond::unsized_head(session, head)?;
        exchange.watch = Some(Self(exchange.asker.level));
        Ok(())
    }

    /// Whether a chunk passes. An error ends the stream.
    pub(in crate::gateway) fn chunk(state: &State, exchange: &mut Exchange) -> pingora::Result<()> {
        let (Some(Watch(before)), Some(route)) = (&exchange.watch, exchange.route()) else {
            return Ok(());
        };
        let asker = at_once(verdict::asker(state, exchange)).unwrap_or(Asker::ANONYMOUS);
        if has_ended(route, *before, asker.level) {
            exchange.reason = Reason::LoginEnded;
            exchange.withheld = Some(Reason::LoginEnded);
            return Err(Error::new_in(ENDED));
        }
        exchange.watch = Some(Self(asker.level));
        Ok(())
    }
}
