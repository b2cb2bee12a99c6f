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

pub(super) async fn begin(
    connection: &mut SqliteConnection,
    id: i64,
    stage: Stage,
) -> Result<i64, RecordError> {
    let number: i64 =
        sqlx::query_scalar("UPDATE reactions SET attempts = attempts + 1 WHERE id = ? RETURNING attempts")
            .bind(id)
            .fetch_one(&mut *connection)
            .await?;
    sqlx::query("INSERT INTO attempts (reaction_id, number, stage, started_us) VALUES (?, ?, ?, ?)")
        .bind(id)
        .bind(number)
        .bind(stage.as_str())
        .bind(clock::now_us())
        .execute(connection)
        .await?;
    Ok(number)
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
    id: i64,
    due_us: i64,
    detail: &str,
) -> Result<(), RecordError> {
    end_attempt(connection, id, "retry", detail).await?;
    sqlx::query("UPDATE reactions SET due_us = ? WHERE id = ?")
        .bind(due_us)
        .bind(id)
        .execute(connection)
        .await?;
    Ok(())
}

/// An attempt that was stopped before it did anything is none.
pub(super) async fn withdraw(connection: &mut SqliteConnection, id: i64) -> Result<(), RecordError> {
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
            .execute(connection)
            .await?;
    }
    Ok(())
}

impl Journal {
    /// Counts an attempt before it begins, and returns its number.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn begin_attempt(&self, reaction: i64, stage: Stage) -> Result<i64, RecordError> {
        self.write(|reply| Write::BeginAttempt(reaction, stage, reply)).await
    }

    /// Takes back the attempt that has begun: nothing was done in it.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn withdraw_attempt(&self, reaction: i64) -> Result<(), RecordError> {
        self.write(|reply| Write::Withdraw(reaction, reply)).await
    }

    /// Ends an attempt that is tried again at `due_us`.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn postpone(&self, reaction: i64, due_us: i64, detail: String) -> Result<(), RecordError> {
        self.write(|reply| Write::Postpone { reaction, due_us, detail, reply }).await
    }
}
