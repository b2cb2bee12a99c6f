//! What can go wrong with a remote repository, and whether to try again.
//!
//! The variants say what is known about the remote, not which library found out. A commit has two
//! kinds of trouble more than reading has: the branch moved on, and nobody knows whether it was made.

use std::path::PathBuf;
use std::time::Duration;

use git2::{ErrorClass, ErrorCode};

use crate::model::manifest::CommitSha;

/// How long to wait for something that may mend itself, or that a person must mend elsewhere.
const BACKOFF: Duration = Duration::from_secs(5);
const BACKOFF_PERSON: Duration = Duration::from_secs(60);

/// How long to wait when a server says "too many" without saying for how long.
pub(super) const RATE_LIMIT_WAIT: Duration = Duration::from_secs(60);

/// Whether to do the same again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It would end the same way.
    Never,
    /// At once, from the new head.
    Now,
    /// After a wait.
    After(Duration),
    /// Look for our trailer in the branch first: the commit may have been made.
    LookFirst,
}

/// The repository could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// The configuration cannot work.
    #[error("the repository's configuration is wrong: {reason}")]
    Config {
        /// What is wrong, and what is right.
        reason: String,
    },
    /// A secret's file could not be read.
    #[error("cannot read the secret in {}", path.display())]
    Secret {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The credentials were not accepted. They are read again at each use, so a new token mends this.
    #[error("{remote} does not accept the credentials: {reason}")]
    Unauthorized {
        /// Which server or repository.
        remote: String,
        /// Its words.
        reason: String,
    },
    /// The credentials are known but may not do this.
    #[error("{remote} does not allow it: {reason}")]
    Forbidden {
        /// Which server or repository.
        remote: String,
        /// Its words.
        reason: String,
    },
    /// The server's certificate or host key is not one that we trust.
    #[error("{remote} cannot be trusted: {reason}")]
    Untrusted {
        /// Which server.
        remote: String,
        /// Why not.
        reason: String,
    },
    /// No such repository, branch or commit (or one that these credentials may not see).
    #[error("{what} was not found; check that it exists and that the credentials may read it")]
    NotFound {
        /// The repository, branch or commit.
        what: String,
    },
    /// The repository has another address now.
    #[error("{remote} has moved to {location}: put the new name into the configuration")]
    Moved {
        /// Where it was.
        remote: String,
        /// Where it is.
        location: String,
    },
    /// Too many requests.
    #[error("{remote} limits our requests; next try in {} s", retry_after.as_secs())]
    RateLimited {
        /// Which server.
        remote: String,
        /// How long it wants us to wait.
        retry_after: Duration,
    },
    /// No answer, or one that says "later".
    #[error("{remote} cannot be reached: {reason}")]
    Unreachable {
        /// Which server or repository.
        remote: String,
        /// What happened.
        reason: String,
    },
    /// An answer that we do not understand.
    #[error("{remote} answered in a way that is not understood: {reason}")]
    Unexpected {
        /// Which server.
        remote: String,
        /// The answer's essence.
        reason: String,
    },
    /// A limit of the configuration.
    #[error("{what} exceeds {limit} = {max}; raise repository.limits.{limit} or make it smaller")]
    TooLarge {
        /// The file, or what else is too large.
        what: String,
        /// The limit's name in the configuration.
        limit: &'static str,
        /// The limit.
        max: usize,
    },
    /// Our own clone is damaged; it is made anew at the next reading.
    #[error("our clone in the data directory is damaged ({operation})")]
    Corrupt {
        /// What was being done.
        operation: &'static str,
        /// Git's words.
        source: git2::Error,
    },
    /// Git failed in another way.
    #[error("cannot {operation}")]
    Git {
        /// What was being done.
        operation: &'static str,
        /// Git's words.
        source: git2::Error,
    },
    /// The data directory failed.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was being done.
        operation: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The gateway is going down.
    #[error("the work on the repository was broken off")]
    Stopped(#[from] tokio::task::JoinError),
}

/// The commit was not made, or nobody knows.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Someone else was faster. Nothing was written.
    #[error("branch {branch} is no longer at the commit that the change was made for")]
    HeadMoved {
        /// The branch.
        branch: String,
    },
    /// The files already are as they should be; an empty commit is never made.
    #[error("the commit would change nothing")]
    Unchanged,
    /// More than one commit may hold.
    #[error("the commit's files have {bytes} bytes together; repository.limits.commitBytesMax is {max}")]
    TooLarge {
        /// The files together.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A path that no manifest can have, or that is a link, a folder or a submodule.
    #[error("{path:?} cannot be written: {reason}")]
    BadPath {
        /// The path.
        path: String,
        /// Why not.
        reason: &'static str,
    },
    /// A hook or a rule of the branch does not let it in.
    #[error("branch {branch} is protected: {reason}")]
    Protected {
        /// The branch.
        branch: String,
        /// The hook's or the server's words.
        reason: String,
    },
    /// A branch of ours is not as we left it.
    #[error(
        "branch {branch} is at {}, which is no commit of ours: people work there, so merge its pull request, or \
         delete the branch",
        head.short()
    )]
    Taken {
        /// The branch.
        branch: String,
        /// The commit that it is at.
        head: CommitSha,
    },
    /// The server has not what commits are made with; from now on they are made of their parts. Nothing was
    /// written, and the parts are more calls, to be paid for first.
    #[error("{remote} has no createCommitOnBranch; the commit is made of its parts: {reason}")]
    NoMutation {
        /// The repository.
        remote: String,
        /// The server's words.
        reason: String,
    },
    /// The answer was lost: what was asked for may have been done.
    #[error("it is not known whether the repository was changed: {reason}")]
    Unknown {
        /// How the answer was lost.
        reason: String,
    },
    /// The remote could not be used; nothing was written.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

