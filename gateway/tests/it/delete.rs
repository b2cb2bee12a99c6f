//! Objects that go: what becomes of their files and of what lists them, and what is refused.

use riposte::model::patch::{Change, Patch};
use riposte::model::plugin::Grants;
use riposte::validate::{Refusals, Validated};
use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::harness::fleet::deployment;
use crate::harness::github::{GitHub, REPOSITORY, TOKEN};
use crate::harness::guest::{core_module, deletes, write};
use crate::harness::proposal::{check, gone, object, to_zero, web};
use crate::harness::sandbox::snapshot_of as snapshot;
use crate::harness::{Fleet, Process};

fn grants() -> Grants {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Grants {
        kinds: owned(&["Deployment", "Namespace", "Gadget", "ConfigMap"]),
        namespaces: owned(&["*"]),
        fields: owned(&["/spec/replicas"]),
        delete: true,
        ..Grants::default()
    }
}

/// Every file that changes; without a text if it goes.
fn files(result: Result<Validated, Refusals>) -> Vec<(String, Option<String>)> {
    match result {
        Ok(Validated::Change(change)) => {
            change.files().iter().map(|file| (file.path.clone(), file.content.clone())).collect()
        }
        other => panic!("{other:?}"),
    }
}

type Files<'a> = &'a [(&'a str, &'a str)];
type Gone<'a> = &'a [(&'a str, Option<&'a str>)];

async fn assert_files(before: Files<'_>, expected: Gone<'_>) {
    let found = files(check(&*snapshot(before).await, &grants(), vec![gone(web())]));
    let expected: Vec<_> =
        expected.iter().map(|(path, text)| ((*path).to_owned(), text.map(str::to_owned))).collect();
    assert_eq!(found, expected, "{before:?}");
}

#[tokio::test]
async fn of_several_documents_only_that_one_goes() {
    let (web, other) = (deployment("web"), deployment("other"));
    let crlf = |text: &str| text.replace('\n', "\r\n");
    let table = [
        (format!("{web}---\n{other}"), other.clone()),
        (format!("{other}---\n{web}"), other.clone()),
        (format!("{other}---\n{web}---\na: 1 # last\n"), format!("{other}---\na: 1 # last\n")),
        (format!("---\n{web}---\n{other}"), format!("---\n{other}")),
        (format!("---\n{other}---\n{web}"), format!("---\n{other}")),
        (
            format!("# ours\n---\n# web\n{web}# end\n--- # other\n{other}"),
            format!("# ours\n--- # other\n{other}"),
        ),
        (format!("# web\n{web}--- # other\n{other}"), format!("--- # other\n{other}")),
        (format!("%YAML 1.2\n---\n{web}---\n{other}"), format!("%YAML 1.2\n---\n{other}")),
        (format!("{other}\n\n# about web\n---\n\n{web}"), format!("{other}\n\n# about web\n")),
        (format!("{web}---\n{other}---\n"), format!("{other}---\n")),
        (format!("{web}...\n---\n{other}"), other.clone()),
        (format!("{other}---\n{}", web.trim_end()), other.clone()),
        (format!("a: |\n  ---\n  b\n---\n{web}"), "a: |\n  ---\n  b\n".to_owned()),
        (
            crlf(&format!("{other}---\n{web}---\n{}", deployment("third"))),
            crlf(&format!("{other}---\n{}", deployment("third"))),
        ),
        (crlf(&format!("{web}---\n{other}")), crlf(&other)),
    ];
    for (before, after) in table {
        assert_files(&[("apps/all.yaml", &before)], &[("apps/all.yaml", Some(&after))]).await;
    }
}

