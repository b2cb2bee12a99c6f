//! Where a field of a manifest is, so that it is found again after the manifest has changed.
//!
//! Pure. Elements of a list are named, not counted, wherever they have names.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Where a field is, from the manifest's root.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Place(Vec<Step>);

/// One step to a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Step {
    /// A key of an object.
    Key(String),
    /// The element of a list with that `name`: its number may be another one by then.
    Named {
        /// Its `name`.
        name: String,
    },
}

/// A JSON pointer, with `[name]` for an element of a list.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| match step {
            Step::Key(key) => write!(f, "/{}", key.replace('~', "~0").replace('/', "~1")),
            Step::Named { name } => write!(f, "/[{name}]"),
        })
    }
}

impl Place {
    pub(super) fn push(&mut self, step: Step) {
        self.0.push(step);
    }

    pub(super) fn pop(&mut self) {
        self.0.pop();
    }

    /// What is there.
    #[must_use]
    pub fn find<'a>(&self, manifest: &'a Value) -> Option<&'a Value> {
        find(manifest, &self.0)
    }

    /// Puts a value there, with the objects around it; whether there is such a place.
    pub fn put(&self, manifest: &mut Value, value: &Value) -> bool {
        put(manifest, &self.0, value)
    }

    /// Takes away what is there; whether there was something.
    pub fn remove(&self, manifest: &mut Value) -> bool {
        remove(manifest, &self.0)
    }
}

/// The element of that name, if it is the only one.
pub(super) fn named<'a>(items: &'a [Value], name: &str) -> Option<&'a Value> {
    number(items, name).map(|number| &items[number])
}

fn number(items: &[Value], name: &str) -> Option<usize> {
    let is_it = |item: &Value| item.get("name").and_then(Value::as_str) == Some(name);
    let mut found = items.iter().enumerate().filter(|(_, item)| is_it(item)).map(|(number, _)| number);
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

fn find<'a>(manifest: &'a Value, steps: &[Step]) -> Option<&'a Value> {
    steps.iter().try_fold(manifest, |value, step| match step {
        Step::Key(key) => value.as_object()?.get(key),
        Step::Named { name } => named(value.as_array()?, name),
    })
}

fn find_mut<'a>(manifest: &'a mut Value, steps: &[Step]) -> Option<&'a mut Value> {
    steps.iter().try_fold(manifest, |value, step| match step {
        Step::Key(key) => value.as_object_mut()?.get_mut(key),
        Step::Named { name } => {
            let items = value.as_array_mut()?;
            let number = number(items, name)?;
            items.get_mut(number)
        }
    })
}

fn put(manifest: &mut Value, steps: &[Step], value: &Value) -> bool {
    let Some((step, rest)) = steps.split_first() else {
        manifest.clone_from(value);
        return true;
    };
    match (step, manifest) {
        (Step::Key(key), Value::Object(object)) => match object.get_mut(key) {
            Some(child) => put(child, rest, value),
            None => {
                let mut child = Value::Object(Map::new());
                let is_put = put(&mut child, rest, value);
                if is_put {
                    object.insert(key.clone(), child);
                }
                is_put
            }
        },
        (Step::Named { name }, Value::Array(items)) => match number(items, name) {
            Some(number) => put(&mut items[number], rest, value),
            None if rest.is_empty() => {
                items.push(value.clone());
                true
            }
            None => false,
        },
        _ => false,
    }
}

fn remove(manifest: &mut Value, steps: &[Step]) -> bool {
    let Some((last, parents)) = steps.split_last() else { return false };
    match (last, find_mut(manifest, parents)) {
        (Step::Key(key), Some(Value::Object(object))) => object.remove(key).is_some(),
        (Step::Named { name }, Some(Value::Array(items))) => {
            number(items, name).map(|number| items.remove(number)).is_some()
        }
        _ => false,
    }
}
