//! From a CustomResourceDefinition to a strict JSON Schema: what an API server would prune is refused.
//!
//! Pure. A definition is as hostile as the repository that holds it: keywords that are not known,
//! references among them, schemas and patterns beyond a size are refused, and a pattern takes time that
//! is linear in the text. CEL rules and the formats of texts are not evaluated.

use std::collections::BTreeSet;

use jsonschema::{PatternOptions, Validator};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::schema::told;

/// The most schemas in each other and beside each other that a definition may have in one version.
const SCHEMAS_MAX: usize = 20_000;
/// The most memory of one compiled pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// Keywords that say nothing about validity, or nothing that can be evaluated here.
const SILENT: [&str; 11] = [
    "default",
    "description",
    "example",
    "externalDocs",
    "format",
    "nullable",
    "title",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    "x-kubernetes-validations",
];
/// Keywords that JSON Schema has with the same meaning.
const SAME: [&str; 13] = [
    "enum",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "required",
    "uniqueItems",
];
const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";
const EMBEDDED: &str = "x-kubernetes-embedded-resource";
const INT_OR_STRING: &str = "x-kubernetes-int-or-string";

/// The schema of one version of a kind, ready to be held against objects.
#[derive(Debug)]
pub(super) struct Custom {
    /// As the definition has it.
    own: Value,
    validator: Validator,
}

impl Custom {
    /// Compiles the schema of a version.
    ///
    /// # Errors
    /// Why the definition is of no use.
    pub(super) fn of(definition: &Value, version: &str) -> Result<Self, String> {
        let own = schema_of(definition, version)?;
        let strict = Strict { left: SCHEMAS_MAX }.root(&own)?;
        let patterns = PatternOptions::regex().size_limit(PATTERN_BYTES_MAX);
        let validator = jsonschema::options().with_pattern_options(patterns).build(&strict);
        let validator = validator.map_err(|error| format!("its schema cannot be used: {error}"))?;
        Ok(Self { own, validator })
    }

    /// Whether both have the same schema.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.own == other.own
    }

    /// What is wrong with a manifest, by its place, and was not wrong `before`. Flux and kustomize complete
    /// manifests on their way: a field that is missing, or a `${variable}` where a number belongs, stands
    /// in many a repository.
    pub(super) fn errors(&self, before: Option<&Value>, manifest: &Value, errors_max: usize) -> Vec<String> {
        let mut errors = self.all_errors(manifest);
        if let Some(before) = before.filter(|_| !errors.is_empty()) {
            let known: BTreeSet<String> = self.all_errors(before).into_iter().collect();
            errors.retain(|error| !known.contains(error));
        }
        errors.truncate(errors_max);
        errors
    }

    fn all_errors(&self, manifest: &Value) -> Vec<String> {
        let manifest = without_nulls(manifest, &self.own);
        let errors = self.validator.iter_errors(&manifest);
        errors.map(|error| told(&error)).collect()
    }
}

/// The versions that an API server would serve, with their schemas.
pub(super) fn versions(definition: &Value) -> Vec<&str> {
    let versions = definition.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten();
    let served = versions.filter(|version| version["served"] == true);
    served.filter_map(|version| version["name"].as_str()).collect()
}

fn schema_of(definition: &Value, version: &str) -> Result<Value, String> {
    if definition["apiVersion"] != "apiextensions.k8s.io/v1" {
        return Err(format!("it is of {}, not of apiextensions.k8s.io/v1", definition["apiVersion"]));
    }
    let versions = versions(definition);
    if !versions.contains(&version) {
        return Err(format!("it serves no version {version}; there are {}", versions.join(", ")));
    }
    let all = definition.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten();
    let schema =
        all.filter(|one| one["name"] == version).find_map(|one| one.pointer("/schema/openAPIV3Schema"));
    schema.cloned().ok_or_else(|| format!("its version {version} has no schema"))
}

/// Makes schemas strict, up to a number of them.
struct Strict {
    left: usize,
}

impl Strict {
    /// The schema of whole objects: name and labels are everywhere the same.
    fn root(&mut self, own: &Value) -> Result<Value, String> {
        let mut root = self.structural(own)?;
        let mut metadata = metadata();
        if let Some(narrower) = own.pointer("/properties/metadata") {
            metadata["allOf"] = json!([self.value_only(narrower)?]);
        }
        root["properties"]["apiVersion"] = json!({ "type": "string" });
        root["properties"]["kind"] = json!({ "type": "string" });
        root["properties"]["metadata"] = metadata;
        Ok(root)
    }

