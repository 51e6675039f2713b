//! Every verdict's stable reason code: one name in logs, metrics and answers.

use std::fmt;

use http::StatusCode;

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident $code:literal $status:literal $message:literal;)+) => {
        /// Why a request or an answer met the verdict it met.
        ///
        /// The code is stable: dashboards and login pages may depend on it. The
        /// message goes to whoever is outside and tells nothing useful to an attacker.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[doc = $doc])+ $name,)+ }

        impl Reason {
            /// All of them, for the documentation and for metrics that start at zero.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)+];

            /// The stable code, lower case with hyphens.
            pub const fn code(self) -> &'static str {
                match self { $(Reason::$name => $code,)+ }
            }

            /// The code that an outsider is told. What the company's records know stays
            /// inside: whoever could tell their refusals apart could ask them who is
            /// a customer.
            pub const fn told(self) -> &'static str {
                match self {
                    Self::RecordMissing | Self::RecordAmbiguous | Self::RecordMismatch => {
                        "record-refused"
                    }
                    other => other.code(),
                }
            }

            /// The status of the answer chatgate makes itself.
            pub fn status(self) -> StatusCode {
                let status: u16 = match self { $(Reason::$name => $status,)+ };
                StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }

            /// What an outsider is told.
            pub const fn message(self) -> &'static str {
                match self { $(Reason::$name => $message,)+ }
            }

            /// What the code means, for operators.
            pub const fn meaning(self) -> &'static str {
                match self { $(Reason::$name => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

reasons! {
    // ── admission ─────────────────────────────────────────────────────────
    /// The request target can be read in more than one way.
    AmbiguousPath "ambiguous-path" 400 "The request target is ambiguous.";
    /// No Host, several, or one that is not a host name.
    BadHost "bad-host" 400 "The Host header is missing or malformed.";
    /// A header that decides something came more than once.
    DuplicateHeader "duplicate-header" 400 "A header was sent more than once.";
    /// A selector found more than one value where one decides.
    AmbiguousValue "ambiguous-value" 400 "A value was given more than once, or is not plain text.";
    /// The request body is not what its route needs it to be.
    BadBody "bad-body" 400 "The request body could not be read.";
    /// The request body is longer than the route's cap.
    BodyTooLarge "body-too-large" 413 "The request body is too large.";
    /// The request body did not come in time.
    BodyTimeout "body-timeout" 408 "The request body did not come in time.";
    /// No route matches method, host and path.
    NoRoute "no-route" 404 "Not found.";
    /// A route of kind `deny` matched.
    Denied "denied" 403 "Not allowed.";
    /// A WebSocket was asked for by a website that is not among the channel's `origins`.
    ForeignOrigin "foreign-origin" 403 "Not allowed from this website.";
    /// A WebSocket was asked for in a way that RFC 6455 does not have.
    BadHandshake "bad-handshake" 400 "The WebSocket handshake could not be read.";
    /// The interaction id is longer than 512 bytes, so that no interaction is named by it.
    NoInteraction "no-interaction" 400 "The conversation's id is too long.";
    // ── identity ──────────────────────────────────────────────────────────
    /// The route requires an identity and the request brings no proof.
    ProofMissing "proof-missing" 401 "Authentication is required.";
    /// A token or hash that cannot be read.
    ProofMalformed "proof-malformed" 401 "Authentication failed.";
    /// A signature or hash that does not verify.
    ProofSignature "proof-signature" 401 "Authentication failed.";
    /// An algorithm the key is not pinned to.
    ProofAlgorithm "proof-algorithm" 401 "Authentication failed.";
    /// No key of that name is known.
    ProofUnknownKey "proof-unknown-key" 401 "Authentication failed.";
    /// The proof's time is over.
    ProofExpired "proof-expired" 401 "Authentication failed.";
    /// The proof is not valid yet.
    ProofNotYetValid "proof-not-yet-valid" 401 "Authentication failed.";
    /// Issued by somebody else.
    ProofIssuer "proof-issuer" 401 "Authentication failed.";
    /// Meant for somebody else.
    ProofAudience "proof-audience" 401 "Authentication failed.";
    /// A required claim is missing or has the wrong type.
    ProofClaim "proof-claim" 401 "Authentication failed.";
    /// A single-use proof was used before.
    ProofReplayed "proof-replayed" 401 "Authentication failed.";
    /// The website does not know the session.
    SessionUnknown "session-unknown" 401 "Authentication failed.";
    /// What the proof is checked against cannot be reached.
    VerifierUnavailable "verifier-unavailable" 503 "Authentication is not available just now.";
    /// The company's records have nobody like this customer.
    RecordMissing "record-missing" 403 "Authentication failed.";
    /// The company's records have more than one who may be this customer.
    RecordAmbiguous "record-ambiguous" 403 "Authentication failed.";
    /// The company's records say something else than the customer's claims.
    RecordMismatch "record-mismatch" 403 "Authentication failed.";
    /// The company's records cannot be asked just now. A login URL stays good.
    RecordUnavailable "record-unavailable" 503 "Authentication is not available just now.";
    /// The route demands a higher level, and the customer got a challenge in place of an answer.
    LevelDemanded "level-demanded" 200 "Authentication is required.";
    /// The route demands a higher level, and nobody can be asked to log in here: the channel has no login, or this is a WebSocket.
    LevelTooLow "level-too-low" 403 "Authentication is required.";
    /// The interaction belongs to another subject.
    SubjectChanged "subject-changed" 403 "This conversation belongs to somebody else.";
    /// The interaction is owned by another client.
    NotOwner "not-owner" 403 "This conversation belongs to somebody else.";
    /// The side call did not complete, so the message may not pass.
    SideCallFailed "side-call-failed" 502 "The conversation could not be prepared.";
    // ── signed requests ───────────────────────────────────────────────────
    /// The route asks for a signature and the request brings none.
    SignatureMissing "signature-missing" 401 "The signature is missing.";
    /// A signature that cannot be read.
    SignatureMalformed "signature-malformed" 401 "The signature does not hold.";
    /// A signature of another key, or over another body.
    SignatureWrong "signature-wrong" 401 "The signature does not hold.";
    /// Signed too long ago, or ahead of time.
    SignatureStale "signature-stale" 401 "The signature does not hold.";
    /// A claim that the token has to have is missing, or says something else.
    SignatureClaim "signature-claim" 401 "The signature does not hold.";
    /// A signature that counts once was used before.
    SignatureReplayed "signature-replayed" 401 "The signature does not hold.";
    // ── answers ───────────────────────────────────────────────────────────
    /// Nothing in the answer asks for authentication.
    Unflagged "unflagged" 200 "";
    /// The customer is authenticated, at the level that is asked for.
    Authenticated "authenticated" 200 "";
    /// Flagged, and the interaction is not authenticated at that level.
    Flagged "flagged" 200 "Authentication is required.";
    /// The backend's own login link was replaced by a login URL of ours.
    LinkRewritten "link-rewritten" 200 "";
    /// Flagged by a rule that only observes.
    FlagObserved "flag-observed" 200 "";
    /// The answer is longer than the inspection cap.
    AnswerTooLarge "answer-too-large" 502 "The answer could not be checked.";
    /// The answer has an encoding that chatgate does not decode.
    AnswerUndecodable "answer-undecodable" 502 "The answer could not be checked.";
    /// The answer is not the JSON it says it is.
    AnswerMalformed "answer-malformed" 502 "The answer could not be checked.";
    /// Flagged, but no challenge can be made for this request.
    ChallengeImpossible "challenge-impossible" 403 "Authentication is required.";
    /// The login ran out or was taken away, and so its stream was ended.
    LoginEnded "login-ended" 401 "Authentication is required.";
    /// The interaction withholds as much as it may; a newer message is lost.
    OutboxFull "outbox-full" 503 "The service is busy.";
    /// The client did not take a message that was withheld before the login.
    ReleaseFailed "release-failed" 502 "The message could not be delivered.";
    // ── login return ──────────────────────────────────────────────────────
    /// The return cannot be read.
    ReturnMalformed "return-malformed" 400 "The login could not be completed.";
    /// A parameter, member or header came twice.
    ReturnDuplicate "return-duplicate" 400 "The login could not be completed.";
    /// The return's signature does not verify.
    ReturnSignature "return-signature" 401 "The login could not be completed.";
    /// The return was signed too long ago, or ahead of time.
    ReturnStale "return-stale" 401 "The login could not be completed.";
    /// The return names another channel.
    ReturnChannel "return-channel" 401 "The login could not be completed.";
    /// No such login token.
    TokenUnknown "token-unknown" 401 "The login could not be completed.";
    /// The login token's time to live is over.
    TokenExpired "token-expired" 401 "The login could not be completed.";
    /// The login token was used before.
    TokenUsed "token-used" 401 "The login could not be completed.";
    /// A newer login URL, a logout or the end of the interaction revoked the token.
    TokenRevoked "token-revoked" 401 "The login could not be completed.";
    /// The provider's callback belongs to no attempt that is under way: it was used, forged, or is too old.
    LoginState "login-state" 401 "The login could not be completed.";
    /// The provider's callback came in another browser than the login began in.
    LoginBrowser "login-browser" 401 "The login could not be completed.";
    /// The callback names another provider, or none where it should.
    LoginIssuer "login-issuer" 401 "The login could not be completed.";
    /// The provider does not take the code that came with the callback.
    LoginCode "login-code" 401 "The login could not be completed.";
    /// The ID token belongs to another attempt.
    LoginNonce "login-nonce" 401 "The login could not be completed.";
    /// The customer was asked for credentials longer ago than `max_age`.
    LoginStale "login-stale" 401 "The login could not be completed.";
    /// The login at the provider does not reach the level that is demanded.
    LoginLevel "login-level" 403 "A stronger login is needed.";
    /// The identity provider does not answer just now. The login URL stays good.
    ProviderUnavailable "provider-unavailable" 503 "The login is not available just now.";
    /// The identity provider answers other than it should. The login URL stays good.
    ProviderError "provider-error" 502 "The login is not available just now.";
    /// A logout with this message id was taken before, and is not done again.
    LogoutRepeated "logout-repeated" 409 "This was done before.";
    /// The name and the password of a login on our own page do not match.
    LoginCredentials "login-credentials" 422 "The login did not succeed.";
    /// Somebody who may not log in here gave the right password: `group` does not find them.
    LoginGroup "login-group" 403 "The login did not succeed.";
    /// Too many logins by one name or from one address, see `throttle`; or a browser asked
    /// for its way to the platform more than twenty times within ten minutes, see `linking`.
    LoginThrottled "login-throttled" 429 "There were too many attempts.";
    /// A login form that was not sent by the page and the browser that it was made for.
    LoginForged "login-forged" 403 "The login could not be completed.";
    /// As many logins by this login URL failed as may: it is closed.
    LoginFailures "login-failures" 200 "The login did not succeed.";
    /// The directory has more than one record for the name that a customer gave.
    DirectoryAmbiguous "directory-ambiguous" 422 "The login did not succeed.";
    /// The directory does not answer just now. The login URL stays good.
    DirectoryUnavailable "directory-unavailable" 503 "The login is not available just now.";
    /// The directory answers other than it should: look at the log. The login URL stays good.
    DirectoryError "directory-error" 502 "The login is not available just now.";
    /// A customer was logged out: by the operator's server or the identity provider.
    LoggedOut "logged-out" 200 "";
    /// The login belongs to a chat in another browser.
    WrongBrowser "wrong-browser" 403 "The login could not be completed.";
    /// The platform did not say, or said otherwise than it does, where its account linking goes on.
    LinkTarget "link-target" 400 "The login could not be completed.";
    /// The platform linked the login to another chat than it was made for.
    LinkForeign "link-foreign" 403 "The login could not be completed.";
    /// The platform did not link the login.
    LinkRefused "link-refused" 403 "The login could not be completed.";
    /// The platform cannot be asked just now for what its account linking needs.
    LinkUnavailable "link-unavailable" 503 "The login is not available just now.";
    /// The platform took a link away, and so the login ended.
    Unlinked "unlinked" 200 "";
    /// The customer logged in, and the browser has yet to say whose chat it is.
    LoginUnbound "login-unbound" 200 "The login has to be confirmed.";
    /// The customer logged in.
    LoginSucceeded "login-succeeded" 200 "You are logged in.";
    /// The login page reports a failure.
    LoginFailed "login-failed" 200 "The login did not succeed.";
    /// The customer cancelled.
    LoginCancelled "login-cancelled" 200 "The login was cancelled.";
    // ── the rest ──────────────────────────────────────────────────────────
    /// Went to the backend, for an anonymous customer or on a route that asks for nothing.
    Passed "passed" 200 "";
    /// Nothing is waiting at this `continue` URL for whoever asks.
    NothingHeld "nothing-held" 404 "Nothing is waiting here.";
    /// The upstream did not answer.
    UpstreamUnavailable "upstream-unavailable" 502 "The messaging service did not answer.";
    /// The upstream took too long.
    UpstreamTimeout "upstream-timeout" 504 "The messaging service did not answer in time.";
    /// The upstream did not open the WebSocket.
    UpgradeRefused "upgrade-refused" 502 "The messaging service did not open the conversation.";
    /// The store holds as much as it may.
    StoreFull "store-full" 503 "The service is busy.";
    /// A fault of chatgate's own.
    Internal "internal" 500 "Something went wrong.";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_tidy() {
        let codes: HashSet<_> = Reason::ALL.iter().map(|r| r.code()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
        assert!(
            codes
                .iter()
                .all(|c| c.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'))
        );
    }
}
