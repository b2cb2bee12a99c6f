//! What a plugin may ask: the desired state at one commit, read-only.

use std::error::Error;
use std::fmt;

use serde_json::Value;

#[cfg(target_arch = "wasm32")]
use crate::guest::DesiredState;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::DesiredState;
use crate::{Falco, Missing, ObjectRef, Stop};

/// Look-ups in the desired state. All of them see one commit, for the whole of an event.
///
/// ```
/// use riposte_sdk::prelude::*;
///
/// fn halve(alert: Falco, context: &Context) -> Answer {
///     let owner = context.owner(&alert)?;
///     let replicas: u32 = context.get(&owner)?.integer_at("/spec/replicas")?;
///     propose(format!("Halve {owner}")).because(alert.rule()?).with(Patch::scale(&owner, replicas / 2)).into()
/// }
/// ```
#[derive(Debug)]
pub struct Context {
    desired: DesiredState,
}

impl Context {
    pub(crate) fn new(desired: DesiredState) -> Self {
        Self { desired }
    }

    /// The object that the alert's pod comes from: the one that Falco's k8smeta plugin names, or else
    /// the one that the pod's name tells.
    ///
    /// A Deployment that k8smeta names and the desired state does not have is the end, unless a
    /// HelmRelease made it: whatever else the pod's name could tell would be another object than the one
    /// that Falco saw.
    ///
    /// # Errors
    /// When the alert does not say enough, and when none or several could have made the pod. `?`
    /// turns it into an ignore.
    pub fn owner(&self, alert: &Falco) -> Result<ObjectRef, NoOwner> {
        let namespace = alert.namespace()?;
        if let Ok(name) = alert.deployment() {
            let found = self.named("Deployment", namespace, name)?;
            let release = || {
                let made_by = self.owner_of(namespace, alert.pod().ok()?).ok()?;
                (made_by.kind == "HelmRelease").then_some(made_by)
            };
            return found.or_else(release).ok_or_else(|| {
                NoOwner::new(format!("the desired state has no Deployment {namespace}/{name}"))
            });
        }
        let made =
            [("ReplicaSet", alert.replica_set()), ("ReplicationController", alert.replication_controller())];
        for (kind, name) in made {
            if let Ok(name) = name
                && let Some(found) = self.named(kind, namespace, name)?
            {
                return Ok(found);
            }
        }
        self.owner_of(namespace, alert.pod()?)
    }

    /// The object that a pod comes from, by the pod's name.
    ///
    /// # Errors
    /// When none or several could have made it. `?` turns it into an ignore.
    pub fn owner_of(&self, namespace: &str, pod: &str) -> Result<ObjectRef, NoOwner> {
        self.desired.owner(namespace, pod).map_err(|candidates| match candidates[..] {
            [] => NoOwner::new(format!(
                "pod {namespace}/{pod}: the desired state has no object that makes such a pod"
            )),
            _ => NoOwner::ambiguous(&format!("pod {namespace}/{pod}"), candidates),
        })
    }

    /// The manifest of an object.
    ///
    /// # Errors
    /// When the desired state does not have it in exactly one place. `?` turns it into an ignore.
    pub fn get(&self, target: &ObjectRef) -> Result<Value, Missing> {
        let found = self.desired.get(target);
        found.ok_or_else(|| Missing::new(format!("the desired state has no {target}")))
    }

    /// The objects of a kind, in one namespace (`"default"`) or in all (`None`), ordered by name.
    #[must_use]
    pub fn find<'n>(&self, kind: &str, namespace: impl Into<Option<&'n str>>) -> Vec<ObjectRef> {
        self.desired.find(kind, namespace.into())
    }

    fn named(&self, kind: &str, namespace: &str, name: &str) -> Result<Option<ObjectRef>, NoOwner> {
        let mut found = self.find(kind, namespace);
        found.retain(|target| target.name == name);
        if found.len() > 1 {
            return Err(NoOwner::ambiguous(&format!("{kind} {namespace}/{name}"), found));
        }
        Ok(found.pop())
    }
}

/// Why a pod has no owner that could be named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoOwner {
    reason: String,
    candidates: Vec<ObjectRef>,
}

impl NoOwner {
    fn new(reason: String) -> Self {
        Self { reason, candidates: Vec::new() }
    }

    fn ambiguous(what: &str, candidates: Vec<ObjectRef>) -> Self {
        let names: Vec<String> = candidates.iter().map(ToString::to_string).collect();
        let reason = format!("{what}: several objects could have made the pod: {}", names.join(", "));
        Self { reason, candidates }
    }

    /// The objects that could have made the pod; none, unless there are several.
    #[must_use]
    pub fn candidates(&self) -> &[ObjectRef] {
        &self.candidates
    }
}

impl fmt::Display for NoOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl Error for NoOwner {}

impl From<Missing> for NoOwner {
    fn from(missing: Missing) -> Self {
        Self::new(missing.to_string())
    }
}

impl From<NoOwner> for Stop {
    fn from(no_owner: NoOwner) -> Self {
        Self::Ignore(no_owner.reason)
    }
}
