//! Changes members of a JSON body and leaves every other byte as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde_json::{Map, Value};
use serde_json_path::PathElement;

use super::json::scan::{Scanner, Start};
use super::json::{Malformed, ascii};
use super::{Json, MemberPath};

/// Removes every copy of the `managed` members (duplicates, escaped spellings, and
/// other cases of the names too, since many readers match names in any case), then
/// sets those that have a value, creating objects on the way. Numbers, order,
/// blanks of all else stay byte for byte. What is set is written in ASCII: it means the
/// same to every reader, whatever charset the body is said to be in.
///
/// Where an object on the way is given twice, the member is set in every copy. Where
/// the top is an array, they are removed from each element, and from those of arrays in
/// it; nothing can be set there.
/// When the top is no object, or something on the way to a member that
/// has to be set is not an object: `Malformed`. Nothing to remove and nothing to
/// set returns `None`: the body can be forwarded as it is.
pub fn set_members(
    body: &[u8],
    managed: &[(&MemberPath, Option<&Value>)],
) -> Result<Option<Vec<u8>>, Malformed> {
    let mut plan = Plan::default();
    for (path, value) in managed {
        let mut place = &mut plan;
        for name in &path.0 {
            place = place.below.entry(Step::Name(any_case(name))).or_default();
            place.name.get_or_insert(name);
        }
        place.remove = true;
        place.set = *value;
    }
    Editor::new(body, any_case)?.run(&plan, Reach::Each)
}

/// Removes every member (and array element) that `query` selects in any reading,
/// with all its duplicates; used to take the flag off a released answer. `None`
/// when it selects nothing. The whole document cannot be removed.
pub fn remove_selected(body: &[u8], query: &super::JsonPath) -> Result<Option<Vec<u8>>, Malformed> {
    let json = Json::parse(body)?;
    let mut plan = Plan::default();
    for view in json.views() {
        for location in query.locate(view).locations() {
            let mut place = &mut plan;
            for element in location.iter() {
                let step = match element {
                    PathElement::Name(name) => Step::Name((*name).to_owned()),
                    PathElement::Index(index) => Step::Index(*index),
                };
                place = place.below.entry(step).or_default();
            }
            place.remove = true;
        }
    }
    Editor::new(body, str::to_owned)?.run(&plan, Reach::Whole)
}

/// A name without its case; upper first, so that `ſ` becomes `s`. `İ` is `i` to readers
/// that go character by character, as those of Java do.
pub(super) fn any_case(name: &str) -> String {
    folded(name).collect()
}

fn folded(name: &str) -> impl Iterator<Item = char> {
    name.chars()
        .map(|c| if c == 'İ' { 'I' } else { c })
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
}

/// Whether `a` and `b` are two names that [`any_case`] makes one. No allocation.
pub(super) fn is_other_case(a: &str, b: &str) -> bool {
    if a.len() == b.len() && a.eq_ignore_ascii_case(b) {
        return a != b;
    }
    !(a.is_ascii() && b.is_ascii()) && a != b && folded(a).eq(folded(b))
}

/// A step down into an object or array.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// A member, by the key of its name: names with one key are aliases.
    Name(String),
    Index(usize),
}

/// What is to be done with a value and below it.
#[derive(Debug, Default)]
struct Plan<'a> {
    /// The exact name, where something has to be set.
    name: Option<&'a str>,
    remove: bool,
    set: Option<&'a Value>,
    below: BTreeMap<Step, Plan<'a>>,
}

impl Plan<'_> {
    /// The value to set here, when there is none.
    fn build(&self) -> Option<Value> {
        let mut value = self.set.cloned();
        for plan in self.below.values() {
            let (Some(name), Some(member)) = (plan.name, plan.build()) else {
                continue;
            };
            let object = value.get_or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(members) = object {
                members.insert(name.into(), member);
            }
        }
        value
    }
}

/// What a plan is for.
#[derive(Clone, Copy)]
enum Reach {
    /// The value.
    Whole,
    /// The value, or if it is an array each of its elements.
    Each,
}

/// Copies a body and carries out a plan on the way.
struct Editor<'a> {
    body: &'a [u8],
    scanner: Scanner<'a>,
    /// The key of a name.
    key: fn(&str) -> String,
    out: Vec<u8>,
    changed: bool,
}

impl<'a> Editor<'a> {
    fn new(body: &'a [u8], key: fn(&str) -> String) -> Result<Self, Malformed> {
        Ok(Self {
            body,
            scanner: Scanner::new(body)?,
            key,
            out: Vec::with_capacity(body.len() + 128),
            changed: false,
        })
    }