#[tokio::test]
async fn a_file_goes_with_its_last_object_and_so_does_what_lists_it() {
    let text = deployment("web");
    let with_empty = format!("# web\n---\n{text}---\n# nothing\n");
    let web = ("apps/web.yaml", text.as_str());
    let gone = ("apps/web.yaml", None);
    let as_json = r#"{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}}"#;
    let listed = "apps/kustomization.yaml";
    let table: [(Files<'_>, Gone<'_>); 10] = [
        (&[("web.yaml", &text)], &[("web.yaml", None)]),
        (&[web], &[gone]),
        (&[("web.yaml", &with_empty)], &[("web.yaml", None)]),
        (&[("web.json", as_json)], &[("web.json", None)]),
        (
            &[
                web,
                ("apps/b.yaml", "a: 1\n"),
                (
                    listed,
                    "# ours\nresources:\n  - web.yaml # the shop\n  # b\n  - b.yaml # stays\nnamespace: default\n",
                ),
            ],
            &[(listed, Some("# ours\nresources:\n  # b\n  - b.yaml # stays\nnamespace: default\n")), gone],
        ),
        (
            &[web, ("apps/b.yaml", "a: 1\n"), (listed, "resources:\r\n- b.yaml\r\n- ./web.yaml\r\n")],
            &[(listed, Some("resources:\r\n- b.yaml\r\n")), gone],
        ),
        (
            &[
                web,
                (
                    listed,
                    "kind: Kustomization\nresources: # all\n  - web.yaml # the shop\nnamespace: default\n",
                ),
            ],
            &[(listed, Some("kind: Kustomization\nresources: [] # all\nnamespace: default\n")), gone],
        ),
        (&[web, (listed, "resources: [web.yaml]\n")], &[(listed, Some("resources: []\n")), gone]),
        (
            &[
                web,
                (listed, "resources: [web.yaml, b.yaml]\n"),
                ("all/kustomization.yaml", "resources:\n- ../apps\n"),
            ],
            &[(listed, Some("resources: [b.yaml]\n")), gone],
        ),
        (
            &[
                web,
                ("one/kustomization.yaml", "resources:\n  - ../apps/web.yaml\n  - x.yaml\n"),
                ("two/Kustomization", "resources: [x.yaml, ../apps/web.yaml]\n"),
            ],
            &[
                gone,
                ("one/kustomization.yaml", Some("resources:\n  - x.yaml\n")),
                ("two/Kustomization", Some("resources: [x.yaml]\n")),
            ],
        ),
    ];
    for (before, expected) in table {
        assert_files(before, expected).await;
    }
    let result = check(&*snapshot(&[("web.yaml", &text)]).await, &grants(), vec![self::gone(self::web())]);
    let Ok(Validated::Change(change)) = result else { panic!("{result:?}") };
    assert!(change.diff().starts_with("--- a/web.yaml\n+++ /dev/null\n@@ -1,"), "{}", change.diff());
    assert!(!change.diff().contains("\n+a"), "{}", change.diff());
}

#[tokio::test]
async fn several_objects_of_one_file_can_go_and_others_change() {
    let all = ["a", "b", "c", "d"].map(deployment).join("---\n");
    let snapshot = snapshot(&[("all.yaml", &all), ("kustomization.yaml", "resources: [all.yaml]\n")]).await;
    let named = |name: &str| object("Deployment", Some("default"), name);
    let orders = [
        vec![gone(named("a")), to_zero(named("b")), gone(named("c")), to_zero(named("d"))],
        vec![to_zero(named("d")), gone(named("c")), gone(named("a")), to_zero(named("b"))],
        vec![gone(named("c")), gone(named("c")), to_zero(named("d")), to_zero(named("b")), gone(named("a"))],
    ];
    for patches in orders {
        let to_zero = |name: &str| deployment(name).replace("replicas: 3", "replicas: 0");
        let expected = format!("{}---\n{}", to_zero("b"), to_zero("d"));
        assert_eq!(files(check(&snapshot, &grants(), patches)), [("all.yaml".to_owned(), Some(expected))]);
    }
    let everything = ["b", "a", "d", "c"].map(|name| gone(named(name))).to_vec();
    assert_eq!(
        files(check(&snapshot, &grants(), everything)),
        [
            ("all.yaml".to_owned(), None),
            ("kustomization.yaml".to_owned(), Some("resources: []\n".to_owned()))
        ]
    );
}

#[tokio::test]
async fn what_is_not_there_is_gone_already() {
    let unlisted = deployment("moved");
    let snapshot = snapshot(&[
        ("apps/other.yaml", &deployment("other")),
        ("apps/moved.yaml", &unlisted),
        ("apps/kustomization.yaml", "resources: [other.yaml]\n"),
        ("chart.yaml", "kind: Deployment\nname: {{ web }}\n"),
    ])
    .await;
    for name in ["nobody", "moved", "../web"] {
        let result = check(&snapshot, &grants(), vec![gone(object("Deployment", Some("default"), name))]);
        assert!(matches!(result, Ok(Validated::Unchanged)), "{name}: {result:?}");
    }
    // Nobody can say whether that one is there.
    let refused = check(&snapshot, &grants(), vec![gone(web())]).unwrap_err().to_string();
    assert!(refused.contains("chart.yaml may have it") && refused.contains("template"), "{refused}");
}

