//! `riposte revert`: take back what a reaction committed.

use std::io::Write;
use std::time::Duration;

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::CommandError;
use super::client::Connection;
use super::events::text;
use crate::clock;

/// How often the gateway is asked whether the revert has ended.
const ASK_MS: u64 = 250;

/// Take back what a reaction committed, by a commit of its own.
///
/// The status is 0 when it is taken back, or begun without --wait; 1 when the gateway says no, or it has
/// not ended in time.
#[derive(Debug, Args)]
pub(super) struct Revert {
    /// The reaction's number, as `riposte events show` tells it.
    reaction: i64,
    /// Why, for the journal and the commit.
    #[arg(long)]
    reason: String,
    /// Wait until it has ended.
    #[arg(long)]
    wait: bool,
    /// How long to wait at most, in seconds.
    #[arg(long, default_value_t = 300, requires = "wait")]
    timeout_s: u32,
    #[command(flatten)]
    connection: Connection,
}

impl Revert {
    pub(super) async fn run(self, out: &mut impl Write) -> Result<(), CommandError> {
        let path = format!("/v1/reactions/{}/revert", self.reaction);
        let body = json!({ "reason": self.reason });
        let mut revert = self.connection.ask(Method::POST, &path, Some(&body)).await?.body;
        writeln!(out, "reaction {} takes back reaction {}", revert["id"], self.reaction)?;
        if self.wait {
            revert = self.ended(revert, out).await?;
        }
        match revert["outcome"].as_str() {
            Some("committed") => writeln!(out, "committed {}", text(&revert["commit"], "sha"))?,
            Some("unchanged") => writeln!(out, "unchanged: {}", text(&revert, "reason"))?,
            Some(outcome) => {
                return Err(CommandError::Negative(format!("{outcome}: {}", text(&revert, "reason"))));
            }
            None => {}
        }
        Ok(())
    }

    /// The revert once it has ended.
    async fn ended(&self, mut revert: Value, out: &mut impl Write) -> Result<Value, CommandError> {
        let path = format!("/v1/reactions/{}", revert["id"]);
        let until_us = clock::now_us() + i64::from(self.timeout_s) * 1_000_000;
        let mut told = String::new();
        while revert["outcome"].is_null() {
            if clock::now_us() > until_us {
                let (number, seconds) = (&revert["id"], self.timeout_s);
                let reason = format!("reaction {number} has not ended within {seconds} s; it goes on");
                return Err(CommandError::Negative(reason));
            }
            let waits = text(&revert, "waitsBecause");
            if waits != "-" && waits != told {
                writeln!(out, "waits: {waits}")?;
                told = waits;
            }
            tokio::time::sleep(Duration::from_millis(ASK_MS)).await;
            revert = self.connection.ask(Method::GET, &path, None).await?.body;
        }
        Ok(revert)
    }
}
