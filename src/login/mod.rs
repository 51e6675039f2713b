//! Mid-chat login: challenge → login URL → return.

pub mod form;
pub mod keys;
pub mod logout;
pub mod oidc;
pub mod page;
pub mod returned;
pub mod token;
pub mod webhook;

pub use keys::SecurityKeys;
pub use page::LoginPage;
pub use returned::{Outcome, Return};
pub use token::LoginToken;
