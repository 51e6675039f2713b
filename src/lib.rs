//! chatgate: an authentication gateway in front of a messaging API.
//!
//! The modules; each depends only on those below it.
//!
//! | module | what it is |
//! |---|---|
//! | [`cli`] | a file per command |
//! | [`gateway`] | pingora, and pingora only here: carries out what [`decision`] returns |
//! | [`admin`] | the private listener: health and metrics |
//! | [`config`] | TOML as written → checked values that cannot be wrong |
//! | [`telemetry`] | logs and metrics |
//! | [`decision`] | the two pure functions: what to do with a request, with an answer |
//! | [`channel`] | what an operator configured for one messaging interface |
//! | [`login`] | challenge → login URL → return |
//! | [`identity`] | who is it: verifiers and the signed assertion |
//! | [`directory`] | the company's own records, and how one is found |
//! | [`outbound`] | the calls chatgate makes itself: look-ups, key sets, side calls, notices |
//! | [`interaction`] | the state of a conversation, and its store |
//! | [`message`] | what requests and answers say: views, selectors, JSON |
//! | [`reason`] | every verdict's stable reason code |
//! | [`secret`] | values that do not print |
//! | [`time`] | instants and clocks, injected |

#![deny(unsafe_code)]
#![warn(missing_docs)]
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

pub mod admin;
pub mod channel;
pub mod cli;
pub mod config;
pub mod decision;
pub mod directory;
pub mod gateway;
pub mod identity;
pub mod interaction;
pub mod login;
pub mod message;
pub mod outbound;
pub mod reason;
pub mod secret;
pub mod telemetry;
pub mod time;
