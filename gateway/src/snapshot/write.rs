//! Where a change of an object is written, so that its own cluster gets it and no other object changes.
//!
//! Where a kustomization sets a field, that place is edited; else the manifest, if one root alone has it;
//! else the outermost kustomization of the root gets a new entry. Whatever was written is computed again
//! for every object that could be touched: nothing is taken on trust.

mod change;
mod edits;
mod setter;
mod verify;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use self::change::{Changed, changed, mapped, overlaps, removed, set};
use self::edits::Edits;
use self::setter::{Setter, setter};
use super::content::Content;
use super::effective::VARIABLE;
use super::kustomize::{At, Names, Object, SCALED};
use super::overlay::{Overlays, Placement};
use super::{Located, Snapshot};
use crate::edit::Place;
use crate::edit::{EditError, written};
use crate::model::manifest::ObjectRef;

/// The files as the changes so far have left them.
pub trait Working {
    /// The text of a file by now.
    fn text(&self, path: &str) -> Option<&str>;
    /// The files that are not as in the snapshot.
    fn changed(&self) -> Vec<&str>;
    /// Where in its file an object stands by now; `None` when it is gone.
    fn place(&self, path: &str, place: Place) -> Option<Place>;
}

/// Files by their paths.
pub type Files = BTreeMap<String, String>;

/// Where a new file goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// The folder, without `/` at its end.
    pub folder: String,
    /// The kustomization that has to list it, and that one's folder.
    pub lister: Option<(String, String)>,
}

/// All that a way of writing needs to know.
struct Task<'a> {
    content: &'a Content,
    overlays: Overlays,
    working: &'a dyn Working,
    located: &'a Located,
    place: Place,
    before: &'a Value,
    after: &'a Value,
    changes: Vec<Changed>,
}

impl Snapshot {
    /// The files whose new texts make an object what it shall be.
    ///
    /// `before` is what it is by now, as [`Located::manifest`] has it or an earlier change.
    ///
    /// # Errors
    /// Why that cannot be written.
    pub fn write(
        &self,
        located: &Located,
        before: &Value,
        after: &Value,
        working: &dyn Working,
    ) -> Result<Files, EditError> {
        let cannot = |reason: String| EditError::Overlay(reason);
        let changes = changed(before, after);
        if changes.is_empty() {
            return Ok(Files::new());
        }
        check_certain(located, &changes).map_err(cannot)?;
        let texts = |path: &str| working.text(path);
        let touched: BTreeSet<&str> = working.changed().into_iter().collect();
        let overlays = self.content.overlays.moved(&|path, place| working.place(path, place));
        let overlays = overlays.reread(&touched, &texts).map_err(cannot)?;
        let place = working.place(&located.path, located.place());
        let place = place.ok_or_else(|| cannot("the object is gone".to_owned()))?;
        let content = &self.content;
        let task = Task { content, overlays, working, located, place, before, after, changes };
        task.write()
    }

    /// Where a new object goes that shall stand beside another one: that one's folder, or if other roots
    /// apply that too, the folder of the outermost kustomization.
    ///
    /// # Errors
    /// When kustomizations would make another object of it, or no place is its root's alone.
    pub fn home(&self, beside: &Located, target: &ObjectRef, manifest: &Value) -> Result<Home, String> {
        let overlays = &self.content.overlays;
        let placement = &beside.placements[0];
        let shared = self.is_its_own(beside);
        let (home, layers) = match (&shared, placement.layers.last()) {
            (Ok(()), _) => {
                let lister =
                    self.lister_of(&beside.path)?.map(|(path, folder)| (path.to_owned(), folder.to_owned()));
                let folder = super::overlay::split(&beside.path).0.to_owned();
                (Home { folder, lister }, placement.layers.clone())
            }
            (Err(reason), Some(outermost)) if beside.placements.len() == 1 => {
                let file = overlays.file_of_one(*outermost).ok_or_else(|| reason.clone())?;
                let folder = overlays.steps[*outermost].layer.folder.clone();
                (Home { folder: folder.clone(), lister: Some((file.to_owned(), folder)) }, vec![*outermost])
            }
            (Err(reason), _) => return Err(reason.clone()),
        };
        let through = Placement { root: placement.root, layers };
        let texts = |path: &str| self.text(path);
        let made = overlays.effective(&through, manifest.clone(), &self.content.names, &texts)?;
        if made.is_some_and(|made| made.is(target)) {
            return Ok(home);
        }
        let root = &overlays.roots[placement.root].name;
        Err(format!("{root} would give it another name or namespace, or take it away"))
    }

