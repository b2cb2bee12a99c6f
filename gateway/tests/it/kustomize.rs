//! Objects as a cluster sees them: the same as the real kustomize builds, which made the expected files
//! (`.ci/kustomize`).

use std::path::{Path, PathBuf};

use riposte::model::manifest::ObjectRef;
use serde::Deserialize as _;
use serde_json::Value;

use crate::harness::sandbox::snapshot_of as snapshot;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/kustomize")
}

/// The files below a folder, by their paths in it.
fn files(folder: &Path, within: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, within, found);
        } else {
            let name = path.strip_prefix(within).expect("below").to_string_lossy().into_owned();
            found.push((name, std::fs::read_to_string(&path).expect("a text")));
        }
    }
}

fn documents(text: &str) -> Vec<Value> {
    let documents = serde_yaml::Deserializer::from_str(text);
    documents.map(|document| Value::deserialize(document).expect("YAML")).collect()
}

fn identity(manifest: &Value) -> ObjectRef {
    let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let kind = text("/kind").expect("a kind");
    let has_namespace = !matches!(kind.as_str(), "Namespace" | "ClusterRole" | "CustomResourceDefinition");
    let namespace = text("/metadata/namespace").unwrap_or_else(|| "default".to_owned());
    ObjectRef {
        api_version: text("/apiVersion").expect("a version"),
        kind,
        namespace: has_namespace.then_some(namespace),
        name: text("/metadata/name").expect("a name"),
    }
}

#[tokio::test]
async fn every_object_is_as_the_real_kustomize_builds_it() {
    let mut cases = 0;
    for case in std::fs::read_dir(fixtures()).expect("the fixtures") {
        let case = case.expect("a case").path();
        let mut tree = Vec::new();
        files(&case.join("tree"), &case.join("tree"), &mut tree);
        let tree: Vec<(&str, &str)> =
            tree.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let snapshot = snapshot(&tree).await;
        let mut expected = Vec::new();
        files(&case.join("expected"), &case, &mut expected);
        let mut objects = Vec::new();
        for (root, text) in &expected {
            for manifest in documents(text) {
                let target = identity(&manifest);
                let located = snapshot.locate(&target);
                let located =
                    located.unwrap_or_else(|error| panic!("{}/{root} {target}: {error}", case.display()));
                assert_eq!(located.manifest, manifest, "{}/{root} {target}", case.display());
                objects.push(target);
            }
        }
        let mut kinds: Vec<&str> = objects.iter().map(|target| target.kind.as_str()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let found: usize = kinds.iter().map(|kind| snapshot.list(kind, None).len()).sum();
        assert_eq!(found, objects.len(), "{}: {:?}", case.display(), snapshot.skipped());
        cases += 1;
    }
    assert!(cases >= 3, "{cases}");
}
