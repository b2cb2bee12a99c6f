//! Many proposals at once: one commit of them, each with its own part, conflicts by name, a bad one
//! among good ones, GitHub's limits, restarts.

mod clusters;
mod conflicts;
mod dry_run;
mod github;
mod storm;

use std::path::{Path, PathBuf};
use std::process::Command;

use riposte::config::Config;
use riposte::crash_point::CrashPoint;
use serde_json::{Value, json};

use crate::harness::fleet::deployment;
use crate::harness::{Fleet, Process, cloudevent, shell_in};

/// Deployments of these names, each in a file of its own.
fn fleet(names: &[&str]) -> Fleet {
    let files: Vec<(String, String)> =
        names.iter().map(|name| (format!("apps/{name}.yaml"), deployment(name))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    Fleet::with(&files)
}

/// The configuration with other words for how proposals are joined; every report is dispatched.
fn coalescing(fleet: &Fleet, coalesce: &str) -> PathBuf {
    let text = std::fs::read_to_string(fleet.config_without_repeats("a")).unwrap();
    fleet.beside("a.yaml", &text.replace("{ idleMs: 0 }", coalesce))
}

/// Sends an alert of a pod of the Deployment; the event's number.
fn alert(process: &Process, id: &str, name: &str) -> i64 {
    let body = shell_in("default", &format!("{name}-77789455d6-m7flp"));
    let answer = process.connect().send(&cloudevent(id, &body));
    assert_eq!(answer.status, 202);
    answer.number()
}

/// A gateway that takes events and commits nothing until it is told to.
fn paused(config: &Path) -> Process {
    let process = Process::start(config, None);
    assert_eq!(process.connect().post_json("/v1/pause", &json!({ "reason": "a burst" })).status, 200);
    process
}

fn resume(process: &Process) {
    assert_eq!(process.connect().post_json("/v1/resume", &json!({})).status, 200);
}

fn queue(process: &Process) -> Value {
    process.connect().get("/v1/queue").json()
}

/// Waits until so many proposals wait. Each is followed by a log line.
fn waiting(process: &mut Process, proposals: i64) -> Value {
    loop {
        let queue = queue(process);
        if queue["waiting"] == proposals {
            return queue;
        }
        process.wait_for_line(|_| true);
    }
}

/// The only reaction to an event, once it has ended.
fn ended(process: &mut Process, event: i64) -> Value {
    let event = process.settled(event);
    assert_eq!(event["reactions"].as_array().map(Vec::len), Some(1), "{event:#}");
    event["reactions"][0].clone()
}

fn intact(process: &Process) {
    let audit = process.connect().get("/v1/audit").json();
    assert_eq!(audit["intact"], true, "{audit}");
}

fn scaled(name: &str) -> String {
    deployment(name).replace("replicas: 3", "replicas: 0")
}

#[test]
fn a_burst_is_one_commit_and_each_reaction_has_its_own_part_of_it() {
    let fleet = fleet(&["a-a", "b-b", "c-c"]);
    let text = std::fs::read_to_string(fleet.config_without_repeats("a")).unwrap();
    let config = fleet.beside("a.yaml", &format!("{text}guardrails: {{ commitsMax: 1 }}\n"));
    let mut process = paused(&config);
    for (id, name) in [("1", "a-a"), ("2", "b-b"), ("3", "a-a"), ("4", "c-c")] {
        alert(&process, id, name);
    }
    waiting(&mut process, 4);
    resume(&process);
    let head = |fleet: &Fleet| fleet.bare.git(&["rev-parse", "main"]).trim().to_owned();
    for (event, name) in [(1, "a-a"), (2, "b-b"), (4, "c-c")] {
        let reaction = ended(&mut process, event);
        assert_eq!(reaction["outcome"], "committed", "{reaction:#}");
        assert_eq!(reaction["commit"]["sha"], head(&fleet), "{reaction:#}");
        let diff = reaction["diff"].as_str().unwrap();
        let files: Vec<&str> = diff.lines().filter(|line| line.starts_with("+++ ")).collect();
        assert_eq!(files, [format!("+++ b/apps/{name}.yaml")], "its own part: {diff}");
        assert_eq!(fleet.file(&format!("apps/{name}.yaml")), scaled(name));
    }
    let repeated = ended(&mut process, 3);
    assert_eq!(repeated["outcome"], "unchanged", "{repeated:#}");
    assert!(repeated["reason"].as_str().unwrap().contains(&head(&fleet)[..7]), "{repeated:#}");
    let log = fleet.log();
    assert_eq!(log.len(), 2, "{log:#?}");
    assert!(
        log[0].starts_with("3 changes: Scale default/a-a to 0; Scale default/b-b to 0; Scale"),
        "{}",
        log[0]
    );
    let trailers =
        fleet.bare.git(&["log", "-1", "--format=%(trailers:key=Riposte-Reaction,valueonly)", "main"]);
    let numbers: Vec<&str> = trailers.lines().filter_map(|line| line.rsplit('/').next()).collect();
    assert_eq!(
        numbers.iter().filter(|number| !number.is_empty()).copied().collect::<Vec<_>>(),
        ["1", "2", "4"]
    );
    // The commit has counted once for its plugin, which may make no other one.
    fleet.person_commits("apps/a-a.yaml", &deployment("a-a").replace("replicas: 3", "replicas: 2"));
    alert(&process, "5", "a-a");
    let refused = ended(&mut process, 5);
    assert_eq!(refused["outcome"], "refused", "{refused:#}");
    assert!(refused["reason"].as_str().unwrap().contains("guardrails.commitsMax"), "{refused:#}");
    intact(&process);
}

#[test]
fn a_change_that_can_never_be_committed_fails_alone() {
    let names = ["a-a", "b-b", "c-c", "d-d", "e-e"];
    let fleet = fleet(&names);
    let long = format!("{}# {}\n", deployment("c-c"), "long ".repeat(2_000));
    fleet.person_commits("apps/c-c.yaml", &long);
    let text = std::fs::read_to_string(fleet.config_without_repeats("a")).unwrap();
    let text = text.replacen("repository:\n", "repository:\n  limits: { commitBytesMax: 6000 }\n", 1);
    let mut process = paused(&fleet.beside("a.yaml", &text));
    for name in names {
        alert(&process, name, name);
    }
    // It hangs on a change that fails, and is looked at anew.
    alert(&process, "again", "c-c");
    waiting(&mut process, 6);
    resume(&process);
    for (event, name) in (1..).zip(names) {
        let reaction = ended(&mut process, event);
        if name == "c-c" {
            assert_eq!(reaction["outcome"], "failed", "{reaction:#}");
            assert!(reaction["reason"].as_str().unwrap().contains("commitBytesMax"), "{reaction:#}");
        } else {
            assert_eq!(reaction["outcome"], "committed", "{name}: {reaction:#}");
            assert_eq!(fleet.file(&format!("apps/{name}.yaml")), scaled(name));
        }
    }
    assert_eq!(ended(&mut process, 6)["outcome"], "failed");
    assert_eq!(fleet.file("apps/c-c.yaml"), long);
    intact(&process);
}

#[test]
fn a_burst_is_over_when_nothing_comes_or_when_its_first_has_waited_enough() {
    for coalesce in ["{ idleMs: 200, waitMaxMs: 60000 }", "{ idleMs: 60000, waitMaxMs: 200 }"] {
        let fleet = fleet(&["a-a"]);
        let mut process = Process::start(&coalescing(&fleet, coalesce), None);
        alert(&process, "1", "a-a");
        assert_eq!(ended(&mut process, 1)["outcome"], "committed", "{coalesce}");
    }
}

#[test]
fn a_burst_waits_until_it_has_enough_changes() {
    let fleet = fleet(&["a-a", "b-b"]);
    let config = coalescing(&fleet, "{ idleMs: 60000, waitMaxMs: 60000, changesMax: 2 }");
    let mut process = Process::start(&config, None);
    alert(&process, "1", "a-a");
    // The same once more is no other change.
    alert(&process, "2", "a-a");
    let queue = waiting(&mut process, 2);
    assert!(queue["closes"].as_str() > queue["oldest"].as_str(), "{queue}");
    assert_eq!(queue["plugins"][0]["plugin"], "scale-to-zero", "{queue}");
    assert_eq!(queue["plugins"][0]["waiting"], 2, "{queue}");
    let metrics = String::from_utf8(process.connect().get("/metrics").body).unwrap();
    assert!(metrics.contains("\nriposte_proposals_waiting 2\n"), "{metrics}");
    let url = format!("http://{}", process.address);
    let told = Command::new(env!("CARGO_BIN_EXE_riposte")).args(["queue", "--url", &url]).output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.starts_with("2 waiting since ") && told.contains("if nothing more comes"), "{told}");
    assert_eq!(fleet.log().len(), 1);
    alert(&process, "3", "b-b");
    for (event, outcome) in [(1, "committed"), (2, "unchanged"), (3, "committed")] {
        assert_eq!(ended(&mut process, event)["outcome"], outcome);
    }
    assert_eq!(fleet.log().len(), 2);
    assert_eq!(waiting(&mut process, 0)["plugins"], json!([]));
}

