//! Reverts on disk: a reaction that takes another one back, with a decision that the host has made.
//!
//! What is asked for and what is due by time come through the same door. Whether there is something to
//! take back is judged here, in one transaction with the making of the revert, so that one reaction has
//! one revert at a time, whoever asks.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::chain::append;
use super::reaction::decision_digest;
use super::undo::stored_undo;
use super::writer::Write;
use super::{Journal, RecordError};
use crate::clock;
use crate::model::outcome::OutcomeKind;
use crate::model::patch::{Change, Changes, Decision, Patch};
use crate::model::undo::ObjectUndo;

/// Of a row that was damaged.
const UNREADABLE: &str = "what the journal has of it cannot be read back";

/// How long after an open revert an end by time is looked at again.
const LOOK_AGAIN_US: i64 = 60_000_000;

/// On whose word a reaction is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevertedBy {
    /// Somebody asked for it.
    Request,
    /// Its time is over.
    Expiry,
}

impl RevertedBy {
    /// The word the journal and the API use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Expiry => "expiry",
        }
    }
}

/// A reaction that shall be taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevertRequest {
    /// The reaction.
    pub reaction: i64,
    /// On whose word.
    pub by: RevertedBy,
    /// Why, in a sentence for people.
    pub reason: String,
}

/// What a request came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reverting {
    /// This reaction takes it back.
    Made(i64),
    /// This one was made before, and is open or has taken it back.
    Known(i64),
    /// There is nothing to take back.
    Impossible(Irrevertible),
}

/// Why a reaction cannot be taken back, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Irrevertible {
    /// No such reaction.
    #[error("the journal has no reaction {0}")]
    Unknown(i64),
    /// It has not ended.
    #[error(
        "reaction {0} is {1} still; to keep it from committing, pause the gateway or switch its plugin to observe"
    )]
    Open(i64, String),
    /// It has ended without a commit.
    #[error("reaction {0} ended as {1}: it committed nothing that could be taken back")]
    NoCommit(i64, String),
    /// It proposed by a pull request.
    #[error(
        "reaction {0} proposed its change by {1}: close that pull request, or revert it there if it was merged"
    )]
    PullRequest(i64, String),
    /// It takes another one back itself.
    #[error("reaction {0} is itself a revert; to react to its event anew, replay the event")]
    Revert(i64),
    /// A person has done so.
    #[error("reaction {0} was taken back by a person, as seen at commit {1}")]
    Overridden(i64, String),
    /// What would be needed is not there.
    #[error("reaction {0} cannot be taken back by the gateway, for {1}: revert commit {2} by hand")]
    Missing(i64, String, String),
}

/// What is asked about a reaction before it is taken back.
struct Subject {
    changes: Changes,
    sha: Option<String>,
}

pub(super) async fn insert(
    connection: &mut SqliteConnection,
    request: &RevertRequest,
) -> Result<Reverting, RecordError> {
    let id = request.reaction;
    let reverting = match subject(connection, id).await? {
        Err(irrevertible) => Reverting::Impossible(irrevertible),
        Ok(subject) => match open_or_done(connection, id).await? {
            Some(known) => Reverting::Known(known),
            None => match undo(connection, id, &subject).await? {
                Err(irrevertible) => Reverting::Impossible(irrevertible),
                Ok(patches) => Reverting::Made(make(connection, request, &subject, patches).await?),
            },
        },
    };
    if request.by == RevertedBy::Expiry {
        let is_open = match &reverting {
            Reverting::Known(known) => is_open(connection, *known).await?,
            Reverting::Made(_) | Reverting::Impossible(_) => false,
        };
        let due_us = is_open.then(|| clock::now_us() + LOOK_AGAIN_US);
        set_due(connection, id, due_us).await?;
    }
    Ok(reverting)
}

async fn subject(
    connection: &mut SqliteConnection,
    id: i64,
) -> Result<Result<Subject, Irrevertible>, RecordError> {
    let row = sqlx::query(
        "SELECT r.state, r.outcome, r.decision, r.reverts, c.sha, p.url, o.head FROM reactions r \
         LEFT JOIN commits c ON c.reaction_id = r.id LEFT JOIN pull_requests p ON p.reaction_id = r.id \
         LEFT JOIN overrides o ON o.reaction_id = r.id WHERE r.id = ?",
    )
    .bind(id)
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(Err(Irrevertible::Unknown(id))) };
    let text = |name: &str| row.try_get::<Option<String>, _>(name);
    let kind = text("outcome")?.as_deref().and_then(OutcomeKind::parse);
    Ok(match (kind, text("url")?, text("head")?) {
        _ if row.try_get::<Option<i64>, _>("reverts")?.is_some() => Err(Irrevertible::Revert(id)),
        (None, ..) => Err(Irrevertible::Open(id, row.try_get("state")?)),
        (Some(OutcomeKind::Committed), _, Some(head)) => Err(Irrevertible::Overridden(id, head)),
        (Some(OutcomeKind::Committed), ..) => match text("decision")?.as_deref().map(serde_json::from_str) {
            Some(Ok(Decision::Propose(changes))) => Ok(Subject { changes, sha: text("sha")? }),
            _ => Err(Irrevertible::Missing(id, UNREADABLE.to_owned(), text("sha")?.unwrap_or_default())),
        },
        (Some(OutcomeKind::Proposed), Some(url), _) => Err(Irrevertible::PullRequest(id, url)),
        (Some(kind), ..) => Err(Irrevertible::NoCommit(id, kind.as_str().to_owned())),
    })
}

