//! The scripts of `tests/browser`: Chromium, driven by node.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Whether node, its package and Chromium are there, so that `cargo test` alone
/// passes; with `CHATGATE_TEST_BROWSER` set (as `make test` does) it is a failure
/// when they are not.
pub fn ready() -> bool {
    let chromium = std::env::var("CHROMIUM").unwrap_or("/usr/bin/chromium".into());
    let node = Command::new("node").arg("--version").output();
    let there = node.is_ok_and(|done| done.status.success())
        && Path::new(&chromium).exists()
        && directory().join("node_modules/playwright-core").is_dir();
    let wanted = std::env::var_os("CHATGATE_TEST_BROWSER").is_some();
    assert!(there || !wanted, "run `.ci/setup browser node`");
    if !there {
        eprintln!(
            "skipped: no node, playwright-core or Chromium; `.ci/setup browser node` installs them"
        );
    }
    there
}

/// Runs a script to its end. Each line that it prints goes to `hear`; what that gives
/// back, the script reads.
///
/// # Panics
/// When the script fails.
pub fn play(script: &str, arguments: &[&str], mut hear: impl FnMut(&str) -> Option<String>) {
    let child = Command::new("node")
        .arg(script)
        .args(arguments)
        .current_dir(directory())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut script = Script(child.unwrap());
    let mut input = script.0.stdin.take().unwrap();
    for line in BufReader::new(script.0.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        println!("{line}");
        if let Some(answer) = hear(&line) {
            writeln!(input, "{answer}").unwrap();
        }
    }
    assert!(script.0.wait().unwrap().success());
}

/// It ends with the value, also where a test fails in between.
struct Script(Child);

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn directory() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser"))
}
