//! The processes that take part, and what they have used of the processor.

use std::ffi::OsStr;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use std::{fs, io};

use crate::Failure;

/// Processor time in `/proc/PID/stat` is in hundredths of a second on every Linux
/// (`USER_HZ`, proc(5)).
const TICK: Duration = Duration::from_millis(10);

/// A process that ends with the value.
pub struct Process {
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
}

impl Process {
    /// Starts this very program in another mode.
    pub fn again(
        cpu: Option<usize>,
        address: SocketAddr,
        arguments: &[&str],
    ) -> Result<Self, Failure> {
        Self::start(cpu, address, std::env::current_exe()?, arguments)
    }

    /// Starts a program and waits until it listens.
    pub fn start(
        cpu: Option<usize>,
        address: SocketAddr,
        program: impl AsRef<OsStr>,
        arguments: &[&str],
    ) -> Result<Self, Failure> {
        let child = pinned(cpu, program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut process = Self { address, child };
        let patience = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(address).is_err() {
            if let Some(status) = process.child.try_wait()? {
                return Err(format!("{arguments:?} ended with {status}").into());
            }
            if Instant::now() > patience {
                return Err(format!("{arguments:?} does not listen on {address}").into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(process)
    }

    /// Processor time used so far, user and system, all threads.
    pub fn cpu(&self) -> Result<Duration, Failure> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The command's name may hold blanks; it ends with the last parenthesis.
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .map_or("", |(_, fields)| fields)
            .split_whitespace()
            .collect();
        let ticks = |field: usize| fields.get(field).and_then(|text| text.parse::<u32>().ok());
        match (ticks(11), ticks(12)) {
            (Some(user), Some(system)) => Ok(TICK * (user + system)),
            _ => Err("no processor time in /proc".into()),
        }
    }
}

impl Process {
    /// Resident memory in bytes.
    pub fn resident(&self) -> Result<u64, Failure> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.map(|kib| kib << 10)
            .ok_or_else(|| "no resident memory in /proc".into())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command on one processor.
pub fn pinned(cpu: Option<usize>, program: impl AsRef<OsStr>) -> Command {
    let Some(cpu) = cpu else {
        return Command::new(program);
    };
    let mut command = Command::new("taskset");
    command.args(["-c", &cpu.to_string()]).arg(program);
    command
}

/// A port that nobody listens on.
pub fn free() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}
