//! Follows commits that stand: sees when a person takes one back, and respects it.
//!
//! Looked at whenever the desired state was read at a new head, so that no decision is made, and nothing
//! committed, on a head at which a person's word has not been heard. Nothing here asks the repository.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::block_in_place;

use super::Pipeline;
use crate::clock;
use crate::model::manifest::CommitSha;
use crate::record::{DueReaction, Follow, RecordError};
use crate::repository::RepositoryError;
use crate::snapshot::Snapshot;
use crate::validate::is_back;

/// The most commits that are followed: the newest.
const FOLLOWED_MAX: u32 = 1_000;
/// How long a commit is followed, in microseconds: seven days.
const FOLLOWED_US: i64 = 7 * 86_400 * 1_000_000;
/// The most commits that are looked through for somebody else's.
const OURS_MAX: u32 = 1_000;

/// The newest head that was looked at, and how long the journal's chain was then.
#[derive(Debug, Default)]
pub struct Following(Mutex<Option<(CommitSha, i64)>>);

impl Following {
    fn newest(&self) -> Option<(CommitSha, i64)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, head: CommitSha, position: i64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((head, position));
    }
}

/// How long the journal's chain was before the desired state was read: what was committed by then is in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Since(i64);

impl Pipeline {
    /// Asked before a snapshot is taken that is then followed.
    pub(super) async fn since(&self) -> Result<Since, RecordError> {
        Ok(Since(self.journal.head().await?.position))
    }

    /// Notes which of our commits a person has taken back, as of this head.
    pub(super) async fn follow(&self, since: Since, snapshot: &Arc<Snapshot>) -> Result<(), RecordError> {
        let Since(until) = since;
        let head = snapshot.commit();
        let after = match self.following.newest() {
            // What was followed before stands as it stood, but for what we have committed since.
            Some((seen, position)) if seen == *head => position,
            Some((seen, position)) if self.journal.only_ours(&seen, head, OURS_MAX).await? => position,
            _ => 0,
        };
        if after < until {
            let since_us = clock::now_us() - FOLLOWED_US;
            let follow = Follow { after, until, since_us, most: FOLLOWED_MAX };
            let views = self.views(Arc::clone(snapshot));
            for standing in self.journal.standing(follow).await? {
                let Ok(view) = views.of(standing.cluster.as_deref()) else { continue };
                let are_back = || standing.undo.iter().all(|undone| is_back(undone, view));
                if !standing.undo.is_empty() && block_in_place(are_back) {
                    self.note_override(standing.reaction, head).await?;
                }
            }
        }
        self.following.put(head.clone(), until);
        Ok(())
    }

    async fn note_override(&self, reaction: i64, head: &CommitSha) -> Result<(), RecordError> {
        if self.journal.note_override(reaction, head).await? {
            self.metrics.overrides.inc();
            tracing::warn!(
                reaction.id = reaction,
                commit.sha = %head,
                "a person has taken a commit back; the same incident is left alone for a while"
            );
        }
        Ok(())
    }

    /// Looks at the head while no event comes.
    pub(super) async fn follow_head(&self, head: &CommitSha) -> Result<(), FollowError> {
        if self.following.newest().is_some_and(|(seen, _)| seen == *head) {
            return Ok(());
        }
        let since = self.since().await?;
        let snapshot = self.reached(self.repository.snapshot_at_head().await)?;
        Ok(self.follow(since, &snapshot).await?)
    }

    /// Why a reaction is not acted on, if a person has taken back what the same incident led to.
    pub(super) async fn respected(&self, reaction: &DueReaction) -> Result<Option<String>, RecordError> {
        let respected_us = i64::from(self.repeats.overridden_s) * 1_000_000;
        if respected_us == 0 {
            return Ok(None);
        }
        let now = clock::now_us();
        let found = self.journal.override_of(reaction.id, now - respected_us).await?;
        Ok(found.map(|seen| {
            let until = clock::rfc3339(seen.seen_us + respected_us);
            format!(
                "a person has taken back reaction {} to the same incident, as seen at commit {}: it is left \
                 alone until {until}; replay the event to react all the same",
                seen.reaction, seen.head
            )
        }))
    }
}

/// The head could not be followed.
#[derive(Debug, thiserror::Error)]
pub(super) enum FollowError {
    #[error("the desired state cannot be read")]
    Repository(#[from] RepositoryError),
    #[error("the journal did not answer")]
    Journal(#[from] RecordError),
}
