//! What a file holds: its documents as data, and which of them are objects.
//!
//! Pure. Whatever cannot be read with certainty is no object, with the reason.

use std::sync::Arc;

use serde_json::Value;

use super::yaml::documents;

/// The kind that defines kinds.
const DEFINITION: &str = "CustomResourceDefinition";

/// Kinds without a namespace.
const CLUSTER_KINDS: [&str; 21] = [
    "APIService",
    "CSIDriver",
    "CSINode",
    "CertificateSigningRequest",
    "ClusterRole",
    "ClusterRoleBinding",
    DEFINITION,
    "FlowSchema",
    "IngressClass",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PriorityClass",
    "PriorityLevelConfiguration",
    "RuntimeClass",
    "StorageClass",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
    "VolumeAttachment",
];

/// A manifest file of one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Relative to the root of the repository, with `/`.
    pub path: String,
    /// The id of its blob.
    pub blob: String,
    /// The whole text.
    pub text: Arc<str>,
}

/// One object of a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) document: usize,
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    /// A kustomization's own text as data: of objects only the names are kept, or the desired state
    /// would take twenty times the memory of its text.
    pub(super) kustomization: Option<Arc<Value>>,
    /// Group and kind, where it is a CustomResourceDefinition.
    pub(super) defines: Option<(String, String)>,
}

/// The objects of a file, or why they are not read.
pub(super) type File = Result<Vec<Entry>, String>;

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
    let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    // A kustomization needs neither kind nor name.
    const KEYS: [&str; 9] = [
        "bases",
        "commonLabels",
        "components",
        "configMapGenerator",
        "namePrefix",
        "namespace",
        "patches",
        "patchesStrategicMerge",
        "resources",
    ];
    let kustomizes = KEYS.iter().any(|key| manifest.get(key).is_some())
        || matches!(text("/kind").as_deref(), Some("Kustomization" | "Component"));
    let or_empty = |found: Option<String>| found.or_else(|| kustomizes.then(String::new));
    let kind = or_empty(text("/kind"))?;
    let defines = (kind == DEFINITION).then(|| text("/spec/group").zip(text("/spec/names/kind"))).flatten();
    Some(Entry {
        document,
        api_version: or_empty(text("/apiVersion"))?,
        namespace: text("/metadata/namespace"),
        name: or_empty(text("/metadata/name"))?,
        kustomization: matches!(kind.as_str(), "" | "Kustomization" | "Component")
            .then(|| Arc::new(manifest)),
        kind,
        defines,
    })
}

/// Whether objects of a kind have no namespace.
pub(super) fn is_cluster_kind(kind: &str) -> bool {
    CLUSTER_KINDS.contains(&kind)
}

/// Whether a text has both words whole, as a manifest of such an object has.
pub(super) fn speaks_of(text: &str, kind: &str, name: &str) -> bool {
    let of_a_word = |character: char| character.is_ascii_alphanumeric() || "-._".contains(character);
    let has = |word: &str| {
        !word.is_empty()
            && text.match_indices(word).any(|(at, _)| {
                !text[..at].ends_with(of_a_word) && !text[at + word.len()..].starts_with(of_a_word)
            })
    };
    has(kind) && has(name)
}
