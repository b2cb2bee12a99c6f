//! What an operator has granted a plugin: kinds, namespaces, names, labels, paths, fields. And what a
//! plugin asks for beyond that.

use serde_json::Value;

use super::Refusal;
use crate::model::manifest::ObjectRef;
use crate::model::plugin::{Grants, RequestedGrants};

/// Whether the object may be changed at all.
pub(super) fn check_object(grants: &Grants, target: &ObjectRef) -> Vec<Refusal> {
    let mut reasons = Vec::new();
    if !has_kind(grants, &format!("{}/{}", target.api_version, target.kind)) {
        reasons.push(Refusal::Kind { target: target.clone() });
    }
    // An object without a namespace belongs to all of them.
    let namespace = target.namespace.as_deref().unwrap_or("*");
    if !grants.namespaces.iter().any(|pattern| fits(pattern, namespace)) {
        reasons.push(Refusal::Namespace { target: target.clone() });
    }
    if !grants.names.iter().any(|pattern| fits(pattern, &target.name)) {
        reasons.push(Refusal::Name { target: target.clone() });
    }
    reasons
}

/// Whether an object with these labels may be changed, deleted or made. A change is held to the labels
/// from before it, or a plugin could give itself what it needs.
pub(super) fn check_labels(grants: &Grants, target: &ObjectRef, manifest: &Value) -> Option<Refusal> {
    let label = |key: &str| manifest.pointer("/metadata/labels")?.get(key)?.as_str();
    let missing = |(key, pattern): &(&String, &String)| !label(key).is_some_and(|value| fits(pattern, value));
    let (key, pattern) = grants.labels.iter().find(missing)?;
    Some(Refusal::Label { target: target.clone(), label: format!("{key}: {pattern}") })
}

/// Whether what stands in a file, or would stand there, may be changed.
pub(super) fn check_path(grants: &Grants, target: &ObjectRef, path: &str) -> Option<Refusal> {
    let granted = grants.paths.iter().any(|pattern| path_fits(pattern, path));
    (!granted).then(|| Refusal::Path { target: target.clone(), path: path.to_owned() })
}

/// What a plugin asks for and is not granted, each as a text; namespaces are not asked for.
#[must_use]
pub fn not_granted(asked: &RequestedGrants, grants: &Grants) -> Vec<String> {
    let kinds = asked.kinds.iter().filter(|kind| !has_kind(grants, kind)).map(|kind| format!("kind {kind}"));
    let fields = asked.fields.iter().filter(|field| !has_field(grants, field));
    let flags = [("create", asked.create && !grants.create), ("delete", asked.delete && !grants.delete)];
    let flags = flags.into_iter().filter(|(_, missing)| *missing).map(|(flag, _)| flag.to_owned());
    kinds.chain(fields.map(|field| format!("field {field}"))).chain(flags).collect()
}

fn has_kind(grants: &Grants, whole: &str) -> bool {
    grants.kinds.iter().any(|granted| is_kind(granted, whole))
}

/// Of a kind like `apps/v1/Deployment` the last step alone means it in every version.
pub(super) fn is_kind(pattern: &str, whole: &str) -> bool {
    pattern == whole || whole.rsplit('/').next() == Some(pattern)
}

fn has_field(grants: &Grants, field: &str) -> bool {
    grants.fields.iter().any(|pattern| field_fits(pattern, field))
}

/// A text, the beginning of one and `*`, or `*` for all.
pub(super) fn fits(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => text.starts_with(prefix),
        None => pattern == text,
    }
}

/// Whether every field that really differs is granted: a patch of a parent cannot carry more.
pub(super) fn check_fields(grants: &Grants, target: &ObjectRef, changed: &[String]) -> Option<Refusal> {
    let fields: Vec<String> = changed.iter().filter(|field| !has_field(grants, field)).cloned().collect();
    (!fields.is_empty()).then(|| Refusal::Field { target: target.clone(), fields })
}

/// A pattern grants the field it names and everything below it; `*` stands for one step.
fn field_fits(pattern: &str, field: &str) -> bool {
    let mut steps = field.split('/');
    pattern.split('/').all(|wanted| steps.next().is_some_and(|step| wanted == "*" || wanted == step))
}

/// A pattern grants the file or the folder it names and everything below it; each step is a pattern.
fn path_fits(pattern: &str, path: &str) -> bool {
    let mut steps = path.split('/');
    pattern.trim_end_matches('/').split('/').all(|wanted| steps.next().is_some_and(|step| fits(wanted, step)))
}
