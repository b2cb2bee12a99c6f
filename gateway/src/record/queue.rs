//! The queue before the committer on disk: what waits there, what was asked of a server, and for how
//! long it wants us to wait. Bookkeeping, not evidence: none of it is in the chain.

use sqlx::{Row, SqliteConnection};

use super::writer::Write;
use super::{Journal, RecordError};
use crate::clock;
use crate::model::plugin::Mode;

/// Proposals of one plugin and mode that wait to be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The plugin.
    pub plugin: String,
    /// Their mode.
    pub mode: Mode,
    /// How many there are.
    pub proposals: i64,
    /// When the first was decided.
    pub oldest_us: i64,
    /// Those that are due, if any are.
    pub due: Option<Due>,
    /// When the next becomes due that is not.
    pub next_us: Option<i64>,
}

/// Proposals that are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// How many different changes they are.
    pub changes: i64,
    /// When the first was decided.
    pub first_us: i64,
    /// When the last was decided.
    pub last_us: i64,
}

/// A wait that a server asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedWait {
    /// When it is over.
    pub until_us: i64,
    /// Why, for people.
    pub reason: String,
}

/// What is on disk of a commit before it is sent.
#[derive(Debug)]
pub(super) enum Note {
    Calls { called_us: i64, calls: u32, forget_us: i64 },
    Wait(AskedWait),
}

pub(super) async fn note(connection: &mut SqliteConnection, note: &Note) -> Result<(), RecordError> {
    match note {
        Note::Calls { called_us, calls, forget_us } => {
            sqlx::query("DELETE FROM calls WHERE called_us < ?")
                .bind(forget_us)
                .execute(&mut *connection)
                .await?;
            sqlx::query("INSERT INTO calls (called_us, calls) VALUES (?, ?)")
                .bind(called_us)
                .bind(calls)
                .execute(connection)
                .await?;
        }
        Note::Wait(wait) => {
            sqlx::query("DELETE FROM waits").execute(&mut *connection).await?;
            sqlx::query("INSERT INTO waits (until_us, reason) VALUES (?, ?)")
                .bind(wait.until_us)
                .bind(&wait.reason)
                .execute(connection)
                .await?;
        }
    }
    Ok(())
}

impl Journal {
    /// The proposals that wait to be committed, by plugin and mode.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn waiting(&self) -> Result<Vec<Waiting>, RecordError> {
        // A decision of before digests were kept counts as a change of its own.
        const WAITING: &str = "SELECT plugin, mode, count(*) AS proposals, \
             min(coalesce(decided_us, created_us)) AS oldest_us, \
             count(DISTINCT CASE WHEN due_us <= ?1 THEN coalesce(changes_digest, id) END) AS changes, \
             min(CASE WHEN due_us <= ?1 THEN coalesce(decided_us, created_us) END) AS first_us, \
             max(CASE WHEN due_us <= ?1 THEN coalesce(decided_us, created_us) END) AS last_us, \
             min(CASE WHEN due_us > ?1 THEN due_us END) AS next_us \
             FROM reactions WHERE state = 'proposed' AND state <> 'settled' GROUP BY plugin, mode";
        let rows = sqlx::query(WAITING).bind(clock::now_us()).fetch_all(&self.readers).await?;
        rows.iter()
            .map(|row| {
                let times = row.try_get::<Option<i64>, _>("first_us")?.zip(row.try_get("last_us")?);
                let changes = row.try_get("changes")?;
                Ok(Waiting {
                    plugin: row.try_get("plugin")?,
                    mode: Mode::of(row.try_get("mode")?),
                    proposals: row.try_get("proposals")?,
                    oldest_us: row.try_get("oldest_us")?,
                    due: times.map(|(first_us, last_us)| Due { changes, first_us, last_us }),
                    next_us: row.try_get("next_us")?,
                })
            })
            .collect()
    }

    /// Notes calls that are about to be made, at `called_us`, and forgets those of before `forget_us`.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn note_calls(&self, called_us: i64, calls: u32, forget_us: i64) -> Result<(), RecordError> {
        self.write(|reply| Write::Note(Note::Calls { called_us, calls, forget_us }, reply)).await
    }

    /// The calls that were made since then, oldest first: when, and how many.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn calls_since(&self, since_us: i64) -> Result<Vec<(i64, u32)>, RecordError> {
        let calls =
            "SELECT called_us, calls FROM calls WHERE called_us > ? AND called_us <= ? ORDER BY called_us";
        let rows = sqlx::query(calls).bind(since_us).bind(clock::now_us()).fetch_all(&self.readers).await?;
        rows.iter().map(|row| Ok((row.try_get("called_us")?, row.try_get("calls")?))).collect()
    }

    /// Notes that a server has asked us to wait.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn note_wait(&self, wait: AskedWait) -> Result<(), RecordError> {
        self.write(|reply| Write::Note(Note::Wait(wait), reply)).await
    }

    /// The newest wait that a server asked for, over or not.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn asked_wait(&self) -> Result<Option<AskedWait>, RecordError> {
        let newest = "SELECT until_us, reason FROM waits ORDER BY id DESC LIMIT 1";
        let row = sqlx::query(newest).fetch_optional(&self.readers).await?;
        row.map(|row| Ok(AskedWait { until_us: row.try_get("until_us")?, reason: row.try_get("reason")? }))
            .transpose()
    }
}
