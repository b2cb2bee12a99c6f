//! What no plugin may do, whatever its grants: protected namespaces and objects, and how much in a window.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::grant::{fits, is_kind};
use super::{Refusal, Refusals};
use crate::model::manifest::ObjectRef;

/// The annotation by which a manifest protects itself.
const PROTECT: &str = "/metadata/annotations/riposte.dev~1protect";

/// What no plugin may do, whatever its grants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Guardrails {
    /// Namespaces that are never touched.
    pub protected_namespaces: Vec<String>,
    /// Objects that are never touched: those that fit any of these.
    pub protected_objects: Vec<ObjectPattern>,
    /// The most commits that one plugin may make within the window.
    pub commits_max: u32,
    /// The most objects that one plugin may change within the window.
    pub workloads_max: u32,
    /// The window, in seconds.
    pub window_s: u32,
}

impl Default for Guardrails {
    fn default() -> Self {
        let names = ["kube-system", "kube-public", "kube-node-lease", "flux-system"];
        Self {
            protected_namespaces: names.map(str::to_owned).to_vec(),
            protected_objects: Vec::new(),
            commits_max: 100,
            workloads_max: 100,
            window_s: 3_600,
        }
    }
}

/// Objects by kind, namespace and name; all of them where nothing is said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ObjectPattern {
    /// `apps/v1/Deployment`, `Deployment` for any version, or `*`.
    pub kind: String,
    /// A name, `prefix-*`, or `*`, which objects without a namespace fit too.
    pub namespace: String,
    /// A name, `prefix-*`, or `*`.
    pub name: String,
}

impl Default for ObjectPattern {
    fn default() -> Self {
        Self { kind: "*".to_owned(), namespace: "*".to_owned(), name: "*".to_owned() }
    }
}

impl ObjectPattern {
    fn fits(&self, target: &ObjectRef) -> bool {
        let kind =
            self.kind == "*" || is_kind(&self.kind, &format!("{}/{}", target.api_version, target.kind));
        let namespace =
            target.namespace.as_deref().map_or(self.namespace == "*", |own| fits(&self.namespace, own));
        kind && namespace && fits(&self.name, &target.name)
    }
}

/// What a plugin has done within the window up to now. What is not in the journal yet can be added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Window {
    /// Commits that it made.
    pub commits: u64,
    /// Objects that it changed.
    pub workloads: BTreeSet<ObjectRef>,
}

impl Guardrails {
    /// Whether a plugin that has done so much may change these objects in one more commit.
    ///
    /// # Errors
    /// When that would be more than it may.
    pub fn check_window<'a>(
        &self,
        plugin: &str,
        window: &Window,
        targets: impl IntoIterator<Item = &'a ObjectRef>,
    ) -> Result<(), Refusals> {
        let Self { commits_max, workloads_max, window_s, .. } = *self;
        let mut refusals = Vec::new();
        if window.commits >= u64::from(commits_max) {
            refusals.push(Refusal::Window { plugin: plugin.to_owned(), commits_max, window_s });
        }
        let new: BTreeSet<&ObjectRef> =
            targets.into_iter().filter(|target| !window.workloads.contains(target)).collect();
        let most = usize::try_from(workloads_max).unwrap_or(usize::MAX);
        if !new.is_empty() && window.workloads.len() + new.len() > most {
            refusals.push(Refusal::Workloads { plugin: plugin.to_owned(), workloads_max, window_s });
        }
        Refusals::new(refusals).map_or(Ok(()), Err)
    }

    /// What protects an object, of which nothing but its name is known.
    pub(super) fn check_object(&self, target: &ObjectRef) -> Option<Refusal> {
        // What happens to a namespace happens to all that is in it.
        let namespace =
            if target.kind == "Namespace" { Some(&target.name) } else { target.namespace.as_ref() };
        let by = if namespace.is_some_and(|namespace| self.protected_namespaces.contains(namespace)) {
            "its namespace is protected by the configuration"
        } else if self.protected_objects.iter().any(|pattern| pattern.fits(target)) {
            "it is protected by guardrails.protectedObjects"
        } else {
            return None;
        };
        Some(Refusal::Protected { target: target.clone(), by: by.to_owned() })
    }
}

/// What a manifest says against any change of it.
pub(super) fn protects_itself(target: &ObjectRef, manifest: &Value) -> Option<Refusal> {
    let protects = manifest.pointer(PROTECT).is_some_and(|value| value == "true" || value == true);
    let by = "its manifest has riposte.dev/protect";
    protects.then(|| Refusal::Protected { target: target.clone(), by: by.to_owned() })
}
