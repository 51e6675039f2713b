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
            self.error("`env` must be the name of an environment variable");
            return None;
        };
        let Some(value) = std::env::var_os(name).filter(|value| !value.is_empty()) else {
            self.error(Wrong::new(
                "this environment variable is not set, or empty",
                "set it where chatgate is started",
            ));
            return None;
        };
        self.show();
        Some(trimmed(value.into_encoded_bytes()))
    }
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
