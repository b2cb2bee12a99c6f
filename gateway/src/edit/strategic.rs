//! Strategic merge patch: a merge that knows which lists of Kubernetes' own kinds are sets of named elements.
//!
//! Pure. Which lists those are, and by which key, is what Kubernetes' types say in their
//! `x-kubernetes-patch-merge-key`. Every other list is replaced as a whole, and so is every list of a
//! custom kind. Elements keep their places and new ones come last: kubectl puts them first, and the
//! first container is the one that people mean. What would be a guess is refused: a key that several
//! elements have, a directive where it has no meaning.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::EditError;

/// The groups of Kubernetes' own kinds.
const GROUPS: [&str; 19] = [
    "",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "extensions",
    "flowcontrol.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
];

const DIRECTIVE: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

type Object = Map<String, Value>;

/// How a field is merged that is not merged as RFC 7396 says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// A list of objects that have this key.
    Keyed(&'static str),
    /// A list of scalars, each there once.
    Set,
    /// An object that is replaced as a whole.
    Whole,
}

/// What a strategic merge patch makes of an object. The kind is the object's own.
///
/// Understood are `$patch: merge`, `replace` and `delete`, `$retainKeys` and `$deleteFromPrimitiveList/…`.
///
/// # Errors
/// [`EditError::Patch`] when the patch or the object is no object, an element has no key or one that
/// others have too, or a directive cannot be followed.
pub fn strategic_merge(before: &Value, patch: &Value) -> Result<Value, EditError> {
    let (Value::Object(object), Value::Object(patch)) = (before, patch) else {
        return Err(EditError::Patch("a strategic merge patch is an object, for an object".to_owned()));
    };
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let merge = Merge { api_version: text("apiVersion"), kind: text("kind") };
    let mut after = object.clone();
    if directive(patch, &[])? == Directive::Delete {
        return Err(refused("$patch: delete", &[], "would delete the object, which is a change of its own"));
    }
    merge.object(&mut after, patch, &mut Vec::new())?;
    Ok(Value::Object(after))
}

/// What an object of the patch does to the one that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Directive {
    Merge,
    Replace,
    Delete,
}

fn directive(patch: &Object, path: &[&str]) -> Result<Directive, EditError> {
    match patch.get(DIRECTIVE) {
        None => Ok(Directive::Merge),
        Some(Value::String(word)) if word == "merge" => Ok(Directive::Merge),
        Some(Value::String(word)) if word == "replace" => Ok(Directive::Replace),
        Some(Value::String(word)) if word == "delete" => Ok(Directive::Delete),
        Some(_) => Err(refused(DIRECTIVE, path, "is merge, replace or delete")),
    }
}

fn refused(what: &str, path: &[&str], why: &str) -> EditError {
    let place = path.iter().map(|step| format!("/{step}")).collect::<String>();
    EditError::Patch(format!("{what} at {place:?} {why}"))
}

fn is_directive(key: &str) -> bool {
    [DIRECTIVE, RETAIN].contains(&key) || key.starts_with(DELETE_FROM) || key.starts_with(ORDER)
}

/// The kind that is merged.
#[derive(Debug, Clone, Copy)]
struct Merge<'a> {
    api_version: &'a str,
    kind: &'a str,
}

