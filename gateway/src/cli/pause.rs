//! `riposte pause` and `riposte resume`: commit nothing, and go on again.

use std::io::Write;

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::CommandError;
use super::client::Connection;
use super::events::{list, text};

/// Commit nothing more, for any plugin, until it is resumed.
#[derive(Debug, Args)]
pub(super) struct Pause {
    /// Why, for the journal.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    connection: Connection,
}

/// Go on after a pause: what waits is committed.
#[derive(Debug, Args)]
pub(super) struct Resume {
    /// Why, for the journal.
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

impl Pause {
    pub(super) async fn run(self, out: &mut impl Write) -> Result<(), CommandError> {
        let body = json!({ "reason": self.reason });
        let state = self.connection.ask(Method::POST, "/v1/pause", Some(&body)).await?.body;
        writeln!(out, "{}", said(&state))?;
        Ok(())
    }
}

impl Resume {
    /// # Errors
    /// When something else pauses the gateway still.
    pub(super) async fn run(self, out: &mut impl Write) -> Result<(), CommandError> {
        let body = json!({ "reason": self.reason });
        let state = self.connection.ask(Method::POST, "/v1/resume", Some(&body)).await?.body;
        if state["paused"] == true {
            return Err(CommandError::Negative(format!("still {}", said(&state))));
        }
        writeln!(out, "{}", said(&state))?;
        Ok(())
    }
}

fn said(state: &Value) -> String {
    let pauses = list(state, "pauses").iter();
    let pauses: Vec<String> = pauses
        .map(|pause| {
            let what = match text(pause, "by").as_str() {
                "file" => "the file .riposte-pause in the repository".to_owned(),
                "api" => "a command".to_owned(),
                other => other.to_owned(),
            };
            format!("by {what} since {}: {}", text(pause, "since"), text(pause, "reason"))
        })
        .collect();
    if pauses.is_empty() { "not paused".to_owned() } else { format!("paused {}", pauses.join("; ")) }
}
