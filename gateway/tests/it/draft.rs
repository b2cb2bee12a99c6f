//! A draft of several proposals comes to what a commit for each, one after the other, would.

use std::collections::BTreeMap;
use std::sync::Arc;

use riposte::model::patch::Patch;
use riposte::model::plugin::Grants;
use riposte::snapshot::Snapshot;
use riposte::validate::{Draft, Guardrails, Refusals, Schemas, Validated, add, validate};
use serde_json::{Value, json};

use crate::harness::fleet::deployment;
use crate::harness::proposal::{self, changes, creation, deployment_in, gone, object};
use crate::harness::sandbox::snapshot_of;

type Files = BTreeMap<String, String>;

fn create(name: &str, value: &str) -> Patch {
    let manifest = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "namespace": "default" },
        "data": { "key": value },
    });
    creation(manifest, deployment_in("default", "a"))
}

/// What is proposed, in every order that a walk through them comes to.
fn proposals() -> Vec<Vec<Patch>> {
    let in_default = |kind: &str, name: &str| object(kind, Some("default"), name);
    let delete = |kind: &str, name: &str| gone(in_default(kind, name));
    let merge = |name: &str, patch: Value| proposal::merge(in_default("Deployment", name), patch);
    let scale = |name: &str, replicas: i64| merge(name, json!({ "spec": { "replicas": replicas } }));
    let label = |name: &str, key: &str| merge(name, json!({ "metadata": { "labels": { key: "x" } } }));
    vec![
        vec![scale("a", 0)],
        vec![scale("a", 5)],
        vec![label("a", "one"), scale("c", 0)],
        vec![label("a", "two")],
        vec![scale("b", 0)],
        vec![delete("Deployment", "b")],
        vec![create("made", "one")],
        vec![create("made", "two")],
        vec![create("other", "one"), label("c", "one")],
        vec![delete("ConfigMap", "made")],
        vec![delete("Deployment", "c")],
        vec![label("b", "three"), merge("a", json!({ "kind": "Service" }))],
    ]
}

fn files() -> Files {
    let all = ["a", "b", "c"].map(deployment).join("---\n");
    let kustomization = "resources:\n  - all.yaml # by hand\n";
    [("apps/all.yaml", all.as_str()), ("apps/kustomization.yaml", kustomization)]
        .map(|(path, text)| (path.to_owned(), text.to_owned()))
        .into()
}

async fn snapshot(files: &Files) -> Arc<Snapshot> {
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    snapshot_of(&files).await
}

fn grants() -> Grants {
    let owned = |text: &str| vec![text.to_owned()];
    let kinds = [owned("Deployment"), owned("ConfigMap")].concat();
    let fields = [owned("/spec"), owned("/metadata"), owned("/kind")].concat();
    Grants { kinds, namespaces: owned("*"), fields, create: true, delete: true, ..Grants::default() }
}

fn alone(snapshot: &Snapshot, patches: &[Patch]) -> Result<Validated, Refusals> {
    validate(&changes(patches.to_vec()), &grants(), &Guardrails::default(), &Schemas::kubernetes(), snapshot)
}

/// The files after a change.
fn after(mut files: Files, change: &Validated) -> Files {
    if let Validated::Change(change) = change {
        for file in change.files() {
            match &file.content {
                Some(text) => files.insert(file.path.clone(), text.clone()),
                None => files.remove(&file.path),
            };
        }
    }
    files
}

#[tokio::test]
async fn a_draft_of_many_is_one_after_the_other() {
    let (proposals, guardrails, schemas) = (proposals(), Guardrails::default(), Schemas::kubernetes());
    let head = snapshot(&files()).await;
    let (mut at, mut conflicts, mut accepted) = (7_usize, 0, 0);
    for walk in 0..12 {
        let mut draft = Draft::new(&head);
        let mut one_by_one = files();
        for step in 0..6 {
            // A walk that is the same in every run and meets each pair sooner or later.
            at = (at * 31 + walk * 7 + step + 1) % proposals.len();
            let said = format!("walk {walk}, step {step}, proposal {at}");
            let joined = add(&mut draft, &changes(proposals[at].clone()), &grants(), &guardrails, &schemas);
            let snapshot = snapshot(&one_by_one).await;
            match (joined, alone(&snapshot, &proposals[at])) {
                (Ok(Some(piece)), Ok(Validated::Change(change))) => {
                    assert_eq!(piece.diff(), change.diff(), "{said}");
                    draft.accept(&said);
                    one_by_one = after(one_by_one, &Validated::Change(change));
                    accepted += 1;
                }
                (Ok(None), Ok(Validated::Unchanged)) => {}
                (Err(refusals), after) => {
                    let is_conflict = refusals.reasons().iter().any(|reason| reason.kind() == "conflict");
                    assert!(is_conflict || after.is_err(), "{said}: {refusals}, and then {after:?}");
                    conflicts += usize::from(is_conflict);
                }
                (joined, after) => panic!("{said}: {joined:?} together, {after:?} one after the other"),
            }
        }
        assert_eq!(after(files(), &draft.finish()), one_by_one, "walk {walk}");
    }
    assert!(accepted > 20 && conflicts > 5, "{accepted} accepted, {conflicts} conflicts");
}
