//! Which CustomResourceDefinition says what a custom kind looks like: those of the configuration, or
//! else those of the desired state.
//!
//! A compiled schema is kept by the blob it came from. Nothing here is taken from a cluster.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::definition::{Custom, versions};
use super::{DryRunConfig, KubernetesVersion};
use crate::edit::{self, Place};
use crate::model::manifest::ObjectRef;
use crate::snapshot::Snapshot;

/// The longest file of definitions that is named in the configuration, in bytes.
const FILE_BYTES_MAX: u64 = 8 << 20;
/// The most schemas of the desired state that are kept compiled; then they are made anew.
const KEPT_MAX: usize = 256;

/// What a valid object is held against.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// The version of Kubernetes of the clusters: what came after it is refused.
    pub kubernetes: KubernetesVersion,
    /// Files with CustomResourceDefinitions, or folders of such files. What they define, the
    /// repository's own definitions are not asked for.
    pub crds: Vec<PathBuf>,
    /// An API server that is asked before each commit.
    pub dry_run: Option<DryRunConfig>,
}

/// Definitions that the configuration names cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("validation.crds: {}: {reason}", path.display())]
pub struct DefinitionError {
    path: PathBuf,
    reason: String,
}

/// A group and a kind.
type GroupKind = (String, String);
/// A blob, a place in it and a version.
type Key = (String, Place, String);
type Compiled = Result<Arc<Custom>, String>;

/// The schemas of custom kinds.
#[derive(Debug, Default)]
pub(super) struct CustomSchemas {
    /// From the configuration, with their versions.
    named: BTreeMap<GroupKind, BTreeMap<String, Arc<Custom>>>,
    kept: Mutex<BTreeMap<Key, Compiled>>,
}

impl CustomSchemas {
    /// Reads and compiles what the configuration names.
    pub(super) fn read(config: &Config) -> Result<Self, DefinitionError> {
        let mut named = BTreeMap::new();
        for path in &config.crds {
            let before = named.len();
            for file in files(path)? {
                add(&mut named, &file).map_err(|reason| DefinitionError { path: file.clone(), reason })?;
            }
            if named.len() == before {
                let reason = "it has no CustomResourceDefinition that is not in another file".to_owned();
                return Err(DefinitionError { path: path.clone(), reason });
            }
        }
        Ok(Self { named, kept: Mutex::default() })
    }

    /// How many kinds the configuration names.
    pub(super) fn len(&self) -> usize {
        self.named.len()
    }

    /// What is wrong with an object, and was not `before`; each definition of its kind has to take it.
    ///
    /// # Errors
    /// Why there is no telling.
    pub(super) fn errors(
        &self,
        snapshot: &Snapshot,
        target: &ObjectRef,
        before: Option<&Value>,
        manifest: &Value,
        errors_max: usize,
    ) -> Result<Vec<String>, String> {
        let whole = format!("{}/{}", target.api_version, target.kind);
        let (group, version) = target.api_version.split_once('/').unwrap_or(("", &target.api_version));
        if let Some(versions) = self.named.get(&(group.to_owned(), target.kind.clone())) {
            let custom = versions.get(version).ok_or_else(|| {
                let there: Vec<&str> = versions.keys().map(String::as_str).collect();
                format!("validation.crds serves no version of {whole}, only {}", there.join(", "))
            })?;
            return Ok(custom.errors(before, manifest, errors_max));
        }
        let definitions = snapshot.definitions(group, &target.kind);
        if definitions.is_empty() {
            return Err(format!(
                "there is no schema for {whole}, so a change cannot be checked: have its CustomResourceDefinition \
                 in the repository's path, or name a file with it in validation.crds"
            ));
        }
        let mut distinct: Vec<(&str, Arc<Custom>)> = Vec::new();
        for definition in definitions {
            let key = (definition.blob.clone(), definition.place, version.to_owned());
            let custom = self.kept(key, || {
                let found = snapshot.definition(definition).ok_or("it cannot be read")?;
                Custom::of(&found, version).map(Arc::new)
            });
            let custom = custom.map_err(|reason| {
                format!("{whole} cannot be checked by its definition in {}: {reason}", definition.path)
            })?;
            if !distinct.iter().any(|(_, known)| known.is_same_as(&custom)) {
                distinct.push((&definition.path, custom));
            }
        }
        let several = distinct.len() > 1;
        let by = |path: &str, error: String| if several { format!("{error} (by {path})") } else { error };
        let errors = distinct.iter().flat_map(|(path, custom)| {
            custom.errors(before, manifest, errors_max).into_iter().map(move |error| by(path, error))
        });
        Ok(errors.take(errors_max).collect())
    }

    fn kept(&self, key: Key, compile: impl FnOnce() -> Compiled) -> Compiled {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = kept.get(&key) {
            return found.clone();
        }
        let compiled = compile();
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(key, compiled.clone());
        compiled
    }
}

/// A file itself; of a folder its manifest files, in the order of their names.
fn files(path: &Path) -> Result<Vec<PathBuf>, DefinitionError> {
    let failed = |error: std::io::Error| DefinitionError { path: path.to_owned(), reason: error.to_string() };
    if !std::fs::metadata(path).map_err(failed)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let end = path.extension().and_then(|end| end.to_str());
        if end.is_some_and(|end| ["yaml", "yml", "json"].contains(&end)) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Compiles every version of every definition of a file. What else is in it is passed over.
fn add(named: &mut BTreeMap<GroupKind, BTreeMap<String, Arc<Custom>>>, path: &Path) -> Result<(), String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > FILE_BYTES_MAX {
        return Err(format!("it is longer than {FILE_BYTES_MAX} bytes"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let documents = edit::read(&text).map_err(|error| error.to_string())?;
    for definition in documents.iter().filter(|document| document["kind"] == "CustomResourceDefinition") {
        let text = |pointer: &str| definition.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let (Some(group), Some(kind)) = (text("/spec/group"), text("/spec/names/kind")) else {
            return Err("a CustomResourceDefinition has no spec.group or no spec.names.kind".to_owned());
        };
        let mut compiled = BTreeMap::new();
        for version in versions(definition) {
            let custom = Custom::of(definition, version);
            let custom = custom.map_err(|reason| format!("{kind} of {group}: {reason}"))?;
            compiled.insert(version.to_owned(), Arc::new(custom));
        }
        if named.insert((group.clone(), kind.clone()), compiled).is_some() {
            return Err(format!("{kind} of {group} is defined twice"));
        }
    }
    Ok(())
}
