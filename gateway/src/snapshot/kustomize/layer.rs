//! One kustomization as it is written: which files it takes, and what it does to their objects.
//!
//! What is not understood is kept as a doubt with the name of the feature; whoever asks for an object
//! that it could change is told.

use std::sync::OnceLock;

use serde_json::{Map, Value};

use super::selector::Selector;
use super::{included, joined};
use crate::edit::read;

/// The most patches of one kustomization.
const PATCHES_MAX: usize = 1_000;

/// Features that could change any object, and that nothing here computes.
const OPAQUE: [&str; 4] = ["transformers", "configurations", "openapi", "crds"];

/// A value in a document of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::snapshot) struct At {
    pub(in crate::snapshot) path: String,
    pub(in crate::snapshot) document: usize,
    /// JSON Pointer.
    pub(in crate::snapshot) pointer: String,
}

impl At {
    pub(in crate::snapshot) fn below(&self, step: impl std::fmt::Display) -> Self {
        Self { pointer: format!("{}/{step}", self.pointer), ..self.clone() }
    }
}

/// One change of a patch.
#[derive(Debug, Clone)]
pub(in crate::snapshot) enum Content {
    /// Strategic merge patches, a document each.
    Merge(Vec<Map<String, Value>>),
    /// JSON Patch.
    Json(Value),
}

/// A patch of a kustomization.
#[derive(Debug, Clone)]
pub(in crate::snapshot) struct Patch {
    /// The text itself: a string in the kustomization, or a whole file.
    pub(in crate::snapshot) text: Text,
    pub(in crate::snapshot) target: Option<Selector>,
    content: OnceLock<Result<Content, String>>,
}

/// Where a patch's text is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::snapshot) enum Text {
    Inline(At, String),
    File(String),
}

impl Patch {
    fn new(text: Text, target: Option<Selector>) -> Self {
        Self { text, target, content: OnceLock::new() }
    }

    /// What it says. The file is read once, from the first `texts`.
    pub(in crate::snapshot) fn content<'a>(
        &self,
        texts: &dyn Fn(&str) -> Option<&'a str>,
    ) -> Result<&Content, String> {
        let content = self.content.get_or_init(|| match &self.text {
            Text::Inline(_, text) => read_content(text),
            Text::File(path) => match texts(path) {
                Some(text) => read_content(text).map_err(|reason| format!("{path}: {reason}")),
                None => Err(format!("{path} is not there")),
            },
        });
        content.as_ref().map_err(Clone::clone)
    }

    /// The file it is in, if it is in one of its own.
    pub(in crate::snapshot) fn file(&self) -> Option<&str> {
        match &self.text {
            Text::File(path) => Some(path),
            Text::Inline(..) => None,
        }
    }
}

fn read_content(text: &str) -> Result<Content, String> {
    let documents = read(text).map_err(|error| error.to_string())?;
    let mut merges = Vec::new();
    for document in documents {
        match document {
            Value::Null => {}
            Value::Array(_) if merges.is_empty() => return Ok(Content::Json(document)),
            Value::Object(object) => merges.push(object),
            _ => return Err("a patch is neither a mapping nor a list".to_owned()),
        }
    }
    if merges.is_empty() { Err("a patch is empty".to_owned()) } else { Ok(Content::Merge(merges)) }
}

/// An entry of `replicas`.
#[derive(Debug, Clone)]
pub(in crate::snapshot) struct Replicas {
    pub(in crate::snapshot) name: String,
    pub(in crate::snapshot) count: Value,
    pub(in crate::snapshot) at: At,
}

/// An entry of `labels`, or `commonLabels`.
#[derive(Debug, Clone)]
pub(super) struct Labels {
    pub(super) pairs: Map<String, Value>,
    pub(super) selectors: bool,
    pub(super) templates: bool,
}

/// An entry of `images`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) name: String,
    pub(super) new_name: Option<String>,
    pub(super) new_tag: Option<String>,
    pub(super) digest: Option<String>,
    pub(super) tag_suffix: Option<String>,
}

