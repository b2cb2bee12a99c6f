//! Flux: what its Kustomizations apply where, HelmReleases as owners, several clusters, and the whole way
//! from an event to a commit in the right overlay.

use std::path::PathBuf;

use riposte::repository::Repository;
use riposte::snapshot::{ClusterFolder, OwnerLookupError, Snapshot};
use riposte::validate::Validated;
use serde_json::{Value, json};

use crate::harness::fleet::deployment;
use crate::harness::git::config;
use crate::harness::proposal::{check, deployment_in, gone, merge};
use crate::harness::sandbox::snapshot_of as snapshot;
use crate::harness::{Fleet, Process, shell_in};
use crate::overlay::{grants, refused, to_zero, written};

/// A Flux Kustomization, with more lines in its `spec`.
fn flux(name: &str, path: &str, more: &str) -> String {
    format!(
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata:\n  name: {name}\n  namespace: flux-system\nspec:\n  interval: 10m\n  path: {path}\n  prune: true\n  sourceRef:\n    kind: GitRepository\n    name: flux-system\n{more}"
    )
}

/// What `flux bootstrap` makes for a cluster.
fn bootstrapped(cluster: &str) -> Vec<(String, String)> {
    let folder = format!("clusters/{cluster}/flux-system");
    let source = "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata:\n  name: flux-system\n  namespace: flux-system\nspec:\n  url: ssh://git@example.com/acme/fleet\n";
    let sync = format!("---\n{source}---\n{}", flux("flux-system", &format!("./clusters/{cluster}"), ""));
    vec![
        (
            format!("{folder}/gotk-components.yaml"),
            "---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: flux-system\n".to_owned(),
        ),
        (format!("{folder}/gotk-sync.yaml"), sync),
        (
            format!("{folder}/kustomization.yaml"),
            "resources:\n- gotk-components.yaml\n- gotk-sync.yaml\n".to_owned(),
        ),
    ]
}

async fn of(files: &[(String, String)]) -> std::sync::Arc<Snapshot> {
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    snapshot(&files).await
}

fn file(path: &str, text: &str) -> (String, String) {
    (path.to_owned(), text.to_owned())
}

/// One cluster, with applications in a folder that has no kustomization.
fn one_cluster(more: &str) -> Vec<(String, String)> {
    let mut files = bootstrapped("prod");
    files.push(file("clusters/prod/apps.yaml", &flux("apps", "./apps", more)));
    files.push(file("apps/web/web.yaml", &deployment("web")));
    files.push(file("apps/api/kustomization.yaml", "namePrefix: an-\nresources: [api.yaml]\n"));
    files.push(file("apps/api/api.yaml", &deployment("api")));
    files.push(file("apps/api/unlisted.yaml", &deployment("unlisted")));
    files
}

#[tokio::test]
async fn what_flux_says_of_a_folder_is_true_of_its_objects() {
    let more = "  targetNamespace: shop\n  suspend: true\n  commonMetadata:\n    labels: {by: flux}\n  patches:\n    - patch: |\n        - op: replace\n          path: /spec/replicas\n          value: 9\n      target: {kind: Deployment, name: web}\n";
    let snapshot = of(&one_cluster(more)).await;
    assert_eq!(
        snapshot.list("Deployment", None),
        [deployment_in("shop", "an-api"), deployment_in("shop", "web")]
    );
    let web = snapshot.manifest(&deployment_in("shop", "web")).unwrap();
    assert_eq!(web["spec"]["replicas"], 9);
    assert_eq!(web["metadata"]["labels"], json!({ "by": "flux" }));
    let found = written(&snapshot, deployment_in("shop", "web"), to_zero());
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, "clusters/prod/apps.yaml");
    assert_eq!(found[0].1, flux("apps", "./apps", &more.replace("value: 9", "value: 0")));
    let found = written(&snapshot, deployment_in("shop", "an-api"), to_zero());
    assert_eq!(found, [file("apps/api/api.yaml", &deployment("api").replace("replicas: 3", "replicas: 0"))]);
    // Another repository's folder is another folder.
    let foreign = "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: theirs, namespace: flux-system}\n";
    let mut files = one_cluster("");
    files[3].1 = files[3].1.replace("name: flux-system\n", "name: theirs\n");
    files.push(file("clusters/prod/theirs.yaml", foreign));
    files[3].1 = files[3].1.replace("path: ./apps", "path: ./apps\n  targetNamespace: theirs");
    let snapshot = of(&files).await;
    assert_eq!(snapshot.list("Deployment", Some("theirs")), [], "{:?}", snapshot.skipped());
    assert_eq!(snapshot.list("Deployment", Some("default")).len(), 2);
}

