//! The company's own records: where they are, and how one is found.
//!
//! One file per kind. What is asked differs from kind to kind; what comes back is the
//! same for all: one [`Record`], none, or a [`Fault`].

pub mod ldap;

use std::error::Error;
use std::fmt;

use serde_json::{Map, Value};

pub use ldap::Ldap;

/// One configured directory.
#[derive(Debug)]
pub struct Directory {
    /// Its name: `[a-z0-9_-]`.
    pub name: Box<str>,
    /// What it is.
    pub kind: Kind,
}

/// What a directory is.
#[derive(Debug)]
pub enum Kind {
    /// An LDAP server.
    Ldap(Box<Ldap>),
}

impl Directory {
    /// The LDAP server, where it is one.
    pub fn ldap(&self) -> Option<&Ldap> {
        match &self.kind {
            Kind::Ldap(ldap) => Some(ldap),
        }
    }
}

/// What a directory has on one person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// What the directory itself knows it by: the distinguished name in LDAP. Empty
    /// where a directory has no such thing.
    pub name: Box<str>,
    /// The fields that were asked for and are there, each under the name that it was
    /// asked for by. A field with several values is an array.
    pub fields: Map<String, Value>,
}

/// Why a directory gave no answer. The texts are for the log: they name hosts and
/// faults, never a password or what a customer wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is down, too slow, or not the one that it should be.
    Unavailable(String),
    /// It answers, and does not do what it is asked: something is configured wrongly.
    Refused(String),
    /// It has more than one record where one decides.
    Ambiguous,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(why) => write!(f, "the directory is not available: {why}"),
            Self::Refused(why) => write!(f, "the directory refuses: {why}"),
            Self::Ambiguous => f.write_str("there is more than one record"),
        }
    }
}

impl Error for Fault {}
