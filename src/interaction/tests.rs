//! Histories of interactions: random ones against a simple model, and every
//! pair of somebody's interaction with somebody else's evidence.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use proptest::prelude::*;
use serde_json::Map;

use super::memory::Memory;
use super::*;
use crate::reason::Reason;
use crate::time::Time;

static CLOCKS: Clocks = Clocks {
    token_ttl: Some(Duration::from_secs(60)),
    authentication_timeout: Some(Duration::from_secs(100)),
    level_timeouts: Vec::new(),
    interaction_timeout: Some(Duration::from_secs(300)),
    absolute_timeout: Some(Duration::from_secs(1000)),
};

const MISSING: u8 = 0;
const UNASKED: u8 = 9;

/// Somebody: one of two owners, nobody, or a channel that does not ask.
fn evidence(who: u8) -> Evidence {
    match who {
        MISSING => Evidence::Missing,
        UNASKED => Evidence::Unasked,
        n => Evidence::Shown(OwnerHash([n; 32])),
    }
}

fn key(chat: u8) -> Key {
    Key::new("web", &chat.to_string())
}

fn token(n: usize) -> TokenHash {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&n.to_le_bytes());
    TokenHash(hash)
}

/// The `continue` token beside a login token.
fn beside(n: usize) -> TokenHash {
    TokenHash(token(n).0.map(|byte| !byte))
}

fn identity(subject: u8, level: u8) -> Arc<Identity> {
    Arc::new(Identity::new(
        &subject.to_string(),
        Level(level),
        &Map::new(),
    ))
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Touch {
        chat: u8,
        who: u8,
    },
    LogIn {
        chat: u8,
        who: u8,
        subject: u8,
        level: u8,
    },
    Challenge {
        chat: u8,
        who: u8,
    },
    Redeem {
        back: usize,
    },
    Fetch {
        back: usize,
        who: u8,
    },
    LogOut {
        chat: u8,
    },
    End {
        chat: u8,
    },
    Wait {
        secs: u64,
    },
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    let chat = || 0..3_u8;
    let who = || prop_oneof![3 => 1..3_u8, 1 => Just(MISSING), 1 => Just(UNASKED)];
    let secs = prop::sample::select(vec![1, 40, 59, 60, 99, 100, 200, 299, 300, 700]);
    prop_oneof![
        4 => (chat(), who()).prop_map(|(chat, who)| Step::Touch { chat, who }),
        3 => (chat(), who(), 1..3_u8, 1..3_u8).prop_map(|(chat, who, subject, level)| Step::LogIn {
            chat,
            who,
            subject,
            level,
        }),
        2 => (chat(), who()).prop_map(|(chat, who)| Step::Challenge { chat, who }),
        2 => (0..4_usize).prop_map(|back| Step::Redeem { back }),
        2 => (0..4_usize, who()).prop_map(|(back, who)| Step::Fetch { back, who }),
        1 => chat().prop_map(|chat| Step::LogOut { chat }),
        1 => chat().prop_map(|chat| Step::End { chat }),
        4 => secs.prop_map(|secs| Step::Wait { secs }),
        1 => Just(Step::Sweep),
    ]
}

/// What one step comes to, seen from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Stands {
        foreign: bool,
        login: Option<(u8, u8, u64)>,
    },
    Done(Result<(), Reason>),
    Waits(Result<&'static str, Reason>),
    Nothing,
}

/// The store under test, and how many tokens were made.
struct Real {
    store: Memory,
    now: u64,
    tokens: usize,
}

impl Real {
    fn new(interactions: usize) -> Self {
        let bytes = usize::MAX;
        Self {
            store: Memory::new(Limits {
                interactions,
                bytes,
            }),
            now: 1_000_000,
            tokens: 0,
        }
    }

    fn update<T>(&self, key: &Key, change: impl FnMut(&mut Option<Interaction>) -> T) -> T {
        let now = Time::from_secs(self.now);
        self.store.update(key, &CLOCKS, now, change).unwrap()
    }

