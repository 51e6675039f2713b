//! The real backends of `tests/backends` and the real provider of `tests/provider`, run by node
//! and Python.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

use super::{PATIENCE, eventually, ports};

/// A running script; it ends with the value.
pub struct Node {
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
    output: Arc<Mutex<String>>,
}

impl Node {
    /// Starts a server of `tests/backends` with a free port as its only argument,
    /// and waits until it accepts. `None` where node or its packages are missing,
    /// so that `cargo test` alone passes; with `CHATGATE_TEST_BACKENDS` set (as
    /// `make test` does) that is a failure.
    pub fn start(script: &str) -> Option<Self> {
        ready().then(|| Self::serve(&directory(), script, ports::free(), &[]))
    }

    /// Starts the OpenID provider of `tests/provider` on an address that was free, for
    /// clients whose endpoints are below this URL.
    pub fn provider(address: SocketAddr, endpoints: &str) -> Self {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/provider");
        Self::serve(&directory, "provider.js", address, &[endpoints])
    }

    /// Starts the Chainlit app of `tests/backends`. `None` where its packages are not
    /// installed (`.ci/setup chainlit`): they are many, and not to be had everywhere.
    pub fn chainlit() -> Option<Self> {
        let home = directory().join("chainlit");
        let program = home.join(".venv/bin/chainlit");
        if !program.is_file() {
            eprintln!("skipped: no Python packages in tests/backends/chainlit");
            return None;
        }
        let address = ports::free();
        // It writes settings and a page into the directory it runs in.
        let root = tempfile::tempdir().unwrap().keep();
        let mut command = Command::new(program);
        command
            .args(["run", "--headless", "--host", "127.0.0.1", "--port"])
            .arg(address.port().to_string())
            .arg(home.join("app.py"))
            .env(
                "CHAINLIT_AUTH_SECRET",
                "0123456789abcdef0123456789abcdef0123",
            )
            .env("CHAINLIT_APP_ROOT", &root)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(&root);
        Some(Self::run("chainlit", &mut command, address))
    }

    fn serve(directory: &Path, script: &str, address: SocketAddr, arguments: &[&str]) -> Self {
        let mut command = Command::new("node");
        command
            .arg(script)
            .arg(address.port().to_string())
            .args(arguments)
            .current_dir(directory);
        Self::run(script, &mut command, address)
    }

    /// Runs a command until it accepts there.
    pub(super) fn run(what: &str, command: &mut Command, address: SocketAddr) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = Arc::new(Mutex::new(String::new()));
        collect(child.stdout.take().unwrap(), Arc::clone(&output));
        collect(child.stderr.take().unwrap(), Arc::clone(&output));
        let mut node = Self {
            address,
            child,
            output,
        };
        eventually(what, || {
            if let Some(status) = node.child.try_wait().unwrap() {
                panic!("{what} ended with {status}: {}", node.output());
            }
            TcpStream::connect(address).ok()
        });
        node
    }

    /// What it printed.
    pub fn output(&self) -> String {
        self.output.lock().unwrap().clone()
    }
}

/// A client script that is talked to line by line; it ends with the value.
pub struct Talk {
    child: Child,
    lines: Receiver<Value>,
}

impl Talk {
    /// Starts a script of `tests/backends` that prints a line of JSON per event.
    pub fn start(script: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new("node")
            .arg(script)
            .args(arguments)
            .current_dir(directory())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if let Ok(event) = serde_json::from_str(&line) {
                    let _ = send.send(event);
                }
            }
        });
        Self { child, lines }
    }

    /// Says a line.
    pub fn say(&mut self, text: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        writeln!(stdin, "{text}").unwrap();
    }

    /// The next event that `wanted` takes; all before it are passed over.
    ///
    /// # Panics
    /// When none comes.
    pub fn next<T>(&mut self, what: &str, mut wanted: impl FnMut(&Value) -> Option<T>) -> T {
        loop {
            let event = self.lines.recv_timeout(PATIENCE);
            let event = event.unwrap_or_else(|_| panic!("never came: {what}"));
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether node and the packages are there.
pub fn ready() -> bool {
    let node = Command::new("node").arg("--version").output();
    let installed = |package: &str| {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        tests.join(package).is_dir()
    };
    let there = node.is_ok_and(|done| done.status.success())
        && installed("backends/node_modules/botkit")
        && installed("provider/node_modules/oidc-provider");
    let wanted = std::env::var_os("CHATGATE_TEST_BACKENDS").is_some();
    assert!(
        there || !wanted,
        "run `npm ci --ignore-scripts` in tests/backends and tests/provider"
    );
    if !there {
        eprintln!("skipped: no node packages in tests/backends and tests/provider");
    }
    there
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/backends")
}

fn collect(stream: impl std::io::Read + Send + 'static, output: Arc<Mutex<String>>) {
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            *output.lock().unwrap() += &(line + "\n");
        }
    });
}
