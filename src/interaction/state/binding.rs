//! The right person: a login URL can be forwarded, so a login that succeeded may have
//! to wait until the customer's own browser, or the customer, says whose chat it is.
//!
//! Between the two the login URL is spent and a ticket stands in its place, which
//! only the browser that logged in was sent to. A message that is flagged meanwhile
//! makes a login URL beside it; whichever of the two comes to its end takes the other
//! away.

use std::sync::Arc;
use std::time::Duration;

use super::{Clocks, Evidence, Interaction, Rare};
use crate::interaction::held::{Challenge, Held, Redeemed, TokenHash};
use crate::interaction::identity::{Identity, Level};
use crate::reason::Reason;
use crate::time::Time;

/// How long a customer has between the login and the confirmation.
const TICKET_TTL: Duration = Duration::from_secs(600);

/// A login that waits to be bound.
#[derive(Clone, Debug)]
pub(super) struct Proven {
    identity: Arc<Identity>,
    /// The login token that it came with.
    login: TokenHash,
    /// What it is bound with.
    ticket: Challenge,
    /// Where the browser goes with the ticket, as the login URL was opened.
    back: Option<Box<str>>,
}

impl Proven {
    /// Who logged in.
    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What it is bound with.
    /// When the ticket was made.
    pub(super) fn created(&mut self) -> &mut Time {
        &mut self.ticket.created
    }

    pub(super) fn ticket(&self) -> &Challenge {
        &self.ticket
    }

    /// Approximate heap size in bytes.
    pub(super) fn weight(&self) -> usize {
        self.identity.weight() + self.back.as_ref().map_or(0, |back| back.len())
    }
}

/// What a customer is shown before the login is bound to a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unbound {
    /// The code that the chat shows, too: [`TokenHash::code`].
    pub code: String,
    /// When the chat began.
    pub started: Time,
}

impl Interaction {
    /// A login succeeded, but whose chat this is has yet to be said. Spends the login
    /// token as [`Interaction::redeem`] does, and with the same errors; `ticket`
    /// stands in its place for ten minutes. A subject that the interaction cannot
    /// have is [`Reason::SubjectChanged`] at once, and the login is over.
    pub fn prove(
        &mut self,
        token: &TokenHash,
        identity: Arc<Identity>,
        ticket: TokenHash,
        now: Time,
    ) -> Result<(), Reason> {
        let foreign = self
            .subject()
            .is_some_and(|known| known != identity.subject());
        let rare = self.rare.as_deref().ok_or(Reason::TokenUnknown)?;
        let outstanding = rare.outstanding(token).ok_or(Reason::TokenUnknown)?;
        if foreign || outstanding.expired(now) {
            let redeemed = self.redeem(token, now)?;
            self.fail(&redeemed, Reason::SubjectChanged);
            return Err(Reason::SubjectChanged);
        }
        let level = outstanding.level;
        if let Some(rare) = self.rare.as_deref_mut() {
            rare.consumed = Some((*token, Reason::TokenUsed));
            rare.attempts = Default::default();
            rare.challenge = None;
            rare.proven = Some(Proven {
                back: rare.back.take(),
                identity,
                login: *token,
                ticket: Challenge {
                    token: ticket,
                    level,
                    created: now,
                    ttl: Some(TICKET_TTL),
                },
            });
        }
        Ok(())
    }

    /// The level that the login URL with this token is for, as long as it is outstanding.
    pub fn demanded(&self, token: &TokenHash) -> Option<Level> {
        let rare = self.rare.as_deref()?;
        rare.outstanding(token).map(|challenge| challenge.level)
    }

    /// What the customer is asked about; [`Reason::TokenUnknown`] and
    /// [`Reason::TokenExpired`] of the ticket.
    pub fn unbound(&self, ticket: &TokenHash, now: Time) -> Result<Unbound, Reason> {
        let proven = self.proven(ticket).ok_or(Reason::TokenUnknown)?;
        if proven.ticket.expired(now) {
            return Err(Reason::TokenExpired);
        }
        Ok(Unbound {
            code: proven.login.code(),
            started: self.started,
        })
    }

