//! What a plugin may change, and whether the result is a valid object: only from here comes a
//! [`ValidatedChange`].
//!
//! All reasons against a proposal are collected and given at once. Nothing here writes.

mod create;
mod custom;
mod definition;
mod delete;
mod draft;
mod grant;
mod refusal;
mod schema;
mod semantics;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use custom::{Config, DefinitionError};
use draft::Draft;
pub use grant::not_granted;
pub use refusal::{Refusal, Refusals};
pub use schema::Schemas;

use crate::model::manifest::{CommitSha, ObjectRef};
use crate::model::patch::{Change, Changes, Patch};
use crate::model::plugin::Grants;
use crate::repository::edit::{differences, patched};
use crate::repository::{EditError, FileChange, Located, Snapshot};

/// The annotation by which a manifest protects itself.
const PROTECT: &str = "/metadata/annotations/riposte.dev~1protect";

/// What no plugin may do, whatever its grants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Guardrails {
    /// Namespaces that are never touched.
    pub protected_namespaces: Vec<String>,
    /// The most commits that one plugin may make within the window.
    pub commits_max: u32,
    /// The window, in seconds.
    pub window_s: u32,
}

impl Guardrails {
    /// Whether a plugin that made so many commits within the window may make another one.
    ///
    /// # Errors
    /// When it has made all that it may.
    pub fn check_window(&self, plugin: &str, commits: i64) -> Result<(), Refusals> {
        let (commits_max, window_s) = (self.commits_max, self.window_s);
        let refusal = || vec![Refusal::Window { plugin: plugin.to_owned(), commits_max, window_s }];
        let refusals = if commits < i64::from(commits_max) { Vec::new() } else { refusal() };
        Refusals::new(refusals).map_or(Ok(()), Err)
    }
}

impl Default for Guardrails {
    fn default() -> Self {
        let names = ["kube-system", "kube-public", "kube-node-lease", "flux-system"];
        Self { protected_namespaces: names.map(str::to_owned).to_vec(), commits_max: 100, window_s: 3_600 }
    }
}

/// What became of a proposal that is allowed.
#[derive(Debug)]
pub enum Validated {
    /// The desired state already is as proposed.
    Unchanged,
    /// This is to be committed.
    Change(ValidatedChange),
}

/// A change that may be committed on its base.
#[derive(Debug)]
pub struct ValidatedChange {
    base: CommitSha,
    files: Vec<FileChange>,
    diff: String,
}

impl ValidatedChange {
    /// The commit that the change was made for.
    #[must_use]
    pub fn base(&self) -> &CommitSha {
        &self.base
    }

    /// Every file that changes, whole.
    #[must_use]
    pub fn files(&self) -> &[FileChange] {
        &self.files
    }

    /// The change as a unified diff.
    #[must_use]
    pub fn diff(&self) -> &str {
        &self.diff
    }
}

/// What a proposal is held against.
struct Rules<'a> {
    grants: &'a Grants,
    guardrails: &'a Guardrails,
    schemas: &'a Schemas,
    snapshot: &'a Snapshot,
}

/// Checks a proposal's changes against the snapshot, and makes the new texts.
///
/// # Errors
/// Every reason why it is refused.
pub fn validate(
    changes: &Changes,
    grants: &Grants,
    guardrails: &Guardrails,
    schemas: &Schemas,
    snapshot: &Snapshot,
) -> Result<Validated, Refusals> {
    let rules = Rules { grants, guardrails, schemas, snapshot };
    let mut draft = Draft::new(snapshot);
    let mut refusals = Vec::new();
    for patch in &changes.patches {
        let drafted = match &patch.change {
            Change::Delete {} => delete::delete(&mut draft, &rules, &patch.target),
            _ if delete::deletes(changes, &patch.target) => {
                let reason = "another patch of the proposal deletes it".to_owned();
                Err(vec![Refusal::Delete { target: patch.target.clone(), reason }])
            }
            Change::Create { manifest, beside } => {
                create::create(&mut draft, &rules, &patch.target, manifest, beside)
            }
            Change::JsonPatch(_) | Change::MergePatch(_) => change(&mut draft, &rules, patch),
        };
        refusals.extend(drafted.err().unwrap_or_default());
    }
    match Refusals::new(refusals) {
        Some(refusals) => Err(refusals),
        None => Ok(draft.finish()),
    }
}