impl RepositoryError {
    /// The kind in kebab-case, for the journal and the metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Config { .. } => "config",
            Self::Secret { .. } => "secret",
            Self::Unauthorized { .. } => "unauthorized",
            Self::Forbidden { .. } => "forbidden",
            Self::Untrusted { .. } => "untrusted",
            Self::NotFound { .. } => "not-found",
            Self::Moved { .. } => "moved",
            Self::RateLimited { .. } => "rate-limited",
            Self::Unreachable { .. } => "unreachable",
            Self::Unexpected { .. } => "unexpected",
            Self::TooLarge { .. } => "too-large",
            Self::Corrupt { .. } => "corrupt-clone",
            Self::Git { .. } => "git",
            Self::Io { .. } => "io",
            Self::Stopped(_) => "stopped",
        }
    }

    /// Whether to try again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            // What a person must mend elsewhere is no fault of the change: it waits.
            Self::Secret { .. }
            | Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            | Self::Untrusted { .. }
            | Self::NotFound { .. }
            | Self::Moved { .. }
            | Self::TooLarge { .. } => Retry::After(BACKOFF_PERSON),
            Self::RateLimited { retry_after, .. } => Retry::After(*retry_after),
            // Git's other failures are the data directory's more often than not: a full disk, say.
            Self::Unreachable { .. } | Self::Git { .. } | Self::Io { .. } | Self::Stopped(_) => {
                Retry::After(BACKOFF)
            }
            Self::Corrupt { .. } => Retry::Now,
            Self::Config { .. } | Self::Unexpected { .. } => Retry::Never,
        }
    }

    /// What a failed exchange with a remote means.
    pub(super) fn of_remote(operation: &'static str, remote: &str, source: git2::Error) -> Self {
        let remote = remote.to_owned();
        let reason = source.message().to_owned();
        match (source.code(), source.class()) {
            (ErrorCode::Auth, _) => Self::Unauthorized { remote, reason },
            (ErrorCode::Certificate, _) => Self::Untrusted { remote, reason },
            (ErrorCode::Owner, _) => Self::Forbidden { remote, reason },
            (_, ErrorClass::Http | ErrorClass::Net | ErrorClass::None) => Self::of_http(remote, reason),
            (ErrorCode::NotFound, ErrorClass::Repository | ErrorClass::Os) => Self::NotFound { what: remote },
            // "cannot extend packfile": our own disk.
            (_, ErrorClass::Os) if reason.contains("pack") => Self::Git { operation, source },
            (_, ErrorClass::Os | ErrorClass::Ssl | ErrorClass::Ssh | ErrorClass::Callback) => {
                Self::Unreachable { remote, reason }
            }
            _ => Self::of_clone(operation, source),
        }
    }

    /// What a failed operation on our own clone means.
    pub(super) fn of_clone(operation: &'static str, source: git2::Error) -> Self {
        let damaged = matches!(
            source.class(),
            ErrorClass::Odb
                | ErrorClass::Object
                | ErrorClass::Zlib
                | ErrorClass::Reference
                | ErrorClass::Repository
                | ErrorClass::Config
                | ErrorClass::Tree
                | ErrorClass::Indexer
        ) || matches!(source.code(), ErrorCode::Locked | ErrorCode::HashsumMismatch);
        if damaged { Self::Corrupt { operation, source } } else { Self::Git { operation, source } }
    }

    /// libgit2 tells a status only in the text of its message.
    fn of_http(remote: String, reason: String) -> Self {
        let status =
            reason.rsplit_once("status code: ").and_then(|(_, code)| code.trim().parse::<u16>().ok());
        match status {
            Some(401) => Self::Unauthorized { remote, reason },
            Some(403) => Self::Forbidden { remote, reason },
            Some(404) => Self::NotFound { what: remote },
            Some(429) => Self::RateLimited { remote, retry_after: RATE_LIMIT_WAIT },
            _ if reason.contains("authentication") => Self::Unauthorized { remote, reason },
            _ => Self::Unreachable { remote, reason },
        }
    }
}

impl CommitError {
    /// The kind in kebab-case, for the journal and the metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::HeadMoved { .. } => "head-moved",
            Self::NoMutation { .. } => "no-mutation",
            Self::Unchanged => "unchanged",
            Self::TooLarge { .. } => "too-large",
            Self::BadPath { .. } => "bad-path",
            Self::Protected { .. } => "protected",
            Self::Taken { .. } => "branch-taken",
            Self::Unknown { .. } => "answer-lost",
            Self::Repository(error) => error.kind(),
        }
    }

    /// Whether to try again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::HeadMoved { .. } | Self::NoMutation { .. } => Retry::Now,
            Self::Unknown { .. } => Retry::LookFirst,
            Self::Unchanged
            | Self::TooLarge { .. }
            | Self::BadPath { .. }
            | Self::Protected { .. }
            | Self::Taken { .. } => Retry::Never,
            Self::Repository(error) => error.retry(),
        }
    }
}
