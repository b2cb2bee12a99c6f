//! Which kustomizations apply a file, and so into which namespace its objects go.
//!
//! The namespace is what grants and protected namespaces are checked against, so it is never guessed:
//! a file that reaches several namespaces, or that its own folder's kustomization leaves out, has no
//! objects, with the reason.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::index::{File, SourceFile};

/// The most kustomizations that may stand above a file.
const INCLUDERS_MAX: usize = 100;

/// The names that kustomize reads.
const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// What a kustomization does to the objects it includes.
#[derive(Debug, Default)]
struct Kustomization {
    path: String,
    namespace: Option<String>,
    /// Paths of files and folders, from the root of the repository.
    includes: BTreeSet<String>,
}

/// The kustomizations of one commit, by their folders.
#[derive(Debug, Default)]
pub(super) struct Kustomizations {
    by_folder: BTreeMap<String, Kustomization>,
    /// Which folders' kustomizations include a file or folder.
    includers: BTreeMap<String, Vec<String>>,
}

/// Whether a file of that name is a kustomization.
pub(super) fn is_kustomization(name: &str) -> bool {
    NAMES.contains(&name)
}

impl Kustomizations {
    pub(super) fn read(files: &[(SourceFile, Arc<File>)]) -> Self {
        let mut all = Self::default();
        for (file, read) in files {
            let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
            let entries = read.as_ref().as_ref().map(Vec::as_slice).unwrap_or_default();
            let manifest = entries.first().and_then(|entry| entry.kustomization.as_deref());
            if let (true, Some(manifest)) = (is_kustomization(name), manifest) {
                let found = Kustomization::read(&file.path, folder, manifest);
                for included in &found.includes {
                    all.includers.entry(included.clone()).or_default().push(folder.to_owned());
                }
                all.by_folder.insert(folder.to_owned(), found);
            }
        }
        all
    }

    /// The namespace that kustomize gives to the objects of a file; `None` if it leaves them theirs.
    ///
    /// # Errors
    /// Why the objects of the file are not to be changed.
    pub(super) fn namespace_of(&self, path: &str) -> Result<Option<&str>, String> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        if let Some(own) = self.by_folder.get(folder)
            && !is_kustomization(name)
            && !own.includes.contains(path)
        {
            return Err("the kustomization of its folder does not list it under resources".to_owned());
        }
        let namespaces = self.namespaces(path)?;
        match namespaces.len() {
            0 => Err("kustomizations include each other in a circle".to_owned()),
            1 => Ok(namespaces.first().copied().flatten()),
            _ => {
                let names: Vec<&str> = namespaces.iter().map(|found| found.unwrap_or("its own")).collect();
                Err(format!("kustomizations apply it to several namespaces: {}", names.join(", ")))
            }
        }
    }

    /// The kustomization that lists a file, and its folder; `None` if none does.
    ///
    /// # Errors
    /// When several do: a new file beside this one would have to be listed in all of them.
    pub(super) fn lister_of(&self, path: &str) -> Result<Option<(&str, &str)>, String> {
        match self.includers.get(path).map(Vec::as_slice) {
            None | Some([]) => Ok(None),
            Some([folder]) => {
                Ok(self.by_folder.get(folder).map(|found| (found.path.as_str(), folder.as_str())))
            }
            Some(several) => Err(format!("{} kustomizations list {path}", several.len())),
        }
    }

    /// Kustomize works from the inside out: the outermost namespace replaces the others.
    fn namespaces(&self, path: &str) -> Result<BTreeSet<Option<&str>>, String> {
        let mut found = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut open = vec![(path, None)];
        while let Some((included, inner)) = open.pop() {
            if !seen.insert((included, inner)) {
                continue;
            }
            if seen.len() > INCLUDERS_MAX {
                return Err(format!("more than {INCLUDERS_MAX} kustomizations include it"));
            }
            let Some(includers) = self.includers.get(included) else {
                found.insert(inner);
                continue;
            };
            for folder in includers {
                let outer = self.by_folder.get(folder).and_then(|outer| outer.namespace.as_deref());
                open.push((folder, outer.or(inner)));
            }
        }
        Ok(found)
    }
}

impl Kustomization {
    fn read(path: &str, folder: &str, manifest: &Value) -> Self {
        let texts = |key: &str| {
            let items = manifest.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            items.iter().filter_map(Value::as_str)
        };
        let included = texts("resources").chain(texts("bases")).chain(texts("components"));
        Self {
            path: path.to_owned(),
            namespace: manifest.get("namespace").and_then(Value::as_str).map(str::to_owned),
            includes: included.filter_map(|path| joined(folder, path)).collect(),
        }
    }
}

/// A path as seen from a folder; `None` for what is not in the repository.
fn joined(folder: &str, path: &str) -> Option<String> {
    if path.contains("://") || path.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::index;

    fn read(files: &[(&str, &str)]) -> Kustomizations {
        let file = |(path, text): &(&str, &str)| {
            let source =
                SourceFile { path: (*path).to_owned(), blob: (*path).to_owned(), text: (*text).into() };
            (source, Arc::new(index::read(text)))
        };
        Kustomizations::read(&files.iter().map(file).collect::<Vec<_>>())
    }

    #[test]
    fn the_outermost_namespace_holds() {
        type Row<'a> = (&'a [(&'a str, &'a str)], Result<Option<&'a str>, &'a str>);
        let table: [Row<'_>; 9] = [
            (&[], Ok(None)),
            (&[("a/kustomization.yaml", "kind: Kustomization\nresources: [b/w.yaml]\n")], Ok(None)),
            (&[("a/b/kustomization.yaml", "namespace: in\nresources: [./w.yaml]\n")], Ok(Some("in"))),
            (
                &[
                    ("a/b/kustomization.yaml", "namespace: in\nresources: [w.yaml]\n"),
                    ("a/kustomization.yml", "namespace: kube-system\nresources: [b/]\n"),
                ],
                Ok(Some("kube-system")),
            ),
            (
                &[
                    ("a/b/kustomization.yaml", "namespace: in\nresources: [w.yaml]\n"),
                    ("a/kustomization.yml", "resources: [b]\n"),
                ],
                Ok(Some("in")),
            ),
            (
                &[
                    ("a/b/kustomization.yaml", "resources: [w.yaml]\n"),
                    ("over/one/Kustomization", "namespace: one\nresources: [../../a/b]\n"),
                    ("over/two/kustomization.yaml", "namespace: two\nbases: [../../a/b]\n"),
                ],
                Err("several namespaces: one, two"),
            ),
            (
                &[
                    ("a/b/kustomization.yaml", "resources: [w.yaml]\n"),
                    ("over/one/kustomization.yaml", "namespace: one\ncomponents: [../../a/b]\n"),
                ],
                Ok(Some("one")),
            ),
            (
                &[(
                    "a/b/kustomization.yaml",
                    "namespace: in\nresources: [x.yaml]\npatches: [{path: w.yaml}]\n",
                )],
                Err("does not list it"),
            ),
            (
                &[
                    ("a/b/kustomization.yaml", "resources: [w.yaml, ../c]\n"),
                    ("a/c/kustomization.yaml", "resources: [../b]\n"),
                ],
                Err("in a circle"),
            ),
        ];
        for (files, expected) in table {
            let found = read(files);
            match (found.namespace_of("a/b/w.yaml"), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{files:?}"),
                (Err(reason), Err(words)) => assert!(reason.contains(words), "{files:?}: {reason}"),
                (found, expected) => panic!("{files:?}: {found:?}, not {expected:?}"),
            }
        }
    }
}
