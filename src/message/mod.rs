//! What requests and answers say. Sans-IO: bytes in, facts out.
//!
//! [`view`] shows a request or an answer to whoever asks; [`select`] takes one
//! value out of it; [`json`] reads bodies the way a suspicious reader does;
//! [`coding`] undoes how they are written, [`unpack`] while they come; [`links`] changes the URLs in one;
//! [`edit`] changes members of a JSON body and nothing else, [`elements`] those of an
//! array; [`form`] and [`multipart`] do so for the fields of forms; [`managed`] tells which
//! bodies it has to look into; [`header`] knows
//! which header names are one name in disguise; [`target`] refuses ambiguous paths;
//! [`network`] tells which addresses are a proxy's;
//! [`websocket`] takes a socket's bytes apart into messages;
//! [`stream`] takes answers without end apart, those of [`sse`], of [`lines`] and of
//! [`records`]; what the last two have in common is in [`cut`].

pub mod coding;
pub mod cut;
pub mod edit;
pub mod elements;
pub mod form;
pub mod header;
pub mod json;
pub mod lines;
pub mod links;
pub mod managed;
pub mod multipart;
pub mod network;
pub mod records;
pub mod select;
pub mod sse;
pub mod stream;
pub mod target;
pub mod unpack;
pub mod view;
pub mod websocket;

pub use json::{Json, JsonPath};
pub use select::Selector;
pub use view::{AnswerView, Body, RequestView};