#[tokio::test]
async fn what_may_not_go_is_refused_with_every_reason() {
    let text = deployment("web");
    let kept = deployment("kept")
        .replace("  name: kept", "  annotations:\n    riposte.dev/protect: \"true\"\n  name: kept");
    let system = deployment("dns").replace("  name: dns", "  namespace: kube-system\n  name: dns");
    let space = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: kube-system\n";
    let snapshot = snapshot(&[
        ("web.yaml", &text),
        ("kept.yaml", &kept),
        ("dns.yaml", &system),
        ("space.yaml", space),
        ("a/twice.yaml", &deployment("twice")),
        ("b/twice.yaml", &format!("a: 1\n---\n{}", deployment("twice"))),
    ])
    .await;
    let in_default = |name: &str| object("Deployment", Some("default"), name);
    let no_create = || Grants { delete: false, create: true, ..grants() };
    let elsewhere = || Grants { namespaces: vec!["shop".to_owned()], kinds: vec![], ..no_create() };
    let policy = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web", "namespace": "default" } });
    let made =
        Patch { target: web(), change: Change::Create { manifest: policy, beside: in_default("kept") } };
    let table = [
        ("no grant", no_create(), vec![gone(web())], vec!["grant-delete"]),
        ("no grant, and not there", no_create(), vec![gone(in_default("nobody"))], vec!["grant-delete"]),
        (
            "nothing granted",
            elsewhere(),
            vec![gone(web())],
            vec!["grant-kind", "grant-namespace", "grant-delete"],
        ),
        ("protected by itself", grants(), vec![gone(in_default("kept"))], vec!["protected"]),
        (
            "protected namespace",
            grants(),
            vec![gone(object("Deployment", Some("kube-system"), "dns"))],
            vec!["protected"],
        ),
        (
            "a protected namespace itself",
            grants(),
            vec![gone(object("Namespace", None, "kube-system"))],
            vec!["protected"],
        ),
        ("in two places", grants(), vec![gone(in_default("twice"))], vec!["ambiguous-object"]),
        ("changed before", grants(), vec![to_zero(web()), gone(web())], vec!["delete"]),
        ("changed after", grants(), vec![gone(web()), to_zero(web())], vec!["delete"]),
        ("made anew", grants(), vec![gone(web()), made], vec!["delete"]),
    ];
    for (name, grants, patches, kinds) in table {
        let refused = check(&snapshot, &grants, patches).expect_err(name);
        let found: Vec<&str> = refused.reasons().iter().map(|refusal| refusal.kind()).collect();
        assert_eq!(found, kinds, "{name}: {refused}");
    }
    let twice = check(&snapshot, &grants(), vec![gone(in_default("twice"))]).unwrap_err().to_string();
    assert!(twice.contains("a/twice.yaml document 1, b/twice.yaml document 2"), "{twice}");
}

/// A strategic merge patch of `default/web`.
const PATCH: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  replicas: 1\n";

/// A JSON Patch that changes nothing.
const JSON_PATCH: &str = r#"[{"op": "test", "path": "/kind", "value": "Deployment"}]"#;

/// The same, in a kustomization.
fn inline() -> String {
    format!("patches:\n- patch: |\n    {}", PATCH.replace('\n', "\n    "))
}

/// What becomes of a deletion of `default/web` in `apps/web.yaml`, with more files.
async fn without_web(more: Files<'_>) -> Result<Validated, Refusals> {
    let text = deployment("web");
    let files = [
        &[
            ("apps/web.yaml", text.as_str()),
            ("apps/other.yaml", "a: 1\n"),
            ("apps/p.yaml", PATCH),
            ("apps/j.json", JSON_PATCH),
        ],
        more,
    ];
    check(&*snapshot(&files.concat()).await, &grants(), vec![gone(web())])
}

