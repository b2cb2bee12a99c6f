//! The commit stage: a validated change becomes one commit of the desired state.
//!
//! Compare-and-swap on the base that the change was made for, and no second try here: what to do after
//! a failure is the pipeline's to decide, from [`failure::CommitFailure::retry`]. Nothing here changes
//! a manifest's text.

pub mod failure;
pub mod message;
pub mod notify;

use crate::model::manifest::CommitSha;
use crate::repository::{FileChange, Repository};
use failure::CommitFailure;
use message::Message;

/// Files to commit, and the commit that they were made from.
#[derive(Debug, Clone)]
pub struct Change {
    base: CommitSha,
    files: Vec<FileChange>,
}

impl Change {
    /// Files made from `base`.
    #[must_use]
    pub fn new(base: CommitSha, files: Vec<FileChange>) -> Self {
        Self { base, files }
    }

    /// The commit that the files were made from.
    #[must_use]
    pub fn base(&self) -> &CommitSha {
        &self.base
    }

    /// Every file that changes, whole.
    #[must_use]
    pub fn files(&self) -> &[FileChange] {
        &self.files
    }
}

/// Makes the commit, if the branch is still at the change's base.
///
/// # Errors
/// When it was not made, or when nobody knows; the failure says whether to try again.
pub async fn commit(
    repository: &Repository,
    change: &Change,
    message: &Message,
) -> Result<CommitSha, CommitFailure> {
    repository
        .commit(change.base(), change.files(), message.as_str())
        .await
        .map_err(|source| CommitFailure::new(change, source))
}
