//! Where a change is written when kustomizations are in between, and what is refused.

use riposte::model::manifest::ObjectRef;
use riposte::model::patch::{Change, Patch};
use riposte::model::plugin::Grants;
use riposte::snapshot::Snapshot;
use riposte::validate::{Refusals, Validated};
use serde_json::{Value, json};

use crate::harness::fleet::deployment;
use crate::harness::proposal::{check, deployment_in, merge};
use crate::harness::sandbox::snapshot_of as snapshot;

pub(crate) fn grants() -> Grants {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Grants {
        kinds: owned(&["Deployment"]),
        namespaces: owned(&["*"]),
        fields: owned(&["/spec", "/metadata/labels"]),
        delete: true,
        ..Grants::default()
    }
}

/// What comes of a change of `web` in production.
fn change_web(snapshot: &Snapshot, change: Change) -> Result<Validated, Refusals> {
    check(snapshot, &grants(), vec![Patch { target: deployment_in("prod", "web"), change }])
}

/// Every file that changes, with its new text.
pub(crate) fn written(snapshot: &Snapshot, target: ObjectRef, patch: Value) -> Vec<(String, String)> {
    match check(snapshot, &grants(), vec![merge(target, patch)]) {
        Ok(Validated::Change(change)) => {
            let files = change.files().iter();
            files.map(|file| (file.path.clone(), file.content.clone().unwrap_or_default())).collect()
        }
        other => panic!("{other:?}"),
    }
}

