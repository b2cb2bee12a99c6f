//! Follows every root through its kustomizations, to each file that it applies.
//!
//! A repository may be hostile: circles, towers and doublings end at a limit, and what a root would have
//! applied has no objects then.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use super::flux::FluxKustomization;
use super::index::{Entry, IndexedFiles};
use super::kustomize::{Layer, is_kustomization};
use super::overlay::{ClusterFolder, Overlays, Placement, Root, Step, at, split};

/// The most kustomizations in each other.
const DEPTH_MAX: usize = 100;
/// The most kustomizations that one root includes, one that is included twice counted twice.
const VISITS_MAX: usize = 1_000;
/// The same of all roots together.
const VISITS_TOTAL_MAX: usize = 100_000;
/// The most roots that apply one file.
const ROOTS_MAX: usize = 100;
/// Why a file that a kustomization lists has no root.
const UNREACHED: &str =
    "no root reaches it: the kustomizations that list it are in a circle, too deep, or used by nothing";

/// The kustomizations by their folders, and what they list.
pub(super) struct Graph<'a> {
    by_folder: BTreeMap<&'a str, Result<Arc<Layer>, String>>,
    files: &'a IndexedFiles,
    /// Files and folders that some kustomization includes.
    included: BTreeSet<String>,
    /// Files that are some kustomization's patches, by that one's path.
    patches: BTreeMap<String, String>,
}

impl<'a> Graph<'a> {
    pub(super) fn read(files: &'a IndexedFiles) -> Self {
        let mut graph =
            Self { by_folder: BTreeMap::new(), files, included: BTreeSet::new(), patches: BTreeMap::new() };
        for (path, file) in files {
            let (folder, name) = split(path);
            if !is_kustomization(name) {
                continue;
            }
            let layer = match file.objects.as_ref() {
                Err(reason) => Err(format!("{path}: {reason}")),
                Ok(entries) => match entries.first().and_then(|entry| entry.kustomization.as_deref()) {
                    Some(said) => Ok(Arc::new(Layer::read(at(path, 0, ""), folder, said))),
                    None => continue,
                },
            };
            if let Ok(layer) = &layer {
                graph.included.extend(layer.resources.iter().chain(&layer.components).cloned());
                let patches = layer.all_patches().filter_map(|patch| patch.file());
                graph.patches.extend(patches.map(|patch| (patch.to_owned(), path.to_string())));
            }
            let twice = || {
                Err(format!("{} has several kustomizations", if folder.is_empty() { "/" } else { folder }))
            };
            graph.by_folder.entry(folder).and_modify(|other| *other = twice()).or_insert(layer);
        }
        graph
    }

    /// What Flux takes of a folder that has no kustomization.
    fn scan(&self, folder: &str) -> Vec<String> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let mut found = Vec::<String>::new();
        let from = (Bound::Included(prefix.as_str()), Bound::Unbounded);
        let below = self.files.range::<str, _>(from).take_while(|(path, _)| path.starts_with(&prefix));
        for (path, _) in below {
            let inner = path[prefix.len()..].match_indices('/').map(|(at, _)| &path[..prefix.len() + at]);
            match inner.into_iter().find(|inner| self.by_folder.contains_key(inner)) {
                Some(inner) if found.last().is_none_or(|last| last != inner) => found.push(inner.to_owned()),
                Some(_) => {}
                None if path.ends_with(".yaml") || path.ends_with(".yml") => found.push(path.to_string()),
                None => {}
            }
        }
        found
    }

    pub(super) fn entries(&self, path: &str) -> &[Entry] {
        self.files.get(path).map(|file| file.entries()).unwrap_or_default()
    }

    pub(super) fn text(&self, path: &str) -> Option<&'a str> {
        self.files.get(path).map(|file| file.source.text.as_ref())
    }

    /// The files that are some kustomization's patches.
    pub(super) fn into_patches(self) -> BTreeSet<String> {
        self.patches.into_keys().collect()
    }

    /// Why nobody knows what is made of a file in whose folder, or above, a kustomization cannot be read.
    fn unreadable_above(&self, path: &str) -> Option<String> {
        let folders = path.match_indices('/').map(|(at, _)| &path[..at]).chain([""]);
        let mut found = folders.filter_map(|folder| self.by_folder.get(folder)?.as_ref().err());
        found.next().map(|reason| format!("a kustomization that is left out may apply it: {reason}"))
    }
}

/// Files that go through the same kustomizations.
struct Group {
    files: Vec<String>,
    layers: Vec<usize>,
}

