//! What a commit has: its files, how roots apply them, and every object by the name it gets by that.
//!
//! A commit costs what it changed: the rest is shared with the content before it. Only where what is
//! applied, and how, could be another one are all files placed anew; they are not parsed again.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::Definition;
use super::effective::Effective;
use super::flux::decides;
use super::index::{Entry, Indexed, IndexedFiles};
use super::kustomize::{Kustomizations, Names, is_kustomization};
use super::overlay::{ClusterFolder, Overlays, Placement, split};
use crate::edit::Place;
use crate::edit::documents;
use crate::model::manifest::ObjectRef;

/// What each file that differs is now; `None` for one that is gone.
pub(super) type Changes = BTreeMap<String, Option<Indexed>>;

/// Where an object stands, and how a root reaches it.
#[derive(Debug, Clone)]
pub(super) struct Instance {
    pub(super) path: String,
    pub(super) place: Place,
    pub(super) placement: Arc<Placement>,
}

/// What the commit has.
#[derive(Debug, Clone)]
pub(super) struct Content {
    pub(super) file_bytes_max: usize,
    pub(super) clusters: Vec<ClusterFolder>,
    pub(super) kustomizations: Arc<Kustomizations>,
    pub(super) overlays: Arc<Overlays>,
    pub(super) names: Arc<Names>,
    pub(super) files: IndexedFiles,
    /// How long the texts of the files are together.
    pub(super) bytes: usize,
    /// In the order of files and places.
    pub(super) objects: BTreeMap<Arc<ObjectRef>, Arc<[Instance]>>,
    /// By group and kind.
    pub(super) definitions: Arc<BTreeMap<(String, String), Vec<Definition>>>,
    /// The files whose objects cannot be looked up, and why.
    pub(super) skipped: Arc<[(String, String)]>,
}

impl Content {
    /// Nothing yet.
    pub(super) fn new(file_bytes_max: usize, clusters: &[ClusterFolder]) -> Self {
        Self {
            file_bytes_max,
            clusters: clusters.to_vec(),
            kustomizations: Arc::default(),
            overlays: Arc::default(),
            names: Arc::default(),
            files: BTreeMap::new(),
            bytes: 0,
            objects: BTreeMap::new(),
            definitions: Arc::default(),
            skipped: Arc::default(),
        }
    }

    /// Makes of it what the next commit has.
    pub(super) fn change(&mut self, changes: Changes) {
        let others_stay = changes.iter().all(|(path, file)| self.stays_placed(path, file.as_ref()));
        let changed: Vec<String> = changes.keys().cloned().collect();
        let mut is_told = !others_stay;
        for (path, file) in changes {
            let path = Arc::<str>::from(path);
            if let Some(old) = self.files.remove(&path) {
                self.bytes -= old.source.text.len();
                is_told |= old.is_told();
                if others_stay {
                    self.forget(&old);
                }
            }
            if let Some(file) = file {
                self.bytes += file.source.text.len();
                is_told |= file.is_told();
                self.files.insert(path, Arc::new(file));
            }
        }
        if others_stay {
            self.place_again(&changed);
        } else {
            self.place_all();
        }
        // Both look at every file, so only where one of them could be another one.
        if is_told {
            self.definitions = Arc::new(self.find_definitions());
            self.skipped = self.left_out().into();
        }
    }

    /// Whether a file is applied as it was, and all others are, too. One that comes or goes, a kustomization,
    /// a patch, or an object of Flux that says what is applied could change that.
    fn stays_placed(&self, path: &str, after: Option<&Indexed>) -> bool {
        let (Some(before), Some(after)) = (self.files.get(path), after) else { return false };
        if self.overlays.patch_files.contains(path) {
            return false;
        }
        if before.objects == after.objects && before.has_text == after.has_text {
            return true;
        }
        let mut placements = self.overlays.placements(path).unwrap_or_default().iter();
        !is_kustomization(split(path).1)
            && !before.entries().iter().chain(after.entries()).any(decides)
            && !placements.any(|placement| self.overlays.renames(placement))
    }

    fn place_again(&mut self, changed: &[String]) {
        for path in changed {
            let Some(file) = self.files.get(path.as_str()) else { continue };
            let mut found = BTreeMap::<ObjectRef, Vec<Instance>>::new();
            for (target, _, instance) in instances(&self.overlays, file) {
                found.entry(target).or_default().push(instance);
            }
            for (target, more) in found {
                let places = self.objects.entry(Arc::new(target)).or_default();
                let mut several: Vec<_> = places.iter().cloned().chain(more).collect();
                several.sort_by(|one, other| (&one.path, one.place).cmp(&(&other.path, other.place)));
                *places = several.into();
            }
        }
    }

