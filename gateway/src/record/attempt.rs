//! Attempts on disk: counted before they begin, so that a crash in one is known afterwards.

use sqlx::SqliteConnection;

use super::writer::Write;
use super::{Journal, RecordError};
use crate::clock;

/// The part of the path that an attempt is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The plugin decides.
    Dispatch,
    /// The proposal is validated and committed.
    Commit,
}

impl Stage {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Dispatch => "dispatch",
            Self::Commit => "commit",
        }
    }

    /// The state of the reactions that wait for this stage.
    pub(super) fn waiting(self) -> &'static str {
        match self {
            Self::Dispatch => "pending",
            Self::Commit => "proposed",
        }
    }
}

/// An attempt that came to no end and is made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Postponed {
    /// The reaction.
    pub reaction: i64,
    /// When it is due again.
    pub due_us: i64,
    /// Why, for people.
    pub detail: String,
}

pub(super) async fn begin(
    connection: &mut SqliteConnection,
    ids: &[i64],
    stage: Stage,
) -> Result<Vec<i64>, RecordError> {
    let (mut numbers, now) = (Vec::with_capacity(ids.len()), clock::now_us());
    for id in ids {
        let count = "UPDATE reactions SET attempts = attempts + 1 WHERE id = ? RETURNING attempts";
        let number: i64 = sqlx::query_scalar(count).bind(id).fetch_one(&mut *connection).await?;
        sqlx::query("INSERT INTO attempts (reaction_id, number, stage, started_us) VALUES (?, ?, ?, ?)")
            .bind(id)
            .bind(number)
            .bind(stage.as_str())
            .bind(now)
            .execute(&mut *connection)
            .await?;
        numbers.push(number);
    }
    Ok(numbers)
}

pub(super) async fn end_attempt(
    connection: &mut SqliteConnection,
    id: i64,
    result: &str,
    detail: &str,
) -> Result<(), RecordError> {
    sqlx::query(
        "UPDATE attempts SET ended_us = ?, result = ?, detail = ? WHERE reaction_id = ? AND ended_us IS NULL \
         AND number = (SELECT attempts FROM reactions WHERE id = ?)",
    )
    .bind(clock::now_us())
    .bind(result)
    .bind(detail)
    .bind(id)
    .bind(id)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn postpone(
    connection: &mut SqliteConnection,
    all: &[Postponed],
) -> Result<(), RecordError> {
    for postponed in all {
        end_attempt(connection, postponed.reaction, "retry", &postponed.detail).await?;
        sqlx::query("UPDATE reactions SET due_us = ? WHERE id = ?")
            .bind(postponed.due_us)
            .bind(postponed.reaction)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// An attempt that was stopped before it did anything is none.
pub(super) async fn withdraw(connection: &mut SqliteConnection, ids: &[i64]) -> Result<(), RecordError> {
    for id in ids {
        let number: Option<i64> = sqlx::query_scalar(
            "DELETE FROM attempts WHERE reaction_id = ? AND ended_us IS NULL \
             AND number = (SELECT attempts FROM reactions WHERE id = ?) RETURNING number",
        )
        .bind(id)
        .bind(id)
        .fetch_optional(&mut *connection)
        .await?;
        if let Some(number) = number {
            sqlx::query("UPDATE reactions SET attempts = ? WHERE id = ?")
                .bind(number - 1)
                .bind(id)
                .execute(&mut *connection)
                .await?;
        }
    }
    Ok(())
}

impl Journal {
    /// Counts an attempt before it begins, and returns its number.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn begin_attempt(&self, reaction: i64, stage: Stage) -> Result<i64, RecordError> {
        let numbers = self.begin_attempts(vec![reaction], stage).await?;
        numbers
            .first()
            .copied()
            .ok_or_else(|| RecordError::Damaged(format!("reaction {reaction} is missing")))
    }

    /// The same of several reactions at once: of all or of none.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn begin_attempts(&self, reactions: Vec<i64>, stage: Stage) -> Result<Vec<i64>, RecordError> {
        self.write(|reply| Write::BeginAttempts(reactions, stage, reply)).await
    }

    /// Takes back the attempts that have begun: nothing was done in them.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn withdraw_attempts(&self, reactions: Vec<i64>) -> Result<(), RecordError> {
        if reactions.is_empty() {
            return Ok(());
        }
        self.write(|reply| Write::Withdraw(reactions, reply)).await
    }

    /// Ends attempts that are made again later.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn postpone(&self, postponed: Vec<Postponed>) -> Result<(), RecordError> {
        self.write(|reply| Write::Postpone(postponed, reply)).await
    }
}
