//! What may be changed, by whom, and whether the result is an object that an API server takes.

use riposte::model::manifest::ObjectRef;
use riposte::model::patch::{Change, Patch};
use riposte::model::plugin::Grants;
use riposte::repository::Repository;
use riposte::validate::{Refusals, Validated};
use serde_json::{Value, json};

use crate::harness::Fleet;
use crate::harness::fleet::deployment;
use crate::harness::git::config;
use crate::harness::proposal::{check, merge, object, web};
use crate::harness::sandbox::snapshot_of as snapshot;

fn grants(kinds: &[&str], namespaces: &[&str], fields: &[&str]) -> Grants {
    let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    Grants { kinds: owned(kinds), namespaces: owned(namespaces), fields: owned(fields), ..Grants::default() }
}

fn everything() -> Grants {
    let fields = ["/spec", "/metadata", "/apiVersion", "/kind", "/data", "/x"];
    grants(&["Deployment", "ConfigMap", "Namespace"], &["*"], &fields)
}

#[tokio::test]
async fn kustomizations_decide_which_namespace_is_touched() {
    let web = deployment("web");
    let snapshot = snapshot(&[
        ("a/web.yaml", &web),
        ("a/kustomization.yaml", "namespace: shop\nresources: [web.yaml]\n"),
        ("kustomization.yaml", "namespace: kube-system\nresources: [a]\n"),
        ("patched/web.yaml", &deployment("api")),
        (
            "patched/patch.yaml",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: api}\nspec: {replicas: 2}\n",
        ),
        ("patched/kustomization.yaml", "resources: [web.yaml]\npatches: [{path: patch.yaml}]\n"),
    ])
    .await;
    let zero = |namespace: &str, name: &str| {
        let target = object("Deployment", Some(namespace), name);
        check(&snapshot, &everything(), vec![merge(target, json!({ "spec": { "replicas": 0 } }))])
    };
    assert_eq!(kinds(&zero("kube-system", "web")), ["protected"]);
    assert_eq!(kinds(&zero("shop", "web")), ["unknown-object"]);
    assert_eq!(kinds(&zero("default", "web")), ["unknown-object"]);
    assert_eq!(kinds(&zero("default", "api")), [""; 0], "its patch is not taken for a second object");
    assert_eq!(snapshot.skipped().len(), 1, "{:?}", snapshot.skipped());
}

#[tokio::test]
async fn a_file_never_grows_beyond_what_can_be_read_again() {
    let web = deployment("web");
    let fleet = Fleet::with(&[("web.yaml", &web)]);
    let limits = json!({ "fileBytesMax": web.len() + 10 });
    let config = config(json!({ "url": fleet.bare.file_url(), "limits": limits }));
    let data = fleet.bare.root.path().join("data");
    let snapshot = Repository::open(&config, &data).await.unwrap().snapshot_at_head().await.unwrap();
    let patch = json!({ "metadata": { "labels": { "much": "too-much" } } });
    assert_eq!(kinds(&check(&snapshot, &everything(), vec![merge(self::web(), patch)])), ["too-large"]);
}

/// The kinds of refusal, in their order.
fn kinds(result: &Result<Validated, Refusals>) -> Vec<&'static str> {
    match result {
        Ok(_) => Vec::new(),
        Err(refusals) => refusals.reasons().iter().map(|refusal| refusal.kind()).collect(),
    }
}

