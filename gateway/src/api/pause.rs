//! `GET /v1/pause`, `POST /v1/pause` and `POST /v1/resume`: commit nothing, and go on again.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use serde::{Deserialize, Serialize};

use super::Problem;
use super::plugins::check_reason;
use crate::clock;
use crate::pipeline::Pipeline;
use crate::record::Pause;

/// Whether anything is committed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct PauseView {
    /// Whether proposals wait.
    paused: bool,
    /// What they wait for; all of it has to end.
    pauses: Vec<PauseEntry>,
}

/// One reason why proposals wait.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct PauseEntry {
    /// `api` or `file`.
    by: String,
    /// Why, in the words of whoever paused.
    reason: String,
    /// When it was recorded.
    since: String,
}

impl From<Pause> for PauseEntry {
    fn from(pause: Pause) -> Self {
        let since = clock::rfc3339(pause.since_us);
        Self { by: pause.by.as_str().to_owned(), reason: pause.reason, since }
    }
}

impl PauseView {
    fn new(pipeline: &Pipeline) -> Self {
        let pauses: Vec<PauseEntry> = pipeline.pauses.held().into_iter().map(Into::into).collect();
        Self { paused: !pauses.is_empty(), pauses }
    }
}

/// Why nothing shall be committed.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PauseRequest {
    /// For the journal: 1 to 1,024 bytes.
    reason: String,
}

/// Why it goes on.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ResumeRequest {
    /// For the journal: up to 1,024 bytes.
    #[serde(default)]
    reason: Option<String>,
}

/// Whether the gateway is paused, since when, by what and why.
#[utoipa::path(get, path = "/v1/pause", responses((status = 200, body = PauseView)))]
pub(super) async fn show(State(pipeline): State<Arc<Pipeline>>) -> Json<PauseView> {
    Json(PauseView::new(&pipeline))
}

/// Commits nothing more, for any plugin, across restarts, until it is resumed.
#[utoipa::path(post, path = "/v1/pause", request_body = PauseRequest,
    responses((status = 200, body = PauseView), (status = 400, body = Problem)))]
pub(super) async fn pause(
    State(pipeline): State<Arc<Pipeline>>,
    request: Result<Json<PauseRequest>, JsonRejection>,
) -> Result<Json<PauseView>, Problem> {
    let Json(request) = request.map_err(|error| bad_pause(&error))?;
    check_reason(&request.reason)?;
    pipeline.pause(request.reason).await?;
    Ok(Json(PauseView::new(&pipeline)))
}

/// Ends the pause that was asked for here; one by a file in the repository holds on.
#[utoipa::path(post, path = "/v1/resume", request_body = Option<ResumeRequest>,
    responses((status = 200, body = PauseView), (status = 400, body = Problem)))]
pub(super) async fn resume(
    State(pipeline): State<Arc<Pipeline>>,
    request: Result<Option<Json<ResumeRequest>>, JsonRejection>,
) -> Result<Json<PauseView>, Problem> {
    let request = request.map_err(|error| bad_pause(&error))?;
    let reason = request.and_then(|Json(request)| request.reason);
    if let Some(reason) = &reason {
        check_reason(reason)?;
    }
    pipeline.resume(reason.unwrap_or_default()).await?;
    Ok(Json(PauseView::new(&pipeline)))
}

fn bad_pause(error: &JsonRejection) -> Problem {
    Problem::new(error.status(), "bad-pause", error.body_text())
}