    /// A schema that says which fields there are: others are pruned by an API server.
    fn structural(&mut self, own: &Value) -> Result<Value, String> {
        let mut strict = self.schema(own, true)?;
        let has_fields = strict.contains_key("properties") || own["type"] == "object";
        if has_fields && own[PRESERVE] != true && !strict.contains_key("additionalProperties") {
            strict.insert("additionalProperties".to_owned(), false.into());
        }
        if own[EMBEDDED] == true {
            let properties = strict.entry("properties").or_insert_with(|| json!({}));
            properties["apiVersion"] = json!({ "type": "string" });
            properties["kind"] = json!({ "type": "string" });
            properties["metadata"] = metadata();
            let required = strict.entry("required").or_insert_with(|| json!([]));
            for key in ["apiVersion", "kind"] {
                if let Some(required) = required.as_array_mut().filter(|keys| !keys.contains(&json!(key))) {
                    required.push(key.into());
                }
            }
        }
        if own[INT_OR_STRING] == true {
            strict.insert("type".to_owned(), json!(["integer", "string"]));
        }
        if own["x-kubernetes-list-type"] == "set" {
            strict.insert("uniqueItems".to_owned(), true.into());
        }
        if own["nullable"] == true {
            return Ok(json!({ "anyOf": [{ "type": "null" }, strict] }));
        }
        Ok(strict.into())
    }

    /// A schema below `allOf`, `anyOf`, `oneOf` or `not`: it says what values may be, not which fields
    /// there are.
    fn value_only(&mut self, own: &Value) -> Result<Value, String> {
        self.schema(own, false).map(Value::Object)
    }

    fn nested(&mut self, own: &Value, structural: bool) -> Result<Value, String> {
        if structural { self.structural(own) } else { self.value_only(own) }
    }

    fn schema(&mut self, own: &Value, structural: bool) -> Result<Map<String, Value>, String> {
        self.left = self.left.checked_sub(1).ok_or_else(|| {
            format!("its schema has more than {SCHEMAS_MAX} schemas in it, which is the most that is read")
        })?;
        let own = own.as_object().ok_or("its schema has a part that is no object")?;
        let mut strict = Map::new();
        for (key, value) in own {
            let translated = match key.as_str() {
                "type" => value.clone(),
                same if SAME.contains(&same) => value.clone(),
                PRESERVE | EMBEDDED | INT_OR_STRING | "exclusiveMinimum" | "exclusiveMaximum" => continue,
                silent if SILENT.contains(&silent) => continue,
                "properties" => {
                    let fields = value.as_object().ok_or("its schema has properties that are no object")?;
                    let each = |(name, field): (&String, &Value)| {
                        Ok((name.clone(), self.nested(field, structural)?))
                    };
                    Value::Object(fields.iter().map(each).collect::<Result<_, String>>()?)
                }
                "additionalProperties" if value.is_boolean() => value.clone(),
                "additionalProperties" | "items" => self.nested(value, structural)?,
                "not" => self.value_only(value)?,
                "allOf" | "anyOf" | "oneOf" => {
                    let list =
                        value.as_array().ok_or_else(|| format!("its schema has an {key} that is no list"))?;
                    list.iter().map(|one| self.value_only(one)).collect::<Result<_, _>>()?
                }
                unknown => return Err(format!("its schema has {unknown:?}, which is not known here")),
            };
            strict.insert(key.clone(), translated);
        }
        bounds(own, &mut strict);
        Ok(strict)
    }
}

/// OpenAPI says of a bound whether it is exclusive, JSON Schema has a bound for that.
fn bounds(own: &Map<String, Value>, strict: &mut Map<String, Value>) {
    for (bound, exclusive) in [("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")] {
        if own.get(exclusive) == Some(&Value::Bool(true))
            && let Some(value) = strict.remove(bound)
        {
            strict.insert(exclusive.to_owned(), value);
        }
    }
    if own.get("format").is_some_and(|format| format == "int32") {
        strict.entry("minimum").or_insert(i32::MIN.into());
        strict.entry("maximum").or_insert(i32::MAX.into());
    }
}

/// The schema of `metadata`, strict and without references.
fn metadata() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<super::schema::ObjectMeta>();
    let mut schema = schema.to_value();
    super::schema::close(&mut schema);
    schema
}

/// The manifest as an API server reads it: a field that is `null` and may not be is absent.
fn without_nulls(value: &Value, own: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let field = |name: &String| own["properties"].get(name).unwrap_or(&own["additionalProperties"]);
            let kept = object.iter().filter(|(name, value)| {
                let own_field = field(name);
                !value.is_null()
                    || own_field["nullable"] == true
                    || (!own_field.is_object() && own[PRESERVE] == true)
            });
            Value::Object(
                kept.map(|(name, value)| (name.clone(), without_nulls(value, field(name)))).collect(),
            )
        }
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| without_nulls(item, &own["items"])).collect())
        }
        scalar => scalar.clone(),
    }
}