    /// Binds the login: by the customer's word (`evidence` is `None`), or by the
    /// evidence that the browser brings, which has to be the owner's:
    /// [`Reason::WrongBrowser`], and the ticket stays for the right one. Else errors
    /// as of [`Interaction::redeem`] and [`Interaction::log_in`].
    pub fn bind(
        &mut self,
        ticket: &TokenHash,
        evidence: Option<Evidence>,
        clocks: &Clocks,
        now: Time,
    ) -> Result<(Redeemed, Arc<Identity>), Reason> {
        // One that is too late takes nothing with it.
        self.unbound(ticket, now)?;
        if let Some(evidence) = evidence {
            let shown = matches!(evidence, Evidence::Shown(_));
            if !shown || !self.has_owner() || !self.owned_by(evidence) {
                return Err(Reason::WrongBrowser);
            }
        }
        let (redeemed, identity) = self.spend(ticket, now)?;
        // The browser or the customer has spoken for the owner.
        if let Err(reason) = self.log_in(identity.clone(), clocks, Evidence::Unasked, now) {
            self.fail(&redeemed, reason);
            return Err(reason);
        }
        if redeemed.held.is_none() {
            // What is withheld since asks for more than this login reaches.
            self.fail(&redeemed, Reason::Flagged);
        }
        Ok((redeemed, identity))
    }

    /// The login is not this chat's, and so it is over: whoever waits for it is told
    /// `reason`, [`Reason::LoginCancelled`] where the customer says so. Errors as of
    /// [`Interaction::unbound`].
    pub fn disown(&mut self, ticket: &TokenHash, reason: Reason, now: Time) -> Result<(), Reason> {
        self.unbound(ticket, now)?;
        let (redeemed, _) = self.spend(ticket, now)?;
        self.fail(&redeemed, reason);
        Ok(())
    }

    /// Notes where the browser goes once it has logged in with the URL of this token, as
    /// it was opened last; says what level the login is for. [`Reason::TokenUnknown`],
    /// [`Reason::TokenExpired`].
    pub fn lead_back(
        &mut self,
        token: &TokenHash,
        place: Box<str>,
        now: Time,
    ) -> Result<Level, Reason> {
        let rare = self.rare.as_deref_mut().ok_or(Reason::TokenUnknown)?;
        let challenge = rare.outstanding(token);
        let challenge = challenge.ok_or(Reason::TokenUnknown)?;
        if challenge.expired(now) {
            return Err(Reason::TokenExpired);
        }
        let level = challenge.level;
        rare.back = Some(place);
        Ok(level)
    }

    /// Where the browser goes after the login with the URL of this token, or with this
    /// ticket.
    pub fn way_back(&self, token: &TokenHash) -> Option<&str> {
        if let Some(proven) = self.proven(token) {
            return proven.back.as_deref();
        }
        let rare = self.rare.as_deref()?;
        rare.outstanding(token)?;
        rare.back.as_deref()
    }

    /// The login that waits to be bound with this ticket.
    fn proven(&self, ticket: &TokenHash) -> Option<&Proven> {
        let proven = self.rare.as_deref()?.proven.as_ref();
        proven.filter(|proven| proven.ticket.token == *ticket)
    }

    /// Takes the ticket, and with it a login URL that was made since.
    fn spend(
        &mut self,
        ticket: &TokenHash,
        now: Time,
    ) -> Result<(Redeemed, Arc<Identity>), Reason> {
        let rare = self.rare.as_deref_mut().ok_or(Reason::TokenUnknown)?;
        let proven = rare.proven.take().ok_or(Reason::TokenUnknown)?;
        rare.challenge = Some(proven.ticket);
        Ok((self.redeem(ticket, now)?, proven.identity))
    }

