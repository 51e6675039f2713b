//! What makes an answer require authentication.

use http::{HeaderMap, HeaderName, StatusCode};
use serde_json::Value;

use crate::interaction::Level;
use crate::message::{AnswerView, Json, JsonPath, Selector};

/// A rule: an answer is flagged when all its conditions hold.
#[derive(Clone, Debug)]
pub struct Flag {
    /// The operator's name for it.
    pub name: Box<str>,
    /// Statuses; empty means any.
    pub status: Vec<StatusCode>,
    /// A header that must be there, with one of these values (empty: any value). One
    /// line, or one item of a comma-separated line, is enough; case does not matter.
    pub header: Option<(HeaderName, Vec<Box<str>>)>,
    /// A query that must select something (equal to `equals`, if given).
    pub json: Option<JsonCondition>,
    /// The level it demands.
    pub level: FlagLevel,
    /// Only observed: logged, not enforced.
    pub observe: bool,
    /// Whether the flag (header, JSON member) is removed from a released answer.
    pub strip: bool,
}

/// A condition on the body.
#[derive(Clone, Debug)]
pub struct JsonCondition {
    /// What to look for, anywhere.
    pub path: JsonPath,
    /// The value one of the selected must have, numbers compared by value; `None`:
    /// any but `false` and `null`.
    pub equals: Option<Value>,
}

/// The level that a flag demands.
#[derive(Clone, Debug)]
pub enum FlagLevel {
    /// Always this one.
    Fixed(Level),
    /// Named in the answer; `fallback` when the answer names none, and the highest
    /// known level when it names one that is not known.
    Named {
        /// Where the name is.
        selector: Selector,
        /// Known names, lowest first, as in the configuration's `levels`.
        names: Vec<Box<str>>,
        /// When the answer names none.
        fallback: Level,
    },
}

/// What a rule says of an answer of which only the head is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// It cannot match, whatever the body says.
    No,
    /// It matches, whatever the body says.
    Yes,
    /// The body decides.
    Body,
}

impl Flag {
    /// Judges the head alone.
    pub fn head(&self, answer: &AnswerView<'_>) -> Head {
        let status = self.status.is_empty() || self.status.contains(&answer.status);
        let header =
            |(name, values): &(HeaderName, Vec<Box<str>>)| has_header(answer.headers, name, values);
        if !status || !self.header.as_ref().is_none_or(header) {
            Head::No
        } else if self.json.is_some() {
            Head::Body
        } else {
            Head::Yes
        }
    }

    /// The level it demands of this answer.
    pub fn level(&self, answer: &AnswerView<'_>) -> Level {
        match &self.level {
            FlagLevel::Fixed(level) => *level,
            FlagLevel::Named {
                selector,
                names,
                fallback,
            } => match selector.answer(answer) {
                // It may name one where nobody looked.
                Ok(None) if answer.body.is_none() && selector.needs_answer_body() => {
                    level(names.len())
                }
                Ok(None) => *fallback,
                Ok(Some(name)) => {
                    let known = names.iter().position(|known| **known == *name);
                    level(known.map_or(names.len(), |index| index + 1))
                }
                Err(_) => level(names.len()),
            },
        }
    }
}

impl JsonCondition {
    /// Whether it asks for ASCII alone, which every charset that is read has in one place.
    pub fn is_ascii(&self) -> bool {
        let value = self.equals.as_ref().map(Value::to_string);
        self.path.as_str().is_ascii()
            && !self.path.as_str().contains('\\')
            && value.is_none_or(|value| value.is_ascii())
    }

    /// Whether it holds in some reading of the document.
    pub fn holds(&self, json: &Json) -> bool {
        let values = self.path.select(json);
        values.into_iter().any(|value| match &self.equals {
            Some(expected) => same(value, expected),
            None => !matches!(value, Value::Null | Value::Bool(false)),
        })
    }
}

/// The level at a place in the list of level names, counted from one.
fn level(place: usize) -> Level {
    Level(u8::try_from(place).unwrap_or(u8::MAX))
}

fn has_header(headers: &HeaderMap, name: &HeaderName, values: &[Box<str>]) -> bool {
    let wanted = |found: &[u8]| {
        let found = found.trim_ascii();
        values
            .iter()
            .any(|value| value.as_bytes().trim_ascii().eq_ignore_ascii_case(found))
    };
    headers.get_all(name).into_iter().any(|line| {
        let line = line.as_bytes();
        values.is_empty() || wanted(line) || line.split(|byte| *byte == b',').any(wanted)
    })
}