    fn take(&mut self, step: Step) -> Outcome {
        let now = Time::from_secs(self.now);
        let fresh = || Interaction::new(now);
        match step {
            Step::Touch { chat, who } => {
                let standing = self.update(&key(chat), |slot| {
                    slot.get_or_insert_with(fresh)
                        .touch(&CLOCKS, evidence(who), now)
                });
                let login = standing.identity.map(|identity| {
                    let at = standing.login_time.unwrap().secs();
                    (identity.subject().parse().unwrap(), identity.level.0, at)
                });
                let foreign = standing.foreign;
                Outcome::Stands { foreign, login }
            }
            Step::LogIn {
                chat,
                who,
                subject,
                level,
            } => Outcome::Done(self.update(&key(chat), |slot| {
                let interaction = slot.get_or_insert_with(fresh);
                interaction.log_in(identity(subject, level), &CLOCKS, evidence(who), now)
            })),
            Step::Challenge { chat, who } => {
                let n = self.tokens;
                let done = self.update(&key(chat), |slot| {
                    let challenge = Challenge {
                        token: token(n),
                        level: Level(1),
                        created: now,
                        ttl: CLOCKS.token_ttl,
                    };
                    let request = HeldRequest {
                        method: Method::GET,
                        target: "/".into(),
                        headers: HeaderMap::new(),
                        body: Bytes::new(),
                    };
                    let held = Some((beside(n), Held::Request(Box::new(request))));
                    let interaction = slot.get_or_insert_with(fresh);
                    interaction.challenge(challenge, held, evidence(who))
                });
                self.tokens += usize::from(done.is_ok());
                Outcome::Done(done)
            }
            Step::Redeem { back } => {
                let token = token(self.tokens.wrapping_sub(back + 1));
                Outcome::Done(self.store.locate(&token).and_then(|key| {
                    self.update(&key, |slot| {
                        let interaction = slot.as_mut().ok_or(Reason::TokenRevoked)?;
                        interaction.redeem(&token, now).map(drop)
                    })
                }))
            }
            Step::Fetch { back, who } => {
                let token = beside(self.tokens.wrapping_sub(back + 1));
                let key = self.store.locate_held(&token);
                let look = |i: Option<&Interaction>| {
                    let i = i.ok_or(Reason::NothingHeld)?;
                    match i.waiting(&token, &CLOCKS, evidence(who), now)? {
                        Held::Request(_) => Ok("request"),
                        Held::Replaying => Ok("replaying"),
                        Held::Withheld(..) => Ok("withheld"),
                        Held::Answer(..) => Ok("answer"),
                        Held::Failed(_) => Ok("failed"),
                    }
                };
                let look = |key| self.store.read(&key, &CLOCKS, now, look);
                Outcome::Waits(key.ok_or(Reason::NothingHeld).and_then(look))
            }
            Step::LogOut { chat } => {
                self.update(&key(chat), |slot| slot.as_mut().map(Interaction::log_out));
                Outcome::Nothing
            }
            Step::End { chat } => {
                self.update(&key(chat), |slot| *slot = None);
                Outcome::Nothing
            }
            Step::Wait { secs } => {
                self.now += secs;
                Outcome::Nothing
            }
            Step::Sweep => {
                self.store.sweep(now, |_| Some(&CLOCKS));
                Outcome::Nothing
            }
        }
    }
}

/// The same, kept as plainly as can be: a list of what happened.
#[derive(Default)]
struct Model {
    chats: HashMap<u8, Chat>,
    /// What became of each login token; `None` is outstanding.
    tokens: Vec<(u8, Option<Reason>)>,
    now: u64,
}

#[derive(Default)]
struct Chat {
    started: u64,
    touched: Vec<u64>,
    owner: Option<u8>,
    /// Subject, level, time; all that were accepted.
    logins: Vec<(u8, u8, u64)>,
    /// How many of them a logout took away.
    gone: usize,
    /// Number and time of the outstanding login URL.
    challenge: Option<(usize, u64)>,
    /// What waits, and beside which token.
    held: Option<(usize, &'static str)>,
}

impl Chat {
    fn ended(&self, now: u64) -> bool {
        let seen = self.touched.iter().chain([&self.started]).max();
        now >= seen.unwrap() + 300 || now >= self.started + 1000
    }

    fn owns(&self, who: u8) -> bool {
        let blank = self.logins.is_empty() && self.challenge.is_none() && self.held.is_none();
        match (who, self.owner) {
            (UNASKED, _) => true,
            (MISSING, _) => false,
            (who, Some(owner)) => who == owner,
            (_, None) => blank,
        }
    }