pub(crate) fn refused(snapshot: &Snapshot, target: ObjectRef, patch: Value) -> String {
    match check(snapshot, &grants(), vec![merge(target, patch)]) {
        Err(refusals) => refusals.to_string(),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn to_zero() -> Value {
    json!({ "spec": { "replicas": 0 } })
}

type Files<'a> = Vec<(&'a str, &'a str)>;

/// One base, and a kustomization for staging and one for production.
const BASE: &str = "resources:\n  - web.yaml\n";
const STAGING: &str = "namespace: staging\nresources:\n  - ../base\n";

fn overlays<'a>(web: &'a str, prod: &'a str) -> Files<'a> {
    vec![
        ("base/kustomization.yaml", BASE),
        ("base/web.yaml", web),
        ("staging/kustomization.yaml", STAGING),
        ("prod/kustomization.yaml", prod),
    ]
}

const PROD: &str = "# production\nnamespace: prod\nresources:\n  - ../base # all of it\n";

#[tokio::test]
async fn a_shared_base_changes_through_the_overlay_alone() {
    let web = deployment("web");
    let zero = format!("{PROD}replicas:\n  - count: 0\n    name: web\n");
    let paused = format!(
        "{PROD}patches:\n  - patch: |\n      apiVersion: apps/v1\n      kind: Deployment\n      metadata:\n        name: web\n      spec:\n        paused: true\n    target:\n      kind: Deployment\n      name: web\n"
    );
    let prefixed = PROD.replace("namespace: prod\n", "namespace: prod\nnamePrefix: p-\n");
    let prefixed_zero = format!("{prefixed}replicas:\n  - count: 0\n    name: web\n");
    let scaled =
        format!("{PROD}replicas:\n  - name: web # by hand\n    count: 5\n  - name: web\n    count: 6\n");
    let scaled_zero = scaled.replace("count: 6", "count: 0");
    let merge = "patches:\n- patch: |-\n    # how many\n    apiVersion: apps/v1\n    kind: Deployment\n    metadata: {name: web}\n    spec:\n      replicas: 4 # four\n";
    let json_patch = "patches:\n  - target: {kind: Deployment}\n    patch: |-\n      - op: test\n        path: /kind\n        value: Deployment\n      # how many\n      - op: replace\n        path: /spec/replicas\n        value: 4\n";
    let (inline, inline_zero) =
        (format!("{PROD}{merge}"), format!("{PROD}{}", merge.replace("s: 4", "s: 0")));
    let (json, json_zero) =
        (format!("{PROD}{json_patch}"), format!("{PROD}{}", json_patch.replace("value: 4", "value: 0")));
    let table = [
        ("a new entry of replicas", PROD, "web", to_zero(), zero.as_str()),
        ("a new patch", PROD, "web", json!({ "spec": { "paused": true } }), &paused),
        ("a prefix", &prefixed, "p-web", to_zero(), &prefixed_zero),
        ("the last entry of replicas", &scaled, "web", to_zero(), &scaled_zero),
        ("a merge patch", &inline, "web", to_zero(), &inline_zero),
        ("a JSON patch", &json, "web", to_zero(), &json_zero),
    ];
    for (what, prod, name, patch, expected) in table {
        let snapshot = snapshot(&overlays(&web, prod)).await;
        let found = written(&snapshot, deployment_in("prod", name), patch);
        assert_eq!(found, [("prod/kustomization.yaml".to_owned(), expected.to_owned())], "{what}");
    }
}

#[tokio::test]
async fn a_patch_in_a_file_is_edited_where_it_sets_the_field() {
    let web = deployment("web");
    let prod = format!("{PROD}patches:\n  - path: scale.yaml\n");
    let scale = "# how many\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  replicas: 4 # four\n";
    let mut files = overlays(&web, &prod);
    files.push(("prod/scale.yaml", scale));
    let found = written(&*snapshot(&files).await, deployment_in("prod", "web"), to_zero());
    assert_eq!(found, [("prod/scale.yaml".to_owned(), scale.replace("replicas: 4", "replicas: 0"))]);
    // What both use is no place for one of them: the overlay says it after that.
    let both = STAGING.to_owned() + "patches:\n  - path: ../prod/scale.yaml\n";
    files[2] = ("staging/kustomization.yaml", &both);
    let zero = format!("{prod}replicas:\n  - count: 0\n    name: web\n");
    let found = written(&*snapshot(&files).await, deployment_in("prod", "web"), to_zero());
    assert_eq!(found, [("prod/kustomization.yaml".to_owned(), zero)]);
}

#[tokio::test]
async fn what_a_component_sets_is_overridden_where_it_is_used() {
    let web = deployment("web");
    let uses = |overlay: &str| format!("{overlay}components: [../small]\n");
    let (prod, staging) = (uses(PROD), uses(STAGING));
    let mut files = overlays(&web, &prod);
    files[2] = ("staging/kustomization.yaml", &staging);
    files.push(("small/kustomization.yaml", "kind: Component\nreplicas: [{name: web, count: 1}]\n"));
    let snapshot = snapshot(&files).await;
    assert_eq!(snapshot.manifest(&deployment_in("prod", "web")).unwrap()["spec"]["replicas"], 1);
    let zero = format!("{prod}replicas:\n  - count: 0\n    name: web\n");
    let found = written(&snapshot, deployment_in("prod", "web"), to_zero());
    assert_eq!(found, [("prod/kustomization.yaml".to_owned(), zero)]);
}

#[tokio::test]
async fn several_patches_of_a_proposal_stand_on_each_other() {
    let web = deployment("web");
    let snapshot = snapshot(&overlays(&web, PROD)).await;
    let patch = |patch: Value| merge(deployment_in("prod", "web"), patch);
    let patches = vec![
        patch(to_zero()),
        patch(json!({ "spec": { "paused": true } })),
        patch(json!({ "spec": { "paused": false, "replicas": 1 } })),
    ];
    let result = check(&snapshot, &grants(), patches);
    let Ok(Validated::Change(change)) = result else { panic!("{result:?}") };
    let diff = change.diff();
    assert_eq!(change.files().len(), 1);
    assert!(diff.contains("+  - count: 1\n") && diff.contains("+        paused: false\n"), "{diff}");
    assert_eq!(diff.matches("\n+  - ").count(), 2, "{diff}");
}

#[tokio::test]
async fn a_manifest_that_one_root_alone_applies_is_edited_itself() {
    let web = deployment("web");
    let after = web.replace("replicas: 3", "replicas: 0");
    let files =
        [("base/kustomization.yaml", BASE), ("base/web.yaml", &web), ("prod/kustomization.yaml", PROD)];
    let found = written(&*snapshot(&files).await, deployment_in("prod", "web"), to_zero());
    assert_eq!(found, [("base/web.yaml".to_owned(), after)]);
    // A container of a list that kustomize has in another order.
    let two =
        web.replace("      containers:\n", "      containers:\n        - name: first\n          image: a\n");
    let prod = format!(
        "{PROD}patches:\n  - patch: |\n      apiVersion: apps/v1\n      kind: Deployment\n      metadata: {{name: web}}\n      spec: {{template: {{spec: {{containers: [{{name: main, tty: true}}]}}}}}}\n"
    );
    let files =
        [("base/kustomization.yaml", BASE), ("base/web.yaml", &two), ("prod/kustomization.yaml", &prod)];
    let snapshot = snapshot(&files).await;
    let image = json!([{ "op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "b" }]);
    let changed = change_web(&snapshot, Change::JsonPatch(image));
    let Ok(Validated::Change(changed)) = changed else { panic!("{changed:?}") };
    assert_eq!(changed.files()[0].path, "base/web.yaml");
    assert_eq!(changed.files()[0].content, Some(two.replace("image: alpine", "image: b")));
}

#[tokio::test]
async fn what_is_not_certain_is_refused_with_the_feature() {
    let web = deployment("web").replace("image: alpine\n", "image: alpine\n          envFrom:\n            - configMapRef: {name: settings}\n          args: [$(HOST)]\n");
    let table = [
        ("transformers: [t.yaml]", "prod/kustomization.yaml has transformers"),
        ("components: [\"https://example.com/x//c?ref=v1\"]", "a component of another repository"),
        ("patches: [{path: \"https://example.com/p.yaml\"}]", "a patch of another repository"),
        ("patches: [{path: gone.yaml}]", "prod/gone.yaml is not there"),
        ("patches: [{target: {name: \"(a|b)\"}, patch: \"[]\"}]", "is not understood"),
        (
            "patches: [{target: {kind: Deployment}, patch: \"- {op: remove, path: /nowhere}\"}]",
            "operation 0 failed",
        ),
        (
            "patches: [{target: {kind: Deployment}, patch: \"- {op: replace, path: /metadata/name, value: x}\"}]",
            "another name or namespace",
        ),
        (
            "patches: [{target: {kind: Deployment}, patch: \"- {op: add, path: /metadata/namespace, value: kube-system}\"}]",
            "it is certain",
        ),
        ("vars: [{name: HOST, objref: {kind: Service, name: x, apiVersion: v1}}]", "has vars"),
        ("replacements: [{source: {kind: Deployment, name: web}, targets: []}]", "has replacements"),
        ("labels: [{pairs: {a: b}, fields: [{path: x}]}]", "labels with fields"),
    ];
    for (line, words) in table {
        let prod = format!("{PROD}{line}\n");
        let snapshot = snapshot(&overlays(&web, &prod)).await;
        if words == "it is certain" {
            // Kustomize puts its own namespace there afterwards.
            assert_eq!(written(&snapshot, deployment_in("prod", "web"), to_zero()).len(), 1);
            continue;
        }
        let said = refused(&snapshot, deployment_in("prod", "web"), to_zero());
        assert!(said.contains(words), "{line}: {said}");
        assert_eq!(snapshot.manifest(&deployment_in("prod", "web")), None, "{line}");
        assert_eq!(
            written(&snapshot, deployment_in("staging", "web"), to_zero())[0].0,
            "staging/kustomization.yaml"
        );
    }
    let many = format!(
        "{PROD}patches:\n{}",
        "- {target: {kind: Other}, patch: \"- {op: remove, path: /a}\"}\n".repeat(1_001)
    );
    let said = refused(&*snapshot(&overlays(&web, &many)).await, deployment_in("prod", "web"), to_zero());
    assert!(said.contains("more than 1000 patches"), "{said}");
    let generates = format!("{PROD}configMapGenerator: [{{name: settings, literals: [a=b]}}]\n");
    let snapshot = snapshot(&overlays(&web, &generates)).await;
    assert_eq!(
        written(&snapshot, deployment_in("prod", "web"), to_zero()).len(),
        1,
        "another field is certain"
    );
    let other = json!([{ "op": "replace", "path": "/spec/template/spec/containers/0/envFrom/0/configMapRef/name", "value": "x" }]);
    let said = change_web(&snapshot, Change::JsonPatch(other)).unwrap_err().to_string();
    assert!(said.contains("it names a ConfigMap that a kustomization generates"), "{said}");
}

#[tokio::test]
async fn lists_of_a_shared_base_do_not_shrink_by_a_patch() {
    let web = deployment("web").replace("image: alpine\n", "image: alpine\n          args: [a, b]\n");
    let snapshot = snapshot(&overlays(&web, PROD)).await;
    let without = json!([{ "op": "remove", "path": "/spec/template/spec/containers/0/args/0" }]);
    let said = change_web(&snapshot, Change::JsonPatch(without)).unwrap_err().to_string();
    assert!(
        said.contains("base/web.yaml is shared with staging/kustomization.yaml")
            && said.contains("out of a list"),
        "{said}"
    );
    let said = change_web(&snapshot, Change::Delete {}).unwrap_err().to_string();
    assert!(said.contains("is shared: staging/kustomization.yaml applies it too"), "{said}");
    let removed = json!([{ "op": "remove", "path": "/spec/replicas" }]);
    let changed = change_web(&snapshot, Change::JsonPatch(removed));
    let Ok(Validated::Change(changed)) = changed else { panic!("{changed:?}") };
    assert!(
        changed.diff().contains("+      - op: remove\n+        path: \"/spec/replicas\"\n"),
        "{}",
        changed.diff()
    );
}

#[tokio::test]
async fn a_root_that_cannot_be_followed_takes_nothing_from_the_others() {
    let web = deployment("web");
    let mut files = overlays(&web, PROD);
    files[2] = ("staging/kustomization.yaml", "resources: [../base]\ncomponents: [../nowhere]\n");
    let snapshot = snapshot(&files).await;
    assert_eq!(snapshot.list("Deployment", None), [deployment_in("prod", "web")]);
    let found = written(&snapshot, deployment_in("prod", "web"), to_zero());
    assert_eq!(found[0].0, "prod/kustomization.yaml", "what the other one makes of the base is not known");
}

#[tokio::test]
async fn circles_towers_and_bombs_leave_out_what_they_hold_and_nothing_else() {
    let web = deployment("web");
    let other = deployment("other");
    let tower: Vec<(String, String)> = (0..150)
        .map(|level| (format!("t/{level}/kustomization.yaml"), format!("resources: [../{}]\n", level + 1)))
        .chain([("t/150/kustomization.yaml".to_owned(), "resources: [tower.yaml]\n".to_owned())])
        .chain([("t/150/tower.yaml".to_owned(), deployment("tower"))])
        .collect();
    // Each level includes the next one twice: 2^20 ways.
    let bomb: Vec<(String, String)> = (0..20)
        .map(|level| {
            let next = level + 1;
            (format!("b/{level}/kustomization.yaml"), format!("resources: [../{next}, ../{next}/.]\n"))
        })
        .chain([("b/20/kustomization.yaml".to_owned(), "resources: [bomb.yaml]\n".to_owned())])
        .chain([("b/20/bomb.yaml".to_owned(), deployment("bomb"))])
        .collect();
    let mut files = vec![
        ("c/one/kustomization.yaml", "resources: [../two, web.yaml]\n"),
        ("c/two/kustomization.yaml", "resources: [../one]\n"),
        ("c/one/web.yaml", web.as_str()),
        ("d/kustomization.yaml", "resources: [x.yaml]\n"),
        ("d/Kustomization", "resources: [x.yaml]\nnamespace: two\n"),
        ("d/x.yaml", &web),
        ("other.yaml", &other),
    ];
    files.extend(tower.iter().chain(&bomb).map(|(path, text)| (path.as_str(), text.as_str())));
    let snapshot = snapshot(&files).await;
    let reasons: Vec<String> =
        snapshot.skipped().iter().map(|(path, reason)| format!("{path}: {reason}")).collect();
    let has = |words: &str| reasons.iter().any(|reason| reason.contains(words));
    assert!(has("c/one/web.yaml: no root reaches it"), "{reasons:#?}");
    assert!(has("t/150/tower.yaml: no root reaches it"), "{reasons:#?}");
    assert!(has("b/20/bomb.yaml: ") && has("more than 1000 kustomizations are included"), "{reasons:#?}");
    assert!(has("d/x.yaml: ") && has("d has several kustomizations"), "{reasons:#?}");
    assert_eq!(snapshot.list("Deployment", None), [deployment_in("default", "other")]);
}