async fn assert_needed(more: Files<'_>, words: &str) {
    let refused = without_web(more).await.expect_err(words);
    let kinds: Vec<&str> = refused.reasons().iter().map(|refusal| refusal.kind()).collect();
    assert_eq!(kinds, ["delete"], "{more:?}: {refused}");
    assert!(refused.to_string().contains(words), "{more:?}: {refused}");
}

#[tokio::test]
async fn no_object_goes_that_a_kustomization_needs() {
    let table = [
        "patches: [{path: p.yaml}]",
        "patchesStrategicMerge: [p.yaml]",
        "patchesJson6902: [{target: {version: v1, kind: Deployment, name: web}, path: j.json}]",
        "replicas: [{name: web, count: 2}]",
        "vars: [{name: X, objref: {kind: Deployment, name: web, apiVersion: apps/v2}}]",
        &inline(),
    ];
    for line in table {
        let kustomization = format!("resources: [web.yaml]\n{line}\n");
        assert_needed(&[("apps/kustomization.yaml", &kustomization)], "apps/kustomization.yaml needs it")
            .await;
    }
    let [mid, top] = ["resources: [../apps]\n".to_owned(), format!("resources: [../mid]\n{}\n", inline())];
    let above = [
        ("apps/kustomization.yaml", "resources: [web.yaml]\n"),
        ("mid/kustomization.yaml", &mid),
        ("top/kustomization.yaml", &top),
    ];
    assert_needed(&above, "top/kustomization.yaml needs it").await;
    let itself = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nresources: [x.yaml]\n";
    let snapshot_of_it = snapshot(&[("kustomization.yaml", itself)]).await;
    let refused = check(&snapshot_of_it, &grants(), vec![gone(web())]).unwrap_err().to_string();
    assert!(refused.contains("kustomization.yaml is a kustomization"), "{refused}");
    let several = format!("{}---\na: 1\n", deployment("web"));
    let patched = format!("resources: [all.yaml]\n{}", inline());
    let snapshot = snapshot(&[("all.yaml", &several), ("kustomization.yaml", &patched)]).await;
    let refused = check(&snapshot, &grants(), vec![gone(web())]).unwrap_err().to_string();
    assert!(refused.contains("kustomization.yaml needs it"), "{refused}");
}

#[tokio::test]
async fn no_file_goes_that_a_kustomization_names_otherwise() {
    let listed = ("apps/kustomization.yaml", "resources: [web.yaml]\n");
    let table = [
        (
            "patches: [{path: ../apps/web.yaml}]",
            "top/kustomization.yaml names its file apps/web.yaml, and not",
        ),
        ("configMapGenerator: [{files: [w=../apps/web.yaml]}]", "top/kustomization.yaml names its file"),
        ("namespace: {{ x }}\nresources: [../apps/web.yaml]", "top/kustomization.yaml may list its file"),
    ];
    for (top, words) in table {
        let top = format!("kind: Kustomization\nbases: []\n{top}\n");
        assert_needed(&[listed, ("top/kustomization.yaml", &top)], words).await;
    }
}

#[tokio::test]
async fn what_selects_may_select_nothing_and_what_is_elsewhere_is_no_matter() {
    let table = [
        ("apps", "resources: [web.yaml]\npatches: [{target: {kind: Deployment, name: web}, path: j.json}]\n"),
        ("apps", "resources: [web.yaml]\nreplicas: [{name: website, count: 2}]\n"),
        ("other", &format!("resources: [x.yaml]\n{}", inline())),
        ("other", "namespace: {{ x }}\nresources: [website.yml]\n"),
    ];
    for (folder, kustomization) in table {
        // Without one in its own folder the patch file would be another object of that name.
        let own = ("apps/kustomization.yaml", "resources: [web.yaml]\n");
        let path = format!("{folder}/kustomization.yaml");
        let both = [own, (path.as_str(), kustomization)];
        let result = without_web(if folder == "apps" { &both[1..] } else { &both }).await;
        assert!(matches!(result, Ok(Validated::Change(_))), "{kustomization}: {result:?}");
    }
}

const POLICY: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: isolate-web\n";

fn fleet() -> Fleet {
    Fleet::with(&[
        ("apps/policies/web.yaml", POLICY),
        ("apps/web.yaml", &deployment("web")),
        ("apps/kustomization.yaml", "resources:\n  - web.yaml\n  - policies/web.yaml # for now\n"),
    ])
}

