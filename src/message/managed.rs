//! The members that only chatgate may set, of all channels, and a cheap look at
//! whether a body can hold one of them at all.

use memchr::memmem::Finder;

use super::MemberPath;
use super::edit::any_case;

/// The managed members.
#[derive(Clone, Debug, Default)]
pub struct ManagedMembers {
    paths: Vec<MemberPath>,
    /// A name of each path, in [`any_case`], that a body with the member has in it.
    needles: Vec<Finder<'static>>,
}

impl ManagedMembers {
    /// Those at `paths`; the same one given twice is one.
    pub fn new<'a>(paths: impl IntoIterator<Item = &'a MemberPath>) -> Self {
        let mut own: Vec<MemberPath> = Vec::new();
        for path in paths {
            if !own.contains(path) {
                own.push(path.clone());
            }
        }
        let mut names: Vec<String> = own.iter().map(rarest).collect();
        names.sort();
        names.dedup();
        let finders = names.iter().map(|name| Finder::new(name).into_owned());
        Self {
            needles: finders.collect(),
            paths: own,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Where they are.
    pub fn paths(&self) -> &[MemberPath] {
        &self.paths
    }

    /// Whether this body, read as JSON, may hold one of them, in whatever case,
    /// escape or encoding. `false` is certain.
    pub fn may_be_in(&self, body: &[u8]) -> bool {
        // Escapes can spell any letter, those of lenient readers too; and wide
        // encodings put NUL between letters.
        if memchr::memchr2(0, b'\\', body).is_some() {
            return true;
        }
        let found = |text: &[u8]| self.needles.iter().any(|name| name.find(text).is_some());
        if body.is_ascii() {
            return found(&body.to_ascii_lowercase());
        }
        // Some letters beyond ASCII are ASCII in another case.
        std::str::from_utf8(body).map_or(true, |text| found(any_case(text).as_bytes()))
    }
}

/// The longest name on the way: the one that other bodies have least often.
fn rarest(path: &MemberPath) -> String {
    let names = path.0.iter().map(|name| any_case(name));
    names.max_by_key(String::len).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::edit::set_members;
    use super::super::json::arbitrary;
    use super::*;

    fn managed(paths: &[&str]) -> ManagedMembers {
        let paths: Vec<_> = paths
            .iter()
            .map(|path| MemberPath::parse(path).unwrap())
            .collect();
        ManagedMembers::new(&paths)
    }

    #[test]
    fn a_body_without_the_name_is_not_looked_into() {
        let managed = managed(&["metadata.customer", "metadata.authenticated"]);
        assert_eq!(managed.paths().len(), 2);
        for body in [
            r#"{"sender":"s","message":"a line"}"#,
            r#"{"sender":"s","message":"Grüße"}"#,
            r#"{"metadata":{"lang":"en"}}"#,
        ] {
            assert!(!managed.may_be_in(body.as_bytes()), "{body}");
        }
        for body in [
            r#"{"metadata":{"customer":"alice"}}"#,
            r#"{"METADATA":{"CUSTOMER":"alice"}}"#,
            r#"{"metadata":{"cu\u0073tomer":"alice"}}"#,
            r#"{"metadata":{"cuſtomer":"alice"}}"#,
            r"/**/{'metadata':{'customer':1}}",
            r"{metadata:{customer:1}}",
            r"{metadata:{customer:1}}",
            "{metadata={Customer=1}}",
        ] {
            assert!(managed.may_be_in(body.as_bytes()), "{body}");
        }
        let wide: Vec<u8> =
            r#"{"metadata":{"customer":1}}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(managed.may_be_in(&wide));
        assert!(managed.may_be_in(b"{\"metadata\":{\"b\xff\":1}}"));
    }

    #[test]
    fn a_capital_with_a_dot_is_a_case_of_i() {
        let managed = managed(&["meta.authenticated"]);
        for name in ["authentİcated", "AUTHENTİCATED", "authentıcated"] {
            let body = format!(r#"{{"meta":{{"{name}":true}}}}"#);
            assert!(managed.may_be_in(body.as_bytes()), "{name}");
            let plan = [(&managed.paths()[0], None)];
            let left = set_members(body.as_bytes(), &plan).unwrap();
            assert_eq!(left.as_deref(), Some(&br#"{"meta":{}}"#[..]), "{name}");
        }
    }

    proptest! {
        /// The cheap look never misses what the editor would take out.
        #[test]
        fn what_the_editor_takes_out_was_seen(
            text in arbitrary::document(),
            path in prop::sample::select(vec!["a", "a.b", "flag", "A.Flag", "ſ", "['x/y']", "k.s"]),
        ) {
            let managed = managed(&[path]);
            let plan = [(&managed.paths()[0], None)];
            if let Ok(Some(_)) = set_members(text.as_bytes(), &plan) {
                prop_assert!(managed.may_be_in(text.as_bytes()));
            }
        }
    }
}
