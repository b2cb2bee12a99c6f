//! What differs between two manifests, and the same places in a text that has its lists in another order.

use serde_json::{Value, json};

use crate::edit::{EditError, written};

/// What tells the elements of a list apart, where something does.
const KEYS: [&str; 8] =
    ["name", "containerPort", "mountPath", "devicePath", "ip", "port", "uid", "topologyKey"];

/// A value that came, went, or is another one.
#[derive(Debug, Clone)]
pub(super) struct Changed {
    /// The keys and numbers that lead to it.
    pub(super) steps: Vec<String>,
    pub(super) old: Option<Value>,
    pub(super) new: Option<Value>,
}

impl Changed {
    pub(super) fn pointer(&self) -> String {
        pointer(&self.steps)
    }
}

/// Steps as a JSON Pointer.
pub(super) fn pointer(steps: &[String]) -> String {
    steps.iter().map(|step| format!("/{}", step.replace('~', "~0").replace('/', "~1"))).collect()
}

/// What differs, as few values as say it.
pub(super) fn changed(before: &Value, after: &Value) -> Vec<Changed> {
    let mut found = Vec::new();
    differ(Some(before), Some(after), &mut Vec::new(), &mut found);
    found
}

fn differ(before: Option<&Value>, after: Option<&Value>, steps: &mut Vec<String>, found: &mut Vec<Changed>) {
    match (before, after) {
        (before, after) if before == after => {}
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            for key in old.keys().chain(new.keys().filter(|key| !old.contains_key(*key))) {
                steps.push(key.clone());
                differ(old.get(key), new.get(key), steps, found);
                steps.pop();
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) if old.len() == new.len() => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                steps.push(index.to_string());
                differ(Some(old), Some(new), steps, found);
                steps.pop();
            }
        }
        (old, new) => {
            found.push(Changed { steps: steps.clone(), old: old.cloned(), new: new.cloned() });
        }
    }
}

/// Whether a list loses elements.
pub(super) fn removed(old: Option<&Value>, new: Option<&Value>) -> bool {
    match (old, new) {
        (Some(Value::Array(old)), Some(Value::Array(new))) => old.iter().any(|item| !new.contains(item)),
        (Some(Value::Array(_)), None) => true,
        _ => false,
    }
}

/// Whether steps lead to, above or below a path that has no numbers.
pub(super) fn overlaps(steps: &[String], field: &str) -> bool {
    let plain = steps.iter().filter(|step| !step.bytes().all(|byte| byte.is_ascii_digit()));
    plain.zip(field.split('/')).all(|(step, own)| step == own)
}

/// The same place in another form of the same object: elements of lists are found by what names them.
pub(super) fn mapped(from: &Value, to: &Value, steps: &[String]) -> Option<Vec<String>> {
    let Some((step, rest)) = steps.split_first() else { return Some(Vec::new()) };
    let (own, theirs) = match (from, to) {
        (Value::Array(from), Value::Array(to)) => {
            let element = from.get(step.parse::<usize>().ok()?)?;
            let at = match KEYS.iter().find(|key| element.get(**key).is_some()) {
                Some(key) => to.iter().position(|other| other.get(*key) == element.get(*key))?,
                None if from == to => step.parse().ok()?,
                None => return None,
            };
            (at.to_string(), (Some(element), to.get(at)))
        }
        (Value::Object(from), Value::Object(to)) => (step.clone(), (from.get(step), to.get(step))),
        _ => return None,
    };
    let below = match theirs {
        (Some(from), Some(to)) => mapped(from, to, rest)?,
        // What is not there yet is made, if no list has to be.
        _ if rest.iter().all(|step| !step.bytes().all(|byte| byte.is_ascii_digit())) => rest.to_vec(),
        _ => return None,
    };
    Some([vec![own], below].concat())
}

/// Sets or takes away what steps lead to; objects on the way are made.
///
/// # Errors
/// When something else stands on the way.
pub(super) fn set(value: &mut Value, steps: &[String], new: Option<&Value>) -> Result<(), String> {
    let Some((step, rest)) = steps.split_first() else {
        *value = new.cloned().unwrap_or(Value::Null);
        return Ok(());
    };
    let other = || format!("something else stands at {step}");
    match value {
        Value::Object(object) if rest.is_empty() && new.is_none() => {
            object.remove(step);
            Ok(())
        }
        Value::Object(object) => {
            let slot = object.entry(step.clone()).or_insert(Value::Null);
            if slot.is_null() && !rest.is_empty() {
                *slot = json!({});
            }
            set(slot, rest, new)
        }
        Value::Array(items) => {
            let index = step.parse::<usize>().map_err(|_| other())?;
            set(items.get_mut(index).ok_or_else(other)?, rest, new)
        }
        _ => Err(other()),
    }
}

/// Says a change in a strategic merge patch; `false` where that language has no sure words for it.
pub(super) fn merge_into(patch: &mut Value, before: &Value, change: &Changed) -> bool {
    let Some(new) = &change.new else { return false };
    if new.is_array() {
        return false;
    }
    say(patch, before, &change.steps, new)
}

fn say(patch: &mut Value, before: &Value, steps: &[String], new: &Value) -> bool {
    let Some((step, rest)) = steps.split_first() else {
        *patch = new.clone();
        return true;
    };
    if let Value::Array(items) = before {
        let Some(element) = step.parse::<usize>().ok().and_then(|index| items.get(index)) else {
            return false;
        };
        let Some(key) = KEYS.iter().find(|key| element.get(**key).is_some()) else { return false };
        if patch.is_null() {
            *patch = json!([]);
        }
        let Some(list) = patch.as_array_mut() else { return false };
        let found = list.iter().position(|item| item.get(*key) == element.get(*key));
        let at = found.unwrap_or_else(|| {
            list.push(json!({ *key: element[*key] }));
            list.len() - 1
        });
        return say(&mut list[at], element, rest, new);
    }
    if patch.is_null() {
        *patch = json!({});
    }
    let Some(object) = patch.as_object_mut() else { return false };
    let slot = object.entry(step.clone()).or_insert(Value::Null);
    say(slot, before.get(step).unwrap_or(&Value::Null), rest, new)
}

/// The changes as operations of a JSON Patch on what the object is at that point.
pub(super) fn operations(now: &Value, before: &Value, changes: &[&Changed]) -> Option<Vec<Value>> {
    let mut found = Vec::new();
    let mut now = now.clone();
    for change in changes {
        let steps = mapped(before, &now, &change.steps)?;
        // `add` needs all that is above.
        for count in 1..steps.len() {
            let above = pointer(&steps[..count]);
            if now.pointer(&above).is_none_or(Value::is_null) {
                found.push(json!({ "op": "add", "path": above, "value": {} }));
                set(&mut now, &steps[..count], Some(&json!({}))).ok()?;
            }
        }
        let path = pointer(&steps);
        let is_there = now.pointer(&path).is_some();
        match &change.new {
            Some(value) => {
                let op = if is_there { "replace" } else { "add" };
                found.push(json!({ "op": op, "path": path, "value": value }));
            }
            None if is_there => found.push(json!({ "op": "remove", "path": path })),
            None => return None,
        }
        set(&mut now, &steps, change.new.as_ref()).ok()?;
    }
    Some(found)
}

/// A JSON Patch as the text of a list.
///
/// # Errors
/// When it would say something else.
pub(super) fn listed(operations: &[Value]) -> Result<String, EditError> {
    let text = written(&json!({ "patch": operations }))?;
    let lines = text.lines().skip(1).map(|line| format!("{}\n", line.strip_prefix("  ").unwrap_or(line)));
    Ok(lines.collect())
}