#[tokio::test]
async fn grants_hold_for_kind_namespace_and_every_field_that_differs() {
    let snapshot = snapshot(&[("web.yaml", &deployment("web"))]).await;
    let to_zero = || json!({ "spec": { "replicas": 0 } });
    let more =
        || json!({ "spec": { "replicas": 0, "paused": true }, "metadata": { "labels": { "a": "b" } } });
    let replicas: &[&str] = &["/spec/replicas"];
    let table: Vec<(Grants, Value, Vec<&str>)> = vec![
        (grants(&["apps/v1/Deployment"], &["default"], replicas), to_zero(), vec![]),
        (grants(&["Deployment"], &["def*"], &["/spec"]), to_zero(), vec![]),
        (grants(&["Deployment"], &["*"], &["/spec/*"]), to_zero(), vec![]),
        (grants(&[], &[], &[]), to_zero(), vec!["grant-kind", "grant-namespace"]),
        (grants(&["apps/v1beta1/Deployment"], &["default"], replicas), to_zero(), vec!["grant-kind"]),
        (grants(&["StatefulSet"], &["default"], replicas), to_zero(), vec!["grant-kind"]),
        (grants(&["Deployment"], &["shop", "defaul"], replicas), to_zero(), vec!["grant-namespace"]),
        (grants(&["Deployment"], &["default"], &[]), to_zero(), vec!["grant-field"]),
        (grants(&["Deployment"], &["default"], &["/spec/replica"]), to_zero(), vec!["grant-field"]),
        (grants(&["Deployment"], &["default"], &["/spec/replicas/x"]), to_zero(), vec!["grant-field"]),
        (grants(&["Deployment"], &["default"], replicas), more(), vec!["grant-field"]),
        (grants(&["Deployment"], &["default"], &["/spec", "/metadata/labels/*"]), more(), vec![]),
    ];
    for (grants, patch, expected) in table {
        let result = check(&snapshot, &grants, vec![merge(web(), patch.clone())]);
        assert_eq!(kinds(&result), expected, "{grants:?} {patch}: {result:?}");
    }
    let refused =
        check(&snapshot, &grants(&["Deployment"], &["default"], replicas), vec![merge(web(), more())]);
    let said = refused.unwrap_err().to_string();
    assert!(
        said.contains("Deployment default/web") && said.contains("/metadata/labels/a, /spec/paused"),
        "{said}"
    );
}

#[tokio::test]
async fn nobody_changes_what_is_protected_or_makes_it_another_object() {
    let protected = deployment("kept")
        .replace("  name: kept", "  name: kept\n  annotations:\n    riposte.dev/protect: \"true\"");
    let system = deployment("dns").replace("  name: dns", "  name: dns\n  namespace: kube-system");
    let files = [("web.yaml", deployment("web")), ("kept.yaml", protected), ("dns.yaml", system)];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let snapshot = snapshot(&files).await;
    let to_zero = || json!({ "spec": { "replicas": 0 } });
    let table = [
        (merge(object("Deployment", Some("default"), "kept"), to_zero()), "protected"),
        (merge(object("Deployment", Some("kube-system"), "dns"), to_zero()), "protected"),
        (merge(object("Deployment", Some("default"), "nobody"), to_zero()), "unknown-object"),
        (merge(object("Deployment", Some("other"), "web"), to_zero()), "unknown-object"),
        (merge(object("Deployment", Some("default"), "../web"), to_zero()), "unknown-object"),
        (merge(web(), json!({ "kind": "DaemonSet" })), "identity"),
        (merge(web(), json!({ "apiVersion": "apps/v2" })), "identity"),
        (merge(web(), json!({ "metadata": { "name": "other" } })), "identity"),
        (merge(web(), json!({ "metadata": { "namespace": "kube-system" } })), "identity"),
        (merge(web(), json!({ "metadata": null })), "identity"),
    ];
    for (patch, expected) in table {
        let result = check(&snapshot, &everything(), vec![patch.clone()]);
        assert!(kinds(&result).contains(&expected), "{patch:?}: {result:?}");
    }
}

#[tokio::test]
async fn an_object_in_two_places_is_refused_with_both() {
    let text = deployment("web");
    let snapshot = snapshot(&[("a/web.yaml", &text), ("b/web.yaml", &text)]).await;
    let result = check(&snapshot, &everything(), vec![merge(web(), json!({ "spec": { "replicas": 0 } }))]);
    let said = result.unwrap_err().to_string();
    assert!(
        said.contains("ambiguous-object") && said.contains("a/web.yaml") && said.contains("b/web.yaml"),
        "{said}"
    );
}

