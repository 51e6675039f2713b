//! What requests and answers say. Sans-IO: bytes in, facts out.
//!
//! | module | what it does |
//! |---|---|
//! | [`view`] | shows a request or an answer to whoever asks |
//! | [`select`] | takes one value out of it |
//! | [`json`] | reads bodies the way a suspicious reader does |
//! | [`coding`] | undoes how they are written; [`unpack`] does while they come |
//! | [`edit`] | changes members of a JSON body and nothing else |
//! | [`elements`] | changes the elements of an array |
//! | [`form`], [`multipart`] | change the fields of forms |
//! | [`managed`] | tells which bodies have to be looked into for that |
//! | [`opening`] | tells what lenient readers may take for JSON |
//! | [`links`] | changes URLs |
//! | [`header`] | knows which header names are one name in disguise |
//! | [`target`] | refuses ambiguous paths |
//! | [`network`] | tells which addresses are a proxy's |
//! | [`websocket`] | takes a socket's bytes apart into messages |
//! | [`stream`] | takes answers without end apart: [`sse`], [`lines`], [`records`]; what the last two have in common is in [`cut`] |

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
mod member;
pub mod multipart;
pub mod network;
pub mod opening;
pub mod records;
pub mod select;
pub mod sse;
pub mod stream;
pub mod target;
pub mod unpack;
pub mod view;
pub mod websocket;

pub use json::{Json, JsonPath};
pub use member::MemberPath;
pub use select::Selector;
pub use view::{AnswerView, Body, RequestView, is_bodiless};
