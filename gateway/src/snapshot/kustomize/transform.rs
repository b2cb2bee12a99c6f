//! What one kustomization makes of one object, in kustomize's own order.

use serde_json::{Map, Value, json};

use super::fields::{SCALED, selectors, template_annotations, template_labels};
use super::layer::{Content, Image, Layer, Patch};
use super::merge::merge;
use super::object::{Id, Object, add_at, each_at};
use crate::edit::patched;
use crate::model::patch::Change;
use crate::snapshot::index::is_cluster_kind;

/// Texts of files by their paths.
pub(in crate::snapshot) type Texts<'t, 'a> = &'t dyn Fn(&str) -> Option<&'a str>;

/// Kinds whose names stay as they are.
pub(super) const UNPREFIXED: [&str; 3] = ["CustomResourceDefinition", "APIService", "Namespace"];

impl Layer {
    /// The object after this kustomization; `None` when it takes it away.
    ///
    /// # Errors
    /// When that is not certain: the feature.
    pub(in crate::snapshot) fn apply<'a>(
        &self,
        mut object: Object,
        texts: Texts<'_, 'a>,
    ) -> Result<Option<Object>, String> {
        self.check(&object)?;
        for patch in self.merges.iter().chain(&self.patches) {
            match patched_by(patch, object, texts)? {
                Some(after) => object = after,
                None => return Ok(None),
            }
        }
        self.set_namespace(&mut object);
        self.set_name(&mut object);
        self.set_labels(&mut object);
        let Some(mut object) = self.json.iter().try_fold(Some(object), |object, patch| match object {
            Some(object) => patched_by(patch, object, texts),
            None => Ok(None),
        })?
        else {
            return Ok(None);
        };
        for replicas in &self.replicas {
            if scales(&replicas.name, &object) {
                set_replicas(&mut object.manifest, &replicas.count)?;
            }
        }
        for image in &self.images {
            set_image(&mut object, image);
        }
        self.set_flux_metadata(&mut object);
        Ok(Some(object))
    }

    /// Whether what it does to the object can be told at all.
    fn check(&self, object: &Object) -> Result<(), String> {
        let (first, now) = (object.first(), object.id());
        let of = |feature: &str| format!("{} has {feature}, which could change it", self.path);
        if let Some(feature) = &self.doubt {
            return Err(of(feature));
        }
        for (selector, feature) in &self.replaced {
            if selector.selects(first, &now, &object.manifest)? {
                return Err(of(feature));
            }
        }
        if self.generated.iter().any(|(kind, name)| now.kind == *kind && object.was(|id| id.name == *name)) {
            return Err(of("a generator of that name"));
        }
        if !self.vars.is_empty() {
            let text = object.manifest.to_string();
            if self.vars.iter().any(|var| text.contains(&format!("$({var})"))) {
                return Err(of("vars"));
            }
        }
        Ok(())
    }

    fn set_namespace(&self, object: &mut Object) {
        let Some(namespace) = &self.namespace else { return };
        object.remember();
        if object.kind() == "Namespace" {
            object.set_metadata("name", namespace);
        } else if !is_cluster_kind(object.kind()) {
            object.set_metadata("namespace", namespace);
        }
        let as_default = |subject: &mut Value| {
            if subject["name"] == "default" {
                subject["namespace"] = json!(namespace);
            }
        };
        if matches!(object.kind(), "RoleBinding" | "ClusterRoleBinding")
            && let Some(subjects) = object.manifest.get_mut("subjects").and_then(Value::as_array_mut)
        {
            subjects.iter_mut().for_each(as_default);
        }
    }

    fn set_name(&self, object: &mut Object) {
        if !self.changes_names() || UNPREFIXED.contains(&object.first().kind.as_str()) {
            return;
        }
        object.remember();
        let name = self.renamed(&object.id().name);
        object.set_metadata("name", &name);
    }

    pub(in crate::snapshot) fn renamed(&self, name: &str) -> String {
        format!("{}{name}{}", self.prefix, self.suffix)
    }

    fn set_labels(&self, object: &mut Object) {
        let kind = object.kind().to_owned();
        for labels in &self.labels {
            add_at(&mut object.manifest, "metadata/labels", true, &labels.pairs);
            if labels.selectors || labels.templates {
                for path in template_labels(&kind) {
                    add_at(&mut object.manifest, path, true, &labels.pairs);
                }
            }
            if labels.selectors {
                for (path, create) in selectors(&kind) {
                    add_at(&mut object.manifest, path, *create, &labels.pairs);
                }
            }
        }
        if !self.annotations.is_empty() {
            for path in template_annotations(&kind).iter().chain(&["metadata/annotations"]) {
                add_at(&mut object.manifest, path, true, &self.annotations);
            }
        }
    }

    fn set_flux_metadata(&self, object: &mut Object) {
        for (path, entries) in
            [("metadata/labels", &self.flux_labels), ("metadata/annotations", &self.flux_annotations)]
        {
            if !entries.is_empty() {
                add_at(&mut object.manifest, path, true, entries);
            }
        }
    }
}

