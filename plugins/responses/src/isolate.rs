//! A network policy that lets nothing in or out, but for what the configuration leaves open.
//!
//! What other policies allow stays allowed: Kubernetes adds policies up, and none can forbid.

use std::net::IpAddr;

use riposte_sdk::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Response, name};

/// Kinds whose `spec.selector` selects their own pods. A Job's is made by the cluster.
const SELECTING: [&str; 4] = ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"];

/// What stays open; nothing, unless told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(inline)]
pub struct Open {
    /// The pods may still ask the cluster's DNS.
    pub allow_dns: bool,
    /// Whoever could reach the pods still can; only the way out is closed.
    pub allow_ingress: bool,
    /// Addresses that the pods may still reach, for example `10.0.0.0/8`.
    pub allow_cidrs: Vec<String>,
    /// Namespaces whose pods the pods may still reach, by their names.
    pub allow_namespaces: Vec<String>,
}

impl Open {
    /// Whether Kubernetes takes it.
    ///
    /// # Errors
    /// Which value it does not take.
    pub fn check(&self) -> Result<(), String> {
        if let Some(wrong) = self.allow_cidrs.iter().find(|cidr| !is_cidr(cidr)) {
            return Err(format!("allowCidrs: {wrong:?} is no range of addresses, as 10.0.0.0/8 is"));
        }
        if let Some(wrong) = self.allow_namespaces.iter().find(|name| !is_namespace(name)) {
            return Err(format!("allowNamespaces: {wrong:?} is no name of a namespace"));
        }
        Ok(())
    }

    fn egress(&self) -> Vec<Value> {
        let ranges = self.allow_cidrs.iter().map(|cidr| json!({ "ipBlock": { "cidr": cidr } }));
        let namespaces = self.allow_namespaces.iter().map(
            |name| json!({ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": name } } }),
        );
        let peers: Vec<Value> = ranges.chain(namespaces).collect();
        // A rule without peers would allow all of them.
        let peers = (!peers.is_empty()).then(|| json!({ "to": peers }));
        self.allow_dns.then(dns).into_iter().chain(peers).collect()
    }
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let bits_max = if address.is_ipv4() { 32 } else { 128 };
    bits.bytes().all(|byte| byte.is_ascii_digit()) && bits.parse::<u8>().is_ok_and(|bits| bits <= bits_max)
}

fn is_namespace(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// A policy beside the owner cuts its pods off, but for what is open.
///
/// The policy is the same whatever the alert, so a second one changes nothing.
///
/// # Errors
/// An ignore, when the owner's selector does not say which pods are its own.
pub fn isolate(owner: &ObjectRef, open: &Open, context: &Context) -> Result<Response, Stop> {
    if !owner.is_any_of(&SELECTING) {
        return ignore!("{owner} has no selector of its pods");
    }
    let manifest = context.get(owner)?;
    // One without labels would select every pod of the namespace.
    let labels = manifest.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
    if labels.is_none_or(|labels| labels.is_empty()) {
        return ignore!("{owner} has no labels in spec.selector.matchLabels to isolate its pods by");
    }
    let mut policy = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": { "name": format!("isolate-{}", owner.name) },
        "spec": {
            "podSelector": manifest.at("/spec/selector")?,
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [],
            "egress": open.egress(),
        },
    });
    if open.allow_ingress {
        policy["spec"]["policyTypes"] = json!(["Egress"]);
        policy["spec"].as_object_mut().and_then(|spec| spec.remove("ingress"));
    }
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
