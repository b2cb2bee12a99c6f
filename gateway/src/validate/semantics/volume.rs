//! Volumes of a pod.

use std::collections::BTreeMap;

use super::node::Node;
use super::{Found, names, quantity};

/// The largest mode of a file: read, write and execute for all.
const MODE_MAX: i64 = 0o777;

/// The names of the volumes that containers can mount, and of each whether it is a claim.
pub(super) fn check(
    kind: &str,
    object: &Node<'_>,
    spec: &Node<'_>,
    found: &mut Found,
) -> BTreeMap<String, bool> {
    let volumes = spec.items("volumes");
    found.unique(&volumes, "name", |volume| volume.text_of("name").map(str::to_owned));
    let mut names = BTreeMap::new();
    for volume in &volumes {
        one(volume, found);
        let claim = volume.has("persistentVolumeClaim") || volume.has("ephemeral");
        names.insert(volume.text_of("name").unwrap_or_default().to_owned(), claim);
    }
    // A StatefulSet's claims are volumes of its pods.
    if kind == "StatefulSet" {
        let claims = object.get("spec").map(|spec| spec.items("volumeClaimTemplates")).unwrap_or_default();
        let claims = claims.iter().filter_map(|claim| claim.get("metadata")?.text_of("name"));
        names.extend(claims.map(|name| (name.to_owned(), true)));
    }
    names
}

fn one(volume: &Node<'_>, found: &mut Found) {
    found.form(volume.get("name").as_ref(), names::label);
    let sources: Vec<&str> =
        volume.fields().into_iter().map(|(field, _)| field).filter(|field| *field != "name").collect();
    if sources.len() > 1 {
        found.at(volume, format!("has several sources: {}", sources.join(", ")));
    }
    // Without a source it is an empty folder.
    if let Some(empty) = volume.get("emptyDir") {
        quantity::not_negative(&empty, "sizeLimit", found);
    }
    if let Some(host) = volume.get("hostPath") {
        found.required(&host, "path");
        if host.text_of("path").is_some_and(|path| path.split('/').any(|step| step == "..")) {
            found.at(&host, "has a path with '..' in it");
        }
        const TYPES: [&str; 8] = [
            "",
            "DirectoryOrCreate",
            "Directory",
            "FileOrCreate",
            "File",
            "Socket",
            "CharDevice",
            "BlockDevice",
        ];
        found.one_of(&host, "type", &TYPES);
    }
    if let Some(config) = volume.get("configMap") {
        found.required(&config, "name");
    }
    if let Some(secret) = volume.get("secret") {
        found.required(&secret, "secretName");
    }
    if let Some(claim) = volume.get("persistentVolumeClaim") {
        found.required(&claim, "claimName");
    }
    for field in ["configMap", "secret", "downwardAPI", "projected"] {
        if let Some(source) = volume.get(field) {
            files(&source, found);
        }
    }
    let sources = volume.get("projected").map(|projected| projected.items("sources")).unwrap_or_default();
    for source in sources {
        if source.fields().len() != 1 {
            found.at(&source, format!("has {} sources, and exactly one is needed", source.fields().len()));
        }
        source.fields().iter().for_each(|(_, below)| files(below, found));
        if let Some(token) = source.get("serviceAccountToken") {
            found.within(&token, "expirationSeconds", 600, 1 << 32);
            found.required(&token, "path");
            found.form(token.get("path").as_ref(), names::relative_path);
        }
    }
}

/// Modes, and the files that keys become.
fn files(source: &Node<'_>, found: &mut Found) {
    found.within(source, "defaultMode", 0, MODE_MAX);
    for item in source.items("items") {
        found.within(&item, "mode", 0, MODE_MAX);
        found.required(&item, "path");
        found.form(item.get("path").as_ref(), names::relative_path);
    }
}
