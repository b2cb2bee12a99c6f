//! What a plugin may change, and whether the result is a valid object: only from here comes a
//! [`ValidatedChange`].
//!
//! All reasons against a proposal are collected and given at once. Nothing here writes.

mod claim;
mod create;
mod custom;
mod definition;
mod delete;
mod draft;
mod dry_run;
mod grant;
mod guardrail;
mod refusal;
mod schema;
mod semantics;
mod undo;

use serde_json::Value;

pub use claim::Claims;
pub use custom::{Config, DefinitionError};
pub use draft::Draft;
pub use dry_run::{DryRun, DryRunConfig, DryRunError};
pub use grant::not_granted;
use guardrail::protects_itself;
pub use guardrail::{Guardrails, ObjectPattern, Window};
pub use refusal::{Refusal, Refusals};
pub use schema::{KubernetesVersion, Schemas, UnknownVersion};
pub use undo::{is_back, undo_between};

use crate::edit::EditError;
use crate::edit::{differences, patched};
use crate::model::manifest::{CommitSha, ObjectRef};
use crate::model::patch::{Change, Changes, Patch};
use crate::model::plugin::Grants;
use crate::model::undo::ObjectUndo;
use crate::repository::FileChange;
use crate::snapshot::{Located, Snapshot};

/// What became of a proposal that is allowed.
#[derive(Debug)]
pub enum Validated {
    /// The desired state already is as proposed.
    Unchanged,
    /// This is to be committed.
    Change(ValidatedChange),
}

/// A change that may be committed on its base.
#[derive(Debug)]
pub struct ValidatedChange {
    base: CommitSha,
    files: Vec<FileChange>,
    objects: Vec<(ObjectRef, Value)>,
    diff: String,
}

impl ValidatedChange {
    /// The commit that the change was made for.
    #[must_use]
    pub fn base(&self) -> &CommitSha {
        &self.base
    }

    /// Every file that changes, whole.
    #[must_use]
    pub fn files(&self) -> &[FileChange] {
        &self.files
    }

    /// Every object that is changed or made, as it is to be.
    #[must_use]
    pub fn objects(&self) -> &[(ObjectRef, Value)] {
        &self.objects
    }

    /// The change as a unified diff.
    #[must_use]
    pub fn diff(&self) -> &str {
        &self.diff
    }
}

/// What one of several proposals changes.
#[derive(Debug, Clone)]
pub struct Piece {
    diff: String,
    objects: Vec<(ObjectRef, Value)>,
    undo: Vec<ObjectUndo>,
    left: Vec<Refusal>,
}

impl Piece {
    /// The change as a unified diff, on top of the proposals before it.
    #[must_use]
    pub fn diff(&self) -> &str {
        &self.diff
    }

    /// Every object that it changes or makes, as it is to be.
    #[must_use]
    pub fn objects(&self) -> &[(ObjectRef, Value)] {
        &self.objects
    }

    /// What takes it back, an object each.
    #[must_use]
    pub fn undo(&self) -> &[ObjectUndo] {
        &self.undo
    }

    /// What was left alone because somebody has changed it since.
    #[must_use]
    pub fn left(&self) -> &[Refusal] {
        &self.left
    }
}

/// What a proposal is held against.
struct Rules<'a> {
    grants: &'a Grants,
    guardrails: &'a Guardrails,
    schemas: &'a Schemas,
    snapshot: &'a Snapshot,
}

/// Checks a proposal's changes against the snapshot, and makes the new texts.
///
/// # Errors
/// Every reason why it is refused.
pub fn validate(
    changes: &Changes,
    grants: &Grants,
    guardrails: &Guardrails,
    schemas: &Schemas,
    snapshot: &Snapshot,
) -> Result<Validated, Refusals> {
    let mut draft = Draft::new(snapshot);
    if add(&mut draft, changes, grants, guardrails, schemas)?.is_some() {
        draft.accept("");
    }
    Ok(draft.finish())
}

/// Checks a proposal's changes against what the draft has come to, and makes the new texts, which are
/// the draft's once it is told to accept them; `None` when there is nothing to change.
///
/// What the proposal's cluster has counts: [`Draft::see`] says which one that is.
///
/// # Errors
/// Every reason why it is refused: one is that it would undo what an earlier proposal does.
pub fn add(
    draft: &mut Draft<'_>,
    changes: &Changes,
    grants: &Grants,
    guardrails: &Guardrails,
    schemas: &Schemas,
) -> Result<Option<Piece>, Refusals> {
    let rules = Rules { grants, guardrails, schemas, snapshot: draft.snapshot() };
    draft.begin();
    let mut before = undo::before(draft, changes);
    let (mut refusals, mut left) = (Vec::new(), Vec::new());
    for patch in &changes.patches {
        let drafted = match &patch.change {
            Change::Delete {} => {
                undo::losing(&mut before, draft, &patch.target);
                delete::delete(draft, &rules, &patch.target)
            }
            _ if delete::deletes(changes, &patch.target) => {
                let reason = "another patch of the proposal deletes it".to_owned();
                Err(vec![Refusal::Delete { target: patch.target.clone(), reason }])
            }
            Change::Create { manifest, beside } => {
                create::create(draft, &rules, &patch.target, manifest, beside)
            }
            Change::JsonPatch(_) | Change::MergePatch(_) | Change::StrategicMergePatch(_) => {
                change(draft, &rules, patch)
            }
            Change::Undo { undo, leave_touched } => {
                undo::undo(draft, &rules, &patch.target, undo).and_then(|touched| {
                    if *leave_touched || touched.is_empty() {
                        left.extend(touched);
                        return Ok(());
                    }
                    Err(touched)
                })
            }
        };
        refusals.extend(drafted.err().unwrap_or_default());
    }
    let piece = if refusals.is_empty() { draft.piece() } else { Err(refusals) };
    match piece.map_err(Refusals::ranked)? {
        Some(piece) => {
            let undo = undo::of(before, |target| draft.is_by_now(target));
            Ok(Some(Piece { undo, left, ..piece }))
        }
        // Nothing could be taken back but what was left alone.
        None => Refusals::new(left).map_or(Ok(None), Err),
    }
}

