//! Replays on disk: reacting anew to recorded events.
//!
//! A dry run leaves a row that says it was asked for; only `apply` makes reactions.

use serde::{Deserialize, Serialize};
use sqlx::{Row, SqliteConnection};

use super::query::ReactionView;
use super::reaction::Route;
use super::writer::Write;
use super::{Journal, RecordError};
use crate::clock;

/// Whether a replay only tells or acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReplayMode {
    /// What each plugin decides today, beside what it decided then.
    #[default]
    DryRun,
    /// React anew.
    Apply,
}

impl ReplayMode {
    fn as_str(self) -> &'static str {
        match self {
            Self::DryRun => "dry-run",
            Self::Apply => "apply",
        }
    }
}

/// The desired state that a dry run's look-ups read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Base {
    /// The commit that was read then; the head where there is none.
    #[default]
    Recorded,
    /// The branch's head now.
    Head,
}

impl Base {
    fn as_str(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Head => "head",
        }
    }
}

/// What a replay is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayPlan {
    /// Tell or act.
    pub mode: ReplayMode,
    /// What look-ups read.
    pub base: Base,
    /// The selection as it was asked for, as JSON.
    pub selection: String,
    /// The events that were selected, and for `apply` where each goes.
    pub events: Vec<(i64, Vec<Route>)>,
}

/// A stored replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayRow {
    /// Its number.
    pub id: i64,
    /// When it was asked for.
    pub created_us: i64,
    /// `dry-run` or `apply`.
    pub mode: String,
    /// `recorded` or `head`.
    pub base: String,
    /// The selection as it was asked for, as JSON.
    pub selection: String,
    /// How many events were selected.
    pub events: i64,
    /// The reactions it made, each with its event.
    pub reactions: Vec<(i64, ReactionView)>,
}

pub(super) async fn insert(connection: &mut SqliteConnection, plan: &ReplayPlan) -> Result<i64, RecordError> {
    let now = clock::now_us();
    let id =
        sqlx::query("INSERT INTO replays (created_us, mode, base, selection, events) VALUES (?, ?, ?, ?, ?)")
            .bind(now)
            .bind(plan.mode.as_str())
            .bind(plan.base.as_str())
            .bind(&plan.selection)
            .bind(i64::try_from(plan.events.len()).unwrap_or(i64::MAX))
            .execute(&mut *connection)
            .await?
            .last_insert_rowid();
    if plan.mode == ReplayMode::Apply {
        for (seq, routes) in &plan.events {
            for route in routes {
                sqlx::query(
                    "INSERT INTO reactions (event_seq, plugin, replay_id, mode, state, created_us, due_us) \
                     VALUES (?, ?, ?, ?, 'pending', ?, ?)",
                )
                .bind(seq)
                .bind(&route.plugin)
                .bind(id)
                .bind(route.mode.as_str())
                .bind(now)
                .bind(now)
                .execute(&mut *connection)
                .await?;
            }
        }
    }
    Ok(id)
}

impl Journal {
    /// Stores a replay, and for `apply` its reactions; returns its number.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn replay(&self, plan: ReplayPlan) -> Result<i64, RecordError> {
        self.write(|reply| Write::Replay(plan, reply)).await
    }

    /// The replay with that number.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn stored_replay(&self, id: i64) -> Result<Option<ReplayRow>, RecordError> {
        let row =
            sqlx::query("SELECT * FROM replays WHERE id = ?").bind(id).fetch_optional(&self.readers).await?;
        let Some(row) = row else { return Ok(None) };
        let reactions = self.replay_reactions(id).await?;
        Ok(Some(ReplayRow {
            id,
            created_us: row.try_get("created_us")?,
            mode: row.try_get("mode")?,
            base: row.try_get("base")?,
            selection: row.try_get("selection")?,
            events: row.try_get("events")?,
            reactions,
        }))
    }
}
