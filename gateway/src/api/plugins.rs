//! `GET /v1/plugins`: which code runs, with which rights.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::model::plugin::Mode;
use crate::server::App;

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
    /// `observe` or `enforce`.
    mode: &'static str,
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
}

/// The configured plugins.
#[utoipa::path(get, path = "/v1/plugins", responses((status = 200, body = PluginList)))]
pub(super) async fn list(State(app): State<App>) -> Json<PluginList> {
    let plugins = app.pipeline.catalog.plugins().iter();
    let plugins = plugins.map(|plugin| PluginView {
        name: plugin.name().to_owned(),
        summary: plugin.description().summary.clone(),
        version: plugin.description().version.clone(),
        mode: Mode::as_str(plugin.mode()),
        digest: plugin.identity().digest.clone(),
        config_digest: plugin.identity().config_digest.clone(),
        config: plugin.config().clone(),
        grants: serde_json::to_value(plugin.grants()).unwrap_or_default(),
    });
    Json(PluginList { plugins: plugins.collect() })
}
