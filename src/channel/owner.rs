//! What ties a request to the interaction's owner.

use crate::interaction::{Identity, OwnerHash};
use crate::message::{RequestView, Selector};
use crate::reason::Reason;

/// The owner's evidence. Kept as a hash only.
#[derive(Clone, Debug)]
pub enum Owner {
    /// A value in the request: the messaging API's own conversation token, a website cookie.
    Selector(Selector),
    /// A claim of the identity that the request proves; `sub` is the subject.
    Claim(Box<str>),
    /// A cookie that chatgate sets itself.
    Cookie {
        /// `__Host-` and `Secure`; false only for plain HTTP on loopback clients that refuse such cookies.
        secure: bool,
    },
}

impl Owner {
    /// The name of the cookie that chatgate sets.
    pub fn cookie_name(secure: bool) -> &'static str {
        if secure {
            "__Host-chatgate"
        } else {
            "chatgate"
        }
    }

    /// The evidence in a request, hashed together with the kind of evidence.
    pub fn evidence(
        &self,
        request: &RequestView<'_>,
        proven: Option<&Identity>,
    ) -> Result<Option<OwnerHash>, Reason> {
        todo!()
    }

    /// The evidence that a cookie value set by chatgate will be.
    pub fn of_cookie(value: &str) -> OwnerHash {
        todo!()
    }
}
