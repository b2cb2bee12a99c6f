//! The desired state at one commit: every object by its name, and the text it stands in.
//!
//! Files that cannot be trusted to be read right (templates, encrypted files, damaged or hostile
//! ones) are left out with a reason, and can neither be looked up nor changed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::index::{self, Entry, SourceFile};
use super::kustomize::{Kustomizations, is_kustomization};
use super::owner;
use super::yaml::documents;
use crate::model::manifest::{CommitSha, ObjectRef};

/// An object, read where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Located {
    /// Its file.
    pub path: String,
    /// Which document of the file, from 0.
    pub document: usize,
    /// The manifest as data.
    pub manifest: Value,
}

/// Where a custom kind is defined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// The file.
    pub path: String,
    /// The id of its blob: the same id, the same text.
    pub blob: String,
    /// Which document of the file, from 0.
    pub document: usize,
}

/// Where an object stands.
#[derive(Debug, Clone, PartialEq)]
struct Place {
    path: String,
    document: usize,
}

/// An object that cannot be pointed at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// No file has it.
    #[error("the desired state has no such object")]
    Unknown,
    /// Several documents have it.
    #[error("it stands in several places: {}", .0.join(", "))]
    Ambiguous(Vec<String>),
}

/// A pod whose owner cannot be pointed at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OwnerLookupError {
    /// No object makes such a pod.
    #[error("the desired state has no object that makes such a pod")]
    Unknown,
    /// Several could have made it.
    #[error("several objects could have made the pod")]
    Ambiguous(Vec<ObjectRef>),
}

/// The desired state at one commit, read-only.
#[derive(Debug)]
pub struct Snapshot {
    commit: CommitSha,
    pause: Option<String>,
    file_bytes_max: usize,
    kustomizations: Kustomizations,
    files: BTreeMap<String, SourceFile>,
    objects: BTreeMap<ObjectRef, Vec<Place>>,
    /// By group and kind.
    definitions: BTreeMap<(String, String), Vec<Definition>>,
    /// What each blob holds, for the snapshot after this one.
    read: HashMap<String, Arc<index::File>>,
    skipped: Vec<(String, String)>,
}

impl Snapshot {
    /// Indexes the files of a commit; what `previous` has read is not parsed again.
    pub(super) fn build(
        commit: CommitSha,
        files: Vec<SourceFile>,
        file_bytes_max: usize,
        previous: Option<&Self>,
    ) -> Self {
        let mut read = HashMap::with_capacity(files.len());
        let indexed: Vec<(SourceFile, Arc<index::File>)> = files
            .into_iter()
            .map(|file| {
                let known = previous.and_then(|previous| previous.read.get(&file.blob)).cloned();
                let entries = known.unwrap_or_else(|| Arc::new(index::read(&file.text)));
                read.insert(file.blob.clone(), Arc::clone(&entries));
                (file, entries)
            })
            .collect();
        let mut snapshot = Self {
            commit,
            pause: None,
            file_bytes_max,
            kustomizations: Kustomizations::read(&indexed),
            files: BTreeMap::new(),
            objects: BTreeMap::new(),
            definitions: BTreeMap::new(),
            read,
            skipped: Vec::new(),
        };
        for (file, entries) in indexed {
            let namespace =
                snapshot.kustomizations.namespace_of(&file.path).map(|found| found.map(str::to_owned));
            match (entries.as_ref(), namespace) {
                (Ok(entries), Ok(namespace)) => snapshot.add(&file, entries, namespace.as_deref()),
                (Err(reason), _) => snapshot.skipped.push((file.path.clone(), reason.clone())),
                (_, Err(reason)) => snapshot.skipped.push((file.path.clone(), reason)),
            }
            snapshot.files.insert(file.path.clone(), file);
        }
        snapshot
    }

    fn add(&mut self, file: &SourceFile, entries: &[Entry], namespace: Option<&str>) {
        for entry in entries.iter().filter(|entry| !entry.name.is_empty()) {
            let target = ObjectRef {
                api_version: entry.api_version.clone(),
                kind: entry.kind.clone(),
                namespace: index::effective_namespace(entry, namespace),
                name: entry.name.clone(),
            };
            if let Some(defined) = &entry.defines {
                let (path, blob) = (file.path.clone(), file.blob.clone());
                let definition = Definition { path, blob, document: entry.document };
                self.definitions.entry(defined.clone()).or_default().push(definition);
            }
            let place = Place { path: file.path.clone(), document: entry.document };
            self.objects.entry(target).or_default().push(place);
        }
    }

    /// The commit.
    #[must_use]
    pub fn commit(&self) -> &CommitSha {
        &self.commit
    }

    /// The same, of a commit that pauses the gateway for that reason.
    pub(super) fn paused(self, pause: Option<String>) -> Self {
        Self { pause, ..self }
    }

    /// Why nothing is to be committed on this commit, if it has the file that pauses the gateway.
    #[must_use]
    pub fn pause(&self) -> Option<&str> {
        self.pause.as_deref()
    }

    /// The largest file that may be written, in bytes: a larger one could not be read again.
    #[must_use]
    pub fn file_bytes_max(&self) -> usize {
        self.file_bytes_max
    }

