//! What a patch makes of a manifest, and where the two differ, within limits.
//!
//! A patch is written by a stranger. Thirty copies that double each time, or moves that put a value
//! into a value without end, are a few lines that ask for all of the memory or all of the stack; a
//! long name above many fields asks for both names together, once a field. Here a patch costs what
//! its length allows. Nothing here reads or writes a text.

use json_patch::{Patch, PatchOperation};
use serde_json::Value;

use super::EditError;
use super::strategic::strategic_merge;
use super::yaml::DEPTH_MAX;
use crate::model::patch::Change;

/// Operations of one JSON Patch.
const OPERATIONS_MAX: usize = 1_000;
/// What the copies of one JSON Patch may add, in bytes of their JSON.
const COPIED_BYTES_MAX: usize = 1 << 20;
/// All paths that one patch changes, in bytes: each is held against the grants.
const PATHS_BYTES_MAX: usize = 1 << 20;

/// What a patch makes of a manifest.
///
/// # Errors
/// When an operation does not apply, a `test` fails, or the result would be beyond a limit.
pub fn patched(manifest: &Value, change: &Change) -> Result<Value, EditError> {
    let mut after = manifest.clone();
    match change {
        Change::MergePatch(object) => json_patch::merge(&mut after, object),
        Change::StrategicMergePatch(object) => after = strategic_merge(manifest, object)?,
        Change::JsonPatch(operations) => operate(&mut after, operations)?,
        Change::Create { .. } => return Err(EditError::Patch("the object is there already".to_owned())),
        Change::Delete {} => return Err(EditError::Patch("a deletion leaves no manifest".to_owned())),
        Change::Undo { .. } => return Err(EditError::Patch("what it takes back is no patch".to_owned())),
    }
    if is_deeper(&after, DEPTH_MAX) {
        return Err(too_deep());
    }
    Ok(after)
}

fn too_deep() -> EditError {
    EditError::Patch(format!("the result would be nested deeper than {DEPTH_MAX} levels"))
}

fn operate(after: &mut Value, operations: &Value) -> Result<(), EditError> {
    let count = operations.as_array().map_or(0, Vec::len);
    if count > OPERATIONS_MAX {
        return Err(EditError::Patch(format!("it has {count} operations, and {OPERATIONS_MAX} is the most")));
    }
    let patch: Patch =
        serde_json::from_value(operations.clone()).map_err(|error| EditError::Patch(error.to_string()))?;
    let mut copied_bytes = 0;
    for (number, operation) in patch.0.iter().enumerate() {
        check_growth(after, operation, &mut copied_bytes)?;
        json_patch::patch(after, std::slice::from_ref(operation)).map_err(|error| {
            EditError::Patch(format!(
                "operation {number} failed at {:?}: {}",
                error.path.as_str(),
                error.kind
            ))
        })?;
    }
    Ok(())
}

/// Whether an operation may be made: what it copies is counted, and no step of it is deeper than a
/// file can be.
fn check_growth(now: &Value, operation: &PatchOperation, copied_bytes: &mut usize) -> Result<(), EditError> {
    let (value, path) = match operation {
        PatchOperation::Add(add) => (Some(&add.value), &add.path),
        PatchOperation::Replace(replace) => (Some(&replace.value), &replace.path),
        PatchOperation::Move(moved) => (now.pointer(moved.from.as_str()), &moved.path),
        PatchOperation::Copy(copy) => {
            let value = now.pointer(copy.from.as_str());
            *copied_bytes += value.map_or(0, weight);
            if *copied_bytes > COPIED_BYTES_MAX {
                let reason = format!("its copies come to more than {COPIED_BYTES_MAX} bytes");
                return Err(EditError::Patch(reason));
            }
            (value, &copy.path)
        }
        PatchOperation::Remove(_) | PatchOperation::Test(_) => return Ok(()),
    };
    let above = path.as_str().matches('/').count();
    match value {
        Some(value) if above > DEPTH_MAX || is_deeper(value, DEPTH_MAX - above) => Err(too_deep()),
        _ => Ok(()),
    }
}

/// Whether a value has more than so many levels of lists and objects. Goes no deeper than that.
fn is_deeper(value: &Value, levels: usize) -> bool {
    let below = |child: &Value| levels == 0 || is_deeper(child, levels - 1);
    match value {
        Value::Object(object) => levels == 0 || object.values().any(below),
        Value::Array(items) => levels == 0 || items.iter().any(below),
        _ => false,
    }
}

/// About the bytes of a value's JSON.
fn weight(value: &Value) -> usize {
    match value {
        Value::Object(object) => {
            object.iter().map(|(key, value)| key.len() + 4 + weight(value)).sum::<usize>() + 2
        }
        Value::Array(items) => items.iter().map(|item| 1 + weight(item)).sum::<usize>() + 2,
        Value::String(text) => text.len() + 2,
        _ => 4,
    }
}

/// Where two manifests differ, as JSON pointers of the differing leaves.
///
/// # Errors
/// When the pointers are too many or too long to be held against grants.
pub fn differences(before: &Value, after: &Value) -> Result<Vec<String>, EditError> {
    let mut found = Found::default();
    differ(before, after, "", &mut found);
    if found.bytes > PATHS_BYTES_MAX {
        let reason = format!("the paths of all that it changes come to more than {PATHS_BYTES_MAX} bytes");
        return Err(EditError::Patch(reason));
    }
    Ok(found.paths)
}

/// The pointers so far; nothing is added once they are too long.
#[derive(Default)]
struct Found {
    paths: Vec<String>,
    bytes: usize,
}

impl Found {
    fn add(&mut self, path: &str) {
        self.bytes += path.len();
        if self.bytes <= PATHS_BYTES_MAX {
            self.paths.push(path.to_owned());
        }
    }

    fn is_full(&self) -> bool {
        self.bytes > PATHS_BYTES_MAX
    }
}

fn below(path: &str, key: &str) -> String {
    format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"))
}

fn differ(before: &Value, after: &Value, path: &str, found: &mut Found) {
    match (before, after) {
        _ if found.is_full() => {}
        (Value::Object(old), Value::Object(new)) => {
            let keys = old.keys().chain(new.keys().filter(|key| !old.contains_key(*key)));
            for key in keys {
                match (old.get(key), new.get(key)) {
                    (Some(left), Some(right)) if left == right => {}
                    (Some(left), Some(right)) => differ(left, right, &below(path, key), found),
                    (Some(only), None) | (None, Some(only)) => leaves(only, &below(path, key), found),
                    (None, None) => {}
                }
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (index, (left, right)) in old.iter().zip(new).enumerate().filter(|(_, (old, new))| old != new)
            {
                differ(left, right, &format!("{path}/{index}"), found);
            }
        }
        (old, new) if old != new => found.add(path),
        _ => {}
    }
}

/// A value that came or went counts by each of its leaves.
fn leaves(value: &Value, path: &str, found: &mut Found) {
    match value {
        _ if found.is_full() => {}
        Value::Object(object) if !object.is_empty() => {
            for (key, child) in object {
                if found.is_full() {
                    return;
                }
                leaves(child, &below(path, key), found);
            }
        }
        _ => found.add(path),
    }
}
