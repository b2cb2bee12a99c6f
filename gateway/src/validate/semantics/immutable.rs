//! Fields that an API server does not let anybody change once the object is there.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::Found;
use super::node::Node;
use super::quantity::Quantity;

/// The annotation by which Flux makes an object anew when a change is refused.
const FORCE: &str = "kustomize.toolkit.fluxcd.io/force";

/// What of StatefulSets can be changed.
const STATEFUL_SET: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];
/// What of pods can be changed; of containers it is the image.
const POD: [&str; 5] =
    ["activeDeadlineSeconds", "tolerations", "containers", "initContainers", "ephemeralContainers"];
/// What of a claim can be changed.
const CLAIM: [&str; 2] = ["resources", "volumeAttributesClassName"];

pub(super) fn check(kind: &str, before: &Value, after: &Value, found: &mut Found) {
    let (before, after) = (Node::root(before), Node::root(after));
    let force = before.at(&["metadata", "annotations"]).and_then(|own| own.text_of(FORCE));
    if force.is_some_and(|force| force.eq_ignore_ascii_case("enabled")) {
        return;
    }
    let changes = Changes { before, after };
    match kind {
        "Deployment" | "DaemonSet" | "ReplicaSet" => changes.kept(&["spec", "selector"], found),
        "StatefulSet" => changes.kept_but(&["spec"], &STATEFUL_SET, found),
        "Job" => job(&changes, found),
        "Pod" => pod(&changes, found),
        "Service" => changes.kept_if_set(&["spec", "clusterIP"], found),
        "RoleBinding" | "ClusterRoleBinding" => changes.kept(&["roleRef"], found),
        "StorageClass" => {
            for field in ["provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"] {
                changes.kept(&[field], found);
            }
        }
        "PersistentVolumeClaim" => claim(&changes, found),
        "ConfigMap" | "Secret" => data(kind, &changes, found),
        _ => {}
    }
}

/// An object, and what shall become of it.
struct Changes<'a> {
    before: Node<'a>,
    after: Node<'a>,
}

impl Changes<'_> {
    /// A field has to stay as it is.
    fn kept(&self, field: &[&str], found: &mut Found) {
        let value = |node: &Node<'_>| node.at(field).map(|node| without_nulls(node.value()));
        if value(&self.before) != value(&self.after) {
            self.refuse(field, found);
        }
    }

    /// A field may be taken away, which leaves it as it is in the cluster.
    fn kept_if_set(&self, field: &[&str], found: &mut Found) {
        if self.after.at(field).is_some() {
            self.kept(field, found);
        }
    }

    /// All fields of an object have to stay as they are, but for some.
    fn kept_but(&self, object: &[&str], changeable: &[&str], found: &mut Found) {
        let sides = [&self.before, &self.after].map(|side| side.at(object).map(|node| node.fields()));
        let names: BTreeSet<&str> = sides.iter().flatten().flatten().map(|(name, _)| *name).collect();
        for name in names.into_iter().filter(|name| !changeable.contains(name)) {
            self.kept(&[object, &[name]].concat(), found);
        }
    }

    fn refuse(&self, field: &[&str], found: &mut Found) {
        found.push(format!(
            "/{} cannot be changed once the object is there; delete it and make it anew",
            field.join("/")
        ));
    }
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let present = object.iter().filter(|(_, value)| !value.is_null());
            let present = present.map(|(key, value)| (key.clone(), without_nulls(value)));
            Value::Object(present.collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        scalar => scalar.clone(),
    }
}

/// A Job that has not begun can still be placed elsewhere.
fn job(changes: &Changes<'_>, found: &mut Found) {
    for field in [
        "selector",
        "completionMode",
        "manualSelector",
        "podFailurePolicy",
        "backoffLimitPerIndex",
        "managedBy",
        "successPolicy",
    ] {
        changes.kept(&["spec", field], found);
    }
    let indexed =
        |node: &Node<'_>| node.get("spec").and_then(|spec| spec.text_of("completionMode")) == Some("Indexed");
    if !indexed(&changes.before) {
        changes.kept(&["spec", "completions"], found);
    }
    if !changes.before.get("spec").is_some_and(|spec| spec.is("suspend", true)) {
        return changes.kept(&["spec", "template"], found);
    }
    changes.kept_but(&["spec", "template"], &["metadata", "spec"], found);
    let place =
        ["nodeSelector", "tolerations", "affinity", "schedulingGates", "containers", "initContainers"];
    changes.kept_but(&["spec", "template", "spec"], &place, found);
    containers(changes, &["spec", "template", "spec"], "resources", found);
}

fn pod(changes: &Changes<'_>, found: &mut Found) {
    changes.kept_but(&["spec"], &POD, found);
    containers(changes, &["spec"], "image", found);
}

/// Containers may differ in one field.
fn containers(changes: &Changes<'_>, spec: &[&str], changeable: &str, found: &mut Found) {
    for list in ["containers", "initContainers"] {
        let rest = |node: &Node<'_>| -> Vec<Value> {
            let containers = node.at(spec).map(|spec| spec.items(list)).unwrap_or_default();
            let mut containers: Vec<Value> =
                containers.iter().map(|one| without_nulls(one.value())).collect();
            containers
                .iter_mut()
                .filter_map(Value::as_object_mut)
                .for_each(|one| drop(one.remove(changeable)));
            containers
        };
        if rest(&changes.before) != rest(&changes.after) {
            changes.refuse(&[spec, &[list]].concat(), found);
        }
    }
}

/// A claim can ask for more, if its class lets it.
fn claim(changes: &Changes<'_>, found: &mut Found) {
    changes.kept_but(&["spec"], &CLAIM, found);
    changes.kept(&["spec", "resources", "limits"], found);
    let storage = |node: &Node<'_>| {
        node.at(&["spec", "resources", "requests", "storage"]).and_then(|node| Quantity::of(node.value()))
    };
    if storage(&changes.before).zip(storage(&changes.after)).is_some_and(|(before, after)| after < before) {
        found.push("/spec/resources/requests/storage cannot become less than it is".to_owned());
    }
}

fn data(kind: &str, changes: &Changes<'_>, found: &mut Found) {
    if kind == "Secret" {
        changes.kept(&["type"], found);
    }
    if changes.before.is("immutable", true) {
        for field in ["immutable", "data", "binaryData", "stringData"] {
            changes.kept(&[field], found);
        }
    }
}
