//! JSON bodies, read the way a suspicious reader does.
//!
//! Two readers can disagree on one document: of duplicate members one takes the
//! first, another the last. Whatever decides about a body has to hold for every
//! reader behind the gateway, so [`Json`] keeps each reading as a view.

#[cfg(test)]
pub(crate) mod arbitrary;
mod needs;
pub(crate) mod scan;
mod way;

use std::borrow::{Borrow, Cow};
use std::collections::BTreeMap;
use std::fmt::{self, Write};

use serde_json::map::Entry;
use serde_json::{Map, Number, Value};
use serde_json_path::{JsonPath as Rfc9535, LocatedNodeList};

use needs::Needs;
use scan::{Scanner, Start};
use way::Way;

/// Most readings that one document may have.
const MAX_VIEWS: usize = 8;

/// Why a body is not JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// JSON that says the same in ASCII, and so in every charset that ASCII is a part of.
/// Outside strings JSON has nothing else anyway (RFC 8259, section 7).
pub fn ascii(json: &str) -> Cow<'_, str> {
    if json.is_ascii() {
        return json.into();
    }
    let mut out = String::with_capacity(json.len() * 2);
    for one in json.chars() {
        if one.is_ascii() {
            out.push(one);
            continue;
        }
        for unit in one.encode_utf16(&mut [0; 2]) {
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    out.into()
}

/// A JSON document.
#[derive(Clone, Debug)]
pub struct Json {
    views: Vec<Value>,
}

impl Json {
    /// Parses a whole body: UTF-8, an optional byte order mark, at most 128
    /// levels deep, at most 8 readings, nothing after it. A number beyond the
    /// range of `f64` is read as the largest one.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut scanner = Scanner::new(bytes)?;
        let Readings { first, more } = Readings::read(&mut scanner)?;
        scanner.end()?;
        let mut views = Vec::with_capacity(1 + more.len());
        views.push(first);
        views.extend(more);
        Ok(Self { views })
    }

    /// Every reading of the document: one where no member is given twice, else
    /// the first-wins reading first, the last-wins reading last, and between them
    /// so many that each value in the document is in one.
    pub fn views(&self) -> &[Value] {
        &self.views
    }
}

/// A compiled RFC 9535 query, with the words it cannot match without.
#[derive(Clone, Debug)]
pub struct JsonPath {
    text: Box<str>,
    query: Rfc9535,
    needs: Needs,
    way: Way,
}

impl JsonPath {
    /// Compiles a query. The error says where and what.
    pub fn parse(text: &str) -> Result<Self, String> {
        let query = Rfc9535::parse(text)
            .map_err(|e| format!("{} at character {}", e.message(), e.position() + 1))?;
        Ok(Self {
            text: text.into(),
            query,
            needs: Needs::of(text),
            way: Way::of(text),
        })
    }

    /// The query as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name, when this is the path of a member at the top: `$.name`.
    pub(crate) fn top_member(&self) -> Option<&str> {
        self.dotted().filter(|names| !names.contains('.'))
    }

    /// The names, when this is the path of a member by names alone: `$.a.name` is `a.name`.
    pub(crate) fn dotted(&self) -> Option<&str> {
        let names = self.text.strip_prefix("$.")?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let name = |name: &str| !name.is_empty() && name.bytes().all(plain);
        names.split('.').all(name).then_some(names)
    }

    /// A cheap look at the raw bytes: `false` means that the query certainly
    /// selects nothing, whatever the spelling (escapes included).
    pub fn may_match(&self, bytes: &[u8]) -> bool {
        self.needs.may_hold(bytes)
    }

    /// Every value that the query selects, over every reading of the document.
    pub fn select<'j>(&self, json: &'j Json) -> Vec<&'j Value> {
        json.views
            .iter()
            .flat_map(|view| self.select_in(view))
            .collect()
    }

    /// Every value that the query selects in one reading.
    pub fn select_in<'j>(&self, view: &'j Value) -> Vec<&'j Value> {
        self.query.query(view).all()
    }

    /// Whether a reader that knows no case may select something else in this reading:
    /// a name on the way stands there in another case, instead of it or beside it. Of
    /// queries with filters, slices or descendants, the names before the first of these
    /// are looked at, and the last one where it is selected.
    pub(crate) fn forks(&self, view: &Value) -> bool {
        self.way.forks(&self.query, view)
    }

    /// Where the values are that the query selects in one reading.
    pub(crate) fn locate<'j>(&self, view: &'j Value) -> LocatedNodeList<'j> {
        self.query.query_located(view)
    }
}

/// A value in every reading: one, unless members in it are given twice. Where a
/// value has fewer readings than its neighbour, its last one stands for the rest;
/// thus the first reading is first-wins throughout, and the last last-wins.
struct Readings {
    first: Value,
    more: Vec<Value>,
}

