//! A judged stream: its head goes on at once, and each message is judged at the
//! moment it passes. So a login that runs out or is revoked counts for the next
//! message, and nothing that is not flagged waits for anything.
//!
//! The hook that gets a chunk cannot wait. What it asks of the store is answered at
//! once by the store in memory; an answer that had to be waited for would count as
//! none, and what is flagged would stay withheld.

mod outbox;
mod unsent;
mod watch;

pub(super) use watch::Watch;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorType};

use super::State;
use super::challenge::challenge_message;
use super::exchange::Exchange;
use super::handover::Handovers;
use super::link;
use super::respond::{self, Reply};
use super::unflag;
use super::verdict;
use crate::channel::{Channel, OnExpiry, Route};
use crate::decision::{self, Asker, ForAnswer, StreamHead};
use crate::interaction::{Leg, Level, TokenHash};
use crate::message::coding::{Coding, Undecoded};
use crate::message::stream::{Decoder, Event, Format, Piece};
use crate::message::unpack::Unpacker;
use crate::message::{AnswerView, Body};
use crate::reason::Reason;
use unsent::Unsent;

/// The error by which a stream ends before the backend ends it.
pub(super) const ENDED: ErrorType = ErrorType::Custom("the login ended");

/// A stream on its way to the customer.
pub(super) struct Stream {
    format: Format,
    /// Where it comes in a coding; it goes on without.
    unpacker: Option<Unpacker>,
    decoder: Decoder,
    /// Lent to the judgement of each message.
    head: Arc<StreamHead>,
    /// The level of whom the latest message was for.
    level: Level,
    /// The login URL that stands in it.
    asked: Option<TokenHash>,
    /// Whether the rest of a message over the cap passes.
    rest_passes: bool,
    /// What passed and may not be on the customer's connection.
    unsent: Unsent,
}

impl Stream {
    /// Takes a stream over; `head` becomes the head of one whose length is not known.
    pub(super) fn begin(
        session: &mut Session,
        head: &mut ResponseHeader,
        exchange: &mut Exchange,
        format: Format,
    ) -> pingora::Result<()> {
        let Some(route) = exchange.route() else {
            return Ok(());
        };
        let channel = &route.channel;
        let unpacker = match Coding::of(&head.headers) {
            Coding::Identity => None,
            coding => Some(
                Unpacker::new(coding, channel.inspection.max_body)
                    .map_err(|_| Error::new_in(ErrorType::InternalError))?,
            ),
        };
        let stream = Self {
            format,
            unpacker,
            decoder: format.decoder(channel.max_event()),
            head: Arc::new(StreamHead::new(head.status, &head.headers)),
            level: exchange.asker.level,
            asked: None,
            rest_passes: false,
            unsent: Unsent::default(),
        };
        judged_head(channel, head)?;
        respond::unsized_head(session, head)?;
        exchange.reason = Reason::Unflagged;
        exchange.stream = Some(Box::new(stream));
        Ok(())
    }

    /// Takes a chunk and leaves in its place what passes. An error ends the stream.
    pub(super) fn chunk(
        state: &Arc<State>,
        session: &Session,
        exchange: &mut Exchange,
        chunk: &mut Option<Bytes>,
        end: bool,
    ) -> pingora::Result<()> {
        let (Some(mut stream), Some(route)) = (exchange.stream.take(), exchange.route().cloned())
        else {
            return Ok(());
        };
        stream.unsent.look(session);
        let unreadable = stream.feed(chunk.take()).err();
        let mut passing = Passing {
            stream: &mut stream,
            state,
            session,
            exchange,
            route: &route,
            out: BytesMut::new(),
            handovers: Handovers::default(),
        };
        let passed = match unreadable {
            None => passing.all(end),
            Some(reason) => passing.all(false).and(Err(Ended(reason))),
        };
        let (out, handovers) = (passing.out.freeze(), passing.handovers);
        stream.unsent.add(out.clone(), handovers);
        *chunk = (!out.is_empty()).then_some(out);
        exchange.stream = Some(stream);
        match passed {
            Ok(()) => Ok(()),
            Err(Ended(reason)) => {
                exchange.reason = reason;
                // Where the head has not left yet, it is what is answered.
                exchange.withheld = Some(reason);
                Err(Error::new_in(ENDED))
            }
        }
    }

    /// Takes a chunk in; why nothing can be read from there on.
    fn feed(&mut self, chunk: Option<Bytes>) -> Result<(), Reason> {
        let (Some(chunk), unpacker) = (chunk, &mut self.unpacker) else {
            return Ok(());
        };
        let text = match unpacker {
            None => chunk,
            Some(unpacker) => unpacker.push(&chunk).map_err(|error| match error {
                Undecoded::TooLong => Reason::AnswerTooLarge,
                Undecoded::Broken => Reason::AnswerUndecodable,
            })?,
        };
        self.decoder.feed(&text);
        Ok(())
    }

