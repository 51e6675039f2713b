//! The table: medians and their ratios. A ratio of 1 is as good as the other proxy,
//! below is worse, whatever is measured.

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
    let [(a_rate, b_rate), (a_cpu, b_cpu), (a_p99, b_p99)] =
        [|r: &Round| r.rate, |r: &Round| r.cpu, |r: &Round| r.p99].map(|what| {
            let other = median(rounds.iter().map(|(other, _)| what(other)));
            let ours = median(rounds.iter().map(|(_, ours)| what(ours)));
            (other, ours)
        });
    let each = rounds.iter().map(|(other, ours)| other.cpu / ours.cpu);
    let (worst, best) = each.fold((f64::MAX, f64::MIN), |(worst, best), ratio| {
        (worst.min(ratio), best.max(ratio))
    });
    println!(
        "{name:32}{a_rate:8.0} {b_rate:8.0} {:6.3}  {a_cpu:8.2} {b_cpu:8.2} {:6.3} ({worst:.2}–{best:.2})  {a_p99:8.2} {b_p99:8.2} {:5.2}",
        b_rate / a_rate,
        a_cpu / b_cpu,
        a_p99 / b_p99,
    );
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
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