impl Readings {
    fn read(scanner: &mut Scanner<'_>) -> Result<Self, Malformed> {
        Ok(match scanner.start()? {
            Start::Object => return Self::object(scanner),
            Start::Array => return Self::array(scanner),
            Start::String(text) => Value::String(text.into_owned()).into(),
            Start::Number(text) => number(text).into(),
            Start::Bool(bool) => Value::Bool(bool).into(),
            Start::Null => Value::Null.into(),
        })
    }

    fn object(scanner: &mut Scanner<'_>) -> Result<Self, Malformed> {
        let mut first = Map::new();
        let mut more = Further::default();
        while let Some(name) = scanner.member()? {
            let value = Self::read(scanner)?;
            match first.entry(name) {
                Entry::Vacant(entry) => {
                    if !value.more.is_empty() {
                        more.add(entry.key().clone(), value.more)?;
                    }
                    entry.insert(value.first);
                }
                Entry::Occupied(entry) => {
                    let key = entry.key().clone();
                    more.add(key.clone(), [value.first])?;
                    more.add(key, value.more)?;
                }
            }
        }
        let total = more.count();
        let more = (0..total)
            .map(|reading| {
                let members = first
                    .iter()
                    .map(|(name, value)| (name.clone(), more.take(name, reading, total, value)));
                Value::Object(members.collect())
            })
            .collect();
        Ok(Self {
            first: Value::Object(first),
            more,
        })
    }

    fn array(scanner: &mut Scanner<'_>) -> Result<Self, Malformed> {
        let mut first = Vec::new();
        let mut more = Further::default();
        while scanner.element()? {
            let value = Self::read(scanner)?;
            if !value.more.is_empty() {
                more.add(first.len(), value.more)?;
            }
            first.push(value.first);
        }
        let total = more.count();
        let more = (0..total)
            .map(|reading| {
                let elements = first
                    .iter()
                    .enumerate()
                    .map(|(index, value)| more.take(&index, reading, total, value));
                Value::Array(elements.collect())
            })
            .collect();
        Ok(Self {
            first: Value::Array(first),
            more,
        })
    }
}

impl From<Value> for Readings {
    fn from(first: Value) -> Self {
        Self {
            first,
            more: Vec::new(),
        }
    }
}

/// The readings beyond the first of those members or elements that have any.
struct Further<K>(BTreeMap<K, Vec<Value>>);

impl<K: Ord> Further<K> {
    fn add(&mut self, key: K, values: impl IntoIterator<Item = Value>) -> Result<(), Malformed> {
        let all = self.0.entry(key).or_default();
        all.extend(values);
        if all.len() >= MAX_VIEWS {
            return Err(Malformed(format!(
                "duplicate members give it more than {MAX_VIEWS} readings"
            )));
        }
        Ok(())
    }

    /// How many readings there are beyond the first.
    fn count(&self) -> usize {
        self.0.values().map(Vec::len).max().unwrap_or_default()
    }

    /// The value under `key` in one of `total` further readings. Whatever is not
    /// needed again is moved, so that deep documents are not copied on every level.
    fn take<Q>(&mut self, key: &Q, reading: usize, total: usize, first: &Value) -> Value
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let all = self.0.get_mut(key).map_or(&mut [][..], Vec::as_mut_slice);
        let last = all.len().saturating_sub(1);
        match all.get_mut(reading.min(last)) {
            None => first.clone(),
            Some(value) if reading < last || reading + 1 == total => value.take(),
            Some(value) => value.clone(),
        }
    }
}

impl<K> Default for Further<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

