//! The desired state at one commit: every object by its name, and the text it stands in.
//!
//! Files that cannot be trusted to be read right (templates, encrypted files, damaged or hostile
//! ones) are left out with a reason, and can neither be looked up nor changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use git2::Oid;
use serde_json::Value;

use super::index::{Indexed, Place, SourceFile};
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
    /// Which element of the document's `items`, from 0, where that is a list.
    pub item: Option<usize>,
    /// The manifest as data.
    pub manifest: Value,
}

impl Located {
    /// Where in its file it stands.
    #[must_use]
    pub fn place(&self) -> Place {
        Place { document: self.document, item: self.item }
    }
}

/// Where a custom kind is defined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// The file.
    pub path: String,
    /// The id of its blob: the same id, the same text.
    pub blob: String,
    /// Where in the file.
    pub place: Place,
}

/// An object that cannot be pointed at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// No file has it.
    #[error("the desired state has no such object")]
    Unknown,
    /// Several documents, or items of lists, have it.
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

/// How the manifest files of a commit differ from those of a snapshot.
#[derive(Debug)]
pub(super) struct Difference<'a> {
    /// The tree of the folder that is read.
    pub(super) tree: Oid,
    /// What each file that differs is now; `None` for one that is gone.
    pub(super) files: BTreeMap<String, Option<Indexed>>,
    /// What they differ from; `None` for all files of the commit.
    pub(super) since: Option<&'a Snapshot>,
}

/// The desired state at one commit, read-only.
///
/// What did not change since the snapshot before this one is shared with it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    commit: CommitSha,
    tree: Oid,
    pause: Option<String>,
    file_bytes_max: usize,
    kustomizations: Arc<Kustomizations>,
    files: BTreeMap<String, Arc<Indexed>>,
    /// How long the texts of the files are together.
    bytes: usize,
    /// The places of an object, in the order of files and documents.
    objects: BTreeMap<Arc<ObjectRef>, Arc<[(String, Place)]>>,
    /// By group and kind.
    definitions: BTreeMap<(String, String), Vec<Definition>>,
    skipped: Vec<(String, String)>,
}

impl Snapshot {
    /// Indexes the files of a commit; only what differs is looked at.
    pub(super) fn build(commit: CommitSha, difference: Difference<'_>, file_bytes_max: usize) -> Self {
        let Difference { tree, files, since } = difference;
        let mut snapshot = match since {
            Some(since) => Self { commit, tree, pause: None, file_bytes_max, ..since.clone() },
            None => Self {
                commit,
                tree,
                pause: None,
                file_bytes_max,
                kustomizations: Arc::default(),
                files: BTreeMap::new(),
                bytes: 0,
                objects: BTreeMap::new(),
                definitions: BTreeMap::new(),
                skipped: Vec::new(),
            },
        };
        snapshot.change(files);
        snapshot
    }

    fn change(&mut self, changes: BTreeMap<String, Option<Indexed>>) {
        let rebuilt = changes.keys().any(|path| is_kustomization(file_name(path)));
        let mut unplaced: Vec<String> = changes.keys().cloned().collect();
        for (path, file) in changes {
            if let Some(old) = self.files.remove(&path) {
                self.bytes -= old.source.text.len();
                self.forget(&old);
            }
            if let Some(file) = file {
                self.bytes += file.source.text.len();
                self.files.insert(path, Arc::new(file));
            }
        }
        if rebuilt {
            self.kustomizations = Arc::new(Kustomizations::read(self.files.values().map(AsRef::as_ref)));
            unplaced = self.files.keys().cloned().collect();
        }
        for path in unplaced {
            self.place(&path);
        }
        self.definitions = self.find_definitions();
        let left_out = |file: &Arc<Indexed>| Some((file.source.path.clone(), file.left_out()?.to_owned()));
        self.skipped = self.files.values().filter_map(left_out).collect();
    }

