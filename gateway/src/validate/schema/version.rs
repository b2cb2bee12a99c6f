//! Which version of Kubernetes a cluster has: what came later is taken out of the schemas of the newest.
//!
//! The table says what is in an API, not what a cluster has switched on: a field of an alpha version is
//! taken from that version on. It knows nothing of what went: that is in no schema here.

use std::collections::BTreeMap;
use std::fmt;

use jsonschema::{Keyword, ValidationError, ValidationOptions};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::since::{FIELDS, NEWEST, OLDEST, VALUES};

/// Of a field's schema: the minor version that brought the field.
const FIELD_SINCE: &str = "x-riposte-field-since";
/// Of a field's schema: values, each with the minor version that brought it.
const VALUES_SINCE: &str = "x-riposte-values-since";

/// A minor version of Kubernetes, as `1.33`; the newest that is known by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Value", into = "String")]
#[schemars(with = "String")]
pub struct KubernetesVersion {
    minor: u8,
}

/// A text that is no version, or of one that is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given} is no version of Kubernetes that is known here: write one of {}", known())]
pub struct UnknownVersion {
    given: Value,
}

impl Default for KubernetesVersion {
    fn default() -> Self {
        Self { minor: NEWEST }
    }
}

impl fmt::Display for KubernetesVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.minor)
    }
}

impl From<KubernetesVersion> for String {
    fn from(version: KubernetesVersion) -> Self {
        version.to_string()
    }
}

impl TryFrom<Value> for KubernetesVersion {
    type Error = UnknownVersion;

    /// Of a text only: YAML reads `1.30` without quotes as the number 1.3.
    fn try_from(given: Value) -> Result<Self, UnknownVersion> {
        let found = Self::all().find(|version| given == version.to_string());
        found.ok_or(UnknownVersion { given })
    }
}

impl KubernetesVersion {
    /// Every version that is known, the oldest first.
    pub fn all() -> impl Iterator<Item = Self> {
        (OLDEST..=NEWEST).map(|minor| Self { minor })
    }

    /// Marks in a schema of the newest version what came after this one. Its title is the name of its own
    /// definition; those that it refers to stand in it with theirs.
    pub(super) fn mark(self, schema: &mut Value) {
        for (of, name, value, since) in VALUES.iter().filter(|(.., since)| *since > self.minor) {
            if let Some(field) = field_of(schema, of, name) {
                field[VALUES_SINCE][value] = json!(since);
            }
        }
        for (of, name, since) in FIELDS.iter().filter(|(_, _, since)| *since > self.minor) {
            if let Some(field) = field_of(schema, of, name) {
                *field = json!({ FIELD_SINCE: since });
            }
        }
    }
}

/// How marked schemas are compiled; `set` says which version the cluster has, and who says so.
pub(super) fn options(set: &str) -> ValidationOptions<'static> {
    let (of_field, of_value) = (set.to_owned(), set.to_owned());
    let field_since = move |since: &Value| format!("came with Kubernetes 1.{since}; {of_field}");
    let value_since = move |value: &str, since: &Value| {
        format!("has the value {value:?}, which came with Kubernetes 1.{since}; {of_value}")
    };
    jsonschema::options()
        .with_keyword(FIELD_SINCE, move |_, since, _| Ok(Box::new(FieldSince(field_since(since)))))
        .with_keyword(VALUES_SINCE, move |_, values, _| {
            let values = values.as_object().into_iter().flatten();
            let said = values.map(|(value, since)| (value.clone(), value_since(value, since)));
            Ok(Box::new(ValuesSince(said.collect())))
        })
}

/// All that are known, for people, in quotes as YAML needs them.
fn known() -> String {
    let known: Vec<String> = KubernetesVersion::all().map(|version| format!("\"{version}\"")).collect();
    known.join(", ")
}

/// The schema of a field, where its definition is in use.
fn field_of<'a>(schema: &'a mut Value, definition: &str, name: &str) -> Option<&'a mut Value> {
    let is_own = schema["title"] == definition;
    let own = if is_own { schema } else { schema.get_mut("$defs")?.get_mut(definition)? };
    own.get_mut("properties")?.get_mut(name)
}

/// Refuses a field for being there.
struct FieldSince(String);

