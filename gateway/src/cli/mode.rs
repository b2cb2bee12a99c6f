//! `riposte mode`: let a plugin commit, or no more, at once.

use std::io::Write;

use clap::{Args, ValueEnum};
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use super::CommandError;
use super::client::Connection;
use super::events::text;

/// Switch a plugin between `observe` and `enforce` while the gateway runs.
#[derive(Debug, Args)]
pub(super) struct SwitchMode {
    /// The plugin's name in the configuration.
    plugin: String,
    /// What is done with its proposals from now on.
    mode: Mode,
    /// Why, for the journal.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mode {
    /// Record what would have been committed.
    Observe,
    /// Commit.
    Enforce,
}

impl SwitchMode {
    pub(super) async fn run(self, out: &mut impl Write) -> Result<(), CommandError> {
        let mode = match self.mode {
            Mode::Observe => "observe",
            Mode::Enforce => "enforce",
        };
        let path = format!("/v1/plugins/{}/mode", utf8_percent_encode(&self.plugin, NON_ALPHANUMERIC));
        let body = json!({ "mode": mode, "reason": self.reason });
        let plugin = self.connection.ask(Method::POST, &path, Some(&body)).await?.body;
        let (name, mode) = (text(&plugin, "name"), text(&plugin, "mode"));
        writeln!(
            out,
            "{name} is in mode {mode}; the configuration says {}",
            text(&plugin, "configuredMode")
        )?;
        Ok(())
    }
}
