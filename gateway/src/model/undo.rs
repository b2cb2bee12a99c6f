//! What takes a change back: what each object was before it, and what the change made of it.
//!
//! Pure. A change is taken back by its fields, on whatever the object is by then: what others have
//! changed beside them stays, and a field that is no longer as the change left it tells so.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::manifest::ObjectRef;
use super::place::{Place, Step, named};

/// What takes back what a proposal did to one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObjectUndo {
    /// The object.
    pub target: ObjectRef,
    /// What was done to it.
    pub undo: Undo,
}

/// What was done to an object, so that it can be taken back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Undo {
    /// Fields of it were changed.
    Changed(Fields),
    /// It was made.
    Created {
        /// The manifest as it was made.
        manifest: Value,
    },
    /// It was deleted.
    Deleted(Lost),
}

/// The fields that a change touched.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Fields {
    /// Each with what it was and what it became.
    pub fields: Vec<Field>,
    /// Objects around them that the change made: they go with the last thing in them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made: Vec<Place>,
}

/// One field, before and after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// Where it is.
    pub at: Place,
    /// What it was; `None` when it was not there.
    #[serde(default, deserialize_with = "there", skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What it became; `None` when it went.
    #[serde(default, deserialize_with = "there", skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// A field that is there and null is not one that is missing.
fn there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// An object that was deleted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lost {
    /// The manifest as data.
    pub manifest: Value,
    /// The file it stood in.
    pub path: String,
    /// Its text in its list, or its document's, or the file's.
    pub text: String,
    /// What it is put back by into its list, where it was an item of one that stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<Box<ListItem>>,
    /// Whether nothing else was in the file, which went with it.
    pub whole: bool,
    /// Where the file was listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listed: Vec<Listing>,
}

/// What an item of a list is put back by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListItem {
    /// The item as the list has it.
    pub manifest: Value,
    /// The text before and after it; empty where its own text is not known.
    pub around: [String; 2],
    /// The items before and after it.
    pub neighbours: [Option<ObjectRef>; 2],
}

/// A line of a kustomization that lists a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// The kustomization's file.
    pub kustomization: String,
    /// The list that it is in: `resources`, say.
    pub key: String,
    /// Its place in the list, from 0.
    pub index: usize,
    /// The path as it is written there.
    pub item: String,
}

/// How a field stands to what a change made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// As the change left it.
    Changed,
    /// As it was before.
    Back,
    /// Something else.
    Since,
}

impl Field {
    /// What it is in a manifest.
    #[must_use]
    pub fn of<'a>(&self, manifest: &'a Value) -> Option<&'a Value> {
        self.at.find(manifest)
    }

    fn state(&self, manifest: &Value) -> State {
        match self.of(manifest) {
            now if now == self.after.as_ref() => State::Changed,
            now if now == self.before.as_ref() => State::Back,
            _ => State::Since,
        }
    }
}

