//! No reading of an edited form has a managed field; what was cut is edited alike.
#![no_main]

use chatgate::message::MemberPath;
use chatgate::message::form::{self, FormEditor};
use chatgate::message::multipart::{self, Boundary, MultipartEditor};
use chatgate::message::target::pairs;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (cut, body) = input;
    let managed = [MemberPath::parse("a.b").expect("a path")];
    let (one, two) = body.split_at(usize::from(cut).min(body.len()));

    if let Ok(edited) = form::set_fields(body, &managed, &[]) {
        let left = edited.unwrap_or_else(|| body.to_vec());
        let text = String::from_utf8_lossy(&left);
        for reading in [text.to_string(), text.replace(';', "&")] {
            assert!(
                pairs(&reading)
                    .iter()
                    .all(|(name, _)| !form::is_managed(name, &managed))
            );
        }
        let (mut editor, mut out) = (FormEditor::default(), Vec::new());
        editor.push(&managed, one, &mut out).expect("short names");
        editor.push(&managed, two, &mut out).expect("short names");
        editor.end(&managed, &mut out);
        assert_eq!(out, left);
    }

    let boundary = Boundary::of(b"multipart/form-data; boundary=b").expect("a boundary");
    let boundary = boundary.expect("multipart");
    if let Ok(edited) = multipart::set_fields(body, boundary.clone(), &managed, &[]) {
        let left = edited.unwrap_or_else(|| body.to_vec());
        let again = multipart::set_fields(&left, boundary.clone(), &managed, &[]);
        assert_eq!(again, Ok(None));
        let (mut editor, mut out) = (MultipartEditor::new(boundary), Vec::new());
        editor.push(&managed, one, &mut out).expect("the same");
        editor.push(&managed, two, &mut out).expect("the same");
        editor.end().expect("the same");
        assert_eq!(out, left);
    }
    let _ = Boundary::of(body);
});
