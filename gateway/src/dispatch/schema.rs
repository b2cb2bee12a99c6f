//! A configuration against the JSON Schema that its plugin publishes.
//!
//! The schema was written by the plugin. A few lines of references to references ask for hours of
//! checking, and so does a pattern that goes back and forth. So what a check would visit is counted
//! before it is made, and patterns are of the kind that is linear in the text.

use jsonschema::PatternOptions;
use percent_encoding::percent_decode_str;
use serde_json::Value;

/// Errors of one configuration that are told.
const ERRORS_MAX: usize = 8;
/// The largest schema, in bytes.
const SCHEMA_BYTES_MAX: usize = 64 << 10;
/// A compiled pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 64 << 10;
/// Pairs of a subschema and a value that one check may visit.
const VISITS_MAX: usize = 100_000;
/// Subschemas within each other, references followed.
const DEPTH_MAX: usize = 200;

/// Holds the configuration against the schema: its bounds count, whether or not the plugin's own check
/// knows them.
///
/// # Errors
/// What is wrong with the configuration, or with the schema.
pub(super) fn check(schema: &str, config: &Value) -> Result<(), String> {
    let invalid = |error: String| format!("the JSON Schema that it publishes is none: {error}");
    if schema.len() > SCHEMA_BYTES_MAX {
        return Err(invalid(format!("it is larger than {SCHEMA_BYTES_MAX} bytes")));
    }
    let schema: Value = serde_json::from_str(schema).map_err(|error| invalid(error.to_string()))?;
    let mut walk = Walk { root: &schema, visits: 0 };
    walk.visit(&schema, config, 0).map_err(|reason| invalid(reason.to_owned()))?;
    let patterns = PatternOptions::regex().size_limit(PATTERN_BYTES_MAX);
    let validator = jsonschema::options().with_pattern_options(patterns).build(&schema);
    let validator = validator.map_err(|error| invalid(error.to_string()))?;
    let errors = validator.iter_errors(config).take(ERRORS_MAX);
    let reasons: Vec<String> =
        errors.map(|error| format!("config{}: {error}", error.instance_path())).collect();
    if reasons.is_empty() { Ok(()) } else { Err(reasons.join("; ")) }
}

/// Goes where a validator would, and counts.
struct Walk<'a> {
    root: &'a Value,
    visits: usize,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, schema: &'a Value, value: &Value, depth: usize) -> Result<(), &'static str> {
        self.visits += 1;
        if self.visits > VISITS_MAX || depth > DEPTH_MAX {
            return Err("its references come back to themselves or are too many to be followed");
        }
        let Value::Object(keywords) = schema else { return Ok(()) };
        for (keyword, inner) in keywords {
            match keyword.as_str() {
                "$ref" => {
                    if let Some(reference) = inner.as_str() {
                        let target = self.target(reference)?;
                        self.visit(target, value, depth + 1)?;
                    }
                }
                "$dynamicRef" | "$recursiveRef" | "$id"
                    if inner.is_string() && (depth > 0 || keyword != "$id") =>
                {
                    return Err("it has $dynamicRef, $recursiveRef or an inner $id");
                }
                "properties" => {
                    for (name, inner) in inner.as_object().into_iter().flatten() {
                        if let Some(value) = value.get(name) {
                            self.visit(inner, value, depth + 1)?;
                        }
                    }
                }
                "allOf" | "anyOf" | "oneOf" | "not" | "if" | "then" | "else" | "dependentSchemas"
                | "dependencies" => {
                    for inner in schemas(inner, keyword.starts_with("depend")) {
                        self.visit(inner, value, depth + 1)?;
                    }
                }
                "patternProperties"
                | "additionalProperties"
                | "unevaluatedProperties"
                | "propertyNames"
                | "items"
                | "prefixItems"
                | "additionalItems"
                | "unevaluatedItems"
                | "contains" => {
                    for inner in schemas(inner, keyword == "patternProperties") {
                        for value in children(value) {
                            self.visit(inner, value, depth + 1)?;
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What a reference stands for: a place of the same document.
    fn target(&self, reference: &str) -> Result<&'a Value, &'static str> {
        let pointer =
            reference.strip_prefix('#').map(|pointer| percent_decode_str(pointer).decode_utf8_lossy());
        let found = pointer.and_then(|pointer| self.root.pointer(&pointer));
        found.ok_or(
            "a $ref of it leads nowhere: only places of the same schema, as #/$defs/name, are followed",
        )
    }
}

/// The schemas of a keyword: one, a list, or an object of them.
fn schemas(inner: &Value, by_name: bool) -> Vec<&Value> {
    match inner {
        Value::Array(list) => list.iter().collect(),
        Value::Object(object) if by_name => object.values().collect(),
        one => vec![one],
    }
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(object) => object.values().collect(),
        _ => Vec::new(),
    }
}