    /// Tells whoever waits for the outcome why there is none.
    pub(super) fn fail(&mut self, redeemed: &Redeemed, reason: Reason) {
        if let Some(waiting) = &redeemed.waiting {
            self.resolve(waiting, Held::Failed(reason));
        }
    }
}

impl Rare {
    /// The outstanding login URL of this token.
    pub(super) fn outstanding(&self, token: &TokenHash) -> Option<&Challenge> {
        let challenge = self.challenge.as_ref();
        challenge.filter(|known| known.token == *token)
    }

    /// What the customer may come to a login by: a login URL, or the ticket.
    pub(super) fn pending(&self) -> Option<&Challenge> {
        let ticket = self.proven.as_ref().map(Proven::ticket);
        self.challenge.as_ref().or(ticket)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::interaction::{Answer, HeldRequest, OwnerHash};

    const CLOCKS: Clocks = Clocks {
        token_ttl: None,
        authentication_timeout: None,
        level_timeouts: Vec::new(),
        interaction_timeout: None,
        absolute_timeout: None,
    };
    const LOGIN: TokenHash = TokenHash([1; 32]);
    const TICKET: TokenHash = TokenHash([2; 32]);
    const OWNER: Evidence = Evidence::Shown(OwnerHash([3; 32]));
    const STRANGER: Evidence = Evidence::Shown(OwnerHash([4; 32]));

    fn now() -> Time {
        Time::from_secs(1_800_000_000)
    }

    fn alice() -> Arc<Identity> {
        Arc::new(Identity::new("alice", Level(1), &Map::new()))
    }

    /// A chat of the owner's, with a login URL under way and a request that waits.
    fn challenged() -> Interaction {
        let mut interaction = Interaction::new(now());
        interaction.touch(&CLOCKS, OWNER, now());
        let challenge = Challenge {
            token: LOGIN,
            level: Level(1),
            created: now(),
            ttl: None,
        };
        let request = HeldRequest {
            method: http::Method::POST,
            target: "/".into(),
            headers: http::HeaderMap::new(),
            body: bytes::Bytes::new(),
        };
        let held = (TokenHash([9; 32]), Held::Request(Box::new(request)));
        interaction.challenge(challenge, Some(held), OWNER).unwrap();
        interaction
    }

    fn proven() -> Interaction {
        let mut interaction = challenged();
        interaction.prove(&LOGIN, alice(), TICKET, now()).unwrap();
        interaction
    }

    fn level(interaction: &Interaction) -> Level {
        interaction.standing(&CLOCKS, OWNER, now()).level()
    }

    #[test]
    fn a_proven_login_counts_only_once_it_is_bound() {
        let mut interaction = proven();
        assert_eq!(level(&interaction), Level::ANONYMOUS);
        for evidence in [STRANGER, Evidence::Missing, Evidence::Unasked] {
            let refused = interaction.bind(&TICKET, Some(evidence), &CLOCKS, now());
            assert_eq!(refused.unwrap_err(), Reason::WrongBrowser);
            assert_eq!(level(&interaction), Level::ANONYMOUS);
        }
        let (redeemed, identity) = interaction
            .bind(&TICKET, Some(OWNER), &CLOCKS, now())
            .unwrap();
        assert!(redeemed.held.is_some() && identity == alice());
        assert_eq!(level(&interaction), Level(1));
        let again = interaction.bind(&TICKET, Some(OWNER), &CLOCKS, now());
        assert_eq!(again.unwrap_err(), Reason::TokenUnknown);
    }

    #[test]
    fn a_chat_that_nobody_owns_is_bound_by_no_browser() {
        let mut interaction = Interaction::new(now());
        let challenge = Challenge {
            token: LOGIN,
            level: Level(1),
            created: now(),
            ttl: None,
        };
        interaction
            .challenge(challenge, None, Evidence::Unasked)
            .unwrap();
        interaction.prove(&LOGIN, alice(), TICKET, now()).unwrap();
        let refused = interaction.bind(&TICKET, Some(OWNER), &CLOCKS, now());
        assert_eq!(refused.unwrap_err(), Reason::WrongBrowser);
        assert!(interaction.bind(&TICKET, None, &CLOCKS, now()).is_ok());
    }

    #[test]
    fn a_ticket_is_no_login_token_and_no_login_token_a_ticket() {
        let mut interaction = proven();
        assert_eq!(
            interaction.redeem(&TICKET, now()).unwrap_err(),
            Reason::TokenUnknown
        );
        let twice = interaction.prove(&TICKET, alice(), LOGIN, now());
        assert_eq!(twice.unwrap_err(), Reason::TokenUnknown);
        let mut interaction = challenged();
        assert_eq!(
            interaction.bind(&LOGIN, None, &CLOCKS, now()).unwrap_err(),
            Reason::TokenUnknown
        );
        assert_eq!(
            interaction.unbound(&LOGIN, now()),
            Err(Reason::TokenUnknown)
        );
        assert_eq!(
            interaction.disown(&LOGIN, Reason::LoginCancelled, now()),
            Err(Reason::TokenUnknown)
        );
        assert!(interaction.redeem(&LOGIN, now()).is_ok());
    }

    #[test]
    fn a_ticket_runs_out() {
        let mut interaction = proven();
        let late = now() + TICKET_TTL;
        assert_eq!(
            interaction.unbound(&TICKET, late),
            Err(Reason::TokenExpired)
        );
        let refused = interaction.bind(&TICKET, None, &CLOCKS, late);
        assert_eq!(refused.unwrap_err(), Reason::TokenExpired);
        assert_eq!(level(&interaction), Level::ANONYMOUS);
    }

    #[test]
    fn a_ticket_that_ran_out_takes_no_newer_login_url_with_it() {
        let mut interaction = proven();
        interaction.challenge(newer(), None, OWNER).unwrap();
        let late = now() + TICKET_TTL;
        let refused = interaction.bind(&TICKET, None, &CLOCKS, late);
        assert_eq!(refused.unwrap_err(), Reason::TokenExpired);
        assert!(interaction.redeem(&newer().token, late).is_ok());
    }

    #[test]
    fn what_asks_for_more_than_the_login_reaches_is_not_waited_for() {
        let mut interaction = proven();
        let answer = Answer {
            status: http::StatusCode::OK,
            headers: http::HeaderMap::new(),
            body: bytes::Bytes::from_static(b"more"),
        };
        let held = Held::Withheld(Level(2), Box::new(answer));
        let token = TokenHash([8; 32]);
        let held = Some((token, held));
        interaction.challenge(newer(), held, OWNER).unwrap();
        interaction.bind(&TICKET, None, &CLOCKS, now()).unwrap();
        let waiting = interaction.waiting(&token, &CLOCKS, OWNER, now());
        assert!(matches!(waiting, Ok(Held::Failed(Reason::Flagged))));
    }

    #[test]
    fn a_customer_who_disowns_the_chat_ends_the_login() {
        let mut interaction = proven();
        let unbound = interaction.unbound(&TICKET, now()).unwrap();
        assert_eq!((unbound.code, unbound.started), (LOGIN.code(), now()));
        interaction
            .disown(&TICKET, Reason::LoginCancelled, now())
            .unwrap();
        assert_eq!(level(&interaction), Level::ANONYMOUS);
        let waiting = interaction.waiting(&TokenHash([9; 32]), &CLOCKS, OWNER, now());
        assert!(matches!(waiting, Ok(Held::Failed(Reason::LoginCancelled))));
        let refused = interaction.bind(&TICKET, None, &CLOCKS, now());
        assert_eq!(refused.unwrap_err(), Reason::TokenUnknown);
    }

    #[test]
    fn a_way_back_is_that_of_one_login() {
        let mut interaction = challenged();
        let lead = |interaction: &mut Interaction, token, place: &str, at| {
            interaction.lead_back(&token, place.into(), at)
        };
        assert_eq!(interaction.way_back(&LOGIN), None);
        assert_eq!(lead(&mut interaction, LOGIN, "/old", now()), Ok(Level(1)));
        assert_eq!(lead(&mut interaction, LOGIN, "/new", now()), Ok(Level(1)));
        let unknown = Err(Reason::TokenUnknown);
        assert_eq!(lead(&mut interaction, TICKET, "/evil", now()), unknown);
        assert_eq!(interaction.way_back(&LOGIN), Some("/new"));
        assert_eq!(interaction.way_back(&TICKET), None);
        // It goes from the login URL to the ticket, which cannot be led elsewhere.
        interaction.prove(&LOGIN, alice(), TICKET, now()).unwrap();
        assert_eq!(interaction.way_back(&LOGIN), None);
        assert_eq!(interaction.way_back(&TICKET), Some("/new"));
        for token in [LOGIN, TICKET] {
            assert_eq!(lead(&mut interaction, token, "/evil", now()), unknown);
        }
        interaction.bind(&TICKET, None, &CLOCKS, now()).unwrap();
        assert_eq!(interaction.way_back(&TICKET), None);

        let mut interaction = challenged();
        interaction.lead_back(&LOGIN, "/old".into(), now()).unwrap();
        let challenge = Challenge {
            token: TICKET,
            level: Level(1),
            created: now(),
            ttl: Some(Duration::from_secs(60)),
        };
        interaction.challenge(challenge, None, OWNER).unwrap();
        assert_eq!(interaction.way_back(&TICKET), None);
        let late = now() + Duration::from_secs(60);
        let expired = Err(Reason::TokenExpired);
        assert_eq!(lead(&mut interaction, TICKET, "/late", late), expired);
    }

    fn newer() -> Challenge {
        Challenge {
            token: TokenHash([5; 32]),
            level: Level(1),
            created: now(),
            ttl: None,
        }
    }

    #[test]
    fn a_newer_login_url_leaves_the_ticket_as_it_is() {
        let mut interaction = proven();
        interaction.challenge(newer(), None, OWNER).unwrap();
        assert!(interaction.unbound(&TICKET, now()).is_ok());
        assert_eq!(interaction.outstanding().unwrap().token, newer().token);
        assert!(interaction.bind(&TICKET, None, &CLOCKS, now()).is_ok());
        assert_eq!(level(&interaction), Level(1));
        let spent = interaction.redeem(&newer().token, now());
        assert_eq!(spent.unwrap_err(), Reason::TokenUnknown);
    }

    #[test]
    fn a_login_by_the_newer_url_and_a_logout_take_the_ticket_away() {
        let mut interaction = proven();
        interaction.challenge(newer(), None, OWNER).unwrap();
        assert!(interaction.redeem(&newer().token, now()).is_ok());
        assert!(interaction.bind(&TICKET, None, &CLOCKS, now()).is_err());
        let mut interaction = proven();
        interaction.challenge(newer(), None, OWNER).unwrap();
        let ticket = TokenHash([6; 32]);
        interaction
            .prove(&newer().token, alice(), ticket, now())
            .unwrap();
        assert!(interaction.bind(&TICKET, None, &CLOCKS, now()).is_err());
        assert!(interaction.bind(&ticket, None, &CLOCKS, now()).is_ok());
        let mut interaction = proven();
        interaction.log_out();
        assert!(interaction.bind(&TICKET, None, &CLOCKS, now()).is_err());
    }

    #[test]
    fn another_subject_is_refused_before_anybody_is_asked() {
        let mut interaction = challenged();
        let bob = Arc::new(Identity::new("bob", Level(1), &Map::new()));
        interaction.log_in(bob, &CLOCKS, OWNER, now()).unwrap();
        assert_eq!(
            interaction.prove(&LOGIN, alice(), TICKET, now()),
            Err(Reason::SubjectChanged)
        );
        let waiting = interaction.waiting(&TokenHash([9; 32]), &CLOCKS, OWNER, now());
        assert!(matches!(waiting, Ok(Held::Failed(Reason::SubjectChanged))));
    }
}
