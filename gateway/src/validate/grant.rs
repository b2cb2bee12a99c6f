//! What an operator has granted a plugin: kinds, namespaces, fields. And what a plugin asks for beyond that.

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
    if !grants.namespaces.iter().any(|pattern| namespace_fits(pattern, namespace)) {
        reasons.push(Refusal::Namespace { target: target.clone() });
    }
    reasons
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

/// Of a kind like `apps/v1/Deployment` the last step alone grants it in every version.
fn has_kind(grants: &Grants, whole: &str) -> bool {
    let kind = whole.rsplit('/').next();
    grants.kinds.iter().any(|granted| granted == whole || Some(granted.as_str()) == kind)
}

fn has_field(grants: &Grants, field: &str) -> bool {
    grants.fields.iter().any(|pattern| field_fits(pattern, field))
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
    let fields: Vec<String> = changed.iter().filter(|field| !has_field(grants, field)).cloned().collect();
    (!fields.is_empty()).then(|| Refusal::Field { target: target.clone(), fields })
}

/// A pattern grants the field it names and everything below it; `*` stands for one step.
fn field_fits(pattern: &str, field: &str) -> bool {
    let mut steps = field.split('/');
    pattern.split('/').all(|wanted| steps.next().is_some_and(|step| wanted == "*" || wanted == step))
}
