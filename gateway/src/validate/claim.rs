//! What accepted proposals have set, so that a later one of the same commit does not undo it unseen.
//!
//! A field that is set to the same value is no conflict, nor are two elements that are put into one list.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Refusal;
use crate::edit::differences;
use crate::model::manifest::ObjectRef;

/// An object of a cluster: the same names in another one are another object.
pub(super) type Object = (Option<String>, ObjectRef);

/// What earlier proposals have done, by object.
#[derive(Debug, Clone, Default)]
pub struct Claims(BTreeMap<Object, Vec<Claim>>);

#[derive(Debug, Clone)]
struct Claim {
    /// Who has done it, for people.
    by: String,
    /// Where, as a JSON pointer; empty for the whole object.
    field: String,
    kept: Kept,
}

/// What has to stay true.
#[derive(Debug, Clone)]
enum Kept {
    /// The field has this value, or is not there.
    Value(Option<Value>),
    /// The list has these elements, and those no more.
    Elements { has: Vec<Value>, has_not: Vec<Value> },
}

impl Kept {
    fn new(before: Option<&Value>, after: Option<&Value>) -> Self {
        match (before, after) {
            (Some(Value::Array(old)), Some(Value::Array(new))) => {
                let but = |these: &[Value], those: &[Value]| {
                    these.iter().filter(|element| !those.contains(element)).cloned().collect()
                };
                Self::Elements { has: but(new, old), has_not: but(old, new) }
            }
            _ => Self::Value(after.cloned()),
        }
    }

    fn is_true_of(&self, now: Option<&Value>) -> bool {
        match (self, now) {
            (Self::Value(value), now) => value.as_ref() == now,
            (Self::Elements { has, has_not }, Some(Value::Array(now))) => {
                has.iter().all(|element| now.contains(element))
                    && !has_not.iter().any(|element| now.contains(element))
            }
            (Self::Elements { .. }, _) => false,
        }
    }
}

impl Claims {
    /// Notes what a proposal has made of an object.
    pub(super) fn add(&mut self, object: &Object, before: Option<&Value>, after: Option<&Value>, by: &str) {
        // A whole object that came or went, and one whose differences cannot be told, counts as a whole.
        let fields = match (before, after) {
            (Some(before), Some(after)) => differences(before, after).ok(),
            _ => None,
        };
        let at = |value: Option<&Value>, field: &str| value.and_then(|value| value.pointer(field)).cloned();
        let claims = fields.unwrap_or_else(|| vec![String::new()]).into_iter().map(|field| Claim {
            by: by.to_owned(),
            kept: Kept::new(at(before, &field).as_ref(), at(after, &field).as_ref()),
            field,
        });
        self.0.entry(object.clone()).or_default().extend(claims);
    }

    /// The first thing that would be undone if the object became this.
    pub(super) fn undone(&self, object: &Object, after: Option<&Value>) -> Option<Refusal> {
        let mut claims = self.0.get(object)?.iter();
        let now = |claim: &Claim| after.and_then(|after| after.pointer(&claim.field));
        let undone = claims.find(|claim| !claim.kept.is_true_of(now(claim)))?;
        Some(undone.refusal(&object.1))
    }

    /// Who has made or deleted the object as a whole.
    pub(super) fn whole(&self, object: &Object) -> Option<Refusal> {
        let claim = self.0.get(object)?.iter().find(|claim| claim.field.is_empty())?;
        Some(claim.refusal(&object.1))
    }
}

impl Claim {
    fn refusal(&self, target: &ObjectRef) -> Refusal {
        let what = match (&self.kept, self.field.as_str()) {
            (Kept::Value(None), "") => "it is deleted".to_owned(),
            (_, "") => "it is made otherwise".to_owned(),
            (_, field) => format!("{field} is set otherwise"),
        };
        Refusal::Conflict { target: target.clone(), what, by: self.by.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object() -> Object {
        let target = ObjectRef {
            api_version: "apps/v1".to_owned(),
            kind: "Deployment".to_owned(),
            namespace: Some("default".to_owned()),
            name: "web".to_owned(),
        };
        (Some("eu".to_owned()), target)
    }

    #[test]
    fn a_later_change_is_told_what_it_would_undo() {
        // Before, after the first, after the second; the field that is in the way.
        let table = [
            (json!({ "r": 3 }), json!({ "r": 0 }), json!({ "r": 0, "x": 1 }), None),
            (json!({ "r": 3 }), json!({ "r": 0 }), json!({ "r": 1 }), Some("/r")),
            (json!({ "r": 3 }), json!({ "r": 0 }), json!({}), Some("/r")),
            (json!({ "r": 3 }), json!({}), json!({ "r": 3 }), Some("/r")),
            (json!({ "a": { "b": 1 } }), json!({ "a": { "b": 2 } }), json!({ "a": 7 }), Some("/a/b")),
            (json!({ "l": [1] }), json!({ "l": [1, 2] }), json!({ "l": [1, 2, 3] }), None),
            (json!({ "l": [1] }), json!({ "l": [1, 2] }), json!({ "l": [9, 2] }), None),
            (json!({ "l": [1] }), json!({ "l": [1, 2] }), json!({ "l": [1, 3] }), Some("/l")),
            (json!({ "l": [1, 2] }), json!({ "l": [1] }), json!({ "l": [1, 2, 3] }), Some("/l")),
            (json!({ "l": [1, 2] }), json!({ "l": [1] }), json!({ "l": "x" }), Some("/l")),
            (json!({ "l": [1, 2] }), json!({ "l": [5, 2] }), json!({ "l": [5, 3] }), None),
            (json!({ "l": [1, 2] }), json!({ "l": [5, 2] }), json!({ "l": [4, 2] }), Some("/l/0")),
        ];
        for (before, first, second, expected) in table {
            let mut claims = Claims::default();
            claims.add(&object(), Some(&before), Some(&first), "the first");
            assert_eq!(claims.undone(&object(), Some(&first)), None, "its own change: {before} {first}");
            let found = claims.undone(&object(), Some(&second));
            let what = expected.map(|field| format!("{field} is set otherwise"));
            let expected =
                what.map(|what| Refusal::Conflict { target: object().1, what, by: "the first".to_owned() });
            assert_eq!(found, expected, "{before} {first} {second}");
        }
    }

    #[test]
    fn whole_objects_that_come_and_go_are_told_as_such() {
        let (one, other) = (json!({ "a": 1 }), json!({ "a": 2 }));
        let mut made = Claims::default();
        made.add(&object(), None, Some(&one), "x");
        assert_eq!(made.undone(&object(), Some(&one)), None);
        assert!(made.undone(&object(), Some(&other)).unwrap().to_string().contains("made otherwise by x"));
        assert!(made.undone(&object(), None).is_some());
        let mut deleted = Claims::default();
        deleted.add(&object(), Some(&one), None, "x");
        assert_eq!(deleted.undone(&object(), None), None);
        assert!(deleted.whole(&object()).unwrap().to_string().contains("deleted by x"));
        let other = (object().0, ObjectRef { name: "db".to_owned(), ..object().1 });
        assert_eq!(deleted.undone(&other, Some(&one)), None);
        assert_eq!(deleted.undone(&(None, object().1), Some(&one)), None, "of another cluster");
    }
}
