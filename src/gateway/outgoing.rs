//! The head of a request as it goes on: what belongs to one connection and what only
//! chatgate may say is off, the verified customer on, and what comes with it is signed.

use http::Version;
use http::header::{CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use pingora::http::RequestHeader;
use pingora::proxy::Session;

use super::exchange::Exchange;
use super::{inject, signed, webhook};
use crate::reason::Reason;
use crate::time::Time;

/// Makes the head that came the head that goes on.
pub(super) fn prepare(
    head: &mut RequestHeader,
    session: &Session,
    exchange: &Exchange,
    now: Time,
) -> pingora::Result<Result<(), Reason>> {
    // Taken off and changed first, added last: a header map that has room need not grow.
    match exchange.to_client() {
        true => inject::strip_connection(head),
        false => inject::strip(head, &exchange.config, exchange.may_upgrade()),
    }
    if let Some(route) = exchange.route().filter(|_| exchange.judged()) {
        inject::ask_for_readable(head, &route.channel)?;
    }
    if let Some(outgoing) = &exchange.outgoing {
        webhook::readdress(head, outgoing)?;
    }
    if !exchange.to_client() {
        inject::forwarded(head, session)?;
    }
    if exchange.body.is_some() {
        // The client was told to go on, and the whole body is here.
        head.remove_header(&EXPECT);
    }
    if let Some(injected) = exchange.injected(now) {
        let headers = match injected.headers() {
            Ok(headers) => headers,
            Err(reason) => return Ok(Err(reason)),
        };
        for (name, value) in headers {
            head.insert_header(name, value)?;
        }
    }
    frame(head, session, exchange)?;
    Ok(signed::sign(head, session, exchange, now))
}

/// Says how long the body is, where that is not what it came with.
fn frame(head: &mut RequestHeader, session: &Session, exchange: &Exchange) -> pingora::Result<()> {
    if let Some(edited) = &exchange.edited {
        head.remove_header(&TRANSFER_ENCODING);
        head.insert_header(CONTENT_LENGTH, edited.len())?;
    } else if exchange.edit.is_armed() {
        head.remove_header(&CONTENT_LENGTH);
        let chunked = session.req_header().headers.contains_key(TRANSFER_ENCODING);
        if head.version != Version::HTTP_2 && !chunked {
            head.insert_header("transfer-encoding", "chunked")?;
        }
    }
    Ok(())
}
