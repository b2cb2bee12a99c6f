//! A pending reaction meets its plugin.

use std::sync::Arc;

use tokio::task::block_in_place;

use super::Pipeline;
use crate::clock;
use crate::crash_point::CrashPoint;
use crate::dispatch::Failure;
use crate::model::outcome::OutcomeKind;
use crate::model::patch::Decision;
use crate::record::{Decided, DueReaction, RecordError, Settlement, Stage};
use crate::repository::Snapshot;

impl Pipeline {
    /// One attempt to get a decision. It ends as a recorded decision, a later due time, or an outcome.
    pub(super) async fn decide(
        &self,
        reaction: &DueReaction,
        snapshot: Arc<Snapshot>,
    ) -> Result<(), RecordError> {
        let catalog = self.catalog();
        let Some(plugin) = catalog.get(&reaction.plugin) else {
            let reason = format!("plugin {} is no longer configured", reaction.plugin);
            return self.settle(reaction, ended(OutcomeKind::Failed, reason)).await;
        };
        if reaction.attempts >= self.limits.attempts_max {
            let reason = format!("none of {} attempts came to a decision", reaction.attempts);
            return self.settle(reaction, ended(OutcomeKind::Exhausted, reason)).await;
        }
        let Some(event) = self.journal.event(reaction.event_seq).await? else {
            return Err(RecordError::Damaged(format!("event {} is missing", reaction.event_seq)));
        };
        let attempt = self.journal.begin_attempt(reaction.id, Stage::Dispatch).await?;
        CrashPoint::Dispatching.reach();
        let base = snapshot.commit().clone();
        // In place: the way to another thread and back takes longer than most guests.
        match block_in_place(|| plugin.handle(event.event(), snapshot)) {
            Ok(dispatched) => {
                CrashPoint::Decided.reach();
                let (decision, fuel) = (dispatched.decision, dispatched.fuel);
                let ignored = match &decision {
                    Decision::Ignore { reason } => Some(reason.clone()),
                    Decision::Propose(_) => None,
                };
                let decided = Decided { identity: plugin.identity().clone(), base, decision, fuel };
                self.journal.decide(reaction.id, decided).await?;
                CrashPoint::DecisionRecorded.reach();
                if let Some(reason) = ignored {
                    self.has_ended(reaction, OutcomeKind::Ignored, None, &reason);
                }
                Ok(())
            }
            Err(failure) => self.dispatch_failed(reaction, attempt, &failure).await,
        }
    }

    async fn dispatch_failed(
        &self,
        reaction: &DueReaction,
        attempt: i64,
        failure: &Failure,
    ) -> Result<(), RecordError> {
        self.count_failure(&reaction.plugin, failure.kind());
        if let Some(parked) = self.breakers.failed(&reaction.plugin, failure) {
            let (until, reason) = (clock::rfc3339(parked.until_us), parked.reason);
            tracing::error!(
                plugin.name = reaction.plugin,
                until,
                reason,
                "a plugin keeps failing and is parked; its events wait"
            );
        }
        let detail = format!("{}: {failure}", failure.kind());
        if failure.is_transient() && attempt < self.limits.attempts_max {
            return self.journal.postpone(reaction.id, self.due_after(attempt), detail).await;
        }
        let outcome = if failure.is_transient() { OutcomeKind::Exhausted } else { OutcomeKind::Failed };
        self.settle(reaction, ended(outcome, detail)).await
    }
}

/// An end without a change.
pub(super) fn ended(outcome: OutcomeKind, reason: String) -> Settlement {
    Settlement::without_change(outcome, reason)
}
