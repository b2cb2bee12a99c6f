//! `riposte plugin run`: one event, and all that the plugin makes of it.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::folder::{Subject, read_yaml};
use super::scene::{Scene, Verdict};
use super::{engine, no, of_limit, read};
use crate::cli::CommandError;
use crate::cli::events::indent;
use crate::dispatch::Limits;
use crate::model::outcome::OutcomeKind;
use crate::model::patch::{Change, Decision};
use crate::model::text::inert;

/// Let a plugin decide on one event.
#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    subject: Subject,
    /// A Falco alert or a structured CloudEvent, as JSON.
    #[arg(short, long, value_name = "FILE")]
    event: PathBuf,
    /// A folder with the manifests of the desired state, as they lie there.
    #[arg(long, value_name = "DIR")]
    repo: Option<PathBuf>,
    /// A YAML file that replaces `config` of `plugin.yaml`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Run {
    pub(super) async fn run(self, out: &mut impl Write) -> Result<(), CommandError> {
        let event = read(&self.event)?;
        let config = self.config.as_deref().map(read_yaml).transpose()?;
        let plugin = self.subject.load(&engine()?, config)?;
        let scene = Scene::open(plugin, event, self.repo.as_deref()).await?;
        let verdict = scene.verdict().await?;
        for (path, reason) in scene.snapshot.skipped() {
            writeln!(out, "note      {} is left out: {reason}", inert(path))?;
        }
        if !self.subject.has_settings() {
            writeln!(out, "note      there is no plugin.yaml, so the plugin has no grants")?;
        }
        let limits = scene.plugin().limits().clone();
        scene.close().await?;
        show(out, &verdict, &limits)?;
        if let Some(difference) = verdict.difference() {
            return Err(no(format!("the plugin is not deterministic: {difference}")));
        }
        match verdict.preview.outcome {
            OutcomeKind::Failed => Err(no("the plugin came to no decision")),
            OutcomeKind::Refused => Err(no("the gateway would refuse the proposal")),
            _ => Ok(()),
        }
    }
}

fn show(out: &mut impl Write, verdict: &Verdict, limits: &Limits) -> Result<(), CommandError> {
    let (trial, preview) = (&verdict.trial, &verdict.preview);
    if !verdict.subscribed {
        writeln!(out, "note      no subscription matches the event: the gateway would not ask the plugin")?;
    }
    for line in &trial.log {
        writeln!(out, "log       {:<5} {}", line.level, inert(&line.message))?;
    }
    if let Some(Decision::Propose(changes)) = &preview.decision {
        writeln!(out, "proposal  {}", inert(&changes.title))?;
        writeln!(out, "because   {}", inert(&changes.reason))?;
        for patch in &changes.patches {
            let change = match &patch.change {
                Change::JsonPatch(operations) => format!("JSON Patch {operations}"),
                Change::MergePatch(object) => format!("merge patch {object}"),
                Change::StrategicMergePatch(object) => format!("strategic merge patch {object}"),
                Change::Create { manifest, beside } => format!("create beside {beside} {manifest}"),
                Change::Delete {} => "delete".to_owned(),
            };
            writeln!(out, "patch     {}: {}", inert(&patch.target.to_string()), inert(&change))?;
        }
    }
    writeln!(out, "outcome   {}: {}", preview.outcome.as_str(), inert(&preview.reason))?;
    if let Some(fuel) = trial.fuel {
        writeln!(out, "fuel      {}", of_limit(fuel, limits.fuel, ""))?;
    }
    writeln!(
        out,
        "memory    {}",
        of_limit(trial.memory_bytes as u64, limits.memory_bytes_max as u64, " bytes")
    )?;
    writeln!(out, "time      {:.3} ms", verdict.took.as_secs_f64() * 1e3)?;
    if let Some(diff) = &preview.diff {
        writeln!(out)?;
        indent(out, diff)?;
    }
    Ok(())
}
