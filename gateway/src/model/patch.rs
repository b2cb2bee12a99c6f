//! What a plugin answers: a decision, and in it patches to named objects.

use serde::{Deserialize, Serialize};

use super::manifest::ObjectRef;
use super::undo::Undo;

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
    /// After so many seconds the gateway takes the change back by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_after_s: Option<u32>,
}

/// The longest that a change may hold before it is taken back, in seconds: 30 days.
pub const EXPIRES_AFTER_S_MAX: u32 = 2_592_000;

/// One change to one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Patch {
    /// The object to change.
    pub target: ObjectRef,
    /// What to change in it.
    pub change: Change,
}

/// The changes of the contract (three patch languages, a new object, and the end of one) and one of our own.
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
    /// What an earlier reaction did to the object is taken back. No plugin can ask for it.
    #[serde(rename_all = "camelCase")]
    Undo {
        /// What was done.
        undo: Undo,
        /// Whether what somebody has changed since is left alone; else all of it is refused.
        leave_touched: bool,
    },
}
