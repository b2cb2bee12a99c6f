//! `riposte rules …`: rules of other tools become the configuration of `bundled:rules`.
//!
//! Nothing here runs a rule or talks to a gateway: what is printed is for a person to read and paste.

mod action;
mod entry;
mod import;
mod matching;
mod talon;

use std::io::Write;

use clap::{Args, Subcommand};

use super::CommandError;

/// Take over rules of other tools.
#[derive(Debug, Args)]
pub(super) struct Rules {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Turn Falco Talon's rule files into an entry of `plugins`.
    Import(import::Import),
}

impl Rules {
    pub(super) fn run(self, out: &mut impl Write) -> Result<(), CommandError> {
        match self.command {
            Command::Import(command) => command.run(out),
        }
    }
}
