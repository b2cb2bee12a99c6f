//! What a file holds: its documents as data, and which of them are objects.
//!
//! Pure. Whatever cannot be read with certainty is no object, with the reason.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::yaml::documents;
use crate::model::manifest::ObjectRef;

/// The kind that defines kinds.
const DEFINITION: &str = "CustomResourceDefinition";

/// Kinds without a namespace.
const CLUSTER_KINDS: [&str; 12] = [
    "APIService",
    "ClusterRole",
    "ClusterRoleBinding",
    DEFINITION,
    "IngressClass",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PriorityClass",
    "StorageClass",
    "ValidatingWebhookConfiguration",
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
pub(super) struct Indexed {
    pub(super) source: SourceFile,
    pub(super) objects: Arc<File>,
    /// Whether its text is here: that of a file which cannot be read is not, and it may have anything.
    pub(super) has_text: bool,
    /// The namespace that kustomizations give its objects, or why they are left out; `None` until it
    /// is known.
    pub(super) namespace: Option<Result<Option<String>, String>>,
}

impl Indexed {
    /// Reads a file, unless there is a reason why its text is not here.
    pub(super) fn read(source: SourceFile, left_out: Option<String>) -> Self {
        let has_text = left_out.is_none();
        let objects = Arc::new(left_out.map_or_else(|| read(&source.text), Err));
        Self { source, objects, has_text, namespace: None }
    }

    /// The same file at another path.
    pub(super) fn at(&self, path: &str) -> Self {
        let source = SourceFile { path: path.to_owned(), ..self.source.clone() };
        Self { source, namespace: None, ..self.clone() }
    }

    /// All that is in it, as it stands there.
    pub(super) fn entries(&self) -> &[Entry] {
        self.objects.as_ref().as_ref().map(Vec::as_slice).unwrap_or_default()
    }

    /// Its objects by the names that they are applied under; none until its namespace is known.
    pub(super) fn named(&self) -> impl Iterator<Item = (ObjectRef, &Entry)> {
        let namespace = self.namespace.as_ref().and_then(|known| known.as_ref().ok());
        let named = self.entries().iter().filter(move |entry| namespace.is_some() && !entry.name.is_empty());
        named.map(move |entry| (entry.named(namespace.and_then(Option::as_deref)), entry))
    }

    /// Why none of its objects can be looked up.
    pub(super) fn left_out(&self) -> Option<&str> {
        let unplaced = || self.namespace.as_ref().and_then(|known| known.as_ref().err());
        self.objects.as_ref().as_ref().err().or_else(unplaced).map(String::as_str)
    }

    /// Whether it may have an object of this kind and name, as far as its text tells.
    pub(super) fn may_speak_of(&self, kind: &str, name: &str) -> bool {
        !self.has_text || speaks_of(&self.source.text, kind, name)
    }
}

/// Where in its file an object stands, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The document of the stream.
    pub document: usize,
    /// The element of `items`, where the document is a list.
    pub item: Option<usize>,
}

impl From<usize> for Place {
    fn from(document: usize) -> Self {
        Self { document, item: None }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "document {}", self.document + 1)?;
        self.item.map_or(Ok(()), |item| write!(f, " item {}", item + 1))
    }
}

impl Place {
    /// The object that stands here.
    pub(super) fn object(self, mut documents: Vec<Value>) -> Option<Value> {
        let mut document = documents.drain(..).nth(self.document)?;
        match self.item {
            None => Some(document),
            Some(item) => document.get_mut("items")?.get_mut(item).map(Value::take),
        }
    }
}

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
    if text.contains("{{") {
        return Err("it is a template".to_owned());
    }
    let documents = documents(text)?;
    if documents.iter().any(|document| document.get("sops").is_some()) {
        return Err("it is encrypted with SOPS".to_owned());
    }
    let mut found = Vec::new();
    for (document, mut manifest) in documents.into_iter().enumerate() {
        match items(&mut manifest) {
            None => found.extend(entry(document.into(), manifest)),
            Some(objects) => {
                for (item, object) in objects.into_iter().enumerate() {
                    // The items of a list of one kind may leave both out, and do not say what they are.
                    let says = ["apiVersion", "kind"].iter().all(|key| object.get(*key).is_some());
                    if !says || is_list(&object) {
                        return Err(format!(
                            "item {} of its list is no object with a kind of its own",
                            item + 1
                        ));
                    }
                    found.extend(entry(Place { document, item: Some(item) }, object));
                }
            }
        }
    }
    Ok(found)
}

/// What the kinds of lists end in.
const LIST: &str = "List";

/// Whether it has objects as items: others have a kind that ends so, too.
fn is_list(manifest: &Value) -> bool {
    let kind = manifest.get("kind").and_then(Value::as_str).unwrap_or_default();
    let of_objects = |items: &Vec<Value>| items.iter().all(|item| item.get("metadata").is_some());
    let items = manifest.get("items").and_then(Value::as_array);
    items.is_some_and(|items| kind == LIST || (kind.ends_with(LIST) && of_objects(items)))
}

/// The objects of a list, as `kubectl get -o yaml` writes it.
fn items(manifest: &mut Value) -> Option<Vec<Value>> {
    let is_list = is_list(manifest);
    let items = manifest.get_mut("items").filter(|_| is_list)?.as_array_mut()?;
    Some(std::mem::take(items))
}

fn entry(place: Place, manifest: Value) -> Option<Entry> {
    let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    // A kustomization needs neither kind nor name, and is needed for its namespace.
    let kustomizes =
        ["resources", "bases", "components", "namespace"].iter().any(|key| manifest.get(key).is_some());
    let or_empty = |found: Option<String>| found.or_else(|| kustomizes.then(String::new));
    let kind = or_empty(text("/kind"))?;
    let defines = (kind == DEFINITION).then(|| text("/spec/group").zip(text("/spec/names/kind"))).flatten();
    Some(Entry {
        place,
        api_version: or_empty(text("/apiVersion"))?,
        namespace: text("/metadata/namespace"),
        name: or_empty(text("/metadata/name"))?,
        kustomization: matches!(kind.as_str(), "" | "Kustomization").then(|| Arc::new(manifest)),
        kind,
        defines,
    })
}

impl Entry {
    /// What it is called, where `replaced` is what kustomize puts in the place of its own namespace.
    fn named(&self, replaced: Option<&str>) -> ObjectRef {
        let namespace = || replaced.or(self.namespace.as_deref()).unwrap_or("default").to_owned();
        ObjectRef {
            api_version: self.api_version.clone(),
            kind: self.kind.clone(),
            namespace: (!CLUSTER_KINDS.contains(&self.kind.as_str())).then(namespace),
            name: self.name.clone(),
        }
    }
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
