//! An event meets a plugin, as in the gateway: decoded, recorded, decided, validated.
//!
//! The journal and the bare repository are made in a temporary folder and go with it. The plugin is
//! run twice, once to measure it and once by the pipeline: the same event must give the same decision
//! and the same fuel.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::{cannot, no, thousands};
use crate::cli::CommandError;
use crate::commit::Notifier;
use crate::dispatch::{Catalog, Plugin, Trial};
use crate::model::outcome::OutcomeKind;
use crate::model::patch::Decision;
use crate::pipeline::{Modes, Pipeline, Preview};
use crate::record;
use crate::record::{Journal, RecordedEvent};
use crate::repository::{Repository, git};
use crate::snapshot::Snapshot;

const BRANCH: &str = "main";
/// Files that may hold manifests, by their ends.
const MANIFESTS: [&str; 4] = [".yaml", ".yml", ".json", "Kustomization"];

/// All that an event and a plugin need to meet.
pub(super) struct Scene {
    pub(super) pipeline: Pipeline,
    pub(super) event: RecordedEvent,
    pub(super) snapshot: Arc<Snapshot>,
    plugin: Arc<Plugin>,
    journal: JoinHandle<()>,
    _dir: TempDir,
}

/// What became of the event.
#[derive(Debug)]
pub(super) struct Verdict {
    /// The first run, measured.
    pub(super) trial: Trial,
    /// How long the first run took.
    pub(super) took: Duration,
    /// The second run, with what the checks say.
    pub(super) preview: Preview,
    /// Whether a gateway would give the plugin this event.
    pub(super) subscribed: bool,
}

impl Scene {
    /// Records the event and takes a snapshot of the manifests below `state`; none without it.
    pub(super) async fn open(
        plugin: Plugin,
        event: Vec<u8>,
        state: Option<&Path>,
    ) -> Result<Self, CommandError> {
        let dir = tempfile::tempdir()?;
        let files = state.map(manifests).transpose()?.unwrap_or_default();
        let files: Vec<(&str, &str)> =
            files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let bare = dir.path().join("state.git");
        git::init_bare(&bare, BRANCH, &files, "The desired state")?;
        let repository = repository(&bare, dir.path())?;
        let snapshot = repository.snapshot_at_head().await?;
        let data = record::Config { dir: dir.path().join("data"), ..record::Config::default() };
        let (journal, task) = Journal::open(&data).await?;
        let catalog = Catalog::of(plugin);
        let modes = Modes::new(&journal, &catalog).await?;
        let notifier = Notifier::new(&[])?;
        let pipeline = Pipeline::new(journal, repository, catalog, modes, notifier, BRANCH);
        let event = admit(&pipeline, event).await?;
        let plugin = pipeline.catalog().plugins().first().cloned().ok_or_else(|| no("there is no plugin"))?;
        Ok(Self { pipeline, event, snapshot, plugin, journal: task, _dir: dir })
    }

    /// The plugin.
    pub(super) fn plugin(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    /// Lets the plugin decide, twice.
    pub(super) async fn verdict(&self) -> Result<Verdict, CommandError> {
        let (plugin, snapshot) = (Arc::clone(&self.plugin), Arc::clone(&self.snapshot));
        let event = self.event.event().clone();
        let measured = tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            let trial = plugin.trial(&event, snapshot);
            (trial, began.elapsed())
        });
        let (trial, took) = measured.await?;
        let snapshot = Arc::clone(&self.snapshot);
        let preview = self.pipeline.preview(&self.event, self.plugin.name(), snapshot).await;
        let preview = preview.ok_or_else(|| no("the plugin is gone"))?;
        let subscribed = self.plugin.matches(self.event.event());
        Ok(Verdict { trial, took, preview, subscribed })
    }

    /// Closes the journal and removes the folder.
    pub(super) async fn close(self) -> Result<(), CommandError> {
        drop(self.pipeline);
        Ok(self.journal.await?)
    }
}

impl Verdict {
    /// What it came to, on one line.
    pub(super) fn line(&self) -> String {
        let preview = &self.preview;
        match &preview.decision {
            _ if !self.subscribed => "no subscription matches the event".to_owned(),
            Some(Decision::Propose(changes)) if preview.outcome != OutcomeKind::Refused => {
                format!("propose: {}", changes.title)
            }
            Some(Decision::Ignore { reason }) => format!("ignore: {reason}"),
            _ => format!("{}: {}", preview.outcome.as_str(), preview.reason),
        }
    }

    /// The same, with the fuel it took.
    pub(super) fn line_with_fuel(&self) -> String {
        match self.trial.fuel {
            Some(fuel) => format!("{} ({} fuel)", self.line(), thousands(fuel)),
            None => self.line(),
        }
    }

