//! How far a plugin's grants reach, and what the guardrails forbid whatever they say.

use riposte::model::manifest::ObjectRef;
use riposte::model::patch::{Change, Patch};
use riposte::model::plugin::Grants;
use riposte::snapshot::Snapshot;
use riposte::validate::{Guardrails, Refusals, Schemas, Validated, Window, validate};
use serde_json::{Value, json};

use crate::harness::fleet::deployment;
use crate::harness::proposal::{self, changes, creation, gone, merge, object, to_zero, web};
use crate::harness::sandbox::snapshot_of as snapshot;

/// A NetworkPolicy with these labels, beside `web`.
fn policy(labels: &Value) -> Patch {
    let manifest = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "name": "isolate-web", "namespace": "default", "labels": labels },
        "spec": { "podSelector": {}, "policyTypes": ["Ingress"] },
    });
    creation(manifest, web())
}

/// Everything, but for what `narrower` says.
fn grants(narrower: Value) -> Grants {
    let mut grants = json!({
        "kinds": ["Deployment", "NetworkPolicy", "ConfigMap", "Secret"], "namespaces": ["*"],
        "fields": ["/spec", "/metadata", "/data"], "create": true, "delete": true,
    });
    json_patch::merge(&mut grants, &narrower);
    serde_json::from_value(grants).unwrap()
}

fn check(snapshot: &Snapshot, grants: &Grants, guardrails: &Value, patches: Vec<Patch>) -> Vec<String> {
    let guardrails: Guardrails = serde_json::from_value(guardrails.clone()).unwrap();
    match validate(&changes(patches), grants, &guardrails, &Schemas::kubernetes(), snapshot) {
        Ok(Validated::Change(_)) => Vec::new(),
        Ok(Validated::Unchanged) => vec!["unchanged".to_owned()],
        Err(refusals) => refusals.reasons().iter().map(|refusal| refusal.kind().to_owned()).collect(),
    }
}

/// `web` of the team `shop`, in the folder of a cluster.
async fn fleet() -> std::sync::Arc<Snapshot> {
    let web = deployment("web")
        .replace("name: web # by hand\n", "name: web\n  labels:\n    team: shop\n    tier: web-1\n");
    let other = deployment("other");
    snapshot(&[("clusters/eu/apps/web.yaml", &web), ("clusters/eu/apps/other.yaml", &other)]).await
}