/// A change of one container, as a merge patch.
fn container(more: Value) -> Value {
    let mut container = json!({ "name": "main", "image": "alpine" });
    json_patch::merge(&mut container, &more);
    json!({ "spec": { "template": { "spec": { "containers": [container] } } } })
}

#[tokio::test]
async fn a_result_that_an_api_server_refuses_is_refused_here() {
    let snapshot = snapshot(&[("web.yaml", &deployment("web"))]).await;
    let table = [
        (json!({ "spec": { "replcas": 0 } }), "schema", "replcas"),
        (json!({ "spec": { "replicas": "0" } }), "schema", "/spec/replicas"),
        (json!({ "spec": { "replicas": 1.5 } }), "schema", "/spec/replicas"),
        (json!({ "spec": { "selector": null } }), "schema", "selector"),
        (json!({ "spec": { "template": { "spec": { "containers": null } } } }), "schema", "containers"),
        (json!({ "x": 1 }), "schema", "'x'"),
        (container(json!({ "env": { "A": "1" } })), "schema", "env"),
        (container(json!({ "imagePullPolicy": "Sometimes" })), "semantics", "imagePullPolicy"),
        (container(json!({ "resources": { "limits": { "memory": "128Mib" } } })), "semantics", "128Mib"),
        (
            container(json!({ "volumeMounts": [{ "name": "v", "mountPath": "/v" }] })),
            "semantics",
            "volume \"v\"",
        ),
        (container(json!({ "resources": { "limits": { "memory": {} } } })), "schema", "memory"),
        (container(json!({ "env": [{ "name": "A", "value": 1 }] })), "schema", "env"),
        (json!({ "spec": { "replicas": -1 } }), "semantics", "negative"),
        (
            json!({ "spec": { "template": { "metadata": { "labels": { "app": "other" } } } } }),
            "semantics",
            "app",
        ),
    ];
    for (patch, kind, words) in table {
        let result = check(&snapshot, &everything(), vec![merge(web(), patch.clone())]);
        assert!(kinds(&result).contains(&kind), "{patch}: {result:?}");
        let said = result.unwrap_err().to_string();
        assert!(said.contains(words), "{patch}: {said}");
    }
}

