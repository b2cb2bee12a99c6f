//! `GET /v1/queue`: the proposals that wait to be committed, and what for.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::Problem;
use crate::clock;
use crate::model::plugin::Mode;
use crate::pipeline::{Pipeline, Queue};
use crate::record::{AskedWait, Waiting};

/// The queue before the committer.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct QueueView {
    /// How many proposals wait.
    waiting: i64,
    /// When the first of them was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest: Option<String>,
    /// When those that are due become a commit, if nothing more comes and nothing holds the queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    closes: Option<String>,
    /// What holds the queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<HeldView>,
    /// Calls that may still be made to change something at GitHub, where the repository is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<BudgetView>,
    /// What waits, by plugin and mode.
    plugins: Vec<WaitingView>,
}

/// Proposals of one plugin and mode.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct WaitingView {
    /// The plugin's name.
    plugin: String,
    /// Their mode.
    mode: Mode,
    /// How many wait.
    waiting: i64,
    /// When the first was decided.
    oldest: String,
}

/// Why nothing is sent.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct HeldView {
    /// Until when.
    until: String,
    /// Why.
    reason: String,
}

/// What is left of the budget.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct BudgetView {
    /// Within a minute.
    minute: WindowView,
    /// Within an hour.
    hour: WindowView,
}

/// One window of the budget.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct WindowView {
    /// Calls that are left.
    left: u32,
    /// Calls of the whole window.
    most: u32,
}

impl From<Waiting> for WaitingView {
    fn from(waiting: Waiting) -> Self {
        Self {
            plugin: waiting.plugin,
            mode: waiting.mode,
            waiting: waiting.proposals,
            oldest: clock::rfc3339(waiting.oldest_us),
        }
    }
}

impl From<AskedWait> for HeldView {
    fn from(held: AskedWait) -> Self {
        Self { until: clock::rfc3339(held.until_us), reason: held.reason }
    }
}

impl From<Queue> for QueueView {
    fn from(queue: Queue) -> Self {
        let budget = queue.left.map(|(left, limits)| BudgetView {
            minute: WindowView { left: left.minute, most: limits.per_minute },
            hour: WindowView { left: left.hour, most: limits.per_hour },
        });
        Self {
            waiting: queue.waiting.iter().map(|waiting| waiting.proposals).sum(),
            oldest: queue.waiting.iter().map(|waiting| waiting.oldest_us).min().map(clock::rfc3339),
            closes: queue.closes_us.map(clock::rfc3339),
            held: queue.held.map(Into::into),
            budget,
            plugins: queue.waiting.into_iter().map(Into::into).collect(),
        }
    }
}

/// The proposals that wait to be committed, and what for.
#[utoipa::path(get, path = "/v1/queue", responses((status = 200, body = QueueView)))]
pub(super) async fn show(State(pipeline): State<Arc<Pipeline>>) -> Result<Json<QueueView>, Problem> {
    Ok(Json(pipeline.queue().await?.into()))
}
