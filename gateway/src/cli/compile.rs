//! `riposte compile`: what the gateway starts to compile a plugin, in a process with limits of its own.
//!
//! Nobody calls it by hand: a file comes in on standard input, its code goes out on standard output.

use std::io::Write;

use clap::Args;

use super::CommandError;
use crate::dispatch::{CompileError, compile_within};

/// Compile a plugin for the gateway that has started this process.
#[derive(Debug, Args)]
pub(super) struct Compile {
    /// Time of a processor, in seconds.
    #[arg(long)]
    cpu_s: u64,
    /// Address space, in bytes.
    #[arg(long)]
    memory_bytes: u64,
}

impl Compile {
    pub(super) fn run(self, out: &mut impl Write) -> Result<(), CommandError> {
        let compiled = compile_within(self.cpu_s, self.memory_bytes, &mut std::io::stdin().lock(), out);
        compiled.map_err(|error| match error {
            CompileError::Invalid(reason) => CommandError::Negative(reason),
            other => other.into(),
        })
    }
}
