//! A network policy that lets nothing in or out.
//!
//! What other policies allow stays allowed: Kubernetes adds policies up, and none can forbid.

use riposte_sdk::prelude::*;
use serde_json::{Value, json};

use crate::{Response, name};

/// Kinds whose `spec.selector` selects their own pods. A Job's is made by the cluster.
const SELECTING: [&str; 4] = ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"];

/// A policy beside the owner cuts its pods off; with `allow_dns` they may ask the cluster's DNS.
///
/// The policy is the same whatever the alert, so a second one changes nothing.
///
/// # Errors
/// An ignore, when the owner's selector does not say which pods are its own.
pub fn isolate(owner: &ObjectRef, allow_dns: bool, context: &Context) -> Result<Response, Stop> {
    if !owner.is_any_of(&SELECTING) {
        return ignore!("{owner} has no selector of its pods");
    }
    let manifest = context.get(owner)?;
    // One without labels would select every pod of the namespace.
    let labels = manifest.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
    if labels.is_none_or(|labels| labels.is_empty()) {
        return ignore!("{owner} has no labels in spec.selector.matchLabels to isolate its pods by");
    }
    let egress = if allow_dns { vec![dns()] } else { Vec::new() };
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": { "name": format!("isolate-{}", owner.name) },
        "spec": {
            "podSelector": manifest.at("/spec/selector")?,
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [],
            "egress": egress,
        },
    });
    Ok(Response::new(owner, format!("Isolate {}", name(owner)), Patch::create(owner, policy)))
}

/// The DNS of the cluster, where almost every distribution has it. Not just any port 53: that is a
/// way out.
fn dns() -> Value {
    let ports = ["UDP", "TCP"].map(|protocol| json!({ "protocol": protocol, "port": 53 }));
    json!({
        "to": [{
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "kube-system" } },
            "podSelector": { "matchLabels": { "k8s-app": "kube-dns" } },
        }],
        "ports": ports,
    })
}