#[tokio::test]
async fn variables_of_flux_are_left_alone_and_never_let_in() {
    let web = deployment("web").replace("image: alpine", "image: alpine:${tag}");
    let mut files = one_cluster("  postBuild: {substitute: {tag: '3'}}\n");
    files[4].1.clone_from(&web);
    let found = written(&*of(&files).await, deployment_in("default", "web"), to_zero());
    assert_eq!(found, [file("apps/web/web.yaml", &web.replace("replicas: 3", "replicas: 0"))]);
    let inside = json!({ "spec": { "template": { "metadata": { "annotations": { "a": "${tag}" } } } } });
    let said = refused(&*of(&files).await, deployment_in("default", "web"), inside);
    assert!(
        said.contains("Flux replaces variables in /spec/template/metadata/annotations (postBuild)"),
        "{said}"
    );
    files[4].1 = web.replace("name: web #", "namespace: ${where}\n  name: web #");
    let snapshot = of(&files).await;
    let said = refused(&snapshot, deployment_in("${where}", "web"), to_zero());
    assert!(said.contains("replaces variables in its name or namespace"), "{said}");
    let mut files = one_cluster("");
    files[3].1 = files[3].1.replace("./apps", "./apps/${which}");
    let snapshot = of(&files).await;
    assert_eq!(snapshot.list("Deployment", Some("default")), [], "which folder it is, the cluster knows");
    assert!(
        snapshot
            .skipped()
            .iter()
            .any(|(path, said)| path == "apps/web/web.yaml" && said.contains("a variable in its path"))
    );
}

/// A release, after the example of Flux: base, staging and production differ in values.
const RELEASE: &str = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata:\n  name: podinfo\n  namespace: podinfo\nspec:\n  releaseName: podinfo\n  interval: 50m\n  chart:\n    spec:\n      chart: podinfo\n      sourceRef:\n        kind: HelmRepository\n        name: podinfo\n  values:\n    replicaCount: 2\n    redis:\n      enabled: true\n";

pub(crate) fn two_clusters() -> Vec<(String, String)> {
    let mut files = [bootstrapped("staging"), bootstrapped("production")].concat();
    for cluster in ["staging", "production"] {
        files.push(file(
            &format!("clusters/{cluster}/apps.yaml"),
            &flux("apps", &format!("./apps/{cluster}"), ""),
        ));
        let infra = flux("infra", "./infra", "");
        files.push(file(&format!("clusters/{cluster}/infra.yaml"), &infra));
        let overlay = "resources:\n  - ../base/podinfo\n  - ../base/web\npatches:\n  - path: values.yaml\n    target:\n      kind: HelmRelease\n";
        files.push(file(&format!("apps/{cluster}/kustomization.yaml"), overlay));
        let values = format!(
            "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata:\n  name: podinfo\nspec:\n  values:\n    host: podinfo.{cluster}\n"
        );
        files.push(file(&format!("apps/{cluster}/values.yaml"), &values));
    }
    files.push(file(
        "apps/base/podinfo/kustomization.yaml",
        "namespace: podinfo\nresources: [release.yaml]\n",
    ));
    files.push(file("apps/base/podinfo/release.yaml", RELEASE));
    files.push(file("apps/base/web/kustomization.yaml", "resources: [web.yaml]\n"));
    files.push(file("apps/base/web/web.yaml", &deployment("web")));
    files.push(file("infra/kustomization.yaml", "resources: [agent.yaml]\n"));
    files.push(file("infra/agent.yaml", &deployment("agent")));
    files.push(file("elsewhere/extra.yaml", &deployment("extra")));
    files
}

async fn clustered(files: &[(String, String)]) -> std::sync::Arc<Snapshot> {
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let fleet = Fleet::with(&files);
    let folder = |name: &str| ClusterFolder { name: name.to_owned(), path: format!("clusters/{name}") };
    let clusters = ["staging", "production"].map(folder).to_vec();
    let data = fleet.bare.root.path().join("data");
    let repository =
        Repository::serving(clusters, &config(json!({ "url": fleet.bare.file_url() })), &data).unwrap();
    repository.snapshot_at_head().await.unwrap()
}

