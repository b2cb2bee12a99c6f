//! The loops behind the journal: each takes what is due, and waits when nothing is.
//!
//! A loop is woken by a bell; its poll is only for what becomes due by time.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Notify, watch};
use tokio::task::JoinSet;

use crate::clock;
use crate::model::manifest::CommitSha;
use crate::pipeline::{Deciding, Pipeline, Step};
use crate::record::{PausedBy, RecordError};
use crate::shutdown::Shutdown;

const POLL_MS: u64 = 500;
/// How often the repository is looked at when no event comes.
const LOOK_MS: u64 = 60_000;
/// The same while a file in it pauses the gateway: somebody waits for its end.
const LOOK_PAUSED_MS: u64 = 5_000;

/// Runs the loops until shutdown; each finishes the round it is in.
pub async fn run(pipeline: Arc<Pipeline>, shutdown: Shutdown) {
    let mut loops = JoinSet::new();
    let telling = tokio::spawn(tell_flux(Arc::clone(&pipeline), shutdown.clone()));
    let looking = tokio::spawn(look_at_repository(Arc::clone(&pipeline), shutdown.clone()));
    let (events, reactions, proposals) =
        (Arc::clone(&pipeline), Arc::clone(&pipeline), Arc::clone(&pipeline));
    let stop = shutdown.clone();
    loops.spawn(async move {
        repeat("route", &events.wake.events, stop, || events.route_due()).await;
    });
    let stop = shutdown.clone();
    loops.spawn(async move {
        // One step at a time; what is being decided stays from one to the next.
        let deciding = Mutex::new(Deciding::default());
        let step = || async { reactions.decide_due(&mut *deciding.lock().await).await };
        repeat("decide", &reactions.wake.reactions, stop, step).await;
        deciding.into_inner().end().await;
    });
    loops.spawn(async move {
        commit(&proposals, shutdown).await;
    });
    loops.join_all().await;
    looking.abort();
    // The last round may have made a commit that nobody was told of.
    if let Ok(mut newest) = telling.await
        && newest.has_changed().unwrap_or_default()
        && let Some(sha) = take(&mut newest)
    {
        pipeline.tell_flux(&sha).await;
    }
}

/// Keeps the metrics true, and the clone fresh, while no event comes.
async fn look_at_repository(pipeline: Arc<Pipeline>, mut shutdown: Shutdown) {
    while !shutdown.is_ending() {
        pipeline.look_at_repository().await;
        let paused = pipeline.pauses.by(PausedBy::File).is_some();
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(if paused { LOOK_PAUSED_MS } else { LOOK_MS })) => {}
            () = pipeline.wake.repository.notified() => {}
            () = shutdown.wait() => {}
        }
    }
}

type Newest = watch::Receiver<Option<CommitSha>>;

/// Beside the commits, not among them: a receiver that hangs must not hold them up.
async fn tell_flux(pipeline: Arc<Pipeline>, mut shutdown: Shutdown) -> Newest {
    let mut newest = pipeline.newest_commit.subscribe();
    while !shutdown.is_ending() {
        tokio::select! {
            Ok(()) = newest.changed() => {
                if let Some(sha) = take(&mut newest) {
                    pipeline.tell_flux(&sha).await;
                }
            }
            () = shutdown.wait() => {}
        }
    }
    newest
}

fn take(newest: &mut Newest) -> Option<CommitSha> {
    newest.borrow_and_update().clone()
}

/// Commits what is to be committed, and waits until a proposal comes or a burst is over.
async fn commit(pipeline: &Pipeline, mut shutdown: Shutdown) {
    while !shutdown.is_ending() {
        let next_us = match pipeline.commit_due().await {
            Ok(Step { taken: 0, next_us }) => next_us,
            Ok(_) => continue,
            Err(error) => {
                tracing::error!(worker.name = "commit", error = %error, "a round failed; it is tried again");
                None
            }
        };
        let wait_us = next_us.and_then(|next_us| u64::try_from(next_us - clock::now_us()).ok());
        let poll = Duration::from_millis(POLL_MS);
        tokio::select! {
            () = pipeline.wake.proposals.notified() => {}
            () = tokio::time::sleep(wait_us.map_or(poll, |wait_us| poll.min(Duration::from_micros(wait_us)))) => {}
            () = shutdown.wait() => {}
        }
    }
}

async fn repeat<F>(name: &str, bell: &Notify, mut shutdown: Shutdown, round: impl Fn() -> F)
where
    F: Future<Output = Result<usize, RecordError>>,
{
    while !shutdown.is_ending() {
        match round().await {
            Ok(0) => {}
            Ok(_) => continue,
            Err(error) => {
                tracing::error!(worker.name = name, error = %error, "a round failed; it is tried again")
            }
        }
        tokio::select! {
            () = bell.notified() => {}
            () = tokio::time::sleep(Duration::from_millis(POLL_MS)) => {}
            () = shutdown.wait() => {}
        }
    }
}
