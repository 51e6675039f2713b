//! Histories of an interaction.
