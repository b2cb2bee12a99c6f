//! The files as the changes of one proposal leave them, one after the other.

use std::collections::BTreeMap;

use serde_json::Value;
use similar::TextDiff;

use super::{Refusal, Validated, ValidatedChange};
use crate::model::manifest::ObjectRef;
use crate::repository::{FileChange, Snapshot};

/// What has been changed so far: a second change of one object, or of one file, stands on the first.
pub(super) struct Draft<'a> {
    snapshot: &'a Snapshot,
    texts: BTreeMap<String, String>,
    manifests: BTreeMap<ObjectRef, Value>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, texts: BTreeMap::new(), manifests: BTreeMap::new() }
    }

    pub(super) fn snapshot(&self) -> &'a Snapshot {
        self.snapshot
    }

    /// A file's text by now; empty for one that is not there.
    pub(super) fn text(&self, path: &str) -> &str {
        let changed = self.texts.get(path).map(String::as_str);
        changed.or_else(|| self.snapshot.text(path)).unwrap_or_default()
    }

    /// Whether there is such a file by now.
    pub(super) fn has(&self, path: &str) -> bool {
        self.texts.contains_key(path) || self.snapshot.text(path).is_some()
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
        self.texts.insert(path.to_owned(), text);
        Ok(())
    }

    /// The change from the snapshot to here.
    pub(super) fn finish(mut self) -> Validated {
        let snapshot = self.snapshot;
        self.texts.retain(|path, text| snapshot.text(path) != Some(text.as_str()));
        if self.texts.is_empty() {
            return Validated::Unchanged;
        }
        let diff = self.texts.iter().map(|(path, text)| unified(path, snapshot.text(path), text)).collect();
        let files = self
            .texts
            .into_iter()
            .map(|(path, content)| FileChange { path, content: Some(content) })
            .collect();
        Validated::Change(ValidatedChange { base: snapshot.commit().clone(), files, diff })
    }
}

fn unified(path: &str, before: Option<&str>, after: &str) -> String {
    let old = before.map_or("/dev/null".to_owned(), |_| format!("a/{path}"));
    let diff = TextDiff::from_lines(before.unwrap_or_default(), after);
    diff.unified_diff().context_radius(3).header(&old, &format!("b/{path}")).to_string()
}
