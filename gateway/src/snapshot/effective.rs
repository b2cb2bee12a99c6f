//! An object as a cluster has it: what its file says, gone through the kustomizations of a root.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::kustomize::{Layer, Names, Object, Texts};
use super::overlay::{Overlays, Placement, Step, split, value_at};
use crate::edit::{self, Place};
use crate::model::manifest::ObjectRef;

/// Flux replaces variables that begin so.
pub(super) const VARIABLE: &str = "${";

/// What a root makes of an object.
#[derive(Debug, Clone)]
pub(super) struct Effective {
    pub(super) object: Object,
    /// Fields that are not certain, as paths without the numbers of list elements, and why.
    pub(super) doubts: Vec<(String, String)>,
    /// Whether Flux replaces variables in it.
    pub(super) substitutes: bool,
}

impl Effective {
    pub(super) fn manifest(&self) -> &Value {
        &self.object.manifest
    }

    /// What it is called.
    pub(super) fn is(&self, target: &ObjectRef) -> bool {
        let text = |pointer: &str| self.manifest().pointer(pointer).and_then(Value::as_str);
        let namespace = target.namespace.as_deref();
        text("/apiVersion") == Some(&target.api_version)
            && text("/kind") == Some(&target.kind)
            && text("/metadata/name") == Some(&target.name)
            && namespace.is_none_or(|own| text("/metadata/namespace").unwrap_or("default") == own)
    }
}

impl Overlays {
    /// What a root makes of an object; `None` when it takes it away.
    ///
    /// # Errors
    /// Why that is not certain.
    pub(super) fn effective<'a>(
        &self,
        placement: &Placement,
        manifest: Value,
        names: &Names,
        texts: Texts<'_, 'a>,
    ) -> Result<Option<Effective>, String> {
        let mut object = Object::of(manifest);
        let layers: Vec<&Layer> =
            placement.layers.iter().map(|step| self.steps[*step].layer.as_ref()).collect();
        for layer in &layers {
            let applied = layer.apply(object, texts);
            match applied.map_err(|reason| self.told(placement, layer, &reason))? {
                Some(after) => object = after,
                None => return Ok(None),
            }
        }
        if !layers.is_empty()
            && let Some(metadata) = object.manifest.get_mut("metadata").and_then(Value::as_object_mut)
            && metadata.get("annotations").and_then(Value::as_object).is_some_and(serde_json::Map::is_empty)
        {
            // Kustomize keeps its own notes there, and takes the rest away with them.
            metadata.remove("annotations");
        }
        let doubts = names.follow(placement.root, &layers, &mut object)?;
        let substitutes = layers.iter().any(|layer| layer.substitutes);
        let metadata = |field: &str| object.manifest.pointer(field).and_then(Value::as_str);
        let named = ["/metadata/name", "/metadata/namespace"].into_iter().filter_map(metadata);
        if substitutes && named.into_iter().any(|text| text.contains(VARIABLE)) {
            let root = &self.roots[placement.root].name;
            return Err(format!("{root} replaces variables in its name or namespace (postBuild)"));
        }
        Ok(Some(Effective { object, doubts, substitutes }))
    }

    fn told(&self, placement: &Placement, layer: &Layer, reason: &str) -> String {
        let root = &self.roots[placement.root].name;
        match reason.contains(&layer.path) {
            true if *root == layer.path => reason.to_owned(),
            _ if *root == layer.path => format!("{root}: {reason}"),
            true => format!("{reason}, in {root}"),
            false => format!("{}: {reason}, in {root}", layer.path),
        }
    }

    /// The object before the outermost kustomization of its root.
    pub(super) fn before_last<'a>(
        &self,
        placement: &Placement,
        manifest: Value,
        texts: Texts<'_, 'a>,
    ) -> Result<Option<Object>, String> {
        let (_, inner) = placement.layers.split_last().ok_or("no kustomization is above it")?;
        let mut object = Some(Object::of(manifest));
        for step in inner {
            let Some(now) = object else { return Ok(None) };
            object = self.steps[*step].layer.apply(now, texts)?;
        }
        Ok(object)
    }

    /// The steps that depend on one of these files.
    pub(super) fn depending_on(&self, paths: &BTreeSet<&str>) -> BTreeSet<usize> {
        let touched = |step: &Step| {
            step.file.iter().any(|file| paths.contains(file.as_str()))
                || step.flux.iter().any(|at| paths.contains(at.path.as_str()))
                || step.layer.all_patches().any(|patch| patch.file().is_some_and(|file| paths.contains(file)))
        };
        self.steps.iter().enumerate().filter(|(_, step)| touched(step)).map(|(index, _)| index).collect()
    }

    /// The same roots, with Flux' objects where they stand by now; one that went says what it said.
    pub(super) fn moved(&self, place: &dyn Fn(&str, Place) -> Option<Place>) -> Self {
        let mut moved = self.clone();
        for step in &mut moved.steps {
            step.flux = step.flux.take().and_then(|at| at.moved(place));
        }
        moved
    }

    /// The same roots, where these files say what `texts` has. What is included may not differ.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub(super) fn reread<'a>(&self, paths: &BTreeSet<&str>, texts: Texts<'_, 'a>) -> Result<Self, String> {
        let mut changed = self.clone();
        for index in self.depending_on(paths) {
            let step = &self.steps[index];
            let own = match &step.file {
                Some(file) => {
                    let documents = documents(file, texts)?;
                    let said = documents.first().ok_or_else(|| format!("{file} is empty"))?;
                    Layer::read(super::overlay::at(file, 0, ""), split(file).0, said)
                }
                None => Layer::of_folder(&step.layer.folder, step.layer.resources.clone()),
            };
            let layer = match (&step.flux, &step.spec) {
                (Some(at), _) => {
                    let documents = documents(&at.path, texts)?;
                    let spec = value_at(&documents, at).ok_or_else(|| format!("{} has no spec", at.path))?;
                    own.with_flux(at.clone(), spec)
                }
                // A Flux Kustomization that is not written says what it said.
                (None, Some(spec)) => {
                    let (at, spec) = spec.as_ref().map_err(Clone::clone)?;
                    own.with_flux(at.clone(), spec)
                }
                (None, None) => own,
            };
            changed.steps[index].layer = Arc::new(layer);
        }
        Ok(changed)
    }
}

fn documents<'a>(path: &str, texts: Texts<'_, 'a>) -> Result<Vec<Value>, String> {
    let text = texts(path).ok_or_else(|| format!("{path} is not there"))?;
    edit::read(text).map_err(|error| format!("{path}: {error}"))
}

/// The documents of files, each read once.
#[derive(Default)]
pub(super) struct Documents(BTreeMap<String, Option<Vec<Value>>>);

impl Documents {
    pub(super) fn get<'a>(&mut self, path: &str, place: Place, texts: Texts<'_, 'a>) -> Option<Value> {
        let read = || texts(path).and_then(|text| edit::read(text).ok());
        place.find(self.0.entry(path.to_owned()).or_insert_with(read).as_ref()?).cloned()
    }
}