fn number(text: &str) -> Value {
    let number = serde_json::from_str::<Number>(text).ok();
    number.map_or_else(
        || {
            Value::from(if text.starts_with('-') {
                f64::MIN
            } else {
                f64::MAX
            })
        },
        Value::Number,
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn views(text: &str) -> Vec<Value> {
        Json::parse(text.as_bytes()).expect(text).views
    }

    fn selects(query: &str, text: &str) -> bool {
        let json = Json::parse(text.as_bytes()).expect(text);
        !JsonPath::parse(query)
            .expect(query)
            .select(&json)
            .is_empty()
    }

    #[test]
    fn one_reading_where_nothing_is_given_twice() {
        assert_eq!(views(r#"{"a":[1,{"a":2}]}"#), [json!({"a":[1,{"a":2}]})]);
    }

    #[test]
    fn first_wins_then_those_between_then_last_wins() {
        assert_eq!(
            views(r#"{"a":1,"\u0061":2,"b":0,"a":3,"b":9}"#),
            [
                json!({"a":1,"b":0}),
                json!({"a":2,"b":9}),
                json!({"a":3,"b":9})
            ]
        );
    }

    #[test]
    fn duplicates_on_several_levels_are_all_read() {
        assert_eq!(
            views(r#"{"a":{"x":1,"x":2},"l":[{"y":1,"y":2}],"a":3}"#),
            [
                json!({"a":{"x":1},"l":[{"y":1}]}),
                json!({"a":{"x":2},"l":[{"y":2}]}),
                json!({"a":3,"l":[{"y":2}]})
            ]
        );
    }

    #[test]
    fn readings_are_bounded() {
        let text = |n| format!("{{{}}}", vec![r#""a":0"#; n].join(","));
        assert_eq!(views(&text(8)).len(), 8);
        assert!(Json::parse(text(9).as_bytes()).is_err());
        let nested = format!(r#"{{"a":{},"a":{}}}"#, text(5), text(4));
        assert!(Json::parse(nested.as_bytes()).is_err());
        // An array of sloppy objects has no more readings than each of them.
        assert_eq!(
            views(&format!("[{}]", vec![text(2); 100].join(","))).len(),
            2
        );
    }

    #[test]
    fn numbers_of_any_size_are_read() {
        let long = "9".repeat(400);
        let text = format!(r#"{{"a":1e999,"b":-1e999,"c":{long},"flag":true}}"#);
        assert!(selects("$[?@.flag == true]", &text) || selects("$.flag", &text));
        assert_eq!(
            views("[18446744073709551615,-9223372036854775808]"),
            [json!([u64::MAX, i64::MIN])]
        );
        assert_eq!(views(&text)[0]["b"], json!(f64::MIN));
    }

    #[test]
    fn a_flag_is_a_member_however_it_is_written() {
        for text in [
            r#"{"flag":true}"#,
            "{ \"flag\"\n:\ttrue }",
            r#"{"\u0066lag":true}"#,
            r#"{"x":1,"flag":false,"flag":true}"#,
            r#"{"flag":true,"flag":false}"#,
            r#"[0,[{"x":{"flag":true}}]]"#,
            "\u{feff}{\"flag\":true}",
        ] {
            let query = "$..[?@.flag == true]";
            let wrapped = format!("[{}]", text.trim_start_matches('\u{feff}'));
            assert!(selects(query, &wrapped), "{text}");
            assert!(
                JsonPath::parse("$..flag")
                    .unwrap()
                    .may_match(text.as_bytes()),
                "{text}"
            );
            assert!(selects("$..flag", text), "{text}");
        }
    }

    #[test]
    fn text_without_the_flag_is_not_parsed() {
        let flag = JsonPath::parse("$..authentication_required").unwrap();
        assert!(!flag.may_match(r#"[{"text":"plain \n \u4e2d \\"}]"#.as_bytes()));
        assert!(!flag.may_match(b""));
        assert!(flag.may_match(br#"{"text":"\u0061"}"#));
    }

    #[test]
    fn other_encodings_do_not_hide_a_flag() {
        let utf16: Vec<u8> = r#"{"flag":true}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(JsonPath::parse("$..flag").unwrap().may_match(&utf16));
        assert!(Json::parse(&utf16).is_err());
    }

    #[test]
    fn a_bad_query_says_where() {
        let error = JsonPath::parse("$.a[").unwrap_err();
        assert!(error.contains("at character"), "{error}");
    }

    proptest! {
        /// What serde_json reads is the last-wins reading.
        #[test]
        fn the_last_view_is_what_most_readers_see(text in arbitrary::document()) {
            if let Ok(json) = Json::parse(text.as_bytes()) {
                let theirs: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap();
                prop_assert_eq!(json.views().last(), Some(&theirs));
            }
        }

        /// The cheap look never misses what a full parse finds.
        #[test]
        fn may_match_has_no_false_negative(
            text in arbitrary::document(),
            query in prop::sample::select(vec![
                "$", "$.*", "$..flag", "$.a.b", "$['a']['flag']", "$..[?@.a]", "$..[?@.a == 'x/y']",
                "$..[?@.flag == true]", "$..[?@.a == 'b' && @.flag]", "$..[?@.a != 'b']", "$..[?@.a <= @.b]",
                "$..[?!@.flag]", "$..['a','b']", "$..[?@.a || @.flag]", "$..['flag'].b", "$..a..flag",
                "$..[?@.b == \"flag\"]", "$..[?(@.a)]", "$..[?@['a'] == 'flag']", "$..[0].flag",
                "$..[?@[?@.flag]]", "$..[?length(@.a) == 1]", "$..[?$.a == 'b']", "$..['x/y']", "$..['\\u0061']",
            ]),
        ) {
            let query = JsonPath::parse(query).unwrap();
            if let Ok(json) = Json::parse(text.as_bytes()) {
                prop_assert!(query.select(&json).is_empty() || query.may_match(text.as_bytes()));
            }
        }

        #[test]
        fn parsing_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Json::parse(&bytes);
        }
    }
}
