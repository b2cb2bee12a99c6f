//! `riposte replay`: recorded events against today's plugins.

use std::io::Write;

use clap::{Args, ValueEnum};
use http::Method;
use serde_json::{Map, Value, json};

use super::CommandError;
use super::client::Connection;
use super::events::{Filters, indent, list, print_json, text};

/// Hold recorded events against today's plugins, or react to them anew.
#[derive(Debug, Args)]
pub(super) struct Replay {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    filters: Filters,
    /// Events by number.
    seqs: Vec<i64>,
    /// React anew, instead of only telling what would be.
    #[arg(long)]
    apply: bool,
    /// The desired state that a dry run reads.
    #[arg(long, value_enum, default_value = "recorded")]
    base: Base,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Base {
    /// The commit that was read then.
    Recorded,
    /// The branch's head now.
    Head,
}

impl Replay {
    pub(super) async fn run(self, out: &mut impl Write) -> Result<(), CommandError> {
        let selection: Map<String, Value> =
            self.filters.given().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let request = json!({
            "selection": selection,
            "events": self.seqs,
            "mode": if self.apply { "apply" } else { "dry-run" },
            "base": match self.base { Base::Recorded => "recorded", Base::Head => "head" },
        });
        let answer = self.connection.ask(Method::POST, "/v1/replays", Some(&request)).await?;
        if self.apply {
            let location = answer.location.unwrap_or_default();
            if self.json {
                return print_json(out, &json!({ "location": location }));
            }
            writeln!(out, "the reactions are made; see {location}")?;
            return Ok(());
        }
        if self.json {
            return print_json(out, &answer.body);
        }
        for result in list(&answer.body, "results") {
            let (then, now) = (&result["then"], &result["now"]);
            writeln!(
                out,
                "event {}  {}  {}: then {}, now {}: {}",
                result["event"],
                text(result, "plugin"),
                text(result, "difference"),
                text(then, "outcome"),
                text(now, "outcome"),
                text(now, "reason")
            )?;
            if let Some(diff) = now["diff"].as_str() {
                indent(out, diff)?;
            }
        }
        Ok(())
    }
}
