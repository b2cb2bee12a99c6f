//! What a plugin would do with a recorded event: the path without its effects, for replay.

use std::sync::Arc;

use tokio::task::block_in_place;

use super::{Pipeline, UNCHANGED};
use crate::model::manifest::CommitSha;
use crate::model::outcome::OutcomeKind;
use crate::model::patch::Decision;
use crate::model::plugin::Mode;
use crate::record::RecordedEvent;
use crate::snapshot::Snapshot;
use crate::validate::{self, Validated};

/// What a reaction would come to.
#[derive(Debug, Clone, PartialEq)]
pub struct Preview {
    /// Digest of the plugin.
    pub plugin_digest: String,
    /// Digest of its configuration.
    pub config_digest: String,
    /// The commit that was read.
    pub base: CommitSha,
    /// The decision, if the plugin came to one.
    pub decision: Option<Decision>,
    /// Fuel used, if the plugin came to a decision.
    pub fuel: Option<u64>,
    /// The outcome it would have.
    pub outcome: OutcomeKind,
    /// Why.
    pub reason: String,
    /// What would be changed.
    pub diff: Option<String>,
}

impl Pipeline {
    /// Lets `plugin` decide on `event` at `snapshot` and validates the answer; writes nothing.
    /// `None` when there is no such plugin.
    pub async fn preview(
        &self,
        event: &RecordedEvent,
        plugin: &str,
        snapshot: Arc<Snapshot>,
    ) -> Option<Preview> {
        let catalog = self.catalog();
        let plugin = catalog.get(plugin)?;
        let identity = plugin.identity();
        let mut preview = Preview {
            plugin_digest: identity.digest.clone(),
            config_digest: identity.config_digest.clone(),
            base: snapshot.commit().clone(),
            decision: None,
            fuel: None,
            outcome: OutcomeKind::Failed,
            reason: String::new(),
            diff: None,
        };
        let snapshot = match self.of_cluster(event.event(), snapshot) {
            Ok((snapshot, _)) => snapshot,
            Err(ended) => {
                (preview.outcome, preview.reason) = ended;
                return Some(preview);
            }
        };
        let dispatched = match block_in_place(|| plugin.handle(event.event(), Arc::clone(&snapshot))) {
            Ok(dispatched) => dispatched,
            Err(failure) => {
                preview.reason = format!("{}: {failure}", failure.kind());
                return Some(preview);
            }
        };
        preview.fuel = Some(dispatched.fuel);
        match &dispatched.decision {
            Decision::Ignore { reason } => {
                preview.outcome = OutcomeKind::Ignored;
                preview.reason.clone_from(reason);
            }
            Decision::Propose(changes) => {
                let validated =
                    validate::validate(changes, plugin.grants(), &self.guardrails, &self.schemas, &snapshot);
                let validated = match self.dry_run(validated).await {
                    Ok(validated) => validated,
                    Err(error) => {
                        preview.reason = format!("{}: {error}", error.kind());
                        return Some(preview);
                    }
                };
                match validated {
                    Err(refusals) => {
                        preview.outcome = OutcomeKind::Refused;
                        preview.reason = refusals.to_string();
                    }
                    Ok(Validated::Unchanged) => {
                        preview.outcome = OutcomeKind::Unchanged;
                        UNCHANGED.clone_into(&mut preview.reason);
                    }
                    Ok(Validated::Change(change)) => {
                        preview.outcome = match self.modes.of(plugin) {
                            Mode::Observe => OutcomeKind::Observed,
                            Mode::Propose => OutcomeKind::Proposed,
                            Mode::Enforce => OutcomeKind::Committed,
                        };
                        preview.reason.clone_from(&changes.reason);
                        preview.diff = Some(change.diff().to_owned());
                    }
                }
            }
        }
        preview.decision = Some(dispatched.decision);
        Some(preview)
    }
}
