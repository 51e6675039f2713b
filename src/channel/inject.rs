//! What the backend is told of a verified customer.

use http::HeaderName;

use crate::identity::assertion::Assertion;
use crate::message::edit::MemberPath;

/// A fact about the customer or the conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The subject.
    Subject,
    /// The level's name.
    Level,
    /// `true`: only ever injected for a verified customer.
    Authenticated,
    /// The interaction id.
    Interaction,
    /// The channel's name.
    Channel,
    /// When the login was: seconds since the Unix epoch.
    LoginTime,
    /// All claims, as an object.
    Claims,
    /// One claim: `claims.address.city`.
    Claim(Vec<Box<str>>),
}

impl Fact {
    /// Reads the name an operator writes: `subject`, `level`, `authenticated`,
    /// `interaction`, `channel`, `login_time`, `claims`, `claims.x.y`. The error names the nearest.
    pub fn parse(text: &str) -> Result<Self, String> {
        todo!()
    }
}

/// What is injected. Everything named here is managed: client-supplied copies are removed.
#[derive(Clone, Debug, Default)]
pub struct Injection {
    /// Headers.
    pub headers: Vec<(HeaderName, Fact)>,
    /// Members of the request's JSON body.
    pub members: Vec<(MemberPath, Fact)>,
    /// The signed assertion.
    pub assertion: Option<Assertion>,
}
