//! The core decides, the gateway carries out.
//!
//! Two pure functions are the heart of chatgate: [`request()`] says what to do with
//! a request, [`answer()`] what to do with an answer. The gateway, `chatgate
//! explain`, the log and the metrics all act on what these two return, so they
//! cannot disagree.

mod accept;
mod answer;
mod candidate;
mod finding;
mod items;
mod link;
mod readable;
mod request;
mod stream;

pub use accept::accept;
pub use answer::{Asker, ForAnswer, answer};
pub use candidate::{Candidate, candidate, needed_login, watched};
pub use finding::{Finding, findings};
pub use items::{JudgedItems, items};
pub use link::link;
pub use readable::format;
pub use request::{ForRequest, Forward, Known, request};
pub use stream::{StreamHead, messages};
