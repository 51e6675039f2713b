//! The table: medians of what was measured, and of the ratios within the rounds. A ratio
//! of 1 is as good as the other proxy, below is worse, whatever is measured.

use std::time::Duration;

use crate::Cpus;
use crate::load::Round;

/// Prints the head.
pub fn head(other: &str) {
    println!(
        "{:32}{:^26}{:^34}{:^24}",
        "", "requests/s", "CPU µs/request", "p99 ms"
    );
    println!(
        "{:32}{other:>8} chatgate  ratio  {other:>8} chatgate  ratio (rounds)     {other:>8} chatgate ratio",
        ""
    );
}

/// Prints one pair.
pub fn pair(name: &str, rounds: &[(Round, Round)]) {
    let column = |what: fn(&Round) -> f64, better: fn(f64, f64) -> f64| Column {
        other: median(rounds.iter().map(|(other, _)| what(other))),
        ours: median(rounds.iter().map(|(_, ours)| what(ours))),
        ratios: sorted(
            rounds
                .iter()
                .map(|(other, ours)| better(what(other), what(ours))),
        ),
    };
    let rate = column(|round| round.rate, |other, ours| ours / other);
    let cpu = column(|round| round.cpu, |other, ours| other / ours);
    let p99 = column(|round| round.p99, |other, ours| other / ours);
    let (worst, best) = (cpu.ratios.first(), cpu.ratios.last());
    println!(
        "{name:32}{:8.0} {:8.0} {:6.3}  {:8.2} {:8.2} {:6.3} ({:.2}–{:.2})  {:8.2} {:8.2} {:5.2}",
        rate.other,
        rate.ours,
        middle(&rate.ratios),
        cpu.other,
        cpu.ours,
        middle(&cpu.ratios),
        worst.unwrap_or(&f64::NAN),
        best.unwrap_or(&f64::NAN),
        p99.other,
        p99.ours,
        middle(&p99.ratios),
    );
}

/// What one thing came to.
struct Column {
    other: f64,
    ours: f64,
    ratios: Vec<f64>,
}

/// Prints what an idle socket costs.
pub fn footprint(other: &str, theirs: f64, ours: f64) {
    let kib = |bytes: f64| bytes / 1024.0;
    println!(
        "{:32}{:8.1} KiB of memory with {other}, {:.1} KiB with chatgate: {:+.1} KiB",
        "an idle socket",
        kib(theirs),
        kib(ours),
        kib(ours - theirs)
    );
}

/// Says how it was measured.
pub fn end(cpus: &Cpus, rounds: u64, span: Duration) {
    let pinned = if cpus.proxy.is_some() {
        "a processor of its own for the proxy, another for load and backend"
    } else {
        "processors shared by all"
    };
    println!(
        "\nmedians of {rounds} rounds of {} s, alternating; one worker each; {pinned}",
        span.as_secs()
    );
    println!("ratios: 1 is as good as the other, below is worse\n");
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    middle(&sorted(values))
}

fn middle(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}
