//! The desired state at one commit: every object by its name, and the text it stands in.
//!
//! Files that cannot be trusted to be read right (templates, encrypted files, damaged or hostile
//! ones) are left out with a reason, and can neither be looked up nor changed.

mod content;
mod effective;
mod flux;
mod helm;
mod index;
mod kustomize;
mod overlay;
mod owner;
mod roots;
mod write;

use std::sync::{Arc, OnceLock};

use serde_json::Value;

pub(crate) use index::Indexed;
pub use index::SourceFile;
pub(crate) use kustomize::is_kustomization;
pub use kustomize::{listed_again, listings, unlisted};
pub use overlay::ClusterFolder;
pub use write::{Files, Home, Working};

use crate::edit::Place;
use crate::model::manifest::{CommitSha, ObjectRef};
use content::{Changes, Content, Instance};
use effective::Effective;
use helm::Release;
use overlay::Placement;

/// An object as the cluster has it, and where it stands.
#[derive(Debug, Clone)]
pub struct Located {
    /// Its file.
    pub path: String,
    /// Which document of the file, from 0.
    pub document: usize,
    /// Which element of the document's `items`, from 0, where that is a list.
    pub item: Option<usize>,
    /// The manifest as data, after all kustomizations.
    pub manifest: Value,
    /// How roots reach it; all make the same of it.
    placements: Vec<Arc<Placement>>,
    effective: Effective,
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
    /// What the cluster has of it cannot be computed with certainty.
    #[error("what the cluster has is not certain: {0}")]
    Uncertain(String),
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

/// A cluster that is not configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cluster {0} is not configured")]
pub struct UnknownCluster(String);

/// How the manifest files of a commit differ from those of a snapshot.
#[derive(Debug)]
pub(crate) struct Difference<'a> {
    /// The id of the tree of the folder that is read.
    pub(crate) tree: String,
    /// What each file that differs is now.
    pub(crate) files: Changes,
    /// What they differ from; `None` for all files of the commit.
    pub(crate) since: Option<&'a Snapshot>,
}

/// The desired state at one commit, read-only; all of it, or what is one cluster's.
///
/// What did not change since the snapshot before this one is shared with it.
#[derive(Debug)]
pub struct Snapshot {
    commit: CommitSha,
    tree: String,
    pause: Option<String>,
    content: Arc<Content>,
    /// Which of the configured clusters it is of.
    cluster: Option<usize>,
    /// Read when somebody asks for a pod that no manifest makes.
    releases: OnceLock<Vec<Release>>,
}

impl Snapshot {
    /// Indexes the files of a commit; only what differs is looked at.
    pub(crate) fn build(
        commit: CommitSha,
        difference: Difference<'_>,
        file_bytes_max: usize,
        clusters: &[ClusterFolder],
    ) -> Self {
        let Difference { tree, files, since } = difference;
        let mut content = match since {
            Some(since) => since.content.as_ref().clone(),
            None => Content::new(file_bytes_max, clusters),
        };
        content.change(files);
        let (content, releases) = (Arc::new(content), OnceLock::new());
        Self { commit, tree, pause: None, content, cluster: None, releases }
    }

    /// The id of the tree of the folder that was read.
    pub(crate) fn tree(&self) -> &str {
        &self.tree
    }

    /// How long the texts of all files are together.
    pub(crate) fn bytes(&self) -> usize {
        self.content.bytes
    }

    /// The commit.
    #[must_use]
    pub fn commit(&self) -> &CommitSha {
        &self.commit
    }

    /// The same, of a commit that pauses the gateway for that reason.
    pub(crate) fn paused(self, pause: Option<String>) -> Self {
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
        self.content.file_bytes_max
    }

