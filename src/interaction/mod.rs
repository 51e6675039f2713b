//! The state of a conversation: what is known of it, and the transitions it allows.
//!
//! Everything here is pure: time comes in as an argument, nothing touches a
//! socket. [`Store`] keeps interactions and makes each transition atomic.

mod attempt;
mod clocks;
mod held;
mod identity;
mod memory;
mod outbox;
mod state;
pub(crate) mod store;

pub use attempt::Attempt;
pub use clocks::Clocks;
pub use held::{Answer, Challenge, Held, HeldRequest, MessageHash, Redeemed, TokenHash};
pub use identity::{Identity, Level};
pub use outbox::{Bounds, HandedOut, Leg, Withheld};
pub use state::{Evidence, Interaction, OwnerHash, Standing, Step, Unbound};
pub use store::{Key, Limits, Store};

#[cfg(test)]
mod tests;