    /// Whether roots other than an object's own apply the document that it stands in.
    ///
    /// # Errors
    /// Which ones.
    pub fn is_its_own(&self, located: &Located) -> Result<(), String> {
        let others = self.content.others(located);
        match others.first() {
            None => Ok(()),
            Some(root) => Err(format!("{} is shared: {root} applies it too", located.path)),
        }
    }
}

impl Content {
    /// The roots that apply the same document, and are not those of the object.
    fn others(&self, located: &Located) -> Vec<&str> {
        let all = self.overlays.placements(&located.path).unwrap_or_default();
        let others = all.iter().filter(|placement| !located.placements.contains(placement));
        let others = others.map(|placement| self.overlays.roots[placement.root].name.as_str());
        let unknown = self.overlays.left_out.get(&located.path).map(|_| "a root that cannot be followed");
        others.chain(unknown).collect()
    }
}

/// Fields of which nobody here knows what the cluster has are left alone.
fn check_certain(located: &Located, changes: &[Changed]) -> Result<(), String> {
    for change in changes {
        let doubts = located.effective.doubts.iter();
        if let Some((field, reason)) = doubts.into_iter().find(|(field, _)| overlaps(&change.steps, field)) {
            return Err(format!("{field} is not certain: {reason}"));
        }
        let has_variable =
            |value: &Option<Value>| value.as_ref().is_some_and(|value| value.to_string().contains(VARIABLE));
        if located.effective.substitutes && (has_variable(&change.old) || has_variable(&change.new)) {
            return Err(format!("Flux replaces variables in {} (postBuild)", change.pointer()));
        }
    }
    Ok(())
}

