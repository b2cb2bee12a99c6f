//! What a file holds: its documents as data, and which of them are objects.
//!
//! Pure. Whatever cannot be read with certainty is no object, with the reason.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::snapshot::SourceFile;

/// The deepest nesting of a manifest.
const DEPTH_MAX: usize = 64;

/// Kinds without a namespace.
const CLUSTER_KINDS: [&str; 12] = [
    "APIService",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "IngressClass",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PriorityClass",
    "StorageClass",
    "ValidatingWebhookConfiguration",
];

/// One object of a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) document: usize,
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    pub(super) manifest: Arc<Value>,
}

/// The objects of a file, or why they are not read.
pub(super) type File = Result<Vec<Entry>, String>;

/// The documents of a YAML stream (or JSON, which is YAML) as data.
///
/// # Errors
/// Why the text is not to be read, for people.
pub(super) fn documents(text: &str) -> Result<Vec<Value>, String> {
    if nesting(text) > DEPTH_MAX {
        return Err(format!("it is nested deeper than {DEPTH_MAX} levels"));
    }
    let mut documents = Vec::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        // By way of the YAML value, because that one refuses a key that is given twice.
        let value =
            serde_yaml::Value::deserialize(document).map_err(|error| format!("it is no YAML: {error}"))?;
        documents.push(serde_json::to_value(value).map_err(|error| format!("it has no JSON form: {error}"))?);
    }
    Ok(documents)
}

/// How deep brackets lie in each other; parsers take quadratic time on thousands of open ones.
fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// Reads a file.
pub(super) fn read(text: &str) -> File {
    if text.contains("{{") {
        return Err("it is a template".to_owned());
    }
    let documents = documents(text)?;
    if documents.iter().any(|document| document.get("sops").is_some()) {
        return Err("it is encrypted with SOPS".to_owned());
    }
    let objects = documents.into_iter().enumerate();
    Ok(objects.filter_map(|(index, document)| entry(index, document)).collect())
}

fn entry(document: usize, manifest: Value) -> Option<Entry> {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let metadata = manifest.get("metadata").cloned().unwrap_or_default();
    let kind = text(&manifest, "kind")?;
    // A kustomization has no name, and is needed for its namespace.
    let name = text(&metadata, "name").or_else(|| (kind == "Kustomization").then(String::new))?;
    Some(Entry {
        document,
        api_version: text(&manifest, "apiVersion")?,
        kind,
        namespace: text(&metadata, "namespace"),
        name,
        manifest: Arc::new(manifest),
    })
}

/// The `namespace:` of each folder's kustomization.
pub(super) fn kustomize_namespaces(files: &[(SourceFile, Arc<File>)]) -> BTreeMap<String, String> {
    let mut namespaces = BTreeMap::new();
    for (file, read) in files {
        let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
        if !matches!(name, "kustomization.yaml" | "kustomization.yml") {
            continue;
        }
        let entries = read.as_ref().as_ref().map(Vec::as_slice).unwrap_or_default();
        let namespace = entries.iter().find_map(|entry| entry.manifest.get("namespace")?.as_str());
        if let Some(namespace) = namespace {
            namespaces.insert(folder.to_owned(), namespace.to_owned());
        }
    }
    namespaces
}

/// Kustomize's `namespace:` replaces the manifest's own, the nearest folder's first.
pub(super) fn effective_namespace(
    entry: &Entry,
    path: &str,
    namespaces: &BTreeMap<String, String>,
) -> Option<String> {
    if CLUSTER_KINDS.contains(&entry.kind.as_str()) {
        return None;
    }
    let mut folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    loop {
        if let Some(namespace) = namespaces.get(folder) {
            return Some(namespace.clone());
        }
        if folder.is_empty() {
            break;
        }
        folder = folder.rsplit_once('/').map_or("", |(parent, _)| parent);
    }
    Some(entry.namespace.clone().unwrap_or_else(|| "default".to_owned()))
}
