//! `riposte plugin test`: every case on the real engine, through the real checks, twice.

use std::io::Write;

use clap::Args;

use super::case::{Case, Ending};
use super::folder::Subject;
use super::scene::Scene;
use super::{engine, no, not_loaded};
use crate::cli::CommandError;
use crate::cli::events::indent;
use crate::dispatch::Plugin;
use crate::model::text::inert;

/// Run a plugin's cases and compare what it decides with what is expected.
#[derive(Debug, Args)]
pub(super) struct Test {
    #[command(flatten)]
    subject: Subject,
    /// Write what was found as what is expected.
    #[arg(long)]
    bless: bool,
    /// Cases by name; all of them unless told.
    #[arg(value_name = "CASE")]
    cases: Vec<String>,
}

/// How a case ended.
enum Outcome {
    Passed,
    Blessed,
    Failed { why: &'static str, shown: String },
}

impl Test {
    pub(super) async fn run(self, out: &mut impl Write) -> Result<(), CommandError> {
        let cases = Case::named(&self.subject.path, &self.cases)?;
        let plugin = self.subject.load(&engine()?, None)?;
        let mut failed = 0;
        for case in &cases {
            let (outcome, summary) = match self.one(&plugin, case).await {
                // One case that cannot be run does not hide the others.
                Err(CommandError::Negative(shown)) => {
                    (Outcome::Failed { why: "it cannot be run", shown }, "no decision".to_owned())
                }
                other => other?,
            };
            let word = match &outcome {
                Outcome::Passed => "ok",
                Outcome::Blessed => "blessed",
                Outcome::Failed { .. } => "FAILED",
            };
            writeln!(out, "{word:<7}  {}: {}", case.name, inert(&summary))?;
            if let Outcome::Failed { why, shown } = outcome {
                failed += 1;
                writeln!(out, "         {why}")?;
                indent(out, &shown)?;
            }
        }
        writeln!(out, "{} passed, {failed} failed", cases.len() - failed)?;
        match failed {
            0 => Ok(()),
            _ => Err(no(format!("{failed} of {} cases failed", cases.len()))),
        }
    }

    /// Runs a case; how it ended, and a line on what was found.
    async fn one(&self, plugin: &Plugin, case: &Case) -> Result<(Outcome, String), CommandError> {
        let plugin = match case.config()? {
            Some(config) => plugin.reconfigured(config).map_err(|error| not_loaded(&error))?,
            None => plugin.clone(),
        };
        let state = case.state();
        let scene = Scene::open(plugin, case.event()?, state.as_deref()).await?;
        let verdict = scene.verdict().await?;
        scene.close().await?;
        let found = Ending::of(&verdict)?;
        let summary = verdict.line_with_fuel();
        if let Some(difference) = verdict.difference() {
            let why = "it is not deterministic: two runs on the same event differ";
            return Ok((Outcome::Failed { why, shown: difference }, summary));
        }
        if self.bless {
            case.bless(&found)?;
            return Ok((Outcome::Blessed, summary));
        }
        let Some(expected) = case.expected()? else {
            let why = "nothing is expected yet; if this is right, run it again with --bless";
            return Ok((Outcome::Failed { why, shown: found.text()? }, summary));
        };
        Ok(match expected.difference(&found)? {
            None => (Outcome::Passed, summary),
            Some(shown) => {
                let why = "it is not what was expected; if it is right, run it again with --bless";
                (Outcome::Failed { why, shown }, summary)
            }
        })
    }
}
