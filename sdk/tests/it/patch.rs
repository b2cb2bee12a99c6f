//! Patches, made for real to a manifest.

use riposte_sdk::Change;
use riposte_sdk::prelude::*;
use serde_json::{Value, json};

fn manifest() -> Value {
    json!({
        "metadata": { "name": "web", "labels": { "app": "web" } },
        "spec": {
            "replicas": 3,
            "template": { "spec": { "containers": [{ "name": "web", "image": "nginx:1.28" }, { "name": "side" }] } },
        },
    })
}

fn workload(kind: &str) -> ObjectRef {
    ObjectRef::namespaced("apps/v1", kind, "default", "web")
}

/// The manifest after a patch, or why it cannot be made.
fn made(patch: &Patch) -> Result<Value, String> {
    let mut document = manifest();
    match &patch.change {
        Change::Merge(object) => json_patch::merge(&mut document, object),
        Change::Json(operations) => {
            let operations: json_patch::Patch =
                serde_json::from_value(json!(operations)).map_err(|error| error.to_string())?;
            json_patch::patch(&mut document, &operations).map_err(|error| error.to_string())?;
        }
        Change::StrategicMerge(_) => return Err("the gateway merges it".to_owned()),
        Change::Create { manifest, .. } => manifest.clone_into(&mut document),
        Change::Delete => document = Value::Null,
    }
    Ok(document)
}

#[test]
fn the_value_is_where_the_path_says() {
    let web = workload("Deployment");
    let image = "/spec/template/spec/containers/0/image";
    let table = [
        (Patch::scale(&web, 0), "/spec/replicas", json!(0)),
        (Patch::set(&web, "/spec/paused", true), "/spec/paused", json!(true)),
        (Patch::set(&web, "spec/paused", true), "/spec/paused", json!(true)),
        (Patch::set(&web, "/spec/strategy/type", "Recreate"), "/spec/strategy/type", json!("Recreate")),
        (Patch::set(&web, "/metadata/annotations/a~1b~0c", "x"), "/metadata/annotations/a~1b~0c", json!("x")),
        (Patch::set(&web, image, "nginx:1.29"), image, json!("nginx:1.29")),
        (
            Patch::set(&web, "/spec/template/spec/containers/1/image", "busybox"),
            "/spec/template/spec/containers/1/image",
            json!("busybox"),
        ),
        (
            Patch::set(&web, "/spec/template/spec/containers/1", json!({ "name": "other" })),
            "/spec/template/spec/containers",
            json!([{ "name": "web", "image": "nginx:1.28" }, { "name": "other" }]),
        ),
        (
            Patch::set(&web, "/spec/template/spec/containers/-", json!({ "name": "third" })),
            "/spec/template/spec/containers/2/name",
            json!("third"),
        ),
        (Patch::remove(&web, "/metadata/labels/app"), "/metadata/labels", json!({})),
        (
            Patch::remove(&web, "/spec/template/spec/containers/1"),
            "/spec/template/spec/containers/1",
            Value::Null,
        ),
        (Patch::label(&web, "riposte.dev/seen", "yes"), "/metadata/labels/riposte.dev~1seen", json!("yes")),
        (Patch::label(&web, "b", "c"), "/metadata/labels", json!({ "app": "web", "b": "c" })),
        (Patch::annotate(&web, "a/b", "c"), "/metadata/annotations", json!({ "a/b": "c" })),
        (Patch::label_pods(&web, "a/b", "c"), "/spec/template/metadata/labels", json!({ "a/b": "c" })),
        (Patch::annotate_pods(&web, "a", "c"), "/spec/template/metadata/annotations", json!({ "a": "c" })),
        (Patch::label_pods(&workload("Pod"), "b", "c"), "/metadata/labels/b", json!("c")),
        (
            Patch::annotate_pods(&workload("CronJob"), "a", "c"),
            "/spec/jobTemplate/spec/template/metadata/annotations/a",
            json!("c"),
        ),
        (Patch::merge(&web, json!({ "spec": { "replicas": null } })), "/spec/replicas", Value::Null),
        (
            Patch::json(&web, [Operation::test("/spec/replicas", 3), Operation::remove("/spec/replicas")]),
            "/spec/replicas",
            Value::Null,
        ),
        (Patch::json(&web, [Operation::add("spec/paused", true)]), "/spec/paused", json!(true)),
        (Patch::delete(&web), "", Value::Null),
    ];
    for (patch, path, expected) in table {
        let after = made(&patch).unwrap_or_else(|error| panic!("{patch}: {error}"));
        assert_eq!(after.pointer(path).unwrap_or(&Value::Null), &expected, "{patch}");
    }
}

#[test]
fn nothing_is_made_up_in_a_list() {
    let web = workload("Deployment");
    let table = [
        Patch::set(&web, "/spec/template/spec/containers/7/image", "x"),
        Patch::set(&web, "/spec/template/spec/containers/7", "x"),
        Patch::set(&web, "/spec/template/spec/volumes/-", "x"),
        Patch::remove(&web, "/spec/template/spec/containers/7"),
        Patch::json(&web, [Operation::test("/spec/replicas", 2), Operation::replace("/spec/replicas", 0)]),
    ];
    for patch in table {
        assert!(made(&patch).is_err(), "{patch}");
    }
}

#[test]
fn a_proposal_is_told_in_full() {
    let web = workload("Deployment");
    let proposal = propose("Scale web\nto 0")
        .because("a shell")
        .with(Patch::scale(&web, 0))
        .with(Patch::json(&web, [Operation::remove("/spec/paused")]))
        .with(Patch::strategic_merge(&web, json!({ "spec": { "paused": true } })))
        .with(Patch::delete(&ObjectRef::cluster_wide("v1", "Namespace", "web")));
    assert_eq!((proposal.title(), proposal.reason()), ("Scale web to 0", "a shell"));
    assert_eq!(
        proposal.to_string(),
        "propose: Scale web to 0\nbecause: a shell\n\
         - merge Deployment default/web {\"spec\":{\"replicas\":0}}\n\
         - json Deployment default/web [{\"op\":\"remove\",\"path\":\"/spec/paused\"}]\n\
         - strategic merge Deployment default/web {\"spec\":{\"paused\":true}}\n\
         - delete Namespace web"
    );
    assert_eq!(Answer::from(proposal.clone()), Ok(proposal.clone()));
    let again = propose("Scale web to 0").because("a shell").with_all(proposal.patches().to_vec());
    assert_eq!(again, Ok(proposal));
}

#[test]
fn a_proposal_of_nothing_is_an_ignore() {
    let nothing = propose("Scale them").because("a shell").with_all([]);
    assert_eq!(nothing, Err(Stop::Ignore("there is nothing to patch for \"Scale them\"".to_owned())));
}
