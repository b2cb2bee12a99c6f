//! What an operator has granted a plugin: kinds, namespaces, fields.

use super::Refusal;
use crate::model::manifest::ObjectRef;
use crate::model::plugin::Grants;

/// Whether the object may be changed at all.
pub(super) fn check_object(grants: &Grants, target: &ObjectRef) -> Vec<Refusal> {
    let mut reasons = Vec::new();
    let whole = format!("{}/{}", target.api_version, target.kind);
    if !grants.kinds.iter().any(|kind| *kind == whole || *kind == target.kind) {
        reasons.push(Refusal::Kind { target: target.clone() });
    }
    // An object without a namespace belongs to all of them.
    let namespace = target.namespace.as_deref().unwrap_or("*");
    if !grants.namespaces.iter().any(|pattern| namespace_fits(pattern, namespace)) {
        reasons.push(Refusal::Namespace { target: target.clone() });
    }
    reasons
}

fn namespace_fits(pattern: &str, namespace: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some("") => true,
        Some(prefix) => namespace.starts_with(prefix),
        None => pattern == namespace,
    }
}

/// Whether every field that really differs is granted: a patch of a parent cannot carry more.
pub(super) fn check_fields(grants: &Grants, target: &ObjectRef, changed: &[String]) -> Option<Refusal> {
    let granted = |field: &&String| grants.fields.iter().any(|pattern| field_fits(pattern, field));
    let fields: Vec<String> = changed.iter().filter(|field| !granted(field)).cloned().collect();
    (!fields.is_empty()).then(|| Refusal::Field { target: target.clone(), fields })
}

/// A pattern grants the field it names and everything below it; `*` stands for one step.
fn field_fits(pattern: &str, field: &str) -> bool {
    let mut steps = field.split('/');
    pattern.split('/').all(|wanted| steps.next().is_some_and(|step| wanted == "*" || wanted == step))
}
