//! The files as the changes of the proposals so far leave them, one after the other.
//!
//! A proposal's changes are kept apart until it is accepted: all of them or none. What was accepted is
//! what the next proposal stands on, and what it may not undo.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use similar::TextDiff;

use super::claim::{Claims, Object};
use super::{Piece, Refusal, Validated, ValidatedChange};
use crate::edit::Place;
use crate::model::manifest::ObjectRef;
use crate::repository::FileChange;
use crate::snapshot::{Located, Snapshot, Working};

/// What has been changed so far: a second change of one object, or of one file, stands on the first.
#[derive(Debug)]
pub struct Draft<'a> {
    /// As the cluster has it that the proposal is for. The texts are the same for all.
    snapshot: &'a Snapshot,
    accepted: Layer,
    /// Of the proposal that is being looked at.
    own: Layer,
    claims: Claims,
}

/// Changes, by what they change.
#[derive(Debug, Default)]
struct Layer {
    /// Files by their paths; `None` for one that goes.
    texts: BTreeMap<String, Option<String>>,
    /// What went of a file, as the snapshot counts.
    deleted: BTreeMap<String, BTreeSet<Place>>,
    /// Items that came into a list: each before what stands there, as the snapshot counts.
    came: BTreeMap<String, Vec<Place>>,
    /// Objects as they are by now; `None` for one that went.
    objects: BTreeMap<Object, Option<Value>>,
}

impl<'a> Draft<'a> {
    /// Nothing is changed yet.
    #[must_use]
    pub fn new(snapshot: &'a Snapshot) -> Self {
        Self::after(snapshot, Claims::default())
    }

    /// Nothing is changed yet, and what earlier proposals have done is in the snapshot: it may not be
    /// undone.
    #[must_use]
    pub fn after(snapshot: &'a Snapshot, claims: Claims) -> Self {
        Self { snapshot, accepted: Layer::default(), own: Layer::default(), claims }
    }

    /// The next proposal is for the cluster of this view of the same commit.
    pub fn see(&mut self, view: &'a Snapshot) {
        self.snapshot = view;
    }

    /// An object of the cluster.
    fn of_cluster(&self, target: &ObjectRef) -> Object {
        (self.snapshot.cluster().map(str::to_owned), target.clone())
    }

    /// What the accepted proposals have done, without the files.
    #[must_use]
    pub fn into_claims(self) -> Claims {
        self.claims
    }