    fn run(mut self, plan: &Plan<'_>, reach: Reach) -> Result<Option<Vec<u8>>, Malformed> {
        self.copy(0..self.scanner.at());
        self.value(plan, true, reach)?;
        let rest = self.scanner.at();
        self.scanner.end()?;
        self.copy(rest..self.body.len());
        Ok(self.changed.then_some(self.out))
    }

    /// Copies one value; sets members in it only where it goes by its exact name.
    fn value(&mut self, plan: &Plan<'_>, exact: bool, reach: Reach) -> Result<(), Malformed> {
        let from = self.scanner.at();
        let start = self.scanner.start()?;
        self.copy(from..self.scanner.at());
        match start {
            Start::Object => self.object(plan, exact),
            _ if exact && plan.build().is_some() => Err(Malformed(format!(
                "a member has to be set in what is no object, before byte {}",
                self.scanner.at()
            ))),
            Start::Array => self.array(plan, reach),
            _ => Ok(()),
        }
    }

    fn object(&mut self, plan: &Plan<'_>, exact: bool) -> Result<(), Malformed> {
        let mut pieces = Pieces::default();
        let mut met = BTreeSet::new();
        let mut from = self.scanner.at();
        while let Some(name) = self.scanner.member()? {
            let below = plan.below.get(&Step::Name((self.key)(&name)));
            let exact = exact && below.is_some_and(|below| below.name == Some(&name));
            if exact {
                met.insert(name.into_owned());
            }
            let below = below.map(|below| (below, Reach::Whole));
            from = self.piece(from, below, exact, &mut pieces)?;
        }
        self.rest(from, &pieces);
        let absent = |plan: &&Plan<'_>| plan.remove || !plan.name.is_some_and(|n| met.contains(n));
        for plan in plan.below.values().filter(|_| exact).filter(absent) {
            if let (Some(name), Some(value)) = (plan.name, plan.build()) {
                self.separate(&mut pieces);
                let text = format!("{}:{value}", Value::from(name));
                self.out.extend_from_slice(ascii(&text).as_bytes());
                self.changed = true;
            }
        }
        self.out.push(b'}');
        Ok(())
    }

    fn array(&mut self, plan: &Plan<'_>, reach: Reach) -> Result<(), Malformed> {
        let mut pieces = Pieces::default();
        let mut from = self.scanner.at();
        for index in 0.. {
            if !self.scanner.element()? {
                break;
            }
            let below = match reach {
                Reach::Whole => plan.below.get(&Step::Index(index)),
                Reach::Each => Some(plan),
            };
            let below = below.map(|below| (below, reach));
            from = self.piece(from, below, false, &mut pieces)?;
        }
        self.rest(from, &pieces);
        self.out.push(b']');
        Ok(())
    }

    /// Copies or drops a member or element: everything between two separators.
    /// The cursor is before the value; returns where the next piece begins.
    fn piece(
        &mut self,
        from: usize,
        plan: Option<(&Plan<'_>, Reach)>,
        exact: bool,
        pieces: &mut Pieces,
    ) -> Result<usize, Malformed> {
        pieces.met = true;
        if plan.is_some_and(|(plan, _)| plan.remove) {
            self.scanner.skip()?;
            self.changed = true;
            return Ok(self.scanner.blanks() + 1);
        }
        self.separate(pieces);
        let mut copied = from;
        if let Some((plan, reach)) = plan {
            self.copy(from..self.scanner.at());
            self.value(plan, exact, reach)?;
            copied = self.scanner.at();
        } else {
            self.scanner.skip()?;
        }
        let end = self.scanner.blanks();
        self.copy(copied..end);
        Ok(end + 1)
    }

    /// Copies the blanks in an object or array that has nothing else in it.
    fn rest(&mut self, from: usize, pieces: &Pieces) {
        if !pieces.met {
            self.copy(from..self.scanner.at() - 1);
        }
    }

    fn separate(&mut self, pieces: &mut Pieces) {
        if std::mem::replace(&mut pieces.kept, true) {
            self.out.push(b',');
        }
    }

    fn copy(&mut self, range: Range<usize>) {
        self.out
            .extend_from_slice(self.body.get(range).unwrap_or_default());
    }
}

/// What an object or array has had so far.
#[derive(Default)]
struct Pieces {
    /// Any at all.
    met: bool,
    /// Any that stayed.
    kept: bool,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::JsonPath;
    use super::super::json::arbitrary;
    use super::*;

    fn set(body: &str, managed: &[(&str, Option<Value>)]) -> Result<Option<String>, Malformed> {
        let paths: Vec<_> = managed
            .iter()
            .map(|(path, _)| MemberPath::parse(path).unwrap())
            .collect();
        let managed: Vec<_> = paths
            .iter()
            .zip(managed)
            .map(|(path, (_, value))| (path, value.as_ref()))
            .collect();
        let edited = set_members(body.as_bytes(), &managed)?;
        Ok(edited.map(|bytes| String::from_utf8(bytes).unwrap()))
    }

