//! Flux Kustomizations: which folder of this repository is applied how.
//!
//! Suspended ones count too: what they have applied is there. One that has another repository as its
//! source is not ours.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::effective::VARIABLE;
use super::index::{Entry, IndexedFiles};
use super::kustomize::{At, Object, joined};
use super::overlay::{ClusterFolder, Overlays, is_below};
use super::roots::Graph;
use crate::edit::Place;

const GROUP: &str = "kustomize.toolkit.fluxcd.io/";

/// One that is applied somewhere.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FluxKustomization {
    pub(super) at: At,
    /// Namespace and name.
    id: (String, String),
    /// The manifest as the cluster has it, or why that is not certain.
    manifest: Result<Arc<Value>, String>,
    /// Whether that is what the file says.
    pub(super) is_as_written: bool,
    pub(super) clusters: BTreeSet<usize>,
    is_ours: bool,
}

/// Whether an object is a source of Flux' Kustomizations.
fn is_source(entry: &Entry) -> bool {
    entry.kind == "GitRepository"
}

/// Whether what is applied, and how, may hang on an object.
pub(super) fn decides(entry: &Entry) -> bool {
    entry.kustomization.is_some() || is_source(entry)
}

/// Whether an object is one of Flux' Kustomizations.
fn is_flux(entry: &Entry) -> bool {
    entry.kind == "Kustomization" && entry.api_version.starts_with(GROUP)
}

fn text<'v>(manifest: &'v Value, pointer: &str) -> Option<&'v str> {
    manifest.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
}

impl FluxKustomization {
    /// All that the files have, as they are written.
    pub(super) fn all(files: &IndexedFiles) -> Vec<Self> {
        let (mut found, mut sources) = (Vec::new(), BTreeSet::new());
        for (path, file) in files {
            for entry in file.entries() {
                if is_source(entry) {
                    let namespace = entry.namespace.clone().unwrap_or_else(|| "default".to_owned());
                    sources.insert((namespace, entry.name.clone()));
                }
                if let (true, Some(manifest)) = (is_flux(entry), &entry.kustomization) {
                    found.push(Self::new(path, entry.place, Arc::clone(manifest)));
                }
            }
        }
        mark_ours(&mut found, &sources);
        found
    }

    fn new(path: &str, place: Place, manifest: Arc<Value>) -> Self {
        let name = text(&manifest, "/metadata/name").unwrap_or_default().to_owned();
        let namespace = text(&manifest, "/metadata/namespace").unwrap_or("default").to_owned();
        Self {
            at: place.at(path),
            id: (namespace, name),
            manifest: Ok(manifest),
            is_as_written: true,
            clusters: BTreeSet::new(),
            is_ours: true,
        }
    }

    /// The same as the roots apply them: a kustomization may change one, and bring it to a cluster.
    pub(super) fn applied(
        known: &[Self],
        overlays: &Overlays,
        graph: &Graph<'_>,
        clusters: &[ClusterFolder],
    ) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        let mut places: Vec<&At> = known.iter().map(|known| &known.at).collect();
        places.dedup();
        for place in places {
            let entries = graph.entries(&place.path);
            let written = entries.iter().find(|entry| entry.place.at(&place.path) == *place);
            let Some((entry, written)) =
                written.and_then(|entry| Some((entry, entry.kustomization.as_ref()?)))
            else {
                continue;
            };
            let own: BTreeSet<usize> =
                (0..clusters.len()).filter(|index| is_below(&place.path, &clusters[*index].path)).collect();
            let placements = overlays.placements(&place.path).unwrap_or_default();
            for placement in placements {
                let mut kustomization = Self::new(&place.path, entry.place, Arc::clone(written));
                let roots = &overlays.roots[placement.root].clusters;
                kustomization.clusters = if own.is_empty() { roots.clone() } else { own.clone() };
                let mut object = Ok(Some(Object::of((**written).clone())));
                for step in &placement.layers {
                    object = object.and_then(|object| match object {
                        Some(object) => overlays.steps[*step].layer.apply(object, &|path| graph.text(path)),
                        None => Ok(None),
                    });
                }
                match object {
                    Ok(None) => continue,
                    Ok(Some(object)) => {
                        let manifest = Arc::new(object.manifest);
                        kustomization.is_as_written = manifest.get("spec") == written.get("spec");
                        kustomization.id = Self::new("", 0.into(), Arc::clone(&manifest)).id;
                        kustomization.manifest = Ok(manifest);
                    }
                    Err(reason) => {
                        kustomization.is_as_written = false;
                        kustomization.manifest = Err(reason);
                    }
                }
                kustomization.is_ours = known.iter().any(|known| known.at == *place && known.is_ours);
                if !found.contains(&kustomization) {
                    found.push(kustomization);
                }
            }
        }
        found
    }

    /// For people.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.id.0, self.id.1)
    }

    /// Its `spec`.
    pub(super) fn spec(&self) -> Result<&Value, String> {
        const NONE: &Value = &Value::Null;
        self.manifest.as_ref().map(|manifest| manifest.get("spec").unwrap_or(NONE)).map_err(Clone::clone)
    }

    fn said_path(&self) -> &str {
        self.manifest.as_ref().ok().and_then(|manifest| text(manifest, "/spec/path")).unwrap_or("./")
    }

    /// The folder it applies, from the root of the repository; `None` for one of another repository.
    pub(super) fn folder(&self) -> Option<String> {
        let said = self.said_path();
        if !self.is_ours || said.contains(VARIABLE) {
            return None;
        }
        joined("", said.trim_start_matches('/'))
    }

    /// Whether it may have a file, where which folder it applies is only known in the cluster.
    pub(super) fn may_have(&self, path: &str) -> Option<String> {
        let (known, _) = self.said_path().split_once(VARIABLE)?;
        let known = known.trim_start_matches("./").trim_start_matches('/');
        let may = self.is_ours && path.starts_with(known);
        may.then(|| format!("Flux Kustomization {} has a variable in its path", self.name()))
    }

    /// What it says of how it applies its folder.
    pub(super) fn words(&self) -> String {
        const WORDS: [&str; 8] = [
            "commonMetadata",
            "components",
            "images",
            "namePrefix",
            "nameSuffix",
            "patches",
            "postBuild",
            "targetNamespace",
        ];
        match self.spec() {
            Ok(spec) => WORDS.map(|word| spec.get(word).map(Value::to_string).unwrap_or_default()).join("\n"),
            Err(reason) => reason,
        }
    }
}

/// A source is this repository where a Kustomization applies, from it, the very folder that it lies in
/// itself; or where no file says what it is.
fn mark_ours(all: &mut [FluxKustomization], known: &BTreeSet<(String, String)>) {
    let source = |kustomization: &FluxKustomization| {
        let manifest = kustomization.manifest.as_ref().ok()?;
        let kind = text(manifest, "/spec/sourceRef/kind").unwrap_or("GitRepository");
        let namespace = text(manifest, "/spec/sourceRef/namespace").unwrap_or(&kustomization.id.0).to_owned();
        let name = text(manifest, "/spec/sourceRef/name")?.to_owned();
        (kind == "GitRepository").then_some((namespace, name))
    };
    let mut ours = BTreeSet::new();
    for kustomization in all.iter() {
        let own = kustomization.folder().filter(|folder| is_below(&kustomization.at.path, folder));
        if let (Some(_), Some(source)) = (own, source(kustomization)) {
            ours.insert(source);
        }
    }
    for kustomization in all {
        let source = source(kustomization);
        kustomization.is_ours =
            source.is_some_and(|source| ours.contains(&source) || !known.contains(&source));
    }
}