    /// Writes what passed of a stream that [`Stream::chunk`] ended, and its end.
    pub(super) async fn close(session: &mut Session, exchange: &Exchange) -> pingora::Result<()> {
        let left = exchange.stream.as_ref().map(|stream| stream.unsent.bytes());
        session.write_downstream_proxy_tasks().await?;
        session.write_response_body(left, true).await
    }

    /// Nothing more is written of it: what did not reach the customer waits again.
    pub(super) async fn settle(session: &Session, exchange: &mut Exchange) {
        if let Some(stream) = exchange.stream.take() {
            stream.unsent.settle(session).await;
        }
    }
}

/// A stream is ended before the next message, and why.
#[derive(Clone, Copy)]
struct Ended(Reason);

/// What is needed to let a message pass, or not.
struct Passing<'a> {
    stream: &'a mut Stream,
    state: &'a Arc<State>,
    session: &'a Session,
    exchange: &'a mut Exchange,
    route: &'a Route,
    out: BytesMut,
    handovers: Handovers,
}

impl Passing<'_> {
    fn all(&mut self, end: bool) -> Result<(), Ended> {
        loop {
            let decoder = &mut self.stream.decoder;
            let piece = decoder.next_piece();
            let Some(piece) = piece.or_else(|| end.then(|| decoder.finish()).flatten()) else {
                return Ok(());
            };
            self.piece(piece)?;
        }
    }

    fn piece(&mut self, piece: Piece) -> Result<(), Ended> {
        if let Piece::Over { first: false, raw } = piece {
            if self.stream.rest_passes {
                self.out.extend_from_slice(&raw);
            }
            return Ok(());
        }
        let asker = self.asker()?;
        if !piece.is_mark() {
            self.tell();
            self.release(asker);
        }
        match piece {
            Piece::Event(event) => {
                let body = Body::new(event.data.clone());
                self.judge(&event, Some(&body), asker);
            }
            Piece::Over { raw, .. } => {
                let begun = Event {
                    raw,
                    ..Event::default()
                };
                self.stream.rest_passes = self.judge(&begun, None, asker);
            }
            Piece::Filler(raw) => self.out.extend_from_slice(&raw),
        }
        Ok(())
    }

    /// Who the next message is for.
    fn asker(&mut self) -> Result<Asker, Ended> {
        let asker = at_once(verdict::asker(self.state, self.exchange)).unwrap_or(Asker::ANONYMOUS);
        let before = std::mem::replace(&mut self.stream.level, asker.level);
        match has_ended(self.route, before, asker.level) {
            true => Err(Ended(Reason::LoginEnded)),
            false => Ok(asker),
        }
    }

    /// Lets a message pass, or what stands in its place; whether it passed.
    fn judge(&mut self, event: &Event, body: Option<&Body>, asker: Asker) -> bool {
        let route = self.route;
        let head = Arc::clone(&self.stream.head);
        let view = head.view(event, body);
        match decision::answer(&route.channel, &view, asker) {
            ForAnswer::Release { reason, strip } => {
                let data = released(&route.channel, event, &strip);
                let Ok((data, reason)) = self.linked(&view, data, reason, asker) else {
                    self.refuse(event, Reason::ChallengeImpossible);
                    return false;
                };
                self.note(reason);
                let bytes = self.stream.format.saying(event, &data);
                self.out.extend_from_slice(&bytes);
                return true;
            }
            ForAnswer::Block(reason) => self.refuse(event, reason),
            ForAnswer::Challenge { level, .. } if self.is_asked(level) => {
                self.withhold(event, &view, level, asker);
                self.note(Reason::Flagged);
            }
            ForAnswer::Challenge { level, .. } => {
                self.withhold(event, &view, level, asker);
                let asked = challenge_message(
                    self.state,
                    self.session,
                    self.exchange,
                    &view,
                    level,
                    Leg::Stream,
                );
                match at_once(asked).unwrap_or(Err(Reason::Internal)) {
                    Ok(reply) => {
                        self.note(Reason::Flagged);
                        self.stream.asked = self.outstanding().map(|(token, _)| token);
                        let bytes = self.stream.format.replace(event, &reply.body);
                        self.out.extend_from_slice(&bytes);
                    }
                    Err(reason) => self.refuse(event, reason),
                }
            }
        }
        false
    }

    /// What a message says with our login URL in place of the backend's own.
    fn linked(
        &mut self,
        view: &AnswerView<'_>,
        data: Bytes,
        reason: Reason,
        asker: Asker,
    ) -> Result<(Bytes, Reason), Reason> {
        let (channel, headers) = (&self.route.channel, view.headers);
        let (state, session, exchange) = (self.state, self.session, &mut *self.exchange);
        let linked = link::rewrite(
            state,
            session,
            exchange,
            channel,
            headers,
            &data,
            asker,
            Some(Leg::Stream),
        );
        let Some(linked) = at_once(linked).unwrap_or(Err(Reason::Internal))? else {
            return Ok((data, reason));
        };
        self.stream.asked = self.outstanding().map(|(token, _)| token);
        Ok((linked, Reason::LinkRewritten))
    }

    /// Whether the stream carries a login URL that is good for this level: it asks
    /// once, not with every message that follows.
    fn is_asked(&self, level: Level) -> bool {
        let (asked, outstanding) = (self.stream.asked, self.outstanding());
        outstanding.is_some_and(|(token, wants)| Some(token) == asked && wants >= level)
    }

    /// The login URL that the interaction has outstanding, and the level it asks for.
    fn outstanding(&self) -> Option<(TokenHash, Level)> {
        let key = self.exchange.key.as_ref()?;
        let now = self.state.clock.now();
        let look = self
            .state
            .store
            .read(key, &self.channel().clocks, now, |interaction| {
                let challenge = interaction?.outstanding().filter(|c| !c.expired(now))?;
                Some((challenge.token, challenge.level))
            });
        at_once(look)?.ok()?
    }

    /// Puts an error in a message's place.
    fn refuse(&mut self, event: &Event, reason: Reason) {
        self.note(reason);
        let reply = Reply::refusal(reason, self.exchange.id());
        let bytes = self.stream.format.replace(event, &reply.body);
        self.out.extend_from_slice(&bytes);
    }

    /// Counts a verdict; the exchange's own is the latest one that says something.
    fn note(&mut self, reason: Reason) {
        self.state.metrics.event(&self.channel().name, reason);
        if reason != Reason::Unflagged {
            self.exchange.reason = reason;
        }
    }

    fn channel(&self) -> &Channel {
        &self.route.channel
    }
}

