//! What a stage needs to be called without a gateway: an entry, an event, a desired state.

use std::path::Path;
use std::sync::Arc;

use riposte::dispatch::PluginConfig;
use riposte::model::event::{Event, EventParts};
use riposte::repository::Repository;
use riposte::snapshot::Snapshot;
use serde_json::{Value, json};

use super::Fleet;
use super::git::config;

/// The pod that the tutorial's Deployment makes.
pub(crate) const POD: &str = "alpine-deployment-77789455d6-m7flp";

/// An event of Falco with this data.
pub(crate) fn event(data: &str) -> Event {
    Event::new(EventParts {
        id: "1".to_owned(),
        source: "https://falco.org".to_owned(),
        event_type: "falco.rule.output.v1".to_owned(),
        datacontenttype: Some("application/json".to_owned()),
        data: Some(data.to_owned().into()),
        ..EventParts::default()
    })
    .unwrap()
}

/// Limits that a machine with much else to do does not bring a guest to.
pub(crate) fn unhurried() -> Value {
    json!({ "guestTimeMs": 20_000, "invocationMs": 60_000 })
}

pub(crate) fn plugin(config: Value) -> PluginConfig {
    serde_json::from_value(config).unwrap()
}

/// An entry for a file, without grants.
pub(crate) fn from_file(path: &Path, limits: &Value) -> PluginConfig {
    plugin(json!({ "name": "guest", "source": format!("file:{}", path.display()), "limits": limits }))
}

/// A plugin that ships, for the shell of the tutorial.
pub(crate) fn well_behaved() -> PluginConfig {
    plugin(json!({
        "name": "scale-to-zero", "source": "bundled:scale-to-zero",
        "config": { "rules": ["Terminal shell in container"] }, "limits": unhurried(),
    }))
}

/// The desired state at the head.
pub(crate) async fn snapshot(fleet: &Fleet) -> Arc<Snapshot> {
    let repository = json!({ "url": fleet.bare.file_url() });
    let data = fleet.bare.root.path().join("data");
    Repository::open(&config(repository), &data).await.unwrap().snapshot_at_head().await.unwrap()
}

/// The desired state of these files.
pub(crate) async fn snapshot_of(files: &[(&str, &str)]) -> Arc<Snapshot> {
    snapshot(&Fleet::with(files)).await
}