impl Merge<'_> {
    /// Merges into an object. What deletes it is for the one who holds it.
    fn object<'p>(
        self,
        at: &mut Object,
        patch: &'p Object,
        path: &mut Vec<&'p str>,
    ) -> Result<(), EditError> {
        if directive(patch, path)? == Directive::Replace || self.rule(path) == Some(Rule::Whole) {
            at.clear();
        }
        prepare(at, patch, path)?;
        for (key, value) in patch.iter().filter(|(key, _)| !is_directive(key)) {
            path.push(key);
            match value {
                Value::Null => {
                    at.remove(key);
                }
                Value::Object(child) if directive(child, path)? == Directive::Delete => {
                    at.remove(key);
                }
                Value::Object(child) => {
                    let held = at.entry(key.as_str()).or_insert(Value::Null);
                    let mut object = held.as_object().cloned().unwrap_or_default();
                    self.object(&mut object, child, path)?;
                    *held = Value::Object(object);
                }
                Value::Array(items) => {
                    let (there, before) = match at.remove(key) {
                        Some(Value::Array(before)) => (true, before),
                        _ => (false, Vec::new()),
                    };
                    let merged = self.list(before, items, path)?;
                    // To take from a list that is not there makes none.
                    if there || !merged.is_empty() || items.is_empty() {
                        at.insert(key.clone(), Value::Array(merged));
                    }
                }
                scalar => {
                    at.insert(key.clone(), scalar.clone());
                }
            }
            path.pop();
        }
        Ok(())
    }

    fn list<'p>(
        self,
        before: Vec<Value>,
        patch: &'p [Value],
        path: &mut Vec<&'p str>,
    ) -> Result<Vec<Value>, EditError> {
        match self.rule(path) {
            Some(Rule::Keyed(key)) => self.keyed(before, patch, key, path),
            Some(Rule::Set) => {
                let known: BTreeSet<String> = before.iter().map(Value::to_string).collect();
                let new = patch.iter().filter(|value| !known.contains(&value.to_string())).cloned();
                Ok(before.into_iter().chain(new).collect())
            }
            Some(Rule::Whole) | None if patch.iter().any(directs) => {
                Err(refused("a directive", path, "has no meaning in a list that is replaced as a whole"))
            }
            Some(Rule::Whole) | None => Ok(patch.to_vec()),
        }
    }

    /// Merges a list whose elements are told apart by a key.
    fn keyed<'p>(
        self,
        before: Vec<Value>,
        patch: &'p [Value],
        key: &'static str,
        path: &mut Vec<&'p str>,
    ) -> Result<Vec<Value>, EditError> {
        let is_marker = |item: &&Value| item.get(DIRECTIVE).is_some_and(|word| word == "replace");
        if patch.iter().filter(is_marker).any(|item| item.as_object().is_some_and(|item| item.len() > 1)) {
            return Err(refused("$patch: replace", path, "is for the whole list, in an element of its own"));
        }
        let before = if patch.iter().any(|item| is_marker(&item)) { Vec::new() } else { before };
        let mut elements = Elements::new(before, key);
        let mut seen = BTreeSet::new();
        for item in patch.iter().filter(|item| !is_marker(item)) {
            let (Value::Object(child), Some(name)) = (item, name_of(item, key)) else {
                return Err(refused("an element", path, &format!("has no {key}")));
            };
            if !seen.insert((name.clone(), protocol(item, key))) {
                return Err(refused(&name, path, "is in the patch twice"));
            }
            let found = elements.find(&name, item).ok_or_else(|| {
                refused(&name, path, "is there several times, so that it is not known which one changes")
            })?;
            let element = &mut elements.items[found];
            if directive(child, path)? == Directive::Delete {
                *element = Value::Null;
            } else {
                let mut object = element.as_object().cloned().unwrap_or_default();
                self.object(&mut object, child, path)?;
                *element = Value::Object(object);
            }
        }
        elements.items.retain(|element| !element.is_null());
        Ok(elements.items)
    }

    /// What the types of Kubernetes say of a field of this kind; elements of lists have no step of their own.
    fn rule(self, path: &[&str]) -> Option<Rule> {
        let group = self.api_version.split_once('/').map_or("", |(group, _)| group);
        if !GROUPS.contains(&group) {
            return None;
        }
        match path {
            [.., "metadata", "finalizers"] => return Some(Rule::Set),
            [.., "metadata", "ownerReferences"] => return Some(Rule::Keyed("uid")),
            _ => {}
        }
        let pod: &[&str] = match self.kind {
            "Pod" => &["spec"],
            "PodTemplate" => &["template", "spec"],
            "CronJob" => &["spec", "jobTemplate", "spec", "template", "spec"],
            "DaemonSet" | "Deployment" | "Job" | "ReplicaSet" | "ReplicationController" | "StatefulSet" => {
                &["spec", "template", "spec"]
            }
            other => return of_kind(other, path),
        };
        of_pod(path.strip_prefix(pod)?)
    }
}

fn of_pod(path: &[&str]) -> Option<Rule> {
    let key = match path {
        ["containers" | "initContainers" | "ephemeralContainers"] => "name",
        ["containers" | "initContainers" | "ephemeralContainers", field] => match *field {
            "env" => "name",
            "ports" => "containerPort",
            "volumeDevices" => "devicePath",
            "volumeMounts" => "mountPath",
            _ => return None,
        },
        ["volumes" | "imagePullSecrets" | "schedulingGates" | "resourceClaims" | "evictionResponders"] => {
            "name"
        }
        ["hostAliases"] => "ip",
        ["topologySpreadConstraints"] => "topologyKey",
        _ => return None,
    };
    Some(Rule::Keyed(key))
}

