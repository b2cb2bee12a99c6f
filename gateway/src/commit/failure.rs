//! Why a change is not in the branch, and what to do about it.

use crate::model::manifest::CommitSha;
use crate::repository::{CommitError, Retry};
use crate::validate::ValidatedChange;

/// Files that are named of one change.
const PATHS_TOLD_MAX: usize = 4;

/// A change that was not committed, or of which nobody knows.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {paths} onto {}", base.short())]
pub struct CommitFailure {
    operation: &'static str,
    paths: String,
    base: CommitSha,
    source: CommitError,
}

impl CommitFailure {
    pub(super) fn new(operation: &'static str, change: &ValidatedChange, source: CommitError) -> Self {
        let told = change.files().iter().take(PATHS_TOLD_MAX).map(|file| file.path.as_str());
        let mut paths = told.collect::<Vec<_>>().join(", ");
        if let Some(more @ 1..) = change.files().len().checked_sub(PATHS_TOLD_MAX) {
            paths.push_str(&format!(" and {more} more"));
        }
        Self { operation, paths, base: change.base().clone(), source }
    }

    /// What the repository said.
    #[must_use]
    pub fn error(&self) -> &CommitError {
        &self.source
    }

    /// The kind in kebab-case, for the journal and the metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.source.kind()
    }

    /// Whether to try again. `Now` means: from the new head, with the change made anew.
    #[must_use]
    pub fn retry(&self) -> Retry {
        self.source.retry()
    }
}
