//! A login page returned: what becomes of the login, and of whoever waits for it.

use std::sync::Arc;

use super::{Clocks, Evidence, Interaction};
use crate::interaction::held::{Redeemed, TokenHash};
use crate::interaction::identity::{Identity, Level};
use crate::reason::Reason;
use crate::time::Time;

/// How far a return brings a login.
#[derive(Clone, Debug)]
pub enum Step {
    /// It is over: the customer has logged in, or why not.
    Ended(Box<Redeemed>, Result<Arc<Identity>, Reason>),
    /// It succeeded, and it has yet to be said whose chat it is.
    Unbound,
    /// It failed, and may be tried again with the same login URL.
    Again,
}

impl Interaction {
    /// A login by the URL with this token came to its end: `login` gives the identity for
    /// the level that was demanded, or says why there is none.
    ///
    /// With a `ticket` the login waits to be bound ([`Interaction::prove`]). Where `most`
    /// logins may fail by one URL, one that did ([`Reason::LoginFailed`]) leaves it good
    /// until then; the last is [`Reason::LoginFailures`]. Else the token is spent, and
    /// whoever waits for what asks for more than the login reaches is told. Errors as of
    /// [`Interaction::prove`] and [`Interaction::redeem`].
    pub fn come_back(
        &mut self,
        token: &TokenHash,
        login: impl Fn(Level) -> Result<Arc<Identity>, Reason>,
        ticket: Option<TokenHash>,
        most: Option<u32>,
        clocks: &Clocks,
        now: Time,
    ) -> Result<Step, Reason> {
        let tried = self.demanded(token).map(&login);
        if let (Some(ticket), Some(Ok(identity))) = (ticket, &tried) {
            self.prove(token, identity.clone(), ticket, now)?;
            return Ok(Step::Unbound);
        }
        if let (Some(most), Some(Err(Reason::LoginFailed))) = (most, &tried)
            && matches!(self.try_login(token, most, now), Ok((_, false)))
        {
            return Ok(Step::Again);
        }
        let redeemed = self.redeem(token, now)?;
        let logged_in = login(redeemed.level).map_err(|reason| match (reason, most) {
            (Reason::LoginFailed, Some(_)) => Reason::LoginFailures,
            (reason, _) => reason,
        });
        let logged_in = logged_in.and_then(|identity| {
            // The token speaks for the owner.
            self.log_in(identity.clone(), clocks, Evidence::Unasked, now)?;
            Ok(identity)
        });
        match (&logged_in, &redeemed.held) {
            (Err(reason), _) => self.fail(&redeemed, *reason),
            // What is still withheld now asks for more than this login reaches.
            (Ok(_), None) => self.fail(&redeemed, Reason::Flagged),
            (Ok(_), Some(_)) => {}
        }
        Ok(Step::Ended(Box::new(redeemed), logged_in))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, Method, StatusCode};
    use serde_json::Map;

    use super::*;
    use crate::interaction::{Answer, Challenge, Held, HeldRequest};

    const TOKEN: TokenHash = TokenHash([1; 32]);
    const TICKET: TokenHash = TokenHash([2; 32]);
    const CONTINUE: TokenHash = TokenHash([3; 32]);

    fn now() -> Time {
        Time::from_secs(1_000_000)
    }

    fn level_one(_: Level) -> Result<Arc<Identity>, Reason> {
        Ok(Arc::new(Identity::new("alice", Level(1), &Map::new())))
    }

    fn fails(reason: Reason) -> impl Fn(Level) -> Result<Arc<Identity>, Reason> {
        move |_| Err(reason)
    }

