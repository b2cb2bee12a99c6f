//! Strategic merge patches as kustomize applies them.
//!
//! Kustomize has rules of its own: what a patch adds to a list goes before what is there, and a kind
//! that it has no schema of keeps no list. What is not certain here is an error, never a guess.

use serde_json::{Map, Value};

use super::object::group_version;

/// How a list takes a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    /// As a whole.
    Whole,
    /// Element by element, told by a key.
    By(&'static str),
    /// Element by element, told by both keys where both are given.
    ByBoth(&'static str, &'static str),
    /// A set of plain values.
    Set,
}

/// Kinds with pods in them, whose lists are known.
const WITH_PODS: [&str; 9] = [
    "Pod",
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "ReplicationController",
    "Job",
    "CronJob",
    "PodTemplate",
];

/// Other kinds of Kubernetes whose lists are known: all but those of `list` are taken as a whole.
const WITHOUT_PODS: [&str; 18] = [
    "ClusterRole",
    "ClusterRoleBinding",
    "ConfigMap",
    "HorizontalPodAutoscaler",
    "Ingress",
    "IngressClass",
    "LimitRange",
    "Namespace",
    "NetworkPolicy",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "PodDisruptionBudget",
    "ResourceQuota",
    "Role",
    "RoleBinding",
    "Secret",
    "Service",
    "ServiceAccount",
];

/// What is known of the lists of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Schema {
    Pods,
    Other,
    /// A custom kind: kustomize has no schema of it.
    Custom,
    /// Kubernetes' own, and not in these tables.
    Unknown,
}

fn schema_of(api_version: &str, kind: &str) -> Schema {
    let (group, _) = group_version(api_version);
    let own = !group.contains('.') || group.ends_with(".k8s.io");
    match () {
        () if own && WITH_PODS.contains(&kind) => Schema::Pods,
        () if own && WITHOUT_PODS.contains(&kind) => Schema::Other,
        () if own => Schema::Unknown,
        () => Schema::Custom,
    }
}

struct Merge<'a> {
    kind: &'a str,
    schema: Schema,
}

/// What a patch makes of an object; `None` if it deletes it.
///
/// # Errors
/// When kustomize would refuse the patch, or what it would do is not known here.
pub(super) fn merge(manifest: &Value, patch: &Map<String, Value>) -> Result<Option<Value>, String> {
    let text = |key: &str| manifest.get(key).and_then(Value::as_str).unwrap_or_default();
    let kind = text("kind");
    let merge = Merge { kind, schema: schema_of(text("apiVersion"), kind) };
    let Some(before) = manifest.as_object() else { return Err("the object is no mapping".to_owned()) };
    Ok(merge.objects(before, patch, &[])?.map(Value::Object))
}