    fn login(&self, now: u64) -> Option<(u8, u8, u64)> {
        let mut counts: Option<(u8, u8, u64)> = None;
        for login in &self.logins[self.gone..] {
            let stronger = counts.filter(|c| login.2 < c.2 + 100 && login.1 < c.1);
            counts = stronger.or(Some(*login));
        }
        counts.filter(|login| now < login.2 + 100)
    }
}

impl Model {
    /// The chat, after its clocks were looked at.
    fn chat(&mut self, chat: u8) -> Option<&mut Chat> {
        let now = self.now;
        if self.chats.get(&chat).is_some_and(|c| c.ended(now)) {
            self.drop(chat);
        }
        self.chats.get_mut(&chat)
    }

    fn fresh(&mut self, chat: u8) -> &mut Chat {
        if self.chat(chat).is_none() {
            let started = self.now;
            self.chats.insert(
                chat,
                Chat {
                    started,
                    ..Chat::default()
                },
            );
        }
        self.chats.get_mut(&chat).unwrap()
    }

    /// Lets the owner in.
    fn admit(&mut self, chat: u8, who: u8) -> bool {
        let chat = self.fresh(chat);
        let owns = chat.owns(who);
        if owns && who != UNASKED {
            chat.owner = Some(who);
        }
        owns
    }

    fn drop(&mut self, chat: u8) {
        self.revoke(chat);
        self.chats.remove(&chat);
    }

    fn revoke(&mut self, chat: u8) {
        let now = self.now;
        if let Some((n, at)) = self.chats.get_mut(&chat).and_then(|c| c.challenge.take()) {
            let expired = now >= at + 60;
            let how = if expired {
                Reason::TokenExpired
            } else {
                Reason::TokenRevoked
            };
            self.tokens[n].1 = Some(how);
        }
    }

