//! Read-only look-ups in the desired state, all at one commit.

use std::fmt;

use serde_json::Value;

/// The name of an object: never a path, the gateway finds the file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectRef {
    /// For example `apps/v1`.
    pub api_version: String,
    /// For example `Deployment`.
    pub kind: String,
    /// `None` for an object without a namespace.
    pub namespace: Option<String>,
    /// The object's name.
    pub name: String,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// Why a pod has no owner that could be named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnerError {
    /// No object of the desired state makes such a pod.
    Unknown,
    /// Several could have made it.
    Ambiguous(Vec<ObjectRef>),
}

impl fmt::Display for OwnerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("the desired state has no object that makes such a pod"),
            Self::Ambiguous(candidates) => {
                let names: Vec<String> = candidates.iter().map(ToString::to_string).collect();
                write!(f, "several objects could have made the pod: {}", names.join(", "))
            }
        }
    }
}

/// The desired state at one commit.
pub trait DesiredState {
    /// The manifest of an object.
    fn get(&self, target: &ObjectRef) -> Option<Value>;
    /// Objects of a kind, in one namespace or in all.
    fn find(&self, kind: &str, namespace: Option<&str>) -> Vec<ObjectRef>;
    /// The object that a pod comes from, by the pod's name.
    ///
    /// # Errors
    /// When none or several could have made it.
    fn owner(&self, namespace: &str, pod: &str) -> Result<ObjectRef, OwnerError>;
}