/// Follows the roots.
pub(super) struct Walk<'g, 'a> {
    graph: &'g Graph<'a>,
    clusters: &'g [ClusterFolder],
    overlays: Overlays,
    /// Which step a folder's own kustomization is.
    steps: HashMap<String, usize>,
    open: Vec<String>,
    visits: usize,
    visits_total: usize,
    /// Files that the current root lists, for when it cannot be followed.
    listed: Vec<String>,
}

impl<'g, 'a> Walk<'g, 'a> {
    pub(super) fn new(graph: &'g Graph<'a>, clusters: &'g [ClusterFolder]) -> Self {
        Self {
            graph,
            clusters,
            overlays: Overlays::default(),
            steps: HashMap::new(),
            open: Vec::new(),
            visits: 0,
            visits_total: 0,
            listed: Vec::new(),
        }
    }

    pub(super) fn all(mut self, flux: &[FluxKustomization]) -> Overlays {
        let mut included = self.graph.included.clone();
        let mut roots: BTreeMap<(String, String, BTreeSet<usize>), Vec<&FluxKustomization>> = BTreeMap::new();
        for kustomization in flux {
            let Some(folder) = kustomization.folder() else { continue };
            if !self.graph.by_folder.contains_key(folder.as_str()) {
                included.extend(self.graph.scan(&folder));
            }
            included.insert(folder.clone());
            let key = (folder, kustomization.words(), kustomization.clusters.clone());
            roots.entry(key).or_default().push(kustomization);
        }
        for ((folder, ..), several) in &roots {
            self.flux_root(folder, several);
        }
        for (folder, layer) in &self.graph.by_folder {
            if let Ok(layer) = layer
                && !included.contains(*folder)
                && !layer.is_component()
            {
                if let Some(reason) = flux.iter().find_map(|flux| flux.may_have(&layer.path)) {
                    self.cannot(&layer.resources, &reason);
                    continue;
                }
                let (name, clusters) = (layer.path.clone(), self.clusters_of(folder));
                let step = self.step(layer, folder);
                self.root(name, clusters, step);
            }
        }
        self.plain_files(&included, flux);
        self.overlays
    }

    fn clusters_of(&self, path: &str) -> BTreeSet<usize> {
        let found = self.clusters.iter().enumerate().filter(|(_, cluster)| cluster.has(path));
        found.map(|(index, _)| index).collect()
    }

    /// A folder's own kustomization, once.
    fn step(&mut self, layer: &Arc<Layer>, folder: &str) -> usize {
        let (steps, graph) = (&mut self.overlays.steps, self.graph);
        *self.steps.entry(folder.to_owned()).or_insert_with(|| {
            let file = Some(layer.path.clone());
            steps.push(Step::new(Arc::clone(layer), file, graph));
            steps.len() - 1
        })
    }

    fn flux_root(&mut self, folder: &str, several: &[&FluxKustomization]) {
        let first = several[0];
        let names: Vec<String> = several.iter().map(|found| found.name()).collect();
        let name = format!("Flux Kustomization {}", names.join(" and "));
        let (own, file) = match self.graph.by_folder.get(folder) {
            Some(Ok(layer)) => (layer.as_ref().clone(), Some(layer.path.clone())),
            Some(Err(reason)) => {
                self.cannot(&self.graph.scan(folder), reason);
                return;
            }
            None => (Layer::of_folder(folder, self.graph.scan(folder)), None),
        };
        let layer = match first.spec() {
            Ok(spec) => own.with_flux(first.at.below("spec"), spec),
            Err(reason) => own.doubtful(&format!("{name}, of which is not certain what it says: {reason}")),
        };
        // One that others change, or share, is not written.
        let is_its_own = first.is_as_written && several.len() == 1;
        let flux = is_its_own.then(|| first.at.below("spec"));
        let step = Step::new(Arc::new(layer), file, self.graph);
        let spec = first.spec().map(|spec| (first.at.below("spec"), Arc::new(spec.clone())));
        self.overlays.steps.push(Step { flux, spec: Some(spec), ..step });
        self.root(name, first.clusters.clone(), self.overlays.steps.len() - 1);
    }

    /// Follows one root.
    fn root(&mut self, name: String, clusters: BTreeSet<usize>, step: usize) {
        let root = self.overlays.roots.len();
        self.visits = 0;
        self.open.clear();
        self.listed.clear();
        match self.include(step, Vec::new()) {
            Ok(groups) => {
                Arc::make_mut(&mut self.overlays.roots).push(Root { name, clusters });
                for group in groups {
                    let placement = Arc::new(Placement { root, layers: group.layers });
                    for file in group.files {
                        Arc::make_mut(&mut self.overlays.placements)
                            .entry(file)
                            .or_default()
                            .push(Arc::clone(&placement));
                    }
                }
            }
            Err(reason) => {
                let listed = std::mem::take(&mut self.listed);
                self.cannot(&listed, &format!("{name} cannot be followed: {reason}"));
            }
        }
    }

