//! A case: an event, a desired state and a configuration, and what they are to come to.
//!
//! What is expected lies beside them as texts that people read and review: `decision.yaml`, and
//! `expected.diff` where something would be changed.

use std::path::{Path, PathBuf};

use serde_json::Value;
use serde_yaml::Mapping;
use similar::TextDiff;

use super::folder::{read_document, read_yaml};
use super::scene::Verdict;
use super::{cannot, no, read};
use crate::cli::CommandError;
use crate::model::outcome::OutcomeKind;
use crate::model::patch::{Changes, Decision};

const CASES: &str = "tests/cases";
const EVENT: &str = "event.json";
const CONFIG: &str = "config.yaml";
const STATE: &str = "state";
const DECISION: &str = "decision.yaml";
const DIFF: &str = "expected.diff";

/// A folder below `tests/cases`.
#[derive(Debug)]
pub(super) struct Case {
    /// The folder's name.
    pub(super) name: String,
    folder: PathBuf,
}

/// What a case comes to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ending {
    decision: serde_yaml::Value,
    diff: Option<String>,
}

impl Case {
    /// The cases of a plugin's folder, in the order of their names.
    pub(super) fn all(plugin: &Path) -> Result<Vec<Self>, CommandError> {
        let root = plugin.join(CASES);
        let mut cases = Vec::new();
        if root.is_dir() {
            for entry in std::fs::read_dir(&root)? {
                let folder = entry?.path();
                if folder.is_dir() {
                    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    cases.push(Self { name, folder });
                }
            }
        }
        cases.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(cases)
    }

    /// The cases of these names, or all; at least one.
    pub(super) fn named(plugin: &Path, names: &[String]) -> Result<Vec<Self>, CommandError> {
        let mut cases = Self::all(plugin)?;
        let known: Vec<String> = cases.iter().map(|case| case.name.clone()).collect();
        if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
            return Err(cannot(format!("there is no case {unknown}; there are: {}", known.join(", "))));
        }
        if cases.is_empty() {
            let (root, folder) = (plugin.join(CASES), plugin.join(CASES).join("NAME"));
            return Err(no(format!(
                "{} has no case: a case is a folder with an event in it, {}",
                root.display(),
                folder.join(EVENT).display()
            )));
        }
        cases.retain(|case| names.is_empty() || names.contains(&case.name));
        Ok(cases)
    }

    /// The event's text.
    pub(super) fn event(&self) -> Result<Vec<u8>, CommandError> {
        read(&self.folder.join(EVENT))
    }

    /// Whether something is expected to be changed.
    pub(super) fn changes_something(&self) -> bool {
        self.folder.join(DIFF).is_file()
    }

    /// What replaces the configuration of `plugin.yaml`.
    pub(super) fn config(&self) -> Result<Option<Value>, CommandError> {
        let path = self.folder.join(CONFIG);
        if path.is_file() { read_yaml(&path).map(Some) } else { Ok(None) }
    }

    /// The folder of the desired state.
    pub(super) fn state(&self) -> Option<PathBuf> {
        Some(self.folder.join(STATE)).filter(|path| path.is_dir())
    }

    /// What is expected; `None` while nothing is.
    pub(super) fn expected(&self) -> Result<Option<Ending>, CommandError> {
        if !self.folder.join(DECISION).is_file() {
            return Ok(None);
        }
        let decision = read_document(&self.folder.join(DECISION))?;
        let diff = self.folder.join(DIFF);
        let diff = if diff.is_file() { Some(text(&diff)?) } else { None };
        Ok(Some(Ending { decision, diff }))
    }

    /// Makes what was found the expectation.
    pub(super) fn bless(&self, found: &Ending) -> Result<(), CommandError> {
        std::fs::write(self.folder.join(DECISION), found.decision_text()?)?;
        let path = self.folder.join(DIFF);
        match &found.diff {
            Some(diff) => std::fs::write(path, diff)?,
            None if path.exists() => std::fs::remove_file(path)?,
            None => {}
        }
        Ok(())
    }
}

impl Ending {
    /// What a verdict comes to.
    pub(super) fn of(verdict: &Verdict) -> Result<Self, CommandError> {
        let preview = &verdict.preview;
        let mut document = Mapping::new();
        if let Some(end) = verdict.outcome() {
            document.insert("outcome".into(), end.into());
            document.insert("reason".into(), verdict.reason().into());
            return Ok(Self { decision: document.into(), diff: None });
        }
        match &preview.decision {
            Some(Decision::Propose(Changes { patches, title, reason, expires_after_s })) => {
                document.insert("decision".into(), "propose".into());
                document.insert("title".into(), title.as_str().into());
                document.insert("reason".into(), reason.as_str().into());
                if let Some(seconds) = expires_after_s {
                    document.insert("expiresAfterS".into(), (*seconds).into());
                }
                let patches = patches.iter().map(|patch| {
                    let mut entry = Mapping::new();
                    entry.insert("target".into(), serde_yaml::to_value(&patch.target)?);
                    // By way of JSON: YAML would write the kind of a patch as a tag.
                    let change = serde_json::to_value(&patch.change)?;
                    entry.insert("change".into(), serde_yaml::to_value(change)?);
                    Ok(serde_yaml::Value::from(entry))
                });
                let patches = patches.collect::<Result<Vec<_>, CommandError>>()?;
                document.insert("patches".into(), patches.into());
            }
            Some(Decision::Ignore { reason }) => {
                document.insert("decision".into(), "ignore".into());
                document.insert("reason".into(), reason.as_str().into());
            }
            None => return Err(no("the plugin came to no decision")),
        }
        Ok(Self { decision: document.into(), diff: preview.diff.clone() })
    }

    fn decision_text(&self) -> Result<String, CommandError> {
        Ok(serde_yaml::to_string(&self.decision)?)
    }

    /// How `found` differs from this, as unified diffs; `None` when it does not.
    pub(super) fn difference(&self, found: &Self) -> Result<Option<String>, CommandError> {
        let mut text = String::new();
        if self.decision != found.decision {
            text += &unified(DECISION, &self.decision_text()?, &found.decision_text()?);
        }
        if self.diff != found.diff {
            let shown = |diff: &Option<String>| diff.clone().unwrap_or_default();
            text += &unified(DIFF, &shown(&self.diff), &shown(&found.diff));
        }
        Ok((!text.is_empty()).then_some(text))
    }

    /// The whole of it, for a case that expects nothing yet.
    pub(super) fn text(&self) -> Result<String, CommandError> {
        Ok(self.decision_text()? + self.diff.as_deref().unwrap_or_default())
    }
}

fn unified(file: &str, expected: &str, found: &str) -> String {
    let diff = TextDiff::from_lines(expected, found);
    let (expected, found) = (format!("{file}, expected"), format!("{file}, found"));
    diff.unified_diff().context_radius(3).header(&expected, &found).to_string()
}

fn text(path: &Path) -> Result<String, CommandError> {
    String::from_utf8(read(path)?).map_err(|error| no(format!("{}: {error}", path.display())))
}

impl Verdict {
    /// The outcome's word, where a decision does not say all: the plugin failed, its proposal was
    /// refused, or it would not get the event.
    fn outcome(&self) -> Option<&'static str> {
        match self.preview.outcome {
            _ if !self.subscribed => Some("unsubscribed"),
            outcome @ (OutcomeKind::Failed | OutcomeKind::Refused) => Some(outcome.as_str()),
            _ => None,
        }
    }

    fn reason(&self) -> &str {
        if self.subscribed { &self.preview.reason } else { "no subscription of the plugin matches the event" }
    }
}