impl<'i> Keyword<'i> for FieldSince {
    fn validate(&self, _: &'i Value) -> Result<(), ValidationError<'i>> {
        Err(ValidationError::custom(self.0.clone()))
    }

    fn is_valid(&self, _: &'i Value) -> bool {
        false
    }
}

/// Refuses a field for its value, or for one that is in its list; what is said of each.
struct ValuesSince(BTreeMap<String, String>);

impl ValuesSince {
    fn said(&self, value: &Value) -> Option<&String> {
        match value {
            Value::String(text) => self.0.get(text),
            Value::Array(items) => items.iter().find_map(|item| self.said(item)),
            _ => None,
        }
    }
}

impl<'i> Keyword<'i> for ValuesSince {
    fn validate(&self, value: &'i Value) -> Result<(), ValidationError<'i>> {
        self.said(value).map_or(Ok(()), |said| Err(ValidationError::custom(said.clone())))
    }

    fn is_valid(&self, value: &'i Value) -> bool {
        self.said(value).is_none()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::{Schemas, new_errors};
    use super::{FIELDS, KubernetesVersion, NEWEST, OLDEST, VALUES};
    use crate::model::manifest::ObjectRef;

    /// Fills one field of one definition, on a way of fields that its own version has.
    struct Way<'a> {
        root: &'a Value,
        definition: &'a str,
        field: &'a str,
        since: u8,
        value: Option<&'a str>,
    }

    /// The least that a schema takes.
    fn least(schema: &Value, root: &Value) -> Value {
        if let Some(reference) = schema["$ref"].as_str() {
            return least(root.pointer(&reference[1..]).expect("a definition"), root);
        }
        match schema["type"].as_str().unwrap_or("string") {
            "object" => {
                let required = schema["required"].as_array().into_iter().flatten();
                let names = required.filter_map(Value::as_str);
                names.map(|name| (name.to_owned(), least(&schema["properties"][name], root))).collect()
            }
            "array" => json!([]),
            "integer" | "number" => json!(1),
            "boolean" => json!(true),
            _ => json!("1"),
        }
    }

    impl Way<'_> {
        /// A value of the schema with the field somewhere in it, and where.
        fn through(&self, schema: &Value, name: &str, seen: &mut Vec<String>) -> Option<(Value, String)> {
            if let Some(reference) = schema["$ref"].as_str() {
                let name = reference.rsplit('/').next()?;
                return self.through(self.root.pointer(&reference[1..])?, name, seen);
            }
            let fields = schema["properties"].as_object();
            if name == self.definition {
                let own = &fields?[self.field];
                let text = self.value.map(|value| json!(value));
                let listed = |text| if own["type"] == "array" { json!([text]) } else { text };
                let mut found = least(schema, self.root);
                found[self.field] = text.map_or_else(|| least(own, self.root), listed);
                return Some((found, format!("/{}", self.field)));
            }
            if fields.is_some() && seen.iter().any(|known| known == name) {
                return None;
            }
            seen.push(name.to_owned());
            for (field, below) in fields.into_iter().flatten() {
                let later = |row: &&(&str, &str, u8)| row.0 == name && row.1 == field && row.2 >= self.since;
                if FIELDS.iter().any(|row| later(&row)) {
                    continue;
                }
                if let Some((value, at)) = self.through(below, "", seen) {
                    let mut found = least(schema, self.root);
                    found[field.as_str()] = value;
                    return Some((found, format!("/{field}{at}")));
                }
            }
            if schema["items"].is_object() {
                let (value, at) = self.through(&schema["items"], "", seen)?;
                return Some((json!([value]), format!("/0{at}")));
            }
            let (value, at) = self.through(schema.get("additionalProperties")?, "", seen)?;
            Some((json!({ "key": value }), format!("/key{at}")))
        }
    }

    /// What is wrong with an object in a version.
    fn errors(schemas: &Schemas, minor: u8, target: &ObjectRef, manifest: &Value) -> Vec<String> {
        let cluster = format!("at-{minor}");
        let validator = schemas.validator(Some(&cluster), target).expect("a schema").expect("a known kind");
        new_errors(&validator, None, manifest)
    }

    #[test]
    fn every_row_of_the_table_is_refused_just_below_its_version_and_taken_from_it_on() {
        let versions = KubernetesVersion::all().map(|version| (format!("at-{}", version.minor), version));
        let schemas = Schemas::kubernetes().for_clusters(versions.collect());
        let fields = FIELDS.iter().map(|(of, field, since)| (*of, *field, None, *since));
        let values = VALUES.iter().map(|(of, field, value, since)| (*of, *field, Some(*value), *since));
        for (definition, field, value, since) in fields.chain(values) {
            let mut found = None;
            for ((api_version, kind), generate) in &schemas.known {
                let root = generate();
                let way = Way { root: &root, definition, field, since, value };
                let title = root["title"].as_str().expect("the name of its definition");
                if let Some((manifest, at)) = way.through(&root, title, &mut Vec::new()) {
                    let (api_version, kind) = ((*api_version).to_owned(), (*kind).to_owned());
                    found = Some((
                        ObjectRef { api_version, kind, namespace: None, name: "a".to_owned() },
                        manifest,
                        at,
                    ));
                    break;
                }
            }
            let (target, manifest, at) = found.unwrap_or_else(|| panic!("nothing has {definition}.{field}"));
            let had = value.map_or(String::new(), |value| format!("has the value {value:?}, which "));
            let below = since - 1;
            let refused =
                format!("{at} {had}came with Kubernetes 1.{since}; cluster at-{below} has 1.{below}");
            assert_eq!(errors(&schemas, below, &target, &manifest), [refused], "{manifest}");
            for minor in since..=NEWEST {
                assert_eq!(errors(&schemas, minor, &target, &manifest), [""; 0], "{minor} {at}: {manifest}");
            }
        }
    }

    #[test]
    fn the_table_is_of_the_schemas_and_nothing_is_wanted_that_a_version_does_not_have() {
        let manifest = include_str!("../../../../Cargo.toml");
        assert!(
            manifest.contains(&format!("\"v1_{NEWEST}\"")),
            "k8s-openapi is of another version than the table"
        );
        for ((_, kind), generate) in &Schemas::kubernetes().known {
            let root = generate();
            for (definition, field, since) in FIELDS {
                let required = root["$defs"][definition]["required"].as_array().into_iter().flatten();
                assert!(!required.clone().any(|name| name == field), "{kind}: {definition}.{field}");
                assert!((OLDEST + 1..=NEWEST).contains(since), "{definition}.{field}");
                // The metadata of custom objects is held without a version.
                assert!(!definition.ends_with(".ObjectMeta"), "{definition}.{field}");
            }
        }
    }
}