#[tokio::test]
async fn a_pod_that_no_manifest_makes_belongs_to_the_one_release_of_its_name() {
    let mut files = one_cluster("");
    files.push(file("apps/release.yaml", RELEASE));
    let other = RELEASE
        .replace("name: podinfo\n  namespace", "name: other\n  namespace")
        .replace("releaseName: podinfo", "releaseName: podinfo-other");
    files.push(file("apps/other.yaml", &other));
    let snapshot = of(&files).await;
    let owner = snapshot.owner("podinfo", "podinfo-77789455d6-m7flp").unwrap();
    assert_eq!((owner.kind.as_str(), owner.name.as_str()), ("HelmRelease", "podinfo"));
    assert_eq!(snapshot.owner("default", "podinfo-77789455d6-m7flp"), Err(OwnerLookupError::Unknown));
    let both = snapshot.owner("podinfo", "podinfo-other-77789455d6-m7flp");
    assert!(matches!(&both, Err(OwnerLookupError::Ambiguous(found)) if found.len() == 2), "{both:?}");
    assert_eq!(snapshot.owner("default", "web-77789455d6-m7flp"), Ok(deployment_in("default", "web")));
}

#[tokio::test]
async fn each_cluster_has_its_own_and_what_is_shared_changes_for_one() {
    let files = two_clusters();
    let all = of(&files).await;
    let agent = written(&all, deployment_in("default", "agent"), to_zero());
    assert_eq!(agent[0].0, "infra/agent.yaml", "without clusters, what is the same everywhere is one object");
    let mut shared = files.clone();
    let infra = shared.iter_mut().find(|(path, _)| path == "infra/kustomization.yaml").unwrap();
    infra.1.push_str("replicas:\n  - name: agent\n    count: 2\n");
    let expected = infra.1.replace("count: 2", "count: 0");
    let found = written(&*of(&shared).await, deployment_in("default", "agent"), to_zero());
    assert_eq!(found, [file("infra/kustomization.yaml", &expected)]);
    let snapshot = clustered(&files).await;
    let staging = snapshot.of_cluster("staging").unwrap();
    assert_eq!(
        staging.list("Deployment", None),
        [deployment_in("default", "agent"), deployment_in("default", "web")]
    );
    assert!(snapshot.of_cluster("else").is_err());
    let found = written(&staging, deployment_in("default", "web"), to_zero());
    let overlay = &files.iter().find(|(path, _)| path == "apps/staging/kustomization.yaml").unwrap().1;
    assert_eq!(
        found,
        [file(
            "apps/staging/kustomization.yaml",
            &format!("{overlay}replicas:\n  - count: 0\n    name: web\n")
        )]
    );
    let release = staging.list("HelmRelease", None).remove(0);
    assert_eq!(staging.manifest(&release).unwrap()["spec"]["values"]["host"], "podinfo.staging");
    assert_eq!(staging.owner("podinfo", "podinfo-redis-0"), Ok(release.clone()));
    // One folder is applied to both: Flux' own object of the cluster is what is left.
    let found = written(&staging, deployment_in("default", "agent"), to_zero());
    let expected = flux(
        "infra",
        "./infra",
        "  patches:\n    - patch: |\n        apiVersion: apps/v1\n        kind: Deployment\n        metadata:\n          name: agent\n        spec:\n          replicas: 0\n      target:\n        kind: Deployment\n        name: agent\n",
    );
    assert_eq!(found, [file("clusters/staging/infra.yaml", &expected)]);
    assert!(
        matches!(all.locate(&release), Err(riposte::snapshot::LookupError::Ambiguous(places)) if places.len() == 2)
    );
}

#[tokio::test]
async fn flux_own_object_is_found_where_it_stands_after_a_deletion() {
    let mut files = two_clusters();
    let infra = files.iter_mut().find(|(path, _)| path == "clusters/staging/infra.yaml").unwrap();
    let alone = infra.1.clone();
    infra.1 = format!("{}---\n{alone}", deployment("gone"));
    let staging = clustered(&files).await.of_cluster("staging").unwrap();
    let object = |name: &str| deployment_in("default", name);
    let patches = vec![gone(object("gone")), merge(object("agent"), to_zero())];
    let validated = check(&staging, &grants(), patches).unwrap();
    let Validated::Change(change) = validated else { panic!("nothing to do") };
    let [changed] = change.files() else { panic!("{:?}", change.files()) };
    let text = changed.content.as_deref().unwrap();
    assert!(!text.contains("name: gone"), "{text}");
    assert!(text.contains(&alone) && text.contains("  patches:\n"), "{text}");
}

