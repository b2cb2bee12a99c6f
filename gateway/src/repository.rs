//! The desired-state repository: the seam under dispatch, validate and commit.
//!
//! Read through a bare clone, written by a push or by GitHub's API, always by compare-and-swap on the
//! commit that the change was made for. Git blocks, so it runs on the blocking threads, one call at a
//! time. Nothing here knows what may be changed, and nothing tries twice by itself.

pub mod config;
pub mod snapshot;
mod yaml;
mod index;
mod kustomize;
mod overlay;
mod roots;
mod flux;
mod effective;
mod helm;
mod content;
mod write;
mod owner;
pub mod edit;
pub mod list_item;
mod alignment;
mod json_text;
mod patch;
mod strategic;
mod files;
pub mod git;
mod push;
mod signing;
mod known_hosts;
mod github;
pub mod proposal;
pub mod remote_error;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::{Mutex, watch};

pub use config::{BudgetConfig, Config};
pub use edit::EditError;
pub use index::{Place, SourceFile};
pub use kustomize::{listed_again, listings, unlisted};
pub use overlay::ClusterFolder;
pub use proposal::{
    Closing, FoundPullRequest, ProposalBranch, Proposed, ProposedCommit, PullRequest, PullRequestDraft,
};
pub use remote_error::{CommitError, RepositoryError, Retry};
pub use snapshot::{Definition, Located, LookupError, OwnerLookupError, Snapshot, UnknownCluster};
pub use strategic::strategic_merge;
pub use write::{Files, Home, Working};

use crate::model::manifest::CommitSha;
use git::GitClone;
use github::GitHub;

/// A file as it shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// Relative to the root of the repository, with `/`.
    pub path: String,
    /// The whole content; `None` when the file shall not be there.
    pub content: Option<String>,
}

/// A commit that was found in the branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundCommit {
    /// Its id.
    pub sha: CommitSha,
    /// The commit it was made on.
    pub base: CommitSha,
    /// Its whole message.
    pub message: String,
    /// What it changed, as a unified diff.
    pub diff: String,
}

/// How many left out files of one commit are logged.
const SKIPPED_LOGGED_MAX: usize = 20;

/// The newest snapshot: what it has read is not read again for the next one.
type Newest = Option<Arc<Snapshot>>;

/// The desired-state repository, opened.
#[derive(Debug, Clone)]
pub struct Repository {
    clone: Arc<GitClone>,
    /// Held while Git works on the clone.
    newest: Arc<Mutex<Newest>>,
    /// What the newest look at the branch's head found; `None` before the first one.
    pause: Arc<watch::Sender<Option<Option<String>>>>,
    github: Option<Arc<GitHub>>,
}

impl Repository {
    /// Checks the configuration; opens no connection, and makes the clone under the data directory
    /// only when it is needed.
    ///
    /// # Errors
    /// When the configuration is wrong.
    pub fn new(config: &Config, data_dir: &Path) -> Result<Self, RepositoryError> {
        Self::serving(Vec::new(), config, data_dir)
    }

    /// The same, of a repository that serves several clusters.
    ///
    /// # Errors
    /// When the configuration is wrong.
    pub fn serving(
        clusters: Vec<ClusterFolder>,
        config: &Config,
        data_dir: &Path,
    ) -> Result<Self, RepositoryError> {
        let remote = config::Remote { clusters, ..config.clone().check()? };
        let github = remote.github.clone().map(|github| GitHub::new(github, &remote)).transpose()?;
        let app = github.as_ref().and_then(GitHub::app);
        let clone = Arc::new(GitClone::new(remote, app, data_dir));
        Ok(Self { clone, newest: Arc::default(), pause: Arc::default(), github: github.map(Arc::new) })
    }

    /// The same, and fetches (makes the clone, makes it anew if it is damaged).
    ///
    /// # Errors
    /// When the configuration is wrong or the repository cannot be read.
    pub async fn open(config: &Config, data_dir: &Path) -> Result<Self, RepositoryError> {
        let repository = Self::new(config, data_dir)?;
        repository.head().await?;
        Ok(repository)
    }