#[test]
fn what_is_urgent_takes_along_what_waits() {
    let fleet = fleet(&["a-a", "b-b"]);
    let config = coalescing(&fleet, "{ idleMs: 60000, waitMaxMs: 60000 }");
    let text = std::fs::read_to_string(config).unwrap();
    let (start, plugin) = text.split_once("  - name: scale-to-zero\n").unwrap();
    let (plugin, end) = plugin.split_once("repeats:").unwrap();
    let urgent =
        plugin.replace("mode:", "urgent: true\n    mode:").replace("Terminal shell in container", "Urgent");
    let text = format!("{start}  - name: scale-to-zero\n{plugin}  - name: at-once\n{urgent}repeats:{end}");
    let mut process = Process::start(&fleet.beside("a.yaml", &text), None);
    alert(&process, "1", "a-a");
    let ignored = |event: &Value| event["reactions"][1]["outcome"] == "ignored";
    while !ignored(&process.connect().get("/v1/events/1").json()) {
        process.wait_for_line(|_| true);
    }
    waiting(&mut process, 1);
    let body = shell_in("default", "b-b-77789455d6-m7flp").replace("Terminal shell in container", "Urgent");
    assert_eq!(process.connect().send(&cloudevent("2", &body)).status, 202);
    let (first, second) = (process.settled(1), process.settled(2));
    assert_eq!(first["reactions"][0]["outcome"], "committed", "{first:#}");
    assert_eq!(second["reactions"][1]["outcome"], "committed", "{second:#}");
    assert_eq!(first["reactions"][0]["commit"]["sha"], second["reactions"][1]["commit"]["sha"]);
    assert_eq!(fleet.log().len(), 2);
}

