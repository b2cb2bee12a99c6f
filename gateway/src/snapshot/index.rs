//! What a file holds: its documents as data, and which of them are objects.
//!
//! Pure. Whatever cannot be read with certainty is no object, with the reason.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::kustomize::At;
use crate::edit::{Place, objects};

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

/// A manifest file, and what is in it.
#[derive(Debug, Clone)]
pub(crate) struct Indexed {
    pub(crate) source: SourceFile,
    pub(super) objects: Arc<File>,
    /// Whether its text is here: that of a file which cannot be read is not, and it may have anything.
    pub(super) has_text: bool,
}

impl Indexed {
    /// Reads a file, unless there is a reason why its text is not here.
    pub(crate) fn read(source: SourceFile, left_out: Option<String>) -> Self {
        let has_text = left_out.is_none();
        let objects = Arc::new(left_out.map_or_else(|| read(&source.text), Err));
        Self { source, objects, has_text }
    }

    /// The same file at another path.
    pub(crate) fn at(&self, path: &str) -> Self {
        let source = SourceFile { path: path.to_owned(), ..self.source.clone() };
        Self { source, ..self.clone() }
    }

    /// All that is in it, as it stands there.
    pub(super) fn entries(&self) -> &[Entry] {
        self.objects.as_ref().as_ref().map(Vec::as_slice).unwrap_or_default()
    }

    /// What of it is applied: what a kustomization says of itself is no object.
    pub(super) fn named(&self) -> impl Iterator<Item = &Entry> {
        self.entries().iter().filter(|entry| !entry.name.is_empty())
    }

    /// Whether a snapshot tells of it beside its objects: it defines a kind, or cannot be read.
    pub(super) fn is_told(&self) -> bool {
        match self.objects.as_ref() {
            Ok(entries) => entries.iter().any(|entry| entry.defines.is_some()),
            Err(_) => true,
        }
    }

    /// Whether it may have an object of this kind and name, as far as its text tells.
    pub(super) fn may_speak_of(&self, kind: &str, name: &str) -> bool {
        !self.has_text || speaks_of(&self.source.text, kind, name)
    }
}

impl Place {
    /// The same place, from where places within the object are told.
    pub(super) fn at(self, path: &str) -> At {
        let pointer = self.item.map(|item| format!("/items/{item}")).unwrap_or_default();
        At { path: path.to_owned(), document: self.document, pointer }
    }
}

impl At {
    /// The same in an object that stands elsewhere by now; `None` when that is gone.
    pub(super) fn moved(&self, place: &dyn Fn(&str, Place) -> Option<Place>) -> Option<Self> {
        let in_list = self.pointer.strip_prefix("/items/").and_then(|rest| {
            let (item, _) = rest.split_once('/')?;
            Some((item.parse().ok()?, rest.strip_prefix(item)?))
        });
        let (item, rest) = in_list.map_or((None, self.pointer.as_str()), |(item, rest)| (Some(item), rest));
        let object = place(&self.path, Place { document: self.document, item })?.at(&self.path);
        Some(Self { pointer: object.pointer + rest, ..object })
    }
}

/// The files by their paths. Both are shared by all snapshots that have them.
pub(super) type IndexedFiles = BTreeMap<Arc<str>, Arc<Indexed>>;

/// One object of a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) place: Place,
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
    let objects = objects(text)?;
    Ok(objects.into_iter().filter_map(|(place, manifest)| entry(place, manifest)).collect())
}

fn entry(place: Place, manifest: Value) -> Option<Entry> {
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
        place,
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
