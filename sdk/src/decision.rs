//! The answer: ignore, or patches to named objects.

use serde_json::{Value, json};

use crate::ObjectRef;

/// What a plugin decides.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Nothing should change, and why.
    Ignore(String),
    /// These patches should be made, all or none.
    Propose(Proposal),
}

/// Patches and what they are for.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// In the order they are applied.
    pub patches: Vec<Patch>,
    /// One line that says what changes, without the cause: the commit's subject.
    pub title: String,
    /// Why, in a sentence for people.
    pub reason: String,
}

/// One change to one object.
#[derive(Debug, Clone, PartialEq)]
pub struct Patch {
    /// The object.
    pub target: ObjectRef,
    /// The change.
    pub change: Change,
}

/// The two patch languages.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// RFC 6902.
    Json(Value),
    /// RFC 7396.
    Merge(Value),
}

impl Decision {
    /// Nothing should change.
    #[must_use]
    pub fn ignore(reason: impl Into<String>) -> Self {
        Self::Ignore(reason.into())
    }

    /// A proposal without patches yet.
    #[must_use]
    pub fn propose(title: impl Into<String>, reason: impl Into<String>) -> Proposal {
        Proposal { patches: Vec::new(), title: title.into(), reason: reason.into() }
    }
}

impl Proposal {
    /// Adds a patch and makes it a decision.
    #[must_use]
    pub fn with(mut self, patch: Patch) -> Decision {
        self.patches.push(patch);
        Decision::Propose(self)
    }
}

impl Patch {
    /// Sets `spec.replicas`.
    #[must_use]
    pub fn scale(target: ObjectRef, replicas: u32) -> Self {
        Self::merge(target, json!({ "spec": { "replicas": replicas } }))
    }

    /// Operations after RFC 6902, as a JSON array.
    #[must_use]
    pub fn json(target: ObjectRef, operations: Value) -> Self {
        Self { target, change: Change::Json(operations) }
    }

    /// An object that is merged into the manifest, after RFC 7396.
    #[must_use]
    pub fn merge(target: ObjectRef, object: Value) -> Self {
        Self { target, change: Change::Merge(object) }
    }
}
