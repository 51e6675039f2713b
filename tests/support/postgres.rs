//! A real PostgreSQL server, for one test.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{eventually, ports, tls};

/// A running server with a superuser `chatgate`; it ends with the value.
pub struct Postgres {
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
    _directory: tempfile::TempDir,
}

impl Postgres {
    /// The superuser's password.
    pub const PASSWORD: &str = "pg-canary";

    /// Starts one that speaks TLS, too, with the certificate of everybody. `None` where
    /// it is not installed (`.ci/setup postgres`), so that `cargo test` alone passes;
    /// with `CHATGATE_TEST_BACKENDS` set that is a failure.
    pub fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            let needed = std::env::var_os("CHATGATE_TEST_BACKENDS").is_some();
            assert!(!needed, "PostgreSQL is missing: .ci/setup postgres");
            eprintln!("skipped: no PostgreSQL");
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        std::fs::write(at.join("password"), Self::PASSWORD).unwrap();
        std::fs::copy(&tls::certificate().chain, at.join("server.crt")).unwrap();
        std::fs::copy(&tls::certificate().key, at.join("server.key")).unwrap();
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(at.join("server.key"), private).unwrap();
        if is_root() {
            let mut chown = Command::new("chown");
            run(chown.args(["-R", "postgres:"]).arg(at));
        }
        let data = at.join("data");
        let mut init = unprivileged(&programs.join("initdb"));
        init.args(["-U", "chatgate", "-A", "scram-sha-256", "-E", "UTF8"])
            .args(["--locale=C.UTF-8", "--no-sync", "--pwfile"])
            .arg(at.join("password"))
            .arg("-D")
            .arg(&data);
        run(&mut init);
        let address = ports::free();
        let port = address.port().to_string();
        let path = |name: &str| at.join(name).display().to_string();
        let mut server = unprivileged(&programs.join("postgres"));
        server
            .arg("-D")
            .arg(&data)
            .args(["-h", "127.0.0.1", "-p", &port, "-F", "-k"])
            .arg(at)
            .args(["-c", "ssl=on", "-c"])
            .arg(format!("ssl_cert_file={}", path("server.crt")))
            .arg("-c")
            .arg(format!("ssl_key_file={}", path("server.key")));
        let child = server.stdout(Stdio::null()).stderr(Stdio::null());
        let child = child.stdin(Stdio::null()).spawn().unwrap();
        let server = Self {
            address,
            child,
            _directory: directory,
        };
        eventually("PostgreSQL listens", || TcpStream::connect(address).ok());
        Some(server)
    }

    /// The URL of a database, by this host name.
    pub fn url(&self, host: &str, parameters: &str) -> String {
        let (password, port) = (Self::PASSWORD, self.address.port());
        format!("postgres://chatgate:{password}@{host}:{port}/postgres{parameters}")
    }

    /// Stops it, as a power cut would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Where its programs are: Debian keeps them out of the path.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok();
    let debian = versions.into_iter().flatten().flatten();
    let debian = debian.map(|version| version.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path: Vec<PathBuf> = std::env::split_paths(&path).collect();
    path.into_iter()
        .chain(debian)
        .find(|place| place.join("initdb").is_file() && place.join("postgres").is_file())
}

/// It does not run as root.
fn unprivileged(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
        .arg(program);
    command
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.trim_ascii() == b"0"
}

fn run(command: &mut Command) {
    let done = command.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?}: {said}");
}
