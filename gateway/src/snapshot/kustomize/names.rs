//! References that follow the names kustomize gives: a ConfigMap's prefix is in the pods that mount it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::fields::{OF_OTHERS, OF_PODS, UNFOLLOWED, pod_spec};
use super::layer::Layer;
use super::object::{Object, each_at};

/// Root, kind and what an object was once called.
type Key = (usize, String, String);
/// Namespace and name.
type Called = (Option<String>, String);

/// What the objects are called whose names a root changes.
#[derive(Debug, Default)]
pub(in crate::snapshot) struct Names(BTreeMap<Key, BTreeSet<Called>>);

impl Names {
    /// Notes an object and all that it was called; the last one is what it is called now.
    pub(in crate::snapshot) fn add(
        &mut self,
        root: usize,
        kind: &str,
        namespace: Option<&str>,
        names: &[String],
    ) {
        let Some(now) = names.last() else { return };
        for name in names {
            let called = (namespace.map(str::to_owned), now.clone());
            self.0.entry((root, kind.to_owned(), name.clone())).or_default().insert(called);
        }
    }

    /// Writes the new names into an object of that root. What of it is not certain, as paths without the
    /// numbers of list elements, each with the reason.
    ///
    /// # Errors
    /// When a name could be several.
    pub(in crate::snapshot) fn follow(
        &self,
        root: usize,
        layers: &[&Layer],
        object: &mut Object,
    ) -> Result<Vec<(String, String)>, String> {
        let renames = layers.iter().any(|layer| layer.changes_names());
        let generated: Vec<_> = layers.iter().flat_map(|layer| &layer.generated).collect();
        if !renames && generated.is_empty() {
            return Ok(Vec::new());
        }
        let kind = object.kind().to_owned();
        let namespace = object.id().namespace().to_owned();
        let own = OF_OTHERS.iter().filter(|(_, holder, _)| *holder == kind);
        let mut places: Vec<(&str, String)> =
            own.map(|(named, _, path)| (*named, (*path).to_owned())).collect();
        if let Some(spec) = pod_spec(&kind) {
            places.extend(OF_PODS.iter().map(|(named, path)| (*named, format!("{spec}/{path}"))));
        }
        let (mut doubts, mut several) = (Vec::new(), None);
        for (named, path) in places {
            // A target and a role say themselves of what kind they are.
            let said = path.rsplit_once('/').map(|(above, _)| format!("/{above}/kind"));
            let said = said.and_then(|said| object.manifest.pointer(&said)?.as_str().map(str::to_owned));
            if said.is_some_and(|said| said != named) {
                continue;
            }
            let mut is_generated = false;
            each_at(&mut object.manifest, &path, &mut |value| {
                let Some(name) = value.as_str() else { return };
                is_generated |= generated.iter().any(|(kind, generated)| *kind == named && generated == name);
                let found = self.0.get(&(root, named.to_owned(), name.to_owned()));
                let here = |called: &&Called| called.0.as_deref().is_none_or(|own| own == namespace);
                let found: BTreeSet<&String> =
                    found.into_iter().flatten().filter(here).map(|(_, name)| name).collect();
                match found.len() {
                    0 => {}
                    1 => *value = found.first().map_or(Value::Null, |name| json!(name)),
                    _ => several = Some(format!("{named} {name}, which it names, could be several objects")),
                }
            });
            if is_generated {
                doubts.push((path.clone(), format!("it names a {named} that a kustomization generates")));
            }
        }
        for (_, field) in UNFOLLOWED.iter().filter(|(holder, _)| renames && *holder == kind) {
            doubts.push(((*field).to_owned(), "kustomize follows names in it".to_owned()));
        }
        several.map_or(Ok(doubts), Err)
    }
}