/// Changes an object that is there.
fn change(draft: &mut Draft<'_>, rules: &Rules<'_>, patch: &Patch) -> Result<(), Vec<Refusal>> {
    let target = &patch.target;
    let (located, reasons) = allowed(target, rules, draft.snapshot())?;
    if draft.is_deleted(&located) {
        let gone = || Refusal::Delete { target: target.clone(), reason: "it is deleted".to_owned() };
        return Err(vec![draft.taken(target).unwrap_or_else(gone)]);
    }
    let before = draft.manifest(target).unwrap_or(&located.manifest);
    let after = apply(patch, &located, before, rules, reasons)?;
    let files = draft.snapshot().write(&located, before, &after, draft);
    let files = files.map_err(|error| vec![edit_refused(target, &located, error)])?;
    let ungranted: Vec<Refusal> =
        files.keys().filter_map(|path| grant::check_path(rules.grants, target, path)).collect();
    if !ungranted.is_empty() {
        return Err(ungranted);
    }
    for (path, text) in files {
        draft.put(&path, text)?;
    }
    draft.now(target, after);
    Ok(())
}

fn edit_refused(target: &ObjectRef, located: &Located, error: EditError) -> Refusal {
    Refusal::Edit { target: target.clone(), path: located.path.clone(), error }
}

/// What the grants and the guardrails say of an object as a whole.
fn check_object(rules: &Rules<'_>, target: &ObjectRef) -> Vec<Refusal> {
    let mut reasons = grant::check_object(rules.grants, target);
    reasons.extend(rules.guardrails.check_object(target));
    reasons
}

/// Where the object stands, and the guardrails against a change of it. What is not granted ends here:
/// what else is wrong with the object after a change would tell what is in it.
fn allowed(
    target: &ObjectRef,
    rules: &Rules<'_>,
    snapshot: &Snapshot,
) -> Result<(Located, Vec<Refusal>), Vec<Refusal>> {
    let mut granted = grant::check_object(rules.grants, target);
    let mut guarded: Vec<Refusal> = rules.guardrails.check_object(target).into_iter().collect();
    match snapshot.locate(target) {
        Ok(located) => {
            granted.extend(grant::check_labels(rules.grants, target, &located.manifest));
            granted.extend(grant::check_path(rules.grants, target, &located.path));
            guarded.extend(protects_itself(target, &located.manifest));
            if granted.is_empty() {
                return Ok((located, guarded));
            }
        }
        Err(error) => guarded.push(Refusal::Lookup { target: target.clone(), error }),
    }
    granted.extend(guarded);
    Err(granted)
}

/// The manifest after the patch; `reasons` are those that are known already.
fn apply(
    patch: &Patch,
    located: &Located,
    before: &Value,
    rules: &Rules<'_>,
    mut reasons: Vec<Refusal>,
) -> Result<Value, Vec<Refusal>> {
    let target = &patch.target;
    let drafted = patched(before, &patch.change).and_then(|after| Ok((differences(before, &after)?, after)));
    let (changed, after) = match drafted {
        Ok(drafted) => drafted,
        Err(error) => {
            reasons.push(edit_refused(target, located, error));
            return Err(reasons);
        }
    };
    reasons.extend(grant::check_fields(rules.grants, target, &changed));
    reasons.extend(identity(target, before, &after));
    if !changed.is_empty() {
        reasons.extend(rules.schemas.check(rules.snapshot, target, Some(before), &after));
        reasons.extend(semantics::check(target, Some(before), &after));
    }
    if reasons.is_empty() { Ok(after) } else { Err(reasons) }
}

/// A patch changes an object; it never makes another one of it.
fn identity(target: &ObjectRef, before: &Value, after: &Value) -> Option<Refusal> {
    const IDENTITY: [&str; 7] = [
        "/apiVersion",
        "/kind",
        "/metadata/name",
        "/metadata/namespace",
        "/metadata/generateName",
        "/metadata/uid",
        "/metadata/ownerReferences",
    ];
    let field = IDENTITY.iter().find(|field| before.pointer(field) != after.pointer(field))?;
    Some(Refusal::Identity { target: target.clone(), field })
}
