//! The elements of an array in a JSON body, each with its place, so that some can be
//! taken out and all else stays byte for byte.

use std::ops::Range;

use super::MemberPath;
use super::json::Malformed;
use super::json::scan::{Scanner, Start};

/// Where the elements of an array are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elements {
    /// What is between the brackets.
    inside: Range<usize>,
    /// Each element, and with the blanks around it.
    places: Vec<(Range<usize>, Range<usize>)>,
}

impl Elements {
    /// Finds the array at `at` (the top of the document when `at` names nothing).
    /// `None` when there is none; where a member on the way is given twice, readers
    /// differ in what they find, and that is [`Malformed`].
    pub fn find(body: &[u8], at: &MemberPath) -> Result<Option<Self>, Malformed> {
        let mut scanner = Scanner::new(body)?;
        let found = descend(&mut scanner, &at.0)?;
        scanner.end()?;
        Ok(found)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The bytes of each.
    pub fn of<'b>(&self, body: &'b [u8]) -> impl Iterator<Item = &'b [u8]> {
        self.places
            .iter()
            .map(|(place, _)| body.get(place.clone()).unwrap_or_default())
    }

    /// The body with `first` before all elements, and each element kept (`None`),
    /// replaced, or taken out (replaced by nothing).
    pub fn rewrite(
        &self,
        body: &[u8],
        first: &[impl AsRef<[u8]>],
        mut change: impl FnMut(usize) -> Option<Vec<u8>>,
    ) -> Vec<u8> {
        let part = |range: Range<usize>| body.get(range).unwrap_or_default();
        let mut out = part(0..self.inside.start).to_vec();
        let mut any = false;
        let mut put = |out: &mut Vec<u8>, bytes: &[u8]| {
            if std::mem::replace(&mut any, true) {
                out.push(b',');
            }
            out.extend_from_slice(bytes);
        };
        for element in first {
            put(&mut out, element.as_ref());
        }
        for (index, (_, around)) in self.places.iter().enumerate() {
            match change(index) {
                None => put(&mut out, part(around.clone())),
                Some(bytes) if bytes.is_empty() => {}
                Some(bytes) => put(&mut out, &bytes),
            }
        }
        if self.places.is_empty() && first.is_empty() {
            out.extend_from_slice(part(self.inside.clone()));
        }
        out.extend_from_slice(part(self.inside.end..body.len()));
        out
    }
}

/// Passes the value over that the scanner stands before, and finds the array in it.
fn descend(scanner: &mut Scanner<'_>, names: &[Box<str>]) -> Result<Option<Elements>, Malformed> {
    let start = scanner.start()?;
    match (start, names.split_first()) {
        (Start::Array, None) => array(scanner).map(Some),
        (Start::Object, Some((name, below))) => {
            let mut met = false;
            let mut found = None;
            while let Some(member) = scanner.member()? {
                if *member != **name {
                    scanner.skip()?;
                    continue;
                }
                if std::mem::replace(&mut met, true) {
                    return Err(Malformed(format!("`{name}` is given twice")));
                }
                found = descend(scanner, below)?;
            }
            Ok(found)
        }
        (Start::Object, None) => {
            while scanner.member()?.is_some() {
                scanner.skip()?;
            }
            Ok(None)
        }
        (Start::Array, Some(_)) => {
            while scanner.element()? {
                scanner.skip()?;
            }
            Ok(None)
        }
        _ => Ok(None),
    }
}

fn array(scanner: &mut Scanner<'_>) -> Result<Elements, Malformed> {
    let begin = scanner.at();
    let mut places = Vec::new();
    let mut from = begin;
    while scanner.element()? {
        let start = scanner.blanks();
        scanner.skip()?;
        let end = scanner.at();
        let behind = scanner.blanks();
        places.push((start..end, from..behind));
        from = behind + 1;
    }
    Ok(Elements {
        inside: begin..scanner.at() - 1,
        places,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::json::arbitrary;
    use super::*;

    const NONE: &[&[u8]] = &[];

    fn at(path: &str) -> MemberPath {
        match path {
            "$" => MemberPath(Vec::new()),
            path => MemberPath::parse(path).unwrap(),
        }
    }

    fn elements(body: &str, path: &str) -> Option<Vec<String>> {
        let found = Elements::find(body.as_bytes(), &at(path)).unwrap()?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Some(found.of(body.as_bytes()).map(text).collect())
    }

    fn rewritten(body: &str, path: &str, first: &[&str], change: &[Option<&str>]) -> String {
        let found = Elements::find(body.as_bytes(), &at(path)).unwrap().unwrap();
        let change = |index: usize| change[index].map(|text| text.as_bytes().to_vec());
        String::from_utf8(found.rewrite(body.as_bytes(), first, change)).unwrap()
    }

    #[test]
    fn elements_are_found_where_they_are() {
        let body = r#"{"x":[0],"a":{"l": [ 1 , {"b":[2]},"c" ]},"l":[9]}"#;
        let found = elements(body, "$.a.l").unwrap();
        assert_eq!(found, ["1", r#"{"b":[2]}"#, r#""c""#]);
        assert_eq!(elements("[1,2]", "$").unwrap(), ["1", "2"]);
        assert_eq!(elements(" [ ] ", "$").unwrap(), [""; 0]);
        for (body, path) in [
            ("{}", "$.a"),
            ("[]", "$.a"),
            (r#"{"a":1}"#, "$.a"),
            ("1", "$"),
            ("{}", "$"),
        ] {
            assert_eq!(elements(body, path), None, "{body} {path}");
        }
        // Whoever takes the other one would see what was not looked at.
        assert!(Elements::find(br#"{"a":[1],"\u0061":[2]}"#, &at("$.a")).is_err());
        assert!(Elements::find(b"[1,]", &at("$")).is_err());
    }

    #[test]
    fn what_is_kept_stays_as_it_was() {
        let body = r#"{"w":"3","l":[ 1 , {"b": 2} ,3 ], "z":0}"#;
        assert_eq!(rewritten(body, "$.l", &[], &[None; 3]), body);
        let some = [None, Some(""), Some("9")];
        assert_eq!(
            rewritten(body, "$.l", &["7", "8"], &some),
            r#"{"w":"3","l":[7,8, 1 ,9], "z":0}"#
        );
        assert_eq!(rewritten("[1,2]", "$", &[], &[Some(""), Some("")]), "[]");
        assert_eq!(rewritten("[ ]", "$", &["1"], &[]), "[1]");
        assert_eq!(rewritten("[ ]", "$", &[], &[]), "[ ]");
    }

    proptest! {
        #[test]
        fn nothing_changed_is_nothing_changed(text in arbitrary::document(), path in prop::sample::select(vec!["$", "$.a", "$.a.b"])) {
            if let Ok(Some(found)) = Elements::find(text.as_bytes(), &at(path)) {
                prop_assert_eq!(found.rewrite(text.as_bytes(), NONE, |_| None), text.as_bytes());
                for element in found.of(text.as_bytes()) {
                    prop_assert!(super::super::Json::parse(element).is_ok());
                }
                let emptied = found.rewrite(text.as_bytes(), NONE, |_| Some(Vec::new()));
                prop_assert!(Elements::find(&emptied, &at(path)).unwrap().unwrap().is_empty());
            }
        }
    }
}