#[tokio::test]
async fn what_tools_really_write_is_let_pass() {
    // As `kubectl create deployment --dry-run=client -o yaml` prints it, with numbers as quantities.
    let printed = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  creationTimestamp: null\n  labels:\n    app: web\n  \
        name: web\nspec:\n  replicas: 3\n  selector:\n    matchLabels:\n      app: web\n  strategy: {}\n  template:\n    \
        metadata:\n      creationTimestamp: null\n      labels:\n        app: web\n    spec:\n      containers:\n      \
        - image: nginx\n        name: nginx\n        ports:\n        - containerPort: 80\n        resources:\n          \
        limits: {cpu: 1, memory: 1.5Gi, \"nvidia.com/gpu\": 1}\n          requests: {cpu: 0.5}\n        \
        livenessProbe:\n          httpGet: {path: /, port: http}\n        readinessProbe:\n          tcpSocket: {port: 80}\n\
        status: {}\n";
    let snapshot = snapshot(&[("web.yaml", printed)]).await;
    let result = check(&snapshot, &everything(), vec![merge(web(), json!({ "spec": { "replicas": 0 } }))]);
    let Ok(Validated::Change(change)) = result else { panic!("{result:?}") };
    assert_eq!(change.files()[0].content, Some(printed.replace("replicas: 3", "replicas: 0")));
}

#[tokio::test]
async fn a_kind_without_a_schema_is_refused() {
    let text =
        "apiVersion: example.dev/v1\nkind: Thing\nmetadata: {name: t, namespace: default}\nspec: {a: 1}\n";
    let snapshot = snapshot(&[("thing.yaml", text)]).await;
    let target =
        ObjectRef { api_version: "example.dev/v1".to_owned(), ..object("Thing", Some("default"), "t") };
    let grants = grants(&["Thing"], &["*"], &["/spec"]);
    let result = check(&snapshot, &grants, vec![merge(target, json!({ "spec": { "a": 2 } }))]);
    let said = result.unwrap_err().to_string();
    assert!(said.contains("no schema for example.dev/v1/Thing"), "{said}");
}

#[tokio::test]
async fn several_patches_are_one_change_and_none_without_the_others() {
    let config_map = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\ndata:\n  a: \"1\"\n";
    let both = format!("{}---\n{config_map}", deployment("web"));
    let snapshot = snapshot(&[("all.yaml", &both), ("other.yaml", &deployment("other"))]).await;
    let settings = object("ConfigMap", Some("default"), "settings");
    let good = vec![
        merge(web(), json!({ "spec": { "replicas": 0 } })),
        merge(settings.clone(), json!({ "data": { "a": "2" } })),
        merge(web(), json!({ "metadata": { "labels": { "quarantine": "yes" } } })),
        merge(object("Deployment", Some("default"), "other"), json!({ "spec": { "replicas": 1 } })),
    ];
    let Ok(Validated::Change(change)) = check(&snapshot, &everything(), good.clone()) else {
        panic!("refused")
    };
    let paths: Vec<&str> = change.files().iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["all.yaml", "other.yaml"]);
    let expected = both
        .replace("replicas: 3", "replicas: 0")
        .replace("a: \"1\"", "a: \"2\"")
        .replace("  name: web # by hand\n", "  name: web # by hand\n  labels:\n    quarantine: \"yes\"\n");
    assert_eq!(change.files()[0].content.as_deref(), Some(&*expected));
    assert_eq!(change.diff().matches("\n--- a/").count() + 1, 2, "{}", change.diff());

    let mut bad = good;
    bad.push(merge(object("Deployment", Some("default"), "nobody"), json!({})));
    bad.push(merge(settings, json!({ "kind": "Secret" })));
    let result = check(&snapshot, &everything(), bad);
    assert!(kinds(&result).contains(&"unknown-object") && kinds(&result).contains(&"identity"), "{result:?}");
}

#[tokio::test]
async fn json_patch_tests_and_operations_that_do_not_apply_are_told() {
    let snapshot = snapshot(&[("web.yaml", &deployment("web"))]).await;
    let json_patch = |operations: Value| vec![Patch { target: web(), change: Change::JsonPatch(operations) }];
    let replace = json!({ "op": "replace", "path": "/spec/replicas", "value": 0 });
    let table = [
        (json!([{ "op": "test", "path": "/spec/replicas", "value": 3 }, replace]), None),
        (json!([{ "op": "test", "path": "/spec/replicas", "value": 2 }, replace]), Some("edit")),
        (json!([{ "op": "remove", "path": "/spec/nothing" }]), Some("edit")),
        (json!([{ "op": "fly", "path": "/spec" }]), Some("edit")),
        (json!([{ "op": "move", "from": "/metadata", "path": "/spec/x" }]), Some("identity")),
        (json!([{ "op": "replace", "path": "", "value": 7 }]), Some("identity")),
    ];
    for (operations, expected) in table {
        let result = check(&snapshot, &everything(), json_patch(operations.clone()));
        match expected {
            None => assert!(matches!(result, Ok(Validated::Change(_))), "{operations}: {result:?}"),
            Some(kind) => assert!(kinds(&result).contains(&kind), "{operations}: {result:?}"),
        }
    }
}

#[tokio::test]
async fn a_strategic_merge_changes_the_lines_of_one_container() {
    let snapshot = snapshot(&[("web.yaml", &deployment("web"))]).await;
    let strategic = |container: Value| {
        let patch = json!({ "spec": { "template": { "spec": { "containers": [container] } } } });
        vec![Patch { target: web(), change: Change::StrategicMergePatch(patch) }]
    };
    let result = check(&snapshot, &everything(), strategic(json!({ "name": "main", "image": "busybox" })));
    let Ok(Validated::Change(change)) = result else { panic!("{result:?}") };
    let expected = deployment("web").replace("image: alpine", "image: busybox");
    assert_eq!(change.files()[0].content.as_deref(), Some(expected.as_str()));

    let narrow = grants(&["Deployment"], &["*"], &["/spec/replicas"]);
    let added = check(&snapshot, &narrow, strategic(json!({ "name": "sidecar", "image": "x" })));
    assert_eq!(kinds(&added), ["grant-field"]);
    let gone = strategic(json!({ "name": "main", "env": [{ "name": "X", "$patch": "delete" }] }));
    let gone = check(&snapshot, &narrow, gone);
    assert!(matches!(gone, Ok(Validated::Unchanged)), "what is not there is gone: {gone:?}");
}

