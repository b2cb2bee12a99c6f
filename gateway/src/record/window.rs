//! What a plugin has done since some time: what the guardrails' window is told by.
//!
//! Reverts are the host's own and are none of it.

use super::{Journal, RecordError};
use crate::model::manifest::ObjectRef;

impl Journal {
    /// How many commits a plugin has made for a cluster since then; `None` where there is but one. One that
    /// several events have proposed counts once, one that took another back is none of the plugin's.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn commits_since(
        &self,
        plugin: &str,
        cluster: Option<&str>,
        since_us: i64,
    ) -> Result<u64, RecordError> {
        let count = "SELECT count(DISTINCT sha) FROM commits JOIN reactions ON id = reaction_id \
                     WHERE committed_us >= ? AND plugin = ? AND cluster IS ? AND reverts IS NULL";
        let count = sqlx::query_scalar(count).bind(since_us).bind(plugin).bind(cluster);
        let count: i64 = count.fetch_one(&self.readers).await?;
        Ok(count.unsigned_abs())
    }

    /// The objects that those commits are for, in no order; at most `objects_max`.
    ///
    /// # Errors
    /// When the journal does not answer.
    pub async fn objects_since(
        &self,
        plugin: &str,
        cluster: Option<&str>,
        since_us: i64,
        objects_max: u32,
    ) -> Result<Vec<ObjectRef>, RecordError> {
        // From the few commits of the window, not from all reactions of the plugin.
        let objects = "SELECT DISTINCT object FROM commits CROSS JOIN reactions ON id = commits.reaction_id \
                       CROSS JOIN changed_objects ON changed_objects.reaction_id = id \
                       WHERE committed_us >= ? AND plugin = ? AND cluster IS ? AND reverts IS NULL LIMIT ?";
        let found: Vec<String> = sqlx::query_scalar(objects)
            .bind(since_us)
            .bind(plugin)
            .bind(cluster)
            .bind(objects_max)
            .fetch_all(&self.readers)
            .await?;
        let read = |text: &String| {
            serde_json::from_str(text).map_err(|error| RecordError::Damaged(error.to_string()))
        };
        found.iter().map(read).collect()
    }
}