    fn cannot(&mut self, files: &[String], reason: &str) {
        for file in files {
            Arc::make_mut(&mut self.overlays.left_out).insert(file.clone(), reason.to_owned());
        }
    }

    /// What a kustomization makes of what came before it, with what it lists itself.
    fn include(&mut self, step: usize, before: Vec<Group>) -> Result<Vec<Group>, String> {
        let layer = Arc::clone(&self.overlays.steps[step].layer);
        if self.open.contains(&layer.folder) {
            return Err(format!("{} includes itself, in a circle", layer.path));
        }
        (self.visits, self.visits_total) = (self.visits + 1, self.visits_total + 1);
        if self.visits > VISITS_MAX || self.visits_total > VISITS_TOTAL_MAX {
            return Err(format!("more than {VISITS_MAX} kustomizations are included"));
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(format!("more than {DEPTH_MAX} kustomizations lie in each other"));
        }
        self.open.push(layer.folder.clone());
        let (mut groups, mut files) = (before, Vec::new());
        for resource in &layer.resources {
            match self.graph.by_folder.get(resource.as_str()) {
                Some(Ok(inner)) => {
                    let inner = self.step(inner, resource);
                    let found = self.include(inner, Vec::new())?;
                    groups.extend(found);
                }
                Some(Err(reason)) => return Err(reason.clone()),
                None if self.graph.files.contains_key(resource.as_str()) => {
                    self.listed.push(resource.clone());
                    files.push(resource.clone());
                }
                None => {}
            }
        }
        groups.push(Group { files, layers: Vec::new() });
        for component in &layer.components {
            let Some(Ok(inner)) = self.graph.by_folder.get(component.as_str()) else {
                return Err(format!("component {component} of {} cannot be read", layer.path));
            };
            let inner = self.step(inner, component);
            groups = self.include(inner, groups)?;
        }
        for group in &mut groups {
            group.layers.push(step);
        }
        self.open.pop();
        Ok(groups)
    }

    /// Files that no root has reached by now: roots of their own, or left out.
    fn plain_files(&mut self, included: &BTreeSet<String>, flux: &[FluxKustomization]) {
        let graph = self.graph;
        for path in graph.files.values().map(|file| &file.source.path) {
            if let Some(found) = self.overlays.placements.get(path) {
                let too_many =
                    (found.len() > ROOTS_MAX).then(|| format!("it is applied in more than {ROOTS_MAX} ways"));
                if let Some(reason) = too_many.or_else(|| graph.unreadable_above(path)) {
                    Arc::make_mut(&mut self.overlays.placements).remove(path);
                    self.cannot(std::slice::from_ref(path), &reason);
                } else if let Some(reason) =
                    flux.iter().find_map(|kustomization| kustomization.may_have(path))
                {
                    // Its objects are known; whether they are that root's alone is not.
                    self.cannot(std::slice::from_ref(path), &reason);
                }
                continue;
            }
            if self.overlays.left_out.contains_key(path) {
                continue;
            }
            let (folder, name) = split(path);
            let own = graph.by_folder.get(folder);
            if own.is_some_and(|own| own.as_ref().is_ok_and(|own| own.path == *path)) {
                // A kustomization is no object.
                continue;
            }
            let reason = if is_kustomization(name) {
                None
            } else if let Some(Err(reason)) = own {
                Some(format!("the kustomization of its folder cannot be read: {reason}"))
            } else if included.contains(path) {
                Some(UNREACHED.to_owned())
            } else if let Some(owner) = graph.patches.get(path) {
                Arc::make_mut(&mut self.overlays.patches).insert(path.clone());
                Some(format!("it is a patch of {owner}"))
            } else if own.is_some_and(Result::is_ok) {
                Some("the kustomization of its folder does not list it under resources".to_owned())
            } else if let Some(reason) = graph.unreadable_above(path) {
                Some(reason)
            } else {
                flux.iter().find_map(|kustomization| kustomization.may_have(path))
            };
            if let Some(reason) = reason {
                self.cannot(std::slice::from_ref(path), &reason);
                continue;
            }
            let root = self.overlays.roots.len();
            let clusters = self.clusters_of(path);
            Arc::make_mut(&mut self.overlays.roots).push(Root { name: path.clone(), clusters });
            let placement = Arc::new(Placement { root, layers: Vec::new() });
            Arc::make_mut(&mut self.overlays.placements).entry(path.clone()).or_default().push(placement);
        }
    }
}