impl Task<'_> {
    fn placement(&self) -> &Placement {
        &self.located.placements[0]
    }

    fn names(&self) -> &Names {
        &self.content.names
    }

    /// The manifest as its file has it by now.
    fn base(&self) -> Result<Value, EditError> {
        let text = self.working.text(&self.located.path).unwrap_or_default();
        let documents = crate::edit::read(text)?;
        let found = self.place.find(&documents).cloned();
        found.ok_or_else(|| EditError::Unreadable("the document is gone".to_owned()))
    }

    fn write(&self) -> Result<Files, EditError> {
        let base = self.base()?;
        let others = self.content.others(self.located);
        let shared = format!("{} is shared with {}", self.located.path, others.join(", "));
        let (edits, of_new) = self.in_place(&base, others.is_empty())?;
        let first = if of_new.is_empty() {
            let files = edits.into_files();
            self.verify(&files).map(|()| files)
        } else {
            self.write_new(&edits, &of_new, &base, &shared).map_err(|error| error.to_string())
        };
        let has_overlay = !self.placement().layers.is_empty();
        match first {
            Ok(files) => Ok(files),
            // What sets the field is not this object's alone, or does not decide.
            Err(reason) if has_overlay && of_new.len() < self.changes.len() => {
                let all: Vec<&Changed> = self.changes.iter().collect();
                self.write_new(&Edits::new(self.working), &all, &base, &reason)
            }
            Err(reason) => Err(EditError::Overlay(reason)),
        }
    }

    /// Edits what sets each field; what nothing sets is handed back, unless the manifest is the root's alone.
    fn in_place(&self, base: &Value, is_own: bool) -> Result<(Edits<'_>, Vec<&Changed>), EditError> {
        let mut edits = Edits::new(self.working);
        let (mut of_base, mut of_new) = (Vec::new(), Vec::new());
        for change in &self.changes {
            match setter(self, change).map_err(EditError::Overlay)? {
                Some(Setter::Replicas(at)) => {
                    let count = change.new.clone().unwrap_or(Value::Null);
                    edits.change(&at, &|entry| {
                        entry["count"] = count.clone();
                        Ok(())
                    })?;
                }
                Some(Setter::Patch { patch, document, steps }) => {
                    edits.patch(&patch, document, &|said| set(said, &steps, change.new.as_ref()))?;
                }
                Some(Setter::Operation { patch, index, steps }) => {
                    let value = change.new.clone().ok_or_else(|| {
                        EditError::Overlay(format!("a JSON patch sets {}, which shall go", change.pointer()))
                    })?;
                    edits.patch(&patch, 0, &|said| {
                        let operation = said.get_mut(index).and_then(|operation| operation.get_mut("value"));
                        set(operation.ok_or("the operation is gone")?, &steps, Some(&value))
                    })?;
                }
                None if is_own => of_base.push(change),
                None => of_new.push(change),
            }
        }
        if !of_base.is_empty() {
            let mut now = base.clone();
            for change in of_base {
                let steps = mapped(self.before, base, &change.steps).ok_or_else(|| self.elsewhere(change))?;
                set(&mut now, &steps, change.new.as_ref()).map_err(EditError::Overlay)?;
            }
            edits.replace(&self.located.path, self.place, &now)?;
        }
        Ok((edits, of_new))
    }

    fn elsewhere(&self, change: &Changed) -> EditError {
        EditError::Overlay(format!("{} does not come from {}", change.pointer(), self.located.path))
    }

    /// The outermost kustomization of the root gets new entries. `why` no other place does.
    fn write_new(
        &self,
        edits: &Edits<'_>,
        changes: &[&Changed],
        base: &Value,
        why: &str,
    ) -> Result<Files, EditError> {
        if let Some(change) = changes.iter().find(|change| removed(change.old.as_ref(), change.new.as_ref()))
        {
            let pointer = change.pointer();
            return Err(EditError::Overlay(format!(
                "{why}, and a patch that takes elements out of a list, {pointer}, is not written"
            )));
        }
        if self.located.placements.len() > 1 {
            return Err(EditError::Overlay(format!("{why}, and several roots apply the object")));
        }
        let texts = |path: &str| self.working.text(path);
        let object = self.overlays.before_last(self.placement(), base.clone(), &texts);
        let object = object
            .map_err(EditError::Overlay)?
            .ok_or_else(|| EditError::Overlay("a kustomization takes it away".to_owned()))?;
        let mut reason = format!("{why}, and no kustomization is this root's alone");
        for at in self.homes() {
            for entry in self.entries(&object, changes)? {
                let mut edits = edits.clone();
                let added = edits.change(&at, &|said| push(said, entry.key, &entry.value));
                let files = edits.into_files();
                match added.map_err(|error| error.to_string()).and_then(|()| self.verify(&files)) {
                    Ok(()) => return Ok(files),
                    Err(failed) => reason = format!("{why}; {}: {failed}", at.path),
                }
            }
        }
        Err(EditError::Overlay(reason))
    }

    /// Where new entries can go: the kustomization's own file, if no other root has it, then Flux' object.
    fn homes(&self) -> Vec<At> {
        let Some(outermost) = self.placement().layers.last() else { return Vec::new() };
        let step = &self.overlays.steps[*outermost];
        let own = self.overlays.file_of_one(*outermost).map(|file| super::overlay::at(file, 0, ""));
        own.into_iter().chain(step.flux.clone()).collect()
    }

    /// Ways to say the changes in a kustomization, the plainest first.
    fn entries(&self, object: &Object, changes: &[&Changed]) -> Result<Vec<NewEntry>, EditError> {
        let text = |pointer: &str| object.manifest.pointer(pointer).and_then(Value::as_str);
        let (kind, name) = (text("/kind").unwrap_or_default(), text("/metadata/name").unwrap_or_default());
        let mut found = Vec::new();
        if let [change] = changes
            && change.pointer() == "/spec/replicas"
            && SCALED.contains(&kind)
            && let Some(count) = change.new.as_ref().filter(|count| count.is_u64())
            && !self.is_in_flux()
        {
            found.push(NewEntry { key: "replicas", value: json!({ "name": name, "count": count }) });
        }
        let mut targets = vec![json!({ "kind": kind, "name": name })];
        if let Some(namespace) = text("/metadata/namespace") {
            targets.push(json!({ "kind": kind, "name": name, "namespace": namespace }));
        }
        let mut patches = Vec::new();
        let mut merge = Map::new();
        for key in ["apiVersion", "kind"] {
            merge.insert(key.to_owned(), object.manifest[key].clone());
        }
        merge.insert("metadata".to_owned(), json!({ "name": name }));
        let mut merge = Value::Object(merge);
        if changes.iter().all(|change| change::merge_into(&mut merge, self.before, change)) {
            patches.push(written(&merge)?);
        }
        if let Some(operations) = change::operations(&object.manifest, self.before, changes) {
            patches.push(change::listed(&operations)?);
        }
        for patch in patches {
            for target in &targets {
                let value = json!({ "patch": patch, "target": target });
                found.push(NewEntry { key: "patches", value });
            }
        }
        Ok(found)
    }

    /// Whether only Flux' object can take new entries, and it has no `replicas`.
    fn is_in_flux(&self) -> bool {
        self.homes().first().is_none_or(|at| !at.pointer.is_empty())
    }
}

/// What is added to a list of a kustomization.
struct NewEntry {
    key: &'static str,
    value: Value,
}

fn push(said: &mut Value, key: &str, value: &Value) -> Result<(), String> {
    let object = said.as_object_mut().ok_or("it is no mapping")?;
    let list = object.entry(key).or_insert_with(|| json!([]));
    if list.is_null() {
        *list = json!([]);
    }
    list.as_array_mut().ok_or_else(|| format!("{key} is no list"))?.push(value.clone());
    Ok(())
}