    /// Finds out under which names the objects of a file are applied.
    fn place(&mut self, path: &str) {
        let namespace = self.kustomizations.namespace_of(path).map(|found| found.map(str::to_owned));
        let Some(file) = self.files.get(path).filter(|file| file.namespace.as_ref() != Some(&namespace))
        else {
            return;
        };
        let file = Arc::clone(file);
        self.forget(&file);
        let file = Arc::new(Indexed { namespace: Some(namespace), ..file.as_ref().clone() });
        for (target, entry) in file.named() {
            let place = (path.to_owned(), entry.place);
            let places = self.objects.entry(Arc::new(target)).or_default();
            let mut several: Vec<_> = places.iter().cloned().chain([place]).collect();
            several.sort();
            *places = several.into();
        }
        self.files.insert(path.to_owned(), file);
    }

    fn forget(&mut self, file: &Indexed) {
        for (target, _) in file.named() {
            let Some(places) = self.objects.get_mut(&target) else { continue };
            let left: Vec<_> = places.iter().filter(|(path, _)| *path != file.source.path).cloned().collect();
            if left.is_empty() {
                self.objects.remove(&target);
            } else {
                *places = left.into();
            }
        }
    }

    fn find_definitions(&self) -> BTreeMap<(String, String), Vec<Definition>> {
        let mut found: BTreeMap<_, Vec<Definition>> = BTreeMap::new();
        for file in self.files.values().filter(|file| file.left_out().is_none()) {
            for entry in file.entries() {
                let Some(defined) = &entry.defines else { continue };
                let (path, blob) = (file.source.path.clone(), file.source.blob.clone());
                let definition = Definition { path, blob, place: entry.place };
                found.entry(defined.clone()).or_default().push(definition);
            }
        }
        found
    }

    /// The tree of the folder that was read.
    pub(super) fn tree(&self) -> Oid {
        self.tree
    }

    /// How long the texts of all files are together.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
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
        match self.objects.get(target).map(AsRef::as_ref) {
            None | Some([]) => Err(LookupError::Unknown),
            Some([(path, place)]) => {
                let manifest = self.object(path, *place).ok_or(LookupError::Unknown)?;
                Ok(Located { path: path.clone(), document: place.document, item: place.item, manifest })
            }
            Some(several) => Err(LookupError::Ambiguous(
                several.iter().map(|(path, place)| format!("{path} {place}")).collect(),
            )),
        }
    }

    /// An object of a file. It was read before, or its place would not be known.
    fn object(&self, path: &str, place: Place) -> Option<Value> {
        place.object(documents(self.text(path).unwrap_or_default()).ok()?)
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
        self.object(&definition.path, definition.place)
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
        self.objects.keys().map(AsRef::as_ref).filter(fits).cloned().collect()
    }

    /// The object that a pod comes from, by the pod's name.
    ///
    /// # Errors
    /// When no object or several could have made it.
    pub fn owner(&self, namespace: &str, pod: &str) -> Result<ObjectRef, OwnerLookupError> {
        let makes = |target: &&ObjectRef| {
            target.namespace.as_deref() == Some(namespace) && owner::makes(&target.kind, &target.name, pod)
        };
        let mut candidates: Vec<ObjectRef> =
            self.objects.keys().map(AsRef::as_ref).filter(makes).cloned().collect();
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
            let names = |file: &Indexed| !file.has_text || file.source.text.contains(file_name(path));
            is_kustomization(file_name(left_out)) && self.indexed(left_out).is_some_and(names)
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
            let speaks = |file: &Indexed| file.may_speak_of(&target.kind, &target.name);
            !self.kustomizations.leaves_out(path) && self.indexed(path).is_some_and(speaks)
        };
        self.skipped.iter().find(may).map(|(path, reason)| (path.as_str(), reason.as_str()))
    }

    /// The text of a file; empty for one that is too large or no UTF-8.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(|file| file.source.text.as_ref())
    }

    /// The file at a path, and what is in it.
    pub(super) fn indexed(&self, path: &str) -> Option<&Indexed> {
        self.files.get(path).map(AsRef::as_ref)
    }

    /// Every manifest file, in the order of the paths.
    pub fn files(&self) -> impl ExactSizeIterator<Item = &SourceFile> {
        self.files.values().map(|file| &file.source)
    }

    /// Files that were left out, each with the reason.
    #[must_use]
    pub fn skipped(&self) -> &[(String, String)] {
        &self.skipped
    }

    /// How many objects it has.
    #[must_use]
    pub fn objects(&self) -> usize {
        self.objects.values().map(|places| places.len()).sum()
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}
