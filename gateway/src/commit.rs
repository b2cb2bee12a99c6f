//! The commit stage: a validated change becomes one commit of the desired state, or of a pull request.
//! A change may be that of several proposals.
//!
//! Compare-and-swap on the base that the change was made for, and no second try here: what to do after
//! a failure is the pipeline's to decide, from [`CommitFailure::retry`]. Nothing here changes
//! a manifest's text.

pub mod budget;
pub mod coalesce;
mod failure;
mod inert;
mod message;
pub mod notify;
pub mod pull_request;

pub use budget::Budget;
pub use coalesce::{Burst, Closing, Coalesce};
pub use failure::CommitFailure;
pub use message::{Message, Parts, reaction_trailer};
pub use notify::Notifier;

use crate::model::manifest::CommitSha;
use crate::repository::{Proposed, PullRequestDraft, Repository};
use crate::validate::ValidatedChange;

/// Makes the commit, if the branch is still at the change's base.
///
/// # Errors
/// When it was not made, or when nobody knows; the failure says whether to try again.
pub async fn commit(
    repository: &Repository,
    change: &ValidatedChange,
    message: &Message,
) -> Result<CommitSha, CommitFailure> {
    repository
        .commit(change.base(), change.files(), message.as_str())
        .await
        .map_err(|source| CommitFailure::new("commit", change, source))
}

/// How many calls of a forge's budget [`commit`] takes.
///
/// # Errors
/// Why the commit cannot be made; the failure says whether to try again.
pub async fn calls(repository: &Repository, change: &ValidatedChange) -> Result<u32, CommitFailure> {
    let calls = repository.commit_calls(change.base(), change.files()).await;
    calls.map_err(|source| CommitFailure::new("commit", change, source))
}

/// Sees to it that a pull request with the change is open. `known` is the commit that its branch was left
/// at, if one is known.
///
/// # Errors
/// When it is not, or when nobody knows; the failure says whether to try again, which goes on.
pub async fn propose(
    repository: &Repository,
    change: &ValidatedChange,
    message: &Message,
    draft: &PullRequestDraft,
    known: Option<&CommitSha>,
) -> Result<Proposed, CommitFailure> {
    repository
        .propose(change.base(), change.files(), message.as_str(), draft, known)
        .await
        .map_err(|source| CommitFailure::new("propose", change, source))
}