/// Whether a stream on this route ends with its customer's login, so that somebody has
/// to look whether it has a message that is judged or not.
pub(super) fn is_watched(route: &Route) -> bool {
    route.least() > Level::ANONYMOUS || route.channel.streaming.on_expiry == OnExpiry::Close
}

/// Whether a stream on this route ends where its customer has come to this level.
fn has_ended(route: &Route, before: Level, now: Level) -> bool {
    let closes = route.channel.streaming.on_expiry == OnExpiry::Close;
    closes && now < before || now < route.least()
}

/// Makes the head that of a judged stream, whoever asks for it and by which method.
pub(super) fn judged_head(channel: &Channel, head: &mut ResponseHeader) -> pingora::Result<()> {
    for flag in channel.flags.iter().filter(|flag| flag.strip) {
        if let Some((name, _)) = &flag.header {
            head.remove_header(name);
        }
    }
    unflag::forget_body(head);
    head.remove_header(&CONTENT_ENCODING);
    head.remove_header(&ACCEPT_RANGES);
    // Whom it is for is decided message by message: no cache knows.
    let untouched = head
        .headers
        .get_all(CACHE_CONTROL)
        .iter()
        .any(|value| contains(value.as_bytes(), b"no-transform"));
    let cached = match untouched {
        true => "private, no-store, no-transform",
        false => "private, no-store",
    };
    head.insert_header(CACHE_CONTROL, cached)
}

/// Whether a client says that it waits for a stream: browsers and most libraries do.
pub(super) fn is_awaited(headers: &HeaderMap) -> bool {
    let named = |value: &[u8]| {
        value.split(|byte| *byte == b',').any(|range| {
            let kind = range.split(|byte| *byte == b';').next().unwrap_or_default();
            Format::of(kind.trim_ascii()).is_some()
        })
    };
    let mut values = headers.get_all(ACCEPT).iter();
    values.any(|value| named(value.as_bytes()))
}

/// What a message says to the customer, flags taken off.
fn released(channel: &Channel, event: &Event, strip: &[usize]) -> Bytes {
    if strip.is_empty() {
        return event.data.clone();
    }
    let data = Body::new(event.data.clone());
    unflag::stripped(channel, HeaderMap::new(), &data, strip).1
}

/// The value of what need not be waited for.
pub(super) fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len())
        .any(|part| part.eq_ignore_ascii_case(word))
}
