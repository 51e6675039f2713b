//! TODO

pub mod keygen;
