//! What is kept until the login: the customer's request, to be sent again, or what was
//! withheld.

use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, HeaderValue};
use pingora::proxy::Session;
use sha2::{Digest, Sha256};

use super::exchange::{Asked, Exchange};
use super::resume::end_to_end;
use super::unflag;
use crate::channel::{Channel, Resume};
use crate::decision::{self, Asker, ForAnswer};
use crate::interaction::{Answer, Held, HeldRequest, Leg, Level, Withheld};
use crate::message::AnswerView;

/// What waits behind the `continue` URL: the request to send again after the login,
/// or the withheld answer itself.
pub(super) fn behind_url(
    session: &Session,
    exchange: &Exchange,
    answer: &AnswerView<'_>,
    level: Level,
) -> Option<Held> {
    if exchange.to_client() {
        // The customer asked elsewhere; there is no answer that could wait.
        return None;
    }
    let channel = &exchange.route()?.channel;
    match &channel.login.as_ref()?.resume {
        Resume::Replay { .. } => request(session, exchange).map(Held::from),
        // Without an owner, whoever names the interaction could fetch it.
        Resume::Release(release) if channel.owner.is_some() => {
            let held = Held::Withheld(level, Box::new(withheld(channel, answer, level)?));
            (held.weight() <= release.bounds.bytes).then_some(held)
        }
        Resume::Release(_) | Resume::None | Resume::Notify(_) => None,
    }
}

/// The customer's request as it came; `None` where the channel sends none again, or not
/// one so long.
pub(super) fn request(session: &Session, exchange: &Exchange) -> Option<HeldRequest> {
    let asked = exchange.asked.as_ref()?;
    let Resume::Replay { max_body } = asked.route.channel.login.as_ref()?.resume else {
        return None;
    };
    let body = exchange
        .body
        .as_ref()
        .map(|body| body.bytes().clone())
        .unwrap_or_default();
    (body.len() <= max_body).then(|| HeldRequest {
        method: asked.method.clone(),
        target: asked.target.whole().into(),
        headers: headers(session),
        body,
    })
}

/// The headers that came, the host among them.
pub(super) fn headers(session: &Session) -> HeaderMap {
    let head = session.req_header();
    let mut headers = head.headers.clone();
    if let (None, Some(authority)) = (headers.get(HOST), head.uri.authority()) {
        // HTTP/2 names the host in `:authority`; the route may depend on it.
        let host = HeaderValue::from_str(authority.as_str()).ok();
        host.map(|host| headers.insert(HOST, host));
    }
    headers
}

/// The backend's request as the client gets it once the customer has this level.
pub(super) fn message(
    session: &Session,
    exchange: &Exchange,
    answer: &AnswerView<'_>,
    level: Level,
) -> Option<Withheld> {
    let asked = exchange.asked.as_ref()?;
    let came = headers(session);
    let view = AnswerView {
        headers: &came,
        ..*answer
    };
    let Answer { headers, body, .. } = withheld(&asked.route.channel, &view, level)?;
    let signatures = &asked.route.signatures.headers;
    let unsigned = headers
        .iter()
        .filter(|(name, _)| !signatures.covers(name.as_str()) && *name != CONTENT_LENGTH);
    Some(Withheld {
        leg: to_client(asked),
        // A backend that did not hear of our taking it sends it again.
        id: Some(hex::encode(Sha256::digest(&body)).into()),
        level,
        headers: unsigned
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        body,
    })
}

/// The way of a request of the backend's to the client.
pub(super) fn to_client(asked: &Asked) -> Leg {
    Leg::Webhook {
        method: asked.method.clone(),
        target: asked.target.whole().into(),
    }
}

/// The answer as a customer of this level gets it.
pub(super) fn withheld(channel: &Channel, answer: &AnswerView<'_>, level: Level) -> Option<Answer> {
    let body = answer.body?;
    let asker = Asker {
        level,
        ..Asker::ANONYMOUS
    };
    let ForAnswer::Release { strip, .. } = decision::answer(channel, answer, asker) else {
        return None;
    };
    let (headers, body) = unflag::stripped(channel, answer.headers.clone(), body, &strip);
    Some(Answer {
        status: answer.status,
        headers: end_to_end(headers),
        body,
    })
}
