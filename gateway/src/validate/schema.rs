//! Strict schemas of Kubernetes' kinds: an unknown field is refused, not dropped, and so is one that came
//! after the version of the cluster. Those of custom kinds come from their definitions.

mod since;
mod version;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::{ValidationError, Validator};
use k8s_openapi::api::{apps::v1 as apps, autoscaling::v2 as autoscaling, batch::v1 as batch};
use k8s_openapi::api::{
    core::v1 as core, networking::v1 as networking, policy::v1 as policy, rbac::v1 as rbac,
    storage::v1 as storage,
};
pub(super) use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};
pub use version::{KubernetesVersion, UnknownVersion};

use super::Refusal;
use super::custom::{Config, CustomSchemas, DefinitionError};
use crate::model::manifest::ObjectRef;
use crate::model::text::cut;
use crate::snapshot::Snapshot;

/// Errors of one object that are told; the rest follows from them more often than not.
const ERRORS_MAX: usize = 8;
/// Errors of one object that are collected. One with more is not compared with what it was before.
const COLLECTED_MAX: usize = 1_000;
/// The longest of one error, in bytes.
const REASON_BYTES_MAX: usize = 512;

type Generate = fn() -> Value;
/// A cluster that has a version of its own, an apiVersion and a kind.
type Key = (Option<String>, String, String);

/// The schemas of the kinds that can be changed, each compiled when it is first needed.
pub struct Schemas {
    known: BTreeMap<(&'static str, &'static str), Generate>,
    version: KubernetesVersion,
    /// The versions of clusters that have their own, by their names.
    clusters: BTreeMap<String, KubernetesVersion>,
    compiled: Mutex<BTreeMap<Key, Arc<Validator>>>,
    custom: CustomSchemas,
}

impl fmt::Debug for Schemas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schemas").field("kinds", &self.known.len()).finish_non_exhaustive()
    }
}

impl Schemas {
    /// The kinds of Kubernetes itself, and those that the configuration defines.
    ///
    /// # Errors
    /// When a file cannot be read or a definition in it is of no use.
    pub fn new(config: &Config) -> Result<Self, DefinitionError> {
        let custom = CustomSchemas::read(config)?;
        Ok(Self { custom, version: config.kubernetes, ..Self::kubernetes() })
    }

    /// With clusters that have a version of their own, by their names.
    #[must_use]
    pub fn for_clusters(self, clusters: BTreeMap<String, KubernetesVersion>) -> Self {
        Self { clusters, ..self }
    }

    /// How many kinds the configuration defines.
    #[must_use]
    pub fn defined(&self) -> usize {
        self.custom.len()
    }

    /// The kinds of Kubernetes itself, in the newest version.
    #[must_use]
    pub fn kubernetes() -> Self {
        let known: [((&str, &str), Generate); 24] = [
            (("apps/v1", "Deployment"), strict::<apps::Deployment>),
            (("apps/v1", "StatefulSet"), strict::<apps::StatefulSet>),
            (("apps/v1", "DaemonSet"), strict::<apps::DaemonSet>),
            (("apps/v1", "ReplicaSet"), strict::<apps::ReplicaSet>),
            (("batch/v1", "Job"), strict::<batch::Job>),
            (("batch/v1", "CronJob"), strict::<batch::CronJob>),
            (("v1", "Pod"), strict::<core::Pod>),
            (("v1", "Service"), strict::<core::Service>),
            (("v1", "ServiceAccount"), strict::<core::ServiceAccount>),
            (("v1", "ConfigMap"), strict::<core::ConfigMap>),
            (("v1", "Secret"), strict::<core::Secret>),
            (("v1", "Namespace"), strict::<core::Namespace>),
            (("v1", "PersistentVolumeClaim"), strict::<core::PersistentVolumeClaim>),
            (("v1", "LimitRange"), strict::<core::LimitRange>),
            (("v1", "ResourceQuota"), strict::<core::ResourceQuota>),
            (("networking.k8s.io/v1", "NetworkPolicy"), strict::<networking::NetworkPolicy>),
            (("networking.k8s.io/v1", "Ingress"), strict::<networking::Ingress>),
            (("policy/v1", "PodDisruptionBudget"), strict::<policy::PodDisruptionBudget>),
            (("autoscaling/v2", "HorizontalPodAutoscaler"), strict::<autoscaling::HorizontalPodAutoscaler>),
            (("rbac.authorization.k8s.io/v1", "Role"), strict::<rbac::Role>),
            (("rbac.authorization.k8s.io/v1", "RoleBinding"), strict::<rbac::RoleBinding>),
            (("rbac.authorization.k8s.io/v1", "ClusterRole"), strict::<rbac::ClusterRole>),
            (("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"), strict::<rbac::ClusterRoleBinding>),
            (("storage.k8s.io/v1", "StorageClass"), strict::<storage::StorageClass>),
        ];
        Self {
            known: known.into(),
            version: KubernetesVersion::default(),
            clusters: BTreeMap::new(),
            compiled: Mutex::default(),
            custom: CustomSchemas::default(),
        }
    }

