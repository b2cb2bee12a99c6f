//! A recorded proposal that makes no commit of the branch: it becomes a pull request, or is observed.
//!
//! How attempts end, those of a burst too, is told here.

use std::time::Duration;

use super::decide::ended;
use super::propose::Earlier;
use super::{Pipeline, UNCHANGED, chain};
use crate::clock;
use crate::commit::{CommitFailure, Parts, reaction_trailer};
use crate::crash_point::CrashPoint;
use crate::model::manifest::CommitSha;
use crate::model::outcome::OutcomeKind;
use crate::model::plugin::Mode;
use crate::record::{
    ChainHead, DueReaction, Postponed, Proposal, RecordError, RecordedEvent, SettledCommit, Settlement, Stage,
};
use crate::repository::{CommitError, FoundCommit, RepositoryError, Retry};
use crate::validate::{self, DryRunError, Validated, ValidatedChange};

/// How an attempt to commit ends.
pub(super) enum Attempted {
    Settled(Settlement),
    Postponed { after_ms: i64, detail: String },
}

/// An attempt that came to no end of the reaction.
#[derive(Debug, thiserror::Error)]
pub(super) enum AttemptError {
    #[error("the desired state cannot be read")]
    Repository(#[from] RepositoryError),
    #[error(transparent)]
    Commit(#[from] CommitFailure),
    #[error("the pull request, which is moot, cannot be closed")]
    Close(#[source] CommitError),
    #[error("the journal did not answer")]
    Journal(#[from] RecordError),
    #[error("whether the change is valid cannot be asked")]
    DryRun(#[from] DryRunError),
    /// Nothing was sent: the attempt is none.
    #[error("the gateway is paused")]
    Paused,
    /// The same: the server wants us to wait, or the budget for it is used up.
    #[error("the queue is held")]
    Held,
    /// The same: the mode was switched meanwhile.
    #[error("the proposal is one for a commit of the branch")]
    Aside,
}

impl AttemptError {
    /// Whether nothing was sent, for no reason of the proposal.
    pub(super) fn is_none(&self) -> bool {
        matches!(self, Self::Paused | Self::Held | Self::Aside)
    }

    /// How long a server wants us to wait with all that we have.
    pub(super) fn asks_to_wait(&self) -> Option<Duration> {
        let error = match self {
            Self::Repository(error) => error,
            Self::Commit(failure) => match failure.error() {
                CommitError::Repository(error) => error,
                _ => return None,
            },
            Self::Close(CommitError::Repository(error)) => error,
            _ => return None,
        };
        match error {
            RepositoryError::RateLimited { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }
}

impl Pipeline {
    /// One attempt to commit a proposal.
    pub(super) async fn commit(&self, reaction: &DueReaction) -> Result<(), RecordError> {
        let proposal = self.journal.proposal(reaction).await?;
        if reaction.attempts >= self.limits.attempts_max {
            // The process ended in the last one.
            let detail = format!("none of {} attempts came to an end", reaction.attempts);
            return self.give_up(&proposal, detail).await;
        }
        let Some(event) = self.journal.event(reaction.event_seq).await? else {
            return Err(RecordError::Damaged(format!("event {} is missing", reaction.event_seq)));
        };
        let attempt = self.journal.begin_attempt(reaction.id, Stage::Commit).await?;
        CrashPoint::Committing.reach();
        // Attempt 1 was the decision; any between that and this one may have been a commit.
        let may_have_committed = attempt > 2;
        let attempted = match self.try_commit(&proposal, &event, may_have_committed).await {
            Ok(attempted) => attempted,
            Err(AttemptError::Journal(error)) => return Err(error),
            Err(error) if error.is_none() => return self.journal.withdraw_attempts(vec![reaction.id]).await,
            Err(error) => {
                if let Some(wait) = error.asks_to_wait() {
                    self.hold_queue(wait, chain(&error)).await?;
                }
                self.attempt_failed(&error)
            }
        };
        match attempted {
            Attempted::Settled(settlement) => self.settle_and_tell(reaction, settlement).await,
            Attempted::Postponed { detail, .. } if attempt >= self.limits.attempts_max => {
                self.give_up(&proposal, detail).await
            }
            Attempted::Postponed { after_ms, detail } => {
                tracing::warn!(reaction.id = reaction.id, attempt, detail, "a commit is tried again later");
                let due_us = self.due_after(attempt).max(clock::now_us() + after_ms * 1_000);
                self.journal.postpone(vec![Postponed { reaction: reaction.id, due_us, detail }]).await
            }
        }
    }

    async fn settle_and_tell(
        &self,
        reaction: &DueReaction,
        settlement: Settlement,
    ) -> Result<(), RecordError> {
        // Flux does not look at the branch of a pull request.
        let committed = match (settlement.outcome, &settlement.commit) {
            (OutcomeKind::Committed, Some(commit)) => Some(commit.sha.clone()),
            _ => None,
        };
        self.settle(reaction, settlement).await?;
        if committed.is_some() {
            self.newest_commit.send_replace(committed);
        }
        Ok(())
    }

    /// Ends a reaction that had all its attempts. The last one may have made the commit all the same.
    pub(super) async fn give_up(&self, proposal: &Proposal, detail: String) -> Result<(), RecordError> {
        let settlement = match self.find_earlier(proposal).await {
            Ok(Some(earlier)) => earlier.settlement,
            Ok(None) => ended(OutcomeKind::Exhausted, detail),
            Err(error) => {
                let looked = chain(&error);
                let reason = format!("{detail}; whether a commit was made could not be looked up: {looked}");
                ended(OutcomeKind::Exhausted, reason)
            }
        };
        self.settle_and_tell(proposal.reaction(), settlement).await
    }

    /// A commit, or a pull request in whatever state.
    async fn find_earlier(&self, proposal: &Proposal) -> Result<Option<Earlier>, RepositoryError> {
        if proposal.reaction().mode == Mode::Enforce
            && let Some(found) = self.find_commit(proposal).await?
        {
            let take_back = self.take_back_found(proposal, &found).await?;
            let settlement = Settlement { take_back, ..found_again(found) };
            return Ok(Some(Earlier { settlement, is_open: false }));
        }
        self.find_pull_request(proposal).await
    }

    /// The commit that an earlier attempt has made.
    async fn find_commit(&self, proposal: &Proposal) -> Result<Option<FoundCommit>, RepositoryError> {
        let trailer = reaction_trailer(self.journal.name(), proposal.reaction().id);
        self.reached(self.repository.find_commit_with(&trailer, proposal.base()).await)
    }

    async fn try_commit(
        &self,
        proposal: &Proposal,
        event: &RecordedEvent,
        may_have_committed: bool,
    ) -> Result<Attempted, AttemptError> {
        if may_have_committed
            && let Some(earlier) = self.find_earlier(proposal).await?
            && !earlier.is_open
        {
            return Ok(Attempted::Settled(earlier.settlement));
        }
        for _race in 0..self.limits.races_max {
            let (change, mode) = match self.validate(proposal, event).await? {
                Ok(validated) => validated,
                Err(settlement) => return Ok(Attempted::Settled(settlement)),
            };
            CrashPoint::Validated.reach();
            let acted = match mode {
                Mode::Propose => self.propose(proposal, event, &change).await,
                Mode::Observe | Mode::Enforce => Err(AttemptError::Aside),
            };
            match acted {
                Ok(settlement) => {
                    CrashPoint::Committed.reach();
                    return Ok(Attempted::Settled(settlement));
                }
                Err(AttemptError::Commit(failure)) if failure.retry() == Retry::Now => {
                    self.count_failure("commit", failure.kind());
                }
                Err(error) => return Err(error),
            }
        }
        let detail = format!("the branch moved {} times while the commit was made", self.limits.races_max);
        Ok(Attempted::Postponed { after_ms: 0, detail })
    }

    /// Asked last, before anything is sent.
    pub(super) fn not_paused(&self) -> Result<(), AttemptError> {
        if self.pauses.is_on() { Err(AttemptError::Paused) } else { Ok(()) }
    }

    /// Applies the patches at the head, and says which mode holds for the change. `Err` is how the
    /// reaction ends when there is nothing to commit.
    async fn validate(
        &self,
        proposal: &Proposal,
        event: &RecordedEvent,
    ) -> Result<Result<(ValidatedChange, Mode), Settlement>, AttemptError> {
        let reaction = proposal.reaction();
        let catalog = self.catalog();
        let (plugin, mode) = match self.plugin_and_mode(&catalog, reaction) {
            Ok(found) => found,
            Err(reason) => return Ok(Err(ended(OutcomeKind::Failed, reason))),
        };
        let (snapshot, cluster) = match self.of_cluster(event.event(), self.snapshot_to_change().await?) {
            Ok(found) => found,
            Err((outcome, reason)) => return Ok(Err(ended(outcome, reason))),
        };
        if let Some(reason) = self.respected(reaction).await? {
            return Ok(Err(ended(OutcomeKind::Ignored, reason)));
        }
        let validated = validate::validate(
            proposal.changes(),
            plugin.grants(),
            &self.guardrails,
            &self.schemas,
            &snapshot,
        );
        let validated = self.dry_run(validated).await?;
        let in_window = if mode == Mode::Observe || matches!(validated, Ok(Validated::Unchanged)) {
            Ok(())
        } else {
            let targets = proposal.changes().patches.iter().map(|patch| &patch.target);
            let window = self.window(&reaction.plugin, cluster).await?;
            self.guardrails.check_window(&reaction.plugin, &window, targets)
        };
        Ok(match validated {
            Err(refusals) => {
                let refusals = refusals.and(in_window.err());
                Err(ended(OutcomeKind::Refused, refusals.to_string()))
            }
            Ok(Validated::Unchanged) if mode == Mode::Observe => {
                Err(ended(OutcomeKind::Unchanged, UNCHANGED.to_owned()))
            }
            Ok(Validated::Unchanged) => Err(self.unchanged(proposal, plugin, &snapshot).await?),
            Ok(Validated::Change(change)) if mode == Mode::Observe => Err(Settlement {
                outcome: OutcomeKind::Observed,
                reason: format!("would commit: {}", proposal.changes().reason),
                diff: Some(change.diff().to_owned()),
                commit: None,
                pull_request: None,
                take_back: None,
            }),
            Ok(Validated::Change(change)) => match in_window {
                Ok(()) => Ok((change, mode)),
                Err(refusals) => Err(ended(OutcomeKind::Refused, refusals.to_string())),
            },
        })
    }

    /// What one proposal puts into a commit's message.
    pub(super) fn parts<'a>(
        &'a self,
        proposal: &'a Proposal,
        event: &'a RecordedEvent,
        chain: &'a ChainHead,
    ) -> Parts<'a> {
        let summary = event.summary();
        let reaction = proposal.reaction();
        Parts {
            title: &proposal.changes().title,
            cause: summary.rule.as_deref().unwrap_or_else(|| event.event().event_type()),
            output: summary.output.as_deref(),
            reason: &proposal.changes().reason,
            journal: self.journal.name(),
            event: event.seq(),
            reaction: reaction.id,
            reverts: reaction.reverts,
            plugin: &reaction.plugin,
            digest: proposal.plugin_digest(),
            chain_length: chain.position,
            chain_hash: &chain.head,
        }
    }

    pub(super) fn attempt_failed(&self, error: &AttemptError) -> Attempted {
        let (retry, kind) = match error {
            AttemptError::Repository(error) => (error.retry(), error.kind()),
            AttemptError::Commit(failure) => (failure.retry(), failure.kind()),
            AttemptError::Close(error) => (error.retry(), error.kind()),
            AttemptError::DryRun(error) => (error.retry(), error.kind()),
            AttemptError::Journal(_) | AttemptError::Paused | AttemptError::Held | AttemptError::Aside => {
                (Retry::Now, "journal")
            }
        };
        self.count_failure("commit", kind);
        let detail = format!("{kind}: {}", chain(error));
        let is_taken = matches!(error, AttemptError::Commit(failure) if matches!(failure.error(), CommitError::Taken { .. }));
        match retry {
            Retry::Never if is_taken => Attempted::Settled(ended(OutcomeKind::Refused, detail)),
            Retry::Never => Attempted::Settled(ended(OutcomeKind::Failed, detail)),
            Retry::After(wait) => {
                let after_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX / 1_000);
                // A server's word holds, whatever is configured.
                let is_told = kind == "rate-limited";
                let after_ms = if is_told { after_ms } else { after_ms.min(self.limits.backoff_max_ms) };
                Attempted::Postponed { after_ms, detail }
            }
            Retry::Now | Retry::LookFirst => Attempted::Postponed { after_ms: 0, detail },
        }
    }

    /// Tells Flux, which would find the commit by itself at its interval: a failure is only counted.
    pub async fn tell_flux(&self, sha: &CommitSha) {
        for error in self.notifier.notify(&self.branch, sha).await.into_iter().filter_map(Result::err) {
            self.metrics.notify_failures.inc();
            tracing::warn!(commit.sha = %sha, error = %chain(&error), "a receiver was not told of the commit");
        }
    }
}

/// An earlier attempt had made the commit and could not tell.
pub(super) fn found_again(found: FoundCommit) -> Settlement {
    let FoundCommit { sha, base, message, diff } = found;
    Settlement {
        outcome: OutcomeKind::Committed,
        reason: "an earlier attempt had made the commit".to_owned(),
        diff: Some(diff),
        commit: Some(SettledCommit { sha, base, message }),
        pull_request: None,
        take_back: None,
    }
}
