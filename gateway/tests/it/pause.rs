//! The pause of everything: by a command, by a file in the branch, by both; and what is committed after.

use std::process::{Command, Output};
use std::sync::Arc;

use riposte::crash_point::CrashPoint;
use riposte::repository::Repository;
use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::harness::fleet::deployment;
use crate::harness::git::{Bare, config, git};
use crate::harness::github::{Fault, GitHub, REPOSITORY, TOKEN};
use crate::harness::process::audited;
use crate::harness::{Fleet, Process, cloudevent, execute, shell_in};

const FILE: &str = ".riposte-pause";

fn fleet() -> Fleet {
    Fleet::with(&[
        ("a.yaml", &deployment("a-a")),
        ("b.yaml", &deployment("b-b")),
        ("c.yaml", &deployment("c-c")),
    ])
}

fn send(process: &Process, id: &str, name: &str) {
    let body = shell_in("default", &format!("{name}-{name}-77789455d6-m7flp"));
    assert_eq!(process.connect().send(&cloudevent(id, &body)).status, 202);
}

fn proposed(process: &mut Process) {
    process.wait_for_line(|line| line.contains("a plugin proposes a change"));
}

fn paused(process: &Process) -> Vec<(String, String)> {
    let state = process.connect().get("/v1/pause").json();
    let pauses = state["pauses"].as_array().unwrap();
    assert_eq!(state["paused"], !pauses.is_empty());
    assert!(pauses.iter().all(|pause| pause["since"].as_str().is_some_and(|since| since.ends_with('Z'))));
    let text = |pause: &Value, key: &str| pause[key].as_str().unwrap().to_owned();
    pauses.iter().map(|pause| (text(pause, "by"), text(pause, "reason"))).collect()
}

fn held(by: &str, reason: &str) -> (String, String) {
    (by.to_owned(), reason.to_owned())
}

fn metric(process: &Process, by: &str) -> bool {
    let metrics = String::from_utf8(process.connect().get("/metrics").body).unwrap();
    let line = |value: u8| format!("\nriposte_paused{{by=\"{by}\"}} {value}\n");
    assert_ne!(metrics.contains(&line(0)), metrics.contains(&line(1)), "{metrics}");
    metrics.contains(&line(1))
}

fn riposte(process: &Process, arguments: &[&str]) -> Output {
    let url = format!("http://{}", process.address);
    Command::new(env!("CARGO_BIN_EXE_riposte")).args(arguments).args(["--url", &url]).output().unwrap()
}

/// A person takes the file out of the branch.
fn person_removes(bare: &Bare, path: &str) {
    git(bare.root.path(), &["clone", "-q", "desired.git", "removing"]);
    let clone = bare.root.path().join("removing");
    git(&clone, &["rm", "-q", path]);
    git(&clone, &["-c", "user.name=p", "-c", "user.email=p@x", "commit", "-qm", "Go on"]);
    git(&clone, &["push", "-q", "origin", "HEAD:main"]);
}