    fn place_all(&mut self) {
        self.kustomizations = Arc::new(Kustomizations::read(self.files.values().map(AsRef::as_ref)));
        let overlays = Overlays::read(&self.files, &self.clusters);
        let (mut names, mut objects) = (Names::default(), BTreeMap::<ObjectRef, Vec<Instance>>::new());
        for file in self.files.values() {
            for (target, named, instance) in instances(&overlays, file) {
                let root = instance.placement.root;
                if overlays.renames(&instance.placement) {
                    names.add(root, &target.kind, target.namespace.as_deref(), &named);
                }
                objects.entry(target).or_default().push(instance);
            }
        }
        let shared = |(target, places): (ObjectRef, Vec<Instance>)| (Arc::new(target), places.into());
        self.objects = objects.into_iter().map(shared).collect();
        (self.overlays, self.names) = (Arc::new(overlays), Arc::new(names));
    }

    fn forget(&mut self, file: &Indexed) {
        for (target, ..) in instances(&Arc::clone(&self.overlays), file) {
            let Some(places) = self.objects.get_mut(&target) else { continue };
            let left: Vec<_> =
                places.iter().filter(|place| place.path != file.source.path).cloned().collect();
            if left.is_empty() {
                self.objects.remove(&target);
            } else {
                *places = left.into();
            }
        }
    }

    fn find_definitions(&self) -> BTreeMap<(String, String), Vec<Definition>> {
        let mut found: BTreeMap<_, Vec<Definition>> = BTreeMap::new();
        for file in self.files.values() {
            for entry in file.named() {
                let Some(defined) = &entry.defines else { continue };
                let (path, blob) = (file.source.path.clone(), file.source.blob.clone());
                if self.overlays.placements(&path).is_err() {
                    break;
                }
                let definition = Definition { path, blob, place: entry.place };
                found.entry(defined.clone()).or_default().push(definition);
            }
        }
        found
    }

    fn left_out(&self) -> Vec<(String, String)> {
        let there = self.overlays.left_out.keys().filter(|path| self.files.contains_key(path.as_str()));
        let unplaced = there.filter_map(|path| Some((path.clone(), self.overlays.placements(path).err()?)));
        let unread = |file: &Arc<Indexed>| {
            let reason = file.objects.as_ref().as_ref().err()?;
            Some((file.source.path.clone(), reason.clone()))
        };
        let unread = self.files.values().filter_map(unread);
        unplaced.chain(unread).collect::<BTreeMap<_, _>>().into_iter().collect()
    }

    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(|file| file.source.text.as_ref())
    }

    /// An object as its file has it. It was read before, or its place would not be known.
    pub(super) fn document(&self, path: &str, place: Place) -> Option<Value> {
        place.find(&documents(self.text(path).unwrap_or_default()).ok()?).cloned()
    }

    /// What a root makes of an object; `None` when it takes it away.
    pub(super) fn effective(
        &self,
        target: &ObjectRef,
        instance: &Instance,
    ) -> Result<Option<Effective>, String> {
        let Some(manifest) = self.document(&instance.path, instance.place) else { return Ok(None) };
        let found =
            self.overlays.effective(&instance.placement, manifest, &self.names, &|path| self.text(path))?;
        match found {
            Some(found) if !found.is(target) => Err("a patch gives it another name or namespace".to_owned()),
            found => Ok(found),
        }
    }

    /// For people: where an object stands, and through which root.
    pub(super) fn told(&self, instance: &Instance, with_root: bool) -> String {
        let place = format!("{} {}", instance.path, instance.place);
        let root = &self.overlays.roots[instance.placement.root].name;
        if with_root { format!("{place} through {root}") } else { place }
    }
}

/// The objects that roots make of a file: their names, all that they are called on the way, their places.
fn instances<'a>(
    overlays: &'a Overlays,
    file: &'a Indexed,
) -> impl Iterator<Item = (ObjectRef, Vec<String>, Instance)> {
    let path = &file.source.path;
    let placements = overlays.placements(path).unwrap_or_default();
    let pairs = move |entry: &'a Entry| placements.iter().map(move |placement| (entry, placement));
    file.named().flat_map(pairs).map(move |(entry, placement)| {
        let (target, named) = overlays.identity(placement, entry);
        let placement = Arc::clone(placement);
        (target, named, Instance { path: path.clone(), place: entry.place, placement })
    })
}
