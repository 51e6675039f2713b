//! What a stream withholds is kept until the login, and comes on the stream that is open
//! then, before its next message.

use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use sha2::{Digest, Sha256};

use super::{Passing, at_once, released};
use crate::channel::Login;
use crate::decision::{self, Asker, ForAnswer};
use crate::gateway::notice;
use crate::interaction::{HandedOut, Interaction, Leg, Level, Withheld};
use crate::message::AnswerView;
use crate::message::stream::{Event, Format, Piece};
use crate::reason::Reason;

impl Passing<'_> {
    /// Says how a login ended, where there is something to say.
    pub(super) fn tell(&mut self) {
        let Some(key) = &self.exchange.key else {
            return;
        };
        let (config, evidence) = (&self.exchange.config, self.exchange.evidence);
        let channel = &self.route.channel;
        let due = notice::due(self.state, config, channel, key, evidence, &Leg::Stream);
        let due = at_once(due).unwrap_or_default();
        for notice in &due.messages {
            let bytes = self.stream.format.replace(&Event::default(), &notice.body);
            self.out.extend_from_slice(&bytes);
        }
        self.handovers.add(self.state, self.exchange, due);
    }

    /// Lets pass what was withheld and may be delivered now.
    pub(super) fn release(&mut self, asker: Asker) {
        let channel = self.channel();
        let Some(key) = self
            .exchange
            .key
            .as_ref()
            .filter(|_| asker.level > Level::ANONYMOUS)
        else {
            return;
        };
        if channel.login.as_ref().and_then(Login::release).is_none() {
            return;
        }
        let (clocks, now) = (&channel.clocks, self.state.clock.now());
        let store = &self.state.store;
        let waits = store.read(key, clocks, now, |interaction| {
            interaction.is_some_and(|interaction| interaction.withholds_any(&Leg::Stream))
        });
        if !matches!(at_once(waits), Some(Ok(true))) {
            return;
        }
        let evidence = self.exchange.evidence;
        let released = store.update(key, clocks, now, |slot| match slot {
            Some(interaction) => {
                interaction.release(|leg| *leg == Leg::Stream, clocks, evidence, now)
            }
            None => HandedOut::default(),
        });
        let released = at_once(released).and_then(Result::ok).unwrap_or_default();
        for message in &released.messages {
            let bytes = self.stream.format.adopt(message);
            self.out.extend_from_slice(&bytes);
        }
        self.handovers.add(self.state, self.exchange, released);
    }

    /// Keeps what is withheld, as a customer of this level gets it.
    pub(super) fn withhold(
        &self,
        event: &Event,
        view: &AnswerView<'_>,
        level: Level,
        asker: Asker,
    ) {
        let channel = self.channel();
        let release = channel.login.as_ref().and_then(Login::release);
        let (Some(release), Some(key)) = (release, &self.exchange.key) else {
            return;
        };
        let asker = Asker { level, ..asker };
        let ForAnswer::Release { strip, .. } = decision::answer(channel, view, asker) else {
            return;
        };
        let format = self.stream.format;
        let message = Withheld {
            leg: Leg::Stream,
            // The backend may send it again when the client comes again. That one stream
            // has an id of another says nothing: some count from one in each.
            id: event
                .id
                .as_ref()
                .filter(|id| !id.is_empty())
                .map(|_| hex::encode(Sha256::digest(&event.raw)).into()),
            level,
            headers: [(CONTENT_TYPE, format.content_type())]
                .into_iter()
                .collect(),
            body: format.saying(event, &released(channel, event, &strip)),
        };
        let (clocks, now) = (&channel.clocks, self.state.clock.now());
        let evidence = self.exchange.evidence;
        let kept = self.state.store.update(key, clocks, now, |slot| {
            let interaction = slot.get_or_insert_with(|| Interaction::new(now));
            interaction.withhold(message.clone(), &release.bounds, evidence)
        });
        let lost = match at_once(kept) {
            Some(Ok(Ok(()))) => return,
            Some(Ok(Err(reason)) | Err(reason)) => reason,
            None => Reason::Internal,
        };
        tracing::error!(
            request_id = %self.exchange.id(), channel = %channel.name, reason = lost.code(),
            "a withheld message is lost"
        );
    }
}

impl Format {
    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Events => "text/event-stream",
            Self::Lines => "application/x-ndjson",
            Self::Records => "application/json-seq",
        })
    }

    /// The bytes of a withheld message, which may have come on a stream of another format.
    fn adopt(self, message: &Withheld) -> Bytes {
        let kind = message.headers.get(CONTENT_TYPE);
        let from = kind.and_then(|kind| Self::of(kind.as_bytes()));
        let Some(from) = from.filter(|from| *from != self) else {
            return whole(self, &message.body);
        };
        let pieces = from.pieces(&message.body).filter_map(|piece| match piece {
            Piece::Event(event) => Some(self.replace(&event, &event.data)),
            Piece::Filler(_) | Piece::Over { .. } => None,
        });
        pieces.collect::<Vec<_>>().concat().into()
    }
}

/// A message with its end, which it may have come without or share with the next one.
fn whole(format: Format, bytes: &Bytes) -> Bytes {
    let ends: &[&[u8]] = match format {
        Format::Events => &[b"\n\n", b"\r\r", b"\r\n\r\n"],
        Format::Lines | Format::Records => &[b"\n"],
    };
    if ends.iter().any(|end| bytes.ends_with(end)) {
        return bytes.clone();
    }
    let rest: &[u8] = match format {
        Format::Events if bytes.ends_with(b"\r\n\r") => b"\n",
        Format::Events => b"\n\n",
        Format::Lines | Format::Records => b"\n",
    };
    [bytes, rest].concat().into()
}