    /// The same commit, as one cluster has it: objects that others apply are not in it.
    ///
    /// # Errors
    /// When no cluster of that name is configured.
    pub fn of_cluster(&self, name: &str) -> Result<Self, UnknownCluster> {
        let found = self.content.clusters.iter().position(|cluster| cluster.name == name);
        let cluster = Some(found.ok_or_else(|| UnknownCluster(name.to_owned()))?);
        let (commit, tree, pause) = (self.commit.clone(), self.tree.clone(), self.pause.clone());
        Ok(Self {
            commit,
            tree,
            pause,
            content: Arc::clone(&self.content),
            cluster,
            releases: OnceLock::new(),
        })
    }

    /// The cluster's name, if it is one cluster's.
    #[must_use]
    pub fn cluster(&self) -> Option<&str> {
        self.cluster.map(|index| self.content.clusters[index].name.as_str())
    }

    /// Whether a root applies to the cluster of this snapshot.
    fn sees(&self, instance: &Instance) -> bool {
        let clusters = &self.content.overlays.roots[instance.placement.root].clusters;
        self.cluster.is_none_or(|cluster| clusters.contains(&cluster))
    }

    fn instances(&self, target: &ObjectRef) -> Vec<&Instance> {
        let all = self.content.objects.get(target).map(AsRef::as_ref).unwrap_or_default();
        all.iter().filter(|instance| self.sees(instance)).collect()
    }

    /// Reads an object as the cluster has it.
    ///
    /// # Errors
    /// When no document has it, several do, or what kustomizations make of it is not certain.
    pub fn locate(&self, target: &ObjectRef) -> Result<Located, LookupError> {
        let mut found = Vec::new();
        for instance in self.instances(target) {
            let effective = self.content.effective(target, instance).map_err(LookupError::Uncertain)?;
            found.extend(effective.map(|effective| (instance, effective)));
        }
        let Some((first, effective)) = found.first() else { return Err(LookupError::Unknown) };
        let stands_there =
            |instance: &Instance| (&instance.path, instance.place) == (&first.path, first.place);
        let same_place = found.iter().all(|(instance, _)| stands_there(instance));
        let same = same_place && found.iter().all(|(_, other)| other.manifest() == effective.manifest());
        if !same {
            let told = |(instance, _): &(&Instance, Effective)| self.content.told(instance, same_place);
            return Err(LookupError::Ambiguous(found.iter().map(told).collect()));
        }
        Ok(Located {
            path: first.path.clone(),
            document: first.place.document,
            item: first.place.item,
            manifest: effective.manifest().clone(),
            placements: found.iter().map(|(instance, _)| Arc::clone(&instance.placement)).collect(),
            effective: effective.clone(),
        })
    }

    /// Whether some root leaves the object in the desired state; one that is not certain counts.
    fn is_there(&self, target: &ObjectRef) -> bool {
        let steps = &self.content.overlays.steps;
        self.instances(target).into_iter().any(|instance| {
            !instance.placement.layers.iter().any(|step| steps[*step].deletes)
                || !matches!(self.content.effective(target, instance), Ok(None))
        })
    }

    /// The CustomResourceDefinitions of a kind, for example of `helm.toolkit.fluxcd.io` and
    /// `HelmRelease`. Where a repository serves several clusters there may be several.
    #[must_use]
    pub fn definitions(&self, group: &str, kind: &str) -> &[Definition] {
        let found = self.content.definitions.get(&(group.to_owned(), kind.to_owned()));
        found.map(Vec::as_slice).unwrap_or_default()
    }

    /// A CustomResourceDefinition as data.
    #[must_use]
    pub fn definition(&self, definition: &Definition) -> Option<Value> {
        self.content.document(&definition.path, definition.place)
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
        self.content
            .objects
            .keys()
            .map(AsRef::as_ref)
            .filter(fits)
            .filter(|target| self.is_there(target))
            .cloned()
            .collect()
    }

