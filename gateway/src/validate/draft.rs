//! The files as the changes of one proposal leave them, one after the other.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use similar::TextDiff;

use super::{Refusal, Validated, ValidatedChange};
use crate::model::manifest::ObjectRef;
use crate::repository::{FileChange, Located, Snapshot, Working};

/// What has been changed so far: a second change of one object, or of one file, stands on the first.
pub(super) struct Draft<'a> {
    snapshot: &'a Snapshot,
    /// Files by their paths; `None` for one that goes.
    texts: BTreeMap<String, Option<String>>,
    /// Which documents of a file went, as the snapshot counts them.
    deleted: BTreeMap<String, BTreeSet<usize>>,
    manifests: BTreeMap<ObjectRef, Value>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(snapshot: &'a Snapshot) -> Self {
        let (texts, deleted, manifests) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { snapshot, texts, deleted, manifests }
    }

    pub(super) fn snapshot(&self) -> &'a Snapshot {
        self.snapshot
    }

    /// A file's text by now; empty for one that is not there.
    pub(super) fn text(&self, path: &str) -> &str {
        self.now_at(path).unwrap_or_default()
    }

    fn now_at(&self, path: &str) -> Option<&str> {
        match self.texts.get(path) {
            Some(changed) => changed.as_deref(),
            None => self.snapshot.text(path),
        }
    }

    /// Whether there is such a file by now.
    pub(super) fn has(&self, path: &str) -> bool {
        self.now_at(path).is_some()
    }

    /// Which document of its file an object is by now.
    pub(super) fn document(&self, located: &Located) -> usize {
        let before = |deleted: &BTreeSet<usize>| deleted.range(..located.document).count();
        located.document - self.deleted.get(&located.path).map_or(0, before)
    }

    /// Notes that an object went.
    pub(super) fn deleted(&mut self, located: &Located) {
        self.deleted.entry(located.path.clone()).or_default().insert(located.document);
    }

    /// Whether an object went.
    pub(super) fn is_deleted(&self, located: &Located) -> bool {
        self.deleted.get(&located.path).is_some_and(|deleted| deleted.contains(&located.document))
    }

    /// Notes that a file goes.
    pub(super) fn remove(&mut self, path: &str) {
        self.texts.insert(path.to_owned(), None);
    }

    /// An object that was changed or made.
    pub(super) fn manifest(&self, target: &ObjectRef) -> Option<&Value> {
        self.manifests.get(target)
    }

    /// Notes what an object is by now.
    pub(super) fn now(&mut self, target: &ObjectRef, manifest: Value) {
        self.manifests.insert(target.clone(), manifest);
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
        self.texts.insert(path.to_owned(), Some(text));
        Ok(())
    }

    /// The change from the snapshot to here.
    pub(super) fn finish(mut self) -> Validated {
        let snapshot = self.snapshot;
        self.texts.retain(|path, text| snapshot.text(path) != text.as_deref());
        if self.texts.is_empty() {
            return Validated::Unchanged;
        }
        let unified =
            |(path, text): (&String, &Option<String>)| unified(path, snapshot.text(path), text.as_deref());
        let diff = self.texts.iter().map(unified).collect();
        let files = self.texts.into_iter().map(|(path, content)| FileChange { path, content }).collect();
        Validated::Change(ValidatedChange { base: snapshot.commit().clone(), files, diff })
    }
}

impl Working for Draft<'_> {
    fn text(&self, path: &str) -> Option<&str> {
        self.now_at(path)
    }

    fn changed(&self) -> Vec<&str> {
        self.texts.keys().map(String::as_str).collect()
    }

    fn document(&self, path: &str, document: usize) -> Option<usize> {
        let deleted = self.deleted.get(path);
        let is_gone = deleted.is_some_and(|deleted| deleted.contains(&document));
        (!is_gone).then(|| document - deleted.map_or(0, |deleted| deleted.range(..document).count()))
    }
}

fn unified(path: &str, before: Option<&str>, after: Option<&str>) -> String {
    let named = |side: &str, text: Option<&str>| match text {
        Some(_) => format!("{side}/{path}"),
        None => "/dev/null".to_owned(),
    };
    let diff = TextDiff::from_lines(before.unwrap_or_default(), after.unwrap_or_default());
    diff.unified_diff().context_radius(3).header(&named("a", before), &named("b", after)).to_string()
}
