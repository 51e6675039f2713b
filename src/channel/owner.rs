//! What ties a request to the interaction's owner.

use sha2::{Digest, Sha256};

use crate::interaction::{Identity, OwnerHash};
use crate::message::header::raw_cookies;
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

    /// The evidence in a request, hashed together with the kind of evidence; `None`
    /// when it brings none. A cookie given twice is [`Reason::AmbiguousValue`].
    pub fn evidence(
        &self,
        request: &RequestView<'_>,
        proven: Option<&Identity>,
    ) -> Result<Option<OwnerHash>, Reason> {
        Ok(match self {
            Self::Selector(selector) => {
                let value = selector.request(request)?;
                value.map(|value| hash("selector", &[value.as_bytes()]))
            }
            Self::Claim(name) => proven.and_then(|identity| {
                let value = claim(identity, name)?;
                Some(hash("claim", &[name.as_bytes(), value.as_bytes()]))
            }),
            Self::Cookie { secure } => {
                let mut values = raw_cookies(request.headers, Self::cookie_name(*secure));
                match (values.next(), values.next()) {
                    (None, _) | (Some(b""), None) => None,
                    (Some(value), None) => Some(hash("cookie", &[value])),
                    (Some(_), Some(_)) => return Err(Reason::AmbiguousValue),
                }
            }
        })
    }

    /// The evidence that a cookie value set by chatgate will be.
    pub fn of_cookie(value: &str) -> OwnerHash {
        hash("cookie", &[value.as_bytes()])
    }
}

/// The subject as it is; another claim as JSON, so that `1` and `"1"` differ.
fn claim(identity: &Identity, name: &str) -> Option<String> {
    if name == "sub" {
        return Some(identity.subject().to_owned());
    }
    let value = identity.claim(&[name.into()])?;
    (!value.is_null() && value != "").then(|| value.to_string())
}

/// SHA-256 over the kind and the parts, each with its length in front: evidence of
/// one kind is never that of another.
fn hash(kind: &str, parts: &[&[u8]]) -> OwnerHash {
    let mut hash = Sha256::new();
    hash.update(b"chatgate owner\0");
    for part in [kind.as_bytes()].iter().chain(parts) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    OwnerHash(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Method};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::interaction::Level;
    use crate::message::select::Source;

    fn evidence(
        owner: &Owner,
        cookies: &[&str],
        query: &str,
        proven: Option<&Identity>,
    ) -> Result<Option<OwnerHash>, Reason> {
        let headers: HeaderMap = cookies
            .iter()
            .map(|line| (http::header::COOKIE, HeaderValue::from_str(line).unwrap()))
            .collect();
        let request = RequestView {
            method: &Method::POST,
            path: "/",
            query: Some(query),
            headers: &headers,
            params: &[],
            body: None,
        };
        owner.evidence(&request, proven)
    }

    fn alice() -> Identity {
        let claims = json!({"n":1,"s":"1","e":"","z":null});
        Identity::new("alice", Level(1), claims.as_object().unwrap())
    }

    #[test]
    fn the_own_cookie_is_evidence() {
        let owner = Owner::Cookie { secure: true };
        let found = evidence(&owner, &["a=1; __Host-chatgate=v"], "", None);
        assert_eq!(found, Ok(Some(Owner::of_cookie("v"))));
        assert_eq!(evidence(&owner, &["chatgate=v"], "", None), Ok(None));
        assert_eq!(evidence(&owner, &["__Host-chatgate="], "", None), Ok(None));
        let twice = ["__Host-chatgate=v", "__Host-chatgate=v"];
        assert_eq!(
            evidence(&owner, &twice, "", None),
            Err(Reason::AmbiguousValue)
        );
        let insecure = Owner::Cookie { secure: false };
        let found = evidence(&insecure, &["chatgate=v"], "", None);
        assert_eq!(found, Ok(Some(Owner::of_cookie("v"))));
    }

    #[test]
    fn a_selected_value_is_evidence() {
        let owner = Owner::Selector(Selector(vec![Source::Query("t".into())]));
        let one = evidence(&owner, &[], "t=v", None).unwrap();
        assert!(one.is_some() && one == evidence(&owner, &[], "x=1&t=v", None).unwrap());
        assert_ne!(one, evidence(&owner, &[], "t=w", None).unwrap());
        assert_ne!(one, Some(Owner::of_cookie("v")));
        assert_eq!(evidence(&owner, &[], "", None), Ok(None));
        assert_eq!(
            evidence(&owner, &[], "t=v&t=v", None),
            Err(Reason::AmbiguousValue)
        );
    }

    #[test]
    fn a_claim_is_evidence_only_when_proven() {
        let claim = |name: &str| {
            let owner = Owner::Claim(name.into());
            assert_eq!(evidence(&owner, &[], "", None), Ok(None));
            evidence(&owner, &[], "", Some(&alice())).unwrap()
        };
        assert_eq!(claim("sub"), Some(hash("claim", &[b"sub", b"alice"])));
        assert!(claim("n").is_some() && claim("n") != claim("s"));
        assert_eq!((claim("e"), claim("z"), claim("x")), (None, None, None));
    }

    proptest! {
        /// Parts that read alike when put together still hash apart.
        #[test]
        fn hashes_are_unambiguous(text in "[a-c]{1,8}", one in 0usize..9, other in 0usize..9) {
            let split = |at: usize| text.split_at(at.min(text.len()));
            let hashed = |(a, b): (&str, &str)| hash("claim", &[a.as_bytes(), b.as_bytes()]);
            let (one, other) = (split(one), split(other));
            prop_assert_eq!(hashed(one) == hashed(other), one == other);
        }
    }
}
