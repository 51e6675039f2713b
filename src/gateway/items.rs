//! An answer with many messages of which some are flagged: those are withheld, the
//! rest passes as it came. The challenge stands in the place of the first of them;
//! one that it stands for already is left out, so that asking again, as polling
//! clients do, revokes no login URL. After the login, what was withheld comes before
//! the messages of the next answer.

mod element;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use memchr::memmem;
use pingora::proxy::Session;

use super::State;
use super::challenge::{self, challenge_message};
use super::exchange::Exchange;
use super::handover::Handovers;
use super::notice;
use super::unflag;
use crate::channel::{Channel, Release};
use crate::decision::{self, Asker, ForAnswer, JudgedItems};
use crate::interaction::{HandedOut, Interaction, Key, Leg, Level, MessageHash, Withheld};
use crate::message::elements::Elements;
use crate::message::json::ascii;
use crate::message::{AnswerView, Body};
use crate::reason::Reason;
use element::{Element, element};

/// What passes of an answer.
pub(super) struct Sorted {
    /// The body without coding, flags not yet taken off; `None` where it is the backend's.
    pub body: Option<Bytes>,
    /// The flags to take off.
    pub strip: Vec<usize>,
    /// The verdict that says the most.
    pub reason: Reason,
    /// The messages in it that the store has no more.
    pub handovers: Handovers,
}

/// Whether messages wait for this answer, by its head.
pub(super) async fn waits(
    state: &State,
    exchange: &Exchange,
    headers: &HeaderMap,
    asker: Asker,
) -> bool {
    let (Some(route), Some(key)) = (exchange.route(), &exchange.key) else {
        return false;
    };
    let channel = &route.channel;
    let tells = notice::outcomes(channel).is_some();
    let releases = release(channel).is_some() && asker.level > Level::ANONYMOUS;
    if channel.items.is_none() || !tells && !releases {
        return false;
    }
    let json = headers.get(CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.as_bytes().to_ascii_lowercase();
        memmem::find(&kind, b"json").is_some()
    });
    if !json {
        return false;
    }
    let now = state.clock.now();
    let look = state.store.read(key, &channel.clocks, now, |interaction| {
        interaction.is_some_and(|interaction| {
            let late = interaction.is_overdue(now) && interaction.is_addressed(&Leg::Poll);
            releases && interaction.withholds_any(&Leg::Poll)
                || tells && (late || interaction.tells(&Leg::Poll))
        })
    });
    look.await.unwrap_or(false)
}

/// Withholds what is flagged. `None` for an answer that goes or stays as a whole.
pub(super) async fn sort_out(
    state: &Arc<State>,
    session: &Session,
    exchange: &Exchange,
    answer: &AnswerView<'_>,
    asker: Asker,
) -> Result<Option<Sorted>, Reason> {
    let Some(route) = exchange.route() else {
        return Ok(None);
    };
    let channel = &route.channel;
    let (Some(items), Some(body)) = (&channel.items, answer.body) else {
        return Ok(None);
    };
    let Some(judged) = decision::items(channel, answer, asker) else {
        return Ok(None);
    };
    let Ok(plain) = body.plain() else {
        return Ok(None);
    };
    let elements = judged.elements.of(plain).map(|e| items.tell(e)).collect();
    let sorting = Sorting {
        state,
        session,
        exchange,
        channel,
        answer,
        body,
        plain,
        asker,
        judged,
        elements,
    };
    sorting.run().await.map(Some)
}

struct Sorting<'a> {
    state: &'a Arc<State>,
    session: &'a Session,
    exchange: &'a Exchange,
    channel: &'a Arc<Channel>,
    answer: &'a AnswerView<'a>,
    body: &'a Body,
    plain: &'a Bytes,
    asker: Asker,
    judged: JudgedItems,
    elements: Vec<Element>,
}

/// What the verdicts on the elements come to.
struct Verdicts {
    /// The places of those that are flagged, and the level that each demands.
    flagged: Vec<(usize, Level)>,
    /// The flags to take off the others.
    strip: BTreeSet<usize>,
    /// What is said of the others.
    reason: Reason,
}

