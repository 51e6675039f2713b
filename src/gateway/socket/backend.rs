//! A message of the backend's: judged like every answer, and challenged or withheld.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};

use super::ends::{Backend, Customer};
use super::relay::{Challenged, Relay};
use crate::channel::Resume;
use crate::decision::{self, Asker, ForAnswer};
use crate::gateway::challenge::ask;
use crate::gateway::kept::withheld;
use crate::gateway::{link, unflag, verdict};
use crate::interaction::{Bounds, Interaction, Leg, Level, Withheld};
use crate::message::opening::{first, opens_json};
use crate::message::websocket::{Close, Event};
use crate::message::{AnswerView, Body};
use crate::reason::Reason;

/// Whether a message of which this is the beginning may be JSON: that may have nothing but
/// blanks in it.
fn perhaps_json(beginning: &[u8]) -> bool {
    opens_json(beginning) || first(beginning).is_none()
}

impl Relay<'_> {
    /// Hands a message on to the customer, or something in its place, or nothing.
    pub(super) async fn backend_said(
        &mut self,
        event: Event,
        customer: &mut Customer<'_>,
        backend: &mut Backend,
    ) {
        if self.asked.is_some() {
            // After a login, what was withheld comes before what comes now.
            self.look(customer, backend).await;
        }
        match event {
            Event::Text(message) => {
                if let Some(said) = self.judge(message, Event::Text, customer).await {
                    customer.say(&said);
                }
            }
            Event::Binary(message) if opens_json(&message) => {
                if let Some(said) = self.judge(message, Event::Binary, customer).await {
                    customer.say(&said);
                }
            }
            Event::Piece(piece) if piece.first && (piece.text || perhaps_json(&piece.bytes)) => {
                match self.verdict(None).await {
                    ForAnswer::Release { reason, .. } => {
                        self.note(reason);
                        customer.say(&Event::Piece(piece));
                    }
                    ForAnswer::Block(_) | ForAnswer::Challenge { .. } => {
                        self.note(Reason::AnswerTooLarge);
                        let close = Close::new(1009, "the message is too long");
                        self.close(customer, backend, close);
                    }
                }
            }
            passing => customer.say(&passing),
        }
    }

    /// What the customer gets to read of a message, which was one of this kind.
    async fn judge(
        &mut self,
        message: Bytes,
        kind: fn(Bytes) -> Event,
        customer: &Customer<'_>,
    ) -> Option<Event> {
        let body = Body::new(message);
        let judged = match self.verdict(Some(&body)).await {
            ForAnswer::Release { reason, strip } => {
                let (_, message) = unflag::stripped(&self.channel, HeaderMap::new(), &body, &strip);
                let linked = self.linked(&message, customer).await;
                linked.map(|linked| match linked {
                    Some(linked) => (Reason::LinkRewritten, Some(kind(linked))),
                    None => (reason, Some(kind(message))),
                })
            }
            ForAnswer::Challenge { level, .. } => {
                let asked = self.challenge(&body, level, customer).await;
                asked.map(|said| (Reason::Flagged, said.map(Event::Text)))
            }
            ForAnswer::Block(reason) => Err(reason),
        };
        match judged {
            Ok((reason, said)) => {
                self.note(reason);
                said
            }
            Err(reason) => {
                self.note(reason);
                None
            }
        }
    }

    /// A message with our login URL in place of the backend's own; `None` where it has none.
    async fn linked(
        &mut self,
        message: &Bytes,
        customer: &Customer<'_>,
    ) -> Result<Option<Bytes>, Reason> {
        if self.channel.link.is_none() {
            return Ok(None);
        }
        let text = HeaderValue::from_static("text/plain");
        let headers = [(CONTENT_TYPE, text)].into_iter().collect();
        let (channel, asker) = (self.channel.clone(), self.asker().await);
        let (state, session, exchange) = (self.state, &*customer.session, &mut *self.exchange);
        link::rewrite(
            state,
            session,
            exchange,
            &channel,
            &headers,
            message,
            asker,
            Some(Leg::Socket),
        )
        .await
    }

    /// The verdict on a message, for the customer as he stands now.
    async fn verdict(&self, body: Option<&Body>) -> ForAnswer {
        let headers = HeaderMap::new();
        let view = AnswerView::message(&headers, body);
        decision::answer(&self.channel, &view, self.asker().await)
    }

    async fn asker(&self) -> Asker {
        if self.key().is_some() {
            return verdict::asker(self.state, self.exchange).await;
        }
        let now = self.state.clock.now();
        let level = self.proven(now).map(|identity| identity.level);
        Asker {
            level: level.unwrap_or(Level::ANONYMOUS),
            ..Asker::ANONYMOUS
        }
    }

    /// Withholds a message and asks the customer to log in. Of several messages that
    /// come in one go and are all kept, only the first asks.
    async fn challenge(
        &mut self,
        body: &Body,
        level: Level,
        customer: &Customer<'_>,
    ) -> Result<Option<Bytes>, Reason> {
        let headers = HeaderMap::new();
        let view = AnswerView::message(&headers, Some(body));
        let channel = self.channel.clone();
        let login = channel.login.as_ref().ok_or(Reason::ChallengeImpossible)?;
        let now = self.state.clock.now();
        let release = login.release();
        let known = self.asked.as_ref().filter(|asked| {
            asked.fresh && asked.level >= level && asked.until.is_none_or(|until| now < until)
        });
        let said = match known.filter(|_| release.is_some()) {
            Some(_) => None,
            None => {
                let (state, session) = (self.state, &*customer.session);
                self.exchange.body = self.last.clone().map(Body::new);
                let reply = ask(
                    state,
                    session,
                    self.exchange,
                    &view,
                    level,
                    None,
                    Some(Leg::Socket),
                )
                .await;
                self.exchange.body = None;
                let reply = reply?;
                let replay = match (&login.resume, &self.last) {
                    (Resume::Replay { max_body }, Some(last)) if last.len() <= *max_body => {
                        Some(last.clone())
                    }
                    _ => None,
                };
                self.asked = Some(Challenged {
                    level,
                    until: channel.clocks.token_ttl.map(|ttl| now + ttl),
                    fresh: true,
                    replay,
                });
                Some(reply.body)
            }
        };
        if let Some(release) = release
            && let Some(answer) = withheld(&channel, &view, level)
        {
            self.keep(answer.body, level, &release.bounds).await;
        }
        Ok(said)
    }

    /// Keeps a message until the login.
    async fn keep(&self, body: Bytes, level: Level, bounds: &Bounds) {
        let Some(key) = self.key() else {
            return;
        };
        let (evidence, now) = (self.exchange.evidence, self.state.clock.now());
        let message = Withheld {
            leg: Leg::Socket,
            id: None,
            level,
            headers: HeaderMap::new(),
            body,
        };
        let kept = self
            .state
            .store
            .update(key, &self.channel.clocks, now, |slot| {
                let interaction = slot.get_or_insert_with(|| Interaction::new(now));
                interaction.withhold(message.clone(), bounds, evidence)
            })
            .await;
        if let Err(reason) | Ok(Err(reason)) = kept {
            // Who logs in gets what came before it.
            tracing::warn!(
                request_id = %self.exchange.id(), channel = %self.channel.name,
                reason = reason.code(), "a withheld message is lost"
            );
        }
    }
}
