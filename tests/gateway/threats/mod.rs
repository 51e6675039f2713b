//! What has broken gateways of this kind; each test fails when the defence is taken out.

mod binding;
mod bodies;
mod floods;
mod forms;
mod framing;
mod headers;
mod leaks;
mod logs;
mod negotiation;
mod owners;
mod paths;
mod proofs;
mod returns;
mod slow;
mod templates;
