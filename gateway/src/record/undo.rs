//! What takes commits back, on disk: kept with a commit's outcome, followed while it stands.
//!
//! A commit stands until it was reverted or a person has taken it back. The latter is evidence of its own
//! and in the chain.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::chain::{append, digest};
use super::writer::Write;
use super::{Journal, RecordError};
use crate::clock;
use crate::model::manifest::CommitSha;
use crate::model::undo::ObjectUndo;

/// The most that is kept to take one commit back, in bytes.
const UNDO_BYTES_MAX: usize = 1 << 20;

/// Ends by time that are taken from the journal at once.
const DUE_MAX: u32 = 64;

/// How a commit can be taken back.
#[derive(Debug, Clone, PartialEq)]
pub struct TakeBack {
    /// What takes it back, or why that is not known.
    pub undo: Result<Vec<ObjectUndo>, String>,
    /// After how many seconds the gateway does so by itself.
    pub expires_after_s: Option<u32>,
}

/// A commit that stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Its reaction.
    pub reaction: i64,
    /// What takes it back.
    pub undo: Vec<ObjectUndo>,
    /// The cluster that it is for, where the repository serves several.
    pub cluster: Option<String>,
}

/// A commit whose time is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdue {
    /// Its reaction.
    pub reaction: i64,
    /// How long it was to hold, in seconds.
    pub held_s: i64,
}

/// Which standing commits are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Follow {
    /// Those whose outcome came after this position of the chain; all for 0.
    pub after: i64,
    /// And not after this one.
    pub until: i64,
    /// Those that ended after this time.
    pub since_us: i64,
    /// So many, the newest.
    pub most: u32,
}

/// A commit that a person has taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// Its reaction.
    pub reaction: i64,
    /// The head at which it was seen.
    pub head: String,
    /// When.
    pub seen_us: i64,
}