/// Changes an object that is there.
fn change(draft: &mut Draft<'_>, rules: &Rules<'_>, patch: &Patch) -> Result<(), Vec<Refusal>> {
    let located = allowed(patch, rules, draft.snapshot())?;
    let before = draft.manifest(&patch.target).unwrap_or(&located.manifest);
    let after = apply(patch, &located, before, rules)?;
    let files = draft.snapshot().write(&located, before, &after, draft);
    for (path, text) in files.map_err(|error| edit_refused(&patch.target, &located, error))? {
        draft.put(&path, text)?;
    }
    draft.now(&patch.target, after);
    Ok(())
}

/// What the grants and the guardrails say of an object as a whole.
fn check_object(rules: &Rules<'_>, target: &ObjectRef) -> Vec<Refusal> {
    let mut reasons = grant::check_object(rules.grants, target);
    let protected = &rules.guardrails.protected_namespaces;
    // What happens to a namespace happens to all that is in it.
    let namespace = if target.kind == "Namespace" { Some(&target.name) } else { target.namespace.as_ref() };
    if namespace.is_some_and(|namespace| protected.contains(namespace)) {
        let by = "its namespace is protected by the configuration".to_owned();
        reasons.push(Refusal::Protected { target: target.clone(), by });
    }
    reasons
}

/// Grants on the object, guardrails, and where it stands.
fn allowed(patch: &Patch, rules: &Rules<'_>, snapshot: &Snapshot) -> Result<Located, Vec<Refusal>> {
    let target = &patch.target;
    let mut reasons = check_object(rules, target);
    match snapshot.locate(target) {
        Ok(located) => {
            reasons.extend(protects_itself(target, &located.manifest));
            if reasons.is_empty() { Ok(located) } else { Err(reasons) }
        }
        Err(error) => {
            reasons.push(Refusal::Lookup { target: target.clone(), error });
            Err(reasons)
        }
    }
}

/// What a manifest says against any change of it.
fn protects_itself(target: &ObjectRef, manifest: &Value) -> Option<Refusal> {
    let protects = manifest.pointer(PROTECT).is_some_and(|value| value == "true" || value == true);
    let by = "its manifest has riposte.dev/protect";
    protects.then(|| Refusal::Protected { target: target.clone(), by: by.to_owned() })
}

fn edit_refused(target: &ObjectRef, located: &Located, error: EditError) -> Vec<Refusal> {
    vec![Refusal::Edit { target: target.clone(), path: located.path.clone(), error }]
}

/// The manifest after the patch.
fn apply(patch: &Patch, located: &Located, before: &Value, rules: &Rules<'_>) -> Result<Value, Vec<Refusal>> {
    let target = &patch.target;
    let refused = |error| edit_refused(target, located, error);
    let after = patched(before, &patch.change).map_err(refused)?;
    let changed = differences(before, &after).map_err(refused)?;
    let mut reasons: Vec<Refusal> = grant::check_fields(rules.grants, target, &changed).into_iter().collect();
    reasons.extend(identity(target, before, &after));
    if !changed.is_empty() {
        reasons.extend(rules.schemas.check(rules.snapshot, target, Some(before), &after));
        reasons.extend(semantics::check(target, &after));
    }
    if reasons.is_empty() { Ok(after) } else { Err(reasons) }
}

/// A patch changes an object; it never makes another one of it.
fn identity(target: &ObjectRef, before: &Value, after: &Value) -> Option<Refusal> {
    const IDENTITY: [&str; 7] = [
        "/apiVersion",
        "/kind",
        "/metadata/name",
        "/metadata/namespace",
        "/metadata/generateName",
        "/metadata/uid",
        "/metadata/ownerReferences",
    ];
    let field = IDENTITY.iter().find(|field| before.pointer(field) != after.pointer(field))?;
    Some(Refusal::Identity { target: target.clone(), field })
}
