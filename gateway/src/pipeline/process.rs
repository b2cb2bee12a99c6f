//! One round of the loop that routes events, and how a reaction ends.
//!
//! Each takes its work from the journal and returns how much it took, so that a loop knows whether
//! to go on or to wait. A fault of one reaction never ends the round.

use std::time::Duration;

use super::decide::ended;
use super::repeats::{Round, Way};
use super::{Pipeline, chain};
use crate::clock;
use crate::crash_point::CrashPoint;
use crate::model::manifest::CommitSha;
use crate::model::outcome::OutcomeKind;
use crate::record::{DueReaction, RecordError, RecordedEvent, Route, Settlement};
use crate::repository::RepositoryError;
use crate::telemetry::{FailureLabel, OutcomeLabel};

impl Pipeline {
    /// Makes the reactions of events that have none yet, but for those that repeat an incident.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn route_due(&self) -> Result<usize, RecordError> {
        let window_us = self.repeats.window_us();
        let events = self.journal.unrouted(self.limits.round_reactions_max, window_us).await?;
        let (mut round, mut taken) = (Round::default(), 0);
        for event in &events {
            CrashPoint::Routing.reach();
            let routes = self.routes(event);
            match self.way(event, &routes, &mut round).await? {
                Way::Wait => continue,
                Way::RepeatOf(first) => {
                    self.journal.mark_repeat(event.seq(), first).await?;
                    self.metrics.repeats.inc();
                    tracing::info!(
                        event.seq = event.seq(),
                        event.first = first,
                        "an event repeats another one"
                    );
                }
                Way::Dispatch => {
                    let plugins = routes.len();
                    self.journal.route(event.seq(), routes).await?;
                    CrashPoint::Routed.reach();
                    tracing::info!(event.seq = event.seq(), plugins, "an event was routed");
                }
            }
            taken += 1;
        }
        if taken > 0 {
            self.wake.reactions.notify_one();
        }
        Ok(taken)
    }

    /// The plugins that subscribe to an event.
    #[must_use]
    pub fn routes(&self, event: &RecordedEvent) -> Vec<Route> {
        let catalog = self.catalog();
        let subscribed = catalog.plugins().iter().filter(|plugin| plugin.matches(event.event()));
        subscribed
            .map(|plugin| Route { plugin: plugin.name().to_owned(), mode: self.modes.of(plugin) })
            .collect()
    }

    /// Fetches, so that the metrics tell of a repository that is away before an event needs it.
    pub async fn look_at_repository(&self) {
        if let Err(error) = self.reached(self.repository.head().await) {
            tracing::warn!(error = %chain(&error), "the desired state cannot be read; events are taken all the same");
        }
        if let Err(error) = self.take_up_file().await {
            tracing::error!(error = %chain(&error), "whether the branch pauses the gateway could not be recorded");
        }
    }

    /// Notes for the metrics whether the repository answered.
    pub(super) fn reached<T>(&self, answer: Result<T, RepositoryError>) -> Result<T, RepositoryError> {
        self.metrics.repository_reachable.set(i64::from(answer.is_ok()));
        answer
    }

    /// A reaction whose rows cannot be read back ends here, or it would hold up all others for ever.
    pub(super) async fn or_damaged(
        &self,
        reaction: &DueReaction,
        result: Result<(), RecordError>,
    ) -> Result<(), RecordError> {
        match result {
            Err(RecordError::Damaged(reason)) => {
                tracing::error!(reaction.id = reaction.id, reason, "a reaction cannot be read back");
                self.settle(reaction, ended(OutcomeKind::Failed, format!("damaged: {reason}"))).await
            }
            other => other,
        }
    }

    /// Ends a reaction in the journal, the metrics and the log.
    pub(super) async fn settle(
        &self,
        reaction: &DueReaction,
        settlement: Settlement,
    ) -> Result<(), RecordError> {
        self.settle_all(vec![(reaction, settlement)]).await
    }

    /// Ends several, all of them or none.
    pub(super) async fn settle_all(&self, ends: Vec<(&DueReaction, Settlement)>) -> Result<(), RecordError> {
        if ends.is_empty() {
            return Ok(());
        }
        let settled = ends.iter().map(|(reaction, settlement)| (reaction.id, settlement.clone()));
        self.journal.settle_all(settled.collect()).await?;
        CrashPoint::OutcomeRecorded.reach();
        for (reaction, settlement) in &ends {
            let sha = settlement.commit.as_ref().map(|commit| &commit.sha);
            self.has_ended(reaction, settlement.outcome, sha, &settlement.reason);
        }
        Ok(())
    }

    /// Tells the metrics and the log of an end that is on disk.
    pub(super) fn has_ended(
        &self,
        reaction: &DueReaction,
        outcome: OutcomeKind,
        sha: Option<&CommitSha>,
        reason: &str,
    ) {
        let label = OutcomeLabel { plugin: reaction.plugin.clone(), outcome: outcome.as_str().to_owned() };
        self.metrics.outcomes.get_or_create(&label).inc();
        let open_us = u64::try_from(clock::now_us() - reaction.created_us).unwrap_or_default();
        self.metrics.settle_seconds.observe(Duration::from_micros(open_us).as_secs_f64());
        tracing::info!(
            event.seq = reaction.event_seq,
            reaction.id = reaction.id,
            plugin.name = reaction.plugin,
            outcome = outcome.as_str(),
            commit.sha = sha.map(CommitSha::as_str),
            reason,
            "a reaction ended"
        );
    }

    pub(super) fn count_failure(&self, at: &str, kind: &str) {
        let label = FailureLabel { at: at.to_owned(), kind: kind.to_owned() };
        self.metrics.failures.get_or_create(&label).inc();
    }

    /// When to try again after `attempt` attempts.
    pub(super) fn due_after(&self, attempt: i64) -> i64 {
        let doublings = u32::try_from(attempt.clamp(1, 20) - 1).unwrap_or_default();
        let wait_ms =
            self.limits.backoff_first_ms.saturating_mul(1 << doublings).min(self.limits.backoff_max_ms);
        clock::now_us() + wait_ms * 1_000
    }
}
