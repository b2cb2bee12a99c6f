//! Pending reactions meet their plugins, several at a time, each plugin in its turn.
//!
//! There are no rounds: a place that is free goes to whoever's turn it is, so that no plugin waits for
//! what another one takes long with.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinSet, block_in_place};

use super::turns::Turns;
use super::{Pipeline, chain};
use crate::clock;
use crate::crash_point::CrashPoint;
use crate::dispatch::Failure;
use crate::model::outcome::OutcomeKind;
use crate::model::patch::Decision;
use crate::record::{Decided, DueReaction, Postponed, RecordError, Settlement, Stage};
use crate::snapshot::Snapshot;

/// How often the journal is asked for what has become due by time while plugins run.
const LOOK_MS: u64 = 500;

/// What is being decided, from one step to the next.
#[derive(Debug)]
pub struct Deciding {
    turns: Turns,
    running: JoinSet<(DueReaction, Result<(), RecordError>)>,
    /// The desired state that decisions are made from.
    snapshot: Option<Arc<Snapshot>>,
    /// Whether the journal may have more than is known here.
    look: bool,
}

impl Default for Deciding {
    fn default() -> Self {
        Self { turns: Turns::default(), running: JoinSet::new(), snapshot: None, look: true }
    }
}

impl Deciding {
    /// Waits for what has begun; what has not is in the journal.
    pub async fn end(mut self) {
        while self.running.join_next().await.is_some() {}
    }
}

impl Pipeline {
    /// One step: takes what is due, fills the free places, and waits until one is free again or there
    /// may be more. How many reactions are being decided; none when there is nothing to do.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn decide_due(self: &Arc<Self>, deciding: &mut Deciding) -> Result<usize, RecordError> {
        let parked = self.parked();
        deciding.turns.leave(&parked);
        if deciding.look {
            self.take_due(deciding, parked).await?;
        }
        while deciding.running.len() < self.limits.plugins_running_max {
            let Some(snapshot) = deciding.snapshot.clone() else { break };
            let Some(reaction) = deciding.turns.next() else { break };
            let pipeline = Arc::clone(self);
            deciding.running.spawn(async move {
                let decided = pipeline.decide(&reaction, snapshot).await;
                let decided = pipeline.or_damaged(&reaction, decided).await;
                (reaction, decided)
            });
        }
        let places = deciding.running.len();
        if places == 0 {
            deciding.look = true;
            return Ok(0);
        }
        tokio::select! {
            Some(ended) = deciding.running.join_next() => {
                let (reaction, decided) =
                    ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
                deciding.look |= deciding.turns.ended(&reaction.plugin, reaction.id);
                self.wake.proposals.notify_one();
                // Repeats wait until it is known what the first report came to.
                self.wake.events.notify_one();
                decided?;
            }
            () = self.wake.reactions.notified() => deciding.look = true,
            () = tokio::time::sleep(Duration::from_millis(LOOK_MS)) => deciding.look = true,
        }
        Ok(places)
    }

    /// Takes from the journal what is due of the plugins of which nothing waits here, with the desired
    /// state of now.
    async fn take_due(&self, deciding: &mut Deciding, parked: Vec<String>) -> Result<(), RecordError> {
        if self.hold.is_on() {
            return Ok(());
        }
        let mut but_for = parked;
        but_for.extend(deciding.turns.waiting().cloned());
        let (most, running) = (self.limits.round_reactions_max, deciding.turns.running());
        let due = self.journal.due(most, &but_for, &running).await?;
        deciding.look = false;
        if due.is_empty() {
            return Ok(());
        }
        let since = self.since().await?;
        match self.reached(self.repository.snapshot_at_head().await) {
            Ok(snapshot) => {
                self.hold.end();
                self.take_up_file().await?;
                self.follow(since, &snapshot).await?;
                deciding.snapshot = Some(snapshot);
                deciding.turns.join(due);
            }
            Err(error) => {
                let wait = self.hold.after(&error);
                self.count_failure("read", error.kind());
                let (detail, wait_ms) = (chain(&error), wait.as_millis());
                tracing::warn!(error = %detail, reactions = due.len(), wait_ms, "reactions wait: the desired state cannot be read");
                deciding.turns.leave_all();
                deciding.look = true;
            }
        }
        Ok(())
    }

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
        if let Some(reason) = self.respected(reaction).await? {
            return self.settle(reaction, ended(OutcomeKind::Ignored, reason)).await;
        }
        let Some(event) = self.journal.event(reaction.event_seq).await? else {
            return Err(RecordError::Damaged(format!("event {} is missing", reaction.event_seq)));
        };
        let (snapshot, cluster) = match self.of_cluster(event.event(), snapshot) {
            Ok((snapshot, cluster)) => (snapshot, cluster.map(str::to_owned)),
            Err((outcome, reason)) => return self.settle(reaction, ended(outcome, reason)).await,
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
                let decided = Decided { identity: plugin.identity().clone(), base, decision, fuel, cluster };
                self.journal.decide(reaction.id, decided).await?;
                CrashPoint::DecisionRecorded.reach();
                match ignored {
                    Some(reason) => self.has_ended(reaction, OutcomeKind::Ignored, None, &reason),
                    None => tracing::info!(
                        event.seq = reaction.event_seq,
                        reaction.id = reaction.id,
                        plugin.name = reaction.plugin,
                        "a plugin proposes a change"
                    ),
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
            let due_us = self.due_after(attempt);
            return self.journal.postpone(vec![Postponed { reaction: reaction.id, due_us, detail }]).await;
        }
        let outcome = if failure.is_transient() { OutcomeKind::Exhausted } else { OutcomeKind::Failed };
        self.settle(reaction, ended(outcome, detail)).await
    }
}

/// An end without a change.
pub(super) fn ended(outcome: OutcomeKind, reason: String) -> Settlement {
    Settlement::without_change(outcome, reason)
}