/// A gateway whose one plugin deletes that object; `more` is said of the repository.
fn start(fleet: &Fleet, mode: &str, more: &Value) -> Process {
    let root = fleet.bare.root.path();
    let guest = write(root, "guest", &core_module(&deletes("v1", "ConfigMap", "default", "isolate-web")));
    let mut repository = json!({ "url": fleet.bare.file_url() });
    json_patch::merge(&mut repository, more);
    let config = json!({
        "server": { "listen": "127.0.0.1:0" },
        "journal": { "dir": root.join(mode) },
        "repository": repository,
        "repeats": { "windowS": 0 },
        "plugins": [{
            "name": "release", "source": format!("file:{}", guest.display()), "mode": mode,
            "grants": { "kinds": ["v1/ConfigMap"], "namespaces": ["default"], "delete": true },
        }],
    });
    Process::start(&fleet.beside("riposte.yaml", &config.to_string()), None)
}

fn react(process: &mut Process, id: u32) -> Value {
    let event = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nce-specversion: 1.0\r\nce-id: {id}\r\nce-source: /s\r\nce-type: any\r\n\r\n"
    );
    let answer = process.connect().send(event.as_bytes());
    assert_eq!(answer.status, 202);
    process.settled(answer.number())["reactions"][0].clone()
}

/// The commit of the first event, and nothing more after the second.
fn assert_gone(fleet: &Fleet, process: &mut Process) {
    let reaction = react(process, 1);
    assert_eq!(reaction["outcome"], "committed", "{reaction:#}");
    assert_eq!(reaction["decision"]["patches"][0]["change"], json!({ "delete": {} }));
    let listed = fleet.bare.git(&["ls-tree", "-rt", "--name-only", "main"]);
    assert_eq!(listed, "apps\napps/kustomization.yaml\napps/web.yaml\n", "an empty folder is none");
    assert_eq!(fleet.file("apps/kustomization.yaml"), "resources:\n  - web.yaml\n");
    let message = &fleet.log()[0];
    assert!(message.starts_with("Delete it: any\n") && message.contains("\nRiposte-Reaction: "), "{message}");
    let diff = reaction["diff"].as_str().unwrap();
    assert!(diff.contains("--- a/apps/policies/web.yaml\n+++ /dev/null\n"), "{diff}");
    fleet.bare.git(&["fsck", "--strict"]);
    let again = react(process, 2);
    assert_eq!(again["outcome"], "unchanged", "{again:#}");
    assert_eq!(fleet.log().len(), 2);
}

#[test]
fn a_plugin_deletes_an_object_once_and_may_only_say_so_before() {
    let fleet = fleet();
    let mut observed = start(&fleet, "observe", &json!({}));
    let reaction = react(&mut observed, 1);
    assert_eq!(reaction["outcome"], "observed", "{reaction:#}");
    assert!(reaction["diff"].as_str().is_some_and(|diff| diff.contains("+++ /dev/null")), "{reaction:#}");
    let replayed = observed.connect().post_json("/v1/replays", &json!({ "events": [1] })).json();
    assert!(replayed.to_string().contains(r#"\n+++ /dev/null\n"#), "{replayed:#}");
    let plugin = observed.connect().get("/v1/plugins").json()["plugins"][0].clone();
    assert_eq!(plugin["grants"]["delete"], true);
    assert_eq!(
        plugin["requestedGrants"],
        json!({ "kinds": [], "fields": [], "create": false, "delete": false })
    );
    assert_eq!(fleet.log().len(), 1);
    drop(observed);
    assert_gone(&fleet, &mut start(&fleet, "enforce", &json!({})));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_deletes_an_object_on_github() {
    let fleet = fleet();
    let github = GitHub::start(&fleet.bare.path()).await;
    let token = fleet.bare.secret("github-token", TOKEN);
    let more = json!({
        "auth": { "tokenFile": token },
        "github": { "apiUrl": github.api_url(), "repository": REPOSITORY },
    });
    block_in_place(|| assert_gone(&fleet, &mut start(&fleet, "enforce", &more)));
    let recorded = github.recorded();
    let request = recorded.iter().find(|request| request.method == "POST").expect("a commit");
    let changes = &request.body["variables"]["input"]["fileChanges"];
    assert_eq!(changes["deletions"], json!([{ "path": "apps/policies/web.yaml" }]), "{changes:#}");
}
