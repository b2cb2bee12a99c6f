//! Kustomizations: what each says, what it makes of an object, and what it needs to be built.
//!
//! Which of them a file goes through is told in `overlay`. The namespace is what grants and protected
//! namespaces are checked against, so it is never guessed.

mod fields;
mod layer;
mod merge;
mod names;
mod object;
mod selector;
mod transform;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::index::{Indexed, speaks_of};
use crate::edit::{EditError, edit, read};
use crate::model::manifest::ObjectRef;
use crate::model::undo::Listing;

pub(super) use fields::SCALED;
pub(super) use layer::{At, Content, Layer, Patch, Text};
pub(super) use names::Names;
pub(super) use object::Object;
pub(super) use transform::{Texts, is_for, scales};

/// The names that kustomize reads.
const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// The keys under which a kustomization includes files and folders.
const INCLUDES: [&str; 3] = ["resources", "bases", "components"];

/// What a kustomization does to the objects it includes.
#[derive(Debug, Default)]
struct Kustomization {
    path: String,
    /// Paths of files and folders, from the root of the repository.
    includes: BTreeSet<String>,
    /// Every other text in it: of patches, generators, replacements.
    others: Vec<String>,
    /// The kinds and names of objects that have to be there.
    needs: Vec<(String, String)>,
}

/// The kustomizations of one commit, by their folders.
#[derive(Debug, Default)]
pub(super) struct Kustomizations {
    by_folder: BTreeMap<String, Kustomization>,
    /// Which folders' kustomizations include a file or folder.
    includers: BTreeMap<String, Vec<String>>,
}

/// Whether a file of that name is a kustomization.
pub(crate) fn is_kustomization(name: &str) -> bool {
    NAMES.contains(&name)
}

impl Kustomizations {
    /// Reads those among the files.
    pub(super) fn read<'a>(files: impl Iterator<Item = &'a Indexed>) -> Self {
        let mut all = Self::default();
        for indexed in files {
            let file = &indexed.source;
            let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
            let manifest = indexed.entries().first().and_then(|entry| entry.kustomization.as_deref());
            if let (true, Some(manifest)) = (is_kustomization(name), manifest) {
                let found = Kustomization::read(&file.path, folder, manifest);
                for included in &found.includes {
                    all.includers.entry(included.clone()).or_default().push(folder.to_owned());
                }
                all.by_folder.insert(folder.to_owned(), found);
            }
        }
        all
    }

    /// Whether the kustomization of a file's own folder does not list it.
    pub(super) fn leaves_out(&self, path: &str) -> bool {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let own = self.by_folder.get(folder).filter(|_| !is_kustomization(name));
        own.is_some_and(|own| !own.includes.contains(path))
    }

    /// The kustomization that lists a file, and its folder; `None` if none does.
    ///
    /// # Errors
    /// When several do: a new file beside this one would have to be listed in all of them.
    pub(super) fn lister_of(&self, path: &str) -> Result<Option<(&str, &str)>, String> {
        match self.listers_of(path)[..] {
            [] => Ok(None),
            [lister] => Ok(Some(lister)),
            ref several => Err(format!("{} kustomizations list {path}", several.len())),
        }
    }

    /// The kustomizations that list a file, each with its folder.
    pub(super) fn listers_of(&self, path: &str) -> Vec<(&str, &str)> {
        let folders = self.includers.get(path).map(Vec::as_slice).unwrap_or_default();
        let listers = folders.iter().filter_map(|folder| Some((self.by_folder.get(folder)?, folder)));
        listers.map(|(found, folder)| (found.path.as_str(), folder.as_str())).collect()
    }

    /// Whether what is built from a file can still be built without one of its objects.
    ///
    /// A patch without its object fails the build, and with it everything that is applied together.
    ///
    /// # Errors
    /// Which kustomization needs the object.
    pub(super) fn can_lose_object<'a>(
        &self,
        target: &ObjectRef,
        path: &str,
        text_of: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<(), String> {
        let speaks = |text: &str| speaks_of(text, &target.kind, &target.name);
        for folder in self.above(path) {
            let Some(above) = self.by_folder.get(folder) else { continue };
            let needs = above.needs.iter().any(|(kind, name)| *kind == target.kind && *name == target.name);
            let patches = |text: &String| {
                let file = joined(folder, text).filter(|file| file != path);
                speaks(text) || file.and_then(|file| text_of(&file)).is_some_and(speaks)
            };
            if needs || above.others.iter().any(patches) {
                return Err(format!(
                    "{} needs it, to change it or to copy from it: take that out first",
                    above.path
                ));
            }
        }
        Ok(())
    }

    /// Whether no kustomization names a file elsewhere than under what it includes.
    ///
    /// # Errors
    /// Which one does.
    pub(super) fn can_lose_file(&self, path: &str) -> Result<(), String> {
        let named = |folder: &str, text: &str| joined(folder, text).is_some_and(|named| named == path);
        let names = |(folder, found): &(&String, &Kustomization)| {
            let mut others = found.others.iter();
            others.any(|text| {
                named(folder, text) || text.split_once('=').is_some_and(|(_, file)| named(folder, file))
            })
        };
        match self.by_folder.iter().find(names) {
            Some((_, found)) => Err(format!("{} names its file {path}, and not as a resource", found.path)),
            None => Ok(()),
        }
    }

    /// The folders of the kustomizations that include a file, near and far.
    fn above(&self, path: &str) -> BTreeSet<&str> {
        let (mut found, mut open) = (BTreeSet::new(), vec![path]);
        while let Some(included) = open.pop() {
            for folder in self.includers.get(included).into_iter().flatten() {
                if found.insert(folder.as_str()) {
                    open.push(folder);
                }
            }
        }
        found
    }
}