/// Equality as a reader has it who does not tell `1` from `1.0`.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let both = |(name, a)| b.get(name).is_some_and(|b| same(a, b));
            a.len() == b.len() && a.iter().all(both)
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderValue;
    use serde_json::json;

    use super::*;
    use crate::message::Body;
    use crate::message::select::Source;

    fn flag() -> Flag {
        Flag {
            name: "f".into(),
            status: Vec::new(),
            header: None,
            json: None,
            level: FlagLevel::Fixed(Level(1)),
            observe: false,
            strip: false,
        }
    }

    fn condition(path: &str, equals: Option<Value>) -> JsonCondition {
        let path = JsonPath::parse(path).unwrap();
        JsonCondition { path, equals }
    }

    fn holds(path: &str, equals: Option<Value>, body: &str) -> bool {
        condition(path, equals).holds(&Json::parse(body.as_bytes()).unwrap())
    }

    fn judge<T>(
        head: &[(&'static str, &str)],
        body: &str,
        judge: impl Fn(&AnswerView<'_>) -> T,
    ) -> T {
        let headers = head
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect();
        let body = Body::new(Bytes::copy_from_slice(body.as_bytes()));
        judge(&AnswerView {
            status: StatusCode::UNAUTHORIZED,
            headers: &headers,
            body: Some(&body),
        })
    }

    #[test]
    fn status_decides_from_the_head() {
        let mut flag = flag();
        assert_eq!(judge(&[], "", |a| flag.head(a)), Head::Yes);
        flag.status = vec![StatusCode::OK, StatusCode::UNAUTHORIZED];
        assert_eq!(judge(&[], "", |a| flag.head(a)), Head::Yes);
        flag.json = Some(condition("$.x", None));
        assert_eq!(judge(&[], "", |a| flag.head(a)), Head::Body);
        flag.status.pop();
        assert_eq!(judge(&[], r#"{"x":1}"#, |a| flag.head(a)), Head::No);
    }

    #[test]
    fn a_header_flags_by_presence_or_by_any_of_its_values() {
        let name = HeaderName::from_static("x-auth");
        let mut flag = flag();
        flag.header = Some((name.clone(), Vec::new()));
        assert_eq!(judge(&[("x-auth", "")], "", |a| flag.head(a)), Head::Yes);
        assert_eq!(judge(&[("x-other", "yes")], "", |a| flag.head(a)), Head::No);
        flag.header = Some((name, vec!["yes".into(), "a, b".into()]));
        for value in ["yes", "YES", "no, yes ", "a, b"] {
            let head = judge(&[("x-auth", value)], "", |a| flag.head(a));
            assert_eq!(head, Head::Yes, "{value}");
        }
        let twice = [("x-auth", "no"), ("x-auth", "yes")];
        assert_eq!(judge(&twice, "", |a| flag.head(a)), Head::Yes);
        let other = [("x-auth", "no, yess")];
        assert_eq!(judge(&other, "", |a| flag.head(a)), Head::No);
    }

    #[test]
    fn a_member_flags_however_it_is_written() {
        for body in [
            r#"[{"flag":true}]"#,
            r#"[{"flag" : true}]"#,
            r#"{"\u0066lag":true}"#,
            r#"{"flag":false,"flag":true}"#,
            r#"{"flag":true,"flag":false}"#,
            r#"{"flag":0,"flag":true,"flag":false}"#,
            r#"{"n":1e999,"flag":true}"#,
        ] {
            assert!(holds("$..flag", Some(json!(true)), body), "{body}");
        }
        for body in [
            r#"{"flag":false}"#,
            r#"{"text":"flag: true"}"#,
            r#"{"flag":"true"}"#,
            "{}",
        ] {
            assert!(!holds("$..flag", Some(json!(true)), body), "{body}");
        }
    }

    #[test]
    fn without_a_wanted_value_false_and_null_do_not_flag() {
        for body in [
            r#"{"flag":0}"#,
            r#"{"flag":""}"#,
            r#"{"a":[{"flag":null},{"flag":{}}]}"#,
        ] {
            assert!(holds("$..flag", None, body), "{body}");
        }
        for body in [r#"{"flag":null}"#, r#"[{"flag":false}]"#] {
            assert!(!holds("$..flag", None, body), "{body}");
        }
    }

    #[test]
    fn numbers_are_compared_by_value() {
        assert!(same(&json!({"a":[1, 2.5]}), &json!({"a":[1.0, 2.5]})));
        assert!(!same(&json!([1]), &json!([2])) && !same(&json!([1]), &json!([1, 1])));
        assert!(!same(&json!({"a":1}), &json!({"b":1})) && !same(&json!(1), &json!("1")));
    }

    #[test]
    fn the_answer_may_name_the_level() {
        let mut flag = flag();
        let path = JsonPath::parse("$..level").unwrap();
        flag.level = FlagLevel::Named {
            selector: Selector(vec![Source::AnswerJson(path)]),
            names: vec!["claimed".into(), "verified".into(), "strong".into()],
            fallback: Level(2),
        };
        for (body, level) in [
            (r#"{"level":"claimed"}"#, Level(1)),
            (r#"{"level":"strong"}"#, Level(3)),
            (r#"{}"#, Level(2)),
            (r#"{"level":"unknown"}"#, Level(3)),
            (r#"{"level":"claimed","level":"verified"}"#, Level(3)),
            ("{", Level(3)),
        ] {
            assert_eq!(judge(&[], body, |a| flag.level(a)), level, "{body}");
        }
        // Too long to be read, it may name any.
        let unread = judge(&[], "", |a| flag.level(&AnswerView { body: None, ..*a }));
        assert_eq!(unread, Level(3));
    }
}