#[test]
fn a_burst_and_a_budget_that_cannot_work_are_refused() {
    let table = [
        ("coalesce: { idleMs: 60001 }", "coalesce.idleMs is 60001, and 60000 is the most"),
        ("coalesce: { waitMaxMs: 60001 }", "coalesce.waitMaxMs is 60001, and 60000 is the most"),
        ("coalesce: { changesMax: 101 }", "coalesce.changesMax is 101, and 100 is the most"),
        (
            "coalesce: { changesMax: 0 }",
            "coalesce.changesMax is 0, which lets nothing through; 1 is the least",
        ),
    ];
    let repository = |budget: &str| {
        format!(
            "repository: {{ url: 'https://h/a/b.git', github: {{ repository: a/b, budget: {budget} }} }}\n"
        )
    };
    for (text, expected) in table {
        assert_eq!(Config::parse(&format!("{}{text}", repository("{}"))).unwrap_err(), expected);
    }
    let refused = Config::parse(&repository("{ perHour: 0 }")).unwrap_err();
    assert!(refused.starts_with("repository.github.budget.perHour is 0"), "{refused}");
    let plugins = "plugins: [{ name: p, source: 'bundled:suspend', mode: propose }]";
    let refused = Config::parse(&format!("{}{plugins}", repository("{ perMinute: 5 }"))).unwrap_err();
    let expected = "repository.github.budget.perMinute is 5, and a pull request takes 6 calls";
    assert_eq!(refused, expected);
    assert!(Config::parse(&format!("{}{plugins}", repository("{ perMinute: 6 }"))).is_ok());
}

/// Killed in the middle of a burst of three changes and one that comes again; one commit in the end.
fn killed_at(point: CrashPoint) {
    let fleet = fleet(&["a-a", "b-b", "c-c"]);
    let config = coalescing(&fleet, "{ idleMs: 20000, waitMaxMs: 60000, changesMax: 3 }");
    let mut first = Process::start(&config, Some(&point.name()));
    for (id, name) in [("1", "a-a"), ("2", "a-a"), ("3", "b-b"), ("4", "c-c")] {
        alert(&first, id, name);
    }
    first.wait_for_line(|line| line.contains("crash point reached"));
    first.kill();
    let mut second = Process::start(&config, None);
    let mut outcomes = Vec::new();
    for event in 1..5 {
        let reaction = ended(&mut second, event);
        if reaction["outcome"] == "committed" {
            let diff = reaction["diff"].as_str().unwrap();
            assert_eq!(diff.matches("\n+++ ").count(), 1, "{point:?}: its own part of {diff}");
        }
        outcomes.push(reaction["outcome"].as_str().unwrap().to_owned());
    }
    // Of the two that want the same the one that was decided on first commits it.
    outcomes[..2].sort();
    assert_eq!(outcomes, ["committed", "unchanged", "committed", "committed"], "{point:?}");
    for name in ["a-a", "b-b", "c-c"] {
        assert_eq!(fleet.file(&format!("apps/{name}.yaml")), scaled(name), "{point:?}");
    }
    let log = fleet.log();
    assert_eq!(log.len(), 2, "{point:?}: {log:#?}");
    intact(&second);
    assert_eq!(second.terminate(), Some(0), "{point:?}");
}

#[test]
fn a_burst_goes_on_after_a_restart_wherever_it_was() {
    let points = [
        CrashPoint::Routing,
        CrashPoint::Routed,
        CrashPoint::Dispatching,
        CrashPoint::Decided,
        CrashPoint::DecisionRecorded,
        CrashPoint::Committing,
        CrashPoint::Validated,
        CrashPoint::Committed,
        CrashPoint::OutcomeRecorded,
    ];
    points.into_iter().for_each(killed_at);
}
