//! How a login ended, for the chat: where it is told, and what is left of a login URL
//! whose customer never came back.

use bytes::Bytes;

use super::{Evidence, Interaction, Rare};
use crate::interaction::held::Held;
use crate::interaction::outbox::{Bounds, HandedOut, Leg, Withheld};
use crate::reason::Reason;
use crate::time::Time;

/// Notices are few and ours: they do not compete with what is withheld.
const ROOMY: Bounds = Bounds {
    messages: usize::MAX,
    bytes: usize::MAX,
};

impl Interaction {
    /// Notes where the outcome of the outstanding login goes: on which leg, and with
    /// which headers. Forgotten with the next login URL.
    pub fn address(&mut self, envelope: Withheld) {
        if let Some(rare) = self.rare.as_mut().filter(|rare| rare.challenge.is_some()) {
            rare.envelope = Some(Box::new(envelope));
        }
    }

    /// Whether the outcome goes on this leg.
    pub fn is_addressed(&self, leg: &Leg) -> bool {
        let envelope = self.rare.as_ref().and_then(|rare| rare.envelope.as_ref());
        envelope.is_some_and(|envelope| envelope.leg == *leg)
    }

    /// The login ended, and this is what the chat is told: hands out what the client is
    /// sent at once; on other legs it waits for [`Interaction::told`], in place of an
    /// older notice. `None` tells nothing.
    pub fn tell(&mut self, body: Option<Bytes>) -> Option<Withheld> {
        let rare = self.rare.as_mut()?;
        let envelope = *rare.envelope.take()?;
        let Some(body) = body else {
            self.slim();
            return None;
        };
        let notice = Withheld { body, ..envelope };
        if matches!(notice.leg, Leg::Webhook { .. }) {
            self.slim();
            return Some(notice);
        }
        rare.outbox.take(|known| known.is_notice_on(&notice.leg));
        // It fits: there are no bounds.
        let _ = rare.outbox.put(notice, &ROOMY);
        None
    }

    /// Whether a notice waits on this leg.
    pub fn tells(&self, leg: &Leg) -> bool {
        let rare = self.rare.as_ref();
        rare.is_some_and(|rare| rare.outbox.has_notice(leg))
    }

    /// Hands out the notices of a leg, to the owner alone.
    pub fn told(&mut self, leg: &Leg, evidence: Evidence) -> HandedOut {
        match self.owned_by(evidence) {
            true => self.hand_out(|known| known.is_notice_on(leg)),
            false => HandedOut::default(),
        }
    }

    /// Whether the time of its login URL, or of the ticket after it, is over and nobody
    /// has come back by it.
    pub fn is_overdue(&self, now: Time) -> bool {
        let pending = self.rare.as_deref().and_then(Rare::pending);
        pending.is_some_and(|pending| pending.expired(now))
    }

