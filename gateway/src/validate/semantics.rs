//! What a schema cannot say and an API server refuses all the same: a table of small rules.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Refusal;
use crate::model::manifest::ObjectRef;
use crate::model::text::cut;

/// What is told of one object; the rest is no news.
const REASONS_MAX: usize = 8;
/// The longest of one reason, in bytes: names of a manifest are part of it.
const REASON_BYTES_MAX: usize = 512;

/// A rule adds what it finds wrong.
type Rule = fn(&Value, &mut Found);

/// What is wrong so far.
#[derive(Default)]
struct Found(Vec<String>);

impl Found {
    fn push(&mut self, reason: String) {
        if self.0.len() < REASONS_MAX {
            self.0.push(cut(reason, REASON_BYTES_MAX));
        }
    }
}

const RULES: [Rule; 6] = [name, replicas, selector, containers, pull_policies, quantities];

/// Everything that is wrong with the manifest.
pub(super) fn check(target: &ObjectRef, manifest: &Value) -> Vec<Refusal> {
    let mut found = Found::default();
    for rule in RULES {
        rule(manifest, &mut found);
    }
    found.0.into_iter().map(|reason| Refusal::Semantics { target: target.clone(), reason }).collect()
}

fn name(manifest: &Value, found: &mut Found) {
    let name = manifest.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let bytes = name.as_bytes();
    if !(name.len() <= 253
        && name.bytes().all(allowed)
        && ends(bytes.first().copied())
        && ends(bytes.last().copied()))
    {
        found.push(format!("/metadata/name {name:?} is no DNS name"));
    }
}

fn replicas(manifest: &Value, found: &mut Found) {
    if let Some(replicas) =
        manifest.pointer("/spec/replicas").and_then(Value::as_i64).filter(|number| *number < 0)
    {
        found.push(format!("/spec/replicas is {replicas}, which is negative"));
    }
}

fn selector(manifest: &Value, found: &mut Found) {
    let Some(selector) = manifest.pointer("/spec/selector/matchLabels").and_then(Value::as_object) else {
        return;
    };
    let Some(template) = manifest.pointer("/spec/template") else { return };
    let labels = template.pointer("/metadata/labels");
    let missing =
        selector.iter().find(|(key, value)| labels.and_then(|labels| labels.get(*key)) != Some(value));
    if let Some((key, _)) = missing {
        found.push(format!("/spec/selector wants label {key:?}, which the pod template does not have so"));
    }
}

/// The pod's specification, wherever the kind keeps it.
fn pod(manifest: &Value) -> Option<&Value> {
    let places = ["/spec/jobTemplate/spec/template/spec", "/spec/template/spec"];
    let nested = places.iter().find_map(|place| manifest.pointer(place));
    nested.or_else(|| (manifest.get("kind")? == "Pod").then(|| manifest.get("spec"))?)
}

fn each_container(manifest: &Value) -> impl Iterator<Item = &Value> {
    let lists = ["initContainers", "containers"].into_iter();
    let pod = pod(manifest);
    lists.filter_map(move |list| pod?.get(list)?.as_array()).flatten()
}

fn containers(manifest: &Value, found: &mut Found) {
    let volumes = pod(manifest).and_then(|pod| pod.get("volumes")).and_then(Value::as_array);
    let volumes: BTreeSet<&str> =
        volumes.into_iter().flatten().filter_map(|volume| volume["name"].as_str()).collect();
    // A StatefulSet's claims are volumes of its pods.
    let claims = manifest.pointer("/spec/volumeClaimTemplates").and_then(Value::as_array);
    let claims: BTreeSet<&str> =
        claims.into_iter().flatten().filter_map(|claim| claim["metadata"]["name"].as_str()).collect();
    let mut names = BTreeSet::new();
    for container in each_container(manifest) {
        let name = container["name"].as_str().unwrap_or_default();
        if !names.insert(name) {
            found.push(format!("two containers are named {name:?}"));
        }
        for mount in container["volumeMounts"].as_array().into_iter().flatten() {
            let volume = mount["name"].as_str().unwrap_or_default();
            if !volumes.contains(volume) && !claims.contains(volume) {
                found.push(format!(
                    "container {name:?} mounts the volume {volume:?}, which the pod does not have"
                ));
            }
        }
    }
}

fn pull_policies(manifest: &Value, found: &mut Found) {
    for container in each_container(manifest) {
        let policy = container["imagePullPolicy"].as_str();
        if let Some(policy) = policy.filter(|policy| !["Always", "IfNotPresent", "Never"].contains(policy)) {
            found.push(format!("imagePullPolicy {policy:?} is none of Always, IfNotPresent, Never"));
        }
    }
}

fn quantities(manifest: &Value, found: &mut Found) {
    for container in each_container(manifest) {
        for list in ["limits", "requests"] {
            let resources = container["resources"][list].as_object();
            for (resource, quantity) in resources.into_iter().flatten() {
                if let Some(text) = quantity.as_str().filter(|text| !is_quantity(text)) {
                    found.push(format!("{list} of {resource} is {text:?}, which is no quantity"));
                }
            }
        }
    }
}

/// `[+-]digits[.digits]` and a suffix, after the Kubernetes API conventions.
fn is_quantity(text: &str) -> bool {
    const SUFFIXES: [&str; 15] =
        ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi"];
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = unsigned
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let exponent = suffix.strip_prefix(['e', 'E']).is_some_and(|digits| digits.parse::<i8>().is_ok());
    number.parse::<f64>().is_ok() && (SUFFIXES.contains(&suffix) || suffix == "Ei" || exponent)
}