    /// What is wrong with an object, by its kind's schema. A kind without a schema is refused:
    /// one invalid manifest stops all of a Kustomization. What was wrong in the object `before`, too,
    /// is not held against a change.
    pub(super) fn check(
        &self,
        snapshot: &Snapshot,
        target: &ObjectRef,
        before: Option<&Value>,
        manifest: &Value,
    ) -> Vec<Refusal> {
        let refuse = |reason: String| Refusal::Schema {
            target: target.clone(),
            reason: cut(reason, REASON_BYTES_MAX),
        };
        let errors = match self.validator(snapshot.cluster(), target) {
            Ok(Some(validator)) => Ok(new_errors(&validator, before, manifest)),
            Ok(None) => self.custom.errors(snapshot, target, before, manifest, ERRORS_MAX),
            Err(reason) => Err(reason),
        };
        errors.unwrap_or_else(|reason| vec![reason]).into_iter().map(refuse).collect()
    }

    /// The validator of one of Kubernetes' own kinds, in the version of the cluster.
    fn validator(&self, cluster: Option<&str>, target: &ObjectRef) -> Result<Option<Arc<Validator>>, String> {
        let kind = (target.api_version.as_str(), target.kind.as_str());
        let Some(generate) = self.known.get(&kind) else { return Ok(None) };
        let own = cluster.and_then(|name| Some((name, *self.clusters.get(name)?)));
        let key = (own.map(|(name, _)| name.to_owned()), target.api_version.clone(), target.kind.clone());
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(validator) = compiled.get(&key) {
            return Ok(Some(Arc::clone(validator)));
        }
        let (version, set) = match own {
            Some((name, version)) => (version, format!("cluster {name} has {version}")),
            None => (self.version, format!("validation.kubernetes is {}", self.version)),
        };
        let mut schema = generate();
        version.mark(&mut schema);
        let validator = version::options(&set).build(&schema).map_err(|error| error.to_string())?;
        let validator = Arc::new(validator);
        compiled.insert(key, Arc::clone(&validator));
        Ok(Some(validator))
    }
}

/// What is wrong by a schema of Kubernetes, and was not `before`.
fn new_errors(validator: &Validator, before: Option<&Value>, manifest: &Value) -> Vec<String> {
    let all = |manifest: &Value| -> Vec<String> {
        let manifest = without_nulls(manifest);
        validator.iter_errors(&manifest).take(COLLECTED_MAX).map(|error| told(&error)).collect()
    };
    let mut errors = all(manifest);
    if let Some(before) = before.filter(|_| (1..COLLECTED_MAX).contains(&errors.len())) {
        let known: BTreeSet<String> = all(before).into_iter().collect();
        errors.retain(|error| !known.contains(error));
    }
    errors.truncate(ERRORS_MAX);
    errors
}

/// An error with where it is. The value stands in it, unless it would leave no place for the rest.
pub(super) fn told(error: &ValidationError<'_>) -> String {
    let whole = format!("{} {error}", error.instance_path());
    if whole.len() <= REASON_BYTES_MAX {
        return whole;
    }
    format!("{} {}", error.instance_path(), error.masked())
}

/// The manifest as an API server reads it: a field that is `null`, as `creationTimestamp` often is
/// in generated files, is a field that is absent.
fn without_nulls(manifest: &Value) -> Value {
    match manifest {
        Value::Object(object) => {
            let present = object.iter().filter(|(_, value)| !value.is_null());
            Value::Object(present.map(|(key, value)| (key.clone(), without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        scalar => scalar.clone(),
    }
}

/// The type's schema with every object closed, and nothing but numbers and strings for quantities.
fn strict<T: JsonSchema>() -> Value {
    let mut schema = SchemaGenerator::default().into_root_schema_for::<T>().to_value();
    close(&mut schema);
    schema
}

pub(super) fn close(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            let has_fields = object.get("properties").is_some_and(|fields| fields.is_object());
            if has_fields && !object.contains_key("additionalProperties") && object.contains_key("type") {
                object.insert("additionalProperties".to_owned(), json!(false));
            }
            if object.get("x-kubernetes-int-or-string") == Some(&json!(true)) {
                object.insert("type".to_owned(), json!(["number", "string"]));
            }
            // A schema calls 1e300 an integer; an API server takes what fits.
            if let Some((least, most)) = bounds(object.get("format")) {
                object.entry("minimum").or_insert(json!(least));
                object.entry("maximum").or_insert(json!(most));
            }
            object.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// What an integer's format can hold.
fn bounds(format: Option<&Value>) -> Option<(i64, i64)> {
    match format?.as_str()? {
        "int32" => Some((i32::MIN.into(), i32::MAX.into())),
        "int64" => Some((i64::MIN, i64::MAX)),
        _ => None,
    }
}
