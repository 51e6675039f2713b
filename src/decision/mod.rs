//! The core decides, the gateway carries out.
//!
//! Two pure functions are the heart of chatgate: [`request()`] says what to do with
//! a request, [`answer()`] what to do with an answer. The gateway, `chatgate
//! explain`, the log and the metrics all act on what these two return, so they
//! cannot disagree.

mod answer;
mod request;

pub use answer::{Asker, Candidate, ForAnswer, answer, candidate};
pub use request::{Asked, ForRequest, Forward, request};