    /// Fetches; the commit that the branch is at.
    ///
    /// # Errors
    /// When the remote cannot be read or has no such branch.
    pub async fn head(&self) -> Result<CommitSha, RepositoryError> {
        let pause = Arc::clone(&self.pause);
        self.blocking(move |clone, _| {
            let head = clone.head()?;
            pause.send_replace(Some(files::pause(clone, &head)?));
            Ok(head)
        })
        .await
    }

    /// Why the branch pauses the gateway, if it does, as of the newest look at its head; `None` if
    /// there was none yet.
    #[must_use]
    pub fn pause(&self) -> Option<Option<String>> {
        self.pause.borrow().clone()
    }

    /// Fetches; the desired state at the commit that the branch is at.
    ///
    /// # Errors
    /// When the remote cannot be read, has no such branch, or a limit is exceeded.
    pub async fn snapshot_at_head(&self) -> Result<Arc<Snapshot>, RepositoryError> {
        let pause = Arc::clone(&self.pause);
        self.blocking(move |clone, newest| {
            let snapshot = snapshot_of(clone, &clone.head()?, newest.as_ref())?;
            pause.send_replace(Some(snapshot.pause().map(str::to_owned)));
            *newest = Some(Arc::clone(&snapshot));
            Ok(snapshot)
        })
        .await
    }

    /// The desired state at a commit that has been fetched.
    ///
    /// # Errors
    /// When the commit is unknown or a limit is exceeded.
    pub async fn snapshot(&self, commit: &CommitSha) -> Result<Arc<Snapshot>, RepositoryError> {
        let commit = commit.clone();
        self.blocking(move |clone, newest| snapshot_of(clone, &commit, newest.as_ref())).await
    }

    /// Makes one commit of these files on `base`, if the branch is still there.
    ///
    /// `message` is the subject, an empty line and the body.
    ///
    /// # Errors
    /// [`CommitError::HeadMoved`] when the branch is elsewhere; [`CommitError::Unknown`] when the
    /// commit may have been made and [`Self::find_commit_with`] must say; else nothing was written.
    pub async fn commit(
        &self,
        base: &CommitSha,
        files: &[FileChange],
        message: &str,
    ) -> Result<CommitSha, CommitError> {
        let (on, changes) = (base.clone(), files.to_vec());
        let Some(github) = &self.github else {
            let message = message.to_owned();
            return self
                .blocking(move |clone, _| {
                    let checked = push::check(clone, &on, &changes)?;
                    push::push(clone, &on, &changes, &message, &checked)
                })
                .await;
        };
        let checked = self.blocking(move |clone, _| push::check(clone, &on, &changes)).await?;
        github.commit(base, files, message, &checked).await
    }

    /// How many calls [`Self::commit`] would make that change something at GitHub: one as a rule, more for
    /// what one call cannot do. One for every other remote, which has no budget.
    ///
    /// # Errors
    /// Why the commit cannot be made.
    pub async fn commit_calls(&self, base: &CommitSha, files: &[FileChange]) -> Result<u32, CommitError> {
        let Some(github) = &self.github else { return Ok(1) };
        let (on, changes) = (base.clone(), files.to_vec());
        let checked = self.blocking(move |clone, _| push::check(clone, &on, &changes)).await?;
        Ok(github.commit_calls(files, &checked))
    }

    /// Fetches, then looks for a commit of the branch that has this trailer (`Key: value`), from the
    /// head back to `base`; as far as `walkCommitsMax` when `base` is not in the branch any more.
    ///
    /// # Errors
    /// When the remote cannot be read or the way back to `base` is longer than the limit.
    pub async fn find_commit_with(
        &self,
        trailer: &str,
        base: &CommitSha,
    ) -> Result<Option<FoundCommit>, RepositoryError> {
        let (trailer, base) = (trailer.to_owned(), base.clone());
        self.blocking(move |clone, _| clone.find(&trailer, &base)).await
    }

