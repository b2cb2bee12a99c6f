//! `POST /v1/replays`: recorded events against today's plugins.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};

use super::Problem;
use super::events::{ReactionDetail, Selection, number};
use crate::clock;
use crate::pipeline::{Pipeline, Preview};
use crate::record::{Base, EventDetail, ReplayMode, ReplayPlan, ReplayRow};
use crate::replay::{self, Compared, Difference, ReplayError};

/// Events of one replay. A larger one is asked for in slices of time.
const REPLAY_EVENTS_MAX: u32 = 500;

/// What to replay, and how.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ReplayRequest {
    /// The events by filter; `limit` and `cursor` are not used.
    #[serde(default)]
    selection: Selection,
    /// The events by number; with a filter, both must fit.
    #[serde(default)]
    events: Vec<i64>,
    /// `dry-run` unless told.
    #[serde(default)]
    mode: ReplayMode,
    /// What a dry run's look-ups read: `recorded` unless told.
    #[serde(default)]
    base: Base,
}

/// The result of a dry run.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DryRun {
    replay: i64,
    mode: ReplayMode,
    base: Base,
    events: usize,
    results: Vec<ComparedView>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct ComparedView {
    event: i64,
    plugin: String,
    difference: Difference,
    then: Option<ReactionDetail>,
    now: Option<PreviewView>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct PreviewView {
    plugin_digest: String,
    config_digest: String,
    base_commit: String,
    #[schema(value_type = Option<Object>)]
    decision: Option<serde_json::Value>,
    fuel: Option<u64>,
    outcome: &'static str,
    reason: String,
    diff: Option<String>,
}

impl From<Preview> for PreviewView {
    fn from(preview: Preview) -> Self {
        Self {
            plugin_digest: preview.plugin_digest,
            config_digest: preview.config_digest,
            base_commit: preview.base.to_string(),
            decision: preview.decision.and_then(|decision| serde_json::to_value(decision).ok()),
            fuel: preview.fuel,
            outcome: preview.outcome.as_str(),
            reason: preview.reason,
            diff: preview.diff,
        }
    }
}

impl From<Compared> for ComparedView {
    fn from(compared: Compared) -> Self {
        Self {
            event: compared.event_seq,
            plugin: compared.plugin,
            difference: compared.difference,
            then: compared.then.map(Into::into),
            now: compared.now.map(Into::into),
        }
    }
}

/// A stored replay and the reactions it made.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReplayView {
    replay: i64,
    created: String,
    mode: String,
    base: String,
    events: i64,
    #[schema(value_type = Object)]
    request: serde_json::Value,
    reactions: Vec<ReplayedReaction>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ReplayedReaction {
    event: i64,
    #[serde(flatten)]
    reaction: ReactionDetail,
}

impl From<ReplayRow> for ReplayView {
    fn from(row: ReplayRow) -> Self {
        let reactions = row.reactions.into_iter();
        Self {
            replay: row.id,
            created: clock::rfc3339(row.created_us),
            mode: row.mode,
            base: row.base,
            events: row.events,
            request: serde_json::from_str(&row.selection).unwrap_or_default(),
            reactions: reactions
                .map(|(event, reaction)| ReplayedReaction { event, reaction: reaction.into() })
                .collect(),
        }
    }
}

impl From<ReplayError> for Problem {
    fn from(error: ReplayError) -> Self {
        let detail = crate::pipeline::chain(&error);
        tracing::warn!(error = detail, "a replay could not be run");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "replay-unavailable", detail)
    }
}

/// Replays recorded events: tells what would be (`dry-run`) or reacts anew (`apply`).
#[utoipa::path(post, path = "/v1/replays", request_body = ReplayRequest, responses(
    (status = 200, body = DryRun, description = "The dry run's results"),
    (status = 202, description = "The reactions are made; `Location` shows them"),
    (status = 400, body = Problem)))]
pub(super) async fn create(
    State(pipeline): State<Arc<Pipeline>>,
    request: Result<Json<ReplayRequest>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(request) =
        request.map_err(|error| Problem::new(error.status(), "bad-replay", error.body_text()))?;
    let details = select(&pipeline, &request).await?;
    let selection = serde_json::to_string(&request).unwrap_or_default();
    let (mode, base) = (request.mode, request.base);
    match mode {
        ReplayMode::DryRun => {
            let mut results = Vec::new();
            for detail in &details {
                let compared = replay::compare(&pipeline, detail, base).await?;
                results.extend(compared.into_iter().map(ComparedView::from));
            }
            let events = details.iter().map(|detail| (detail.row.seq, Vec::new())).collect();
            let replay = pipeline.journal.replay(ReplayPlan { mode, base, selection, events }).await?;
            Ok(Json(DryRun { replay, mode, base, events: details.len(), results }).into_response())
        }
        ReplayMode::Apply => {
            let mut events = Vec::with_capacity(details.len());
            for detail in &details {
                if let Some(event) = pipeline.journal.event(detail.row.seq).await? {
                    events.push((event.seq(), pipeline.routes(&event)));
                }
            }
            let replay = pipeline.journal.replay(ReplayPlan { mode, base, selection, events }).await?;
            pipeline.wake.reactions.notify_one();
            let location = HeaderValue::try_from(format!("/v1/replays/{replay}"));
            let mut response = StatusCode::ACCEPTED.into_response();
            if let Ok(location) = location {
                response.headers_mut().insert(header::LOCATION, location);
            }
            Ok(response)
        }
    }
}

/// The selected events, oldest first: the order in which they came.
async fn select(pipeline: &Pipeline, request: &ReplayRequest) -> Result<Vec<EventDetail>, Problem> {
    if request.events.is_empty() && request.selection == Selection::default() {
        return Err(Problem::parameter("selection", "name the events, by number or by a filter"));
    }
    if usize::try_from(REPLAY_EVENTS_MAX).is_ok_and(|most| request.events.len() > most) {
        let detail = format!("a replay takes {REPLAY_EVENTS_MAX} events; ask for the others in another one");
        return Err(Problem::parameter("events", detail));
    }
    let (mut filter, _) = request.selection.filter()?;
    filter.seqs.clone_from(&request.events);
    let rows = pipeline.journal.events(&filter, REPLAY_EVENTS_MAX + 1).await?;
    if usize::try_from(REPLAY_EVENTS_MAX).is_ok_and(|most| rows.len() > most) {
        let detail =
            format!("more than {REPLAY_EVENTS_MAX} events fit; narrow the time with since and until");
        return Err(Problem::parameter("selection", detail));
    }
    if let Some(unknown) = request.events.iter().find(|seq| rows.iter().all(|row| row.seq != **seq)) {
        return Err(Problem::missing("event that fits the selection with the number", *unknown));
    }
    let mut details = Vec::with_capacity(rows.len());
    for row in rows.iter().rev() {
        details.extend(pipeline.journal.detail(row.seq).await?);
    }
    Ok(details)
}

/// A replay and the reactions it made.
#[utoipa::path(get, path = "/v1/replays/{id}", params(("id" = i64, Path, description = "The replay's number")),
    responses((status = 200, body = ReplayView), (status = 404, body = Problem)))]
pub(super) async fn show(
    State(pipeline): State<Arc<Pipeline>>,
    id: Result<Path<i64>, PathRejection>,
) -> Result<Json<ReplayView>, Problem> {
    let id = number("id", id)?;
    let row = pipeline.journal.stored_replay(id).await?.ok_or_else(|| Problem::missing("replay", id))?;
    Ok(Json(row.into()))
}
