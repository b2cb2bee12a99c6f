//! What a plugin proposes, in few words, and what is made of it.

use riposte::model::manifest::ObjectRef;
use riposte::model::patch::{Change, Changes, Patch};
use riposte::model::plugin::Grants;
use riposte::snapshot::Snapshot;
use riposte::validate::{Guardrails, Refusals, Schemas, Validated, validate};
use serde_json::{Value, json};

/// An object of any kind.
pub(crate) fn object_of(api_version: &str, kind: &str, namespace: Option<&str>, name: &str) -> ObjectRef {
    ObjectRef {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
    }
}

/// An object of a kind whose version is known here; `v1` of all others.
pub(crate) fn object(kind: &str, namespace: Option<&str>, name: &str) -> ObjectRef {
    let api_version = match kind {
        "Deployment" => "apps/v1",
        "NetworkPolicy" => "networking.k8s.io/v1",
        _ => "v1",
    };
    object_of(api_version, kind, namespace, name)
}

/// What a manifest says that it is.
pub(crate) fn said_of_itself(manifest: &Value) -> ObjectRef {
    let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str);
    let (api_version, kind) = (text("/apiVersion").unwrap_or_default(), text("/kind").unwrap_or_default());
    object_of(api_version, kind, text("/metadata/namespace"), text("/metadata/name").unwrap_or_default())
}

/// A Deployment of a namespace.
pub(crate) fn deployment_in(namespace: &str, name: &str) -> ObjectRef {
    object("Deployment", Some(namespace), name)
}

/// The Deployment that most of these are about.
pub(crate) fn web() -> ObjectRef {
    deployment_in("default", "web")
}

pub(crate) fn merge(target: ObjectRef, patch: Value) -> Patch {
    Patch { target, change: Change::MergePatch(patch) }
}

pub(crate) fn to_zero(target: ObjectRef) -> Patch {
    merge(target, json!({ "spec": { "replicas": 0 } }))
}

pub(crate) fn gone(target: ObjectRef) -> Patch {
    Patch { target, change: Change::Delete {} }
}

pub(crate) fn creation(manifest: Value, beside: ObjectRef) -> Patch {
    Patch { target: said_of_itself(&manifest), change: Change::Create { manifest, beside } }
}

/// A decision with these patches.
pub(crate) fn changes(patches: Vec<Patch>) -> Changes {
    Changes { patches, title: "Change".to_owned(), reason: "because".to_owned(), expires_after_s: None }
}

/// What comes of these patches under the default guardrails.
pub(crate) fn check(
    snapshot: &Snapshot,
    grants: &Grants,
    patches: Vec<Patch>,
) -> Result<Validated, Refusals> {
    validate(&changes(patches), grants, &Guardrails::default(), &Schemas::kubernetes(), snapshot)
}
