//! `riposte mode`: let plugins commit, or no more, at once.

use std::io::Write;

use clap::{Args, ValueEnum};
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use super::CommandError;
use super::client::Connection;
use super::events::{list, text};

/// Switch plugins between `observe`, `propose` and `enforce` while the gateway runs.
#[derive(Debug, Args)]
pub(super) struct SwitchMode {
    /// What is done with their proposals from now on.
    mode: Mode,
    /// The plugins' names in the configuration.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    plugins: Vec<String>,
    /// Every plugin.
    #[arg(long)]
    all: bool,
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
    /// Open pull requests, on GitHub.
    Propose,
    /// Commit.
    Enforce,
}

impl SwitchMode {
    pub(super) async fn run(self, out: &mut impl Write) -> Result<(), CommandError> {
        let mode = match self.mode {
            Mode::Observe => "observe",
            Mode::Propose => "propose",
            Mode::Enforce => "enforce",
        };
        let plugins = if self.all { self.every_plugin().await? } else { self.plugins };
        let body = json!({ "mode": mode, "reason": self.reason });
        for plugin in plugins {
            let path = format!("/v1/plugins/{}/mode", utf8_percent_encode(&plugin, NON_ALPHANUMERIC));
            let plugin = self.connection.ask(Method::POST, &path, Some(&body)).await?.body;
            let (name, mode) = (text(&plugin, "name"), text(&plugin, "mode"));
            writeln!(
                out,
                "{name} is in mode {mode}; the configuration says {}",
                text(&plugin, "configuredMode")
            )?;
        }
        Ok(())
    }

    async fn every_plugin(&self) -> Result<Vec<String>, CommandError> {
        let body = self.connection.ask(Method::GET, "/v1/plugins", None).await?.body;
        Ok(list(&body, "plugins").iter().map(|plugin| text(plugin, "name").to_owned()).collect())
    }
}
