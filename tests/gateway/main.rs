//! The gateway between real sockets: one binary, so that pingora is linked once.

#[path = "../support/mod.rs"]
mod support;

mod doubles;