impl Kustomization {
    fn read(path: &str, folder: &str, manifest: &Value) -> Self {
        let includes = included(folder, manifest, &INCLUDES).into_iter().collect();
        let mut found = Self { path: path.to_owned(), includes, ..Self::default() };
        let rest = manifest.as_object().into_iter().flatten();
        for (key, value) in rest.filter(|(key, _)| !INCLUDES.contains(&key.as_str())) {
            // The target of a patch selects: it may match nothing.
            found.add(value, key != "patches");
        }
        let scaled = manifest.get("replicas").and_then(Value::as_array).into_iter().flatten();
        for name in scaled.filter_map(|entry| entry.get("name")?.as_str()) {
            found.needs.extend(SCALED.map(|kind| (kind.to_owned(), name.to_owned())));
        }
        found
    }

    fn add(&mut self, value: &Value, needs: bool) {
        match value {
            Value::String(text) => self.others.push(text.clone()),
            Value::Array(items) => items.iter().for_each(|item| self.add(item, needs)),
            Value::Object(object) => {
                let text = |key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
                if let (true, Some(kind), Some(name)) = (needs, text("kind"), text("name")) {
                    self.needs.push((kind, name));
                }
                object.values().for_each(|value| self.add(value, needs));
            }
            _ => {}
        }
    }
}

/// The text of the kustomization of a folder without a file that it includes.
///
/// # Errors
/// When the text cannot be edited so.
pub fn unlisted(text: &str, folder: &str, path: &str) -> Result<String, EditError> {
    let mut manifest = read(text)?.into_iter().next().unwrap_or_default();
    for key in INCLUDES {
        if let Some(listed) = manifest.get_mut(key).and_then(Value::as_array_mut) {
            let is_it =
                |item: &Value| item.as_str().and_then(|item| joined(folder, item)).as_deref() == Some(path);
            listed.retain(|item| !is_it(item));
        }
    }
    edit(text, 0, &manifest)
}

/// Where the text of a kustomization includes a file, seen from its folder.
#[must_use]
pub fn listings(text: &str, kustomization: &str, folder: &str, path: &str) -> Vec<Listing> {
    let manifest = read(text).unwrap_or_default().into_iter().next().unwrap_or_default();
    let mut found = Vec::new();
    for key in INCLUDES {
        let items = manifest.get(key).and_then(Value::as_array).into_iter().flatten().enumerate();
        for (index, item) in items.filter_map(|(index, item)| Some((index, item.as_str()?))) {
            if joined(folder, item).as_deref() == Some(path) {
                let (kustomization, key, item) = (kustomization.to_owned(), key.to_owned(), item.to_owned());
                found.push(Listing { kustomization, key, index, item });
            }
        }
    }
    found
}

/// The text of a kustomization with a file in the place where it was listed.
///
/// # Errors
/// When the text cannot be edited so.
pub fn listed_again(text: &str, listing: &Listing) -> Result<String, EditError> {
    let mut manifest = read(text)?.into_iter().next().unwrap_or_default();
    let unlike = || EditError::Unsupported(format!("its {} are no list", listing.key));
    let items = manifest.as_object_mut().ok_or_else(unlike)?.entry(&listing.key).or_insert_with(|| json!([]));
    let items = items.as_array_mut().ok_or_else(unlike)?;
    let item = Value::from(listing.item.as_str());
    if !items.contains(&item) {
        items.insert(listing.index.min(items.len()), item);
    }
    edit(text, 0, &manifest)
}

/// What a kustomization includes under these keys, from the root of the repository.
fn included(folder: &str, said: &Value, keys: &[&str]) -> Vec<String> {
    let texts = |key: &&str| {
        let items = said.get(*key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        items.iter().filter_map(Value::as_str)
    };
    keys.iter().flat_map(texts).filter_map(|path| joined(folder, path)).collect()
}

/// Whether objects of a kind get no prefix and no suffix.
pub(super) fn keeps_its_name(kind: &str) -> bool {
    transform::UNPREFIXED.contains(&kind)
}

/// A path as seen from a folder; `None` for what is not in the repository.
pub(super) fn joined(folder: &str, path: &str) -> Option<String> {
    if path.contains("://") || path.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}