#[tokio::test]
async fn what_already_is_so_is_unchanged() {
    let snapshot = snapshot(&[("web.yaml", &deployment("web"))]).await;
    for patch in [json!({ "spec": { "replicas": 3 } }), json!({}), json!({ "spec": { "paused": null } })] {
        let result = check(&snapshot, &everything(), vec![merge(web(), patch.clone())]);
        assert!(matches!(result, Ok(Validated::Unchanged)), "{patch}: {result:?}");
    }
    let there_and_back = [4, 3].map(|replicas| merge(web(), json!({ "spec": { "replicas": replicas } })));
    let result = check(&snapshot, &everything(), there_and_back.to_vec());
    assert!(matches!(result, Ok(Validated::Unchanged)), "{result:?}");
}

/// What else schema validators are asked of files: each gets a label, if its object can be told.
#[tokio::test]
async fn files_that_are_no_one_object_of_a_known_kind_are_refused() {
    let web = deployment("web");
    let twice = web.replacen("  template:", "  replicas: 3\n  template:", 1);
    let document = |api_version: &str, kind: &str, rest: &str| {
        format!(
            "apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: web, namespace: default}}\n{rest}"
        )
    };
    let old = document("apps/v1beta1", "Deployment", "spec: {}\n");
    let table = [
        ("apps/v1", "Deployment", web.clone(), ""),
        ("apps/v1", "Deployment", format!("---\n# nothing\n---\n{web}"), ""),
        ("apps/v1", "Deployment", format!("{web}---\n{old}"), ""),
        ("apps/v1", "Deployment", twice, "unknown-object"),
        ("apps/v1", "Deployment", format!("{web}---\n{web}"), "ambiguous-object"),
        ("apps/v1", "Deployment", web.replace("kind: Deployment\n", ""), "unknown-object"),
        ("apps/v1", "Deployment", web.replace("kind: Deployment", "kind:"), "unknown-object"),
        ("apps/v1", "Deployment", web.replace("apiVersion: apps/v1\n", ""), "unknown-object"),
        ("apps/v1", "Deployment", web.replace("  name: web", "  generateName: web-"), "unknown-object"),
        ("apps/v1", "Deployment", String::new(), "unknown-object"),
        ("apps/v1", "Deployment", "# nothing\n".to_owned(), "unknown-object"),
        ("apps/v1beta1", "Deployment", old, "schema"),
        (
            "autoscaling/v1",
            "HorizontalPodAutoscaler",
            document("autoscaling/v1", "HorizontalPodAutoscaler", ""),
            "schema",
        ),
        ("v1", "ReplicationController", document("v1", "ReplicationController", "spec: {}\n"), "schema"),
        ("example.com/v1", "Widget", document("example.com/v1", "Widget", "spec: {}\n"), "schema"),
        ("v1", "ConfigMap", document("v1", "ConfigMap", "data: {5: five, true: \"yes\"}\n"), ""),
    ];
    for (api_version, kind, text, expected) in table {
        let snapshot = snapshot(&[("a.yaml", &text)]).await;
        let target =
            ObjectRef { api_version: api_version.to_owned(), ..object(kind, Some("default"), "web") };
        let label = merge(target, json!({ "metadata": { "labels": { "a": "b" } } }));
        let result = check(&snapshot, &grants(&[kind], &["*"], &["/metadata"]), vec![label]);
        assert_eq!(kinds(&result).concat(), expected, "{text}: {result:?}");
    }
}
