//! Secrets and the contents of key files. Nothing read here is ever shown.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::PathBuf;

use super::reader::{Node, Wrong, clean};
use crate::secret::Secret;

/// Longest file that is read, in bytes.
const LONGEST: u64 = 1 << 20;

impl Node<'_> {
    /// A secret: `{ file = "…" }`, `{ env = "…" }`, or inline with a warning.
    pub(super) fn secret(self) -> Option<Secret> {
        self.key_material(true)
    }

    /// A public key, from the same places; inline it needs no warning.
    pub(super) fn public(self) -> Option<Secret> {
        self.key_material(false)
    }

    /// A secret that is text.
    pub(super) fn secret_text(self) -> Option<(Secret, String)> {
        let secret = self.secret()?;
        match String::from_utf8(secret.expose().to_vec()) {
            Ok(text) => Some((secret, text)),
            Err(_) => {
                self.error(format!("`{}` is not text", self.name));
                None
            }
        }
    }

    /// The path that a string names, relative to the configuration file.
    pub(super) fn path(self) -> Option<PathBuf> {
        let text = self.text()?;
        if text.is_empty() {
            self.error("this names no file");
            return None;
        }
        Some(self.report().source.base().join(text))
    }

    /// The content of the file that a string names.
    pub(super) fn file(self) -> Option<Vec<u8>> {
        let path = self.path()?;
        let mut bytes = Vec::new();
        let read =
            File::open(&path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes));
        let shown = clean(&path.display().to_string());
        match read {
            Err(error) if error.kind() == ErrorKind::NotFound => self.error(Wrong::new(
                format!("there is no file {shown}"),
                "names are relative to the directory of the configuration; `chatgate keygen` makes keys",
            )),
            Err(error) => self.error(format!("cannot read {shown}: {error}")),
            Ok(0) => self.error(format!("{shown} is empty")),
            Ok(length) if length as u64 > LONGEST => {
                self.error(format!("{shown} is longer than 1 MiB"))
            }
            Ok(_) => return Some(bytes),
        }
        None
    }

    fn key_material(self, confidential: bool) -> Option<Secret> {
        if let Some(text) = self.hidden_text() {
            return self.inline(text, confidential);
        }
        if !self.is_table() {
            let name = self.name;
            let help = "write { file = \"…\" } or { env = \"…\" }";
            self.error(Wrong::new(format!("`{name}` must name a secret"), help));
            return None;
        }
        let place = self.table()?.one_of(&["file", "env"])?;
        let bytes = match place.name {
            "file" => trimmed(place.file()?),
            _ => place.variable()?,
        };
        if bytes.is_empty() {
            place.error("this holds nothing but a line end");
            return None;
        }
        Some(Secret::new(bytes))
    }

    fn inline(self, text: &str, confidential: bool) -> Option<Secret> {
        let help = "write { file = \"…\" } or { env = \"…\" }";
        if text.trim().is_empty() {
            self.error(Wrong::new(format!("`{}` is empty", self.name), help));
            return None;
        }
        if text.len() < 512 && self.report().source.base().join(text).is_file() {
            let message = format!("`{}` is the name of a file, not its content", self.name);
            self.error(Wrong::new(message, "write { file = \"…\" }"));
            return None;
        }
        if confidential {
            let message = format!("`{}` is written into the configuration itself", self.name);
            self.warn(Wrong::new(message, help));
        }
        Some(Secret::new(trimmed(text.into())))
    }

    fn variable(self) -> Option<Vec<u8>> {
        let name = self.hidden_text();
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let Some(name) = name.filter(|name| !name.is_empty() && name.bytes().all(legal)) else {
            // Perhaps the secret itself stands here: it is not shown.
            self.error(Wrong::new(
                "`env` must be the name of an environment variable, and this is none",
                "write its name, like WEB_KEY, and never the secret itself",
            ));
            return None;
        };
        match std::env::var_os(name) {
            Some(value) => {
                self.show();
                if !value.is_empty() {
                    return Some(trimmed(value.into_encoded_bytes()));
                }
                let name = clean(name);
                self.error(format!("the environment variable {name} is empty"));
            }
            None if is_plain(name) => {
                self.show();
                self.error(Wrong::new(
                    format!("the environment variable {name} is not set"),
                    "set it where chatgate is started",
                ));
            }
            None => self.error(Wrong::new(
                "no environment variable is called what is written here, which is not shown: \
                 it could be the secret itself",
                "write the name of a variable, like WEB_KEY, and set that where chatgate is started",
            )),
        }
        None
    }
}

/// Whether this can be nothing but a variable's name, like `CHATGATE_OAUTH2_SECRET`.
///
/// Secrets that machines make look otherwise: base32 and hexadecimal have no underscore,
/// base64url has small letters, or digits inside a word; and no word is as long as the
/// shortest secret that is taken, 16 bytes.
fn is_plain(name: &str) -> bool {
    let word = |word: &str| {
        let letters = word.trim_end_matches(|c: char| c.is_ascii_digit());
        (1..16).contains(&word.len())
            && !letters.is_empty()
            && letters.bytes().all(|b| b.is_ascii_uppercase())
    };
    name.len() <= 64 && name.contains('_') && name.split('_').all(word)
}

/// Without the line end that editors add.
fn trimmed(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_variables_are_told_from_secrets() {
        for name in ["WEB_KEY", "CHATGATE_OAUTH2_SECRET", "A_B"] {
            assert!(is_plain(name), "{name}");
        }
        for secret in [
            "JBSWY3DPEHPK3PXP",
            "HUNTER",
            "DEADBEEF00112233445566778899AABB",
            "01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "KEY_DEADBEEFDEADBEEF",
            "KEY_7F3A_9C2D",
            "A1B2_C3D4",
            "aB_cD",
            "_",
            "__KEY",
            "",
        ] {
            assert!(!is_plain(secret), "{secret}");
        }
        assert!(!is_plain(&format!("A{}", "_ABCDEFGH".repeat(8))));
    }

    proptest! {
        #[test]
        fn what_machines_make_is_never_shown(
            secret in prop_oneof![
                "[A-Z2-7]{16,64}",
                "[0-9A-F]{16,64}",
                "[0-9A-HJKMNP-TV-Z]{16,64}",
                "[A-Z]{2,8}_[A-Z2-7]{16,64}",
                prop::collection::vec(any::<u8>(), 16..48).prop_map(|bytes| {
                    use base64::Engine;
                    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
                }),
            ],
        ) {
            prop_assert!(!is_plain(&secret));
        }
    }
}