    fn take(&mut self, step: Step) -> Outcome {
        let now = self.now;
        match step {
            Step::Touch { chat, who } => {
                let owns = self.admit(chat, who);
                let chat = self.fresh(chat);
                chat.touched.extend(owns.then_some(now));
                let login = chat.login(now).filter(|_| owns);
                Outcome::Stands {
                    foreign: !owns,
                    login,
                }
            }
            Step::LogIn {
                chat,
                who,
                subject,
                level,
            } => {
                if !self.admit(chat, who) {
                    return Outcome::Done(Err(Reason::NotOwner));
                }
                let chat = self.fresh(chat);
                if chat.logins.iter().any(|login| login.0 != subject) {
                    return Outcome::Done(Err(Reason::SubjectChanged));
                }
                chat.logins.push((subject, level, now));
                Outcome::Done(Ok(()))
            }
            Step::Challenge { chat, who } => {
                if !self.admit(chat, who) {
                    return Outcome::Done(Err(Reason::NotOwner));
                }
                self.revoke(chat);
                let n = self.tokens.len();
                self.tokens.push((chat, None));
                let chat = self.fresh(chat);
                chat.challenge = Some((n, now));
                chat.held = Some((n, "request"));
                Outcome::Done(Ok(()))
            }
            Step::Redeem { back } => {
                let Some(n) = self.tokens.len().checked_sub(back + 1) else {
                    return Outcome::Done(Err(Reason::TokenUnknown));
                };
                if let (_, Some(how)) = self.tokens[n] {
                    return Outcome::Done(Err(how));
                }
                let Some(chat) = self.chat(self.tokens[n].0) else {
                    return Outcome::Done(Err(Reason::TokenRevoked));
                };
                let (_, at) = chat.challenge.take().unwrap();
                let expired = now >= at + 60;
                let held = if expired { "failed" } else { "replaying" };
                chat.held = Some((n, held));
                let how = if expired {
                    Reason::TokenExpired
                } else {
                    Reason::TokenUsed
                };
                self.tokens[n].1 = Some(how);
                Outcome::Done(if expired { Err(how) } else { Ok(()) })
            }
            Step::Fetch { back, who } => {
                let nothing = Outcome::Waits(Err(Reason::NothingHeld));
                let Some(n) = self.tokens.len().checked_sub(back + 1) else {
                    return nothing;
                };
                let chat = self.chats.get(&self.tokens[n].0).filter(|c| !c.ended(now));
                let Some(chat) = chat.filter(|chat| chat.owns(who)) else {
                    return nothing;
                };
                match (chat.held, chat.challenge) {
                    (Some((of, "request")), Some((_, at))) if of == n && now >= at + 60 => {
                        Outcome::Waits(Ok("failed"))
                    }
                    (Some((of, what)), _) if of == n => Outcome::Waits(Ok(what)),
                    _ => nothing,
                }
            }
            Step::LogOut { chat } => {
                if self.chat(chat).is_some() {
                    self.revoke(chat);
                    let chat = self.fresh(chat);
                    chat.gone = chat.logins.len();
                    chat.held = None;
                }
                Outcome::Nothing
            }
            Step::End { chat } => {
                self.drop(chat);
                Outcome::Nothing
            }
            Step::Wait { secs } => {
                self.now += secs;
                Outcome::Nothing
            }
            Step::Sweep => {
                for chat in 0..3 {
                    self.chat(chat);
                }
                Outcome::Nothing
            }
        }
    }
}

proptest! {
    #[test]
    fn does_what_the_model_does(steps in prop::collection::vec(step(), 0..60)) {
        let mut real = Real::new(100);
        let mut model = Model { now: real.now, ..Model::default() };
        for (n, step) in steps.iter().enumerate() {
            prop_assert_eq!(real.take(*step), model.take(*step), "step {}: {:?}", n, step);
            for (n, (chat, fate)) in model.tokens.iter().enumerate() {
                let expected = fate.map_or(Ok(key(*chat)), Err);
                prop_assert_eq!(real.store.locate(&token(n)), expected, "token {}", n);
            }
            prop_assert_eq!(real.store.len(), model.chats.len());
        }
    }

    /// However little a store can hold: an identity counts only for whoever
    /// brought it to that interaction, while its time lasts.
    #[test]
    fn eviction_only_ever_denies(
        steps in prop::collection::vec(step(), 0..80),
        interactions in 1..4_usize,
    ) {
        let mut real = Real::new(interactions);
        // Who logged in where, as whom, and when.
        let mut logins: Vec<(u8, u8, (u8, u8, u64))> = Vec::new();
        for step in steps {
            let now = real.now;
            let outcome = real.take(step);
            match (step, outcome) {
                (Step::LogIn { chat, who, subject, level }, Outcome::Done(Ok(()))) => {
                    logins.push((chat, who, (subject, level, now)));
                }
                (Step::LogOut { chat } | Step::End { chat }, _) => {
                    logins.retain(|(of, ..)| *of != chat);
                }
                (Step::Touch { chat, who }, Outcome::Stands { login: Some(login), foreign }) => {
                    prop_assert!(!foreign);
                    prop_assert!(now < login.2 + 100);
                    let brought = logins.iter().any(|(of, by, what)| {
                        let same = *by == who || *by == UNASKED || who == UNASKED;
                        *of == chat && same && *what == login
                    });
                    prop_assert!(brought, "{:?} sees {:?}", step, login);
                }
                _ => {}
            }
            prop_assert!(real.store.len() <= interactions);
        }
    }
}

#[test]
fn nobody_gets_what_is_somebody_elses() {
    let store = Memory::new(Limits {
        interactions: 1000,
        bytes: usize::MAX,
    });
    let now = Time::from_secs(1_000_000);
    let mut pairs = Vec::new();
    for channel in ["a", "ab", "b"] {
        for id in ["1", "11", "b/1", "/1", "", "é", "A"] {
            pairs.push(Key::new(channel, id));
        }
    }
    let owner = |n: usize| Evidence::Shown(OwnerHash([n as u8; 32]));
    for (n, key) in pairs.iter().enumerate() {
        store
            .update(key, &CLOCKS, now, |slot| {
                let interaction = slot.get_or_insert_with(|| Interaction::new(now));
                interaction.touch(&CLOCKS, owner(n), now);
                interaction.log_in(identity(n as u8, 1), &CLOCKS, owner(n), now)
            })
            .unwrap()
            .unwrap();
    }
    assert_eq!(store.len(), pairs.len(), "all keys are different ones");
    for (n, key) in pairs.iter().enumerate() {
        for (m, _) in pairs.iter().enumerate() {
            let look = |i: Option<&Interaction>| i.unwrap().standing(&CLOCKS, owner(m), now);
            let standing = store.read(key, &CLOCKS, now, look);
            let subject = standing
                .identity
                .as_ref()
                .map(|identity| identity.subject().to_owned());
            assert_eq!(subject, (n == m).then(|| n.to_string()), "{key:?} by {m}");
            assert_eq!(standing.foreign, n != m);
        }
    }
}
