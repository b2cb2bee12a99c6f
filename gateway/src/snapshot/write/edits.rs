//! Edits of several places of several files, one after the other.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Files, Working};
use crate::edit::Place;
use crate::edit::{EditError, edit, read};
use crate::snapshot::kustomize::{At, Patch, Text};

/// Changes what stands at a place.
pub(super) type Change<'c> = &'c dyn Fn(&mut Value) -> Result<(), String>;

/// The files that have been changed.
#[derive(Clone)]
pub(super) struct Edits<'a> {
    working: &'a dyn Working,
    files: Files,
}

impl<'a> Edits<'a> {
    pub(super) fn new(working: &'a dyn Working) -> Self {
        Self { working, files: BTreeMap::new() }
    }

    fn text(&self, path: &str) -> &str {
        self.files.get(path).map(String::as_str).or_else(|| self.working.text(path)).unwrap_or_default()
    }

    /// Changes the value at a place.
    pub(super) fn change(&mut self, at: &At, change: Change<'_>) -> Result<(), EditError> {
        let mut document = read(self.text(&at.path))?.into_iter().nth(at.document).unwrap_or_default();
        let value = document.pointer_mut(&at.pointer);
        let value = value.ok_or_else(|| EditError::Overlay(format!("{} has no {}", at.path, at.pointer)))?;
        change(value).map_err(EditError::Overlay)?;
        self.replace(&at.path, at.document, &document)
    }

    /// Makes a document of a file, or an item of a list, what it shall be.
    pub(super) fn replace(
        &mut self,
        path: &str,
        place: impl Into<Place>,
        after: &Value,
    ) -> Result<(), EditError> {
        let text = edit(self.text(path), place, after)?;
        self.files.insert(path.to_owned(), text);
        Ok(())
    }

    /// Changes a document of a patch, wherever its text is.
    pub(super) fn patch(
        &mut self,
        patch: &Patch,
        document: usize,
        change: Change<'_>,
    ) -> Result<(), EditError> {
        let changed = |text: &str| {
            // Documents that say nothing are no patches.
            let documents = read(text)?;
            let mut said = documents.iter().enumerate().filter(|(_, said)| !said.is_null());
            let (index, said) =
                said.nth(document).ok_or_else(|| EditError::Overlay("a patch is gone".to_owned()))?;
            let mut after = said.clone();
            change(&mut after).map_err(EditError::Overlay)?;
            edit(text, index, &after)
        };
        match &patch.text {
            Text::File(path) => {
                let text = changed(self.text(path))?;
                self.files.insert(path.clone(), text);
                Ok(())
            }
            Text::Inline(at, _) => {
                let documents = read(self.text(&at.path))?;
                let inline = documents.get(at.document).and_then(|said| said.pointer(&at.pointer)?.as_str());
                let text = changed(inline.unwrap_or_default())?;
                self.change(at, &|value| {
                    *value = Value::from(text.as_str());
                    Ok(())
                })
            }
        }
    }

    pub(super) fn into_files(self) -> Files {
        self.files
    }
}