    fn edited(text: &str) -> Result<Option<String>, Malformed> {
        Ok(Some(text.into()))
    }

    /// Whatever charset a reader takes it for.
    #[test]
    fn what_is_set_is_ascii() {
        let text = json!({"Straße": ["Zoë", "€🎉"]});
        assert_eq!(
            set("{\"a\":\"ä\"}", &[("Größe", Some(text))]),
            edited(
                "{\"a\":\"ä\",\"Gr\\u00f6\\u00dfe\":\
                 {\"Stra\\u00dfe\":[\"Zo\\u00eb\",\"\\u20ac\\ud83c\\udf89\"]}}"
            )
        );
    }

    fn remove(body: &str, query: &str) -> Option<String> {
        let query = JsonPath::parse(query).unwrap();
        let edited = remove_selected(body.as_bytes(), &query).unwrap();
        edited.map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn sets_and_leaves_the_rest_as_it_was() {
        assert_eq!(
            set(
                " {\n \"n\" : 1.50e+2 , \"meta\":{ } ,\t\"z\":[ ]}\n",
                &[
                    ("meta.customer", Some(json!("c\"1"))),
                    ("new.deep", Some(json!(true)))
                ]
            ),
            edited(
                " {\n \"n\" : 1.50e+2 , \"meta\":{ \"customer\":\"c\\\"1\"} ,\t\"z\":[ ],\"new\":{\"deep\":true}}\n"
            )
        );
        assert_eq!(
            set("\u{feff}{}", &[("a", Some(json!(1)))]),
            edited("\u{feff}{\"a\":1}")
        );
    }

    #[test]
    fn every_copy_of_a_managed_member_goes() {
        let body = r#"{"id":1,"a":2,"\u0069d":3,"ID":4, "x":{"id":5} ,"id":6}"#;
        assert_eq!(
            set(body, &[("id", None)]),
            edited(r#"{"a":2, "x":{"id":5} }"#)
        );
        assert_eq!(
            set(body, &[("id", Some(json!(7)))]),
            edited(r#"{"a":2, "x":{"id":5} ,"id":7}"#)
        );
        assert_eq!(set(r#"{"id":1}"#, &[("id", None)]), edited("{}"));
        assert_eq!(
            set(
                r#"{"\u017Fubject":1,"\u212A":1}"#,
                &[("subject", None), ("k", None)]
            ),
            edited("{}")
        );
    }

    #[test]
    fn objects_given_twice_are_all_edited() {
        assert_eq!(
            set(
                r#"{"m":{"id":1},"M":{"id":2,"b":0},"m":{}}"#,
                &[("m.id", Some(json!("x")))]
            ),
            edited(r#"{"m":{"id":"x"},"M":{"b":0},"m":{"id":"x"}}"#)
        );
    }

    #[test]
    fn managed_members_go_from_each_element_of_an_array() {
        assert_eq!(
            set(
                r#" [{"m":{"id":1},"a":1}, [{"M":{"ID":2}}] ,"m", {"x":[{"m":{"id":3}}]}]"#,
                &[("m.id", None)]
            ),
            edited(r#" [{"m":{},"a":1}, [{"M":{}}] ,"m", {"x":[{"m":{"id":3}}]}]"#)
        );
        // An array on the way is none of the top.
        assert_eq!(set(r#"{"m":[{"id":1}]}"#, &[("m.id", None)]), Ok(None));
        assert!(set("[{", &[("m.id", None)]).is_err());
    }

    #[test]
    fn nothing_to_do_is_nothing_done() {
        for body in [r#"{ "a": [1, 2.0] }"#, "[]", "1", r#"{"m":[]}"#, "{}"] {
            assert_eq!(
                set(body, &[("m.id", None), ("x", None)]),
                Ok(None),
                "{body}"
            );
        }
        assert_eq!(set("{}", &[]), Ok(None));
    }

    #[test]
    fn what_is_no_object_cannot_take_a_member() {
        for body in [
            "[]",
            "1",
            "",
            "{",
            r#"{"m":[]}"#,
            r#"{"m":1,"m":{}}"#,
            r#"{"m":{},"m":null}"#,
            "{}x",
            "a=b",
        ] {
            assert!(set(body, &[("m.id", Some(json!(1)))]).is_err(), "{body}");
        }
        assert_eq!(
            set(r#"{"M":1}"#, &[("m.id", Some(json!(1)))]),
            edited(r#"{"M":1,"m":{"id":1}}"#)
        );
    }

    #[test]
    fn a_managed_object_may_have_managed_members() {
        let managed = [("m", Some(json!({"a":1}))), ("m.id", Some(json!("x")))];
        assert_eq!(
            set(r#"{"m":{"id":0}}"#, &managed),
            edited(r#"{"m":{"a":1,"id":"x"}}"#)
        );
    }

    #[test]
    fn selected_members_and_elements_are_removed() {
        assert_eq!(
            remove(r#"[{"flag":true, "a":1.0},{"b":[ ]}]"#, "$..flag").unwrap(),
            r#"[{ "a":1.0},{"b":[ ]}]"#
        );
        assert_eq!(
            remove(r#"{"a":[1,"x", 2]}"#, "$.a[?@ == 'x']").unwrap(),
            r#"{"a":[1, 2]}"#
        );
        assert_eq!(
            remove(
                r#"{"x":{"fl\u0061g":1,"flag":2},"x":{"flag":3}}"#,
                "$.x.flag"
            )
            .unwrap(),
            r#"{"x":{},"x":{}}"#
        );
        assert_eq!(remove(r#"{"a":1}"#, "$..flag"), None);
        assert_eq!(remove(r#"{"a":1}"#, "$"), None);
        assert_eq!(
            remove(r#"{"Flag":1,"flag":2}"#, "$.flag").unwrap(),
            r#"{"Flag":1}"#
        );
    }

    fn member(names: Vec<&'static str>) -> impl Strategy<Value = String> {
        (prop::sample::select(names), arbitrary::value())
            .prop_map(|(name, value)| format!("{name}:{value}"))
    }

    proptest! {
        /// What is not managed is there byte for byte, in order; what is managed is not.
        #[test]
        fn only_managed_members_change(
            pieces in prop::collection::vec(prop_oneof![
                member(vec![" \"a\"", "\"x/y\" ", "\"flags\""]).prop_map(|m| (false, m)),
                member(vec!["\"flag\"", " \"fl\\u0061g\"", "\"FLAG\" "]).prop_map(|m| (true, m)),
            ], 0..6),
            nested in any::<bool>(),
            value in prop::option::of(Just(json!({"v":1.5}))),
        ) {
            let join = |all: Vec<&str>| all.join(",");
            let body = join(pieces.iter().map(|(_, text)| &**text).collect());
            let mut kept: Vec<_> = pieces.iter().filter(|(m, _)| !m).map(|(_, text)| &**text).collect();
            if value.is_some() {
                kept.push("\"flag\":{\"v\":1.5}");
            }
            let expected = join(kept);
            let untouched = value.is_none() && pieces.iter().all(|(managed, _)| !managed);
            let result = if nested {
                let result = set(&format!("{{\"m\": {{{body}}} , \"z\":0}}"), &[("m.flag", value)]);
                (result, format!("{{\"m\": {{{expected}}} , \"z\":0}}"))
            } else {
                (set(&format!("{{{body}}}"), &[("flag", value)]), format!("{{{expected}}}"))
            };
            prop_assert_eq!(result.0, Ok((!untouched).then_some(result.1)));
        }

        /// In no reading of the edited body is there another value than the one that was set.
        #[test]
        fn managed_members_do_not_survive_in_any_reading(
            body in arbitrary::document(),
            path in prop::sample::select(vec!["a", "flag", "a.b", "a.flag", "b.a.flag"]),
            value in prop::option::of(Just(json!("ours"))),
        ) {
            let managed = MemberPath::parse(path).unwrap();
            let query = JsonPath::parse(&format!("$.{path}")).unwrap();
            let Ok(result) = set_members(body.as_bytes(), &[(&managed, value.as_ref())]) else {
                return Ok(());
            };
            let after = result.unwrap_or(body.into_bytes());
            if let Ok(json) = Json::parse(&after) {
                for view in json.views() {
                    let found: Vec<_> = query.select_in(view).into_iter().cloned().collect();
                    prop_assert_eq!(found, Vec::from_iter(value.clone()));
                }
            }
        }

        #[test]
        fn removing_leaves_nothing_selected_and_the_rest_in_place(
            body in arbitrary::document(),
            query in prop::sample::select(vec!["$..flag", "$.a", "$.*.b"]),
        ) {
            let query = JsonPath::parse(query).unwrap();
            if let Ok(Some(after)) = remove_selected(body.as_bytes(), &query) {
                let json = Json::parse(&after).unwrap();
                prop_assert!(query.select(&json).is_empty());
                prop_assert!(after.len() < body.len());
            }
        }

        #[test]
        fn editing_never_panics(body in prop::collection::vec(any::<u8>(), 0..48)) {
            let path = MemberPath(vec!["a".into(), "b".into()]);
            let _ = set_members(&body, &[(&path, Some(&json!(1)))]);
            let _ = remove_selected(&body, &JsonPath::parse("$..a").unwrap());
        }
    }
}
