//! `GET /v1/reactions/{id}` and `POST /v1/reactions/{id}/revert`: one reaction, and taking it back.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};

use super::Problem;
use super::events::{ReactionDetail, number};
use super::plugins::check_reason;
use crate::pipeline::Pipeline;
use crate::record::{Irrevertible, RevertRequest, RevertedBy, Reverting};

/// One reaction, with the event that it is to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ReactionOfEvent {
    event: i64,
    #[serde(flatten)]
    reaction: ReactionDetail,
}

/// Why a commit shall be taken back.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RevertBody {
    /// For the journal and the commit: 1 to 1,024 bytes.
    reason: String,
}

/// One reaction with its attempts, diff and commit.
#[utoipa::path(get, path = "/v1/reactions/{id}", params(("id" = i64, Path, description = "The reaction's number")),
    responses((status = 200, body = ReactionOfEvent), (status = 404, body = Problem)))]
pub(super) async fn show(
    State(pipeline): State<Arc<Pipeline>>,
    id: Result<Path<i64>, PathRejection>,
) -> Result<Json<ReactionOfEvent>, Problem> {
    let id = number("id", id)?;
    read(&pipeline, id).await.map(Json)
}

/// Takes a reaction's commit back, by a commit that undoes on today's content what it did, unless somebody
/// has changed that since. Asked again, the answer is the revert that there is.
#[utoipa::path(post, path = "/v1/reactions/{id}/revert", request_body = RevertBody,
    params(("id" = i64, Path, description = "The reaction's number")),
    responses(
        (status = 202, body = ReactionOfEvent, description = "The reaction that takes it back; `Location` shows it"),
        (status = 400, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn revert(
    State(pipeline): State<Arc<Pipeline>>,
    id: Result<Path<i64>, PathRejection>,
    request: Result<Json<RevertBody>, JsonRejection>,
) -> Result<Response, Problem> {
    let reaction = number("id", id)?;
    let Json(RevertBody { reason }) =
        request.map_err(|error| Problem::new(error.status(), "bad-revert", error.body_text()))?;
    check_reason(&reason)?;
    let request = RevertRequest { reaction, by: RevertedBy::Request, reason };
    let revert = match pipeline.revert(request).await? {
        Reverting::Made(revert) | Reverting::Known(revert) => revert,
        Reverting::Impossible(Irrevertible::Unknown(_)) => {
            return Err(Problem::missing("reaction", reaction));
        }
        Reverting::Impossible(irrevertible) => {
            return Err(Problem::new(StatusCode::CONFLICT, "irrevertible", irrevertible.to_string()));
        }
    };
    let mut response = (StatusCode::ACCEPTED, Json(read(&pipeline, revert).await?)).into_response();
    if let Ok(location) = HeaderValue::try_from(format!("/v1/reactions/{revert}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

async fn read(pipeline: &Pipeline, id: i64) -> Result<ReactionOfEvent, Problem> {
    let found = pipeline.journal.reaction(id).await?;
    let (event, reaction) = found.ok_or_else(|| Problem::missing("reaction", id))?;
    let mut reaction = ReactionDetail::from(reaction);
    reaction.wait_for(pipeline);
    Ok(ReactionOfEvent { event, reaction })
}

impl ReactionDetail {
    /// Says what it waits for, while that is not because of itself.
    pub(super) fn wait_for(&mut self, pipeline: &Pipeline) {
        let pauses = pipeline.pauses.held();
        self.waits_because = match self.state.as_str() {
            "proposed" if !pauses.is_empty() => {
                let reasons: Vec<String> = pauses.into_iter().map(|pause| pause.reason).collect();
                Some(format!("paused: {}", reasons.join("; ")))
            }
            "proposed" => pipeline.throttle.held().map(|held| format!("held: {}", held.reason)),
            "pending" => pipeline
                .hold
                .because()
                .map(|(kind, reason)| format!("the desired state cannot be read: {kind}: {reason}")),
            _ => None,
        };
    }
}
