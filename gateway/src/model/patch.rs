//! What a plugin answers: a decision, and in it patches to named objects.

use serde::{Deserialize, Serialize};

use super::manifest::ObjectRef;

/// A plugin's answer to an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "camelCase")]
pub enum Decision {
    /// Nothing should change.
    Ignore {
        /// Why, in a sentence for people.
        reason: String,
    },
    /// These patches should be made.
    Propose(Changes),
}

/// The patches of one decision: all of them or none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    /// In the order they are applied.
    pub patches: Vec<Patch>,
    /// The commit's subject without the cause, for example `Scale default/web to 0`.
    pub title: String,
    /// Why, in a sentence for people.
    pub reason: String,
}

/// One change to one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Patch {
    /// The object to change.
    pub target: ObjectRef,
    /// What to change in it.
    pub change: Change,
}

/// The changes of the contract: three patch languages, a new object, and the end of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// RFC 6902: an array of operations.
    JsonPatch(serde_json::Value),
    /// RFC 7396: an object that is merged into the manifest.
    MergePatch(serde_json::Value),
    /// An object that is merged as Kubernetes' types say: lists of named elements by their names.
    StrategicMergePatch(serde_json::Value),
    /// A new object, in a file of its own in the folder of another one.
    Create {
        /// The manifest: a JSON object.
        manifest: serde_json::Value,
        /// The object whose folder, and kustomization, the new one shares.
        beside: ObjectRef,
    },
    /// The object goes, and its file if nothing else is in it.
    Delete {},
}