impl Sorting<'_> {
    async fn run(self) -> Result<Sorted, Reason> {
        let Verdicts {
            flagged,
            strip,
            mut reason,
        } = self.verdicts()?;
        // A new login URL is told of in its own time.
        self.lapse().await;
        let challenge = self.challenge(&flagged).await?;
        if !flagged.is_empty() {
            reason = Reason::Flagged;
        }
        let linked = match flagged.is_empty() {
            true => self.linked().await?,
            // A customer is asked once; a second login URL would revoke the first.
            false => BTreeMap::new(),
        };
        if !linked.is_empty() {
            reason = Reason::LinkRewritten;
        }
        // What is taken out of the store goes nowhere but into this answer: nothing may
        // fail after it.
        let released = self.released().await?;
        let notices = self.told().await;
        let told = notices.messages.iter();
        let told = told.map(|notice| element(&notice.body));
        let added = released
            .messages
            .iter()
            .filter(|message| self.adds(message, &flagged));
        let first: Vec<Vec<u8>> = told
            .chain(added.map(|message| message.body.to_vec()))
            .map(|element| self.fitting(element))
            .collect();
        let mut handovers = Handovers::default();
        handovers.add(self.state, self.exchange, notices);
        handovers.add(self.state, self.exchange, released);
        let mut body = None;
        if !flagged.is_empty() || !first.is_empty() || !linked.is_empty() {
            let change = |index| {
                if let Some(element) = linked.get(&index) {
                    return Some(element.clone());
                }
                flagged.iter().find(|(at, _)| *at == index)?;
                match &challenge {
                    Some((at, element)) if *at == index => Some(element.clone()),
                    _ => Some(Vec::new()),
                }
            };
            let left = self.judged.elements.rewrite(self.plain, &first, change);
            body = Some(self.written(left)?);
        }
        Ok(Sorted {
            body,
            strip: strip.into_iter().collect(),
            reason,
            handovers,
        })
    }

    /// The verdicts on all elements, put together.
    fn verdicts(&self) -> Result<Verdicts, Reason> {
        let mut all = Verdicts {
            flagged: Vec::new(),
            strip: BTreeSet::new(),
            reason: Reason::Unflagged,
        };
        for (index, verdict) in self.judged.verdicts.iter().enumerate() {
            match verdict {
                ForAnswer::Challenge { level, .. } => all.flagged.push((index, *level)),
                ForAnswer::Release { reason, strip } => {
                    all.strip.extend(strip);
                    if *reason != Reason::Unflagged {
                        all.reason = *reason;
                    }
                    self.state.metrics.event(&self.channel.name, *reason);
                }
                ForAnswer::Block(reason) => return Err(*reason),
            }
        }
        Ok(all)
    }

    /// An element from elsewhere as it has to stand in this answer: one of ours or of
    /// another answer in UTF-8, or one that came in a charset of one byte, which is taken
    /// for that of this answer.
    fn fitting(&self, element: Vec<u8>) -> Vec<u8> {
        match String::from_utf8(element) {
            Ok(text) if self.body.is_utf8() => text.into_bytes(),
            Ok(text) => ascii(&text).into_owned().into_bytes(),
            Err(other) => self.body.as_plain(other.into_bytes()),
        }
    }

    /// The body in the charset of the answer.
    fn written(&self, left: Vec<u8>) -> Result<Bytes, Reason> {
        self.body.edited(left).ok_or_else(|| {
            tracing::error!(
                request_id = %self.exchange.id(), channel = %self.channel.name,
                "an answer could not be written"
            );
            Reason::AnswerUndecodable
        })
    }

    /// Gives up a login URL whose time is over, before there is another.
    async fn lapse(&self) {
        let Some(key) = self.key() else {
            return;
        };
        let config = &self.exchange.config;
        notice::lapse(self.state, config, self.channel, key, &Leg::Poll).await;
    }

    /// What there is to say of how a login ended.
    async fn told(&self) -> HandedOut {
        let Some(key) = self.key() else {
            return HandedOut::default();
        };
        let (config, evidence) = (&self.exchange.config, self.exchange.evidence);
        notice::due(self.state, config, self.channel, key, evidence, &Leg::Poll).await
    }

    /// What was withheld and may be delivered now.
    async fn released(&self) -> Result<HandedOut, Reason> {
        let Some(key) = self.key().filter(|_| self.asker.level > Level::ANONYMOUS) else {
            return Ok(HandedOut::default());
        };
        if release(self.channel).is_none() {
            return Ok(HandedOut::default());
        }
        let (clocks, now) = (&self.channel.clocks, self.state.clock.now());
        let evidence = self.exchange.evidence;
        let update = self
            .state
            .store
            .update(key, clocks, now, |slot| match slot {
                Some(interaction) => {
                    interaction.release(|leg| *leg == Leg::Poll, clocks, evidence, now)
                }
                None => HandedOut::default(),
            });
        update.await
    }

    /// Whether a message is not in the answer anyway.
    fn adds(&self, message: &Withheld, flagged: &[(usize, Level)]) -> bool {
        let passes = |index: usize| !flagged.iter().any(|(at, _)| *at == index);
        let mut elements = self.elements.iter().enumerate();
        !elements.any(|(at, element)| Some(&element.id) == message.id.as_ref() && passes(at))
    }

    /// Makes a login URL for what is flagged, unless one stands for all of it already:
    /// an element and its place. What is withheld is kept where it is released later.
    async fn challenge(
        &self,
        flagged: &[(usize, Level)],
    ) -> Result<Option<(usize, Vec<u8>)>, Reason> {
        let Some(key) = self.key().filter(|_| !flagged.is_empty()) else {
            return Ok(None);
        };
        for _ in flagged {
            self.state
                .metrics
                .event(&self.channel.name, Reason::Flagged);
        }
        let (clocks, now) = (&self.channel.clocks, self.state.clock.now());
        let hash = |index: usize| self.elements.get(index).map(|element| element.hash);
        let look = self.state.store.read(key, clocks, now, |interaction| {
            flagged.iter().find(|(index, level)| {
                let known = interaction.zip(hash(*index));
                !known.is_some_and(|(interaction, hash)| {
                    interaction.is_challenged(&hash, *level, now)
                })
            })
        });
        let new = look.await?.map(|(index, _)| *index);
        self.withhold(key, flagged).await?;
        let Some(place) = new else {
            return Ok(None);
        };
        let most = flagged.iter().map(|(_, level)| *level).max();
        let level = most.unwrap_or(self.asker.level);
        let reply = challenge_message(
            self.state,
            self.session,
            self.exchange,
            self.answer,
            level,
            Leg::Poll,
        )
        .await?;
        let stands = flagged.iter().filter_map(|(index, _)| hash(*index));
        self.stands_for(key, stands.collect()).await?;
        Ok(Some((place, self.fitting(element(&reply.body)))))
    }

    /// The elements with a login link of the backend's own, as they go on: with a login URL
    /// of ours, or not at all where one stands for all of them already.
    async fn linked(&self) -> Result<BTreeMap<usize, Vec<u8>>, Reason> {
        let none = BTreeMap::new();
        let (channel, headers) = (self.channel, self.answer.headers);
        let plain = Body::new(self.plain.clone());
        let level = decision::link(channel, headers, &plain, self.asker);
        let (Some(level), Some(link), Some(items), Some(key)) =
            (level, &channel.link, &channel.items, self.key())
        else {
            return Ok(none);
        };
        let elements = |url: &str| {
            let edited = link.replace(headers, &plain, url)?;
            let elements = Elements::find(&edited, &items.at).ok()??;
            Some(elements.of(&edited).map(<[u8]>::to_vec).collect::<Vec<_>>())
        };
        let edited = elements("").unwrap_or_default();
        let came = self.judged.elements.of(self.plain);
        let places = came.zip(&edited).enumerate();
        let touched = places.filter(|(_, (came, edited))| *came != &edited[..]);
        let touched: Vec<usize> = touched.map(|(index, _)| index).collect();
        if touched.is_empty() {
            return Ok(none);
        }
        let hash = |index: &usize| self.elements.get(*index).map(|element| element.hash);
        let hashes: Vec<_> = touched.iter().filter_map(hash).collect();
        let (clocks, now) = (&self.channel.clocks, self.state.clock.now());
        let look = self.state.store.read(key, clocks, now, |interaction| {
            let stands = |hash| interaction.is_some_and(|i| i.is_challenged(hash, level, now));
            hashes.iter().all(stands)
        });
        if look.await? {
            return Ok(touched
                .into_iter()
                .map(|index| (index, Vec::new()))
                .collect());
        }
        let url = challenge::url(
            self.state,
            self.session,
            self.exchange,
            level,
            Some(Leg::Poll),
        )
        .await?;
        self.stands_for(key, hashes).await?;
        let ours = elements(&url).ok_or(Reason::Internal)?.into_iter();
        let ours = ours
            .enumerate()
            .filter(|(index, _)| touched.contains(index));
        Ok(ours.collect())
    }

    /// Notes what the new login URL stands for.
    async fn stands_for(&self, key: &Key, elements: Vec<MessageHash>) -> Result<(), Reason> {
        let (clocks, now) = (&self.channel.clocks, self.state.clock.now());
        let note = self.state.store.update(key, clocks, now, |slot| {
            if let Some(interaction) = slot {
                interaction.stands_for(elements.iter().copied());
            }
        });
        note.await
    }

    /// Keeps what is withheld, as a customer of its level gets it.
    async fn withhold(&self, key: &Key, flagged: &[(usize, Level)]) -> Result<(), Reason> {
        let Some(release) = release(self.channel) else {
            return Ok(());
        };
        let messages: Vec<_> = flagged
            .iter()
            .filter_map(|(index, level)| self.message(*index, *level))
            .collect();
        let (clocks, now) = (&self.channel.clocks, self.state.clock.now());
        let update = self.state.store.update(key, clocks, now, |slot| {
            let interaction = slot.get_or_insert_with(|| Interaction::new(now));
            let evidence = self.exchange.evidence;
            let keep = |message: &Withheld| {
                let kept = interaction.withhold(message.clone(), &release.bounds, evidence);
                kept.is_err()
            };
            messages.iter().map(keep).filter(|lost| *lost).count()
        });
        let lost = update.await?;
        if lost > 0 {
            tracing::error!(
                request_id = %self.exchange.id(), channel = %self.channel.name, lost,
                reason = Reason::OutboxFull.code(), "withheld messages are lost"
            );
        }
        Ok(())
    }

    fn message(&self, index: usize, level: Level) -> Option<Withheld> {
        let only = |at| (at != index).then(Vec::new);
        let alone = self.judged.elements.rewrite(self.plain, NOTHING, only);
        let alone = Body::new(alone.into());
        let view = AnswerView {
            body: Some(&alone),
            ..*self.answer
        };
        let asker = Asker {
            level,
            ..self.asker
        };
        let ForAnswer::Release { strip, .. } = decision::answer(self.channel, &view, asker) else {
            return None;
        };
        let (_, bytes) = unflag::stripped(self.channel, HeaderMap::new(), &alone, &strip);
        let items = self.channel.items.as_ref()?;
        let elements = Elements::find(&bytes, &items.at).ok()??;
        let element = elements.of(&bytes).next()?;
        Some(Withheld {
            leg: Leg::Poll,
            id: Some(self.elements.get(index)?.id.clone()),
            level,
            headers: HeaderMap::new(),
            // As it came: what its letters are in another charset is not known.
            body: self.body.edited(element.to_vec())?,
        })
    }

    fn key(&self) -> Option<&Key> {
        self.exchange.key.as_ref()
    }
}

fn release(channel: &Channel) -> Option<&Release> {
    channel.login.as_ref()?.release()
}

const NOTHING: &[&[u8]] = &[];
