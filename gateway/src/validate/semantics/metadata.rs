//! What every object has: a name in its kind's form, labels, annotations.

use super::Found;
use super::names::{self, Form};
use super::node::Node;

/// All keys and values of annotations together, in bytes.
const ANNOTATIONS_BYTES_MAX: usize = 256 << 10;
/// The longest name of a CronJob, in bytes: eleven more make a Job's name of it.
const CRON_JOB_BYTES_MAX: usize = 52;

pub(super) fn check(kind: &str, object: &Node<'_>, found: &mut Found) {
    let Some(metadata) = object.get("metadata") else { return };
    let name = metadata.get("name");
    found.required(&metadata, "name");
    found.form(name.as_ref().filter(|name| name.text() != Some("")), form(kind));
    if let Some(name) =
        name.filter(|name| kind == "CronJob" && name.text().unwrap_or_default().len() > CRON_JOB_BYTES_MAX)
    {
        found.at(
            &name,
            format!("is longer than {CRON_JOB_BYTES_MAX} characters, and its Jobs' names are longer still"),
        );
    }
    found.form(metadata.get("namespace").as_ref(), names::label);
    labels_and_annotations(&metadata, found);
}

/// The form of a kind's names. A custom kind's own schema may want less.
fn form(kind: &str) -> Form {
    match kind {
        "Namespace" => names::label,
        "Service" => names::label_1035,
        "Role" | "ClusterRole" | "RoleBinding" | "ClusterRoleBinding" => names::path_segment,
        _ => names::subdomain,
    }
}

/// Of an object or of the pods that it makes.
pub(super) fn labels_and_annotations(metadata: &Node<'_>, found: &mut Found) {
    labels(metadata, "labels", found);
    let mut bytes = 0;
    for (key, value) in metadata.entries("annotations") {
        bytes += key.len() + value.text().unwrap_or_default().len();
        if let Some(wrong) = names::annotation(key) {
            found.at(&value, format!("has the key {key:?}, {wrong}"));
        }
    }
    if bytes > ANNOTATIONS_BYTES_MAX {
        found.at(
            metadata,
            format!("has annotations of {bytes} bytes, and at most {ANNOTATIONS_BYTES_MAX} are allowed"),
        );
    }
}

/// Labels of an object, or those that a selector wants.
pub(super) fn labels(node: &Node<'_>, field: &str, found: &mut Found) {
    for (key, value) in node.entries(field) {
        if let Some(wrong) = names::qualified(key) {
            found.at(&value, format!("has the key {key:?}, {wrong}"));
        }
        found.form(Some(&value), names::label_value);
    }
}