    /// Whether no proposal was accepted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.accepted.texts.is_empty()
    }

    /// Accepts what the last proposal has changed. `by` names it to whom it stands in the way.
    pub fn accept(&mut self, by: &str) {
        let own = std::mem::take(&mut self.own);
        for (object, after) in &own.objects {
            self.claims.add(object, self.accepted_object(object).as_ref(), after.as_ref(), by);
        }
        self.accepted.texts.extend(own.texts);
        self.accepted.objects.extend(own.objects);
        for (path, documents) in own.deleted {
            self.accepted.deleted.entry(path).or_default().extend(documents);
        }
        for (path, items) in own.came {
            self.accepted.came.entry(path).or_default().extend(items);
        }
    }

    /// Forgets what was changed and not accepted.
    pub(super) fn begin(&mut self) {
        self.own = Layer::default();
    }

    /// What the proposal changes; `None` if that is nothing.
    ///
    /// # Errors
    /// Everything by which it would undo what an earlier one does.
    pub(super) fn piece(&mut self) -> Result<Option<Piece>, Vec<Refusal>> {
        let mut texts = std::mem::take(&mut self.own.texts);
        texts.retain(|path, text| self.accepted_text(path) != text.as_deref());
        if texts.is_empty() {
            return Ok(None);
        }
        let objects = self.own.objects.iter();
        let conflicts: Vec<Refusal> =
            objects.filter_map(|(object, after)| self.claims.undone(object, after.as_ref())).collect();
        if !conflicts.is_empty() {
            return Err(conflicts);
        }
        let diff = |(path, after): (&String, &Option<String>)| {
            unified(path, self.accepted_text(path), after.as_deref())
        };
        let diff = texts.iter().map(diff).collect();
        let objects = there(self.own.objects.clone());
        let piece = Piece { diff, objects, undo: Vec::new(), left: Vec::new() };
        self.own.texts = texts;
        Ok(Some(piece))
    }

    pub(super) fn snapshot(&self) -> &'a Snapshot {
        self.snapshot
    }

    /// A file's text by now; empty for one that is not there.
    pub(super) fn text(&self, path: &str) -> &str {
        self.now_at(path).unwrap_or_default()
    }

    fn now_at(&self, path: &str) -> Option<&str> {
        match self.own.texts.get(path) {
            Some(changed) => changed.as_deref(),
            None => self.accepted_text(path),
        }
    }

    fn accepted_text(&self, path: &str) -> Option<&str> {
        match self.accepted.texts.get(path) {
            Some(changed) => changed.as_deref(),
            None => self.snapshot.text(path),
        }
    }

    fn accepted_object(&self, object: &Object) -> Option<Value> {
        match self.accepted.objects.get(object) {
            Some(changed) => changed.clone(),
            None => self.snapshot.locate(&object.1).ok().map(|located| located.manifest),
        }
    }

    /// Whether there is such a file by now.
    pub(super) fn has(&self, path: &str) -> bool {
        self.now_at(path).is_some()
    }

    /// Where in its file an object stands by now.
    pub(super) fn place(&self, located: &Located) -> Place {
        self.place_of(&located.path, located.place())
    }

    fn place_of(&self, path: &str, place: Place) -> Place {
        let gone = |fits: &dyn Fn(&&Place) -> bool| {
            let of_layer = |layer: &Layer| {
                layer.deleted.get(path).map_or(0, |deleted| deleted.iter().filter(fits).count())
            };
            of_layer(&self.accepted) + of_layer(&self.own)
        };
        let documents = gone(&|other| other.item.is_none() && other.document < place.document);
        let items = gone(&|other| {
            other.document == place.document && other.item.is_some() && other.item < place.item
        });
        let is_before = |other: &&Place| other.document == place.document && other.item <= place.item;
        let came = [&self.accepted, &self.own]
            .map(|layer| layer.came.get(path).map_or(0, |came| came.iter().filter(is_before).count()));
        let item = place.item.map(|item| item - items + came[0] + came[1]);
        Place { document: place.document - documents, item }
    }

    /// Notes that an item came into a list, where it stands by now.
    pub(super) fn came(&mut self, path: &str, place: Place) {
        let is_document = |document: &usize| {
            let at = Place::from(*document);
            !self.is_gone(path, at) && self.place_of(path, at).document == place.document
        };
        let document = (0..).find(is_document).unwrap_or_default();
        let at = |item: usize| Place { document, item: Some(item) };
        let item = (0..).find(|item| self.place_of(path, at(*item)).item >= place.item).unwrap_or_default();
        self.own.came.entry(path.to_owned()).or_default().push(at(item));
    }

    /// Notes that an object went, and with the last item of a list its document.
    pub(super) fn deleted(&mut self, target: &ObjectRef, located: &Located, with_document: bool) {
        let deleted = self.own.deleted.entry(located.path.clone()).or_default();
        deleted.insert(located.place());
        if with_document {
            deleted.insert(located.document.into());
        }
        self.own.objects.insert(self.of_cluster(target), None);
    }

    /// Whether an object went.
    pub(super) fn is_deleted(&self, located: &Located) -> bool {
        self.is_gone(&located.path, located.place())
    }

    fn is_gone(&self, path: &str, place: Place) -> bool {
        let in_layer =
            |layer: &Layer| layer.deleted.get(path).is_some_and(|deleted| deleted.contains(&place));
        in_layer(&self.accepted) || in_layer(&self.own)
    }

    /// Why an object is not what the snapshot says, if an earlier proposal makes or deletes it.
    pub(super) fn taken(&self, target: &ObjectRef) -> Option<Refusal> {
        self.claims.whole(&self.of_cluster(target))
    }

    /// What an object is by now, if it is there.
    pub(super) fn is_by_now(&self, target: &ObjectRef) -> Option<Value> {
        let object = self.of_cluster(target);
        self.own.objects.get(&object).cloned().unwrap_or_else(|| self.accepted_object(&object))
    }

    /// Notes that a file goes.
    pub(super) fn remove(&mut self, path: &str) {
        self.own.texts.insert(path.to_owned(), None);
    }

    /// An object that was changed or made.
    pub(super) fn manifest(&self, target: &ObjectRef) -> Option<&Value> {
        let object = self.of_cluster(target);
        self.own.objects.get(&object).or_else(|| self.accepted.objects.get(&object))?.as_ref()
    }

    /// Notes what an object is by now.
    pub(super) fn now(&mut self, target: &ObjectRef, manifest: Value) {
        self.own.objects.insert(self.of_cluster(target), Some(manifest));
    }

    /// Notes what a file is by now.
    ///
    /// # Errors
    /// When it could not be read again.
    pub(super) fn put(&mut self, path: &str, text: String) -> Result<(), Vec<Refusal>> {
        let file_bytes_max = self.snapshot.file_bytes_max();
        if text.len() > file_bytes_max {
            return Err(vec![Refusal::TooLarge { path: path.to_owned(), file_bytes_max }]);
        }
        self.own.texts.insert(path.to_owned(), Some(text));
        Ok(())
    }

    /// The change from the snapshot to what was accepted.
    #[must_use]
    pub fn finish(self) -> Validated {
        let (snapshot, mut texts) = (self.snapshot, self.accepted.texts);
        texts.retain(|path, text| snapshot.text(path) != text.as_deref());
        if texts.is_empty() {
            return Validated::Unchanged;
        }
        let unified =
            |(path, text): (&String, &Option<String>)| unified(path, snapshot.text(path), text.as_deref());
        let diff = texts.iter().map(unified).collect();
        let files = texts.into_iter().map(|(path, content)| FileChange { path, content }).collect();
        let objects = there(self.accepted.objects);
        Validated::Change(ValidatedChange { base: snapshot.commit().clone(), files, objects, diff })
    }
}

impl Working for Draft<'_> {
    fn text(&self, path: &str) -> Option<&str> {
        self.now_at(path)
    }

    fn changed(&self) -> Vec<&str> {
        self.accepted.texts.keys().chain(self.own.texts.keys()).map(String::as_str).collect()
    }

    fn place(&self, path: &str, place: Place) -> Option<Place> {
        (!self.is_gone(path, place)).then(|| self.place_of(path, place))
    }
}

/// Objects that are not gone.
fn there(objects: BTreeMap<Object, Option<Value>>) -> Vec<(ObjectRef, Value)> {
    objects.into_iter().filter_map(|((_, target), manifest)| Some((target, manifest?))).collect()
}

fn unified(path: &str, before: Option<&str>, after: Option<&str>) -> String {
    let named = |side: &str, text: Option<&str>| match text {
        Some(_) => format!("{side}/{path}"),
        None => "/dev/null".to_owned(),
    };
    let diff = TextDiff::from_lines(before.unwrap_or_default(), after.unwrap_or_default());
    diff.unified_diff().context_radius(3).header(&named("a", before), &named("b", after)).to_string()
}