    /// The same of several trailers, each from the head back to its own base, with one fetch.
    ///
    /// # Errors
    /// When the remote cannot be read or a way back is longer than the limit.
    pub async fn find_commits_with(
        &self,
        wanted: Vec<(String, CommitSha)>,
    ) -> Result<Vec<Option<FoundCommit>>, RepositoryError> {
        self.blocking(move |clone, _| clone.find_each(&wanted)).await
    }

    /// What may be asked of GitHub, if the repository is written through its API.
    #[must_use]
    pub fn budget(&self) -> Option<&BudgetConfig> {
        self.clone.remote.github.as_ref().map(|github| &github.budget)
    }

    /// Whether the repository can be read and, as far as asking tells, written: one line for people.
    ///
    /// # Errors
    /// What stands in the way.
    pub async fn check(&self) -> Result<String, RepositoryError> {
        let head = self.head().await?;
        match &self.github {
            Some(github) => github.check().await?,
            None => self.blocking(|clone, _| push::check_access(clone)).await?,
        }
        let remote = &self.clone.remote;
        let way = if self.github.is_some() { "GitHub's API" } else { "push" };
        Ok(format!(
            "{} branch {} at {}: readable, writable by {way}",
            remote.url,
            remote.branch,
            head.short()
        ))
    }

    /// Runs Git on a blocking thread, alone. The lock stays with the thread even if the caller gives
    /// up waiting.
    async fn blocking<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<RepositoryError> + Send + 'static,
        F: FnOnce(&GitClone, &mut Newest) -> Result<T, E> + Send + 'static,
    {
        let clone = Arc::clone(&self.clone);
        let mut newest = Arc::clone(&self.newest).lock_owned().await;
        tokio::task::spawn_blocking(move || work(&clone, &mut newest))
            .await
            .map_err(|stopped| E::from(RepositoryError::from(stopped)))?
    }
}

fn snapshot_of(
    clone: &GitClone,
    commit: &CommitSha,
    newest: Option<&Arc<Snapshot>>,
) -> Result<Arc<Snapshot>, RepositoryError> {
    if let Some(newest) = newest.filter(|newest| newest.commit() == commit) {
        return Ok(Arc::clone(newest));
    }
    let newest = newest.map(AsRef::as_ref);
    let difference = match files::read(clone, commit, newest) {
        Err(RepositoryError::Corrupt { operation, source }) => {
            tracing::warn!(git.operation = operation, error = %source, "made the damaged clone anew");
            clone.make_anew()?;
            clone.head()?;
            files::read(clone, commit, newest)?
        }
        other => other?,
    };
    let remote = &clone.remote;
    let file_bytes_max = remote.limits.file_bytes_max;
    let snapshot = Snapshot::build(commit.clone(), difference, file_bytes_max, &remote.clusters);
    let snapshot = snapshot.paused(files::pause(clone, commit)?);
    log_skipped(&snapshot, newest);
    Ok(Arc::new(snapshot))
}

/// Files that are left out are told once, not with every commit.
fn log_skipped(snapshot: &Snapshot, newest: Option<&Snapshot>) {
    let known: HashSet<_> = newest.map(Snapshot::skipped).unwrap_or_default().iter().collect();
    let new: Vec<_> = snapshot.skipped().iter().filter(|file| !known.contains(file)).collect();
    for (path, reason) in new.iter().take(SKIPPED_LOGGED_MAX) {
        tracing::warn!(file.path = path, reason, "the objects of a file cannot be looked up nor changed");
    }
    if new.len() > SKIPPED_LOGGED_MAX {
        tracing::warn!(
            files = new.len(),
            logged = SKIPPED_LOGGED_MAX,
            "more files are left out; `riposte check` lists them"
        );
    }
}