#[tokio::test]
async fn grants_hold_for_name_labels_and_path_of_what_is_changed_deleted_and_made() {
    let snapshot = fleet().await;
    let shop = json!({ "team": "shop", "tier": "web-2" });
    // Narrower grants, and what is said of a change, of a deletion and of a new object.
    type Row<'a> = (Value, &'a [&'a str], &'a [&'a str], &'a [&'a str]);
    let table: [Row<'_>; 24] = [
        (json!({}), &[], &[], &[]),
        (json!({ "names": ["*"], "labels": {}, "paths": ["*"] }), &[], &[], &[]),
        (json!({ "names": ["web", "isolate-*"] }), &[], &[], &[]),
        (json!({ "names": ["w*"] }), &[], &[], &["grant-name"]),
        (json!({ "names": ["isolate-web"] }), &["grant-name"], &["grant-name"], &[]),
        (json!({ "names": [] }), &["grant-name"], &["grant-name"], &["grant-name"]),
        (json!({ "names": ["*eb"] }), &["grant-name"], &["grant-name"], &["grant-name"]),
        (json!({ "labels": { "team": "shop" } }), &[], &[], &[]),
        (json!({ "labels": { "team": "shop", "tier": "web-*" } }), &[], &[], &[]),
        (json!({ "labels": { "team": "*" } }), &[], &[], &[]),
        (json!({ "labels": { "tier": "web-1" } }), &[], &[], &["grant-label"]),
        (json!({ "labels": { "team": "bank" } }), &["grant-label"], &["grant-label"], &["grant-label"]),
        (json!({ "labels": { "owner": "*" } }), &["grant-label"], &["grant-label"], &["grant-label"]),
        (json!({ "paths": ["clusters/eu"] }), &[], &[], &[]),
        (json!({ "paths": ["clusters/eu/"] }), &[], &[], &[]),
        (json!({ "paths": ["clusters/*/apps"] }), &[], &[], &[]),
        (json!({ "paths": ["clusters/e*/apps", "nowhere"] }), &[], &[], &[]),
        (json!({ "paths": ["clusters/eu/apps/web.yaml"] }), &[], &[], &["grant-path"]),
        (json!({ "paths": ["clusters/eu/apps/n*"] }), &["grant-path"], &["grant-path"], &[]),
        (json!({ "paths": ["clusters/e"] }), &["grant-path"], &["grant-path"], &["grant-path"]),
        (json!({ "paths": ["clusters/us", "apps"] }), &["grant-path"], &["grant-path"], &["grant-path"]),
        (json!({ "paths": [] }), &["grant-path"], &["grant-path"], &["grant-path"]),
        (
            json!({ "paths": ["clusters/eu/apps/web.yaml/x"] }),
            &["grant-path"],
            &["grant-path"],
            &["grant-path"],
        ),
        (
            json!({ "names": ["a"], "labels": { "a": "b" }, "paths": ["a"], "namespaces": ["shop"], "kinds": [] }),
            &["grant-kind", "grant-namespace", "grant-name", "grant-label", "grant-path"],
            &["grant-kind", "grant-namespace", "grant-name", "grant-label", "grant-path"],
            &["grant-kind", "grant-namespace", "grant-name", "grant-label", "grant-path"],
        ),
    ];
    let none = json!({});
    for (narrower, changed, deleted, made) in table {
        let grants = grants(narrower.clone());
        assert_eq!(check(&snapshot, &grants, &none, vec![to_zero(web())]), changed, "change {narrower}");
        assert_eq!(check(&snapshot, &grants, &none, vec![gone(web())]), deleted, "delete {narrower}");
        assert_eq!(check(&snapshot, &grants, &none, vec![policy(&shop)]), made, "create {narrower}");
    }
}

#[tokio::test]
async fn a_path_grant_holds_for_every_file_that_a_change_is_written_to() {
    let overlay = "resources: [../base]\n";
    let snapshot = snapshot(&[
        ("base/kustomization.yaml", "resources: [web.yaml]\n"),
        ("base/web.yaml", &deployment("web")),
        ("prod/kustomization.yaml", &format!("namespace: default\n{overlay}")),
        ("staging/kustomization.yaml", &format!("namespace: staging\n{overlay}")),
    ])
    .await;
    let table: [(&[&str], &[&str]); 4] = [
        (&["base", "prod"], &[]),
        (&["base"], &["grant-path"]),
        (&["prod"], &["grant-path"]),
        (&["base", "staging"], &["grant-path"]),
    ];
    for (paths, expected) in table {
        let found = check(&snapshot, &grants(json!({ "paths": paths })), &json!({}), vec![to_zero(web())]);
        assert_eq!(found, expected, "{paths:?}");
    }
}

#[tokio::test]
async fn create_and_delete_need_a_grant_of_their_own_beside_the_others() {
    let snapshot = fleet().await;
    let none = json!({});
    let table = [
        (json!({ "delete": false }), gone(web()), vec!["grant-delete"]),
        (json!({ "delete": false, "names": ["a"] }), gone(web()), vec!["grant-name", "grant-delete"]),
        (
            json!({ "delete": false, "labels": { "a": "b" } }),
            gone(web()),
            vec!["grant-delete", "grant-label"],
        ),
        (json!({ "create": false }), policy(&json!({})), vec!["grant-create"]),
        (json!({ "create": false, "paths": ["a"] }), policy(&json!({})), vec!["grant-create", "grant-path"]),
        (json!({ "delete": true, "fields": [] }), gone(web()), vec![]),
        (json!({ "create": true, "fields": [] }), policy(&json!({})), vec![]),
    ];
    for (narrower, patch, expected) in table {
        let said = check(&snapshot, &grants(narrower.clone()), &none, vec![patch]);
        assert_eq!(said, expected, "{narrower}");
    }
}

#[tokio::test]
async fn a_plugin_cannot_give_an_object_the_label_that_it_needs() {
    let snapshot = fleet().await;
    let grants = grants(json!({ "labels": { "team": "shop" } }));
    let other = || object("Deployment", Some("default"), "other");
    let label = merge(other(), json!({ "metadata": { "labels": { "team": "shop" } } }));
    let said = check(&snapshot, &grants, &json!({}), vec![label, to_zero(other())]);
    assert_eq!(said, ["grant-label", "grant-label"]);
    // One that it may change, it may change in this too.
    let label = merge(web(), json!({ "metadata": { "labels": { "team": "other" } } }));
    assert_eq!(check(&snapshot, &grants, &json!({}), vec![label, to_zero(web())]), [""; 0]);
}

#[tokio::test]
async fn all_reasons_are_given_at_once_and_in_their_order() {
    let config = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: kept\n  namespace: default\n  annotations:\n    \
                  riposte.dev/protect: \"true\"\ndata:\n  a: \"1\"\n";
    let snapshot = snapshot(&[("web.yaml", &deployment("web")), ("kept.yaml", config)]).await;
    let bad = json!({ "metadata": { "name": "WEB" }, "spec": { "replicas": -1, "typo": 1 } });
    let kept = object("ConfigMap", Some("default"), "kept");
    let protected = json!({ "protectedObjects": [{ "name": "web" }] });
    let narrow = grants(json!({ "fields": [] }));
    let table = [
        // Grants, guardrails, identity, schema, semantics.
        (
            &narrow,
            &protected,
            vec![merge(web(), bad.clone())],
            vec!["grant-field", "protected", "identity", "schema", "semantics", "semantics"],
        ),
        (
            &narrow,
            &protected,
            vec![merge(kept.clone(), json!({ "data": { "a b": "c" } }))],
            vec!["grant-field", "protected", "semantics"],
        ),
        // Those of several objects, too.
        (
            &grants(json!({})),
            &protected,
            vec![
                to_zero(web()),
                to_zero(object("Deployment", Some("default"), "nobody")),
                policy(&json!({ "a": "b c" })),
            ],
            vec!["protected", "unknown-object", "semantics"],
        ),
        // A patch that does not apply.
        (
            &grants(json!({})),
            &protected,
            vec![Patch {
                target: web(),
                change: Change::JsonPatch(json!([{ "op": "remove", "path": "/x" }])),
            }],
            vec!["protected", "edit"],
        ),
    ];
    for (grants, guardrails, patches, expected) in table {
        assert_eq!(check(&snapshot, grants, guardrails, patches.clone()), expected, "{patches:?}");
    }
}

#[tokio::test]
async fn what_is_not_granted_is_not_told_from() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: password\n  namespace: default\ndata:\n  a: aHVudGVyMg==\n";
    let snapshot = snapshot(&[("secret.yaml", secret)]).await;
    let target = object("Secret", Some("default"), "password");
    let patches = [
        json!([{ "op": "copy", "from": "/data/a", "path": "/kind" }]),
        json!([{ "op": "copy", "from": "/data/a", "path": "/data/x y" }]),
        json!([{ "op": "copy", "from": "/data/a", "path": "/immutable" }]),
        json!([{ "op": "test", "path": "/data/a", "value": "aHVudGVyMg==" }, { "op": "add", "path": "/x", "value": 1 }]),
        json!([{ "op": "test", "path": "/data/a", "value": "other" }, { "op": "add", "path": "/x", "value": 1 }]),
    ];
    for narrower in [
        json!({ "kinds": ["ConfigMap"] }),
        json!({ "namespaces": ["shop"] }),
        json!({ "names": ["other"] }),
        json!({ "labels": { "team": "shop" } }),
        json!({ "paths": ["apps"] }),
    ] {
        for patch in &patches {
            let patch = Patch { target: target.clone(), change: Change::JsonPatch(patch.clone()) };
            let refused = proposal::check(&snapshot, &grants(narrower.clone()), vec![patch.clone()]);
            let refusals = refused.unwrap_err();
            assert_eq!(refusals.reasons().len(), 1, "{patch:?}: {refusals}");
            assert!(refusals.reasons()[0].kind().starts_with("grant-"), "{refusals}");
            assert!(!refusals.to_string().contains("aHVudGVyMg"), "{refusals}");
        }
    }
}

#[tokio::test]
async fn protected_objects_are_named_by_kind_namespace_and_name() {
    let web = deployment("web");
    let shop = deployment("shop").replace("name: shop # by hand", "name: shop\n  namespace: shop-eu");
    let space = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: web\n";
    let snapshot = snapshot(&[("web.yaml", &web), ("shop.yaml", &shop), ("space.yaml", space)]).await;
    let grants = grants(json!({ "kinds": ["Deployment", "Namespace"] }));
    let objects = || {
        let label = json!({ "metadata": { "labels": { "a": "b" } } });
        let web = object("Deployment", Some("default"), "web");
        let shop = object("Deployment", Some("shop-eu"), "shop");
        [web, shop, object("Namespace", None, "web")].map(|target| merge(target, label.clone()))
    };
    let table = [
        (json!([]), [false, false, false]),
        (json!([{}]), [true, true, true]),
        (json!([{ "kind": "Deployment" }]), [true, true, false]),
        (json!([{ "kind": "apps/v1/Deployment", "name": "s*" }]), [false, true, false]),
        (json!([{ "kind": "apps/v2/Deployment" }]), [false, false, false]),
        (json!([{ "name": "web" }]), [true, false, true]),
        (json!([{ "namespace": "shop-*" }]), [false, true, false]),
        (json!([{ "namespace": "default", "name": "shop" }]), [false, false, false]),
        (json!([{ "namespace": "default" }, { "kind": "Namespace" }]), [true, false, true]),
    ];
    for (patterns, protected) in table {
        let guardrails = json!({ "protectedObjects": patterns });
        let found =
            objects().map(|patch| check(&snapshot, &grants, &guardrails, vec![patch]) == ["protected"]);
        assert_eq!(found, protected, "{patterns}");
    }
    let guardrails = json!({ "protectedObjects": [{ "name": "web" }, { "name": "isolate-*" }] });
    let grants = self::grants(json!({}));
    assert_eq!(check(&snapshot, &grants, &guardrails, vec![gone(self::web())]), ["protected"]);
    assert_eq!(check(&snapshot, &grants, &guardrails, vec![policy(&json!({}))]), ["protected"]);
}

#[test]
fn a_window_counts_commits_and_objects_that_are_new() {
    let named = |name: &str| object("Deployment", Some("default"), name);
    let window = |commits: u64, names: &[&str]| Window {
        commits,
        workloads: names.iter().map(|name| named(name)).collect(),
    };
    let guardrails = Guardrails { commits_max: 3, workloads_max: 2, ..Guardrails::default() };
    let (commits, workloads) = ("too-many-commits", "too-many-workloads");
    let table: [(Window, &[&str], &[&str]); 9] = [
        (Window::default(), &["a", "b"], &[]),
        (Window::default(), &["a", "b", "c"], &[workloads]),
        (Window::default(), &["a", "a", "a"], &[]),
        (window(1, &["a"]), &["b"], &[]),
        (window(1, &["a"]), &["b", "c"], &[workloads]),
        (window(2, &["a", "b"]), &["a", "b"], &[]),
        (window(2, &["a", "b"]), &["c"], &[workloads]),
        (window(3, &["a", "b"]), &["a"], &[commits]),
        (window(3, &["a", "b"]), &["c"], &[commits, workloads]),
    ];
    for (window, targets, expected) in table {
        let targets: Vec<ObjectRef> = targets.iter().map(|name| named(name)).collect();
        let checked = guardrails.check_window("p", &window, &targets);
        let kinds: Vec<&str> =
            checked.err().iter().flat_map(Refusals::reasons).map(|refusal| refusal.kind()).collect();
        assert_eq!(kinds, expected, "{window:?} {targets:?}");
    }
}
