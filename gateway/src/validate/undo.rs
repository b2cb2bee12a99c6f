//! Takes back what a proposal did: on today's objects, by its fields, and never what others did since.
//!
//! Here a change says what takes it back, and here that is done. No grant of a plugin is asked, because
//! the host itself puts back what was there; the guardrails hold all the same.

use serde_json::{Value, json};

use super::{Draft, Refusal, Rules, change, check_object, delete};
use crate::edit::{EditError, Place, list_item, section, with, without, written};
use crate::model::manifest::ObjectRef;
use crate::model::patch::{Change, Changes, Patch};
use crate::model::plugin::Grants;
use crate::model::text::cut;
use crate::model::undo::{Fields, Lost, ObjectUndo, Undo};
use crate::snapshot::{LookupError, Snapshot, listed_again, listings};

/// The longest of a value that a reason tells, in bytes.
const VALUE_BYTES_MAX: usize = 128;

/// What an object was before a proposal.
pub(super) struct Before {
    target: ObjectRef,
    manifest: Option<Value>,
    /// What is lost with it, where the proposal deletes it.
    lost: Option<Lost>,
}

/// The objects of a proposal, as they are before it.
pub(super) fn before(draft: &Draft<'_>, changes: &Changes) -> Vec<Before> {
    let mut found: Vec<Before> = Vec::new();
    for Patch { target, .. } in &changes.patches {
        if found.iter().all(|before| before.target != *target) {
            let manifest = draft.is_by_now(target);
            found.push(Before { target: target.clone(), manifest, lost: None });
        }
    }
    found
}

/// Notes what is lost with an object that goes now: what went before it is put back after it.
pub(super) fn losing(before: &mut [Before], draft: &Draft<'_>, target: &ObjectRef) {
    let found = before.iter_mut().find(|before| before.target == *target && before.lost.is_none());
    if let Some(Before { manifest: Some(manifest), lost, .. }) = found {
        *lost = lost_with(draft, target, manifest);
    }
}

fn lost_with(draft: &Draft<'_>, target: &ObjectRef, manifest: &Value) -> Option<Lost> {
    let located = draft.snapshot().locate(target).ok()?;
    let (place, path) = (draft.place(&located), located.path);
    let (whole_text, manifest) = (draft.text(&path), manifest.clone());
    let whole = matches!(without(whole_text, place), Ok(None));
    let (text, item) = match list_item::taken(whole_text, place) {
        _ if whole => (whole_text.to_owned(), None),
        Some((text, item)) => (text, Some(Box::new(item))),
        // The last item goes with its list.
        None => (section(whole_text, place.document)?.to_owned(), None),
    };
    let listers = draft.snapshot().listers_of(&path);
    let listed = listers.into_iter().filter(|_| whole).flat_map(|(kustomization, folder)| {
        listings(draft.text(kustomization), kustomization, folder, &path)
    });
    let listed = listed.collect();
    Some(Lost { manifest, path, text, item, whole, listed })
}

/// What takes the proposal back, where `now` is what its objects are after it. The last one comes first.
pub(super) fn of(before: Vec<Before>, now: impl Fn(&ObjectRef) -> Option<Value>) -> Vec<ObjectUndo> {
    let undo = |Before { target, manifest, lost }: Before| {
        let undo = match (manifest, now(&target)) {
            (None, Some(manifest)) => Undo::Created { manifest },
            (Some(_), None) => Undo::Deleted(lost?),
            (Some(before), Some(after)) => {
                let fields = Fields::between(&before, &after);
                (!fields.is_empty()).then_some(Undo::Changed(fields))?
            }
            (None, None) => return None,
        };
        Some(ObjectUndo { target, undo })
    };
    before.into_iter().rev().filter_map(undo).collect()
}

/// What takes a proposal back that was made between two commits, the only one there.
#[must_use]
pub fn undo_between(changes: &Changes, base: &Snapshot, commit: &Snapshot) -> Vec<ObjectUndo> {
    let mut draft = Draft::new(base);
    let mut before = before(&draft, changes);
    for Patch { target, .. } in changes.patches.iter().filter(|patch| patch.change == Change::Delete {}) {
        losing(&mut before, &draft, target);
        if let Ok(located) = base.locate(target).as_ref()
            && !draft.is_deleted(located)
        {
            // It went in that commit; what cannot be told of the next one then is left as it was.
            let _is_told = delete::remove(&mut draft, target, located).is_ok();
        }
    }
    of(before, |target| commit.manifest(target))
}

/// Whether an object is as it was before, in a desired state.
#[must_use]
pub fn is_back(undone: &ObjectUndo, snapshot: &Snapshot) -> bool {
    let ObjectUndo { target, undo } = undone;
    match (undo, snapshot.locate(target)) {
        (Undo::Changed(fields), Ok(located)) => fields.are_back(&located.manifest),
        (Undo::Created { .. }, Err(LookupError::Unknown)) => snapshot.may_have(target).is_none(),
        (Undo::Deleted(lost), Ok(located)) => located.manifest == lost.manifest,
        _ => false,
    }
}

