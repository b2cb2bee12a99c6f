//! `GET /v1/audit`: the hash chain, computed anew.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::Problem;
use crate::pipeline::Pipeline;

/// The state of the hash chain.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuditView {
    /// The journal's name, as in commit trailers.
    journal: String,
    /// Whether every record fits the chain.
    intact: bool,
    /// How many records the chain has, or where it breaks.
    position: i64,
    /// The chain's head in hexadecimal, if it is intact.
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<String>,
    /// What does not fit, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Computes the chain over all records anew.
#[utoipa::path(get, path = "/v1/audit", responses((status = 200, body = AuditView)))]
pub(super) async fn verify(State(pipeline): State<Arc<Pipeline>>) -> Result<Json<AuditView>, Problem> {
    let journal = &pipeline.journal;
    let name = journal.name().to_owned();
    Ok(Json(match journal.verify().await? {
        Ok(head) => AuditView {
            journal: name,
            intact: true,
            position: head.position,
            head: Some(head.head),
            reason: None,
        },
        Err(broken) => AuditView {
            journal: name,
            intact: false,
            position: broken.position,
            head: None,
            reason: Some(broken.reason),
        },
    }))
}
