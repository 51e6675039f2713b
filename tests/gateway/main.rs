//! The gateway between real sockets: one binary, so that pingora is linked once.

#[path = "../support/mod.rs"]
mod support;

mod setup;

mod botkit;
mod chainlit;
mod clock;
mod direct_line;
mod documented;
mod doubles;
mod examples;
mod explained;
mod held_answers;
mod ldap;
mod levels;
mod linking;
mod logout;
mod oauth;
mod oidc;
mod openai_stream;
mod operating;
mod outcomes;
mod packets;
mod polling;
mod prechat;
mod records;
mod resume;
mod sockets;
mod streams;
mod threats;
mod undelivered;
mod unread;
mod webhooks;