/// A kustomization.
#[derive(Debug, Clone, Default)]
pub(in crate::snapshot) struct Layer {
    /// Its file; for what Flux makes of a folder without one, the folder.
    pub(in crate::snapshot) path: String,
    /// What its paths are relative to.
    pub(in crate::snapshot) folder: String,
    pub(super) is_component: bool,
    pub(in crate::snapshot) resources: Vec<String>,
    pub(in crate::snapshot) components: Vec<String>,
    pub(in crate::snapshot) namespace: Option<String>,
    pub(super) prefix: String,
    pub(super) suffix: String,
    /// `patchesStrategicMerge`.
    pub(super) merges: Vec<Patch>,
    /// `patches`.
    pub(super) patches: Vec<Patch>,
    /// `patchesJson6902`.
    pub(super) json: Vec<Patch>,
    pub(super) labels: Vec<Labels>,
    pub(super) annotations: Map<String, Value>,
    pub(in crate::snapshot) replicas: Vec<Replicas>,
    pub(super) images: Vec<Image>,
    /// What Flux adds at last, to all.
    pub(super) flux_labels: Map<String, Value>,
    pub(super) flux_annotations: Map<String, Value>,
    /// Kind and name of what it generates.
    pub(super) generated: Vec<(&'static str, String)>,
    /// Objects that replacements or vars read or write, each with the feature.
    pub(super) replaced: Vec<(Selector, &'static str)>,
    pub(super) vars: Vec<String>,
    /// Whether Flux replaces `${variables}` in what comes out.
    pub(in crate::snapshot) substitutes: bool,
    /// A feature that could change any of its objects.
    pub(super) doubt: Option<String>,
    /// Where new entries go: Flux' own object, where the folder is not one root's alone.
    pub(in crate::snapshot) at: Option<At>,
}

impl Layer {
    /// Reads what stands at a place: a kustomization, or the `spec` of Flux' object of that name.
    pub(in crate::snapshot) fn read(at: At, folder: &str, said: &Value) -> Self {
        let text = |key: &str| said.get(key).and_then(Value::as_str).map(str::to_owned);
        let map = |key: &str| said.get(key).and_then(Value::as_object).cloned().unwrap_or_default();
        let mut layer = Self {
            path: at.path.clone(),
            folder: folder.to_owned(),
            is_component: text("kind").as_deref() == Some("Component"),
            namespace: text("namespace").filter(|namespace| !namespace.is_empty()),
            prefix: text("namePrefix").unwrap_or_default(),
            suffix: text("nameSuffix").unwrap_or_default(),
            annotations: map("commonAnnotations"),
            ..Self::default()
        };
        layer.resources = included(folder, said, &["resources", "bases"]);
        layer.components = included(folder, said, &["components"]);
        if items(said, "components").iter().any(|item| item.as_str().is_some_and(is_remote)) {
            layer.doubts("a component of another repository");
        }
        layer.read_patches(&at, said);
        layer.read_labels(said);
        layer.read_values(&at, said);
        layer.read_doubts(said);
        layer.at = Some(at);
        layer
    }

    /// What Flux makes of a folder that has no kustomization.
    pub(in crate::snapshot) fn of_folder(folder: &str, resources: Vec<String>) -> Self {
        Self { path: folder.to_owned(), folder: folder.to_owned(), resources, ..Self::default() }
    }

    fn doubts(&mut self, feature: &str) {
        self.doubt.get_or_insert_with(|| feature.to_owned());
    }

    fn read_patches(&mut self, at: &At, said: &Value) {
        for (index, item) in items(said, "patchesStrategicMerge").iter().enumerate() {
            let place = at.below("patchesStrategicMerge").below(index);
            match item.as_str() {
                Some(text) if text.contains('\n') => {
                    self.merges.push(Patch::new(Text::Inline(place, text.to_owned()), None));
                }
                Some(path) => self.add_file(path, None, Stage::Merges),
                None => self.doubts("an entry of patchesStrategicMerge that is no text"),
            }
        }
        for (key, stage) in [("patches", Stage::Patches), ("patchesJson6902", Stage::Json)] {
            for (index, item) in items(said, key).iter().enumerate() {
                let target = item.get("target").filter(|target| !target.is_null()).map(Selector::read);
                let renames = item.get("options").and_then(Value::as_object);
                if renames.is_some_and(|options| options.values().any(|value| value == true)) {
                    self.doubts("a patch that may change names or kinds");
                }
                let text =
                    ["patch", "jsonOp"].into_iter().find_map(|key| Some((key, item.get(key)?.as_str()?)));
                match (text, item.get("path").and_then(Value::as_str)) {
                    (Some((word, text)), _) => {
                        let place = at.below(key).below(index).below(word);
                        let patch = Patch::new(Text::Inline(place, text.to_owned()), target);
                        self.stage(stage).push(patch);
                    }
                    (None, Some(path)) => self.add_file(path, target, stage),
                    (None, None) => self.doubts("a patch without a text"),
                }
            }
        }
        if self.merges.len() + self.patches.len() + self.json.len() > PATCHES_MAX {
            self.doubts(&format!("more than {PATCHES_MAX} patches"));
        }
    }

    fn stage(&mut self, stage: Stage) -> &mut Vec<Patch> {
        match stage {
            Stage::Merges => &mut self.merges,
            Stage::Patches => &mut self.patches,
            Stage::Json => &mut self.json,
        }
    }

    fn add_file(&mut self, path: &str, target: Option<Selector>, stage: Stage) {
        match joined(&self.folder, path) {
            Some(path) => self.stage(stage).push(Patch::new(Text::File(path), target)),
            None => self.doubts("a patch of another repository"),
        }
    }

    fn read_labels(&mut self, said: &Value) {
        for item in items(said, "labels") {
            let flag = |key: &str| item.get(key) == Some(&Value::Bool(true));
            if item.get("fields").is_some_and(|fields| fields.as_array().is_none_or(|list| !list.is_empty()))
            {
                self.doubts("labels with fields");
            }
            let pairs = item.get("pairs").and_then(Value::as_object).cloned().unwrap_or_default();
            let (selectors, templates) = (flag("includeSelectors"), flag("includeTemplates"));
            self.labels.push(Labels { pairs, selectors, templates });
        }
        let common = said.get("commonLabels").and_then(Value::as_object).cloned().unwrap_or_default();
        if !common.is_empty() {
            self.labels.push(Labels { pairs: common, selectors: true, templates: true });
        }
    }

    fn read_values(&mut self, at: &At, said: &Value) {
        for (index, item) in items(said, "replicas").iter().enumerate() {
            let name = item.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
            let count = item.get("count").cloned().unwrap_or(Value::Null);
            let at = at.below("replicas").below(index);
            self.replicas.push(Replicas { name, count, at });
        }
        for item in items(said, "images").iter().chain(items(said, "imageTags")) {
            let text = |key: &str| {
                let value = item.get(key).filter(|value| !value.is_null())?;
                Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                    .filter(|text| !text.is_empty())
            };
            self.images.push(Image {
                name: text("name").unwrap_or_default(),
                new_name: text("newName"),
                new_tag: text("newTag"),
                digest: text("digest"),
                tag_suffix: text("tagSuffix"),
            });
        }
    }

    fn read_doubts(&mut self, said: &Value) {
        for feature in OPAQUE {
            if said.get(feature).is_some_and(|value| !is_empty(value)) {
                self.doubts(feature);
            }
        }
        for (key, kind) in [("configMapGenerator", "ConfigMap"), ("secretGenerator", "Secret")] {
            let names = items(said, key).iter().filter_map(|item| item.get("name")?.as_str());
            self.generated.extend(names.map(|name| (kind, name.to_owned())));
        }
        for item in items(said, "replacements") {
            if item.get("path").is_some() {
                self.doubts("replacements in a file of their own");
            }
            let targets = items(item, "targets").iter().filter_map(|target| target.get("select"));
            for selected in item.get("source").into_iter().chain(targets) {
                self.replaced.push((Selector::read(selected), "replacements"));
            }
        }
        for item in items(said, "vars") {
            if let Some(object) = item.get("objref") {
                self.replaced.push((Selector::read(object), "vars"));
            }
            self.vars.extend(item.get("name").and_then(Value::as_str).map(str::to_owned));
        }
    }

    /// Every patch, in the order in which they are applied.
    pub(in crate::snapshot) fn all_patches(&self) -> impl DoubleEndedIterator<Item = &Patch> {
        self.merges.iter().chain(&self.patches).chain(&self.json)
    }

    /// Whether it changes a name.
    pub(in crate::snapshot) fn changes_names(&self) -> bool {
        !self.prefix.is_empty() || !self.suffix.is_empty()
    }

    /// Whether it is only there for others to include.
    pub(in crate::snapshot) fn is_component(&self) -> bool {
        self.is_component
    }

    /// The same, where nothing of it is certain.
    pub(in crate::snapshot) fn doubtful(mut self, reason: &str) -> Self {
        self.doubts(reason);
        self
    }

    /// What Flux' object says beside the kustomization of its folder: its `spec`, as kustomize-controller
    /// puts it into that one.
    pub(in crate::snapshot) fn with_flux(&self, at: At, spec: &Value) -> Self {
        let mut said = spec.clone();
        if let Some(said) = said.as_object_mut() {
            // Of the rest of a `spec` some words mean other things there.
            said.retain(|key, _| {
                ["patches", "images", "components", "namePrefix", "nameSuffix"].contains(&key.as_str())
            });
        }
        let flux = Self::read(at.clone(), &self.folder, &said);
        let target = spec.get("targetNamespace").and_then(Value::as_str).filter(|text| !text.is_empty());
        let mut layer = self.clone();
        layer.namespace = target.map(str::to_owned).or(layer.namespace);
        for (own, theirs) in [(&mut layer.prefix, flux.prefix), (&mut layer.suffix, flux.suffix)] {
            if !theirs.is_empty() {
                *own = theirs;
            }
        }
        layer.components.extend(flux.components);
        layer.patches.extend(flux.patches);
        layer.images.retain(|own| !flux.images.iter().any(|theirs| theirs.name == own.name));
        layer.images.extend(flux.images);
        layer.doubt = layer.doubt.or(flux.doubt);
        layer.substitutes = spec.get("postBuild").is_some_and(|value| !is_empty(value));
        let common =
            |key: &str| spec.pointer(&format!("/commonMetadata/{key}")).and_then(Value::as_object).cloned();
        layer.flux_labels = common("labels").unwrap_or_default();
        layer.flux_annotations = common("annotations").unwrap_or_default();
        layer
    }
}

#[derive(Clone, Copy)]
enum Stage {
    Merges,
    Patches,
    Json,
}

fn items<'a>(said: &'a Value, key: &str) -> &'a [Value] {
    said.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(object) => object.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

/// Whether a path of a kustomization is one of another repository.
fn is_remote(path: &str) -> bool {
    path.contains("://")
        || path.contains("?ref=")
        || path.starts_with("git@")
        || path.starts_with("github.com/")
}