/// Whether an entry of `replicas` is for an object.
pub(in crate::snapshot) fn scales(name: &str, object: &Object) -> bool {
    object.was(|id| id.name == name && SCALED.contains(&id.kind.as_str()))
}

fn set_replicas(manifest: &mut Value, count: &Value) -> Result<(), String> {
    let entry = Map::from_iter([("replicas".to_owned(), count.clone())]);
    if count.as_u64().is_none() {
        return Err("an entry of replicas has no number".to_owned());
    }
    add_at(manifest, "spec", true, &entry);
    Ok(())
}

/// Which of a patch's changes are for an object.
///
/// # Errors
/// When that cannot be told.
pub(in crate::snapshot) fn is_for(
    patch: &Patch,
    merge: Option<&Map<String, Value>>,
    object: &Object,
) -> Result<bool, String> {
    match (&patch.target, merge) {
        (Some(target), _) => target.selects(object.first(), &object.id(), &object.manifest),
        (None, Some(merge)) => {
            let wanted = Id::of(&Value::Object(merge.clone()));
            Ok(object.was(|id| id.is(&wanted)))
        }
        (None, None) => Err("a JSON patch has no target".to_owned()),
    }
}

fn patched_by<'a>(patch: &Patch, mut object: Object, texts: Texts<'_, 'a>) -> Result<Option<Object>, String> {
    match patch.content(texts)? {
        Content::Json(operations) => {
            if is_for(patch, None, &object)? {
                object.remember();
                let change = Change::JsonPatch(operations.clone());
                object.manifest = patched(&object.manifest, &change).map_err(|error| error.to_string())?;
            }
        }
        Content::Merge(merges) => {
            for changes in merges {
                if !is_for(patch, Some(changes), &object)? {
                    continue;
                }
                let now = object.id();
                let Some(after) = merge(&object.manifest, &unnamed(changes))? else { return Ok(None) };
                object.manifest = after;
                object.manifest["kind"] = json!(now.kind);
                object.manifest["apiVersion"] = json!(now.api_version);
            }
        }
    }
    Ok(Some(object))
}

/// A patch without what names the object: it changes no names.
fn unnamed(patch: &Map<String, Value>) -> Map<String, Value> {
    let mut patch = patch.clone();
    patch.remove("apiVersion");
    patch.remove("kind");
    if let Some(metadata) = patch.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("name");
        metadata.remove("namespace");
    }
    patch
}

fn set_image(object: &mut Object, image: &Image) {
    if object.kind() == "CustomResourceDefinition" {
        return;
    }
    each_list(&mut object.manifest, &mut |item| {
        if let Some(text) = item.get("image").and_then(Value::as_str)
            && let Some(new) = new_image(text, image)
        {
            item["image"] = json!(new);
        }
    });
    for path in ["spec/volumes/image/reference", "spec/template/spec/volumes/image/reference"] {
        each_at(&mut object.manifest, path, &mut |value| {
            if let Some(new) = value.as_str().and_then(|text| new_image(text, image)) {
                *value = json!(new);
            }
        });
    }
}

/// Hands over each element of whatever is called `containers` or `initContainers`.
fn each_list(value: &mut Value, visit: &mut dyn FnMut(&mut Value)) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| each_list(item, visit)),
        Value::Object(object) => {
            for (key, inner) in object {
                each_list(inner, visit);
                if let (true, Some(items)) =
                    (matches!(key.as_str(), "containers" | "initContainers"), inner.as_array_mut())
                {
                    items.iter_mut().for_each(&mut *visit);
                }
            }
        }
        _ => {}
    }
}

/// An image's new text, if the entry is for it.
fn new_image(text: &str, image: &Image) -> Option<String> {
    let rest = text.strip_prefix(&image.name).filter(|_| !image.name.is_empty())?;
    let (tag, digest) = match rest.split_once('@') {
        Some((tag, digest)) if digest.starts_with("sha256:") => (tag, Some(digest)),
        Some(_) => return None,
        None => (rest, None),
    };
    let tag = match tag.strip_prefix(':') {
        Some(tag) if !tag.contains('/') => Some(tag),
        None if tag.is_empty() => None,
        _ => return None,
    };
    let name = image.new_name.as_deref().unwrap_or(&image.name);
    let (tag, digest) = match (&image.new_tag, &image.digest, &image.tag_suffix) {
        (Some(tag), digest, _) => (Some(tag.clone()), digest.as_deref()),
        (None, Some(digest), _) => (None, Some(digest.as_str())),
        (None, None, Some(suffix)) => (Some(format!("{}{suffix}", tag.unwrap_or_default())), None),
        (None, None, None) => (tag.map(str::to_owned), digest),
    };
    let part = |mark: &str, part: Option<&str>| {
        part.filter(|part| !part.is_empty()).map(|part| format!("{mark}{part}")).unwrap_or_default()
    };
    Some(format!("{name}{}{}", part(":", tag.as_deref()), part("@", digest)))
}
