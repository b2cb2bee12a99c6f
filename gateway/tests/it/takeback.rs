//! Taking a commit back by the API and the command: what was changed, made or deleted, on today's content,
//! once, and never what somebody has changed since.

use std::process::{Command, Output};

use riposte::crash_point::CrashPoint;
use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::harness::fleet::deployment;
use crate::harness::git::git;
use crate::harness::github::GitHub;
use crate::harness::guest::{Guest, Image, Laid, core_module, deletes, write};
use crate::harness::sandbox::unhurried;
use crate::harness::{Answer, Fleet, Process, cloudevent, shell_in};

pub(crate) const POD: &str = "alpine-deployment-77789455d6-m7flp";
const FILE: &str = "apps/alpine.yaml";

/// Sends one alert of the pod, and waits for the end of its reaction.
pub(crate) fn react(process: &mut Process, id: &str, pod: &str) -> Value {
    let answer = process.connect().send(&cloudevent(id, &shell_in("default", pod)));
    assert_eq!(answer.status, 202);
    process.settled(answer.number())["reactions"][0].clone()
}

pub(crate) fn revert(process: &Process, reaction: &Value) -> Answer {
    let target = format!("/v1/reactions/{reaction}/revert");
    process.connect().post_json(&target, &json!({ "reason": "a false alarm" }))
}

pub(crate) fn reaction(process: &Process, id: i64) -> Value {
    process.connect().get(&format!("/v1/reactions/{id}")).json()
}

/// The revert, once it has ended.
pub(crate) fn reverted(process: &mut Process, of: &Value) -> Value {
    let answer = revert(process, &of["id"]);
    assert_eq!(answer.status, 202, "{answer:?}");
    ended(process, answer.number())
}

pub(crate) fn ended(process: &mut Process, id: i64) -> Value {
    let event = reaction(process, id)["event"].as_i64().unwrap();
    process.settled(event);
    reaction(process, id)
}

fn riposte(process: &Process, arguments: &[&str]) -> Output {
    let url = format!("http://{}", process.address);
    Command::new(env!("CARGO_BIN_EXE_riposte")).args(arguments).args(["--url", &url]).output().unwrap()
}

pub(crate) fn is_intact(process: &Process) {
    let audit = process.connect().get("/v1/audit").json();
    assert_eq!(audit["intact"], true, "{audit}");
}

/// Every file of a commit with its text.
pub(crate) fn tree(fleet: &Fleet, commit: &str) -> Vec<(String, String)> {
    let names = fleet.bare.git(&["ls-tree", "-r", "--name-only", commit]);
    let text = |name: &str| fleet.bare.git(&["show", &format!("{commit}:{name}")]);
    names.lines().map(|name| (name.to_owned(), text(name))).collect()
}

