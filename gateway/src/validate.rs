//! What a plugin may change, and whether the result is a valid object: only from here comes a
//! [`ValidatedChange`].
//!
//! All reasons against a proposal are collected and given at once. Nothing here writes.

mod grant;
mod refusal;
mod schema;
mod semantics;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use similar::TextDiff;

pub use refusal::{Refusal, Refusals};
pub use schema::Schemas;

use crate::model::manifest::{CommitSha, ObjectRef};
use crate::model::patch::{Changes, Patch};
use crate::model::plugin::Grants;
use crate::repository::edit::{differences, edit, patched};
use crate::repository::{FileChange, Located, Snapshot};

/// The annotation by which a manifest protects itself.
const PROTECT: &str = "/metadata/annotations/riposte.dev~1protect";

/// What no plugin may do, whatever its grants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Guardrails {
    /// Namespaces that are never touched.
    pub protected_namespaces: Vec<String>,
}

impl Default for Guardrails {
    fn default() -> Self {
        let names = ["kube-system", "kube-public", "kube-node-lease", "flux-system"];
        Self { protected_namespaces: names.map(str::to_owned).to_vec() }
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

/// Checks a proposal's patches against the snapshot, and makes the new texts.
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
    let mut refusals = Vec::new();
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    let mut manifests: BTreeMap<ObjectRef, Value> = BTreeMap::new();
    for patch in &changes.patches {
        let located = match allowed(patch, grants, guardrails, snapshot) {
            Ok(located) => located,
            Err(reasons) => {
                refusals.extend(reasons);
                continue;
            }
        };
        // A second patch of one object, or of one file, stands on what the first one made.
        let before = manifests.get(&patch.target).unwrap_or(&located.manifest).clone();
        let text = texts.get(&located.path).map(String::as_str).or_else(|| snapshot.text(&located.path));
        match apply(patch, &located, &before, text.unwrap_or_default(), grants, schemas) {
            Ok((_, text)) if text.len() > snapshot.file_bytes_max() => {
                let (path, file_bytes_max) = (located.path.clone(), snapshot.file_bytes_max());
                refusals.push(Refusal::TooLarge { path, file_bytes_max });
            }
            Ok((after, text)) => {
                manifests.insert(patch.target.clone(), after);
                texts.insert(located.path.clone(), text);
            }
            Err(reasons) => refusals.extend(reasons),
        }
    }
    if let Some(refusals) = Refusals::new(refusals) {
        return Err(refusals);
    }
    texts.retain(|path, text| snapshot.text(path) != Some(text.as_str()));
    if texts.is_empty() {
        return Ok(Validated::Unchanged);
    }
    let diff = texts
        .iter()
        .map(|(path, text)| unified(path, snapshot.text(path).unwrap_or_default(), text))
        .collect();
    let files = texts.into_iter().map(|(path, content)| FileChange { path, content }).collect();
    Ok(Validated::Change(ValidatedChange { base: snapshot.commit().clone(), files, diff }))
}

/// Grants on the object, guardrails, and where it stands.
fn allowed(
    patch: &Patch,
    grants: &Grants,
    guardrails: &Guardrails,
    snapshot: &Snapshot,
) -> Result<Located, Vec<Refusal>> {
    let target = &patch.target;
    let mut reasons = grant::check_object(grants, target);
    if target.namespace.as_ref().is_some_and(|namespace| guardrails.protected_namespaces.contains(namespace))
    {
        let by = "its namespace is protected by the configuration".to_owned();
        reasons.push(Refusal::Protected { target: target.clone(), by });
    }
    match snapshot.locate(target) {
        Ok(located) => {
            if located.manifest.pointer(PROTECT).is_some_and(|value| value == "true" || value == true) {
                let by = "its manifest has riposte.dev/protect".to_owned();
                reasons.push(Refusal::Protected { target: target.clone(), by });
            }
            if reasons.is_empty() { Ok(located) } else { Err(reasons) }
        }
        Err(error) => {
            reasons.push(Refusal::Lookup { target: target.clone(), error });
            Err(reasons)
        }
    }
}

/// The manifest and the file's text after the patch.
fn apply(
    patch: &Patch,
    located: &Located,
    before: &Value,
    text: &str,
    grants: &Grants,
    schemas: &Schemas,
) -> Result<(Value, String), Vec<Refusal>> {
    let target = &patch.target;
    let edit_refused =
        |error| vec![Refusal::Edit { target: target.clone(), path: located.path.clone(), error }];
    let after = patched(before, &patch.change).map_err(edit_refused)?;
    let changed = differences(before, &after);
    let mut reasons: Vec<Refusal> = grant::check_fields(grants, target, &changed).into_iter().collect();
    reasons.extend(identity(target, before, &after));
    if !changed.is_empty() {
        reasons.extend(schemas.check(target, &after));
        reasons.extend(semantics::check(target, &after));
    }
    if !reasons.is_empty() {
        return Err(reasons);
    }
    let text = edit(text, located.document, &after).map_err(edit_refused)?;
    Ok((after, text))
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

fn unified(path: &str, before: &str, after: &str) -> String {
    let diff = TextDiff::from_lines(before, after);
    diff.unified_diff().context_radius(3).header(&format!("a/{path}"), &format!("b/{path}")).to_string()
}
