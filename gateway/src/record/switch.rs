//! Switches of plugins' modes on disk: who lets a plugin commit, or no more, is part of the evidence.

use sqlx::{Row, SqliteConnection};

use super::chain::{append, digest};
use super::writer::Write;
use super::{Journal, RecordError};
use crate::clock;
use crate::model::plugin::Mode;

/// A plugin's mode, switched while the gateway runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    /// The plugin.
    pub plugin: String,
    /// What the configuration says: the switch holds as long as it says so.
    pub configured: Mode,
    /// What holds instead.
    pub mode: Mode,
    /// Why, in the words of whoever switched.
    pub reason: String,
}

pub(super) async fn insert(connection: &mut SqliteConnection, switch: &Switch) -> Result<(), RecordError> {
    let id = sqlx::query(
        "INSERT INTO switches (plugin, configured, mode, reason, switched_us) VALUES (?, ?, ?, ?, ?)",
    )
    .bind(&switch.plugin)
    .bind(switch.configured.as_str())
    .bind(switch.mode.as_str())
    .bind(&switch.reason)
    .bind(clock::now_us())
    .execute(&mut *connection)
    .await?
    .last_insert_rowid();
    let missing = || RecordError::Damaged(format!("switch {id} is missing"));
    let record = stored_digest(connection, id).await?.ok_or_else(missing)?;
    append(connection, "switch", id, record).await?;
    Ok(())
}

/// The digest of a stored switch.
pub(super) async fn stored_digest(
    connection: &mut SqliteConnection,
    id: i64,
) -> Result<Option<[u8; 32]>, RecordError> {
    let row = sqlx::query("SELECT * FROM switches WHERE id = ?").bind(id).fetch_optional(connection).await?;
    let Some(row) = row else { return Ok(None) };
    let numbers = [id, row.try_get("switched_us")?].map(i64::to_be_bytes);
    let mut fields: Vec<&[u8]> = numbers.iter().map(<[u8; 8]>::as_slice).collect();
    for name in ["plugin", "configured", "mode", "reason"] {
        fields.push(row.try_get::<&str, _>(name)?.as_bytes());
    }
    Ok(Some(digest(&fields)))
}

impl Journal {
    /// Records that a plugin's mode was switched.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn switch(&self, switch: Switch) -> Result<(), RecordError> {
        self.try_write(|reply| Write::Switch(switch, reply)).await
    }

    /// Every plugin's newest switch.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn switches(&self) -> Result<Vec<Switch>, RecordError> {
        let newest = "SELECT plugin, configured, mode, reason FROM switches \
                      WHERE id IN (SELECT max(id) FROM switches GROUP BY plugin)";
        let rows = sqlx::query(newest).fetch_all(&self.readers).await?;
        let read = |row: &sqlx::sqlite::SqliteRow| {
            Ok(Switch {
                plugin: row.try_get("plugin")?,
                configured: Mode::of(row.try_get("configured")?),
                mode: Mode::of(row.try_get("mode")?),
                reason: row.try_get("reason")?,
            })
        };
        rows.iter().map(read).collect()
    }
}
