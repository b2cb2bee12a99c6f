//! An object on its way through kustomizations: what it is by now, and what it has been called.

use serde_json::{Map, Value};

use crate::snapshot::index::is_cluster_kind;

/// What an object is called at one step of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::snapshot) struct Id {
    pub(super) api_version: String,
    pub(super) kind: String,
    namespace: Option<String>,
    pub(super) name: String,
}

impl Id {
    pub(super) fn of(manifest: &Value) -> Self {
        let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let kind = text("/kind").to_owned();
        let namespace = Some(text("/metadata/namespace")).filter(|namespace| !namespace.is_empty());
        Self {
            api_version: text("/apiVersion").to_owned(),
            namespace: namespace.filter(|_| !is_cluster_kind(&kind)).map(str::to_owned),
            name: text("/metadata/name").to_owned(),
            kind,
        }
    }

    /// The namespace; one that is not given is `default`, and there is none for kinds without.
    pub(super) fn namespace(&self) -> &str {
        match &self.namespace {
            _ if is_cluster_kind(&self.kind) => "",
            Some(namespace) => namespace,
            None => "default",
        }
    }

    /// Whether both name the same object.
    pub(super) fn is(&self, other: &Self) -> bool {
        (&self.api_version, &self.kind, &self.name) == (&other.api_version, &other.kind, &other.name)
            && self.namespace() == other.namespace()
    }
}

/// Group and version of an `apiVersion`.
pub(super) fn group_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// An object by now.
#[derive(Debug, Clone)]
pub(in crate::snapshot) struct Object {
    pub(in crate::snapshot) manifest: Value,
    /// What it was called before, the first one first; never empty.
    pub(super) ids: Vec<Id>,
}

impl Object {
    pub(in crate::snapshot) fn of(manifest: Value) -> Self {
        let ids = vec![Id::of(&manifest)];
        Self { manifest, ids }
    }

    /// What it is called now.
    pub(super) fn id(&self) -> Id {
        Id::of(&self.manifest)
    }

    pub(super) fn first(&self) -> &Id {
        &self.ids[0]
    }

    /// Keeps what it was called until now.
    pub(super) fn remember(&mut self) {
        let now = self.id();
        if self.ids.last() != Some(&now) {
            self.ids.push(now);
        }
    }

    /// Whether it is, or was, called so.
    pub(super) fn was(&self, test: impl Fn(&Id) -> bool) -> bool {
        self.ids.iter().any(&test) || test(&self.id())
    }

    pub(super) fn kind(&self) -> &str {
        self.manifest.get("kind").and_then(Value::as_str).unwrap_or_default()
    }

    /// Sets a text in `metadata`.
    pub(super) fn set_metadata(&mut self, key: &str, text: &str) {
        if let Some(metadata) = child(&mut self.manifest, "metadata") {
            metadata.insert(key.to_owned(), Value::from(text));
        }
    }
}

/// The object under a key; made where there is none. `None` where something else stands there.
fn child<'a>(value: &'a mut Value, key: &str) -> Option<&'a mut Map<String, Value>> {
    let slot = value.as_object_mut()?.entry(key).or_insert(Value::Null);
    if slot.is_null() {
        *slot = Value::Object(Map::new());
    }
    slot.as_object_mut()
}

/// Hands over what stands at a path like `spec/template/spec`, in each element of the lists on the way.
pub(super) fn each_at(value: &mut Value, path: &str, visit: &mut dyn FnMut(&mut Value)) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| each_at(item, path, visit)),
        _ if path.is_empty() => visit(value),
        Value::Object(object) => {
            let (key, rest) = path.split_once('/').unwrap_or((path, ""));
            if let Some(inner) = object.get_mut(key) {
                each_at(inner, rest, visit);
            }
        }
        _ => {}
    }
}

/// Merges entries into the object at a path. It is made, with all above it, if `create`.
pub(super) fn add_at(value: &mut Value, path: &str, create: bool, entries: &Map<String, Value>) {
    if let Value::Array(items) = value {
        items.iter_mut().for_each(|item| add_at(item, path, create, entries));
        return;
    }
    let Some((key, rest)) =
        path.split_once('/').map_or_else(|| (!path.is_empty()).then_some((path, "")), Some)
    else {
        if let Some(object) = value.as_object_mut() {
            object.extend(entries.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        return;
    };
    // `key[]` is a list, and a list is never made.
    let (key, is_list) = key.strip_suffix("[]").map_or((key, false), |key| (key, true));
    let Some(object) = value.as_object_mut() else { return };
    if create && !is_list && object.get(key).is_none_or(Value::is_null) {
        object.insert(key.to_owned(), Value::Object(Map::new()));
    }
    if let Some(inner) = object.get_mut(key) {
        add_at(inner, rest, create, entries);
    }
}