#[test]
fn proposals_wait_across_a_restart_and_are_committed_in_order_on_the_head_of_then() {
    let fleet = fleet();
    let config = fleet.config("a");
    let mut process = Process::start(&config, None);
    assert_eq!((paused(&process), metric(&process, "api")), (vec![], false));
    let state = process.connect().post_json("/v1/pause", &json!({ "reason": "a fire drill" }));
    assert_eq!((state.status, state.json()["paused"].clone()), (200, json!(true)));
    for (id, name) in [("1", "a"), ("2", "b"), ("3", "c")] {
        send(&process, id, name);
        proposed(&mut process);
    }
    send(&process, "4", "a");
    assert_eq!(process.settled(4)["repeatOf"], 1, "the incident is being answered");
    assert_eq!(process.terminate(), Some(0));
    let by_hand = fleet.file("b.yaml").replace("image: alpine", "image: alpine:3.22");
    fleet.person_commits("b.yaml", &by_hand);

    let mut process = Process::start(&config, None);
    assert_eq!((paused(&process), metric(&process, "api")), (vec![held("api", "a fire drill")], true));
    let ready = process.connect().get("/readyz");
    let said = String::from_utf8(ready.body).unwrap();
    assert_eq!(ready.status, 200, "events are taken");
    assert!(said.starts_with("ready\npaused, so nothing is committed: by api since "), "{said}");
    for seq in 1..=3 {
        let event = process.connect().get(&format!("/v1/events/{seq}")).json();
        let reaction = &event["reactions"][0];
        assert_eq!(
            (&reaction["state"], &reaction["waitsBecause"]),
            (&json!("proposed"), &json!("paused: a fire drill"))
        );
        assert_eq!(reaction["attempts"].as_array().map(Vec::len), Some(1), "{reaction:#}");
    }
    let shown = riposte(&process, &["events", "show", "1"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("pending: paused: a fire drill"), "{shown:?}");
    assert_eq!(fleet.log().len(), 2, "{:?}", fleet.log());

    let resumed = process.connect().send(b"POST /v1/resume HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!((resumed.status, resumed.json()), (200, json!({ "paused": false, "pauses": [] })));
    for seq in 1..=3 {
        let reaction = process.settled(seq)["reactions"][0].clone();
        assert_eq!(reaction["outcome"], "committed", "{reaction:#}");
        assert_eq!(reaction["attempts"].as_array().map(Vec::len), Some(2), "{reaction:#}");
        assert!(reaction.get("waitsBecause").is_none());
    }
    let log = fleet.log();
    let in_order = "3 changes: Scale default/a-a to 0; Scale default/b-b to 0; Scale default/c-c to 0\n";
    assert!(log.len() == 3 && log[0].starts_with(in_order), "{log:#?}");
    assert_eq!(fleet.file("b.yaml"), by_hand.replace("replicas: 3", "replicas: 0"));
    assert_eq!((paused(&process), metric(&process, "api")), (vec![], false));
    assert_eq!(process.connect().get("/v1/audit").json()["intact"], true);
}

#[test]
fn a_file_in_the_branch_pauses_as_long_as_it_is_there_and_beside_a_command() {
    let fleet = fleet();
    let mut process = Process::start(&fleet.config("a"), None);
    fleet.person_commits(FILE, "No changes until\nMonday.\n");
    let path = fleet.bare.root.path().join("a.yaml").display().to_string();
    let check =
        Command::new(env!("CARGO_BIN_EXE_riposte")).args(["check", "--config", &path]).output().unwrap();
    let noted = "\nnote   repository: a file in it pauses the gateway: No changes until Monday.\n";
    assert!(String::from_utf8_lossy(&check.stdout).contains(noted), "{check:?}");
    assert_eq!(check.status.code(), Some(0));
    send(&process, "1", "a");
    process.wait_for_line(|line| line.contains("the gateway is paused"));
    assert_eq!(paused(&process), [held("file", "No changes until Monday.")]);
    assert!(metric(&process, "file") && !metric(&process, "api"));

    let said = riposte(&process, &["pause", "--reason", "me too"]);
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(
        text.starts_with("paused by a command since ") && text.contains(": me too; by the file"),
        "{text}"
    );
    let both = [held("api", "me too"), held("file", "No changes until Monday.")];
    assert_eq!(paused(&process), both);
    let still = riposte(&process, &["resume", "--reason", "enough"]);
    assert_eq!(still.status.code(), Some(1));
    let text = String::from_utf8_lossy(&still.stderr).into_owned();
    assert!(text.contains("still paused by the file .riposte-pause in the repository since "), "{text}");

    assert_eq!(riposte(&process, &["pause", "--reason", "again"]).status.code(), Some(0));
    person_removes(&fleet.bare, FILE);
    process.wait_for_line(|line| line.contains("a pause has ended") && line.contains("\"file\""));
    assert_eq!(paused(&process), [held("api", "again")], "the other one holds");
    let resumed = riposte(&process, &["resume"]);
    assert_eq!((resumed.status.code(), resumed.stdout.as_slice()), (Some(0), &b"not paused\n"[..]));
    let reaction = process.settled(1)["reactions"][0].clone();
    assert_eq!(reaction["outcome"], "committed", "{reaction:#}");
    assert_eq!(reaction["attempts"].as_array().map(Vec::len), Some(2), "no attempt is counted: {reaction:#}");
    let log = fleet.log();
    assert!(log[0].starts_with("Scale default/a-a to 0") && log[1].starts_with("Go on"), "{log:?}");
    assert_eq!(process.connect().get("/v1/audit").json()["intact"], true);
}

#[test]
fn a_file_that_comes_before_the_commit_is_seen_and_the_attempt_is_none() {
    let fleet = fleet();
    let config = fleet.config("a");
    let mut process = Process::start(&config, Some(&CrashPoint::Validated.name()));
    send(&process, "1", "a");
    process.wait_for_line(|line| line.contains("crash point reached"));
    process.kill();
    fleet.person_commits(FILE, "");
    let mut process = Process::start(&config, None);
    process.wait_for_line(|line| line.contains("the gateway is paused"));
    assert_eq!(paused(&process), [held("file", ".riposte-pause is there")]);
    assert_eq!(process.terminate(), Some(0));
    assert_eq!(fleet.log().len(), 2);
    // The end of a pause is seen even if the gateway was down.
    person_removes(&fleet.bare, FILE);
    let mut process = Process::start(&config, None);
    let reaction = process.settled(1)["reactions"][0].clone();
    assert_eq!(reaction["outcome"], "committed", "{reaction:#}");
    let stages: Vec<&Value> =
        reaction["attempts"].as_array().unwrap().iter().map(|attempt| &attempt["result"]).collect();
    assert_eq!(stages, [&json!("proposed"), &Value::Null, &json!("committed")], "{reaction:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_comes_while_the_commit_is_sent_is_seen_too() {
    let fleet = fleet();
    let github = GitHub::start(&fleet.bare.path()).await;
    let root = fleet.bare.root.path().to_owned();
    github.next(Fault::Meanwhile(Arc::new(move || {
        git(&root, &["clone", "-q", "desired.git", "pausing"]);
        std::fs::write(root.join("pausing").join(FILE), "wait").unwrap();
        let clone = root.join("pausing");
        git(&clone, &["add", FILE]);
        git(&clone, &["-c", "user.name=p", "-c", "user.email=p@x", "commit", "-qm", "Wait"]);
        git(&clone, &["push", "-q", "origin", "HEAD:main"]);
    })));
    let token = fleet.bare.secret("github-token", TOKEN);
    let on_github = format!(
        "repository:\n  auth: {{ tokenFile: {} }}\n  github: {{ apiUrl: \"{}\", repository: {REPOSITORY} }}\n",
        token.display(),
        github.api_url()
    );
    let text = std::fs::read_to_string(fleet.config("a")).unwrap().replace("repository:\n", &on_github);
    let config = fleet.beside("github.yaml", &text);
    block_in_place(|| {
        let mut process = Process::start(&config, None);
        send(&process, "1", "a");
        process.wait_for_line(|line| line.contains("the gateway is paused"));
        assert_eq!(paused(&process), [held("file", "wait")]);
        person_removes(&fleet.bare, FILE);
        let reaction = process.settled(1)["reactions"][0].clone();
        let results: Vec<&Value> =
            reaction["attempts"].as_array().unwrap().iter().map(|attempt| &attempt["result"]).collect();
        assert_eq!(results, [&json!("proposed"), &json!("committed")], "{reaction:#}");
    });
    let log = fleet.log();
    assert!(
        log[0].starts_with("Scale ") && log[1].starts_with("Go on") && log[2].starts_with("Wait"),
        "{log:?}"
    );
    assert_eq!(log.len(), 4);
}

/// Paths and contents.
type Files = &'static [(&'static str, &'static str)];

#[tokio::test]
async fn whatever_has_the_name_pauses_in_the_root_and_in_the_configured_folder() {
    let table: [(&str, Files, Option<&str>); 8] = [
        ("", &[("x", "")], None),
        ("", &[(FILE, "why\n")], Some("why")),
        ("", &[(FILE, " \n")], Some(".riposte-pause is there")),
        ("", &[(".riposte-pause/x", "why")], Some(".riposte-pause is there")),
        ("", &[("apps/.riposte-pause", "why")], None),
        ("apps", &[("apps/.riposte-pause", "one\u{7}\ttwo")], Some("one two")),
        ("apps", &[(FILE, "all of them"), ("apps/x", "")], Some("all of them")),
        ("apps", &[("other/.riposte-pause", "why"), ("apps/x", "")], None),
    ];
    for (folder, files, expected) in table {
        let bare = Bare::new(files);
        let repository = config(json!({ "url": bare.file_url(), "path": folder }));
        let data = tempfile::tempdir().unwrap();
        let repository = Repository::new(&repository, data.path()).unwrap();
        assert_eq!(repository.pause(), None, "nobody has looked");
        repository.head().await.unwrap();
        assert_eq!(repository.pause(), Some(expected.map(str::to_owned)), "{files:?}");
        let snapshot = repository.snapshot_at_head().await.unwrap();
        assert_eq!(snapshot.pause(), expected, "{files:?}");
    }
    let long = format!("x{}", "é".repeat(100_000));
    let bare = Bare::new(&[(FILE, &long)]);
    let data = tempfile::tempdir().unwrap();
    let repository = Repository::open(&config(json!({ "url": bare.file_url() })), data.path()).await.unwrap();
    let reason = repository.pause().flatten().unwrap();
    assert_eq!(reason, format!("x{}", "é".repeat(511)));
}

#[test]
fn a_pause_needs_a_reason_and_forging_one_shows() {
    let fleet = fleet();
    let config = fleet.config("a");
    let process = Process::start(&config, None);
    let table = [
        ("/v1/pause", json!({}), 422),
        ("/v1/pause", json!({ "reason": " " }), 400),
        ("/v1/pause", json!({ "reason": "x".repeat(1_025) }), 400),
        ("/v1/pause", json!({ "reason": "x", "until": "noon" }), 422),
        ("/v1/resume", json!({ "reason": "" }), 400),
        ("/v1/resume", json!({ "because": "x" }), 422),
        ("/v1/resume", json!({}), 200),
        ("/v1/pause", json!({ "reason": "x" }), 200),
        ("/v1/resume", json!({ "reason": "y" }), 200),
    ];
    for (target, body, status) in table {
        assert_eq!(process.connect().post_json(target, &body).status, status, "{target} {body}");
    }
    assert_eq!(riposte(&process, &["pause"]).status.code(), Some(2), "and why?");
    assert_eq!(process.terminate(), Some(0));
    let table = [
        ("UPDATE pauses SET reason = reason", ""),
        ("UPDATE pauses SET paused = 0 WHERE id = 1", "pause 1 was changed"),
        ("UPDATE pauses SET paused = 1 WHERE id = 1", ""),
        (
            "INSERT INTO pauses (by, paused, reason, recorded_us) VALUES ('api', 1, 'z', 1)",
            "pause 3 has no link",
        ),
        ("DELETE FROM pauses WHERE id = 1", "pause 1 is missing"),
    ];
    for (forged, found) in table {
        execute(&config.with_file_name("a"), forged);
        assert_eq!(audited(&config), found, "{forged}");
    }
}