    /// How the two runs differ; `None` when they agree.
    pub(super) fn difference(&self) -> Option<String> {
        let (first, second) = (&self.trial, &self.preview);
        let second_failed = second.outcome == OutcomeKind::Failed && second.decision.is_none();
        match (&first.answer, &second.decision) {
            (Ok(_), Some(_)) if second.fuel != first.fuel => {
                Some(format!("the first run used {:?} fuel, the second {:?}", first.fuel, second.fuel))
            }
            (Ok(one), Some(other)) if one == other => None,
            (Err(failure), None)
                if second_failed && second.reason == format!("{}: {failure}", failure.kind()) =>
            {
                None
            }
            (first, _) => Some(format!("the first run came to {first:?}, the second to {second:?}")),
        }
    }
}

/// Takes the event through the gateway's door: a structured CloudEvent, or a Falco alert alone.
async fn admit(pipeline: &Pipeline, body: Vec<u8>) -> Result<RecordedEvent, CommandError> {
    let parsed: Value =
        serde_json::from_slice(&body).map_err(|error| no(format!("the event is no JSON: {error}")))?;
    let structured = parsed.get("specversion").is_some();
    let media_type = if structured { "application/cloudevents+json" } else { "application/json" };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    let admitted = pipeline.admit(&headers, Bytes::from(body)).await;
    let admitted =
        admitted.map_err(|rejection| no(format!("the gateway would reject the event: {rejection}")))?;
    let seq = admitted.events.first().map(|event| event.seq).unwrap_or_default();
    let event = pipeline.journal.event(seq).await?;
    event.ok_or_else(|| no("the event was not recorded"))
}

fn repository(bare: &Path, dir: &Path) -> Result<Repository, CommandError> {
    let url =
        url::Url::from_file_path(bare).map_err(|()| cannot("the temporary folder has no absolute path"))?;
    let config = serde_json::from_value(json!({ "url": url.as_str(), "branch": BRANCH }))?;
    Ok(Repository::new(&config, dir)?)
}

/// The manifest files below a folder with their texts. Git's own folder and links are left out, as
/// the gateway leaves them out, and what is no text.
fn manifests(root: &Path) -> Result<Vec<(String, String)>, CommandError> {
    let failed =
        |path: &Path, error: std::io::Error| cannot(format!("cannot read {}: {error}", path.display()));
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let path = root.join(&folder);
        for entry in std::fs::read_dir(&path).map_err(|error| failed(&path, error))? {
            let entry = entry.map_err(|error| failed(&path, error))?;
            let kind = entry.file_type().map_err(|error| failed(&path, error))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let below = folder.join(&name);
            if kind.is_dir() && name != ".git" {
                folders.push(below);
            } else if kind.is_file() && MANIFESTS.iter().any(|end| name.ends_with(end)) {
                let bytes = super::read(&root.join(&below))?;
                let Ok(text) = String::from_utf8(bytes) else { continue };
                let parts = below.iter().filter_map(|part| part.to_str()).collect::<Vec<_>>();
                found.push((parts.join("/"), text));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::Failure;
    use crate::model::manifest::CommitSha;

    fn verdict(first: Result<Decision, Failure>, second: Preview) -> Verdict {
        let trial = Trial { answer: first, fuel: Some(7), memory_bytes: 0, log: Vec::new() };
        Verdict { trial, took: Duration::ZERO, preview: second, subscribed: true }
    }

    fn preview(decision: Option<Decision>, fuel: Option<u64>, outcome: OutcomeKind, reason: &str) -> Preview {
        Preview {
            plugin_digest: String::new(),
            config_digest: String::new(),
            base: CommitSha::parse(&"0".repeat(40)).unwrap(),
            decision,
            fuel,
            outcome,
            reason: reason.to_owned(),
            diff: None,
        }
    }

    #[test]
    fn two_runs_that_differ_are_told() {
        let ignore = |reason: &str| Decision::Ignore { reason: reason.to_owned() };
        let ignored = |reason, fuel| preview(Some(ignore(reason)), Some(fuel), OutcomeKind::Ignored, reason);
        let failed = |reason| preview(None, None, OutcomeKind::Failed, reason);
        let trap = || Err(Failure::Trap("wild".to_owned()));
        let table = [
            (Ok(ignore("a")), ignored("a", 7), None),
            (Ok(ignore("a")), ignored("a", 8), Some("the second Some(8)")),
            (Ok(ignore("a")), ignored("b", 7), Some("\"b\"")),
            (Ok(ignore("a")), failed("trap: wild"), Some("trap: wild")),
            (trap(), failed("trap: wild"), None),
            (trap(), failed("trap: wilder"), Some("wilder")),
            (trap(), ignored("a", 7), Some("Trap(\"wild\")")),
        ];
        for (first, second, expected) in table {
            let found = verdict(first.clone(), second.clone()).difference();
            match expected {
                None => assert_eq!(found, None, "{first:?} {second:?}"),
                Some(part) => {
                    assert!(found.is_some_and(|found| found.contains(part)), "{first:?} {second:?}")
                }
            }
        }
    }
}
