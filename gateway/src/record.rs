//! The journal: the only truth of what came, what was decided and what was done.
//!
//! One writer task commits in groups with `synchronous=FULL`; readers stand beside it. A value of
//! this stage ([`RecordedEvent`], [`Proposal`]) proves that its row is on disk. Nothing outside
//! this module may speak SQL.

mod afterwards;
mod attempt;
mod chain;
mod event;
mod open;
mod pause;
mod pull_request;
mod query;
mod queue;
mod reaction;
mod repeat;
mod replay;
mod revert;
mod switch;
mod undo;
mod writer;
mod window;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::SqlitePool;
use tokio::sync::mpsc;

pub use afterwards::{Afterwards, ReactionRow};
pub use attempt::{Postponed, Stage};
pub use chain::{ChainBreak, ChainHead};
pub use event::{Admission, Admitted, RawStored, RecordedEvent};
pub use pause::{Pause, PauseSwitch, PausedBy};
pub use pull_request::{SettledPullRequest, StandingPullRequest};
pub use query::{AttemptView, CommitView, EventDetail, EventFilter, EventRow, ReactionView};
pub use queue::{AskedWait, Due, Waiting};
pub use reaction::{Decided, DueReaction, Proposal, Route, SettledCommit, Settlement};
pub use repeat::{FirstReaction, FirstReport};
pub use replay::{Base, ReplayMode, ReplayPlan, ReplayRow};
pub use revert::{Irrevertible, RevertRequest, RevertedBy, Reverting};
pub use switch::Switch;
pub use undo::{Follow, Overdue, Override, Standing, TakeBack};

/// Where the journal lives.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// The data directory: `riposte.db` and the bare clone of the desired state.
    pub dir: PathBuf,
    /// The most writes that wait for the writer; more are answered "too busy".
    pub queue_writes_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { dir: PathBuf::from("riposte-data"), queue_writes_max: 4096 }
    }
}

/// The journal could not be opened, written or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The data directory cannot be made or locked.
    #[error("cannot use the data directory {dir}: {reason}")]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The linked SQLite has a known corruption bug.
    #[error("SQLite {0} has a known WAL corruption bug; 3.51.3 or newer is needed")]
    Version(String),
    /// A migration failed, or the database is newer than this program.
    #[error("cannot bring the journal's schema up to date")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// SQLite refused: disk full, locked or damaged.
    #[error("the journal did not answer")]
    Database(#[from] sqlx::Error),
    /// The same `(source, id)` was stored before with other content.
    #[error("event {id:?} of source {source_name:?} is already stored as {seq} with other content")]
    Conflict {
        /// The event's `source`.
        source_name: String,
        /// The event's `id`.
        id: String,
        /// Where it is stored.
        seq: i64,
    },
    /// More writes wait than the limit allows.
    #[error("{0} writes are waiting for the journal, which is the limit")]
    Full(usize),
    /// The writer has ended.
    #[error("the journal is closed")]
    Closed,
    /// A stored row cannot be read back.
    #[error("a row of the journal cannot be read back: {0}")]
    Damaged(String),
}

/// The open journal. Cheap to clone; the file closes when the last clone and the writer are gone.
#[derive(Debug, Clone)]
pub struct Journal {
    name: String,
    writes: mpsc::Sender<writer::Write>,
    readers: SqlitePool,
    queue_writes_max: usize,
}

impl Journal {
    /// Eight hexadecimal digits that name this journal in commit trailers.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}