impl Merge<'_> {
    /// `None` when the patch deletes it.
    fn objects(
        &self,
        before: &Map<String, Value>,
        patch: &Map<String, Value>,
        above: &[&str],
    ) -> Result<Option<Map<String, Value>>, String> {
        match directive(patch)? {
            Directive::Delete => return Ok(None),
            Directive::Replace => {
                let mut whole = patch.clone();
                whole.remove("$patch");
                return Ok(Some(added(&whole)?));
            }
            Directive::Merge => {}
        }
        let mut after = before.clone();
        for (key, new) in patch.iter().filter(|(key, _)| *key != "$patch") {
            let path: Vec<&str> = above.iter().copied().chain([key.as_str()]).collect();
            let now = before.get(key).filter(|now| !now.is_null());
            let value = match (now, new) {
                (_, Value::Null) => None,
                (None, Value::Object(object)) if directive(object)? == Directive::Delete => None,
                (None, Value::Object(object)) => Some(Value::Object(added(object)?)),
                (Some(Value::Object(now)), Value::Object(object)) => {
                    self.objects(now, object, &path)?.map(Value::Object)
                }
                (None | Some(Value::Array(_)), Value::Array(items)) => {
                    let now = now.and_then(Value::as_array).map(Vec::as_slice);
                    let list = self.lists(now, items, &path)?;
                    (!list.is_empty() || items.is_empty()).then_some(Value::Array(list))
                }
                (Some(Value::Object(_) | Value::Array(_)), _)
                | (Some(_), Value::Object(_) | Value::Array(_)) => {
                    return Err(format!("a patch has another form than the object at {}", path.join("/")));
                }
                (_, scalar) => Some(scalar.clone()),
            };
            match value {
                Some(value) => after.insert(key.clone(), value),
                None => after.remove(key),
            };
        }
        Ok(Some(after))
    }

    /// How the list at a path takes a patch.
    fn list(&self, path: &[&str]) -> Result<List, String> {
        let (field, parent) = (path[path.len() - 1], path.len().checked_sub(2).map_or("", |at| path[at]));
        let unknown =
            || format!("how kustomize merges {} of a {} is not known here", path.join("/"), self.kind);
        match (self.schema, path) {
            (Schema::Custom, _) => return Ok(List::Whole),
            (_, ["metadata", "ownerReferences"]) => return Ok(List::By("uid")),
            (_, ["metadata", "finalizers"]) => return Ok(List::Set),
            (Schema::Unknown, _) => return Err(unknown()),
            _ => {}
        }
        let containers = ["containers", "initContainers", "ephemeralContainers"];
        Ok(match (self.schema, parent, field) {
            (Schema::Pods, "spec", "containers" | "initContainers" | "ephemeralContainers" | "volumes") => {
                List::By("name")
            }
            (Schema::Pods, "spec", "imagePullSecrets") => List::By("name"),
            (Schema::Pods, "spec", "hostAliases") => List::By("ip"),
            (Schema::Pods, "spec", "topologySpreadConstraints") => {
                List::ByBoth("topologyKey", "whenUnsatisfiable")
            }
            (Schema::Pods, "spec", "resourceClaims" | "schedulingGates") => return Err(unknown()),
            (Schema::Pods, parent, "env") if containers.contains(&parent) => List::By("name"),
            (Schema::Pods, parent, "volumeMounts") if containers.contains(&parent) => List::By("mountPath"),
            (Schema::Pods, parent, "volumeDevices") if containers.contains(&parent) => List::By("devicePath"),
            (Schema::Pods, parent, "ports") if containers.contains(&parent) => {
                List::ByBoth("containerPort", "protocol")
            }
            (Schema::Other, "spec", "ports") if self.kind == "Service" => List::ByBoth("port", "protocol"),
            (Schema::Other, "", "secrets") if self.kind == "ServiceAccount" => List::By("name"),
            _ => List::Whole,
        })
    }

    fn lists(&self, now: Option<&[Value]>, patch: &[Value], path: &[&str]) -> Result<Vec<Value>, String> {
        let list = self.list(path)?;
        let now = now.unwrap_or_default();
        match list {
            List::Whole => Ok(patch.to_vec()),
            List::Set => {
                let more = now.iter().filter(|item| !patch.contains(item));
                Ok(patch.iter().chain(more).cloned().collect())
            }
            List::By(key) => self.elements(now, patch, &[key], path),
            List::ByBoth(first, second) => {
                let given = |item: &&Value| item.get(second).is_some();
                match (now.iter().chain(patch).filter(given).count(), now.len() + patch.len()) {
                    (0, _) => self.elements(now, patch, &[first], path),
                    (all, of) if all == of => self.elements(now, patch, &[first, second], path),
                    _ => Err(format!("only some elements of {} have {second}", path.join("/"))),
                }
            }
        }
    }

    fn elements(
        &self,
        now: &[Value],
        patch: &[Value],
        keys: &[&str],
        path: &[&str],
    ) -> Result<Vec<Value>, String> {
        let name = |item: &Value| -> Result<Vec<Value>, String> {
            let found = keys.iter().map(|key| item.get(*key).cloned());
            let unnamed = || format!("an element of {} has no {}", path.join("/"), keys.join(" and "));
            found.collect::<Option<_>>().ok_or_else(unnamed)
        };
        let names = now.iter().map(name).collect::<Result<Vec<_>, _>>()?;
        if names.iter().enumerate().any(|(at, name)| names[..at].contains(name)) {
            return Err(format!("two elements of {} have the same {}", path.join("/"), keys.join(" and ")));
        }
        let (mut front, mut merged) = (Vec::new(), now.iter().cloned().map(Some).collect::<Vec<_>>());
        for item in patch {
            let wanted = name(item)?;
            let Some(object) = item.as_object() else { return Err("an element is no mapping".to_owned()) };
            if directive(object)? == Directive::Replace {
                return Err(format!("an element of {} is replaced by a patch", path.join("/")));
            }
            match names.iter().position(|name| *name == wanted) {
                Some(at) => {
                    let old = now[at].as_object().ok_or("an element is no mapping")?;
                    let new = self.objects(old, object, path)?.map(Value::Object);
                    // Told by one key, what a patch touches goes to the front.
                    match new {
                        Some(new) if keys.len() == 1 => front.push(new),
                        kept => {
                            merged[at] = kept;
                            continue;
                        }
                    }
                    merged[at] = None;
                }
                None if directive(object)? == Directive::Delete => {}
                None => front.push(Value::Object(added(object)?)),
            }
        }
        front.extend(merged.into_iter().flatten());
        Ok(front)
    }
}

/// What `$patch` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Directive {
    Merge,
    Replace,
    Delete,
}

fn directive(patch: &Map<String, Value>) -> Result<Directive, String> {
    if let Some(key) = patch.keys().find(|key| key.starts_with('$') && *key != "$patch") {
        return Err(format!("a patch says {key}"));
    }
    match patch.get("$patch").map(|said| said.as_str().unwrap_or_default()) {
        None | Some("merge") => Ok(Directive::Merge),
        Some("replace") => Ok(Directive::Replace),
        Some("delete") => Ok(Directive::Delete),
        Some(other) => Err(format!("a patch says $patch: {other}")),
    }
}

/// What is new as a whole comes without its nulls.
fn added(object: &Map<String, Value>) -> Result<Map<String, Value>, String> {
    directive(object)?;
    let mut found = Map::new();
    for (key, value) in object.iter().filter(|(key, value)| !value.is_null() && *key != "$patch") {
        let value = match value {
            Value::Object(inner) if inner.contains_key("$patch") => {
                return Err("a patch says $patch where nothing is to be patched".to_owned());
            }
            Value::Object(inner) => Value::Object(added(inner)?),
            other => other.clone(),
        };
        found.insert(key.clone(), value);
    }
    Ok(found)
}
