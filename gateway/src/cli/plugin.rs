//! `riposte plugin …`: what an author of a plugin needs, from an empty folder to a measured plugin.
//!
//! Everything runs on the engine, the look-ups and the checks of `serve`; only the repository and the
//! journal are made on the spot. Nothing here talks to a gateway.

mod bench;
mod build;
mod case;
mod folder;
mod inspect;
mod new;
mod run;
mod scene;
mod test;

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;

use clap::{Args, Subcommand};

use super::{CommandError, engine};
use crate::dispatch::LoadError;

/// Write, test and measure plugins.
#[derive(Debug, Args)]
pub(super) struct Plugin {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the folder of a new plugin.
    New(new::New),
    /// Build a plugin's folder into the file that the gateway loads.
    Build(build::Build),
    /// Run a plugin's cases and compare what it decides with what is expected.
    Test(test::Test),
    /// Let a plugin decide on one event.
    Run(run::Run),
    /// Tell what a file is, what it may call and how it is configured.
    Inspect(inspect::Inspect),
    /// Measure a plugin against its limits, and the gateway against wasmtime alone.
    Bench(bench::Bench),
}

impl Plugin {
    pub(super) async fn run(self, out: &mut impl Write) -> Result<(), CommandError> {
        match self.command {
            Command::New(command) => command.run(out),
            Command::Build(command) => command.run(out),
            Command::Test(command) => Box::pin(command.run(out)).await,
            Command::Run(command) => Box::pin(command.run(out)).await,
            Command::Inspect(command) => command.run(out),
            Command::Bench(command) => Box::pin(command.run(out)).await,
        }
    }
}

/// An error whose text says what to do; the command could not run.
fn cannot(reason: impl Into<String>) -> CommandError {
    CommandError::Failed(reason.into().into())
}

/// The answer is no.
fn no(reason: impl Into<String>) -> CommandError {
    CommandError::Negative(reason.into())
}

/// Why a plugin was not loaded: the command ran, and that is its answer.
fn not_loaded(error: &LoadError) -> CommandError {
    no(error.to_string())
}

fn read(path: &Path) -> Result<Vec<u8>, CommandError> {
    std::fs::read(path).map_err(|error| cannot(format!("cannot read {}: {error}", path.display())))
}

/// A number with its thousands apart.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What was used of a limit, with its share in percent.
fn of_limit(used: u64, limit: u64, unit: &str) -> String {
    let mut text = format!("{} of {}{unit}", thousands(used), thousands(limit));
    let hundredths = u128::from(used) * 10_000 / u128::from(limit.max(1));
    let _a_string_takes_all = write!(text, " ({}.{:02} %)", hundredths / 100, hundredths % 100).is_err();
    text
}

#[cfg(test)]
mod tests {
    use super::{of_limit, thousands};

    #[test]
    fn numbers_are_readable() {
        for (number, expected) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), expected);
        }
        assert_eq!(of_limit(61_234, 250_000_000, ""), "61,234 of 250,000,000 (0.02 %)");
        assert_eq!(of_limit(1, 0, " bytes"), "1 of 0 bytes (100.00 %)");
    }
}
