//! Unknown keys of the configuration, each with the known one it may have meant.
//!
//! The known keys come from the configuration's own JSON Schema, so there is no second list.

use serde_json::{Map, Value};

/// How alike two keys must be, from 0 to 1, for one to be offered for the other.
const ALIKE_MIN: f64 = 0.6;

/// A line for every key that the schema does not know.
pub(super) fn unknown_keys(document: &Value, schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    visit(document, schema, schema, "", &mut found);
    found
}

fn visit(value: &Value, schema: &Value, root: &Value, path: &str, found: &mut Vec<String>) {
    let Some(schema) = resolve(schema, root) else { return };
    match value {
        Value::Object(object) => {
            // Of several forms (`oneOf`) there is no telling which one was meant: the typed reader says.
            let Some(known) = schema.get("properties").and_then(Value::as_object) else { return };
            for (key, child) in object {
                let here = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match known.get(key) {
                    Some(child_schema) => visit(child, child_schema, root, &here, found),
                    None if schema.get("additionalProperties") == Some(&Value::Bool(false)) => {
                        found.push(message(&here, key, known));
                    }
                    None => {}
                }
            }
        }
        Value::Array(items) => {
            if let Some(item_schema) = schema.get("items") {
                for (index, item) in items.iter().enumerate() {
                    visit(item, item_schema, root, &format!("{path}[{index}]"), found);
                }
            }
        }
        _ => {}
    }
}

/// Follows references, and takes the object out of "this or null".
fn resolve<'a>(schema: &'a Value, root: &'a Value) -> Option<&'a Value> {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        return resolve(root.pointer(reference.strip_prefix('#')?)?, root);
    }
    if let Some(choices) = schema.get("anyOf").and_then(Value::as_array)
        && let Some(choice) = choices.iter().find(|choice| choice.get("type") != Some(&Value::from("null")))
        && choices.len() == 2
    {
        return resolve(choice, root);
    }
    Some(schema)
}

fn message(path: &str, key: &str, known: &Map<String, Value>) -> String {
    let alike = |candidate: &&String| strsim::jaro_winkler(&key.to_lowercase(), &candidate.to_lowercase());
    let nearest = known.keys().max_by(|left, right| alike(left).total_cmp(&alike(right)));
    match nearest.filter(|nearest| alike(nearest) >= ALIKE_MIN) {
        Some(nearest) => format!("{path}: there is no such key; did you mean {nearest:?}?"),
        None => {
            let list: Vec<&str> = known.keys().map(String::as_str).collect();
            format!("{path}: there is no such key; the keys here are {}", list.join(", "))
        }
    }
}
