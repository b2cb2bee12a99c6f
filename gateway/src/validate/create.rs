//! A new object: in a file of its own beside another object's, listed where that one is listed.
//!
//! The plugin names two objects, never a path. Whatever would not reach the cluster, or would reach
//! another namespace, is refused.

use serde_json::{Value, json};

use super::{Draft, Refusal, Rules, check_object, grant, semantics};
use crate::edit::{edit, read, written};
use crate::model::manifest::ObjectRef;
use crate::snapshot::{Home, LookupError};

/// The longest name of a new file, in bytes.
const FILE_NAME_BYTES_MAX: usize = 200;

/// Drafts the new file, and its line in the kustomization.
pub(super) fn create(
    draft: &mut Draft<'_>,
    rules: &Rules<'_>,
    target: &ObjectRef,
    manifest: &Value,
    beside: &ObjectRef,
) -> Result<(), Vec<Refusal>> {
    let refuse = |reason: String| vec![Refusal::Create { target: target.clone(), reason }];
    let mut reasons = check_object(rules, target);
    if !rules.grants.create {
        reasons.push(Refusal::CreateGrant { target: target.clone() });
    }
    reasons.extend(identity(target, manifest, beside).map(|reason| refuse(reason).remove(0)));
    reasons.extend(rules.schemas.check(rules.snapshot, target, None, manifest));
    reasons.extend(semantics::check(target, None, manifest));
    reasons.extend(grant::check_labels(rules.grants, target, manifest));
    let (home, path) = match place(draft, target, manifest, beside) {
        Ok(place) => place,
        Err(more) => {
            // What is wrong with the object has been said; where it would go hangs on it.
            if reasons.is_empty() || matches!(more.as_slice(), [Refusal::Lookup { .. }]) {
                reasons.extend(more);
            }
            return Err(reasons);
        }
    };
    reasons.extend(grant::check_path(rules.grants, target, &path));
    if !reasons.is_empty() {
        return Err(reasons);
    }
    // An earlier proposal of the same commit may have made or deleted it.
    let taken = |reason| draft.taken(target).map_or_else(|| refuse(reason), |taken| vec![taken]);
    if is_there(draft, target, manifest).map_err(taken)? {
        return Ok(());
    }
    if draft.has(&path) {
        return Err(refuse(format!("{path} is there already, and has no such object")));
    }
    let text = written(manifest).map_err(|error| refuse(error.to_string()))?;
    if let Some((kustomization, text)) = listed(draft, &home, &path).map_err(refuse)? {
        draft.put(&kustomization, text)?;
    }
    draft.put(&path, text)?;
    draft.now(target, manifest.clone());
    Ok(())
}

/// Where the new object goes that shall stand beside another one, and its file.
fn place(
    draft: &Draft<'_>,
    target: &ObjectRef,
    manifest: &Value,
    beside: &ObjectRef,
) -> Result<(Home, String), Vec<Refusal>> {
    let refuse = |reason: String| vec![Refusal::Create { target: target.clone(), reason }];
    let neighbour = draft.snapshot().locate(beside);
    let neighbour = neighbour.map_err(|error| vec![Refusal::Lookup { target: beside.clone(), error }])?;
    let name = file_name(target).map_err(refuse)?;
    let home = draft.snapshot().home(&neighbour, target, manifest).map_err(refuse)?;
    let path = joined(&home.folder, &name);
    Ok((home, path))
}

/// The manifest says of itself what the plugin says of it.
fn identity(target: &ObjectRef, manifest: &Value, beside: &ObjectRef) -> Option<String> {
    let named = [
        ("/apiVersion", Some(target.api_version.as_str())),
        ("/kind", Some(target.kind.as_str())),
        ("/metadata/name", Some(target.name.as_str())),
        ("/metadata/namespace", target.namespace.as_deref()),
    ];
    let differs =
        |(field, named): &&(&str, Option<&str>)| manifest.pointer(field).and_then(Value::as_str) != *named;
    if let Some((field, _)) = named.iter().find(differs) {
        return Some(format!("its manifest says something else under {field}"));
    }
    // Kustomize would move it to the neighbour's namespace.
    let same = target.namespace.is_some() && target.namespace == beside.namespace;
    (!same).then(|| format!("it has to be of the namespace of {beside}, beside which it shall stand"))
}

/// Whether the very same object is there. Kustomize may have given it its namespace.
fn is_there(draft: &Draft<'_>, target: &ObjectRef, manifest: &Value) -> Result<bool, String> {
    let found = match draft.snapshot().locate(target) {
        Ok(located) if draft.is_deleted(&located) => return Err("it is deleted".to_owned()),
        Ok(located) => located.manifest,
        Err(LookupError::Unknown) => match draft.manifest(target) {
            Some(made) => made.clone(),
            None => return Ok(false),
        },
        Err(error) => return Err(error.to_string()),
    };
    let mut placed = found;
    if let Some(metadata) = placed.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("namespace".to_owned(), json!(target.namespace));
    }
    if placed == *manifest { Ok(true) } else { Err("an object of that name is there already".to_owned()) }
}

fn file_name(target: &ObjectRef) -> Result<String, String> {
    let name = format!("{}-{}.yaml", target.kind.to_lowercase(), target.name);
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    if name.len() <= FILE_NAME_BYTES_MAX && name.bytes().all(plain) {
        Ok(name)
    } else {
        Err(format!("{name:?} is no name for a file: lower-case letters, digits, '-' and '.' only"))
    }
}

fn joined(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// A path as a kustomization in that folder writes it.
fn as_seen_from(folder: &str, path: &str) -> String {
    let (mut ups, mut folder) = (0, folder);
    loop {
        if folder.is_empty() {
            return "../".repeat(ups) + path;
        }
        if let Some(below) = path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')) {
            return "../".repeat(ups) + below;
        }
        folder = folder.rsplit_once('/').map_or("", |(parent, _)| parent);
        ups += 1;
    }
}

/// The kustomization that has to list the new file, with it; `None` without one.
fn listed(draft: &Draft<'_>, home: &Home, path: &str) -> Result<Option<(String, String)>, String> {
    let Some((kustomization, folder)) = &home.lister else { return Ok(None) };
    let refused = |error: &dyn std::fmt::Display| format!("{kustomization} cannot list it: {error}");
    let text = draft.text(kustomization);
    let mut manifest = read(text).map_err(|error| refused(&error))?.into_iter().next().unwrap_or_default();
    let Some(resources) = manifest.get_mut("resources").and_then(Value::as_array_mut) else {
        return Err(refused(&"it has no resources"));
    };
    resources.push(json!(as_seen_from(folder, path)));
    let text = edit(text, 0, &manifest).map_err(|error| refused(&error))?;
    Ok(Some((kustomization.clone(), text)))
}

#[cfg(test)]
mod tests {
    use super::as_seen_from;

    #[test]
    fn a_kustomization_lists_paths_from_its_own_folder() {
        let table = [
            ("", "a.yaml", "a.yaml"),
            ("", "apps/a.yaml", "apps/a.yaml"),
            ("apps", "apps/a.yaml", "a.yaml"),
            ("apps", "apps/web/a.yaml", "web/a.yaml"),
            ("apps", "apps-too/a.yaml", "../apps-too/a.yaml"),
            ("clusters/eu", "base/web/a.yaml", "../../base/web/a.yaml"),
            ("base/over", "base/web/a.yaml", "../web/a.yaml"),
        ];
        for (folder, path, expected) in table {
            assert_eq!(as_seen_from(folder, path), expected, "{path} from {folder:?}");
        }
    }
}
