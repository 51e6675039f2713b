//! The core decides, the gateway carries out.
//!
//! Two pure functions are the heart of chatgate: [`request()`] says what to do with
//! a request, [`answer()`] what to do with an answer. The gateway, `chatgate
//! explain`, the log and the metrics all act on what these two return, so they
//! cannot disagree.

mod answer;
mod items;
mod link;
mod request;
mod stream;

pub use answer::{
    Asker, Candidate, Finding, ForAnswer, answer, candidate, findings, format, needed_login,
    watched,
};
pub use items::{JudgedItems, items};
pub use link::link;
pub use request::{Asked, ForRequest, Forward, request};
pub use stream::{StreamHead, messages};