pub(super) async fn insert(
    connection: &mut SqliteConnection,
    id: i64,
    take_back: &TakeBack,
    now_us: i64,
) -> Result<(), RecordError> {
    let text = match &take_back.undo {
        Ok(undo) => serde_json::to_string(undo).map_err(|error| RecordError::Damaged(error.to_string()))?,
        Err(_) => String::new(),
    };
    let missing = match &take_back.undo {
        Err(reason) => Some(reason.clone()),
        Ok(_) if text.len() > UNDO_BYTES_MAX => {
            Some(format!("what it would take is more than {UNDO_BYTES_MAX} bytes"))
        }
        Ok(_) => None,
    };
    let seconds = take_back.expires_after_s.filter(|_| missing.is_none());
    let expires_us = seconds.map(|seconds| now_us + i64::from(seconds) * 1_000_000);
    sqlx::query(
        // One that was forged before must not keep the reaction from its end.
        "INSERT OR REPLACE INTO undos (reaction_id, kept_us, undo, missing, expires_us, due_us) VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(id)
    .bind(now_us)
    .bind(missing.is_none().then_some(text))
    .bind(missing)
    .bind(expires_us)
    .bind(expires_us)
    .execute(connection)
    .await?;
    Ok(())
}

/// What a stored row takes back by, or why it does not.
pub(super) fn stored_undo(row: &SqliteRow) -> Result<Result<Vec<ObjectUndo>, String>, RecordError> {
    let Some(text) = row.try_get::<Option<&str>, _>("undo")? else {
        return Ok(Err(row.try_get::<Option<String>, _>("missing")?.unwrap_or_default()));
    };
    serde_json::from_str(text).map(Ok).map_err(|error| RecordError::Damaged(error.to_string()))
}

/// What an outcome's digest has of it, where something was kept.
pub(super) async fn evidence(
    connection: &mut SqliteConnection,
    id: i64,
) -> Result<Option<[u8; 32]>, RecordError> {
    let row = sqlx::query("SELECT * FROM undos WHERE reaction_id = ?").bind(id);
    let Some(row) = row.fetch_optional(connection).await? else { return Ok(None) };
    let numbers = ["kept_us", "expires_us"].map(|name| row.try_get::<Option<i64>, _>(name));
    let [kept_us, expires_us] = numbers.map(|number| number.map(|number| number.unwrap_or_default()));
    let text = |name: &str| row.try_get::<Option<&str>, _>(name).map(Option::unwrap_or_default);
    Ok(Some(digest(&[
        b"undo",
        &kept_us?.to_be_bytes(),
        &expires_us?.to_be_bytes(),
        text("undo")?.as_bytes(),
        text("missing")?.as_bytes(),
    ])))
}

/// Notes that a person has taken a commit back, unless that is known or a revert of our own does or did.
pub(super) async fn override_one(
    connection: &mut SqliteConnection,
    seen: &Override,
) -> Result<bool, RecordError> {
    let noted = sqlx::query(
        "INSERT INTO overrides (reaction_id, head, seen_us) SELECT ?1, ?2, ?3 WHERE NOT EXISTS ( \
           SELECT 1 FROM reactions WHERE reverts = ?1 \
           AND (outcome IS NULL OR outcome IN ('committed', 'unchanged'))) ON CONFLICT DO NOTHING",
    )
    .bind(seen.reaction)
    .bind(&seen.head)
    .bind(seen.seen_us)
    .execute(&mut *connection)
    .await?;
    if noted.rows_affected() == 0 {
        return Ok(false);
    }
    super::revert::set_due(connection, seen.reaction, None).await?;
    let missing = || RecordError::Damaged(format!("override {} is missing", seen.reaction));
    let record = override_digest(connection, seen.reaction).await?.ok_or_else(missing)?;
    append(connection, "override", seen.reaction, record).await?;
    Ok(true)
}

/// The digest of a stored override.
pub(super) async fn override_digest(
    connection: &mut SqliteConnection,
    id: i64,
) -> Result<Option<[u8; 32]>, RecordError> {
    let row = sqlx::query("SELECT * FROM overrides WHERE reaction_id = ?").bind(id);
    let Some(row) = row.fetch_optional(connection).await? else { return Ok(None) };
    let head: &str = row.try_get("head")?;
    let seen_us: i64 = row.try_get("seen_us")?;
    Ok(Some(digest(&[&id.to_be_bytes(), head.as_bytes(), &seen_us.to_be_bytes()])))
}

/// The commits that stand, from the end of the chain or of the undos: whichever there are fewer of.
macro_rules! standing {
    ($from:literal) => {
        concat!(
            "SELECT u.reaction_id, u.undo, u.missing, \
             (SELECT cluster FROM reactions r WHERE r.id = u.reaction_id) AS cluster FROM ",
            $from,
            " ON c.subject = u.reaction_id WHERE c.kind = 'outcome' AND c.position > ?1 AND c.position <= ?2 \
             AND u.kept_us > ?3 AND u.undo IS NOT NULL \
             AND NOT EXISTS (SELECT 1 FROM overrides o WHERE o.reaction_id = u.reaction_id) \
             AND NOT EXISTS (SELECT 1 FROM reactions v WHERE v.reverts = u.reaction_id \
               AND (v.outcome IS NULL OR v.outcome IN ('committed', 'unchanged'))) \
             ORDER BY u.kept_us DESC LIMIT ?4"
        )
    };
}
const STANDING_SINCE: &str = standing!("chain c CROSS JOIN undos u");
const ALL_STANDING: &str = standing!("undos u CROSS JOIN chain c");

impl Journal {
    /// Commits that stand, newest first.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn standing(&self, follow: Follow) -> Result<Vec<Standing>, RecordError> {
        let rows = sqlx::query(if follow.after == 0 { ALL_STANDING } else { STANDING_SINCE })
            .bind(follow.after)
            .bind(follow.until)
            .bind(follow.since_us)
            .bind(follow.most)
            .fetch_all(&self.readers)
            .await?;
        let mut standing = Vec::with_capacity(rows.len());
        for row in &rows {
            let reaction = row.try_get("reaction_id")?;
            match stored_undo(row) {
                Ok(Ok(undo)) => standing.push(Standing { reaction, undo, cluster: row.try_get("cluster")? }),
                // One damaged row must not keep all others from being followed, nor anything from going on.
                Err(RecordError::Damaged(reason)) => {
                    tracing::error!(
                        reaction.id = reaction,
                        reason,
                        "what takes a commit back cannot be read"
                    );
                }
                Ok(Err(_missing)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(standing)
    }

    /// Whether every commit from `base` to `head` is one that the journal knows as ours.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn only_ours(
        &self,
        base: &CommitSha,
        head: &CommitSha,
        commits_max: u32,
    ) -> Result<bool, RecordError> {
        let back = "WITH RECURSIVE back (sha, steps) AS (SELECT ?1, 0 UNION \
                    SELECT c.base, steps + 1 FROM back JOIN commits c ON c.sha = back.sha WHERE steps < ?3) \
                    SELECT EXISTS (SELECT 1 FROM back WHERE sha = ?2)";
        let found = sqlx::query_scalar(back).bind(head.as_str()).bind(base.as_str()).bind(commits_max);
        Ok(found.fetch_one(&self.readers).await?)
    }

    /// Commits whose time is over, those that waited longest first.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn overdue(&self) -> Result<Vec<Overdue>, RecordError> {
        let due = "SELECT reaction_id, (expires_us - kept_us) / 1000000 AS held_s FROM undos \
                   WHERE due_us <= ? ORDER BY due_us LIMIT ?";
        let rows = sqlx::query(due).bind(clock::now_us()).bind(DUE_MAX).fetch_all(&self.readers).await?;
        let overdue = |row: &SqliteRow| {
            let held_s = row.try_get::<Option<i64>, _>("held_s")?.unwrap_or_default();
            Ok(Overdue { reaction: row.try_get("reaction_id")?, held_s })
        };
        rows.iter().map(overdue).collect()
    }

    /// Notes that a person has taken a commit back, once; whether that was new.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn note_override(&self, reaction: i64, head: &CommitSha) -> Result<bool, RecordError> {
        let seen = Override { reaction, head: head.as_str().to_owned(), seen_us: clock::now_us() };
        self.write(|reply| Write::Override(seen, reply)).await
    }

    /// The newest commit of the same plugin for the same incident as a reaction's that a person has taken
    /// back since then. None for a reaction that somebody asked for: a replay, or a revert.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn override_of(&self, reaction: i64, since_us: i64) -> Result<Option<Override>, RecordError> {
        let newest = "SELECT o.reaction_id, o.head, o.seen_us FROM reactions n \
                      JOIN events e ON e.seq = n.event_seq CROSS JOIN overrides o ON o.seen_us > ?2 \
                      JOIN reactions r ON r.id = o.reaction_id AND r.plugin = n.plugin \
                      JOIN events f ON f.seq = r.event_seq AND f.fingerprint = e.fingerprint \
                      WHERE n.id = ?1 AND n.replay_id = 0 AND n.reverts IS NULL \
                      ORDER BY o.seen_us DESC LIMIT 1";
        let row = sqlx::query(newest).bind(reaction).bind(since_us).fetch_optional(&self.readers).await?;
        let read = |row: SqliteRow| {
            Ok(Override {
                reaction: row.try_get("reaction_id")?,
                head: row.try_get("head")?,
                seen_us: row.try_get("seen_us")?,
            })
        };
        row.map(read).transpose()
    }
}
