//! chatgate beside plain pingora, on this machine, in one run.
//!
//! Both proxies run with one worker on one processor; the load generator (`wrk`)
//! and the backend share another. Rounds of both alternate, so that what else the
//! machine does meets both; what is printed are medians, of what was measured and of the
//! ratios of neighbours. Every path is driven at full speed, and then at a load that is
//! the same for both. Before any clock runs, every path is shown to do its
//! work, and afterwards chatgate's own metrics must account for every request.
//!
//! `cargo bench --bench gateway [PART OF A NAME]`
//!
//! | variable | what |
//! |---|---|
//! | `BENCH_ROUNDS`, `BENCH_SECONDS` | rounds of each pair, and how long each takes |
//! | `BENCH_CHATGATE` | another chatgate than the one that was just built |
//! | `BENCH_AGAINST` | a second chatgate to compare with, in place of plain pingora |

mod backend;
mod live;
mod load;
mod paths;
mod plain;
mod process;
mod report;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use live::Live;
use load::{Load, Round};
use paths::{Client, Pair, pairs};
use process::{Process, free};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Whatever ends the run.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

const WARM_UP: Duration = Duration::from_secs(1);

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["backend", address] => Ok(backend::serve(address.parse()?)?),
        ["plain", address, backend] => {
            plain::serve(address.parse()?, backend.parse()?);
            Ok(())
        }
        ["live", kind, address, seconds] => live::client(kind, address.parse()?, seconds.parse()?),
        ["idle", address] => live::idle(address.parse()?),
        // `cargo bench` says so; `cargo test --benches` has no time for this.
        _ if words.contains(&"--bench") => {
            compare(words.iter().find(|word| !word.starts_with('-')).copied())
        }
        _ => Ok(()),
    }
}

fn compare(filter: Option<&str>) -> Result<(), Failure> {
    let number = |name, usual| {
        let set = std::env::var(name).ok();
        set.map_or(Ok(usual), |text| text.parse::<u64>())
    };
    let rounds = number("BENCH_ROUNDS", 5)?;
    let span = Duration::from_secs(number("BENCH_SECONDS", 2)?);
    let directory = tempfile::tempdir()?;
    let cpus = Cpus::of_this_machine();

    let backend_address = free()?;
    let at = backend_address.to_string();
    let _backend = Process::again(cpus.load, backend_address, &["backend", &at])?;
    let own = env!("CARGO_BIN_EXE_chatgate");
    let chatgate = std::env::var("BENCH_CHATGATE").unwrap_or_else(|_| own.into());
    let (chatgate, metrics) = start_chatgate(&cpus, directory.path(), &chatgate, backend_address)?;
    let (other, name) = match std::env::var("BENCH_AGAINST") {
        Ok(path) => {
            let (other, _) = start_chatgate(&cpus, directory.path(), &path, backend_address)?;
            paths::prove(&Client(other.address))?;
            (other, "other")
        }
        Err(_) => {
            let address = free()?;
            let arguments = ["plain", &address.to_string(), &at];
            (Process::again(cpus.proxy, address, &arguments)?, "plain")
        }
    };
    paths::prove(&Client(chatgate.address))?;

    report::head(name);
    for pair in pairs() {
        if filter.is_some_and(|filter| !pair.name.contains(filter)) {
            continue;
        }
        for (load, name) in [
            (Load::Full, pair.name),
            (Load::Steady, "  at the same load"),
        ] {
            let script = directory.path().join("requests.lua");
            load::script(&script, load, &pair.requests)?;
            let run = |proxy: &Process, span| load::round(cpus.load, proxy, load, &script, span);
            run(&other, WARM_UP)?;
            let before = metrics.counted(&pair)?;
            let warm_up = run(&chatgate, WARM_UP)?;
            let both = alternate(rounds, || run(&other, span), || run(&chatgate, span))?;
            let grown = metrics.counted(&pair)? - before;
            let answered = warm_up.requests + answered(&both);
            if grown < answered {
                let Pair { name, verdict, .. } = pair;
                return Err(
                    format!("{name}: {grown} of {answered} requests were {verdict}").into(),
                );
            }
            report::pair(name, &both);
        }
    }
    for kind in [Live::Socket, Live::Events] {
        if filter.is_some_and(|filter| !kind.name().contains(filter)) {
            continue;
        }
        let run = |proxy: &Process| live::round(cpus.load, kind, proxy, span);
        run(&other)?;
        let before = metrics.judged(kind)?;
        let warm_up = run(&chatgate)?;
        let both = alternate(rounds, || run(&other), || run(&chatgate))?;
        let answered = warm_up.requests + answered(&both);
        let grown = metrics.judged(kind)? - before;
        if grown < answered {
            return Err(format!("{kind:?}: {grown} of {answered} messages were judged").into());
        }
        report::pair(kind.name(), &both);
    }
    if filter.is_none_or(|filter| "idle sockets".contains(filter)) {
        let plain = live::footprint(cpus.load, &other)?;
        let ours = live::footprint(cpus.load, &chatgate)?;
        report::footprint(name, plain, ours);
    }
    report::end(&cpus, rounds, span);
    Ok(())
}

/// Rounds of both proxies, one beside the other, each first every other time.
fn alternate(
    rounds: u64,
    other: impl Fn() -> Result<Round, Failure>,
    ours: impl Fn() -> Result<Round, Failure>,
) -> Result<Vec<(Round, Round)>, Failure> {
    let round = |number| match number % 2 {
        0 => Ok((other()?, ours()?)),
        _ => ours().and_then(|ours| Ok((other()?, ours))),
    };
    (0..rounds).map(round).collect()
}

/// How many requests chatgate answered.
fn answered(rounds: &[(Round, Round)]) -> u64 {
    rounds.iter().map(|(_, ours)| ours.requests).sum()
}

/// Starts a chatgate; gives its metrics, too.
fn start_chatgate(
    cpus: &Cpus,
    directory: &Path,
    program: &str,
    backend: SocketAddr,
) -> Result<(Process, paths::Metrics), Failure> {
    let (public, admin) = (free()?, free()?);
    let file = directory.join(format!("{}.toml", public.port()));
    std::fs::write(&file, paths::configuration(public, admin, backend))?;
    let checked = Command::new(program).arg("check").arg(&file).output()?;
    if !checked.status.success() {
        return Err(String::from_utf8_lossy(&checked.stderr).into());
    }
    let arguments = ["run", &file.to_string_lossy()];
    let process = Process::start(cpus.proxy, public, program, &arguments)?;
    Ok((process, paths::Metrics(Client(admin))))
}

/// Which processor does what; anything may run anywhere where there is no choice.
pub struct Cpus {
    /// The proxies', one of which rests while the other works.
    pub proxy: Option<usize>,
    /// That of load generator and backend.
    pub load: Option<usize>,
}

impl Cpus {
    fn of_this_machine() -> Self {
        let several = std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1);
        let taskset = Command::new("taskset").arg("-V").output();
        let pin = several && taskset.is_ok();
        Self {
            proxy: pin.then_some(0),
            load: pin.then_some(1),
        }
    }
}