/// The revert that is open or has taken it back.
async fn open_or_done(connection: &mut SqliteConnection, id: i64) -> Result<Option<i64>, RecordError> {
    let known = "SELECT id FROM reactions WHERE reverts = ? \
                 AND (outcome IS NULL OR outcome IN ('committed', 'unchanged'))";
    Ok(sqlx::query_scalar(known).bind(id).fetch_optional(connection).await?)
}

async fn is_open(connection: &mut SqliteConnection, id: i64) -> Result<bool, RecordError> {
    let open = "SELECT state <> 'settled' FROM reactions WHERE id = ?";
    Ok(sqlx::query_scalar(open).bind(id).fetch_one(connection).await?)
}

/// The patches that take it back.
async fn undo(
    connection: &mut SqliteConnection,
    id: i64,
    subject: &Subject,
) -> Result<Result<Vec<Patch>, Irrevertible>, RecordError> {
    let sha = subject.sha.clone().unwrap_or_default();
    let row = sqlx::query("SELECT undo, missing FROM undos WHERE reaction_id = ?").bind(id);
    let Some(row) = row.fetch_optional(connection).await? else {
        let reason = "it was committed by a version that kept nothing to take it back by".to_owned();
        return Ok(Err(Irrevertible::Missing(id, reason, sha)));
    };
    // What was damaged is told as missing: it must not keep other commits from their end.
    let stored = match stored_undo(&row) {
        Err(RecordError::Damaged(_)) => Err(UNREADABLE.to_owned()),
        stored => stored?,
    };
    Ok(match stored {
        Err(reason) => Err(Irrevertible::Missing(id, reason, sha)),
        Ok(undo) => {
            let patch = |undone: ObjectUndo| Patch {
                target: undone.target,
                change: Change::Undo { undo: undone.undo, leave_touched: false },
            };
            Ok(undo.into_iter().map(patch).collect())
        }
    })
}

/// A reaction to the same event for the same plugin, born with a decision. Its commit can only be a later
/// one than the commit that it takes back.
async fn make(
    connection: &mut SqliteConnection,
    request: &RevertRequest,
    subject: &Subject,
    mut patches: Vec<Patch>,
) -> Result<i64, RecordError> {
    for patch in &mut patches {
        if let Change::Undo { leave_touched, .. } = &mut patch.change {
            *leave_touched = request.by == RevertedBy::Expiry;
        }
    }
    let title = format!("Revert \"{}\"", subject.changes.title);
    let decision = Changes { patches, title, reason: request.reason.clone(), expires_after_s: None };
    let decision = serde_json::to_string(&Decision::Propose(decision))
        .map_err(|error| RecordError::Damaged(error.to_string()))?;
    let now = clock::now_us();
    let id = sqlx::query(
        "INSERT INTO reactions (event_seq, plugin, mode, state, created_us, due_us, attempts, plugin_digest, \
         config_digest, base_commit, decision, cluster, reverts, reverted_by) \
         SELECT event_seq, plugin, 'enforce', 'proposed', ?, ?, 1, plugin_digest, config_digest, ?, ?, cluster, id, ? \
         FROM reactions WHERE id = ?",
    )
    .bind(now)
    .bind(now)
    .bind(&subject.sha)
    .bind(decision)
    .bind(request.by.as_str())
    .bind(request.reaction)
    .execute(&mut *connection)
    .await?
    .last_insert_rowid();
    // The host's decision is the first attempt, as a plugin's is.
    sqlx::query(
        "INSERT INTO attempts (reaction_id, number, stage, started_us, ended_us, result, detail) \
         VALUES (?, 1, 'dispatch', ?, ?, 'proposed', ?)",
    )
    .bind(id)
    .bind(now)
    .bind(now)
    .bind(&request.reason)
    .execute(&mut *connection)
    .await?;
    let missing = || RecordError::Damaged(format!("reaction {id} is missing"));
    let record = decision_digest(connection, id).await?.ok_or_else(missing)?;
    append(connection, "decision", id, record).await?;
    Ok(id)
}

pub(super) async fn set_due(
    connection: &mut SqliteConnection,
    id: i64,
    due_us: Option<i64>,
) -> Result<(), RecordError> {
    sqlx::query("UPDATE undos SET due_us = ? WHERE reaction_id = ?")
        .bind(due_us)
        .bind(id)
        .execute(connection)
        .await?;
    Ok(())
}

/// An end by time that could not be brought about is due again.
pub(super) async fn settled(
    connection: &mut SqliteConnection,
    id: i64,
    outcome: OutcomeKind,
) -> Result<(), RecordError> {
    if outcome != OutcomeKind::Exhausted {
        return Ok(());
    }
    let by_time = "SELECT reverts FROM reactions WHERE id = ? AND reverted_by = 'expiry'";
    let reverted: Option<i64> =
        sqlx::query_scalar(by_time).bind(id).fetch_optional(&mut *connection).await?.flatten();
    match reverted {
        Some(reverted) => set_due(connection, reverted, Some(clock::now_us())).await,
        None => Ok(()),
    }
}

/// What a revert says of itself, beside what every decision says: numbers and texts.
pub(super) fn evidence(row: &SqliteRow) -> Result<Option<(i64, String)>, RecordError> {
    let Some(reverts) = row.try_get::<Option<i64>, _>("reverts")? else { return Ok(None) };
    Ok(Some((reverts, row.try_get::<Option<String>, _>("reverted_by")?.unwrap_or_default())))
}

impl Journal {
    /// Makes the reaction that takes another one back, unless there is one or nothing to take back; it is
    /// on disk when this returns.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn revert(&self, request: RevertRequest) -> Result<Reverting, RecordError> {
        self.try_write(|reply| Write::Revert(request, reply)).await
    }
}
