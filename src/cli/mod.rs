//! TODO

pub mod check;
pub mod keygen;
