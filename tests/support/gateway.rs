//! The gateway: in this process, with a clock that is moved by hand, or as a process of its own.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use chatgate::config;
use chatgate::gateway::{Options, Stop, serve};
use chatgate::time::{Clock, Time};

use super::login::{KEY, PLATFORM_KEY, Site};
use super::{Browser, Metrics, Wire, eventually, h2, ports, tls};

/// Where a gateway listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// Cleartext HTTP/1.
    pub plain: SocketAddr,
    /// TLS, HTTP/1 and HTTP/2.
    pub tls: SocketAddr,
    /// The admin listener.
    pub admin: SocketAddr,
}

impl Addresses {
    fn free() -> Self {
        Self {
            plain: ports::free(),
            tls: ports::free(),
            admin: ports::free(),
        }
    }

    /// Server, listeners and admin, followed by a test's own tables (upstreams,
    /// channels, `[store]`, …).
    fn config(&self, drain_timeout: &str, tables: &str) -> String {
        let Self {
            plain,
            tls: secure,
            admin,
        } = self;
        let chain = tls::certificate().chain.display();
        let key = tls::certificate().key.display();
        format!(
            r#"
[server]
public_url = "http://{plain}"
drain_timeout = "{drain_timeout}"
workers = 1
[[listener]]
address = "{plain}"
[[listener]]
address = "{secure}"
tls = {{ certificate = "{chain}", key = "{key}" }}
[admin]
address = "{admin}"
{tables}"#
        )
    }

    /// A client with a cookie jar.
    pub fn browser(&self) -> Browser {
        Browser::new(self.plain)
    }

    /// A cleartext connection.
    pub fn wire(&self) -> Wire {
        Wire::connect(self.plain)
    }

    /// A TLS connection for HTTP/1.
    pub fn wire_tls(&self) -> Wire {
        Wire::connect_tls(self.tls)
    }

    /// An HTTP/2 connection.
    pub fn h2(&self) -> h2::Client {
        h2::Client::connect(self.tls)
    }

    /// What the gateway has counted so far.
    pub fn metrics(&self) -> Metrics {
        Metrics::read(self.admin)
    }
}

/// A gateway in this process. It runs until the process ends: pingora's runtimes
/// leave the handle of a thread that ended to the next one with the same number,
/// so one that was stopped would swallow the tasks of one that starts.
pub struct Gateway {
    /// Where it listens.
    pub at: Addresses,
    /// Its clock; it stands still unless a test moves it.
    pub clock: Clock,
    /// The login page that its channels share a key with.
    pub site: Site,
}

impl Gateway {
    /// Starts it, with a test's own tables (upstreams, channels, `[store]`, …).
    pub fn start(tables: &str) -> Self {
        let at = Addresses::free();
        Self::run(at, &at.config("1s", tables), [at.plain, at.tls, at.admin])
    }

    /// Starts it with more settings in `[server]`.
    pub fn start_with(server: &str, tables: &str) -> Self {
        let at = Addresses::free();
        let text = at.config("1s", tables);
        let text = text.replacen("[server]\n", &format!("[server]\n{server}\n"), 1);
        Self::run(at, &text, [at.plain, at.tls, at.admin])
    }

    /// Starts a file of `conf/`, in which nothing is changed but the addresses:
    /// ours, and the backend's.
    pub fn start_file(file: &str, backend: SocketAddr) -> Self {
        let at = Addresses::free();
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("conf")
            .join(file);
        let text = std::fs::read_to_string(path).unwrap();
        let (before, after) = text.split_once("[upstream.").expect("an upstream");
        let (_, after_url) = after.split_once("url = \"").expect("its URL");
        let (url, _) = after_url.split_once('"').unwrap();
        let text = format!("{before}[upstream.{after}")
            .replace(url, &format!("http://{backend}"))
            .replace("127.0.0.1:8080", &at.plain.to_string())
            .replace("127.0.0.1:9090", &at.admin.to_string());
        Self::run(at, &text, [at.plain, at.admin, at.plain])
    }

    /// The same where there are several backends, by their names.
    pub fn start_between(file: &str, backends: &[(&str, SocketAddr)]) -> Self {
        let at = Addresses::free();
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("conf")
            .join(file);
        let mut text = std::fs::read_to_string(path).unwrap();
        for (name, address) in backends {
            let header = format!("[upstream.{name}]\nurl = \"");
            let (_, rest) = text.split_once(&header).expect("the upstream");
            let (url, _) = rest.split_once('"').unwrap();
            // The side call goes to the same place.
            text = text.replace(&url.to_owned(), &format!("http://{address}"));
        }
        text = text
            .replace("127.0.0.1:8080", &at.plain.to_string())
            .replace("127.0.0.1:9090", &at.admin.to_string());
        Self::run(at, &text, [at.plain, at.admin, at.plain])
    }

