//! What the backend is told of a verified customer.

use http::{HeaderName, HeaderValue};
use serde_json::Value;

use crate::identity::assertion::Assertion;
use crate::interaction::Identity;
use crate::message::MemberPath;
use crate::message::header::exact_value;
use crate::reason::Reason;
use crate::time::Time;

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
    /// One claim: `claims.address.city`, `claims['https://example.com/tier']`.
    Claim(Vec<Box<str>>),
}

impl Fact {
    /// Reads the name an operator writes: `subject`, `level`, `authenticated`,
    /// `interaction`, `channel`, `login_time`, `claims`, `claims.x.y`. The error names the nearest.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some((_, fact)) = NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(fact.clone());
        }
        if let Ok(MemberPath(mut names)) = MemberPath::parse(text)
            && names.len() > 1
            && names.remove(0).as_ref() == "claims"
        {
            return Ok(Self::Claim(names));
        }
        let nearest = NAMES
            .iter()
            .map(|(name, _)| (strsim::damerau_levenshtein(name, text), *name))
            .min()
            .filter(|(distance, name)| distance * 2 < name.len());
        Err(match nearest {
            Some((_, name)) => format!("unknown fact `{text}`; did you mean `{name}`?"),
            None => format!(
                "unknown fact `{text}`; there are {}, claims.<name>",
                NAMES.map(|(name, _)| name).join(", ")
            ),
        })
    }

    /// What it is for this customer; `None` when there is no such claim or no login.
    pub fn value(&self, facts: &Facts<'_>) -> Option<Value> {
        Some(match self {
            Self::Subject => Value::from(facts.identity.subject()),
            Self::Level => Value::from(facts.level),
            Self::Authenticated => Value::Bool(true),
            Self::Interaction => Value::from(facts.interaction),
            Self::Channel => Value::from(facts.channel),
            Self::LoginTime => Value::from(facts.login_time?.secs()),
            Self::Claims => Value::Object(facts.identity.claims()),
            Self::Claim(path) => facts.identity.claim(path)?,
        })
    }

    /// The same for a header, UTF-8: strings as they are, everything else as JSON. A
    /// text that would not arrive as it is (a control character in it, a blank at
    /// an end) would name somebody else: [`Reason::ProofClaim`].
    pub fn header(&self, facts: &Facts<'_>) -> Result<Option<HeaderValue>, Reason> {
        let text = match self.value(facts) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) => text,
            Some(value) => value.to_string(),
        };
        exact_value(&text).map(Some).ok_or(Reason::ProofClaim)
    }
}

/// What the facts are taken from.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The verified customer.
    pub identity: &'a Identity,
    /// The name of the identity's level.
    pub level: &'a str,
    /// The interaction id.
    pub interaction: &'a str,
    /// The channel's name.
    pub channel: &'a str,
    /// When the login was; `None` for an identity that came with the request.
    pub login_time: Option<Time>,
}

const NAMES: [(&str, Fact); 7] = [
    ("subject", Fact::Subject),
    ("level", Fact::Level),
    ("authenticated", Fact::Authenticated),
    ("interaction", Fact::Interaction),
    ("channel", Fact::Channel),
    ("login_time", Fact::LoginTime),
    ("claims", Fact::Claims),
];

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::interaction::Level;

    fn identity(subject: &str, claims: Value) -> Identity {
        Identity::new(subject, Level(2), claims.as_object().unwrap())
    }

    fn facts(identity: &Identity) -> Facts<'_> {
        Facts {
            identity,
            level: "verified",
            interaction: "i-1",
            channel: "web",
            login_time: Some(Time::from_secs(7)),
        }
    }

    #[test]
    fn facts_have_the_values_of_the_customer() {
        let identity = identity("alice", json!({"a":{"b":[1]},"https://x/y":null}));
        for (name, value) in [
            ("subject", json!("alice")),
            ("level", json!("verified")),
            ("authenticated", json!(true)),
            ("interaction", json!("i-1")),
            ("channel", json!("web")),
            ("login_time", json!(7)),
            ("claims", json!({"a":{"b":[1]},"https://x/y":null})),
            ("claims.a.b", json!([1])),
            ("claims['https://x/y']", json!(null)),
        ] {
            let fact = Fact::parse(name).unwrap();
            assert_eq!(fact.value(&facts(&identity)), Some(value), "{name}");
        }
        let missing = Fact::parse("claims.a.c").unwrap();
        assert_eq!(missing.value(&facts(&identity)), None);
        assert_eq!(missing.header(&facts(&identity)), Ok(None));
    }

    #[test]
    fn an_unknown_fact_is_told_the_nearest() {
        let error = |text| Fact::parse(text).unwrap_err();
        assert!(error("subjet").contains("did you mean `subject`"));
        assert!(error("claim").contains("did you mean `claims`"));
        assert!(error("xyzzy").contains("there are subject, level"));
        for text in ["", "claims.", "claims..a", "claims[0]", "level.x"] {
            assert!(Fact::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn headers_carry_text_and_json() {
        let identity = identity("Zoë", json!({"a":{"b":["x\r\ny"]},"n":1.5}));
        let header = |name| {
            let value = Fact::parse(name).unwrap().header(&facts(&identity));
            value.unwrap().unwrap()
        };
        assert_eq!(header("subject"), "Zoë".as_bytes());
        assert_eq!(header("authenticated"), "true");
        assert_eq!(header("login_time"), "7");
        assert_eq!(header("claims.a"), r#"{"b":["x\r\ny"]}"#);
        assert_eq!(header("claims.n"), "1.5");
    }

    #[test]
    fn a_subject_that_would_arrive_as_another_is_refused() {
        for subject in [
            "a\r\nX-Admin: 1",
            "a\n",
            " alice",
            "alice ",
            "al\0ice",
            "a\u{85}b",
            "\u{3000}a",
        ] {
            let identity = identity(subject, json!({}));
            let header = Fact::Subject.header(&facts(&identity));
            assert_eq!(header, Err(Reason::ProofClaim), "{subject:?}");
        }
    }

    proptest! {
        #[test]
        fn a_header_is_the_value_or_nothing(subject in any::<String>()) {
            let identity = identity(&subject, json!({}));
            if let Ok(header) = Fact::Subject.header(&facts(&identity)) {
                let header = header.unwrap();
                prop_assert_eq!(header.as_bytes(), subject.as_bytes());
                prop_assert!(!subject.contains(['\r', '\n', '\0']));
            }
        }
    }
}
