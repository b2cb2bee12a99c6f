//! Takes commits back: because somebody asks, or because their time is over.
//!
//! A revert is a reaction of its own that begins with a recorded decision, so it is validated, committed
//! and tried again on the path of every proposal. The host made the decision: no grant, mode or window of
//! a plugin holds for it. Guardrails and pauses do.

use super::clusters::Views;
use super::{Pipeline, chain};
use crate::model::text::cut;
use crate::model::undo::ObjectUndo;
use crate::record::{Proposal, RecordError, RevertRequest, RevertedBy, Reverting, TakeBack};
use crate::repository::{FoundCommit, RepositoryError};
use crate::validate::{self, Piece};

/// The longest reason with what was left alone, in bytes.
const REASON_BYTES_MAX: usize = 8 << 10;

impl Pipeline {
    /// Begins to take a reaction's commit back; the revert is on disk when this returns.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn revert(&self, request: RevertRequest) -> Result<Reverting, RecordError> {
        let (reaction, by, reason) = (request.reaction, request.by, request.reason.clone());
        let reverting = self.journal.revert(request).await?;
        if let Reverting::Made(revert) = reverting {
            tracing::info!(
                reaction.id = revert,
                reaction.reverts = reaction,
                revert.by = by.as_str(),
                reason,
                "a reaction is to be taken back"
            );
            self.wake.proposals.notify_one();
        }
        Ok(reverting)
    }

    /// Begins to take back the commits whose time is over.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn expire_due(&self) -> Result<usize, RecordError> {
        let overdue = self.journal.overdue().await?;
        for due in &overdue {
            let reason = format!("it was to hold for {} s, and they are over", due.held_s);
            let (reaction, by) = (due.reaction, RevertedBy::Expiry);
            self.revert(RevertRequest { reaction, by, reason }).await?;
        }
        Ok(overdue.len())
    }

    /// What is kept to take a commit back by.
    pub(super) fn take_back(&self, proposal: &Proposal, piece: &Piece) -> Option<TakeBack> {
        self.kept(proposal, Ok(piece.undo().to_vec()))
    }

    fn kept(&self, proposal: &Proposal, undo: Result<Vec<ObjectUndo>, String>) -> Option<TakeBack> {
        let reaction = proposal.reaction();
        let configured = || self.catalog().get(&reaction.plugin).and_then(|plugin| plugin.expires_after_s());
        let expires_after_s = proposal.changes().expires_after_s.or_else(configured);
        reaction.reverts.is_none().then_some(TakeBack { undo, expires_after_s })
    }

    /// The same, of a commit that an earlier attempt has made, and of the part of it that could be made
    /// anew.
    pub(super) async fn take_back_again(
        &self,
        proposal: &Proposal,
        found: &FoundCommit,
        piece: Option<&Piece>,
    ) -> Option<TakeBack> {
        if let Some(piece) = piece {
            return self.take_back(proposal, piece);
        }
        let again = self.take_back_found(proposal, found).await;
        again.unwrap_or_else(|error| self.kept(proposal, Err(chain(&error))))
    }

    /// The same, where no part could be made anew: what the two trees differ in.
    pub(super) async fn take_back_found(
        &self,
        proposal: &Proposal,
        found: &FoundCommit,
    ) -> Result<Option<TakeBack>, RepositoryError> {
        if proposal.reaction().reverts.is_some() {
            return Ok(None);
        }
        let reactions = found.message.lines().filter(|line| line.starts_with("Riposte-Reaction: ")).count();
        if reactions > 1 {
            let reason = "its commit has changes for others too, and was found again after a crash";
            return Ok(self.kept(proposal, Err(reason.to_owned())));
        }
        let base = self.views(self.reached(self.repository.snapshot(&found.base).await)?);
        let commit = self.views(self.reached(self.repository.snapshot(&found.sha).await)?);
        let cluster = match self.cluster_of(proposal.reaction().event_seq).await {
            Ok(cluster) => cluster.map_err(|(_, reason)| reason),
            Err(error) => Err(chain(&error)),
        };
        let undo = cluster.and_then(|cluster| {
            let of = |views: &Views| views.of(cluster.as_deref()).cloned().map_err(|(_, reason)| reason);
            let (base, commit) = (of(&base)?, of(&commit)?);
            Ok(validate::undo_between(proposal.changes(), &base, &commit))
        });
        Ok(self.kept(proposal, undo))
    }
}

/// Why it was committed, and what of the proposal was left alone.
pub(super) fn reason(proposal: &Proposal, piece: &Piece) -> String {
    let mut reason = proposal.changes().reason.clone();
    for (number, left) in piece.left().iter().enumerate() {
        reason.push_str(if number == 0 { "; left alone: " } else { ", " });
        reason.push_str(&left.to_string());
    }
    cut(reason, REASON_BYTES_MAX)
}