    fn run(at: Addresses, text: &str, listening: [SocketAddr; 3]) -> Self {
        let clock = Clock::manual(Time::from_secs(1_800_000_000));
        let config = parse(text);
        let options = Options {
            config,
            source: None,
            clock: clock.clone(),
            stop: Some(Stop::new()),
        };
        thread::spawn(move || serve(options).expect("the gateway starts"));
        for address in listening {
            eventually(
                &format!("the gateway listens on {address} of {at:?}"),
                || TcpStream::connect(address).ok(),
            );
        }
        let site = Site::new(at.plain, clock.clone());
        Self { at, clock, site }
    }
}

impl std::ops::Deref for Gateway {
    type Target = Addresses;

    fn deref(&self) -> &Addresses {
        &self.at
    }
}

/// Reads a configuration whose key files are `keys/web.key` and
/// `keys/platform.key` beside it.
pub fn parse(text: &str) -> config::Config {
    read(text).0
}

/// The same, with its warnings.
pub fn read(text: &str) -> (config::Config, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("keys")).unwrap();
    std::fs::write(directory.path().join("keys/web.key"), KEY).unwrap();
    std::fs::write(directory.path().join("keys/platform.key"), PLATFORM_KEY).unwrap();
    let path = directory.path().join("chatgate.toml");
    let shown = |list: &[config::Diagnostic]| list.iter().map(ToString::to_string).collect();
    match config::parse(text, &path) {
        Ok((config, warnings)) => (config, shown(&warnings)),
        Err(mistakes) => {
            let mistakes: Vec<String> = shown(&mistakes);
            panic!("{}\n{text}", mistakes.join("\n"))
        }
    }
}

/// `chatgate run`, as its own process; it ends with the value.
pub struct Process {
    /// Where it listens.
    pub at: Addresses,
    child: Child,
    log: Arc<Mutex<String>>,
    readers: Vec<thread::JoinHandle<()>>,
    directory: tempfile::TempDir,
}

/// What a process of its own leaves to requests under way: it ends as soon as none is left.
const DRAIN: &str = "10s";

impl Process {
    /// Starts it, with a test's own tables and a log of everything as JSON.
    pub fn start(tables: &str) -> Self {
        Self::start_with(&format!(
            "[log]\nformat = \"json\"\nlevel = \"trace\"\n{tables}"
        ))
    }

    /// Starts it, with a test's own tables, `[log]` among them.
    pub fn start_with(tables: &str) -> Self {
        let at = Addresses::free();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("chatgate.toml");
        std::fs::write(&file, at.config(DRAIN, tables)).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_chatgate"))
            .arg("run")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let readers = vec![
            collect(child.stdout.take().unwrap(), Arc::clone(&log)),
            collect(child.stderr.take().unwrap(), Arc::clone(&log)),
        ];
        let mut process = Self {
            at,
            child,
            log,
            readers,
            directory,
        };
        eventually("chatgate listens", || {
            if let Some(status) = process.child.try_wait().unwrap() {
                panic!("chatgate ended with {status}: {}", process.log());
            }
            let there = [at.plain, at.tls, at.admin].map(TcpStream::connect);
            there.iter().all(Result::is_ok).then_some(())
        });
        process
    }

    /// Everything it has printed so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Gives it another configuration: a test's own tables. It is read on SIGHUP.
    pub fn rewrite(&self, tables: &str) {
        let file = self.directory.path().join("chatgate.toml");
        std::fs::write(file, self.at.config(DRAIN, tables)).unwrap();
    }

    /// Sends it a signal: `HUP`, `TERM`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let done = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(done.unwrap().success());
    }

    /// The most memory that it ever had, in bytes.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|peak| peak.split_whitespace().next());
        peak.and_then(|peak| peak.parse::<u64>().ok())
            .expect("a peak")
            << 10
    }

    /// How it ended, once it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Ends it and hands out everything it printed.
    pub fn end(mut self) -> String {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        self.log()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(
    stream: impl std::io::Read + Send + 'static,
    log: Arc<Mutex<String>>,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            *log.lock().unwrap() += &String::from_utf8_lossy(&line);
            line.clear();
        }
    })
}
