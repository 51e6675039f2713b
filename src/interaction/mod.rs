//! The state of a conversation: what is known of it, and the transitions it allows.
//!
//! Everything here is pure: time comes in as an argument, nothing touches a
//! socket. [`store`] keeps interactions and makes each transition atomic.

mod identity;
mod state;
pub mod store;

pub use identity::{Claims, Identity, Level};
pub use state::{
    Answer, Challenge, Clocks, Held, HeldRequest, Interaction, Login, OwnerHash, Redeemed,
    Standing, TokenHash,
};
pub use store::{Key, Store};
