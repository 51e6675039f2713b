//! The gateway: in this process, with a clock that is moved by hand, or as a process of its own.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

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
    fn config(&self, tables: &str) -> String {
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
drain_timeout = "1s"
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

    fn wait(&self) {
        for address in [self.plain, self.tls, self.admin] {
            eventually("the gateway listens", || TcpStream::connect(address).ok());
        }
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

/// `chatgate run`, as its own process; it ends with the value.
pub struct Process {
    /// Where it listens.
    pub at: Addresses,
    child: Child,
    log: Arc<Mutex<String>>,
    readers: Vec<thread::JoinHandle<()>>,
    _directory: tempfile::TempDir,
}

impl Process {
    /// Starts it, with a test's own tables and a log of everything as JSON.
    pub fn start(tables: &str) -> Self {
        let at = Addresses::free();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("chatgate.toml");
        let log_table = "[log]\nformat = \"json\"\nlevel = \"trace\"\n";
        std::fs::write(&file, at.config(&format!("{log_table}{tables}"))).unwrap();
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
            _directory: directory,
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
