//! The load: `wrk` with requests that were written in advance.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::Failure;
use crate::process::{Process, pinned};

/// How the load is put on.
#[derive(Clone, Copy, Debug)]
pub enum Load {
    /// 32 connections, each of which sends as soon as it is answered: all that a proxy can do.
    Full,
    /// 64 connections, each of which rests for 6 ms: some 9,000 requests a second, the same
    /// for all proxies. Which of them is faster does not change how often sleepers are woken.
    Steady,
}

impl Load {
    const fn connections(self) -> &'static str {
        match self {
            Self::Full => "32",
            Self::Steady => "64",
        }
    }

    const fn rest(self) -> &'static str {
        match self {
            Self::Full => "",
            Self::Steady => "delay = function() return 6 end",
        }
    }
}

/// What one round says of a proxy.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// Requests per second.
    pub rate: f64,
    /// The proxy's processor time per request, in microseconds.
    pub cpu: f64,
    /// The slowest hundredth takes longer than this, in milliseconds.
    pub p99: f64,
    /// Requests answered.
    pub requests: u64,
}

/// The numbers that a load generator ends with.
pub fn result(text: &str) -> Vec<f64> {
    let mut lines = text.lines();
    let numbers = lines.find_map(|line| line.strip_prefix("RESULT "));
    let numbers = numbers.unwrap_or_default().split(' ');
    numbers.filter_map(|number| number.parse().ok()).collect()
}

/// Writes the script that sends these requests in turn.
pub fn script(file: &Path, load: Load, requests: &[String]) -> Result<(), Failure> {
    let lines: Vec<String> = requests.iter().map(|request| quoted(request)).collect();
    let script = format!(
        r#"local requests = {{
{}
}}
local n = 0
request = function()
  n = n % #requests + 1
  return requests[n]
end
{}
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d %d\n", summary.requests, summary.duration,
    latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
"#,
        lines.join(",\n"),
        load.rest()
    );
    Ok(fs::write(file, script)?)
}

/// Loads one proxy for a while.
pub fn round(
    cpu: Option<usize>,
    proxy: &Process,
    load: Load,
    script: &Path,
    span: Duration,
) -> Result<Round, Failure> {
    let before = proxy.cpu()?;
    let output = pinned(cpu, "wrk")
        .args(["-t1", "-c", load.connections(), "-d"])
        .arg(format!("{}s", span.as_secs()))
        .arg("-s")
        .arg(script)
        .arg(format!("http://{}/", proxy.address))
        .output()
        .map_err(|error| format!("wrk cannot be started ({error}): see `.ci/setup bench`"))?;
    let used = proxy.cpu()? - before;
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers = result(&text);
    let [requests, micros, p99, errors] = numbers[..] else {
        return Err(format!("wrk said: {text}").into());
    };
    if errors > 0.0 || requests == 0.0 {
        return Err(format!("{errors} of {requests} requests failed").into());
    }
    Ok(Round {
        rate: requests / micros * 1e6,
        cpu: used.as_secs_f64() * 1e6 / requests,
        p99: p99 / 1e3,
        requests: requests as u64,
    })
}

fn quoted(text: &str) -> String {
    let escaped = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\r', "\\r")
        .replace('\n', "\\n");
    format!("  \"{escaped}\"")
}
