//! Logs and metrics: what the gateway did, in the words of the verdicts.

mod log;
mod metrics;

pub use log::{Exchanged, Id, clean, exchanged, init};
pub use metrics::Metrics;
