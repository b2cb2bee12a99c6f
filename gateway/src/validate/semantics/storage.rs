//! ConfigMaps, Secrets, claims of volumes and their classes, quotas, ranges.

use std::collections::BTreeSet;

use super::node::Node;
use super::quantity::Quantity;
use super::{Found, names, quantity, selector};

/// All values of a ConfigMap or a Secret together, in bytes.
const DATA_BYTES_MAX: usize = 1 << 20;

pub(super) fn check(kind: &str, object: &Node<'_>, found: &mut Found) {
    match kind {
        "ConfigMap" => data(object, &["data", "binaryData"], found),
        "Secret" => secret(object, found),
        "PersistentVolumeClaim" => claim(object, found),
        "StorageClass" => class(object, found),
        "ResourceQuota" => quota(object, found),
        "LimitRange" => range(object, found),
        _ => {}
    }
}

fn data(object: &Node<'_>, fields: &[&str], found: &mut Found) {
    let (mut bytes, mut keys) = (0, BTreeSet::new());
    for (key, value) in fields.iter().flat_map(|field| object.entries(field)) {
        bytes += value.text().unwrap_or_default().len();
        if let Some(wrong) = names::config_key(key) {
            found.at(&value, format!("has the key {key:?}, {wrong}"));
        }
        if !keys.insert(key) {
            found.at(&value, format!("has the key {key:?} a second time"));
        }
    }
    if bytes > DATA_BYTES_MAX {
        found.at(object, format!("holds {bytes} bytes, and at most {DATA_BYTES_MAX} are allowed"));
    }
}

fn secret(object: &Node<'_>, found: &mut Found) {
    // What `stringData` has replaces what `data` has under the same key.
    data(object, &["data"], found);
    data(object, &["stringData"], found);
    let needed: &[&str] = match object.text_of("type") {
        Some("kubernetes.io/tls") => &["tls.crt", "tls.key"],
        Some("kubernetes.io/ssh-auth") => &["ssh-privatekey"],
        Some("kubernetes.io/dockercfg") => &[".dockercfg"],
        Some("kubernetes.io/dockerconfigjson") => &[".dockerconfigjson"],
        _ => &[],
    };
    let has = |key: &str| ["data", "stringData"].iter().any(|field| object.at(&[field, key]).is_some());
    for key in needed.iter().filter(|key| !has(key)) {
        found.at(
            object,
            format!("is of the type {}, and has no {key:?}", object.text_of("type").unwrap_or_default()),
        );
    }
    if object.text_of("type") == Some("kubernetes.io/basic-auth") && !has("username") && !has("password") {
        found.at(object, "is of the type kubernetes.io/basic-auth, and has neither username nor password");
    }
}

/// A claim, or what a StatefulSet makes claims of.
pub(super) fn claim(object: &Node<'_>, found: &mut Found) {
    const MODES: [&str; 4] = ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"];
    let Some(spec) = object.get("spec") else { return };
    let modes = spec.items("accessModes");
    if modes.is_empty() {
        found.at(&spec, "has no accessModes");
    }
    for mode in modes.iter().filter(|mode| mode.text().is_none_or(|mode| !MODES.contains(&mode))) {
        found.at(mode, format!("is {}, which is none of {}", mode.value(), MODES.join(", ")));
    }
    if modes.len() > 1 && modes.iter().any(|mode| mode.text() == Some("ReadWriteOncePod")) {
        found.at(&spec, "has the access mode ReadWriteOncePod beside others");
    }
    match spec.at(&["resources", "requests", "storage"]) {
        None => found.at(&spec, "has no resources/requests/storage"),
        Some(storage) => {
            let amount = quantity::read(&storage, found);
            if amount.is_some_and(|amount| amount.is_negative() || amount.is_zero()) {
                found.at(&storage, "has to be more than 0");
            }
            let limit =
                spec.at(&["resources", "limits", "storage"]).and_then(|limit| Quantity::of(limit.value()));
            if limit.zip(amount).is_some_and(|(limit, amount)| amount > limit) {
                found.at(&storage, "asks for more storage than its limit allows");
            }
        }
    }
    found.one_of(&spec, "volumeMode", &["Filesystem", "Block"]);
    found
        .form(spec.get("storageClassName").filter(|name| name.text() != Some("")).as_ref(), names::subdomain);
    selector::check(&spec, "selector", found);
}

fn class(object: &Node<'_>, found: &mut Found) {
    found.required(object, "provisioner");
    found.form(object.get("provisioner").as_ref(), |text| names::qualified(&text.to_lowercase()));
    found.one_of(object, "reclaimPolicy", &["Delete", "Retain"]);
    found.one_of(object, "volumeBindingMode", &["Immediate", "WaitForFirstConsumer"]);
}

fn quota(object: &Node<'_>, found: &mut Found) {
    for (_, amount) in object.get("spec").map(|spec| spec.entries("hard")).unwrap_or_default() {
        if quantity::read(&amount, found).is_some_and(Quantity::is_negative) {
            found.at(&amount, "is negative");
        }
    }
}

fn range(object: &Node<'_>, found: &mut Found) {
    const AMOUNTS: [&str; 5] = ["default", "defaultRequest", "max", "maxLimitRequestRatio", "min"];
    let limits = object.get("spec").map(|spec| spec.items("limits")).unwrap_or_default();
    for (_, amount) in limits.iter().flat_map(|limit| AMOUNTS.map(|field| limit.entries(field))).flatten() {
        quantity::read(&amount, found);
    }
}