    fn request() -> Held {
        Held::Request(Box::new(HeldRequest {
            method: Method::GET,
            target: "/".into(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }))
    }

    /// Withheld from everybody below level 2.
    fn withheld() -> Held {
        let answer = Answer {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        };
        Held::Withheld(Level(2), Box::new(answer))
    }

    fn challenged(held: Held) -> Interaction {
        let challenge = Challenge {
            token: TOKEN,
            level: Level(1),
            created: now(),
            ttl: None,
        };
        let mut interaction = Interaction::new(now());
        interaction
            .challenge(challenge, Some((CONTINUE, held)), Evidence::Unasked)
            .unwrap();
        interaction
    }

    fn come_back(
        interaction: &mut Interaction,
        login: impl Fn(Level) -> Result<Arc<Identity>, Reason>,
        ticket: Option<TokenHash>,
        most: Option<u32>,
    ) -> Result<Step, Reason> {
        interaction.come_back(&TOKEN, login, ticket, most, &Clocks::default(), now())
    }

    fn level(interaction: &Interaction) -> Level {
        let clocks = Clocks::default();
        let standing = interaction.standing(&clocks, Evidence::Unasked, now());
        standing.level()
    }

    fn waiting(interaction: &Interaction) -> &Held {
        let clocks = Clocks::default();
        let waiting = interaction.waiting(&CONTINUE, &clocks, Evidence::Unasked, now());
        waiting.unwrap()
    }

    #[test]
    fn a_login_counts_and_hands_out_what_was_held_for_it() {
        let mut i = challenged(request());
        let step = come_back(&mut i, level_one, None, None).unwrap();
        assert!(matches!(step, Step::Ended(redeemed, Ok(_)) if redeemed.held.is_some()));
        assert_eq!(level(&i), Level(1));
        assert!(matches!(waiting(&i), Held::Replaying));
        let again = come_back(&mut i, level_one, None, None);
        assert_eq!(again.unwrap_err(), Reason::TokenUnknown, "once");
    }

    #[test]
    fn what_asks_for_more_than_the_login_reaches_is_not_waited_for() {
        let mut i = challenged(withheld());
        let step = come_back(&mut i, level_one, None, None).unwrap();
        assert!(matches!(step, Step::Ended(_, Ok(_))));
        assert!(matches!(waiting(&i), Held::Failed(Reason::Flagged)));
    }

    #[test]
    fn a_login_that_failed_is_over_and_who_waits_is_told() {
        for reason in [Reason::LoginFailed, Reason::LoginCancelled] {
            let mut i = challenged(request());
            let step = come_back(&mut i, fails(reason), Some(TICKET), None).unwrap();
            assert!(matches!(step, Step::Ended(_, Err(why)) if why == reason));
            assert_eq!(level(&i), Level::ANONYMOUS);
            assert!(matches!(waiting(&i), Held::Failed(why) if *why == reason));
        }
    }

    #[test]
    fn a_login_may_fail_so_often_and_be_cancelled_once() {
        let failed = || fails(Reason::LoginFailed);
        let mut i = challenged(request());
        for _ in 0..2 {
            let step = come_back(&mut i, failed(), None, Some(3)).unwrap();
            assert!(matches!(step, Step::Again));
            assert!(matches!(waiting(&i), Held::Request(_)));
        }
        let mut other = i.clone();
        let step = come_back(&mut i, failed(), None, Some(3)).unwrap();
        assert!(matches!(step, Step::Ended(_, Err(Reason::LoginFailures))));
        assert!(matches!(waiting(&i), Held::Failed(Reason::LoginFailures)));

        let cancelled = fails(Reason::LoginCancelled);
        let step = come_back(&mut other, cancelled, None, Some(3)).unwrap();
        assert!(matches!(step, Step::Ended(_, Err(Reason::LoginCancelled))));
    }

    #[test]
    fn with_a_ticket_a_login_waits_to_be_bound() {
        let mut i = challenged(request());
        let step = come_back(&mut i, level_one, Some(TICKET), Some(3)).unwrap();
        assert!(matches!(step, Step::Unbound));
        assert_eq!(level(&i), Level::ANONYMOUS);
        assert!(i.unbound(&TICKET, now()).is_ok());
        assert!(matches!(waiting(&i), Held::Request(_)));
    }
}