    /// The object that a pod comes from, by the pod's name: one that makes such pods, or else the
    /// HelmRelease with whose name it begins.
    ///
    /// # Errors
    /// When no object or several could have made it.
    pub fn owner(&self, namespace: &str, pod: &str) -> Result<ObjectRef, OwnerLookupError> {
        let keys = self.content.objects.keys().map(AsRef::as_ref);
        let in_namespace = keys.filter(|target| target.namespace.as_deref() == Some(namespace));
        let makes = in_namespace.filter(|target| owner::makes(&target.kind, &target.name, pod));
        let mut candidates: Vec<ObjectRef> = makes.filter(|target| self.is_there(target)).cloned().collect();
        if candidates.is_empty() {
            let releases = self.releases().iter().filter(|release| release.makes(namespace, pod));
            candidates.extend(releases.map(|release| release.target.clone()));
        }
        match candidates.len() {
            0 => Err(OwnerLookupError::Unknown),
            1 => Ok(candidates.remove(0)),
            _ => Err(OwnerLookupError::Ambiguous(candidates)),
        }
    }

    fn releases(&self) -> &[Release] {
        self.releases.get_or_init(|| {
            let targets =
                self.content.objects.keys().map(AsRef::as_ref).filter(|target| Release::is_one(target));
            let there = targets.filter(|target| self.is_there(target));
            there.map(|target| Release::read(target, self.manifest(target).as_ref())).collect()
        })
    }

    /// The kustomization that lists a file, and its folder; `None` if none does.
    ///
    /// # Errors
    /// When several do.
    pub fn lister_of(&self, path: &str) -> Result<Option<(&str, &str)>, String> {
        self.content.kustomizations.lister_of(path)
    }

    /// The kustomizations that list a file, each with its folder.
    #[must_use]
    pub fn listers_of(&self, path: &str) -> Vec<(&str, &str)> {
        self.content.kustomizations.listers_of(path)
    }

    /// Whether all kustomizations can still be built without an object.
    ///
    /// # Errors
    /// Which one needs it, for people.
    pub fn can_lose_object(&self, target: &ObjectRef, located: &Located) -> Result<(), String> {
        let path = located.path.as_str();
        if is_kustomization(file_name(path)) {
            return Err(format!("{path} is a kustomization, and other files hang on it"));
        }
        // A kustomization may call it as its file does.
        let manifest = self.content.document(path, located.place()).unwrap_or_default();
        let written = manifest.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let written = ObjectRef { name: written.to_owned(), ..target.clone() };
        let can = |target| self.content.kustomizations.can_lose_object(target, path, |path| self.text(path));
        can(target).and_then(|()| can(&written))
    }

    /// The same without the whole file, once those that list it do so no more.
    ///
    /// # Errors
    /// Which one needs it, for people.
    pub fn can_lose_file(&self, path: &str) -> Result<(), String> {
        self.content.kustomizations.can_lose_file(path)?;
        let may_list = |(left_out, _): &&(String, String)| {
            let names = |file: &Indexed| !file.has_text || file.source.text.contains(file_name(path));
            is_kustomization(file_name(left_out)) && self.indexed(left_out).is_some_and(names)
        };
        match self.content.skipped.iter().find(may_list) {
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
            !self.content.kustomizations.leaves_out(path)
                && !self.content.overlays.patches.contains(path)
                && self.indexed(path).is_some_and(speaks)
        };
        self.content.skipped.iter().find(may).map(|(path, reason)| (path.as_str(), reason.as_str()))
    }

    /// The text of a file; empty for one that is too large or no UTF-8.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<&str> {
        self.content.text(path)
    }

    /// The file at a path, and what is in it.
    pub(crate) fn indexed(&self, path: &str) -> Option<&Indexed> {
        self.content.files.get(path).map(AsRef::as_ref)
    }

    /// Every manifest file, in the order of the paths.
    pub fn files(&self) -> impl ExactSizeIterator<Item = &SourceFile> {
        self.content.files.values().map(|file| &file.source)
    }

    /// Files that were left out, each with the reason.
    #[must_use]
    pub fn skipped(&self) -> &[(String, String)] {
        &self.content.skipped
    }

    /// How many objects it has.
    #[must_use]
    pub fn objects(&self) -> usize {
        self.content
            .objects
            .values()
            .flat_map(|places| places.iter())
            .filter(|instance| self.sees(instance))
            .count()
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}