/// A gateway for both clusters, whose plugin scales.
pub(crate) fn configured(fleet: &Fleet) -> PathBuf {
    let cluster = |name: &str| json!({ "name": name, "path": format!("clusters/{name}"), "match": { "exact": { "cluster": name } } });
    let config = json!({
        "server": { "listen": "127.0.0.1:0" },
        "journal": { "dir": fleet.bare.root.path().join("journal") },
        "repository": { "url": fleet.bare.file_url() },
        "repeats": { "windowS": 0 },
        "coalesce": { "idleMs": 0 },
        "clusters": [cluster("staging"), cluster("production")],
        "validation": { "crds": [concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fixtures/crds/helm-release.yaml")] },
        "plugins": [{
            "name": "scale-to-zero", "source": "bundled:scale-to-zero", "mode": "enforce",
            "grants": {
                "kinds": ["Deployment", "HelmRelease"], "namespaces": ["*"],
                "fields": ["/spec/replicas", "/spec/values/replicaCount"],
            },
            "config": { "rules": ["Terminal shell in container"] },
        }],
    });
    fleet.beside("riposte.yaml", &config.to_string())
}

/// Sends an event of a cluster; its number.
pub(crate) fn send(process: &Process, id: u32, cluster: Option<&str>, body: &str) -> i64 {
    let named = cluster.map(|name| format!("ce-cluster: {name}\r\n")).unwrap_or_default();
    let event = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nce-specversion: 1.0\r\nce-id: {id}\r\nce-source: /s\r\n{named}\
         ce-type: falco.rule.output.v1\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = process.connect().send(event.as_bytes());
    assert_eq!(answer.status, 202);
    answer.number()
}

fn react(process: &mut Process, id: u32, cluster: Option<&str>, body: &str) -> Value {
    let event = send(process, id, cluster, body);
    process.settled(event)["reactions"][0].clone()
}

#[test]
fn an_event_becomes_a_commit_in_the_overlay_of_its_cluster() {
    let files = two_clusters();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let fleet = Fleet::with(&files);
    let mut process = Process::start(&configured(&fleet), None);
    let web = shell_in("default", "web-77789455d6-m7flp");
    let reaction = react(&mut process, 1, Some("production"), &web);
    assert_eq!(reaction["outcome"], "committed", "{reaction:#}");
    assert_eq!(
        fleet.bare.git(&["diff", "--name-only", "main~1", "main"]),
        "apps/production/kustomization.yaml\n"
    );
    // The cluster's name among Falco's own fields.
    let by_field = web.replace("\"k8s.ns.name\"", "\"cluster\":\"staging\",\"k8s.ns.name\"");
    let reaction = react(&mut process, 2, None, &by_field);
    assert_eq!(reaction["outcome"], "committed", "{reaction:#}");
    assert_eq!(
        fleet.bare.git(&["diff", "--name-only", "main~1", "main"]),
        "apps/staging/kustomization.yaml\n"
    );
    let podinfo = shell_in("podinfo", "podinfo-77789455d6-m7flp");
    let reaction = react(&mut process, 3, Some("staging"), &podinfo);
    assert_eq!(reaction["outcome"], "committed", "{reaction:#}");
    let overlay = fleet.file("apps/staging/kustomization.yaml");
    assert!(overlay.contains("      spec:\n        values:\n          replicaCount: 0\n"), "{overlay}");
    let none = react(&mut process, 4, None, &web);
    assert_eq!(
        (none["outcome"].as_str(), none["reason"].as_str()),
        (Some("ignored"), Some("the event is of none of the clusters: staging, production"))
    );
    let reaction = react(&mut process, 5, Some("staging"), &shell_in("default", "extra-77789455d6-m7flp"));
    assert_eq!(reaction["outcome"], "ignored", "{reaction:#}");
    assert_eq!(fleet.log().len(), 4);
    // What Falco names goes before what the pod's name tells.
    let agent = web.replace("\"k8s.ns.name\"", "\"k8smeta.deployment.name\":\"agent\",\"k8s.ns.name\"");
    let reaction = react(&mut process, 6, Some("staging"), &agent);
    assert_eq!(reaction["outcome"], "committed", "{reaction:#}");
    assert_eq!(fleet.bare.git(&["diff", "--name-only", "main~1", "main"]), "clusters/staging/infra.yaml\n");
}