    /// Reads an object where it stands.
    ///
    /// # Errors
    /// When no document has it, or several do.
    pub fn locate(&self, target: &ObjectRef) -> Result<Located, LookupError> {
        match self.objects.get(target).map(Vec::as_slice) {
            None | Some([]) => Err(LookupError::Unknown),
            Some([Place { path, document }]) => {
                let manifest = self.document(path, *document).ok_or(LookupError::Unknown)?;
                Ok(Located { path: path.clone(), document: *document, manifest })
            }
            Some(several) => Err(LookupError::Ambiguous(
                several
                    .iter()
                    .map(|place| format!("{} document {}", place.path, place.document + 1))
                    .collect(),
            )),
        }
    }

    /// A document of a file. It was read before, or its place would not be known.
    fn document(&self, path: &str, document: usize) -> Option<Value> {
        let documents = documents(self.text(path).unwrap_or_default());
        documents.ok().and_then(|mut documents| documents.drain(..).nth(document))
    }

    /// The CustomResourceDefinitions of a kind, for example of `helm.toolkit.fluxcd.io` and
    /// `HelmRelease`. Where a repository serves several clusters there may be several.
    #[must_use]
    pub fn definitions(&self, group: &str, kind: &str) -> &[Definition] {
        let found = self.definitions.get(&(group.to_owned(), kind.to_owned()));
        found.map(Vec::as_slice).unwrap_or_default()
    }

    /// A CustomResourceDefinition as data.
    #[must_use]
    pub fn definition(&self, definition: &Definition) -> Option<Value> {
        self.document(&definition.path, definition.document)
    }

    /// The manifest of an object that stands in one place.
    #[must_use]
    pub fn manifest(&self, target: &ObjectRef) -> Option<Value> {
        self.locate(target).ok().map(|located| located.manifest)
    }

    /// Objects of a kind, in one namespace or in all, in the order of their names.
    #[must_use]
    pub fn list(&self, kind: &str, namespace: Option<&str>) -> Vec<ObjectRef> {
        let fits = |target: &&ObjectRef| {
            target.kind == kind
                && namespace.is_none_or(|namespace| target.namespace.as_deref() == Some(namespace))
        };
        self.objects.keys().filter(fits).cloned().collect()
    }

    /// The object that a pod comes from, by the pod's name.
    ///
    /// # Errors
    /// When no object or several could have made it.
    pub fn owner(&self, namespace: &str, pod: &str) -> Result<ObjectRef, OwnerLookupError> {
        let in_namespace =
            self.objects.keys().filter(|target| target.namespace.as_deref() == Some(namespace));
        let mut candidates: Vec<ObjectRef> =
            in_namespace.filter(|target| owner::makes(&target.kind, &target.name, pod)).cloned().collect();
        match candidates.len() {
            0 => Err(OwnerLookupError::Unknown),
            1 => Ok(candidates.remove(0)),
            _ => Err(OwnerLookupError::Ambiguous(candidates)),
        }
    }

    /// The kustomization that lists a file, and its folder; `None` if none does.
    ///
    /// # Errors
    /// When several do.
    pub fn lister_of(&self, path: &str) -> Result<Option<(&str, &str)>, String> {
        self.kustomizations.lister_of(path)
    }

    /// The kustomizations that list a file, each with its folder.
    #[must_use]
    pub fn listers_of(&self, path: &str) -> Vec<(&str, &str)> {
        self.kustomizations.listers_of(path)
    }

    /// Whether all kustomizations can still be built without an object of a file.
    ///
    /// # Errors
    /// Which one needs it, for people.
    pub fn can_lose_object(&self, target: &ObjectRef, path: &str) -> Result<(), String> {
        if is_kustomization(file_name(path)) {
            return Err(format!("{path} is a kustomization, and other files hang on it"));
        }
        self.kustomizations.can_lose_object(target, path, |path| self.text(path))
    }

    /// The same without the whole file, once those that list it do so no more.
    ///
    /// # Errors
    /// Which one needs it, for people.
    pub fn can_lose_file(&self, path: &str) -> Result<(), String> {
        self.kustomizations.can_lose_file(path)?;
        let may_list = |(left_out, _): &&(String, String)| {
            is_kustomization(file_name(left_out))
                && self.text(left_out).is_some_and(|text| text.contains(file_name(path)))
        };
        match self.skipped.iter().find(may_list) {
            Some((left_out, reason)) => {
                Err(format!("{left_out} may list its file {path}, and is left out: {reason}"))
            }
            None => Ok(()),
        }
    }

    /// A file that is left out and may have an object all the same, with why it is left out.
    #[must_use]
    pub fn may_have(&self, target: &ObjectRef) -> Option<(&str, &str)> {
        let may = |(path, _): &&(String, String)| {
            let text = self.text(path).unwrap_or_default();
            !self.kustomizations.leaves_out(path) && index::speaks_of(text, &target.kind, &target.name)
        };
        self.skipped.iter().find(may).map(|(path, reason)| (path.as_str(), reason.as_str()))
    }

    /// The text of a file.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(|file| file.text.as_ref())
    }

    /// The file at a path.
    pub(super) fn file(&self, path: &str) -> Option<&SourceFile> {
        self.files.get(path)
    }

    /// Every manifest file, in the order of the paths.
    pub fn files(&self) -> impl Iterator<Item = &SourceFile> {
        self.files.values()
    }

    /// Files that were left out, each with the reason.
    #[must_use]
    pub fn skipped(&self) -> &[(String, String)] {
        &self.skipped
    }

    /// How many objects it has.
    #[must_use]
    pub fn objects(&self) -> usize {
        self.objects.values().map(Vec::len).sum()
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}