fn of_kind(kind: &str, path: &[&str]) -> Option<Rule> {
    match (kind, path) {
        ("Service", ["spec", "ports"]) => Some(Rule::Keyed("port")),
        ("ServiceAccount", ["secrets"])
        | ("CSINode", ["spec", "drivers"])
        | ("ValidatingAdmissionPolicy", ["spec", "matchConditions" | "variables"])
        | ("MutatingAdmissionPolicy", ["spec", "matchConditions"])
        | (
            "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration",
            ["webhooks"] | ["webhooks", "matchConditions"],
        ) => Some(Rule::Keyed("name")),
        ("Node", ["spec", "podCIDRs"]) => Some(Rule::Set),
        ("PodDisruptionBudget", ["spec", "selector"]) => Some(Rule::Whole),
        _ => None,
    }
}

/// Makes an object ready to be merged into: what the patch takes away without naming it as a field.
fn prepare(at: &mut Object, patch: &Object, path: &[&str]) -> Result<(), EditError> {
    for (key, value) in patch {
        if key.starts_with(ORDER) {
            return Err(refused(key, path, "is not followed: elements keep their places"));
        } else if let Some(name) = key.strip_prefix(DELETE_FROM) {
            let gone =
                value.as_array().filter(|gone| !gone.iter().any(|one| one.is_object() || one.is_array()));
            let gone = gone.ok_or_else(|| refused(key, path, "is no list of scalars"))?;
            let gone: BTreeSet<String> = gone.iter().map(Value::to_string).collect();
            if let Some(Value::Array(list)) = at.get_mut(name) {
                list.retain(|value| !gone.contains(&value.to_string()));
            }
        } else if key == RETAIN {
            let kept: Option<BTreeSet<&str>> =
                value.as_array().and_then(|names| names.iter().map(Value::as_str).collect());
            let kept = kept.ok_or_else(|| refused(key, path, "is no list of names"))?;
            let set = patch.iter().filter(|(name, value)| !is_directive(name) && !value.is_null());
            if let Some((lost, _)) = set.into_iter().find(|(name, _)| !kept.contains(name.as_str())) {
                return Err(refused(key, path, &format!("does not have {lost:?}, which the patch sets")));
            }
            at.retain(|name, _| kept.contains(name.as_str()));
        }
    }
    Ok(())
}

/// Whether a value has a directive, however deep.
fn directs(value: &Value) -> bool {
    match value {
        Value::Object(object) => object.iter().any(|(key, value)| is_directive(key) || directs(value)),
        Value::Array(items) => items.iter().any(directs),
        _ => false,
    }
}

/// The name of an element: a text or a number, as JSON.
fn name_of(item: &Value, key: &str) -> Option<String> {
    item.get(key).filter(|name| name.is_string() || name.is_number()).map(Value::to_string)
}

/// The protocol of a port, where it says none.
const PROTOCOL: &str = "TCP";

/// What tells ports of one number apart: two of the lists have it, and kubectl does not look at it.
fn protocol<'a>(item: &'a Value, key: &str) -> Option<&'a str> {
    item.get("protocol").and_then(Value::as_str).filter(|_| ["containerPort", "port"].contains(&key))
}

/// A list of named elements; what has gone is `null` until the end.
struct Elements {
    items: Vec<Value>,
    key: &'static str,
    by_name: BTreeMap<String, Vec<usize>>,
}

impl Elements {
    fn new(items: Vec<Value>, key: &'static str) -> Self {
        let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, item) in items.iter().enumerate() {
            if let Some(name) = name_of(item, key) {
                by_name.entry(name).or_default().push(index);
            }
        }
        Self { items, key, by_name }
    }

    /// Where the element of a patch stands, at the end for a new one; `None` if it could be several.
    fn find(&mut self, name: &str, item: &Value) -> Option<usize> {
        let named = self.by_name.get(name).map(Vec::as_slice).unwrap_or_default();
        let said = protocol(item, self.key);
        let fits = |index: &&usize| {
            protocol(&self.items[**index], self.key).unwrap_or(PROTOCOL) == said.unwrap_or(PROTOCOL)
        };
        let found: Vec<usize> = match named {
            [only] if said.is_none() => vec![*only],
            several => several.iter().filter(fits).copied().collect(),
        };
        match found[..] {
            [] => {
                self.items.push(Value::Null);
                Some(self.items.len() - 1)
            }
            [only] => Some(only),
            _ => None,
        }
    }
}