impl Fields {
    /// What differs between two manifests of one object.
    #[must_use]
    pub fn between(before: &Value, after: &Value) -> Self {
        let mut found = Self::default();
        differ(before, after, &mut Place::default(), &mut found);
        found
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Whether all of them are as they were before.
    #[must_use]
    pub fn are_back(&self, manifest: &Value) -> bool {
        self.fields.iter().all(|field| field.state(manifest) == State::Back)
    }

    /// The manifest with the fields as they were before, and those that somebody has changed since: they
    /// are left as they are.
    #[must_use]
    pub fn taken_back(&self, manifest: &Value) -> (Value, Vec<&Field>) {
        let (mut back, mut since) = (manifest.clone(), Vec::new());
        for field in &self.fields {
            let done = match field.state(manifest) {
                State::Back => true,
                State::Since => false,
                State::Changed => match &field.before {
                    Some(value) => field.at.put(&mut back, value),
                    None => field.at.remove(&mut back),
                },
            };
            if !done {
                since.push(field);
            }
        }
        let is_empty = |value: &Value| value.as_object().is_some_and(Map::is_empty);
        if back != *manifest {
            for place in self.made.iter().rev() {
                if place.find(&back).is_some_and(is_empty) {
                    place.remove(&mut back);
                }
            }
        }
        (back, since)
    }

    fn add(&mut self, at: &Place, before: Option<&Value>, after: Option<&Value>) {
        self.fields.push(Field { at: at.clone(), before: before.cloned(), after: after.cloned() });
    }
}

fn differ(before: &Value, after: &Value, at: &mut Place, found: &mut Fields) {
    match (before, after) {
        (old, new) if old == new => {}
        (Value::Object(old), Value::Object(new)) => {
            let keys = old.keys().chain(new.keys().filter(|key| !old.contains_key(*key)));
            for key in keys {
                at.push(Step::Key(key.clone()));
                match (old.get(key), new.get(key)) {
                    (Some(old), Some(new)) => differ(old, new, at, found),
                    (None, Some(new)) => came(new, at, found),
                    (Some(old), None) => went(old, at, found),
                    (None, None) => {}
                }
                at.pop();
            }
        }
        (Value::Array(old), Value::Array(new)) => match names(old).zip(names(new)) {
            Some((of_old, of_new)) if are_in_one_order(&of_old, &of_new) => {
                let all = of_old.iter().chain(of_new.iter().filter(|name| !of_old.contains(name)));
                for name in all {
                    at.push(Step::Named { name: (*name).to_owned() });
                    match (named(old, name), named(new, name)) {
                        (Some(old), Some(new)) => differ(old, new, at, found),
                        (old, new) => found.add(at, old, new),
                    }
                    at.pop();
                }
            }
            _ => found.add(at, Some(before), Some(after)),
        },
        (old, new) => found.add(at, Some(old), Some(new)),
    }
}

fn came(value: &Value, at: &mut Place, found: &mut Fields) {
    match value {
        Value::Object(object) if !object.is_empty() => {
            found.made.push(at.clone());
            for (key, child) in object {
                at.push(Step::Key(key.clone()));
                came(child, at, found);
                at.pop();
            }
        }
        _ => found.add(at, None, Some(value)),
    }
}

fn went(value: &Value, at: &mut Place, found: &mut Fields) {
    match value {
        Value::Object(object) if !object.is_empty() => {
            for (key, child) in object {
                at.push(Step::Key(key.clone()));
                went(child, at, found);
                at.pop();
            }
        }
        _ => found.add(at, Some(value), None),
    }
}

/// The names of a list's elements, where each has one of its own.
fn names(items: &[Value]) -> Option<Vec<&str>> {
    let names: Vec<&str> =
        items.iter().map(|item| item.get("name").and_then(Value::as_str)).collect::<Option<_>>()?;
    let mut sorted = names.clone();
    sorted.sort_unstable();
    sorted.dedup();
    (sorted.len() == names.len()).then_some(names)
}

/// Whether the names that both have come in the same order.
fn are_in_one_order(one: &[&str], other: &[&str]) -> bool {
    one.iter().filter(|name| other.contains(name)).eq(other.iter().filter(|name| one.contains(name)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// What a change made of a manifest is taken back on what it is today: that, and what is left alone.
    fn taken_back(before: &Value, after: &Value, today: &Value) -> (Value, Vec<String>) {
        let fields = Fields::between(before, after);
        let stored: Fields = serde_json::from_str(&serde_json::to_string(&fields).unwrap()).unwrap();
        assert_eq!(stored, fields, "what is read back is what was stored");
        let (back, since) = fields.taken_back(today);
        (back, since.into_iter().map(|field| field.at.to_string()).collect())
    }

    #[test]
    fn only_what_the_change_did_is_taken_back() {
        let containers = |items: Value| json!({ "spec": { "containers": items } });
        let table = [
            // replicas, while somebody adds a label
            (
                json!({ "spec": { "replicas": 3 } }),
                json!({ "spec": { "replicas": 0 } }),
                json!({ "l": 1, "spec": { "replicas": 0 } }),
                json!({ "l": 1, "spec": { "replicas": 3 } }),
            ),
            // the labels that came go, and the object that was made for them
            (
                json!({ "m": {} }),
                json!({ "m": { "labels": { "a": "1" } } }),
                json!({ "m": { "labels": { "a": "1" } } }),
                json!({ "m": {} }),
            ),
            // unless somebody uses it
            (
                json!({ "m": {} }),
                json!({ "m": { "labels": { "a": "1" } } }),
                json!({ "m": { "labels": { "a": "1", "b": "2" } } }),
                json!({ "m": { "labels": { "b": "2" } } }),
            ),
            // what went comes back with what was around it
            (
                json!({ "m": { "labels": { "a": "1" } } }),
                json!({ "m": {} }),
                json!({ "m": {} }),
                json!({ "m": { "labels": { "a": "1" } } }),
            ),
            // a container is found by its name, whatever its number
            (
                containers(json!([{ "name": "a" }])),
                containers(json!([{ "name": "a", "tty": false }])),
                containers(json!([{ "name": "b", "tty": false }, { "name": "a", "tty": false }])),
                containers(json!([{ "name": "b", "tty": false }, { "name": "a" }])),
            ),
            (
                containers(json!([{ "name": "a" }])),
                containers(json!([{ "name": "a" }, { "name": "b" }])),
                containers(json!([{ "name": "b" }, { "name": "a" }])),
                containers(json!([{ "name": "a" }])),
            ),
            // a list without names is one field
            (
                json!({ "args": ["a"] }),
                json!({ "args": ["a", "b"] }),
                json!({ "args": ["a", "b"], "x": 1 }),
                json!({ "args": ["a"], "x": 1 }),
            ),
            // null is not nothing
            (json!({ "a": null }), json!({ "a": 1 }), json!({ "a": 1 }), json!({ "a": null })),
            (json!({ "a": null }), json!({}), json!({}), json!({ "a": null })),
            // back already
            (
                json!({ "a": 1, "b": 1 }),
                json!({ "a": 2, "b": 2 }),
                json!({ "a": 1, "b": 2 }),
                json!({ "a": 1, "b": 1 }),
            ),
        ];
        for (before, after, today, back) in table {
            assert_eq!(taken_back(&before, &after, &today), (back, Vec::new()), "{before} {after} {today}");
        }
    }

    #[test]
    fn what_was_changed_since_is_left_and_told() {
        let containers = |items: Value| json!({ "spec": { "containers": items } });
        let table = [
            (
                json!({ "a": 1, "b": 1 }),
                json!({ "a": 2, "b": 2 }),
                json!({ "a": 3, "b": 2 }),
                json!({ "a": 3, "b": 1 }),
                "/a",
            ),
            (
                json!({ "m": { "a/b": 1 } }),
                json!({ "m": {} }),
                json!({ "m": "text" }),
                json!({ "m": "text" }),
                "/m/a~1b",
            ),
            (
                containers(json!([{ "name": "a", "tty": true }])),
                containers(json!([{ "name": "a", "tty": false }])),
                containers(json!([{ "name": "b" }])),
                containers(json!([{ "name": "b" }])),
                "/spec/containers/[a]/tty",
            ),
        ];
        for (before, after, today, back, since) in table {
            assert_eq!(
                taken_back(&before, &after, &today),
                (back, vec![since.to_owned()]),
                "{before} {after} {today}"
            );
        }
    }

    #[test]
    fn it_is_seen_when_all_is_back() {
        let fields = Fields::between(&json!({ "a": 1 }), &json!({ "a": 2, "b": 2 }));
        for (today, are_back) in [
            (json!({ "a": 1 }), true),
            (json!({ "a": 1, "c": 3 }), true),
            (json!({ "a": 2, "b": 2 }), false),
            (json!({ "a": 1, "b": 2 }), false),
            (json!({ "a": 3 }), false),
        ] {
            assert_eq!(fields.are_back(&today), are_back, "{today}");
        }
    }

    fn manifest() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0..3_u8).prop_map(Value::from),
            "[a-c]".prop_map(Value::from),
        ];
        let tree = leaf.prop_recursive(4, 24, 4, |inner| {
            let object = prop::collection::btree_map("[a-d/~]|name", inner.clone(), 0..4);
            let object = object.prop_map(|object| Value::Object(object.into_iter().collect()));
            prop_oneof![prop::collection::vec(inner, 0..3).prop_map(Value::Array), object]
        });
        prop::collection::btree_map("[a-d]", tree, 0..4)
            .prop_map(|object| Value::Object(object.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn a_change_that_nobody_touched_is_taken_back_whole(before in manifest(), after in manifest()) {
            let (back, since) = taken_back(&before, &after, &after);
            prop_assert_eq!(since, Vec::<String>::new());
            let fields = Fields::between(&before, &after);
            prop_assert!(fields.are_back(&back), "{} {} {}", before, after, back);
            prop_assert_eq!(fields.taken_back(&back).0, back, "once is enough");
        }
    }
}
