//! Pull requests on disk: which one a reaction proposed by, and what the journal knows of a branch.
//!
//! Whether a pull request is open only GitHub knows: what is here says whether it is worth asking.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::{Journal, RecordError};
use crate::model::manifest::CommitSha;
use crate::model::patch::{Changes, Decision};

/// The pull request of a reaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettledPullRequest {
    /// Its number in the repository.
    pub number: i64,
    /// Its page.
    pub url: String,
    /// The branch that it wants merged.
    pub branch: String,
}

/// The newest pull request of a branch, of which the journal knows no end.
#[derive(Debug, Clone, PartialEq)]
pub struct StandingPullRequest {
    /// The pull request.
    pub pull_request: SettledPullRequest,
    /// The commit that the branch was left at.
    pub sha: CommitSha,
    /// What it proposes.
    pub changes: Changes,
    /// The events that have proposed it, newest first.
    pub events: Vec<i64>,
}

pub(super) async fn insert(
    connection: &mut SqliteConnection,
    reaction: i64,
    pull_request: &SettledPullRequest,
) -> Result<(), RecordError> {
    sqlx::query("INSERT INTO pull_requests (reaction_id, number, url, branch) VALUES (?, ?, ?, ?)")
        .bind(reaction)
        .bind(pull_request.number)
        .bind(&pull_request.url)
        .bind(&pull_request.branch)
        .execute(connection)
        .await?;
    Ok(())
}

/// The pull request of a row that was joined with its table.
pub(super) fn stored(row: &SqliteRow) -> Result<Option<SettledPullRequest>, RecordError> {
    let Some(number) = row.try_get::<Option<i64>, _>("number")? else { return Ok(None) };
    Ok(Some(SettledPullRequest { number, url: row.try_get("url")?, branch: row.try_get("branch")? }))
}

impl Journal {
    /// The newest pull request of a branch, unless a later reaction has found its end.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn standing_pull_request(
        &self,
        branch: &str,
        events_max: u32,
    ) -> Result<Option<StandingPullRequest>, RecordError> {
        let newest = "SELECT p.number, p.url, p.branch, c.sha, r.id, r.decision \
                      FROM pull_requests p JOIN reactions r ON r.id = p.reaction_id \
                      LEFT JOIN commits c ON c.reaction_id = p.reaction_id \
                      WHERE p.branch = ? ORDER BY r.settled_us DESC, r.id DESC LIMIT 1";
        let row = sqlx::query(newest).bind(branch).fetch_optional(&self.readers).await?;
        let Some(row) = row else { return Ok(None) };
        let (Some(pull_request), Some(sha)) = (stored(&row)?, row.try_get::<Option<&str>, _>("sha")?) else {
            return Ok(None);
        };
        let damaged = || RecordError::Damaged(format!("the proposal on branch {branch} cannot be read back"));
        let decision = row.try_get::<Option<&str>, _>("decision")?.unwrap_or_default();
        let Ok(Decision::Propose(changes)) = serde_json::from_str(decision) else { return Err(damaged()) };
        let sha = CommitSha::parse(sha).map_err(|_| damaged())?;
        let proposed = "SELECT DISTINCT event_seq FROM pull_requests JOIN reactions ON id = reaction_id \
                        WHERE branch = ? AND number = ? ORDER BY event_seq DESC LIMIT ?";
        let events = sqlx::query_scalar(proposed)
            .bind(branch)
            .bind(pull_request.number)
            .bind(events_max)
            .fetch_all(&self.readers)
            .await?;
        Ok(Some(StandingPullRequest { pull_request, sha, changes, events }))
    }
}
