//! What the benchmarks share: times of sides that take turns in one run, and ratios of them.
//!
//! Nothing is asserted here: it prints, and a person reads. No benchmark uses all of it.

#![allow(dead_code, reason = "each benchmark is a program of its own")]

use std::error::Error;
use std::io::Write;
use std::time::{Duration, Instant};

/// What a benchmark comes to.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// Repeats rounds for so long; the first one warms up.
pub(crate) fn in_turns(long: Duration, mut round: impl FnMut(bool) -> Outcome<()>) -> Outcome<()> {
    round(false)?;
    let began = Instant::now();
    while began.elapsed() < long {
        round(true)?;
    }
    Ok(())
}

/// How long a run may take, in seconds; Cargo adds `--bench` to what it is given.
pub(crate) fn seconds(unless_told: u64) -> Duration {
    let told = std::env::args().find_map(|argument| argument.parse().ok());
    Duration::from_secs(told.unwrap_or(unless_told))
}

/// The times of one side, in microseconds.
#[derive(Default)]
pub(crate) struct Times(Vec<f64>);

impl Times {
    /// Notes one time.
    pub(crate) fn push(&mut self, time: Duration) {
        self.0.push(time.as_secs_f64() * 1e6);
    }

    /// From the shortest to the longest.
    pub(crate) fn sorted(mut self) -> Self {
        self.0.sort_unstable_by(f64::total_cmp);
        self
    }

    /// The time that so many of a hundred did not exceed.
    pub(crate) fn at(&self, percent: usize) -> f64 {
        let at = (self.0.len() * percent / 100).min(self.0.len().saturating_sub(1));
        self.0.get(at).copied().unwrap_or(f64::NAN)
    }

    /// The time that half of them did not exceed.
    pub(crate) fn p50(&self) -> f64 {
        self.at(50)
    }

    /// Prints the two that matter.
    pub(crate) fn show(&self, what: &str) -> Outcome<()> {
        say(&format!("  {what:<44} p50 {:>8.1} µs   p99 {:>8.1} µs", self.p50(), self.at(99)))
    }
}

/// Prints a ratio beside its bar.
pub(crate) fn ratio(what: &str, ratio: f64, bar: &str) -> Outcome<()> {
    say(&format!("  {what:<44} {ratio:>8.2}         ({bar})"))
}

/// Prints a line.
pub(crate) fn say(line: &str) -> Outcome<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
