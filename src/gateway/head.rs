//! What becomes of a judged answer is decided on its head, before any of its body is
//! there: it passes, is held, or goes on message by message.

use http::header::{CACHE_CONTROL, CONTENT_LENGTH};
use http::{Method, StatusCode};
use pingora::http::ResponseHeader;

use super::State;
use super::exchange::Exchange;
use super::items;
use super::stream;
use super::unflag;
use super::verdict;
use crate::channel::Route;
use crate::decision::{self, Candidate, ForAnswer};
use crate::message::AnswerView;
use crate::message::stream::Format;

/// What becomes of an answer.
pub(super) enum Fate {
    /// It goes on as it comes.
    Pass,
    /// It is held until the verdict, at most so many bytes of it.
    Hold(usize),
    /// The same, but the verdict withholds it already and its body is not waited for.
    Withhold,
    /// It goes on message by message, each of them judged.
    Stream(Format),
    /// It goes on unread, as long as the login of its customer counts.
    Watch,
}

/// Judges the head of an answer to a request with this method. What may not go on with
/// it is off when this returns.
pub(super) async fn judge(
    state: &State,
    method: &Method,
    head: &mut ResponseHeader,
    exchange: &mut Exchange,
) -> pingora::Result<Fate> {
    let Some(route) = exchange.route().cloned() else {
        return Ok(Fate::Pass);
    };
    let channel = &route.channel;
    let asker = verdict::asker(state, exchange).await;
    exchange.asker = asker;
    let candidate = candidate(state, exchange, &route, head).await;
    let view = view(head);
    let private = decision::needed_login(channel, &view, asker.level);
    let cap = channel.inspection.max_body;
    let fate = match candidate {
        Candidate::No => Fate::Pass,
        Candidate::Yes => {
            if method == Method::HEAD || head.status == StatusCode::NOT_MODIFIED {
                // The body that would decide is not there; what tells of it goes.
                unflag::forget_body(head);
            }
            return Ok(Fate::Hold(cap));
        }
        Candidate::Stream(_) if method == Method::HEAD => {
            stream::judged_head(channel, head)?;
            return Ok(Fate::Pass);
        }
        Candidate::Stream(format) => return Ok(Fate::Stream(format)),
        Candidate::Opaque => Fate::Watch,
        Candidate::Unreadable => match decision::answer(channel, &view, asker) {
            ForAnswer::Release { reason, strip } => {
                exchange.reason = reason;
                let opaque = decision::watched(&view) == Candidate::Opaque;
                unflag::release_head(channel, head, &strip, private)?;
                match opaque && stream::is_watched(&route) {
                    true => Fate::Watch,
                    false => Fate::Pass,
                }
            }
            ForAnswer::Challenge { .. } | ForAnswer::Block(_) => {
                let sized = head.headers.contains_key(CONTENT_LENGTH);
                return Ok(match sized {
                    true => Fate::Hold(cap),
                    // What has no length may have no end to wait for.
                    false => Fate::Withhold,
                });
            }
        },
    };
    if private {
        head.insert_header(CACHE_CONTROL, "private, no-store")?;
    }
    Ok(fate)
}

/// What the head says of how the answer has to be handled, by everything on this channel
/// that concerns answers.
async fn candidate(
    state: &State,
    exchange: &Exchange,
    route: &Route,
    head: &ResponseHeader,
) -> Candidate {
    if exchange.binds_from_answer() {
        return Candidate::Yes;
    }
    let (view, asker) = (view(head), exchange.asker);
    let candidate = match decision::candidate(&route.channel, &view, asker.level) {
        Candidate::No if stream::is_watched(route) => decision::watched(&view),
        candidate => candidate,
    };
    match candidate {
        Candidate::No if items::waits(state, exchange, &head.headers, asker).await => {
            Candidate::Yes
        }
        candidate => candidate,
    }
}

fn view(head: &ResponseHeader) -> AnswerView<'_> {
    AnswerView {
        status: head.status,
        headers: &head.headers,
        body: None,
    }
}