/// Drafts the object as it was before. What it returns is as somebody has made it since, and was left
/// alone.
pub(super) fn undo(
    draft: &mut Draft<'_>,
    rules: &Rules<'_>,
    target: &ObjectRef,
    undo: &Undo,
) -> Result<Vec<Refusal>, Vec<Refusal>> {
    let own = Grants {
        kinds: vec![format!("{}/{}", target.api_version, target.kind)],
        namespaces: vec!["*".to_owned()],
        // The root, and so all that is below it.
        fields: vec![String::new()],
        create: true,
        delete: true,
        ..Grants::default()
    };
    let rules = Rules { grants: &own, ..*rules };
    match undo {
        Undo::Changed(fields) => put_back(draft, &rules, target, fields),
        Undo::Created { manifest } => take_away(draft, &rules, target, manifest),
        Undo::Deleted(lost) => restore(draft, &rules, target, lost),
    }
}

fn put_back(
    draft: &mut Draft<'_>,
    rules: &Rules<'_>,
    target: &ObjectRef,
    fields: &Fields,
) -> Result<Vec<Refusal>, Vec<Refusal>> {
    let Some(now) = draft.is_by_now(target) else {
        let error = draft.snapshot().locate(target).err().unwrap_or(LookupError::Unknown);
        return Err(vec![Refusal::Lookup { target: target.clone(), error }]);
    };
    let (back, since) = fields.taken_back(&now);
    let since = since
        .into_iter()
        .map(|field| changed_since(target, &field.at.to_string(), field.after.as_ref(), field.of(&now)));
    let since = since.collect();
    if back != now {
        // The same way as a plugin's patch: what may not be changed or would be no valid object is refused.
        let operation = json!([{ "op": "replace", "path": "", "value": back }]);
        change(draft, rules, &Patch { target: target.clone(), change: Change::JsonPatch(operation) })?;
    }
    Ok(since)
}

fn take_away(
    draft: &mut Draft<'_>,
    rules: &Rules<'_>,
    target: &ObjectRef,
    made: &Value,
) -> Result<Vec<Refusal>, Vec<Refusal>> {
    let placed = |manifest: &Value| {
        let mut placed = manifest.clone();
        if let Some(metadata) = placed.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("namespace".to_owned(), json!(target.namespace));
        }
        placed
    };
    if let Some(now) = draft.is_by_now(target) {
        // Kustomize may give it its namespace.
        let (made, now) = (placed(made), placed(&now));
        let changed = Fields::between(&made, &now).fields;
        if !changed.is_empty() {
            let told = changed.iter().map(|field| {
                changed_since(target, &field.at.to_string(), field.before.as_ref(), field.after.as_ref())
            });
            return Ok(told.collect());
        }
    }
    delete::delete(draft, rules, target)?;
    Ok(Vec::new())
}

fn restore(
    draft: &mut Draft<'_>,
    rules: &Rules<'_>,
    target: &ObjectRef,
    lost: &Lost,
) -> Result<Vec<Refusal>, Vec<Refusal>> {
    let refuse = |reason: String| vec![Refusal::Restore { target: target.clone(), reason }];
    let reasons = check_object(rules, target);
    if !reasons.is_empty() {
        return Err(reasons);
    }
    match draft.snapshot().locate(target) {
        Ok(located) if located.manifest == lost.manifest => return Ok(Vec::new()),
        Ok(_) => {
            let found = Refusal::ChangedSince {
                target: target.clone(),
                what: "the object".to_owned(),
                expected: "deleted".to_owned(),
                found: "there again, and another one".to_owned(),
            };
            return Ok(vec![found]);
        }
        Err(LookupError::Unknown) => {}
        Err(error) => return Err(vec![Refusal::Lookup { target: target.clone(), error }]),
    }
    // It stood there as it is, so nothing is asked of its schema.
    let path = lost.path.as_str();
    if draft.has(path) {
        let (text, item) =
            completed(draft.text(path), lost).map_err(|error| refuse(format!("{path}: {error}")))?;
        draft.put(path, text)?;
        if let Some(place) = item {
            draft.came(path, place);
        }
    } else if lost.whole {
        draft.put(path, lost.text.clone())?;
    } else {
        return Err(refuse(format!("its file {path} is gone")));
    }
    for listing in &lost.listed {
        let kustomization = listing.kustomization.as_str();
        if !draft.has(kustomization) {
            return Err(refuse(format!("{kustomization}, which listed its file, is gone")));
        }
        let text = listed_again(draft.text(kustomization), listing);
        let text = text.map_err(|error| refuse(format!("{kustomization} cannot list it: {error}")))?;
        draft.put(kustomization, text)?;
    }
    draft.now(target, lost.manifest.clone());
    Ok(Vec::new())
}

/// A file with what it has lost; where, if that is in a list.
fn completed(text: &str, lost: &Lost) -> Result<(String, Option<Place>), EditError> {
    let Some(item) = &lost.item else { return Ok((with(text, &lost.text)?, None)) };
    Ok(match list_item::put_back(text, &lost.text, item)? {
        Some((text, place)) => (text, Some(place)),
        // Its list is gone.
        None => (with(text, &written(&item.manifest)?)?, None),
    })
}

fn changed_since(target: &ObjectRef, what: &str, expected: Option<&Value>, found: Option<&Value>) -> Refusal {
    let told = |value: Option<&Value>| {
        value.map_or_else(|| "nothing".to_owned(), |value| cut(value.to_string(), VALUE_BYTES_MAX))
    };
    let (expected, found) = (told(expected), told(found));
    Refusal::ChangedSince { target: target.clone(), what: what.to_owned(), expected, found }
}
