//! `riposte queue`: what waits to be committed, and what for.

use std::io::Write;

use clap::Args;
use http::Method;

use super::CommandError;
use super::client::Connection;
use super::events::{list, text};

/// Show the proposals that wait to be committed, and what they wait for.
#[derive(Debug, Args)]
pub(super) struct Queue {
    #[command(flatten)]
    connection: Connection,
}

impl Queue {
    pub(super) async fn run(self, out: &mut impl Write) -> Result<(), CommandError> {
        let queue = self.connection.ask(Method::GET, "/v1/queue", None).await?.body;
        match queue["waiting"].as_i64().unwrap_or_default() {
            0 => writeln!(out, "nothing waits")?,
            waiting => writeln!(out, "{waiting} waiting since {}", text(&queue, "oldest"))?,
        }
        for plugin in list(&queue, "plugins") {
            let (name, mode, since) = (text(plugin, "plugin"), text(plugin, "mode"), text(plugin, "oldest"));
            writeln!(out, "  {} of {name} ({mode}) since {since}", plugin["waiting"])?;
        }
        if queue["closes"].is_string() {
            writeln!(out, "committed at {}, if nothing more comes", text(&queue, "closes"))?;
        }
        if queue["held"].is_object() {
            let held = &queue["held"];
            writeln!(out, "held until {}: {}", text(held, "until"), text(held, "reason"))?;
        }
        if queue["budget"].is_object() {
            let (minute, hour) = (&queue["budget"]["minute"], &queue["budget"]["hour"]);
            writeln!(
                out,
                "calls left: {} of {} in this minute, {} of {} in this hour",
                minute["left"], minute["most"], hour["left"], hour["most"]
            )?;
        }
        Ok(())
    }
}
