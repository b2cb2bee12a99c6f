//! The one writer: takes what waits, commits it as one transaction, then answers.
//!
//! Group commit is what makes `synchronous=FULL` affordable: one flush of the disk serves all that
//! arrived while the last one ran. An answer is sent only after the transaction is on disk.

use std::fs::File;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use super::attempt::{self, Postponed, Stage};
use super::chain::ChainHead;
use super::event::{self, Admission};
use super::pause::{self, PauseSwitch};
use super::queue::{self, Note};
use super::reaction::{self, Decided, Route, Settlement};
use super::repeat;
use super::replay::{self, ReplayPlan};
use super::switch::{self, Switch};
use super::{Journal, RecordError};
use crate::receive::Received;

/// The most writes of one transaction.
const GROUP_WRITES_MAX: usize = 512;

type Reply<T> = oneshot::Sender<Result<T, RecordError>>;

/// A change to the journal and where its answer goes.
pub(super) enum Write {
    Record(Received, Reply<Admission>),
    Route(i64, Vec<Route>, Reply<()>),
    Repeat(i64, i64, Reply<()>),
    BeginAttempts(Vec<i64>, Stage, Reply<Vec<i64>>),
    Withdraw(Vec<i64>, Reply<()>),
    Postpone(Vec<Postponed>, Reply<()>),
    Decide(i64, Decided, Reply<ChainHead>),
    Settle(Vec<(i64, Settlement)>, Reply<()>),
    Note(Note, Reply<()>),
    Replay(ReplayPlan, Reply<i64>),
    Switch(Switch, Reply<()>),
    Pause(PauseSwitch, Reply<i64>),
}

impl Journal {
    /// Hands a write to the writer and waits until it is on disk.
    pub(super) async fn write<T>(&self, make: impl FnOnce(Reply<T>) -> Write) -> Result<T, RecordError> {
        let (reply, answer) = oneshot::channel();
        self.writes.send(make(reply)).await.map_err(|_| RecordError::Closed)?;
        answer.await.map_err(|_| RecordError::Closed)?
    }

    /// The same, but refused at once when the queue is full: for work that a client waits for.
    pub(super) async fn try_write<T>(&self, make: impl FnOnce(Reply<T>) -> Write) -> Result<T, RecordError> {
        let (reply, answer) = oneshot::channel();
        self.writes.try_send(make(reply)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => RecordError::Full(self.queue_writes_max),
            mpsc::error::TrySendError::Closed(_) => RecordError::Closed,
        })?;
        answer.await.map_err(|_| RecordError::Closed)?
    }
}

/// Runs until every `Journal` is gone. The lock is held as long.
pub(super) async fn run(
    options: SqliteConnectOptions,
    mut connection: SqliteConnection,
    mut queue: mpsc::Receiver<Write>,
    lock: File,
) {
    let mut group = Vec::with_capacity(GROUP_WRITES_MAX);
    while queue.recv_many(&mut group, GROUP_WRITES_MAX).await > 0 {
        if let Err(error) = commit_group(&mut connection, &mut group).await {
            tracing::error!(error = %error, "the journal could not commit a group of writes");
            // A full disk may end SQLite's transaction under our hands: begin from a known state.
            match options.connect().await {
                Ok(fresh) => connection = fresh,
                Err(error) => tracing::error!(error = %error, "the journal could not be opened again"),
            }
        }
        group.clear();
    }
    if let Err(error) = connection.close().await {
        tracing::warn!(error = %error, "the journal did not close cleanly; SQLite recovers it at the next start");
    }
    drop(lock);
}

/// A write whose answer waits for the disk.
struct Answer {
    is_refused: bool,
    send: Box<dyn FnOnce(bool) + Send>,
}

async fn commit_group(connection: &mut SqliteConnection, group: &mut Vec<Write>) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let mut answers = Vec::with_capacity(group.len());
    for write in group.drain(..) {
        // Each write happens as a whole or not at all, whatever becomes of the others.
        let mut savepoint = transaction.begin().await?;
        let answer = apply(&mut savepoint, write).await;
        if answer.is_refused {
            savepoint.rollback().await?
        } else {
            savepoint.commit().await?
        }
        answers.push(answer);
    }
    let committed = transaction.commit().await;
    for answer in answers {
        (answer.send)(committed.is_ok());
    }
    committed
}

async fn apply(connection: &mut SqliteConnection, write: Write) -> Answer {
    match write {
        Write::Record(received, reply) => answer(reply, event::insert(connection, received).await),
        Write::Route(seq, routes, reply) => answer(reply, reaction::route(connection, seq, &routes).await),
        Write::Repeat(seq, first, reply) => answer(reply, repeat::mark(connection, seq, first).await),
        Write::BeginAttempts(ids, stage, reply) => {
            answer(reply, attempt::begin(connection, &ids, stage).await)
        }
        Write::Withdraw(ids, reply) => answer(reply, attempt::withdraw(connection, &ids).await),
        Write::Postpone(postponed, reply) => answer(reply, attempt::postpone(connection, &postponed).await),
        Write::Decide(id, decided, reply) => answer(reply, reaction::decide(connection, id, &decided).await),
        Write::Settle(ends, reply) => answer(reply, reaction::settle_all(connection, &ends).await),
        Write::Note(note, reply) => answer(reply, queue::note(connection, &note).await),
        Write::Replay(plan, reply) => answer(reply, replay::insert(connection, &plan).await),
        Write::Pause(taken, reply) => answer(reply, pause::insert(connection, &taken).await),
        Write::Switch(taken, reply) => answer(reply, switch::insert(connection, &taken).await),
    }
}

/// A caller that went away does not matter: what it asked for is on disk all the same.
fn answer<T: Send + 'static>(reply: Reply<T>, result: Result<T, RecordError>) -> Answer {
    let is_refused = result.is_err();
    let send = Box::new(move |committed| {
        let result = if committed { result } else { Err(RecordError::Database(sqlx::Error::WorkerCrashed)) };
        let _caller_gone = reply.send(result).is_err();
    });
    Answer { is_refused, send }
}
