//! Pauses on disk: when nothing was to be committed, by whose word and why, is part of the evidence.

use sqlx::{Row, SqliteConnection};

use super::chain::{append, digest};
use super::writer::Write;
use super::{Journal, RecordError};
use crate::clock;

/// By what the gateway is paused. Each holds and ends on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PausedBy {
    /// Somebody said so over REST.
    Api,
    /// A file is in the branch.
    File,
}

impl PausedBy {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Api, Self::File];

    /// The word the journal, the API and the metrics use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::File => "file",
        }
    }
}

/// A pause that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// By what.
    pub by: PausedBy,
    /// Why, in the words of whoever paused.
    pub reason: String,
    /// When it was recorded.
    pub since_us: i64,
}

/// The beginning or the end of a pause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PauseSwitch {
    /// By what.
    pub by: PausedBy,
    /// Whether it begins.
    pub paused: bool,
    /// Why.
    pub reason: String,
}

/// Returns when it was recorded.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    switch: &PauseSwitch,
) -> Result<i64, RecordError> {
    let now = clock::now_us();
    let id = sqlx::query("INSERT INTO pauses (by, paused, reason, recorded_us) VALUES (?, ?, ?, ?)")
        .bind(switch.by.as_str())
        .bind(switch.paused)
        .bind(&switch.reason)
        .bind(now)
        .execute(&mut *connection)
        .await?
        .last_insert_rowid();
    let missing = || RecordError::Damaged(format!("pause {id} is missing"));
    let record = stored_digest(connection, id).await?.ok_or_else(missing)?;
    append(connection, "pause", id, record).await?;
    Ok(now)
}

/// The digest of a stored beginning or end.
pub(super) async fn stored_digest(
    connection: &mut SqliteConnection,
    id: i64,
) -> Result<Option<[u8; 32]>, RecordError> {
    let row = sqlx::query("SELECT * FROM pauses WHERE id = ?").bind(id).fetch_optional(connection).await?;
    let Some(row) = row else { return Ok(None) };
    let numbers = [id, row.try_get("recorded_us")?, row.try_get("paused")?].map(i64::to_be_bytes);
    let mut fields: Vec<&[u8]> = numbers.iter().map(<[u8; 8]>::as_slice).collect();
    for name in ["by", "reason"] {
        fields.push(row.try_get::<&str, _>(name)?.as_bytes());
    }
    Ok(Some(digest(&fields)))
}

impl Journal {
    /// Records that a pause begins or ends, and returns when it was recorded.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn switch_pause(&self, switch: PauseSwitch) -> Result<i64, RecordError> {
        self.try_write(|reply| Write::Pause(switch, reply)).await
    }

    /// The pauses that hold.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn pauses(&self) -> Result<Vec<Pause>, RecordError> {
        let newest = "SELECT paused, reason, recorded_us FROM pauses WHERE by = ? ORDER BY id DESC LIMIT 1";
        let mut pauses = Vec::new();
        for by in PausedBy::ALL {
            let row = sqlx::query(newest).bind(by.as_str()).fetch_optional(&self.readers).await?;
            if let Some(row) = row
                && row.try_get("paused")?
            {
                let (reason, since_us) = (row.try_get("reason")?, row.try_get("recorded_us")?);
                pauses.push(Pause { by, reason, since_us });
            }
        }
        Ok(pauses)
    }
}
