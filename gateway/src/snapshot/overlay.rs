//! Which roots apply a file, and through which kustomizations: the objects as a cluster sees them.
//!
//! A root is a kustomization that no other one includes, the folder of a Flux Kustomization, or a file
//! that no kustomization lists. What a root makes of an object is computed when somebody asks. A file
//! that no root reaches for certain has no objects, with the reason.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::flux::FluxKustomization;
use super::index::{Entry, IndexedFiles, is_cluster_kind};
use super::kustomize::{At, Layer, Text, keeps_its_name};
use super::roots::{Graph, Walk};
use crate::model::manifest::ObjectRef;

/// How often Flux Kustomizations may be found through each other.
const ROUNDS_MAX: usize = 8;

/// A folder that is one cluster's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterFolder {
    /// The cluster's name.
    pub name: String,
    /// The folder, from the root of the repository, without `/` at its ends.
    pub path: String,
}

impl ClusterFolder {
    pub(super) fn has(&self, path: &str) -> bool {
        is_below(path, &self.path)
    }
}

/// Whether a path is a folder or in it.
pub(super) fn is_below(path: &str, folder: &str) -> bool {
    folder.is_empty()
        || path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What is applied as one.
#[derive(Debug, Clone)]
pub(super) struct Root {
    /// For people.
    pub(super) name: String,
    /// Which of the configured clusters it is applied to.
    pub(super) clusters: BTreeSet<usize>,
}

/// How a root reaches a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Placement {
    pub(super) root: usize,
    /// The kustomizations that the objects go through, the innermost first.
    pub(super) layers: Vec<usize>,
}

/// A kustomization as a root has it.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) layer: Arc<Layer>,
    /// The kustomization's file.
    pub(super) file: Option<String>,
    /// Flux' object above it, where its text is all that it says.
    pub(super) flux: Option<At>,
    /// What Flux' object above it says, if there is one, or why that is not certain.
    pub(super) spec: Option<Result<(At, Arc<Value>), String>>,
    /// Whether a patch of it may take objects away.
    pub(super) deletes: bool,
}

impl Step {
    pub(super) fn new(layer: Arc<Layer>, file: Option<String>, graph: &Graph<'_>) -> Self {
        let deletes = layer.all_patches().any(|patch| {
            let text = match &patch.text {
                Text::Inline(_, text) => Some(text.as_str()),
                Text::File(path) => graph.text(path),
            };
            text.is_some_and(|text| text.contains("$patch"))
        });
        Self { layer, file, flux: None, spec: None, deletes }
    }
}

/// The roots of one commit.
#[derive(Debug, Clone, Default)]
pub(super) struct Overlays {
    pub(super) roots: Arc<Vec<Root>>,
    pub(super) steps: Vec<Step>,
    pub(super) placements: Arc<BTreeMap<String, Vec<Arc<Placement>>>>,
    /// Files that are patches of kustomizations, and no objects.
    pub(super) patches: Arc<BTreeSet<String>>,
    /// Files of which some kustomization makes a patch, whether they are objects too or not.
    pub(super) patch_files: Arc<BTreeSet<String>>,
    /// Files without objects, and why.
    pub(super) left_out: Arc<BTreeMap<String, String>>,
}

impl Overlays {
    /// Reads the kustomizations among the files.
    pub(super) fn read(files: &IndexedFiles, clusters: &[ClusterFolder]) -> Self {
        let graph = Graph::read(files);
        let mut flux = FluxKustomization::all(files);
        for _ in 0..ROUNDS_MAX {
            let overlays = Walk::new(&graph, clusters).all(&flux);
            let found = FluxKustomization::applied(&flux, &overlays, &graph, clusters);
            if found == flux {
                return Self { patch_files: Arc::new(graph.into_patches()), ..overlays };
            }
            flux = found;
        }
        let unstable = "the Flux Kustomizations that apply it depend on each other without end";
        let all = files.keys().map(|path| (path.to_string(), unstable.to_owned()));
        let patch_files = Arc::new(graph.into_patches());
        Self { patch_files, left_out: Arc::new(all.collect()), ..Self::default() }
    }

    /// How roots reach a file.
    ///
    /// # Errors
    /// Why its objects are not to be looked up nor changed.
    pub(super) fn placements(&self, path: &str) -> Result<&[Arc<Placement>], String> {
        match (self.placements.get(path), self.left_out.get(path)) {
            (Some(found), _) => Ok(found),
            (None, Some(reason)) => Err(reason.clone()),
            (None, None) => Ok(&[]),
        }
    }

    /// What an object is called in the cluster, and all that it is called on its way.
    pub(super) fn identity(&self, placement: &Placement, entry: &Entry) -> (ObjectRef, Vec<String>) {
        let (mut name, mut namespace) = (entry.name.clone(), entry.namespace.clone());
        let mut names = vec![name.clone()];
        for step in &placement.layers {
            let layer = &self.steps[*step].layer;
            if let Some(replaced) = &layer.namespace {
                if entry.kind == "Namespace" {
                    name.clone_from(replaced);
                }
                namespace = Some(replaced.clone());
            }
            if !keeps_its_name(&entry.kind) {
                name = layer.renamed(&name);
            }
            if names.last() != Some(&name) {
                names.push(name.clone());
            }
        }
        let namespace = namespace.unwrap_or_else(|| "default".to_owned());
        let target = ObjectRef {
            api_version: entry.api_version.clone(),
            kind: entry.kind.clone(),
            namespace: (!is_cluster_kind(&entry.kind)).then_some(namespace),
            name,
        };
        (target, names)
    }

    /// A kustomization's file, unless other roots have it as theirs too.
    pub(super) fn file_of_one(&self, step: usize) -> Option<&str> {
        let file = self.steps[step].file.as_deref()?;
        let same = self.steps.iter().filter(|other| other.file.as_deref() == Some(file)).count();
        (same == 1).then_some(file)
    }

    /// Whether a root gives objects other names.
    pub(super) fn renames(&self, placement: &Placement) -> bool {
        placement.layers.iter().any(|step| self.steps[*step].layer.changes_names())
    }
}

pub(super) fn at(path: &str, document: usize, pointer: &str) -> At {
    At { path: path.to_owned(), document, pointer: pointer.to_owned() }
}

/// Folder and name of a path.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// The value at a place of a stream of documents.
pub(super) fn value_at<'v>(documents: &'v [Value], at: &At) -> Option<&'v Value> {
    documents.get(at.document)?.pointer(&at.pointer)
}
