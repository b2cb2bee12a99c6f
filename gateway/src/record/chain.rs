//! The hash chain over events, repeats, decisions, outcomes, overrides, switches and pauses: what makes a
//! rewrite of the journal visible.
//!
//! The chain's head goes into every commit's trailers, so the desired-state repository witnesses
//! it. A digest is over named fields with their lengths, never over a text that could be cut
//! differently.

use sha2::{Digest, Sha256};
use sqlx::{Row, SqliteConnection};

use super::{Journal, RecordError};

/// The chain's newest link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainHead {
    /// How many records the chain has; 0 for none.
    pub position: i64,
    /// SHA-256 over all of them, in hexadecimal.
    pub head: String,
}

/// Where the chain does not fit the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainBreak {
    /// The position of the first link that does not fit.
    pub position: i64,
    /// What is wrong with it.
    pub reason: String,
}

/// The digest of one record: its fields with their lengths, in the order given.
pub(super) fn digest(fields: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for field in fields {
        hasher.update((field.len() as u64).to_be_bytes());
        hasher.update(field);
    }
    hasher.finalize().into()
}

fn link(previous: &[u8], digest: &[u8]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(previous);
    hasher.update(digest);
    hasher.finalize().into()
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

/// Appends the record of `kind` with the number `subject`.
pub(super) async fn append(
    connection: &mut SqliteConnection,
    kind: &str,
    subject: i64,
    digest: [u8; 32],
) -> Result<ChainHead, RecordError> {
    let newest = sqlx::query("SELECT position, head FROM chain ORDER BY position DESC LIMIT 1")
        .fetch_optional(&mut *connection)
        .await?;
    let (position, previous): (i64, Vec<u8>) = match newest {
        Some(row) => (row.try_get(0)?, row.try_get(1)?),
        None => (0, vec![0; 32]),
    };
    let head = link(&previous, &digest);
    sqlx::query("INSERT INTO chain (position, kind, subject, digest, head) VALUES (?, ?, ?, ?, ?)")
        .bind(position + 1)
        .bind(kind)
        .bind(subject)
        .bind(&digest[..])
        .bind(&head[..])
        .execute(connection)
        .await?;
    Ok(ChainHead { position: position + 1, head: hex(&head) })
}

impl Journal {
    /// The chain's newest link.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn head(&self) -> Result<ChainHead, RecordError> {
        let row = sqlx::query("SELECT position, head FROM chain ORDER BY position DESC LIMIT 1")
            .fetch_optional(&self.readers)
            .await?;
        Ok(match row {
            Some(row) => ChainHead { position: row.try_get(0)?, head: hex(row.try_get::<&[u8], _>(1)?) },
            None => ChainHead { position: 0, head: hex(&[0; 32]) },
        })
    }

    /// Computes the chain anew from the records. `Ok(Err(…))` names the first link that does not
    /// fit; a row that was changed, removed or put in shows here.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn verify(&self) -> Result<Result<ChainHead, ChainBreak>, RecordError> {
        let mut connection = self.readers.acquire().await?;
        let mut expected = ChainHead { position: 0, head: hex(&[0; 32]) };
        let mut previous = vec![0_u8; 32];
        loop {
            let row = sqlx::query("SELECT position, kind, subject, digest, head FROM chain WHERE position > ? ORDER BY position LIMIT 1")
                .bind(expected.position)
                .fetch_optional(&mut *connection)
                .await?;
            let Some(row) = row else { break };
            let position: i64 = row.try_get("position")?;
            let broken = |reason: String| Ok(Err(ChainBreak { position, reason }));
            if position != expected.position + 1 {
                return broken(format!("the link after {} is missing", expected.position));
            }
            let kind: String = row.try_get("kind")?;
            let subject: i64 = row.try_get("subject")?;
            let stored: Vec<u8> = row.try_get("digest")?;
            let Some(computed) = record_digest(&mut connection, &kind, subject).await? else {
                return broken(format!("{kind} {subject} is missing"));
            };
            if computed[..] != stored[..] {
                return broken(format!("{kind} {subject} was changed"));
            }
            let head = link(&previous, &stored);
            if head[..] != row.try_get::<&[u8], _>("head")?[..] {
                return broken("the head does not follow from the one before".to_owned());
            }
            previous = head.to_vec();
            expected = ChainHead { position, head: hex(&head) };
        }
        let unlinked = first_unlinked(&mut connection).await?;
        let position = expected.position;
        Ok(unlinked.map_or(Ok(expected), |reason| Err(ChainBreak { position, reason })))
    }
}

/// A record that no link speaks of: it was put in beside the gateway.
async fn first_unlinked(connection: &mut SqliteConnection) -> Result<Option<String>, RecordError> {
    const RECORDS: [(&str, &str); 8] = [
        (
            "event",
            "SELECT min(seq) FROM events WHERE seq NOT IN (SELECT subject FROM chain WHERE kind = 'event')",
        ),
        (
            "repeat",
            "SELECT min(seq) FROM events WHERE repeat_of IS NOT NULL \
             AND seq NOT IN (SELECT subject FROM chain WHERE kind = 'repeat')",
        ),
        (
            "decision",
            "SELECT min(id) FROM reactions WHERE decision IS NOT NULL \
             AND id NOT IN (SELECT subject FROM chain WHERE kind = 'decision')",
        ),
        (
            "outcome",
            "SELECT min(id) FROM reactions WHERE outcome IS NOT NULL \
             AND id NOT IN (SELECT subject FROM chain WHERE kind = 'outcome')",
        ),
        // What takes a commit back is a part of its outcome, so an outcome without it has none.
        (
            "undo",
            "SELECT min(reaction_id) FROM undos \
             WHERE reaction_id NOT IN (SELECT subject FROM chain WHERE kind = 'outcome')",
        ),
        (
            "override",
            "SELECT min(reaction_id) FROM overrides \
             WHERE reaction_id NOT IN (SELECT subject FROM chain WHERE kind = 'override')",
        ),
        (
            "switch",
            "SELECT min(id) FROM switches WHERE id NOT IN (SELECT subject FROM chain WHERE kind = 'switch')",
        ),
        (
            "pause",
            "SELECT min(id) FROM pauses WHERE id NOT IN (SELECT subject FROM chain WHERE kind = 'pause')",
        ),
    ];
    for (kind, sql) in RECORDS {
        let subject: Option<i64> = sqlx::query_scalar(sql).fetch_one(&mut *connection).await?;
        if let Some(subject) = subject {
            return Ok(Some(format!("{kind} {subject} has no link")));
        }
    }
    Ok(None)
}

async fn record_digest(
    connection: &mut SqliteConnection,
    kind: &str,
    subject: i64,
) -> Result<Option<[u8; 32]>, RecordError> {
    match kind {
        "event" => super::event::stored_digest(connection, subject).await,
        "repeat" => super::repeat::stored_digest(connection, subject).await,
        "decision" => super::reaction::decision_digest(connection, subject).await,
        "outcome" => super::reaction::outcome_digest(connection, subject).await,
        "override" => super::undo::override_digest(connection, subject).await,
        "pause" => super::pause::stored_digest(connection, subject).await,
        "switch" => super::switch::stored_digest(connection, subject).await,
        other => Err(RecordError::Damaged(format!("the chain names an unknown kind of record, {other:?}"))),
    }
}
