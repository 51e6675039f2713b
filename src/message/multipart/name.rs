//! What a part of a multipart body is called, to whoever reads it.

use memchr::memmem;

use super::reader::wrong;
use crate::message::json::Malformed;
use crate::message::target::decode;

/// What a part's headers say of its name, as several readers understand them.
///
/// # Errors
/// When a name is written in a way that is not undone here (RFC 7578, section 4.2,
/// forbids `name*`).
pub(super) fn names(head: &[u8]) -> Result<Vec<String>, Malformed> {
    let lower = head.to_ascii_lowercase();
    let mut names = Vec::new();
    for at in memmem::find_iter(&lower, b"name") {
        let after = head.get(at + 4..).unwrap_or_default().trim_ascii_start();
        let of_file = lower.get(..at).unwrap_or_default().ends_with(b"file");
        match after.split_first() {
            Some((b'*', _)) if !of_file => return wrong("the name of a part is encoded"),
            Some((b'=', value)) if !of_file => names.extend(readings(value.trim_ascii_start())),
            _ => {}
        }
    }
    names.dedup();
    Ok(names)
}

/// The values that readers see here: quoted or not, with escapes undone or not.
fn readings(value: &[u8]) -> Vec<String> {
    let line = value
        .split(|byte| *byte == b'\r')
        .next()
        .unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let until = |text: &str, ends: &[char]| text.split(ends).next().unwrap_or_default().to_owned();
    let mut readings = match line.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let inside = line.get(1..).unwrap_or_default();
            vec![until(inside, &[quote]), unescaped(inside, quote)]
        }
        _ => vec![
            until(&line, &[';']).trim().to_owned(),
            until(&line, &[';', ' ', '\t', ',']),
        ],
    };
    let decoded: Vec<String> = readings
        .iter()
        .map(|name| decode(name).into_owned())
        .collect();
    readings.extend(decoded);
    readings.sort();
    readings.dedup();
    readings
}

/// Up to the closing quote, a backslash before any character taken off.
fn unescaped(text: &str, quote: char) -> String {
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => out.extend(characters.next()),
            end if end == quote => break,
            character => out.push(character),
        }
    }
    out
}