/// A gateway with a guest that answers each alert with these patches.
fn with_guest(fleet: &Fleet, patches: &[Laid<'_>], grants: &Value) -> std::path::PathBuf {
    let image = Image::proposal(patches, "Change it", "because");
    with_bytes(fleet, &Guest::answering(&image).bytes(), grants)
}

fn with_bytes(fleet: &Fleet, bytes: &[u8], grants: &Value) -> std::path::PathBuf {
    let file = write(fleet.bare.root.path(), "guest", bytes);
    let entry = json!({
        "name": "guest", "source": format!("file:{}", file.display()), "mode": "enforce", "grants": grants,
        "subscriptions": [{ "exact": { "type": "falco.rule.output.v1" } }], "limits": unhurried(),
    });
    fleet.config_with_plugin("a", &entry)
}

#[test]
fn a_revert_is_a_commit_of_its_own_and_there_is_one() {
    let fleet = Fleet::tutorial();
    let mut process = Process::start(&fleet.config_without_repeats("a"), None);
    let first = react(&mut process, "1", POD);
    assert_eq!(first["outcome"], "committed", "{first:#}");
    let answer = revert(&process, &first["id"]);
    let begun = answer.json();
    assert_eq!((&begun["reverts"], &begun["event"]), (&first["id"], &json!(1)), "{begun:#}");
    let back = ended(&mut process, answer.number());
    assert_eq!(
        (&back["outcome"], &back["reason"]),
        (&json!("committed"), &json!("a false alarm")),
        "{back:#}"
    );
    assert_eq!(tree(&fleet, "main"), tree(&fleet, "main~2"), "every byte is back");
    let log = fleet.log();
    assert_eq!(log.len(), 3);
    let title = "Revert \"Scale default/alpine-deployment to 0\": Terminal shell in container\n";
    assert!(log[0].starts_with(title) && log[0].contains("\nReason: a false alarm\n"), "{}", log[0]);
    let reverts = log[0].lines().find_map(|line| line.strip_prefix("Riposte-Reverts: ")).unwrap();
    assert!(log[1].contains(&format!("\nRiposte-Reaction: {reverts}\n")), "{log:?}");

    // Asked again, it is the same one.
    assert_eq!(revert(&process, &first["id"]).number(), answer.number());
    assert_eq!(fleet.log().len(), 3);
    let was = reaction(&process, first["id"].as_i64().unwrap());
    assert_eq!((&was["outcome"], &was["became"]), (&json!("committed"), &json!("reverted")), "{was:#}");
    assert_eq!(was["revertedBy"], back["id"], "{was:#}");
    for (query, found) in [("reverted", 1), ("committed", 1), ("expired", 0), ("overridden", 0)] {
        let page = process.connect().get(&format!("/v1/events?outcome={query}")).json();
        assert_eq!(page["events"].as_array().map(Vec::len), Some(found), "{query}");
    }
    let listed = String::from_utf8(riposte(&process, &["events", "list"]).stdout).unwrap();
    assert!(listed.contains("scale-to-zero=reverted revert=committed"), "{listed}");
    let shown = String::from_utf8(riposte(&process, &["events", "show", "1"]).stdout).unwrap();
    assert!(
        shown.contains("  reverted by reaction 2\n") && shown.contains("  takes back reaction 1\n"),
        "{shown}"
    );
    let metrics = String::from_utf8(process.connect().get("/metrics").body).unwrap();
    for line in
        ["reverts_settled_total{plugin=\"scale-to-zero\",outcome=\"committed\"} 1", "overrides_total 0"]
    {
        assert!(metrics.contains(&format!("\nriposte_{line}\n")), "{metrics}");
    }
    // A replay asks the plugin about its own decision, not about the host's.
    let replayed = process.connect().post_json("/v1/replays", &json!({ "events": [1] })).json();
    assert_eq!(replayed["results"][0]["difference"], "same", "{replayed:#}");
    // And the incident can be acted on again.
    assert_eq!(react(&mut process, "2", POD)["outcome"], "committed");
    is_intact(&process);
}

#[test]
fn whatever_a_plugin_of_ours_did_is_taken_back_to_the_byte() {
    for plugin in ["scale-to-zero", "quarantine", "drop-token", "isolate"] {
        let fleet = Fleet::tutorial();
        let config = fleet.config_with_plugin("a", &Fleet::bundled(plugin));
        let mut process = Process::start(&config, None);
        let first = react(&mut process, "1", POD);
        assert_eq!(first["outcome"], "committed", "{plugin}: {first:#}");
        let back = reverted(&mut process, &first);
        assert_eq!(back["outcome"], "committed", "{plugin}: {back:#}");
        assert_eq!(tree(&fleet, "main"), tree(&fleet, "main~2"), "{plugin}");
        is_intact(&process);
    }
}

#[test]
fn a_deleted_object_comes_back_where_it_was() {
    let kept = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: kept\n  namespace: default\n";
    let gone = "# For the gone.\n---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: gone # by hand\n  \
                namespace: default\n";
    let both = format!("{kept}---\n{}", gone.split_once("---\n").unwrap().1);
    let listed = "resources:\n  - gone.yaml # first\n  - kept.yaml\n";
    let items = "apiVersion: v1\nkind: List\nitems:\n# Gone.\n- {apiVersion: v1, kind: ConfigMap, metadata: \
                 {name: gone, namespace: default}} # by hand\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: kept}}\n";
    let kept_item = r#"{ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "kept" } }"#;
    let json = format!(
        "{{ \"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [ {kept_item},\n{} ] }}",
        kept_item.replace("kept", "gone")
    );
    type Files<'a> = Vec<(&'a str, &'a str)>;
    let transformed = both.replace("  namespace: default\n", "");
    let table: [Files<'_>; 6] = [
        vec![("gone.yaml", gone)],
        vec![("kustomization.yaml", listed), ("gone.yaml", gone), ("kept.yaml", kept)],
        vec![("both.yaml", &both)],
        vec![
            ("kustomization.yaml", "namespace: default\nresources: [both.yaml]\n"),
            ("both.yaml", &transformed),
        ],
        vec![("items.yaml", items)],
        vec![("items.json", &json)],
    ];
    for files in table {
        let fleet = Fleet::with(&[&files[..], &[("z.yaml", &deployment("z"))]].concat());
        let grants = json!({ "kinds": ["ConfigMap"], "namespaces": ["*"], "delete": true });
        let config =
            with_bytes(&fleet, &core_module(&deletes("v1", "ConfigMap", "default", "gone")), &grants);
        let mut process = Process::start(&config, None);
        let first = react(&mut process, "1", POD);
        assert_eq!(first["outcome"], "committed", "{first:#}");
        let is_there =
            |(_, text): &(String, String)| text.contains("name: gone") || text.contains("\"gone\"");
        assert!(!tree(&fleet, "main").iter().any(is_there));
        let back = reverted(&mut process, &first);
        assert_eq!(back["outcome"], "committed", "{back:#}");
        let (now, then) = (tree(&fleet, "main"), tree(&fleet, "main~2"));
        let without_kustomization = |tree: &[(String, String)]| -> Vec<(String, String)> {
            tree.iter().filter(|(name, _)| name != "kustomization.yaml").cloned().collect()
        };
        assert_eq!(without_kustomization(&now), without_kustomization(&then));
        if files.len() == 3 {
            // The comment of its line went with it.
            assert_eq!(fleet.file("kustomization.yaml"), "resources:\n  - gone.yaml\n  - kept.yaml\n");
        }
    }
}

#[test]
fn what_went_together_comes_back_together_after_a_crash_and_without_the_plugin() {
    let item = |name: &str| {
        format!(
            "- apiVersion: v1\n  kind: ConfigMap\n  metadata: {{ name: {name}, namespace: default }} # by hand\n"
        )
    };
    let list = format!("apiVersion: v1\nkind: List\nitems:\n{}# over b\n{}", item("a"), item("b"));
    let fleet = Fleet::with(&[("list.yaml", &list), ("z.yaml", &deployment("z"))]);
    let (api_version, kind, namespace) = ("v1", "ConfigMap", Some("default"));
    let goes = |name| Laid { api_version, kind, namespace, name, case: 3, text: "" };
    let grants = json!({ "kinds": ["ConfigMap"], "namespaces": ["*"], "delete": true });
    let config = with_guest(&fleet, &[goes("a"), goes("b")], &grants);
    let mut first = Process::start(&config, Some(&CrashPoint::Committed.name()));
    assert_eq!(first.connect().send(&cloudevent("1", &shell_in("default", POD))).status, 202);
    first.wait_for_line(|line| line.contains("crash point reached"));
    first.kill();
    assert_eq!(fleet.bare.git(&["ls-tree", "--name-only", "main"]), "z.yaml\n");

    let text = std::fs::read_to_string(&config).unwrap();
    let (start, rest) = text.split_once("plugins:").unwrap();
    let (_, end) = rest.split_once("repeats:").unwrap();
    let mut second = Process::start(&fleet.beside("a.yaml", &format!("{start}repeats:{end}")), None);
    let found = ended(&mut second, 1);
    assert_eq!(found["reason"], "an earlier attempt had made the commit", "{found:#}");
    let back = reverted(&mut second, &found);
    assert_eq!(back["outcome"], "committed", "{back:#}");
    assert_eq!(tree(&fleet, "main"), tree(&fleet, "main~2"));
    is_intact(&second);
}

fn three() -> [Laid<'static>; 3] {
    let laid = |name, case, text| Laid {
        api_version: "apps/v1",
        kind: "Deployment",
        namespace: Some("default"),
        name,
        case,
        text,
    };
    [
        laid("a", 1, r#"{"spec":{"replicas":0},"metadata":{"labels":{"held":"yes"}}}"#),
        laid("b", 0, r#"[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"none"}]"#),
        laid("a", 1, r#"{"spec":{"paused":true}}"#),
    ]
}

fn granted() -> Value {
    json!({ "kinds": ["Deployment"], "namespaces": ["default"], "fields": ["/spec", "/metadata/labels"] })
}

#[test]
fn several_objects_go_back_together_or_not_at_all() {
    let fleet = Fleet::with(&[("a.yaml", &deployment("a")), ("b.yaml", &deployment("b"))]);
    let mut process = Process::start(&with_guest(&fleet, &three(), &granted()), None);
    let first = react(&mut process, "1", POD);
    assert_eq!(first["outcome"], "committed", "{first:#}");
    let b = fleet.file("b.yaml");
    // A sidecar before it: the container is another number, and has the same name.
    let other = b
        .replace("        - name: main", "        - name: side\n          image: none\n        - name: main");
    fleet.person_commits("b.yaml", &other.replace("          image: none\n", "          image: own\n"));
    let refused = reverted(&mut process, &first);
    assert_eq!(refused["outcome"], "refused", "{refused:#}");
    let reason = refused["reason"].as_str().unwrap();
    let field = "Deployment default/b: /spec/template/spec/containers/[main]/image was changed since: it was left as \
                 \"none\", and is \"own\"";
    assert!(reason.contains(field), "{reason}");
    assert!(fleet.file("a.yaml").contains("replicas: 0"), "nothing of it");

    fleet.person_commits("b.yaml", &other);
    let back = reverted(&mut process, &first);
    assert_ne!(back["id"], refused["id"], "a refused one may be asked for again");
    assert_eq!(back["outcome"], "committed", "{back:#}");
    assert_eq!(fleet.file("a.yaml"), deployment("a"));
    let image =
        "        - name: side\n          image: none\n        - name: main\n          image: alpine\n";
    assert!(fleet.file("b.yaml").contains(image), "{}", fleet.file("b.yaml"));
    is_intact(&process);
}

#[test]
fn what_others_did_beside_it_stays() {
    let fleet = Fleet::tutorial();
    let mut process = Process::start(&fleet.config_without_repeats("a"), None);
    let first = react(&mut process, "1", POD);
    let table = [
        // Changed since, by anyone.
        (FILE, fleet.file(FILE).replace("replicas: 0", "replicas: 5"), "refused"),
        // In another file, in another order, with more in it.
        (
            "apps/shop.yaml",
            format!("{}---\n# Ours.\n{}", fleet.file("apps/shop.yaml"), fleet.file(FILE)).replace(
                "replicas: 0 # two for the load, one to lose",
                "replicas: 0 # NEW\n  minReadySeconds: 3",
            ),
            "committed",
        ),
    ];
    for (path, text, outcome) in table {
        if path != FILE {
            let clone = fleet.bare.root.path().join("moving");
            git(fleet.bare.root.path(), &["clone", "-q", "desired.git", "moving"]);
            git(&clone, &["rm", "-q", FILE]);
            std::fs::write(clone.join(path), &text).unwrap();
            std::fs::write(clone.join("apps/kustomization.yaml"), "resources:\n  - shop.yaml\n").unwrap();
            git(&clone, &["-c", "user.name=p", "-c", "user.email=p@x", "commit", "-qam", "Move"]);
            git(&clone, &["push", "-q", "origin", "HEAD:main"]);
        } else {
            fleet.person_commits(path, &text);
        }
        let back = reverted(&mut process, &first);
        assert_eq!(back["outcome"], outcome, "{back:#}");
        let reason = back["reason"].as_str().unwrap();
        assert_eq!(
            reason.contains("/spec/replicas was changed since: it was left as 0, and is 5"),
            path == FILE
        );
        let wanted = text.replace("replicas: 0 # NEW", "replicas: 3 # NEW");
        assert_eq!(fleet.file(path), wanted, "only the one value, if at all");
        if path == FILE {
            fleet.person_commits(FILE, &text.replace("replicas: 5", "replicas: 0"));
        }
    }
}

#[test]
fn what_is_as_before_already_makes_no_commit() {
    let fleet = Fleet::tutorial();
    let config = fleet.config_without_repeats("a");
    let mut process = Process::start(&config, None);
    let first = react(&mut process, "1", POD);
    assert_eq!(process.connect().post_json("/v1/pause", &json!({ "reason": "x" })).status, 200);
    let open = revert(&process, &first["id"]).number();
    fleet.person_reverts();
    assert_eq!(process.connect().post_json("/v1/resume", &json!({})).status, 200);
    let back = ended(&mut process, open);
    assert_eq!(back["outcome"], "unchanged", "{back:#}");
    assert_eq!(fleet.log().len(), 3);
    let was = reaction(&process, 1);
    assert_eq!((&was["became"], &was["overridden"]), (&json!("reverted"), &Value::Null), "{was:#}");
}

#[test]
fn a_pause_holds_a_revert_and_a_guardrail_refuses_it() {
    let fleet = Fleet::tutorial();
    let config = fleet.config_without_repeats("a");
    let mut process = Process::start(&config, None);
    let first = react(&mut process, "1", POD);
    assert_eq!(riposte(&process, &["pause", "--reason", "look first"]).status.code(), Some(0));
    let begun = riposte(&process, &["revert", "1", "--reason", "a false alarm"]);
    let said = String::from_utf8_lossy(&begun.stdout).into_owned();
    assert_eq!((begun.status.code(), said.as_str()), (Some(0), "reaction 2 takes back reaction 1\n"));
    let waits = riposte(&process, &["revert", "1", "--reason", "x", "--wait", "--timeout-s", "0"]);
    let said = String::from_utf8_lossy(&waits.stdout).into_owned();
    assert_eq!(waits.status.code(), Some(1), "{said}");
    assert!(said.starts_with("reaction 2 takes back reaction 1\n"), "{said}");
    assert_eq!(reaction(&process, 2)["waitsBecause"], "paused: look first");
    assert_eq!(reaction(&process, 1)["revertedBy"], 2);
    assert_eq!(process.terminate(), Some(0));

    // Its plugin is gone, and its namespace is protected by now; the first is no matter.
    let entry = json!({ "name": "other", "source": "bundled:isolate", "config": { "rules": ["x"] } });
    let text = std::fs::read_to_string(fleet.config_with_plugin("a", &entry)).unwrap();
    let protected = format!("{text}guardrails: {{ protectedNamespaces: [default], commitsMax: 1 }}\n");
    let mut process = Process::start(&fleet.beside("a.yaml", &protected), None);
    assert_eq!(riposte(&process, &["resume"]).status.code(), Some(0));
    let refused = ended(&mut process, 2);
    assert_eq!(refused["outcome"], "refused", "{refused:#}");
    assert!(refused["reason"].as_str().unwrap().contains("its namespace is protected"), "{refused:#}");
    assert_eq!(process.terminate(), Some(0));
    let open = protected.replace("protectedNamespaces: [default]", "protectedNamespaces: []");
    let process = Process::start(&fleet.beside("a.yaml", &open), None);
    let done = riposte(&process, &["revert", "1", "--reason", "a false alarm", "--wait"]);
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success() && said.contains("\ncommitted "), "{said} {done:?}");
    assert_eq!(fleet.log().len(), 3);
    assert_eq!(first["outcome"], "committed");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_was_committed_the_answer_says_what_to_do() {
    let fleet = Fleet::tutorial();
    let github = GitHub::start(&fleet.bare.path()).await;
    let config = fleet.config_on_github("a", &github, "propose");
    block_in_place(|| {
        let mut process = Process::start(&config, None);
        assert_eq!(react(&mut process, "1", POD)["outcome"], "proposed");
        assert_eq!(react(&mut process, "2", "nobody-77789455d6-m7flp")["outcome"], "ignored");
        let table = [
            ("1", 409, "close that pull request, or revert it there"),
            ("2", 409, "reaction 2 ended as ignored: it committed nothing"),
            ("7", 404, "the journal has no reaction 7"),
            ("x", 400, "{id} of the path is a whole number"),
        ];
        for (id, status, words) in table {
            let answer =
                process.connect().post_json(&format!("/v1/reactions/{id}/revert"), &json!({ "reason": "x" }));
            assert_eq!(answer.status, status, "{id}");
            assert!(answer.json()["detail"].as_str().unwrap().contains(words), "{answer:?}");
        }
        let wrong = [json!({}), json!({ "reason": " " }), json!({ "reason": "x", "force": true })];
        for (body, status) in wrong.iter().zip([422, 400, 422]) {
            assert_eq!(process.connect().post_json("/v1/reactions/1/revert", body).status, status, "{body}");
        }
        assert_eq!(process.connect().get("/v1/reactions/9").status, 404);
        let refused = riposte(&process, &["revert", "2", "--reason", "x"]);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert_eq!(riposte(&process, &["revert", "2"]).status.code(), Some(2), "and why?");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn on_github_it_is_the_same() {
    let fleet = Fleet::tutorial();
    let github = GitHub::start(&fleet.bare.path()).await;
    let config = fleet.config_on_github("a", &github, "enforce");
    block_in_place(|| {
        let mut process = Process::start(&config, None);
        let first = react(&mut process, "1", POD);
        let back = reverted(&mut process, &first);
        assert_eq!(back["outcome"], "committed", "{back:#}");
        assert_eq!(tree(&fleet, "main"), tree(&fleet, "main~2"));
        let again = revert(&process, &back["id"]);
        assert_eq!(again.status, 409);
        assert!(again.json()["detail"].as_str().unwrap().contains("is itself a revert"), "{again:?}");
    });
}

#[test]
fn two_gateways_on_one_branch_take_back_what_is_theirs() {
    let fleet = Fleet::with(&[("a.yaml", &deployment("a-a")), ("b.yaml", &deployment("b-b"))]);
    let mut one = Process::start(&fleet.config_without_repeats("a"), None);
    let mut two = Process::start(&fleet.config_without_repeats("b"), None);
    let first = react(&mut one, "1", "a-a-77789455d6-m7flp");
    let second = react(&mut two, "1", "b-b-77789455d6-m7flp");
    assert_eq!(react(&mut two, "2", "a-a-77789455d6-m7flp")["outcome"], "unchanged");
    let (at_one, at_two) = (revert(&one, &first["id"]).number(), revert(&two, &second["id"]).number());
    assert_eq!(ended(&mut one, at_one)["outcome"], "committed");
    assert_eq!(ended(&mut two, at_two)["outcome"], "committed");
    assert_eq!(fleet.log().len(), 5);
    assert_eq!((fleet.file("a.yaml"), fleet.file("b.yaml")), (deployment("a-a"), deployment("b-b")));
}
