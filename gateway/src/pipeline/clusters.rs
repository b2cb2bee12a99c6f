//! Which cluster an event is of, where one repository serves several.
//!
//! An event sees and changes what is applied to its own cluster. One that cannot be told changes
//! nothing: in another cluster the same names may mean something else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Pipeline;
use crate::dispatch::Filter;
use crate::model::event::Event;
use crate::model::outcome::OutcomeKind;
use crate::record::RecordError;
use crate::snapshot::{ClusterFolder, Snapshot};
use crate::validate::KubernetesVersion;

/// One cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cluster {
    /// Its name, unique in the list.
    pub name: String,
    /// The folder that is applied to it: its kustomizations and Flux Kustomizations, and what they reach.
    pub path: String,
    /// Which events are of it. A name that is no attribute of the event is one of Falco's output fields.
    #[serde(rename = "match")]
    pub matches: Filter,
    /// Its version of Kubernetes, where it is not that of `validation`.
    #[serde(default)]
    pub kubernetes: Option<KubernetesVersion>,
}

/// The clusters that the repository serves; one, of which nothing need be said, if there are none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Clusters(pub Vec<Cluster>);

impl Clusters {
    /// Their folders, for the repository.
    #[must_use]
    pub fn folders(&self) -> Vec<ClusterFolder> {
        let folder = |cluster: &Cluster| ClusterFolder {
            name: cluster.name.clone(),
            path: cluster.path.trim_start_matches("./").trim_matches('/').to_owned(),
        };
        self.0.iter().map(folder).collect()
    }

    /// The versions of Kubernetes of those that have their own, by their names.
    #[must_use]
    pub fn versions(&self) -> BTreeMap<String, KubernetesVersion> {
        self.0.iter().filter_map(|cluster| Some((cluster.name.clone(), cluster.kubernetes?))).collect()
    }

    /// What is wrong with them, a line each.
    #[must_use]
    pub fn wrong(&self) -> Vec<String> {
        let (mut names, mut wrong) = (BTreeSet::new(), Vec::new());
        let folders = self.folders();
        for (index, folder) in folders.iter().enumerate() {
            let ClusterFolder { name, path } = folder;
            if name.is_empty() || !names.insert(name) {
                wrong.push(format!("clusters[{index}].name {name:?} is empty or given twice"));
            }
            let plain = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
            if !plain || path.contains(['\\', '\0']) {
                wrong.push(format!("clusters[{index}].path {path:?} must be a folder inside the repository"));
            }
            let has = |other: &&ClusterFolder| format!("{}/", other.path).starts_with(&format!("{path}/"));
            if let Some(other) = folders.iter().filter(|other| *other != folder).find(has) {
                wrong.push(format!(
                    "clusters[{index}].path {path:?} has the folder of cluster {}",
                    other.name
                ));
            }
        }
        wrong
    }

    /// The cluster of an event; `None` when none are configured.
    ///
    /// # Errors
    /// Why it cannot be told.
    pub fn of(&self, event: &Event) -> Result<Option<&str>, NoCluster> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let fields = output_fields(event);
        let find = |name: &str| {
            let field = || fields.as_ref()?.get(name)?.as_str().map(str::to_owned);
            Filter::attribute(event, name).or_else(field)
        };
        let matching: Vec<&str> = self
            .0
            .iter()
            .filter(|cluster| cluster.matches.matches_by(&find))
            .map(|cluster| cluster.name.as_str())
            .collect();
        match matching[..] {
            [name] => Ok(Some(name)),
            [] => {
                let names: Vec<&str> = self.0.iter().map(|cluster| cluster.name.as_str()).collect();
                let reason = format!("the event is of none of the clusters: {}", names.join(", "));
                Err((OutcomeKind::Ignored, reason))
            }
            _ => {
                let reason = format!("the event could be of several clusters: {}", matching.join(", "));
                Err((OutcomeKind::Refused, reason))
            }
        }
    }
}

fn output_fields(event: &Event) -> Option<Value> {
    let mut data: Value = serde_json::from_slice(event.data().filter(|_| event.data_is_json())?).ok()?;
    data.get_mut("output_fields").map(Value::take)
}

/// How a reaction ends whose cluster cannot be told.
pub(super) type NoCluster = (OutcomeKind, String);

/// A commit as each of the clusters has it.
pub(super) struct Views {
    pub(super) whole: Arc<Snapshot>,
    by_name: BTreeMap<String, Arc<Snapshot>>,
}

impl Views {
    /// The view of a cluster that [`Clusters::of`] has told.
    pub(super) fn of(&self, cluster: Option<&str>) -> Result<&Arc<Snapshot>, NoCluster> {
        let Some(name) = cluster else { return Ok(&self.whole) };
        let unknown = || (OutcomeKind::Refused, format!("cluster {name} is not configured"));
        self.by_name.get(name).ok_or_else(unknown)
    }
}

impl Pipeline {
    /// The desired state that an event sees and changes, and of which cluster it is; `Err` is how its
    /// reactions end without one.
    pub(super) fn of_cluster(
        &self,
        event: &Event,
        snapshot: Arc<Snapshot>,
    ) -> Result<(Arc<Snapshot>, Option<&str>), NoCluster> {
        let Some(name) = self.clusters.of(event)? else { return Ok((snapshot, None)) };
        let view = snapshot.of_cluster(name).map_err(|error| (OutcomeKind::Refused, error.to_string()))?;
        Ok((Arc::new(view), Some(name)))
    }

    /// The cluster of a recorded event, which is looked at only where that matters.
    pub(super) async fn cluster_of(
        &self,
        seq: i64,
    ) -> Result<Result<Option<String>, NoCluster>, RecordError> {
        if self.clusters.0.is_empty() {
            return Ok(Ok(None));
        }
        let missing = || RecordError::Damaged(format!("event {seq} is missing"));
        let event = self.journal.event(seq).await?.ok_or_else(missing)?;
        Ok(self.clusters.of(event.event()).map(|found| found.map(str::to_owned)))
    }

    /// The commit as each of the clusters has it.
    pub(super) fn views(&self, whole: Arc<Snapshot>) -> Views {
        let names = self.clusters.0.iter().map(|cluster| &cluster.name);
        let view = |name: &String| Some((name.clone(), Arc::new(whole.of_cluster(name).ok()?)));
        Views { by_name: names.filter_map(view).collect(), whole }
    }
}
