//! The whole path where something on the other side goes wrong: GitHub, a receiver of Flux, an owner.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::harness::fleet::deployment;
use crate::harness::github::{Fault, GitHub};
use crate::harness::http::Server;
use crate::harness::{Fleet, Process, cloudevent, shell_in};

const POD: &str = "alpine-deployment-77789455d6-m7flp";

/// The configuration `a` with another text after a place in it.
fn with(fleet: &Fleet, place: &str, more: &str) -> PathBuf {
    let text = std::fs::read_to_string(fleet.config("a")).unwrap();
    assert!(text.contains(place));
    fleet.beside("changed.yaml", &text.replacen(place, &format!("{place}{more}"), 1))
}

/// Sends one alert of the pod, and waits for the end of its reaction.
fn react(process: &mut Process, id: &str, pod: &str) -> Value {
    let answer = process.connect().send(&cloudevent(id, &shell_in("default", pod)));
    assert_eq!(answer.status, 202);
    process.settled(answer.number())["reactions"][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_on_github_is_made_once_whatever_becomes_of_the_answer() {
    let fault = |status, body: &str| Fault::Answer { status, headers: Vec::new(), body: body.to_owned() };
    let stale = json!({
        "data": { "createCommitOnBranch": null },
        "errors": [{ "type": "STALE_DATA", "message": "Expected branch to point to \"0\" but it did not." }],
    });
    let table = [
        ("no fault", None),
        ("a stale head", Some(fault(200, &stale.to_string()))),
        ("cut before", Some(Fault::CutBefore)),
        ("cut after", Some(Fault::CutAfter)),
        ("silence before", Some(Fault::Silence)),
        ("silence after", Some(Fault::SilenceAfter)),
        ("500 before", Some(fault(500, "{}"))),
        ("502 after", Some(Fault::AnswerAfter { status: 502, body: "<html>".to_owned() })),
        (
            "limited",
            Some(Fault::Answer {
                status: 429,
                headers: vec![("retry-after", "1".to_owned())],
                body: "{}".to_owned(),
            }),
        ),
    ];
    for (name, fault) in table {
        let fleet = Fleet::tutorial();
        let github = GitHub::start(&fleet.bare.path()).await;
        let config = fleet.config_on_github("a", &github, "enforce");
        if let Some(fault) = fault {
            github.next(fault);
        }
        let reaction = block_in_place(|| react(&mut Process::start(&config, None), "1", POD));
        assert_eq!(reaction["outcome"], "committed", "{name}: {reaction:#}");
        assert_eq!(fleet.log().len(), 2, "{name}");
        let head = fleet.bare.git(&["rev-parse", "main"]);
        assert_eq!(reaction["commit"]["sha"].as_str(), Some(head.trim()), "{name}");
        assert_eq!(
            reaction["commit"]["message"].as_str().map(str::trim),
            Some(fleet.log()[0].trim()),
            "{name}"
        );
        assert!(reaction["diff"].as_str().is_some_and(|diff| diff.contains("+  replicas: 0")), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_github_will_never_take_fails_with_its_words() {
    let fleet = Fleet::tutorial();
    let github = GitHub::start(&fleet.bare.path()).await;
    let protected = json!({
        "data": { "createCommitOnBranch": null },
        "errors": [{ "type": "BRANCH_PROTECTION_RULE_VIOLATION", "message": "Changes must be made through a pull request." }],
    });
    github.next(Fault::Answer { status: 200, headers: Vec::new(), body: protected.to_string() });
    let config = fleet.config_on_github("a", &github, "enforce");
    let reaction = block_in_place(|| react(&mut Process::start(&config, None), "1", POD));
    assert_eq!(reaction["outcome"], "failed");
    let reason = reaction["reason"].as_str().unwrap();
    assert!(reason.contains("protected") && reason.contains("pull request"), "{reason}");
    assert_eq!(fleet.log().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn flux_is_told_of_commits_and_a_receiver_that_hangs_holds_up_nothing() {
    let fleet = Fleet::with(&[("a.yaml", &deployment("a-a")), ("b.yaml", &deployment("b-b"))]);
    let (told, mut bodies) = tokio::sync::mpsc::unbounded_channel();
    let called = Arc::new(Mutex::new(told));
    let flux = Server::start(move |request: http::Request<Bytes>| {
        let called = Arc::clone(&called);
        async move {
            if request.uri().path() == "/hook/hangs" {
                std::future::pending::<()>().await;
            }
            called.lock().unwrap().send(request.body().clone()).unwrap();
            Ok(Response::new(Full::default()))
        }
    })
    .await;
    let hook = |path: &str| format!("  - {{ url: \"{}/hook/{path}\", type: generic }}\n", flux.origin());
    let config = with(&fleet, "", &format!("notify:\n{}{}", hook("tells"), hook("hangs")));
    let mut process = block_in_place(|| Process::start(&config, None));
    for pod in ["a-a-77789455d6-m7flp", "b-b-77789455d6-m7flp"] {
        // Both commits are made although the first call of the hanging receiver has not ended.
        let reaction = block_in_place(|| react(&mut process, pod, pod));
        assert_eq!(reaction["outcome"], "committed", "{reaction:#}");
    }
    let body: Value = serde_json::from_slice(&bodies.recv().await.unwrap()).unwrap();
    let revision = body["revision"].as_str().unwrap();
    assert!(revision.starts_with("main@sha1:") && revision.len() == 50, "{revision}");
}

#[test]
fn each_alert_that_cannot_be_acted_on_says_why() {
    let daemon = deployment("agent").replace("Deployment", "DaemonSet").replace("  replicas: 3\n", "");
    let twin = deployment("twin");
    let files = [("agent.yaml", daemon), ("one/twin.yaml", twin.clone()), ("two/twin.yaml", twin)];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let fleet = Fleet::with(&files);
    let mut process = Process::start(&fleet.config("a"), None);
    let table = [
        ("agent-m7flp", "ignored", "DaemonSet default/agent has no replicas to scale"),
        ("nobody-77789455d6-m7flp", "ignored", "no object that makes such a pod"),
        ("twin-77789455d6-m7flp", "refused", "one/twin.yaml"),
        ("<NA>", "ignored", "names no pod"),
    ];
    for (pod, outcome, words) in table {
        let reaction = react(&mut process, pod, pod);
        assert_eq!(reaction["outcome"], outcome, "{pod}: {reaction:#}");
        assert!(reaction["reason"].as_str().unwrap().contains(words), "{pod}: {reaction:#}");
    }
    assert_eq!(fleet.log().len(), 1);
}

#[test]
fn a_repository_that_is_silent_does_not_hold_up_the_end() {
    let fleet = Fleet::tutorial();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let text = std::fs::read_to_string(fleet.config("a")).unwrap();
    let url = format!("http://{}/fleet.git\n  limits: {{ fetchMs: 600000 }}", silent.local_addr().unwrap());
    let config = fleet.beside("silent.yaml", &text.replace(&fleet.bare.file_url(), &url));
    let process = Process::start(&config, None);
    let (asking, _) = silent.accept().unwrap();
    assert_eq!(process.terminate(), Some(0));
    drop(asking);
}

/// A configuration with one of the bundled plugins, as its `plugin.yaml` has it, that commits.
fn enforcing(fleet: &Fleet, plugin: &str) -> PathBuf {
    let entry = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins").join(plugin).join("plugin.yaml");
    let mut entry: Value = serde_yaml::from_str(&std::fs::read_to_string(entry).unwrap()).unwrap();
    entry["mode"] = json!("enforce");
    if plugin != "rules" {
        entry["config"]["rules"] = json!(["Terminal shell in container"]);
    }
    let text = std::fs::read_to_string(fleet.config("a")).unwrap();
    let start = text.split("plugins:").next().unwrap();
    fleet.beside("plugin.yaml", &format!("{start}plugins: [{entry}]\n"))
}

#[test]
fn an_isolated_workload_gets_its_policy_once() {
    let fleet = Fleet::tutorial();
    let config = enforcing(&fleet, "isolate");
    let text = std::fs::read_to_string(&config).unwrap();
    let config = fleet.beside("each.yaml", &format!("{text}repeats: {{ windowS: 0 }}\n"));
    let mut process = Process::start(&config, None);
    for (id, outcome) in [("1", "committed"), ("2", "unchanged")] {
        let reaction = react(&mut process, id, POD);
        assert_eq!(reaction["outcome"], outcome, "{reaction:#}");
    }
    assert_eq!(fleet.log().len(), 2);
    let policy = fleet.file("apps/networkpolicy-isolate-alpine-deployment.yaml");
    assert!(policy.contains("kind: NetworkPolicy") && policy.contains("  podSelector:\n"), "{policy}");
    let listed = fleet.file("apps/kustomization.yaml");
    assert!(
        listed.ends_with("  - shop.yaml\n  - networkpolicy-isolate-alpine-deployment.yaml\n"),
        "{listed}"
    );
}

#[test]
fn each_plugin_that_ships_makes_the_change_that_it_is_for() {
    let table = [
        ("quarantine", "riposte.dev/quarantine: \"true\""),
        ("drop-token", "automountServiceAccountToken: false"),
        ("rules", "replicas: 0"),
        ("scale-to-zero", "replicas: 0"),
    ];
    for (plugin, line) in table {
        let fleet = Fleet::tutorial();
        let reaction = react(&mut Process::start(&enforcing(&fleet, plugin), None), "1", POD);
        assert_eq!(reaction["outcome"], "committed", "{plugin}: {reaction:#}");
        assert!(
            fleet.file("apps/alpine.yaml").contains(line),
            "{plugin}: {}",
            fleet.file("apps/alpine.yaml")
        );
    }
    let nightly = "apiVersion: batch/v1\nkind: CronJob\nmetadata:\n  name: nightly\nspec:\n  schedule: \"0 3 * * *\" # at three\n  \
                   jobTemplate:\n    spec:\n      template:\n        spec:\n          restartPolicy: Never\n          containers:\n            \
                   - name: main\n              image: alpine\n";
    let fleet = Fleet::with(&[("nightly.yaml", nightly)]);
    let reaction =
        react(&mut Process::start(&enforcing(&fleet, "suspend"), None), "1", "nightly-29384756-4xc6t");
    assert_eq!(reaction["outcome"], "committed", "{reaction:#}");
    assert_eq!(fleet.file("nightly.yaml"), format!("{nightly}  suspend: true\n"));
}

#[test]
fn a_repository_that_is_away_holds_reactions_until_it_is_back() {
    let fleet = Fleet::tutorial();
    let mut process = Process::start(&fleet.config("a"), None);
    let away = fleet.bare.root.path().join("away.git");
    std::fs::rename(fleet.bare.path(), &away).unwrap();
    let answer = process.connect().send(&cloudevent("1", &shell_in("default", POD)));
    assert_eq!(answer.status, 202, "an event is taken all the same");
    process.wait_for_line(|line| line.contains("the desired state cannot be read"));
    let metrics = String::from_utf8(process.connect().get("/metrics").body).unwrap();
    assert!(metrics.contains("riposte_repository_reachable 0"), "{metrics}");
    std::fs::rename(&away, fleet.bare.path()).unwrap();
    let event = process.settled(1);
    assert_eq!(event["reactions"][0]["outcome"], "committed");
}

#[test]
fn the_gateway_starts_and_takes_events_while_the_repository_is_away() {
    let fleet = Fleet::tutorial();
    let away = fleet.bare.root.path().join("away.git");
    std::fs::rename(fleet.bare.path(), &away).unwrap();
    let mut process = Process::start(&fleet.config("a"), None);
    process.wait_for_line(|line| line.contains("events are taken all the same"));
    assert_eq!(process.connect().send(&cloudevent("1", &shell_in("default", POD))).status, 202);
    assert_eq!(process.connect().get("/readyz").status, 200);
    std::fs::rename(&away, fleet.bare.path()).unwrap();
    assert_eq!(process.settled(1)["reactions"][0]["outcome"], "committed");
}

#[test]
fn a_plugin_makes_no_more_commits_than_the_window_allows_across_restarts() {
    let fleet = Fleet::with(&[
        ("a.yaml", &deployment("a-a")),
        ("b.yaml", &deployment("b-b")),
        ("c.yaml", &deployment("c-c")),
    ]);
    let config = with(&fleet, "", "repeats: { windowS: 0 }\nguardrails: { commitsMax: 2 }\n");
    for (name, outcome) in
        [("a", "committed"), ("b", "committed"), ("a", "unchanged"), ("c", "refused"), ("c", "refused")]
    {
        let mut process = Process::start(&config, None);
        let id = format!("{name} {outcome} {}", process.address);
        let reaction = react(&mut process, &id, &format!("{name}-{name}-77789455d6-m7flp"));
        assert_eq!(reaction["outcome"], outcome, "{reaction:#}");
        let refused =
            reaction["reason"].as_str().is_some_and(|reason| reason.contains("guardrails.commitsMax"));
        assert_eq!(refused, outcome == "refused", "{reaction:#}");
        assert_eq!(process.terminate(), Some(0));
    }
    assert_eq!(fleet.log().len(), 3);
}

#[test]
fn a_plugin_changes_no_more_objects_than_the_window_allows_across_restarts() {
    let names = ["a", "b", "c"];
    let texts = names.map(|name| (format!("{name}.yaml"), deployment(&format!("{name}-{name}"))));
    let files: Vec<(&str, &str)> = texts.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let fleet = Fleet::with(&files);
    let config =
        with(&fleet, "", "repeats: { windowS: 0, overriddenS: 0 }\nguardrails: { workloadsMax: 2 }\n");
    let table =
        [("a", "committed"), ("b", "committed"), ("c", "refused"), ("a", "committed"), ("c", "refused")];
    for (number, (name, outcome)) in table.into_iter().enumerate() {
        // Somebody scales up again: what the plugin has changed before it may change once more.
        fleet.person_commits(
            &format!("{name}.yaml"),
            &format!("# {number}\n{}", deployment(&format!("{name}-{name}"))),
        );
        let mut process = Process::start(&config, None);
        let reaction = react(&mut process, &number.to_string(), &format!("{name}-{name}-77789455d6-m7flp"));
        assert_eq!(reaction["outcome"], outcome, "{reaction:#}");
        let refused =
            reaction["reason"].as_str().is_some_and(|reason| reason.contains("guardrails.workloadsMax"));
        assert_eq!(refused, outcome == "refused", "{reaction:#}");
        assert_eq!(process.terminate(), Some(0));
    }
}

#[test]
fn metrics_count_what_happened() {
    let fleet = Fleet::tutorial();
    let mut process = Process::start(&fleet.config_without_repeats("a"), None);
    react(&mut process, "1", POD);
    react(&mut process, "2", POD);
    process.connect().send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    let metrics = String::from_utf8(process.connect().get("/metrics").body).unwrap();
    for line in [
        "riposte_events_recorded_total 2",
        "riposte_ingest_requests_total{status=\"202\",kind=\"accepted\"} 2",
        "riposte_ingest_requests_total{status=\"415\",kind=\"unknown-format\"} 1",
        "riposte_reactions_settled_total{plugin=\"scale-to-zero\",outcome=\"committed\"} 1",
        "riposte_reactions_settled_total{plugin=\"scale-to-zero\",outcome=\"unchanged\"} 1",
        "riposte_settle_seconds_count 2",
        "riposte_repository_reachable 1",
        "# EOF",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is missing in\n{metrics}");
    }
}
