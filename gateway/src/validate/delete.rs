//! An object goes: its document from its file, or the file, and its line in each kustomization.
//!
//! What is not there is gone already. Whatever would leave a kustomization that cannot be built, or
//! what may be there unseen, is refused. Other documents keep every byte.

use super::{Draft, Refusal, Rules, check_object, grant, protects_itself};
use crate::edit::{read, without};
use crate::model::manifest::ObjectRef;
use crate::model::patch::{Change, Changes};
use crate::snapshot::{Located, LookupError, unlisted};

/// Whether a proposal deletes the object.
pub(super) fn deletes(changes: &Changes, target: &ObjectRef) -> bool {
    let deletes = |change: &Change| matches!(change, Change::Delete {});
    changes.patches.iter().any(|patch| patch.target == *target && deletes(&patch.change))
}

/// Drafts the file without the object.
pub(super) fn delete(
    draft: &mut Draft<'_>,
    rules: &Rules<'_>,
    target: &ObjectRef,
) -> Result<(), Vec<Refusal>> {
    let refusal = |reason: String| Refusal::Delete { target: target.clone(), reason };
    let mut reasons = check_object(rules, target);
    if !rules.grants.delete {
        reasons.push(Refusal::DeleteGrant { target: target.clone() });
    }
    let snapshot = draft.snapshot();
    let found = match snapshot.locate(target) {
        Ok(located) => {
            reasons.extend(grant::check_labels(rules.grants, target, &located.manifest));
            reasons.extend(grant::check_path(rules.grants, target, &located.path));
            reasons.extend(protects_itself(target, &located.manifest));
            reasons.extend(snapshot.is_its_own(&located).err().map(refusal));
            reasons.extend(snapshot.can_lose_object(target, &located).err().map(refusal));
            Some(located)
        }
        Err(LookupError::Unknown) => {
            reasons.extend(draft.manifest(target).and(draft.taken(target)));
            let may_have = snapshot.may_have(target);
            reasons.extend(
                may_have
                    .map(|(path, reason)| refusal(format!("{path} may have it, and is left out: {reason}"))),
            );
            None
        }
        Err(error) => {
            reasons.push(Refusal::Lookup { target: target.clone(), error });
            None
        }
    };
    match found {
        _ if !reasons.is_empty() => Err(reasons),
        Some(located) if !draft.is_deleted(&located) => remove(draft, target, &located),
        _ => Ok(()),
    }
}

/// Drafts its file without the object, or without the file.
pub(super) fn remove(
    draft: &mut Draft<'_>,
    target: &ObjectRef,
    located: &Located,
) -> Result<(), Vec<Refusal>> {
    let refuse = |reason: String| vec![Refusal::Delete { target: target.clone(), reason }];
    let path = located.path.as_str();
    let edit_refused = |error| vec![Refusal::Edit { target: target.clone(), path: path.to_owned(), error }];
    let before = draft.text(path);
    let count = |text: &str| read(text).map_or(0, |documents| documents.len());
    let left = without(before, draft.place(located)).map_err(edit_refused)?;
    let with_document = left.as_deref().is_none_or(|left| count(left) < count(before));
    match left {
        Some(text) => draft.put(path, text)?,
        None => {
            let snapshot = draft.snapshot();
            snapshot.can_lose_file(path).map_err(refuse)?;
            for (kustomization, folder) in snapshot.listers_of(path) {
                let text = unlisted(draft.text(kustomization), folder, path);
                let cannot =
                    |error| refuse(format!("{kustomization} cannot be made to not list it: {error}"));
                draft.put(kustomization, text.map_err(cannot)?)?;
            }
            draft.remove(path);
        }
    }
    draft.deleted(target, located, with_document);
    Ok(())
}
