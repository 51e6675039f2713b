//! TODO

pub mod check;
pub mod demo;
pub mod keygen;
