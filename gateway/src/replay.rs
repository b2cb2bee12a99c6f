//! Replay: what today's plugins make of recorded events, beside what was decided then.
//!
//! The same event, plugin digest, configuration digest and base commit must give the same decision
//! and the same fuel: where those agree and the decision does not, something is wrong, and the
//! difference says so. A dry run writes nothing but that it was asked for.

use std::collections::BTreeSet;

use crate::model::manifest::CommitSha;
use crate::pipeline::{Pipeline, Preview};
use crate::record::{Base, EventDetail, ReactionView, RecordError};
use crate::repository::RepositoryError;

/// A replay could not be run.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The journal did not answer.
    #[error("the journal did not answer")]
    Journal(#[from] RecordError),
    /// The desired state could not be read.
    #[error("the desired state could not be read")]
    Repository(#[from] RepositoryError),
}

/// How today's decision stands to the one of then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Difference {
    /// The plugin did not react then, or had not decided.
    New,
    /// The plugin does not react any more.
    Gone,
    /// The same decision.
    Same,
    /// Another decision, from another plugin, configuration or base.
    Changed,
    /// Another decision from the same inputs: not to be trusted.
    Nondeterministic,
    /// There was a decision then, and the plugin comes to none today.
    Failed,
}

/// One event for one plugin, then and now.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// The event.
    pub event_seq: i64,
    /// The plugin.
    pub plugin: String,
    /// The newest reaction in the journal.
    pub then: Option<ReactionView>,
    /// What it would be today.
    pub now: Option<Preview>,
    /// How the two stand to each other.
    pub difference: Difference,
}

/// Compares one event: each plugin that reacted then or would react now.
///
/// # Errors
/// When the journal or the repository does not answer.
pub async fn compare(
    pipeline: &Pipeline,
    detail: &EventDetail,
    base: Base,
) -> Result<Vec<Compared>, ReplayError> {
    let seq = detail.row.seq;
    let Some(event) = pipeline.journal.event(seq).await? else { return Ok(Vec::new()) };
    let routed: BTreeSet<String> = pipeline.routes(&event).into_iter().map(|route| route.plugin).collect();
    // A revert is the host's decision, not the plugin's.
    let reactions = detail.reactions.iter().filter(|reaction| reaction.reverts.is_none());
    let reacted = reactions.clone().map(|reaction| reaction.plugin.clone());
    let names: BTreeSet<String> = routed.iter().cloned().chain(reacted).collect();
    let mut compared = Vec::with_capacity(names.len());
    for plugin in names {
        let then = reactions.clone().rfind(|reaction| reaction.plugin == plugin).cloned();
        let now = if routed.contains(&plugin) {
            let recorded = then.as_ref().and_then(|then| then.base_commit.as_deref());
            let recorded = recorded.and_then(|sha| CommitSha::parse(sha).ok());
            let snapshot = match recorded.filter(|_| base == Base::Recorded) {
                Some(sha) => pipeline.repository.snapshot(&sha).await?,
                None => pipeline.repository.snapshot_at_head().await?,
            };
            pipeline.preview(&event, &plugin, snapshot).await
        } else {
            None
        };
        let difference = difference(then.as_ref(), now.as_ref());
        compared.push(Compared { event_seq: seq, plugin, then, now, difference });
    }
    Ok(compared)
}

fn difference(then: Option<&ReactionView>, now: Option<&Preview>) -> Difference {
    let (Some(then), Some(now)) = (then, now) else {
        return if now.is_some() { Difference::New } else { Difference::Gone };
    };
    let Some(decision) = then.decision.as_deref() else {
        let same_end = then.outcome.as_deref() == Some(now.outcome.as_str());
        return if same_end { Difference::Same } else { Difference::New };
    };
    // A failure (a time-out, say) is no decision: it says nothing about the one of then.
    if now.decision.is_none() {
        return Difference::Failed;
    }
    let same_inputs = then.plugin_digest.as_deref() == Some(&now.plugin_digest)
        && then.config_digest.as_deref() == Some(&now.config_digest)
        && then.base_commit.as_deref() == Some(now.base.as_str());
    let same_decision = serde_json::from_str(decision).ok() == now.decision;
    let same_fuel = then.fuel == now.fuel.and_then(|fuel| i64::try_from(fuel).ok());
    match (same_decision, same_inputs) {
        (true, true) if !same_fuel => Difference::Nondeterministic,
        (true, _) => Difference::Same,
        (false, false) => Difference::Changed,
        (false, true) => Difference::Nondeterministic,
    }
}
