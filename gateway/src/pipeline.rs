//! The order of the stages: the only file that names two of them.
//!
//! `admit` takes a request to the journal; `process` takes what the journal holds to its end. A
//! first try, a retry and a restart pass through the same lines, because all three start from the
//! journal. Nothing is decided here that a stage could decide.

mod breaker;
mod clusters;
mod burst;
mod commit;
mod decide;
mod follow;
mod hold;
mod judge;
mod modes;
mod pauses;
mod plugins;
mod preview;
mod process;
mod propose;
mod queue;
mod repeats;
mod revert;
mod throttle;
mod turns;

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use tokio::sync::{Notify, watch};

pub use breaker::{Breakers, Parked};
pub use clusters::{Cluster, Clusters};
pub use decide::Deciding;
pub use follow::Following;
pub use hold::Hold;
pub use modes::Modes;
pub use pauses::Pauses;
pub use preview::Preview;
pub use queue::{Queue, Step};
pub use repeats::Repeats;
pub use throttle::{PROPOSE_CALLS, Throttle};

use crate::commit::{Coalesce, Notifier};
use crate::crash_point::CrashPoint;
use crate::dispatch::Catalog;
use crate::model::manifest::CommitSha;
use crate::receive::{self, Rejection};
use crate::record::{Admission, Journal, RecordError};
use crate::repository::Repository;
use crate::telemetry::{Metrics, StatusLabel};
use crate::validate::{DryRun, DryRunError, Guardrails, Refusals, Schemas, Validated};

/// Why a proposal comes to no commit although nothing is wrong.
const UNCHANGED: &str = "the desired state already is as proposed";

/// How often, how many and how long.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Attempts of a reaction before it is exhausted.
    pub attempts_max: i64,
    /// Times a commit is made anew at once because the head moved.
    pub races_max: u32,
    /// Reactions of one plugin taken from the journal at once.
    pub round_reactions_max: u32,
    /// Plugins that run at the same time.
    pub plugins_running_max: usize,
    /// The first wait before trying again; it doubles each time.
    pub backoff_first_ms: i64,
    /// The longest wait before trying again, unless a server asks for a longer one.
    pub backoff_max_ms: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            attempts_max: 30,
            races_max: 10,
            round_reactions_max: 64,
            plugins_running_max: 4,
            backoff_first_ms: 500,
            backoff_max_ms: 300_000,
        }
    }
}

/// All that an event meets on its path.
#[derive(Debug)]
pub struct Pipeline {
    /// The journal.
    pub journal: Journal,
    /// The desired-state repository.
    pub repository: Repository,
    /// The plugins as they are now.
    pub plugins: watch::Sender<Arc<Catalog>>,
    /// The modes that were switched.
    pub modes: Modes,
    /// Whether anything is committed.
    pub pauses: Pauses,
    /// What no plugin may do.
    pub guardrails: Guardrails,
    /// How long reports of one incident are one.
    pub repeats: Repeats,
    /// The clusters that the repository serves.
    pub clusters: Clusters,
    /// How proposals are joined into commits.
    pub coalesce: Coalesce,
    /// What holds all commits.
    pub throttle: Throttle,
    /// Up to which head our commits were followed.
    pub following: Following,
    /// What a valid object looks like.
    pub schemas: Arc<Schemas>,
    /// An API server that is asked what it would make of a change.
    pub dry_run: Option<DryRun>,
    /// Flux receivers to call after a commit.
    pub notifier: Notifier,
    /// The branch, as Flux names it.
    pub branch: String,
    /// Our newest commit, for whoever tells Flux: only the last one matters.
    pub newest_commit: watch::Sender<Option<CommitSha>>,
    /// What `/metrics` shows.
    pub metrics: Arc<Metrics>,
    /// Limits of receiving.
    pub receive_limits: receive::Limits,
    /// Limits of processing.
    pub limits: Limits,
    /// Which plugins are parked.
    pub breakers: Breakers,
    /// On while the desired state cannot be read.
    pub hold: Hold,
    /// Rung when there may be new work.
    pub wake: Wake,
}

/// Bells of the three loops, so that none waits for its poll.
#[derive(Debug, Default)]
pub struct Wake {
    /// There are events without reactions.
    pub events: Notify,
    /// There are reactions without a decision.
    pub reactions: Notify,
    /// There are proposals.
    pub proposals: Notify,
    /// The branch has a commit of ours, or how often it is looked at has changed.
    pub repository: Notify,
}

impl Pipeline {
    /// The path over these parts, with default guardrails and limits, and nothing on its way.
    #[must_use]
    pub fn new(
        journal: Journal,
        repository: Repository,
        plugins: Catalog,
        modes: Modes,
        notifier: Notifier,
        branch: &str,
    ) -> Self {
        Self {
            journal,
            repository,
            plugins: watch::Sender::new(Arc::new(plugins)),
            modes,
            pauses: Pauses::default(),
            guardrails: Guardrails::default(),
            repeats: Repeats::default(),
            clusters: Clusters::default(),
            coalesce: Coalesce::default(),
            throttle: Throttle::default(),
            following: Following::default(),
            schemas: Arc::new(Schemas::kubernetes()),
            dry_run: None,
            notifier,
            branch: branch.to_owned(),
            newest_commit: watch::Sender::default(),
            metrics: Arc::new(Metrics::new()),
            receive_limits: receive::Limits::default(),
            limits: Limits::default(),
            breakers: Breakers::default(),
            hold: Hold::default(),
            wake: Wake::default(),
        }
    }

    /// Asks the API server, if one is configured, what it would make of a change that is valid so far.
    async fn dry_run(
        &self,
        validated: Result<Validated, Refusals>,
    ) -> Result<Result<Validated, Refusals>, DryRunError> {
        match (&self.dry_run, validated) {
            (Some(dry_run), Ok(Validated::Change(change))) => {
                let asked = dry_run.check(change.objects()).await?;
                Ok(asked.map(|()| Validated::Change(change)))
            }
            (_, validated) => Ok(validated),
        }
    }

    /// Decodes a request and stores it; the events are on disk when this returns.
    ///
    /// # Errors
    /// A [`Rejection`]: nothing of the request was stored.
    pub async fn admit(&self, headers: &HeaderMap, body: Bytes) -> Result<Admission, Rejection> {
        let received = receive::decode(headers, body, &self.receive_limits)?;
        CrashPoint::Decoded.reach();
        let admission = self.journal.record(received).await.map_err(rejection)?;
        CrashPoint::Recorded.reach();
        let stored = admission.events.iter().filter(|event| !event.known).count();
        self.metrics.events.inc_by(stored as u64);
        self.wake.events.notify_one();
        Ok(admission)
    }

    /// Counts an answer to an ingest request.
    pub fn count_answer(&self, status: http::StatusCode, kind: &str) {
        let label = StatusLabel { status: status.as_u16(), kind: kind.to_owned() };
        self.metrics.requests.get_or_create(&label).inc();
    }
}

fn rejection(error: RecordError) -> Rejection {
    match error {
        RecordError::Conflict { source_name, id, seq } => Rejection::Conflict { source_name, id, seq },
        RecordError::Full(_) => Rejection::TooBusy { retry_after_s: 1 },
        error => {
            tracing::error!(error = %chain(&error), "an event could not be stored and was not acknowledged");
            Rejection::Unavailable
        }
    }
}

/// An error with all its sources, for a log line or the journal.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
