//! Repeats on disk: an event that reports again what an earlier one has reported gets no reactions.
//!
//! What decides is read here and judged by the pipeline. That an event was not dispatched is evidence,
//! so the mark is in the chain.

use sqlx::{Row, SqliteConnection};

use super::chain::{append, digest};
use super::event::{RecordedEvent, read};
use super::writer::Write;
use super::{Journal, RecordError};
use crate::clock;
use crate::model::outcome::OutcomeKind;
use crate::model::plugin::Mode;

/// The newest event of an incident that was dispatched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstReport {
    /// Its number.
    pub seq: i64,
    /// When it was received.
    pub received_us: i64,
    /// Its reactions, without those of replays and reverts.
    pub reactions: Vec<FirstReaction>,
}

/// What became of the first report, by one plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstReaction {
    /// The plugin.
    pub plugin: String,
    /// Its mode when the event was routed.
    pub mode: Mode,
    /// Digests of the plugin that decided and of its configuration.
    pub decided_by: Option<(String, String)>,
    /// The end, if it has come.
    pub outcome: Option<OutcomeKind>,
}

pub(super) async fn mark(connection: &mut SqliteConnection, seq: i64, first: i64) -> Result<(), RecordError> {
    sqlx::query("UPDATE events SET routed_us = ?, repeat_of = ? WHERE seq = ? AND routed_us IS NULL")
        .bind(clock::now_us())
        .bind(first)
        .bind(seq)
        .execute(&mut *connection)
        .await?;
    let missing = || RecordError::Damaged(format!("event {seq} is missing or was routed before"));
    let record = stored_digest(connection, seq).await?.ok_or_else(missing)?;
    append(connection, "repeat", seq, record).await?;
    Ok(())
}

/// The digest of a stored mark.
pub(super) async fn stored_digest(
    connection: &mut SqliteConnection,
    seq: i64,
) -> Result<Option<[u8; 32]>, RecordError> {
    let row =
        sqlx::query("SELECT seq, repeat_of, routed_us FROM events WHERE seq = ? AND repeat_of IS NOT NULL")
            .bind(seq)
            .fetch_optional(connection)
            .await?;
    let Some(row) = row else { return Ok(None) };
    let number = |name: &str| row.try_get::<Option<i64>, _>(name).map(Option::unwrap_or_default);
    let numbers = [number("seq")?, number("repeat_of")?, number("routed_us")?].map(i64::to_be_bytes);
    Ok(Some(digest(&numbers.iter().map(<[u8; 8]>::as_slice).collect::<Vec<_>>())))
}

impl Journal {
    /// The oldest events whose reactions have not been made.
    ///
    /// Those are left out whose incident was reported less than `window_us` before, by an event that a
    /// plugin has not decided on: they wait for it, until they themselves are as old.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn unrouted(&self, events_max: u32, window_us: i64) -> Result<Vec<RecordedEvent>, RecordError> {
        let unrouted = "SELECT * FROM events e WHERE routed_us IS NULL AND NOT (received_us > ? AND EXISTS ( \
               SELECT 1 FROM events f JOIN reactions r ON r.event_seq = f.seq \
               WHERE r.replay_id = 0 AND r.state = 'pending' AND f.received_us > e.received_us - ? AND f.seq = ( \
                 SELECT n.seq FROM events n WHERE n.fingerprint = e.fingerprint AND n.seq < e.seq \
                 AND n.routed_us IS NOT NULL AND n.repeat_of IS NULL ORDER BY n.seq DESC LIMIT 1))) \
             ORDER BY seq LIMIT ?";
        let rows = sqlx::query(unrouted)
            .bind(clock::now_us() - window_us)
            .bind(window_us)
            .bind(events_max)
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(read).collect()
    }

    /// The newest event of the same incident that was dispatched before this one.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn first_report(&self, event: &RecordedEvent) -> Result<Option<FirstReport>, RecordError> {
        let first = "SELECT seq, received_us FROM events WHERE fingerprint = ? AND seq < ? \
                     AND routed_us IS NOT NULL AND repeat_of IS NULL ORDER BY seq DESC LIMIT 1";
        let row = sqlx::query(first)
            .bind(event.fingerprint())
            .bind(event.seq())
            .fetch_optional(&self.readers)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let seq = row.try_get("seq")?;
        let reactions =
            sqlx::query("SELECT * FROM reactions WHERE event_seq = ? AND replay_id = 0 AND reverts IS NULL")
                .bind(seq)
                .fetch_all(&self.readers)
                .await?;
        let reactions = reactions.iter().map(reaction).collect::<Result<_, _>>()?;
        Ok(Some(FirstReport { seq, received_us: row.try_get("received_us")?, reactions }))
    }

    /// Marks an event as a repeat of another one; it gets no reactions and is no open work.
    ///
    /// # Errors
    /// When the event was routed before, or the journal does not answer.
    pub async fn mark_repeat(&self, seq: i64, first: i64) -> Result<(), RecordError> {
        self.write(|reply| Write::Repeat(seq, first, reply)).await
    }
}

fn reaction(row: &sqlx::sqlite::SqliteRow) -> Result<FirstReaction, RecordError> {
    let text = |name: &str| row.try_get::<Option<String>, _>(name);
    Ok(FirstReaction {
        plugin: row.try_get("plugin")?,
        mode: Mode::of(row.try_get("mode")?),
        decided_by: text("plugin_digest")?.zip(text("config_digest")?),
        outcome: text("outcome")?.as_deref().and_then(OutcomeKind::parse),
    })
}
