//! `GET /v1/plugins`: which code runs, with which rights; `POST /v1/plugins/{name}/mode`.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::Problem;
use crate::clock;
use crate::dispatch::Plugin;
use crate::model::plugin::Mode;
use crate::pipeline::Pipeline;

/// The longest reason of a switch, in bytes.
const REASON_BYTES_MAX: usize = 1_024;

/// The configured plugins.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct PluginList {
    /// In the order of the configuration.
    plugins: Vec<PluginView>,
}

/// One plugin.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PluginView {
    /// Its name in the configuration.
    name: String,
    /// What it says of itself.
    summary: String,
    /// Its version, as it says.
    version: String,
    /// What is done with its proposals: `observe`, `propose` or `enforce`.
    mode: Mode,
    /// What the configuration says.
    configured_mode: Mode,
    /// Why the mode was switched, while it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    switched_because: Option<String>,
    /// Why the file or the configuration of now was not taken up: its last good version runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    stale_because: Option<String>,
    /// Until when its events wait, while it is parked because it keeps failing.
    #[serde(skip_serializing_if = "Option::is_none")]
    parked_until: Option<String>,
    /// The failure that parked it.
    #[serde(skip_serializing_if = "Option::is_none")]
    parked_because: Option<String>,
    /// Digest of the component that runs.
    digest: String,
    /// Digest of its configuration.
    config_digest: String,
    /// Its configuration.
    #[schema(value_type = Object)]
    config: serde_json::Value,
    /// What it may change.
    #[schema(value_type = Object)]
    grants: serde_json::Value,
    /// What it asks to be granted.
    #[schema(value_type = Object)]
    requested_grants: serde_json::Value,
}

impl PluginView {
    fn new(plugin: &Plugin, pipeline: &Pipeline) -> Self {
        let (modes, parked) = (&pipeline.modes, pipeline.breakers.parked(plugin.name()));
        Self {
            name: plugin.name().to_owned(),
            summary: plugin.description().summary.clone(),
            version: plugin.description().version.clone(),
            mode: modes.of(plugin),
            configured_mode: plugin.mode(),
            switched_because: modes.switch_of(plugin).map(|switch| switch.reason),
            stale_because: pipeline.catalog().problem(plugin.name()).map(str::to_owned),
            parked_until: parked.as_ref().map(|parked| clock::rfc3339(parked.until_us)),
            parked_because: parked.map(|parked| parked.reason),
            digest: plugin.identity().digest.clone(),
            config_digest: plugin.identity().config_digest.clone(),
            config: plugin.config().clone(),
            grants: serde_json::to_value(plugin.grants()).unwrap_or_default(),
            requested_grants: serde_json::to_value(&plugin.description().grants).unwrap_or_default(),
        }
    }
}

/// The configured plugins.
#[utoipa::path(get, path = "/v1/plugins", responses((status = 200, body = PluginList)))]
pub(super) async fn list(State(pipeline): State<Arc<Pipeline>>) -> Json<PluginList> {
    let catalog = pipeline.catalog();
    let plugins = catalog.plugins().iter();
    Json(PluginList { plugins: plugins.map(|plugin| PluginView::new(plugin, &pipeline)).collect() })
}

/// Whether the journal can keep those words.
pub(super) fn check_reason(reason: &str) -> Result<(), Problem> {
    if reason.trim().is_empty() || reason.len() > REASON_BYTES_MAX {
        let detail = format!("say why, in 1 to {REASON_BYTES_MAX} bytes: the journal keeps it");
        return Err(Problem::parameter("reason", detail));
    }
    Ok(())
}

/// What a plugin's mode shall be.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SwitchRequest {
    mode: Mode,
    /// Why, for the journal: 1 to 1,024 bytes.
    reason: String,
}

/// Switches a plugin's mode at once. It holds across restarts, until it is switched back or the
/// configuration says something else than it does now.
#[utoipa::path(post, path = "/v1/plugins/{name}/mode", request_body = SwitchRequest,
    params(("name" = String, Path, description = "The plugin's name in the configuration")),
    responses((status = 200, body = PluginView), (status = 400, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem)))]
pub(super) async fn switch_mode(
    State(pipeline): State<Arc<Pipeline>>,
    Path(name): Path<String>,
    request: Result<Json<SwitchRequest>, JsonRejection>,
) -> Result<Json<PluginView>, Problem> {
    let Json(request) =
        request.map_err(|error| Problem::new(error.status(), "bad-switch", error.body_text()))?;
    check_reason(&request.reason)?;
    if request.mode == Mode::Propose && !pipeline.repository.takes_pull_requests() {
        let detail = "the repository is not on GitHub, and plain Git has no pull requests";
        return Err(Problem::new(StatusCode::CONFLICT, "no-pull-requests", detail));
    }
    let missing = || Problem::new(StatusCode::NOT_FOUND, "not-found", format!("there is no plugin {name:?}"));
    let catalog = pipeline.catalog();
    let plugin = catalog.get(&name).ok_or_else(missing)?;
    pipeline.switch_mode(plugin, request.mode, request.reason).await?;
    Ok(Json(PluginView::new(plugin, &pipeline)))
}