    /// Gives up a login URL whose time is over, and what it held. Whether there was one.
    pub fn expire(&mut self, now: Time) -> bool {
        if !self.is_overdue(now) {
            return false;
        }
        let Some(rare) = self.rare.as_mut() else {
            return false;
        };
        let token = match rare.challenge.take() {
            Some(challenge) => Some(challenge.token),
            None => rare.proven.take().map(|proven| proven.ticket().token),
        };
        rare.consumed = token.map(|token| (token, Reason::TokenExpired));
        rare.attempts = Default::default();
        rare.challenged = Vec::new();
        if let Some((_, held @ (Held::Request(_) | Held::Withheld(..)))) = &mut rare.held {
            *held = Held::Failed(Reason::TokenExpired);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, Method};

    use super::*;
    use crate::interaction::identity::{Identity, Level};
    use crate::interaction::{Challenge, Clocks, HeldRequest, OwnerHash, TokenHash};

    const TOKEN: TokenHash = TokenHash([1; 32]);
    const OWNER: Evidence = Evidence::Shown(OwnerHash([2; 32]));
    const OTHER: Evidence = Evidence::Shown(OwnerHash([3; 32]));

    fn at(secs: u64) -> Time {
        Time::from_secs(1_000_000 + secs)
    }

    fn envelope(leg: Leg) -> Withheld {
        Withheld {
            leg,
            id: None,
            level: Level::ANONYMOUS,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// A login URL of a minute, with a request behind it, told on this leg.
    fn challenged(leg: Leg) -> Interaction {
        let mut i = Interaction::new(at(0));
        i.touch(&Clocks::default(), OWNER, at(0));
        let challenge = Challenge {
            token: TOKEN,
            level: Level(1),
            created: at(0),
            ttl: Some(Duration::from_secs(60)),
        };
        let request = HeldRequest {
            method: Method::POST,
            target: "/".into(),
            headers: HeaderMap::new(),
            body: Bytes::from_static(b"hello"),
        };
        let held = Held::Request(Box::new(request));
        i.challenge(challenge, Some((TokenHash([9; 32]), held)), OWNER)
            .unwrap();
        i.address(envelope(leg));
        i
    }

    #[test]
    fn a_notice_waits_for_the_owner_on_its_leg() {
        let mut i = challenged(Leg::Socket);
        i.redeem(&TOKEN, at(1)).unwrap();
        assert!(i.tell(Some(Bytes::from_static(b"no"))).is_none());
        assert!(i.tell(Some(Bytes::from_static(b"again"))).is_none());
        assert!(i.tells(&Leg::Socket) && !i.tells(&Leg::Poll));
        assert!(i.told(&Leg::Socket, OTHER).messages.is_empty());
        assert!(i.told(&Leg::Poll, OWNER).messages.is_empty());
        let told = i.told(&Leg::Socket, OWNER).messages;
        assert_eq!(told.len(), 1, "a login ends once");
        assert_eq!(&told[0].body[..], b"no");
        assert!(!i.tells(&Leg::Socket));
    }

    #[test]
    fn a_notice_is_no_withheld_message() {
        let mut i = challenged(Leg::Poll);
        i.redeem(&TOKEN, at(1)).unwrap();
        let alice = Identity::new("alice", Level(1), &serde_json::Map::new());
        let clocks = Clocks::default();
        i.log_in(alice.into(), &clocks, OWNER, at(1)).unwrap();
        i.tell(Some(Bytes::from_static(b"yes")));
        let released = i.release(|_| true, &clocks, OWNER, at(1));
        assert!(released.messages.is_empty());
        assert_eq!(i.told(&Leg::Poll, OWNER).messages.len(), 1);
    }

    #[test]
    fn what_nobody_owns_yet_is_told_to_no_stranger() {
        let mut i = Interaction::new(at(0));
        let challenge = Challenge {
            token: TOKEN,
            level: Level(1),
            created: at(0),
            ttl: None,
        };
        i.challenge(challenge, None, Evidence::Unasked).unwrap();
        i.address(envelope(Leg::Poll));
        i.tell(Some(Bytes::from_static(b"yes")));
        for stranger in [OTHER, Evidence::Missing] {
            assert!(i.told(&Leg::Poll, stranger).messages.is_empty());
        }
        assert_eq!(i.told(&Leg::Poll, Evidence::Unasked).messages.len(), 1);
    }

    #[test]
    fn a_client_is_sent_its_notice_at_once() {
        let mut i = challenged(Leg::Webhook {
            method: Method::POST,
            target: "/hook".into(),
        });
        let sent = i.tell(Some(Bytes::from_static(b"no"))).unwrap();
        assert_eq!(&sent.body[..], b"no");
        assert!(!i.tells(&sent.leg));
    }

    #[test]
    fn who_never_returns_leaves_nothing_behind() {
        let mut i = challenged(Leg::Socket);
        let before = i.weight();
        assert!(!i.expire(at(59)));
        assert!(i.expire(at(60)) && !i.expire(at(60)));
        assert_eq!(i.take_consumed(), Some((TOKEN, Reason::TokenExpired)));
        assert!(i.outstanding().is_none());
        let clocks = Clocks::default();
        let waits = i.waiting(&TokenHash([9; 32]), &clocks, OWNER, at(60));
        assert!(matches!(waits, Ok(Held::Failed(Reason::TokenExpired))));
        assert!(i.weight() < before);
    }
}
