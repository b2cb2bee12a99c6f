//! What in a root's kustomizations sets a field of an object: the last one that does.

use serde_json::Value;

use super::Task;
use super::change::{Changed, mapped, pointer};
use crate::snapshot::kustomize::{At, Content, Object, Patch, is_for, scales};

/// A place that sets a field.
pub(super) enum Setter {
    /// An entry of `replicas`.
    Replicas(At),
    /// A field of a strategic merge patch, in one of its documents.
    Patch { patch: Patch, document: usize, steps: Vec<String> },
    /// An operation of a JSON Patch, and what in its value.
    Operation { patch: Patch, index: usize, steps: Vec<String> },
}

/// What sets the changed field after the manifest itself; `None` if nothing does.
///
/// # Errors
/// When something does that is not edited.
pub(super) fn setter(task: &Task<'_>, change: &Changed) -> Result<Option<Setter>, String> {
    let object = &task.located.effective.object;
    for step in task.placement().layers.iter().rev() {
        let layer = &task.overlays.steps[*step].layer;
        let replicas = layer.replicas.iter().rev().find(|entry| scales(&entry.name, object));
        if let Some(entry) = replicas.filter(|_| change.pointer() == "/spec/replicas") {
            return Ok(Some(Setter::Replicas(entry.at.clone())));
        }
        for patch in layer.all_patches().rev() {
            if let Some(found) = in_patch(task, patch, object, change)
                .map_err(|said| format!("{}: {said}", patch.file().unwrap_or(&layer.path)))?
            {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

fn in_patch(
    task: &Task<'_>,
    patch: &Patch,
    object: &Object,
    change: &Changed,
) -> Result<Option<Setter>, String> {
    let texts = |path: &str| task.working.text(path);
    match patch.content(&texts)? {
        Content::Json(operations) => {
            if !is_for(patch, None, object)? {
                return Ok(None);
            }
            let operations = operations.as_array().map(Vec::as_slice).unwrap_or_default();
            for (index, operation) in operations.iter().enumerate().rev() {
                if let Some(steps) = in_operation(operation, change)? {
                    return Ok(Some(Setter::Operation { patch: patch.clone(), index, steps }));
                }
            }
            Ok(None)
        }
        Content::Merge(merges) => {
            for (document, merge) in merges.iter().enumerate().rev() {
                if !is_for(patch, Some(merge), object)? {
                    continue;
                }
                let merge = Value::Object(merge.clone());
                let steps = mapped(task.before, &merge, &change.steps);
                let Some(steps) = steps.filter(|steps| reaches(&merge, steps)) else { continue };
                return Ok(Some(Setter::Patch { patch: patch.clone(), document, steps }));
            }
            Ok(None)
        }
    }
}

/// Whether something stands where steps lead to, or something plain on the way.
fn reaches(value: &Value, steps: &[String]) -> bool {
    match steps.split_first() {
        None => true,
        Some((step, rest)) => match value {
            Value::Object(object) => object.get(step).is_some_and(|inner| reaches(inner, rest)),
            Value::Array(items) => {
                let index = step.parse::<usize>().ok();
                index.and_then(|index| items.get(index)).is_some_and(|inner| reaches(inner, rest))
            }
            _ => true,
        },
    }
}

/// Whether an operation sets the field; and then what in its value.
fn in_operation(operation: &Value, change: &Changed) -> Result<Option<Vec<String>>, String> {
    let text = |key: &str| operation.get(key).and_then(Value::as_str).unwrap_or_default();
    let (path, field) = (text("path"), change.pointer());
    let below = |path: &str, above: &str| {
        path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let from = text("from");
    if !below(&field, path) && !below(path, &field) && (from.is_empty() || !below(&field, from)) {
        return Ok(None);
    }
    match text("op") {
        "test" => Ok(None),
        "add" | "replace" if below(&field, path) => {
            let depth = path.matches('/').count();
            let (above, rest) = change.steps.split_at(depth.min(change.steps.len()));
            let value = operation.get("value").unwrap_or(&Value::Null);
            if pointer(above) != path || !reaches(value, rest) {
                return Ok(None);
            }
            Ok(Some(rest.to_vec()))
        }
        op => Err(format!("the operation {op} of {path} touches {field}, and is not edited")),
    }
}
